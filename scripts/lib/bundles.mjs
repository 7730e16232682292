// Bundles of the daemons and tools: one file per program, built by esbuild, rebuilt only when one of its inputs changed.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ROOT, readJson } from './workspace.mjs';

/** Stay outside bundles: they carry native code or, for next, run from their own folder. */
export const EXTERNAL_PACKAGES = ['@node-rs/crc32', 'esbuild', 'koffi', 'next'];

/** Bundled CommonJS packages (pino) expect these names, which an ES module doesn't have. */
const COMMONJS_BANNER = [
  "import { createRequire as __createRequire } from 'node:module';",
  "import { dirname as __pathDirname } from 'node:path';",
  "import { fileURLToPath as __fileURLToPath } from 'node:url';",
  'const require = __createRequire(import.meta.url);',
  'const __filename = __fileURLToPath(import.meta.url);',
  'const __dirname = __pathDirname(__filename);',
].join(' ');

const STAMP = 'inputs.json';

/**
 * `0.1.0`, and behind a `+` what git calls the commit, where the sources are a git checkout: `0.1.0+g1a2b3c4-dirty`.
 * @param {string} version
 */
export function versionString(version) {
  try {
    const described = execFileSync('git', ['describe', '--always', '--dirty', '--exclude=*'], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 5000,
    });
    return `${version}+g${described.trim()}`;
  } catch {
    return version; // no git, or no checkout: a tarball has only its version
  }
}

/**
 * True when the bundle exists and every file that went into it is as it was then. Costs one stat per input.
 * @param {string} folder the project's, relative to the root
 */
export function isBundleFresh(folder) {
  let stamp;
  try {
    stamp = JSON.parse(readFileSync(join(ROOT, folder, 'dist', STAMP), 'utf8'));
    statSync(join(ROOT, folder, 'dist/main.mjs'));
  } catch {
    return false; // never built, or the build was interrupted
  }
  return Object.entries(stamp).every(([path, signature]) => fileSignature(path) === signature);
}

/** @param {string} path relative to the root */
function fileSignature(path) {
  const stat = statSync(join(ROOT, path), { throwIfNoEntry: false });
  return stat ? `${stat.mtimeMs} ${stat.size}` : 'missing';
}

/**
 * Builds `src/main.ts` of the project into `dist/main.mjs` with its source map. Files are replaced by renaming, so that a program
 * that is being started sees the old bundle or the new one.
 * @param {string} folder relative to the root
 * @returns {Promise<{ bytes: number }>}
 */
export async function buildBundle(folder) {
  const { build, formatMessages } = await import('esbuild');
  const project = join(ROOT, folder);
  const manifest = readJson(join(project, 'package.json'));
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: [`${folder}/src/main.ts`],
    outfile: `${folder}/dist/main.mjs`,
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: true,
    external: EXTERNAL_PACKAGES,
    banner: { js: COMMONJS_BANNER },
    define: { 'process.env.RMR_VERSION': JSON.stringify(versionString(manifest.version)) },
    logLevel: 'silent', // what fails is in the error, with file and line
  });
  for (const line of await formatMessages(result.warnings, { kind: 'warning' })) console.error(line);
  // Packages change only with the lock file; the workspace's own sources are watched one by one.
  const inputs = Object.keys(result.metafile.inputs).filter(
    (path) => !path.startsWith('node_modules/') && !path.includes('/node_modules/'),
  );
  for (const path of new Set(inputs.map((path) => path.split('/').slice(0, 2).join('/')))) inputs.push(`${path}/package.json`);
  inputs.push('package-lock.json', relative(ROOT, import.meta.filename));
  const dist = join(project, 'dist');
  mkdirSync(dist, { recursive: true });
  rmSync(join(dist, STAMP), { force: true });
  let bytes = 0;
  for (const file of result.outputFiles) {
    replaceFile(file.path, file.contents);
    if (file.path.endsWith('.mjs')) bytes = file.contents.length;
  }
  writeStamp(dist, inputs);
  return { bytes };
}

/** Ends the process that esbuild keeps for further builds: for commands that live on. */
export async function endBuilding() {
  const { stop } = await import('esbuild');
  await stop();
}

/**
 * Remembers beside a built program what it was built from, for {@link isBundleFresh}.
 * @param {string} dist absolute
 * @param {string[]} inputs relative to the root
 */
export function writeStamp(dist, inputs) {
  replaceFile(join(dist, STAMP), `${JSON.stringify(Object.fromEntries(inputs.map((path) => [path, fileSignature(path)])), null, 1)}\n`);
}

/**
 * @param {string} path
 * @param {string | Uint8Array} contents
 */
function replaceFile(path, contents) {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, contents);
  renameSync(temporary, path);
}
