// npm packages: present and those of the lock file? If not, install them. Node built-ins only.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
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
  const release = await lock(join(ROOT, '.cache/install.lock'));
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

/**
 * Waits until this process alone holds the lock. A lock whose owner is gone is taken over.
 * @param {string} path
 * @returns {Promise<() => void>} releases it
 */
async function lock(path) {
  mkdirSync(dirname(path), { recursive: true });
  for (;;) {
    try {
      writeFileSync(path, `${process.pid}`, { flag: 'wx' });
      return () => rmSync(path, { force: true });
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    const owner = Number(existsSync(path) ? readFileSync(path, 'utf8') : 0);
    if (owner > 0 && !isAlive(owner)) rmSync(path, { force: true });
    else await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
