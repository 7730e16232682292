// `npm start`: from a fresh clone to a running demo cluster in the foreground. Further arguments go to `cluster up`.
import './lib/node-version.mjs';
import { join } from 'node:path';
import { buildFor } from './lib/build.mjs';
import { install, whyInstall } from './lib/install.mjs';
import { become } from './lib/processes.mjs';
import { step } from './lib/progress.mjs';
import { ROOT } from './lib/workspace.mjs';

const DATA_FOLDER = '.rmr';

async function main() {
  const args = process.argv.slice(2);
  const why = whyInstall();
  if (why !== null) {
    await step(`Installing npm packages (${why})`, async () => {
      const { ok, output } = await install();
      if (!ok) throw new Error(output);
    });
  }
  await buildFor('cluster', { web: !args.includes('--no-web'), step: (folder, build) => step(`Building ${folder}`, build) });
  const folder = args.some((argument) => argument === '--dir' || argument.startsWith('--dir=')) ? [] : ['--dir', join(ROOT, DATA_FOLDER)];
  return become(process.execPath, [join(ROOT, 'tools/cluster/dist/main.mjs'), 'up', ...folder, ...args]);
}

main().catch((error) => {
  console.error(`\n${(error instanceof Error ? error.message : String(error)).trimEnd()}`);
  process.exit(1);
});
