// Who may import whom. The table is the architecture; the rest of this file finds what contradicts it.
import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { importsOf, isSourceFile, isTestFile, listFiles } from './source-files.mjs';

/**
 * Layer → the layers that it may depend on. Upper layers know lower ones; a lower layer that needs an upper one takes an interface.
 * @type {Readonly<Record<string, readonly string[]>>}
 */
export const ALLOWED_LAYERS = {
  runtime: [],
  rtrs: ['runtime'],
  'dirty-map': ['runtime'],
  rmr: ['rtrs', 'dirty-map', 'runtime'],
  'bitmap-store': ['dirty-map', 'runtime'],
  nbd: ['runtime'],
  operations: ['runtime'],
  brmr: ['operations', 'rmr', 'rtrs', 'bitmap-store', 'dirty-map', 'nbd', 'runtime'],
  'admin-api': ['runtime'],
  daemon: ['admin-api', 'operations', 'runtime'],
  'cluster-view': ['admin-api', 'runtime'],
  testing: ['runtime'],
  'simulated-daemons': ['admin-api', 'daemon', 'runtime'],
  simulation: ['testing', 'operations', 'runtime', 'rtrs', 'rmr', 'bitmap-store', 'brmr'],
  app: ['operations', 'runtime', 'rtrs', 'rmr', 'bitmap-store', 'dirty-map', 'nbd', 'brmr', 'admin-api', 'daemon'],
  web: ['cluster-view', 'admin-api', 'runtime'],
  tool: ['cluster-view', 'admin-api', 'runtime'],
  /** The cluster tool, the benchmark, chaos and the real-client tests: they start daemons and so know their configuration. */
  harness: ['admin-api', 'daemon', 'runtime', 'app', 'harness', 'simulation', 'tool'],
  /** What others would build on the libraries. */
  example: ['brmr', 'rmr', 'rtrs', 'runtime'],
  /** Runs the simulator: the one program that is made of test code. */
  simulator: ['simulation', 'runtime'],
  workspace: [],
};

/** Seen by the tests of every layer, by nobody's production code. */
const TESTING_LAYERS = new Set(['testing', 'simulated-daemons']);

/** The only part of an app that another project may import: its configuration schema. */
const APP_EXPORT = './config';

/** Layers whose code outside src/node is a core: the world is injected there. */
const CORE_LAYERS = new Set(['runtime', 'rtrs', 'rmr', 'dirty-map', 'bitmap-store', 'nbd', 'operations', 'brmr', 'admin-api']);

/**
 * @typedef {import('./workspace.mjs').Project} Project
 * @typedef {object} ProjectGraph what `nx graph --file` writes
 * @property {Record<string, { data: { root: string, tags?: string[] } }>} nodes
 * @property {Record<string, { source: string, target: string }[]>} dependencies
 *
 * @typedef {object} Violation
 * @property {'untagged' | 'edge' | 'testing' | 'undeclared' | 'not exported' | 'leaves the project' | 'core' | 'app' | 'graph'} rule
 * @property {string} where file and line, or package.json
 * @property {string} message
 */

/**
 * @param {string} root absolute folder of the workspace
 * @param {Project[]} projects
 * @param {ProjectGraph} graph
 * @returns {Violation[]}
 */
export function findViolations(root, projects, graph) {
  const layers = new Map(projects.map((project) => [project.name, layerOf(graph.nodes[project.name]?.data.tags)]));
  const violations = [];
  for (const project of projects) {
    const layer = layers.get(project.name);
    if (layer === undefined) {
      const known = Object.keys(ALLOWED_LAYERS).join(', ');
      const message = `${project.name} needs exactly one tag layer:NAME in nx.tags, NAME one of ${known}`;
      violations.push(violation('untagged', `${project.folder}/package.json`, message));
      continue;
    }
    violations.push(...edgeViolations(project, layer, layers, graph));
    violations.push(...importViolations(root, project, layer, layers, projects));
  }
  return violations;
}

/**
 * @param {Violation['rule']} rule
 * @param {string} where
 * @param {string} message
 * @returns {Violation}
 */
function violation(rule, where, message) {
  return { rule, where, message };
}

/** @param {string[] | undefined} tags */
function layerOf(tags) {
  const found = (tags ?? []).filter((tag) => tag.startsWith('layer:')).map((tag) => tag.slice('layer:'.length));
  return found.length === 1 && Object.hasOwn(ALLOWED_LAYERS, found[0]) ? found[0] : undefined;
}

/**
 * What package.json declares, as Nx sees it.
 * @param {Project} project
 * @param {string} layer
 * @param {Map<string, string | undefined>} layers
 * @param {ProjectGraph} graph
 */
function edgeViolations(project, layer, layers, graph) {
  const where = `${project.folder}/package.json`;
  const { dependencies = {}, devDependencies = {} } = project.manifest;
  const edges = new Set((graph.dependencies[project.name] ?? []).map(({ target }) => target).filter((target) => layers.has(target)));
  const violations = [];
  for (const name of [...Object.keys(dependencies), ...Object.keys(devDependencies)]) {
    if (layers.has(name) && !edges.has(name)) {
      violations.push(violation('graph', where, `${project.name} depends on ${name}, but Nx has no such edge: nx affected would miss it`));
    }
  }
  for (const target of edges) {
    const targetLayer = layers.get(target);
    if (targetLayer === undefined || ALLOWED_LAYERS[layer].includes(targetLayer)) continue;
    if (!TESTING_LAYERS.has(targetLayer)) {
      violations.push(violation('edge', where, `${project.name} (layer ${layer}) may not depend on ${target} (layer ${targetLayer})`));
    } else if (Object.hasOwn(dependencies, target)) {
      violations.push(
        violation('testing', where, `${project.name} may have ${target} in devDependencies only: production code never sees it`),
      );
    }
  }
  return violations;
}

/**
 * @param {string} root
 * @param {Project} project
 * @param {string} layer
 * @param {Map<string, string | undefined>} layers
 * @param {Project[]} projects
 */
function importViolations(root, project, layer, layers, projects) {
  const byName = new Map(projects.map((candidate) => [candidate.name, candidate]));
  /** @type {Map<string, { specifier: string, line: number }[]>} */
  const imports = new Map();
  for (const path of listFiles(join(root, project.folder)).filter(isSourceFile)) {
    imports.set(path, importsOf(path, readFileSync(join(root, project.folder, path), 'utf8')));
  }
  const production = productionFiles(project, imports);
  const violations = [];
  for (const [path, found] of imports) {
    /** @type {Importer} */
    const importer = { path, project, layer, production: production.has(path), core: production.has(path) && isCore(path, layer) };
    for (const { specifier, line } of found) {
      const wrong = specifier.startsWith('.')
        ? relativeViolation(importer, specifier)
        : packageViolation(importer, specifier, layers, byName);
      if (wrong) violations.push(violation(wrong.rule, `${project.folder}/${path}:${line}`, `"${specifier}" ${wrong.message}`));
    }
  }
  return violations;
}

/**
 * The files that are part of a program: what the project exports and starts, and all that these import. The rest is tests, what
 * only tests use, and scripts. A project without exports, as a web application, counts as a whole, but for its tests.
 * @param {Project} project
 * @param {Map<string, { specifier: string }[]>} imports by path
 * @returns {Set<string>}
 */
function productionFiles({ manifest }, imports) {
  const entries = [...Object.values(manifest.exports ?? {}), './src/main.ts'].map((entry) => posix.normalize(String(entry)));
  const pending = entries.filter((entry) => imports.has(entry));
  if (pending.length === 0) return new Set([...imports.keys()].filter((path) => !isTestFile(path)));
  /** @type {Set<string>} */
  const reached = new Set();
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    for (const { specifier } of imports.get(path) ?? []) {
      if (specifier.startsWith('.')) pending.push(posix.join(posix.dirname(path), specifier));
    }
  }
  return reached;
}

/**
 * @param {string} path
 * @param {string} layer
 */
function isCore(path, layer) {
  return CORE_LAYERS.has(layer) && path.startsWith('src/') && !path.startsWith('src/node/');
}

/**
 * @typedef {object} Importer the file that imports
 * @property {string} path relative to its project
 * @property {Project} project
 * @property {string} layer
 * @property {boolean} production
 * @property {boolean} core
 */

/**
 * @param {Importer} importer
 * @param {string} specifier
 * @returns {{ rule: Violation['rule'], message: string } | null}
 */
function relativeViolation({ path, core }, specifier) {
  const target = posix.join(posix.dirname(path), specifier);
  if (target.startsWith('..')) return { rule: 'leaves the project', message: 'leaves the project: import the other project by its name' };
  if (core && target.startsWith('src/node/')) return { rule: 'core', message: 'is an adapter: a core takes it from outside' };
  return null;
}

/**
 * @param {Importer} importer
 * @param {string} specifier
 * @param {Map<string, string | undefined>} layers
 * @param {Map<string, Project>} byName
 * @returns {{ rule: Violation['rule'], message: string } | null}
 */
function packageViolation({ project, layer, production, core }, specifier, layers, byName) {
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  const target = byName.get(name);
  if (!target || target === project) return null; // npm packages are Biome's to check (noUndeclaredDependencies)
  const subpath = specifier === name ? '.' : `.${specifier.slice(name.length)}`;
  const targetLayer = layers.get(name);
  const { dependencies = {}, devDependencies = {} } = project.manifest;
  if (!Object.hasOwn(dependencies, name) && !Object.hasOwn(devDependencies, name)) {
    return { rule: 'undeclared', message: `is not in ${project.folder}/package.json` };
  }
  if (production && !Object.hasOwn(dependencies, name) && !TESTING_LAYERS.has(layer)) {
    return { rule: 'testing', message: `is in devDependencies: production code can't use it` };
  }
  if (!Object.hasOwn(target.manifest.exports ?? {}, subpath)) {
    const exported = Object.keys(target.manifest.exports ?? {}).join(', ') || 'nothing';
    return { rule: 'not exported', message: `reaches into ${name}, which exports ${exported}` };
  }
  if (targetLayer === 'app' && subpath !== APP_EXPORT) {
    return { rule: 'app', message: `is more of an app than its configuration schema (${name}${APP_EXPORT.slice(1)})` };
  }
  if (core && subpath.startsWith('./node')) {
    return { rule: 'core', message: 'is an adapter: a core takes it from outside' };
  }
  return null;
}
