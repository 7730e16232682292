// `node scripts/check-boundaries.mjs [--root FOLDER]`: fails when a project depends on one that it may not see. See lib/boundaries.mjs.
import './lib/node-version.mjs';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { findViolations } from './lib/boundaries.mjs';
import { listProjects, ROOT, readJson } from './lib/workspace.mjs';

/**
 * @param {string} root
 * @returns {import('./lib/boundaries.mjs').ProjectGraph}
 */
function nxGraph(root) {
  const folder = mkdtempSync(join(tmpdir(), 'rmr-graph-'));
  try {
    const file = join(folder, 'graph.json');
    const env = { ...process.env, NX_DAEMON: 'false', NX_NO_CLOUD: 'true', NX_WORKSPACE_ROOT_PATH: root };
    const nx = join(ROOT, 'node_modules/nx/dist/bin/nx.js');
    execFileSync(process.execPath, [nx, 'graph', `--file=${file}`], { cwd: root, env, encoding: 'utf8', stdio: 'pipe' });
    return readJson(file).graph;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function main() {
  const args = process.argv.slice(2);
  if (args.length !== 0 && !(args.length === 2 && args[0] === '--root')) {
    console.error('Usage: node scripts/check-boundaries.mjs [--root FOLDER]');
    process.exit(2);
  }
  const root = resolve(args[1] ?? ROOT);
  const projects = listProjects(root);
  const violations = findViolations(root, projects, nxGraph(root));
  for (const { where, rule, message } of violations) console.error(`${where}  [${rule}]  ${message}`);
  console.log(`boundaries: ${projects.length} projects, ${violations.length} violations`);
  if (violations.length > 0) process.exit(1);
}

main();
