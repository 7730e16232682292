// The simulator's share of CI: seeds that are always the same, and others with every commit. Those come from the commit's
// name, so that a run can be repeated: what fails here fails again, and fails on any other machine.
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from './lib/workspace.mjs';

const FIXED = '1..150';
const FRESH_COUNT = 150;

/** The first fresh seed: of the commit that is checked out, or where there is no repository, of the hour. */
function firstFresh() {
  try {
    const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return Number.parseInt(commit.slice(0, 8), 16);
  } catch {
    return Math.floor(Date.now() / 3_600_000);
  }
}

const first = firstFresh();
let failed = false;
for (const seeds of [FIXED, `${first}..${first + FRESH_COUNT - 1}`]) {
  console.log(`seeds ${seeds}`);
  const args = [join(ROOT, 'tools/sim/dist/main.mjs'), '--seeds', seeds];
  if (spawnSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit' }).status !== 0) {
    failed = true;
    console.log('to look at one: npm run -s sim -- --seed N --trace (CONTRIBUTING.md says how)');
  }
}
process.exitCode = failed ? 1 : 0;
