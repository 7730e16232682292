// What the repository holds: its root, its projects (npm workspaces) and who depends on whom. Node built-ins only.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the repository, absolute. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/**
 * @typedef {object} Manifest the parts of a package.json that the scripts read
 * @property {string} name
 * @property {string} version
 * @property {string[]} [workspaces]
 * @property {Record<string, string>} [scripts]
 * @property {Record<string, string>} [dependencies]
 * @property {Record<string, string>} [devDependencies]
 * @property {Record<string, unknown>} [exports]
 * @property {{ tags?: string[] }} [nx]
 *
 * @typedef {object} Project
 * @property {string} name as in its package.json, e.g. `@rmr/rtrs`
 * @property {string} folder relative to the root, e.g. `libs/rtrs`
 * @property {Manifest} manifest
 */

/**
 * @param {string} path absolute
 * @returns {any}
 */
export function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} can't be read: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * All projects of the workspace, sorted by folder. Understands the two forms that the root package.json uses: `folder` and `folder/*`.
 * @param {string} [root]
 * @returns {Project[]}
 */
export function listProjects(root = ROOT) {
  const folders = [];
  for (const pattern of readJson(join(root, 'package.json')).workspaces ?? []) {
    if (!pattern.endsWith('/*')) {
      folders.push(pattern);
      continue;
    }
    const parent = pattern.slice(0, -2);
    for (const entry of readdirSync(join(root, parent), { withFileTypes: true })) {
      if (entry.isDirectory()) folders.push(`${parent}/${entry.name}`);
    }
  }
  const projects = [];
  for (const folder of folders.sort()) {
    let text;
    try {
      text = readFileSync(join(root, folder, 'package.json'), 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') continue; // what a removed project left behind
      throw error;
    }
    const manifest = JSON.parse(text);
    projects.push({ name: manifest.name, folder, manifest });
  }
  return projects;
}

/**
 * The project itself and every project that it needs to run, directly or not (`dependencies`, not `devDependencies`).
 * @param {string} name
 * @param {Project[]} projects
 * @returns {Project[]}
 */
export function dependencyClosure(name, projects) {
  const byName = new Map(projects.map((project) => [project.name, project]));
  /** @type {Set<Project>} */
  const closure = new Set();
  const pending = [name];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const project = byName.get(next);
    if (!project || closure.has(project)) continue;
    closure.add(project);
    pending.push(...Object.keys(project.manifest.dependencies ?? {}));
  }
  return [...closure];
}
