// Which projects a change in a library touches: `nx affected` runs their targets, and no others. An edge that nobody meant to add shows here.
import { expect, test } from 'vitest';
import { listProjects } from './workspace.mjs';

/** Project → those that depend on it, also through others and in tests. `npm run boundaries` holds these edges to those that Nx sees. */
function affectedBy(name: string): string[] {
  const projects = listProjects();
  const found = new Set([name]);
  for (const reached of found) {
    for (const { name: dependent, manifest } of projects)
      if (Object.hasOwn({ ...manifest.dependencies, ...manifest.devDependencies }, reached)) found.add(dependent);
  }
  found.delete(name);
  return [...found].map((each) => each.replace('@rmr/', '')).sort();
}

/** What starts daemons, or is compared with them. */
const PROCESSES = ['acceptance', 'bench', 'chaos', 'cluster'];
const DAEMONS = ['client-node', 'storage-node'];
const SIMULATOR = ['sim', 'simulation'];
const EXAMPLES = ['replicated-log'];

test.each([
  ['nbd', ['brmr', ...DAEMONS, ...PROCESSES, ...SIMULATOR, ...EXAMPLES]],
  ['rtrs', ['rmr', 'brmr', ...DAEMONS, ...PROCESSES, ...SIMULATOR, ...EXAMPLES]],
  ['rmr', ['brmr', ...DAEMONS, ...PROCESSES, ...SIMULATOR, ...EXAMPLES]],
  ['bitmap-store', ['brmr', ...DAEMONS, ...PROCESSES, ...SIMULATOR, ...EXAMPLES]],
  ['dirty-map', ['bitmap-store', 'rmr', 'brmr', ...DAEMONS, ...PROCESSES, ...SIMULATOR, ...EXAMPLES]],
  ['brmr', [...DAEMONS, ...PROCESSES, ...SIMULATOR, ...EXAMPLES]],
  ['admin-api', ['cluster-view', 'rmrctl', 'simulated-daemons', 'daemon', ...DAEMONS, ...PROCESSES, 'web']],
  ['daemon', ['cluster-view', 'rmrctl', 'simulated-daemons', ...DAEMONS, ...PROCESSES]],
  ['operations', ['brmr', 'daemon', 'cluster-view', 'rmrctl', 'simulated-daemons', ...DAEMONS, ...PROCESSES, ...SIMULATOR, ...EXAMPLES]],
  [
    'testing',
    [
      'bitmap-store',
      'daemon',
      'cluster-view',
      'rmrctl',
      'simulated-daemons',
      'nbd',
      'operations',
      'rtrs',
      'rmr',
      'brmr',
      ...DAEMONS,
      ...PROCESSES,
      ...SIMULATOR,
      ...EXAMPLES,
    ],
  ],
  ['cluster-view', ['rmrctl', 'acceptance']],
  ['simulation', ['sim', 'chaos', 'acceptance']],
  ['client-node', PROCESSES],
  ['storage-node', PROCESSES],
  ['web', []],
])('a change in %s touches these projects alone', (name, touched) => {
  expect(affectedBy(`@rmr/${name}`)).toEqual([...touched].sort());
});
