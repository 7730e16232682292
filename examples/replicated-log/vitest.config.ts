import { defineConfig } from 'vitest/config';

// A bound for tests that hang: no test depends on the speed of the machine.
export default defineConfig({ test: { name: 'replicated-log', testTimeout: 60_000, hookTimeout: 60_000 } });
