// npm packages: present and those of the lock file? If not, install them. Node built-ins only.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lock } from './lock.mjs';
import { runGroup } from './processes.mjs';
import { ROOT } from './workspace.mjs';

/**
 * @typedef {{ version?: string, link?: boolean, optional?: boolean }} LockedPackage
 */

/**
 * Why the packages have to be installed, or null when what is installed is what the lock file says. npm writes its own list of
 * what it installed as its last step, so that an interrupted installation is seen too.
 * @param {string} [root]
 * @returns {string | null}
 */
export function whyInstall(root = ROOT) {
  const wanted = readPackages(join(root, 'package-lock.json'));
  if (wanted === null) throw new Error('package-lock.json is missing or damaged: restore it with `git checkout package-lock.json`');
  const installed = readPackages(join(root, 'node_modules/.package-lock.json'));
  if (installed === null) return 'not installed yet';
  for (const [path, entry] of Object.entries(wanted)) {
    if (!path.includes('node_modules/')) continue; // the workspace's own projects
    const present = installed[path];
    if (!present) {
      if (entry.optional) continue; // for another platform
      return `${path} is missing`;
    }
    if (!entry.link && present.version !== entry.version) return `${path} is ${present.version}, wanted is ${entry.version}`;
  }
  return null;
}

/**
 * @param {string} path
 * @returns {Record<string, LockedPackage> | null}
 */
function readPackages(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return null; // absent or cut off: the caller says what that means
  }
}

/**
 * Installs what is missing. A folder without packages gets exactly the lock file's; one that has some is brought up to date in
 * place, which is faster. No package's install script runs: those that carry native code ship it in their package.
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
export async function install() {
  const release = await lock('install');
  try {
    if (whyInstall() === null) return { ok: true, output: '' }; // another command did it while this one waited
    const verb = existsSync(join(ROOT, 'node_modules')) ? 'install' : 'ci';
    const args = [verb, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    const { code, output } = await runGroup('npm', args, { cwd: ROOT, stdio: 'capture' });
    if (code !== 0) return { ok: false, output: `npm ${args.join(' ')} failed:\n${output}` };
    const why = whyInstall();
    return why === null
      ? { ok: true, output }
      : { ok: false, output: `npm ${verb} ended well, and yet ${why}: delete node_modules and try again` };
  } finally {
    release();
  }
}
