import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { name: 'rtrs', include: ['src/**/*.{test,fuzz}.ts'], testTimeout: 60_000 },
});
