// What has to be built before a tool runs, and building it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { buildBundle, endBuilding, isBundleFresh } from './bundles.mjs';
import { buildWeb, WEB_FOLDER } from './web-build.mjs';
import { dependencyClosure, listProjects, ROOT } from './workspace.mjs';

/**
 * Builds what has to be built before the tool can run: its own bundle, those of the daemons and tools that it depends on and, if
 * wanted, the web application. Takes milliseconds when nothing is stale.
 * @param {string} tool folder below tools/
 * @param {{ web: boolean, step: (name: string, action: () => Promise<void>) => Promise<void> }} options `step` carries out each build
 */
export async function buildFor(tool, options) {
  const projects = listProjects();
  const own = projects.find((project) => project.folder === `tools/${tool}`);
  if (!own || !isProgram(own.folder)) throw new Error(`tools/${tool} is no tool: it has no src/main.ts`);
  const stale = dependencyClosure(own.name, projects).filter(({ folder }) => isProgram(folder) && !isBundleFresh(folder));
  for (const { folder } of stale) await options.step(folder, async () => void (await buildBundle(folder)));
  if (stale.length > 0) await endBuilding();
  if (options.web && !isBundleFresh(WEB_FOLDER)) await options.step(WEB_FOLDER, () => buildWebQuietly(WEB_FOLDER));
}

/** @param {string} folder */
function isProgram(folder) {
  return existsSync(join(ROOT, folder, 'src/main.ts'));
}

/** @param {string} folder */
async function buildWebQuietly(folder) {
  const { ok, output } = await buildWeb({ stdio: 'capture' });
  if (!ok) throw new Error(`${folder}: ${output}`);
}
