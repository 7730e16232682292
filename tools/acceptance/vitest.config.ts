import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    globalSetup: ['src/support/global-setup.ts'],
    // Whole clusters and load generators run in these tests: one file at a time leaves each the machine.
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
