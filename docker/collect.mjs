// `node docker/collect.mjs APP FOLDER`: puts into FOLDER what the image of a daemon needs to run and nothing else: its bundle, and
// the packages with native code that stay outside of bundles, as far as the bundle uses them.
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXTERNAL_PACKAGES } from '../scripts/lib/bundles.mjs';
import { ROOT, readJson } from '../scripts/lib/workspace.mjs';

const [app, output] = process.argv.slice(2);
if (!app || !output) {
  console.error('Usage: node docker/collect.mjs APP FOLDER, for example: node docker/collect.mjs apps/storage-node /image');
  process.exit(1);
}

/** @param {string} name a package; its own optional packages carry the binaries of this platform */
function copyPackage(name) {
  const folder = join(ROOT, 'node_modules', name);
  if (!existsSync(folder)) return; // for another platform
  cpSync(folder, join(output, 'node_modules', name), { recursive: true, dereference: true });
  const { dependencies = {}, optionalDependencies = {} } = readJson(join(folder, 'package.json'));
  for (const needed of Object.keys({ ...dependencies, ...optionalDependencies })) copyPackage(needed);
}

const bundle = join(ROOT, app, 'dist/main.mjs');
mkdirSync(join(output, 'dist'), { recursive: true });
cpSync(bundle, join(output, 'dist/main.mjs'));
cpSync(`${bundle}.map`, join(output, 'dist/main.mjs.map'));
const text = readFileSync(bundle, 'utf8');
for (const name of EXTERNAL_PACKAGES) {
  if (text.includes(` from "${name}"`) || text.includes(`require("${name}")`)) copyPackage(name);
}
