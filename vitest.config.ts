import { defineConfig } from 'vitest/config';

// Every project's unit tests in one run: `npx vitest run` here, or in a project's own folder for that project alone.
// The real-client tests (tools/acceptance) start whole clusters and are a run of their own.
export default defineConfig({
  test: {
    projects: ['libs/*', 'apps/*', 'tools/*', '!tools/acceptance', 'scripts'],
    maxWorkers: 2,
  },
});
