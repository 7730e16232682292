import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.{test,fuzz}.ts'],
    // Only ever hit by a test that hangs: none depends on the speed of the machine.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
