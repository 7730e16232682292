// `node scripts/run.mjs TOOL …`: runs a tool of tools/ with what it needs installed and built. Standard output is the tool's alone.
import './lib/node-version.mjs';
import { join } from 'node:path';
import { buildFor } from './lib/build.mjs';
import { install, whyInstall } from './lib/install.mjs';
import { become } from './lib/processes.mjs';
import { ROOT } from './lib/workspace.mjs';

/** @param {string} message */
function fail(message) {
  console.error(message.trimEnd());
  process.exit(1);
}

async function main() {
  const [tool, ...args] = process.argv.slice(2);
  if (!tool) return fail('Usage: node scripts/run.mjs TOOL [ARGUMENT …], where TOOL is a folder of tools/');
  const why = whyInstall();
  if (why !== null) {
    console.error(`Installing npm packages: ${why}`);
    const { ok, output } = await install();
    if (!ok) return fail(output);
  }
  // Only `cluster up` starts the web application, whose build takes a while
  const web = tool === 'cluster' && args[0] === 'up' && !args.includes('--no-web') && !args.includes('--help');
  await buildFor(tool, { web, step: (_folder, build) => build() });
  return become(process.execPath, [join(ROOT, 'tools', tool, 'dist/main.mjs'), ...args]);
}

main().catch((error) => fail(error instanceof Error ? error.message : String(error)));
