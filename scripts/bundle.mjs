// `node ../../scripts/bundle.mjs` in a project's folder: src/main.ts → dist/main.mjs.
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { buildBundle } from './lib/bundles.mjs';
import { ROOT } from './lib/workspace.mjs';

const startedMs = performance.now();
const folder = relative(ROOT, process.cwd());
if (!existsSync(join(process.cwd(), 'src/main.ts'))) {
  console.error(`bundle: ${folder || '.'} has no src/main.ts: run this in the folder of a daemon or tool`);
  process.exit(1);
}
try {
  const { bytes } = await buildBundle(folder);
  console.log(`${folder}/dist/main.mjs  ${Math.round(bytes / 1024)} KiB  ${Math.round(performance.now() - startedMs)} ms`);
} catch (error) {
  console.error(`bundle: ${folder} failed: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}
