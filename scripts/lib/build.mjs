// What has to be built before a tool runs, and building it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { buildBundle, isBundleFresh } from './bundles.mjs';
import { buildWeb, WEB_FOLDER } from './web-build.mjs';
import { dependencyClosure, listProjects, ROOT } from './workspace.mjs';

/** @typedef {{ folder: string, build: () => Promise<void> }} StaleProgram */

/**
 * The programs that have to be built before the tool can run: its own bundle, those of the daemons and tools that it depends on
 * and, if wanted, the web application. Takes milliseconds when nothing is stale.
 * @param {string} tool folder below tools/
 * @param {{ web: boolean }} options
 * @returns {StaleProgram[]}
 */
export function stalePrograms(tool, options) {
  const projects = listProjects();
  const own = projects.find((project) => project.folder === `tools/${tool}`);
  if (!own || !existsSync(join(ROOT, own.folder, 'src/main.ts'))) throw new Error(`tools/${tool} is no tool: it has no src/main.ts`);
  /** @type {StaleProgram[]} */
  const stale = dependencyClosure(own.name, projects)
    .filter((project) => existsSync(join(ROOT, project.folder, 'src/main.ts')) && !isBundleFresh(project.folder))
    .map(({ folder }) => ({ folder, build: () => buildBundle(folder).then(() => undefined) }));
  if (options.web && !isBundleFresh(WEB_FOLDER)) stale.push({ folder: WEB_FOLDER, build: () => buildWebQuietly(WEB_FOLDER) });
  return stale;
}

/** @param {string} folder */
async function buildWebQuietly(folder) {
  const { ok, output } = await buildWeb({ stdio: 'capture' });
  if (!ok) throw new Error(`${folder}: ${output}`);
}
