import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { findViolations, type ProjectGraph } from './boundaries.mjs';
import { listProjects, ROOT } from './workspace.mjs';

type Dependencies = { dependencies?: Record<string, string>; devDependencies?: Record<string, string>; exports?: Record<string, string> };

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A workspace of its own: package.json of each project, and source files. */
function workspace(projects: Record<string, { layer: string } & Dependencies>, files: Record<string, string> = {}): string {
  const root = mkdtempSync(join(tmpdir(), 'rmr-boundaries-'));
  folders.push(root);
  const write = (path: string, contents: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), contents);
  };
  write('package.json', JSON.stringify({ name: 'fixture', private: true, workspaces: ['libs/*', 'apps/*', 'tools/*'] }));
  write('nx.json', JSON.stringify({ neverConnectToCloud: true, analytics: false, useDaemonProcess: false }));
  for (const group of ['libs', 'apps', 'tools']) mkdirSync(join(root, group));
  for (const [folder, { layer, exports = { '.': './src/index.ts' }, ...dependencies }] of Object.entries(projects)) {
    const name = `@rmr/${folder.split('/')[1]}`;
    write(`${folder}/package.json`, JSON.stringify({ name, version: '0.1.0', exports, nx: { tags: [`layer:${layer}`] }, ...dependencies }));
  }
  for (const [path, contents] of Object.entries(files)) write(path, contents);
  return root;
}

/** The graph that Nx makes of package.json files alone. */
function graphOf(root: string): ProjectGraph {
  const graph: ProjectGraph = { nodes: {}, dependencies: {} };
  for (const { name, folder, manifest } of listProjects(root)) {
    graph.nodes[name] = { data: { root: folder, tags: manifest.nx?.tags ?? [] } };
    const targets = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
    graph.dependencies[name] = targets.map((target) => ({ source: name, target }));
  }
  return graph;
}

function check(root: string): string[] {
  return findViolations(root, listProjects(root), graphOf(root)).map(({ rule, where }) => `${rule}: ${where}`);
}

const RUNTIME = { layer: 'runtime', exports: { '.': './src/index.ts', './node': './src/node/index.ts' } };
const SEES_RUNTIME = { '@rmr/runtime': '*' };

test('an upper layer may import a lower one', () => {
  const files = { 'libs/rtrs/src/index.ts': "import type { Clock } from '@rmr/runtime';\nexport { assert } from '@rmr/runtime';\n" };
  expect(check(workspace({ 'libs/runtime': RUNTIME, 'libs/rtrs': { layer: 'rtrs', dependencies: SEES_RUNTIME } }, files))).toEqual([]);
});

test.each([
  ['rtrs', 'rmr'],
  ['rmr', 'brmr'],
  ['rmr', 'bitmap-store'],
  ['nbd', 'rtrs'],
  ['bitmap-store', 'rmr'],
  ['dirty-map', 'bitmap-store'],
  ['rtrs', 'dirty-map'],
  ['testing', 'rtrs'],
  ['admin-api', 'rmr'],
  ['web', 'brmr'],
  ['tool', 'app'],
  ['runtime', 'nbd'],
])('a dependency of layer %s on layer %s is refused where it is declared', (source, target) => {
  const root = workspace({
    'libs/source': { layer: source, dependencies: { '@rmr/target': '*' } },
    'libs/target': { layer: target },
  });
  expect(check(root)).toEqual(['edge: libs/source/package.json']);
});

test.each(['bitmap-store', 'rmr', 'brmr', 'app'])('layer %s may depend on layer dirty-map', (layer) => {
  const root = workspace({
    'libs/source': { layer, dependencies: { '@rmr/dirty-map': '*' } },
    'libs/dirty-map': { layer: 'dirty-map' },
  });
  expect(check(root)).toEqual([]);
});

test('a forbidden edge is refused among devDependencies too', () => {
  const root = workspace({ 'libs/rtrs': { layer: 'rtrs', devDependencies: { '@rmr/rmr': '*' } }, 'libs/rmr': { layer: 'rmr' } });
  expect(check(root)).toEqual(['edge: libs/rtrs/package.json']);
});

test('libs/testing is for devDependencies only', () => {
  const root = workspace({ 'libs/rtrs': { layer: 'rtrs', dependencies: { '@rmr/testing': '*' } }, 'libs/testing': { layer: 'testing' } });
  expect(check(root)).toEqual(['testing: libs/rtrs/package.json']);
});

test('tests and what only they use may import libs/testing, what the project exports may not', () => {
  const root = workspace(
    { 'libs/rtrs': { layer: 'rtrs', devDependencies: { '@rmr/testing': '*' } }, 'libs/testing': { layer: 'testing' } },
    {
      'libs/rtrs/src/session.test.ts': "import { VirtualWorld } from '@rmr/testing';\nimport './harness.ts';\n",
      'libs/rtrs/src/harness.ts': "import { VirtualWorld } from '@rmr/testing';\n",
      'libs/rtrs/src/index.ts': "export * from './session.ts';\n",
      'libs/rtrs/src/session.ts': "\nimport { VirtualWorld } from '@rmr/testing';\n",
    },
  );
  expect(check(root)).toEqual(['testing: libs/rtrs/src/session.ts:2']);
});

test('an import that package.json does not declare is refused, whether value, type, re-export, dynamic or side effect', () => {
  const root = workspace(
    { 'libs/runtime': RUNTIME, 'libs/rtrs': { layer: 'rtrs' } },
    {
      'libs/rtrs/src/a.ts': "import { x } from '@rmr/runtime';\n",
      'libs/rtrs/src/b.ts': "import type { X } from '@rmr/runtime';\n",
      'libs/rtrs/src/c.ts': "export * from '@rmr/runtime';\n",
      'libs/rtrs/src/d.ts': "export const load = () => import('@rmr/runtime');\n",
      'libs/rtrs/src/e.ts': "import '@rmr/runtime';\n",
      'libs/rtrs/src/f.ts': "export type X = import('@rmr/runtime').X;\n",
    },
  );
  expect(check(root)).toEqual(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `undeclared: libs/rtrs/src/${name}.ts:1`));
});

test('an import in a comment or a string is none', () => {
  const text =
    "// import { x } from '@rmr/rmr';\nexport const glob = 'libs/**/*';\nexport const text = \"import { x } from '@rmr/rmr'\"; /* */\n";
  expect(check(workspace({ 'libs/rtrs': { layer: 'rtrs' }, 'libs/rmr': { layer: 'rmr' } }, { 'libs/rtrs/src/a.ts': text }))).toEqual([]);
});

test('a deep import past the exports of a project is refused', () => {
  const root = workspace(
    { 'libs/runtime': RUNTIME, 'libs/rtrs': { layer: 'rtrs', dependencies: SEES_RUNTIME } },
    { 'libs/rtrs/src/a.ts': "import { x } from '@rmr/runtime/src/slab.ts';\n" },
  );
  expect(check(root)).toEqual(['not exported: libs/rtrs/src/a.ts:1']);
});

test('a relative import that leaves its project is refused, even in a test', () => {
  const root = workspace(
    { 'libs/runtime': RUNTIME, 'libs/rtrs': { layer: 'rtrs', dependencies: SEES_RUNTIME } },
    {
      'libs/rtrs/src/a.test.ts': "import { x } from '../../runtime/src/slab.ts';\n",
      'libs/rtrs/src/wire/b.ts': "import { x } from '../a.ts';\n",
    },
  );
  expect(check(root)).toEqual(['leaves the project: libs/rtrs/src/a.test.ts:1']);
});

test('a core may not import an adapter, its own or that of another library', () => {
  const root = workspace(
    { 'libs/runtime': RUNTIME, 'libs/rtrs': { layer: 'rtrs', dependencies: SEES_RUNTIME } },
    {
      'libs/rtrs/src/index.ts': "export * from './a.ts';\nexport * from './b.ts';\n",
      'libs/rtrs/src/a.ts': "import { x } from './node/tcp.ts';\n",
      'libs/rtrs/src/b.ts': "import { x } from '@rmr/runtime/node';\n",
      'libs/rtrs/src/node/tcp.ts': "import { x } from '@rmr/runtime/node';\nimport { y } from '../a.ts';\n",
      'libs/rtrs/src/a.test.ts': "import { x } from './node/tcp.ts';\n",
    },
  );
  expect(check(root)).toEqual(['core: libs/rtrs/src/a.ts:1', 'core: libs/rtrs/src/b.ts:1']);
});

test('a harness sees the configuration schema of an app and nothing else of it', () => {
  const root = workspace(
    {
      'apps/storage-node': { layer: 'app', exports: { './config': './src/config.ts', './main': './src/main.ts' } },
      'tools/cluster': { layer: 'harness', dependencies: { '@rmr/storage-node': '*' } },
    },
    {
      'tools/cluster/src/a.ts': "import { schema } from '@rmr/storage-node/config';\n",
      'tools/cluster/src/b.ts': "import { main } from '@rmr/storage-node/main';\n",
    },
  );
  expect(check(root)).toEqual(['app: tools/cluster/src/b.ts:1']);
});

test.each([[[]], [['layer:unknown']], [['layer:rmr', 'layer:rtrs']], [['rmr']]])(
  'tags %j name no single known layer and are refused',
  (tags) => {
    const root = workspace({});
    mkdirSync(join(root, 'libs/x'));
    writeFileSync(join(root, 'libs/x/package.json'), JSON.stringify({ name: '@rmr/x', nx: { tags } }));
    expect(check(root)).toEqual(['untagged: libs/x/package.json']);
  },
);

test('a declared dependency that Nx does not know is reported', () => {
  const root = workspace({ 'libs/runtime': RUNTIME, 'libs/rtrs': { layer: 'rtrs', dependencies: SEES_RUNTIME } });
  const graph = graphOf(root);
  graph.dependencies['@rmr/rtrs'] = [];
  expect(findViolations(root, listProjects(root), graph).map(({ rule }) => rule)).toEqual(['graph']);
});

test('the command fails on a forbidden import in a workspace whose graph Nx itself reads', { timeout: 120_000 }, async () => {
  const root = workspace(
    { 'libs/rtrs': { layer: 'rtrs', dependencies: { '@rmr/rmr': '*' } }, 'libs/rmr': { layer: 'rmr' } },
    { 'libs/rtrs/src/a.ts': "import { x } from '@rmr/rmr';\n" },
  );
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  const run = promisify(execFile)(process.execPath, [join(ROOT, 'scripts/check-boundaries.mjs'), '--root', root]);
  await expect(run).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('libs/rtrs/package.json  [edge]  @rmr/rtrs (layer rtrs) may not depend on @rmr/rmr (layer rmr)'),
  });
});
