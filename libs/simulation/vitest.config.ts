import { defineConfig } from 'vitest/config';

export default defineConfig({ test: { name: 'simulation', testTimeout: 60_000 } });
