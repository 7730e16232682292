// The web application: built by Next.js, then put together in apps/web/dist so that `node apps/web/dist/main.mjs` runs it.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { isBundleFresh, versionString, writeStamp } from './bundles.mjs';
import { lock } from './lock.mjs';
import { runGroup } from './processes.mjs';
import { dependencyClosure, listProjects, ROOT, readJson } from './workspace.mjs';

export const WEB_FOLDER = 'apps/web';

const IGNORED_FOLDERS = new Set(['node_modules', 'dist', '.next', 'coverage']);
const IGNORED_FILES = /\.test\.tsx?$|\.md$|^next-env\.d\.ts$/;

/**
 * Builds the web application, unless another command has just done so.
 * @param {{ stdio: 'inherit' | 'capture' }} options
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
export async function buildWeb(options) {
  const release = await lock('web-build');
  try {
    return isBundleFresh(WEB_FOLDER) ? { ok: true, output: '' } : await build(options);
  } finally {
    release();
  }
}

/**
 * @param {{ stdio: 'inherit' | 'capture' }} options
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
async function build(options) {
  const web = join(ROOT, WEB_FOLDER);
  const dist = join(web, 'dist');
  const inputs = webInputs(); // before the build: what changes meanwhile makes the result stale
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: /** @type {const} */ ('production') };
  const next = join(ROOT, 'node_modules/next/dist/bin/next');
  const { code, output } = await runGroup(process.execPath, [next, 'build'], { cwd: web, env, stdio: options.stdio });
  if (code !== 0) return { ok: false, output };
  const staged = `${dist}.${process.pid}.tmp`;
  const standalone = join(web, '.next/standalone', WEB_FOLDER);
  rmSync(staged, { recursive: true, force: true });
  mkdirSync(staged, { recursive: true });
  // Without the copy of node_modules that Next makes: here the repository's serve, in an image the copy is added
  cpSync(standalone, join(staged, 'app'), {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => path !== join(standalone, 'node_modules'),
  });
  cpSync(join(web, '.next/static'), join(staged, 'app/.next/static'), { recursive: true });
  relinkPackages(join(staged, 'app/.next/node_modules'), join(dist, 'app/.next/node_modules'));
  const version = versionString(readJson(join(web, 'package.json')).version);
  const launcher = readFileSync(join(web, 'launch.mjs'), 'utf8').replaceAll("process.env['RMR_VERSION']", JSON.stringify(version));
  writeFileSync(join(staged, 'main.mjs'), launcher);
  writeStamp(staged, inputs);
  rmSync(dist, { recursive: true, force: true });
  renameSync(staged, dist);
  return { ok: true, output };
}

/**
 * Next links the packages that it leaves unbundled by a path relative to where it built them; they are in a deeper folder now.
 * @param {string} folder absolute; holds links and folders of links
 * @param {string} finalFolder where it will be
 */
function relinkPackages(folder, finalFolder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    const finalPath = join(finalFolder, entry.name);
    if (entry.isDirectory()) relinkPackages(path, finalPath);
    if (!entry.isSymbolicLink()) continue;
    const name = readlinkSync(path).split('/node_modules/').at(-1) ?? '';
    rmSync(path);
    symlinkSync(relative(dirname(finalPath), join(ROOT, 'node_modules', name)), path);
  }
}

/** The files that the build depends on, and the folders of the pages, where a new file is a new page; relative to the root. */
function webInputs() {
  const own = dependencyClosure('@rmr/web', listProjects()).flatMap(({ folder }) => filesBelow(folder));
  const folders = own.filter((path) => path.startsWith(`${WEB_FOLDER}/src/`)).map(dirname);
  return [...new Set([...own, ...folders, 'package-lock.json', 'tsconfig.base.json', 'scripts/lib/web-build.mjs'])];
}

/**
 * @param {string} folder relative to the root
 * @returns {string[]}
 */
function filesBelow(folder) {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory())
      return IGNORED_FOLDERS.has(entry.name) || entry.name.startsWith('dist.') ? [] : filesBelow(`${folder}/${entry.name}`);
    return IGNORED_FILES.test(entry.name) ? [] : [`${folder}/${entry.name}`];
  });
}
