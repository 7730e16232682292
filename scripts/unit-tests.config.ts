import { defineConfig } from 'vitest/config';
import { ROOT } from './lib/workspace.mjs';

// The unit tests of all projects as one run with one report, for `npm test`. In a project's own folder `npx vitest run` runs that
// project alone. The real-client tests (tools/acceptance) start whole clusters and are a run of their own.
export default defineConfig({
  root: ROOT,
  test: {
    projects: ['libs/*', 'apps/*', 'examples/*', 'tools/*', '!tools/acceptance', 'scripts'],
    maxWorkers: 2,
  },
});
