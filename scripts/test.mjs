// `npm test`: everything that CI checks, in stages, with the totals as its last line. With CI=true a skipped test is a failure.
import './lib/node-version.mjs';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { install, whyInstall } from './lib/install.mjs';
import { processesWithEnvironment, runGroup } from './lib/processes.mjs';
import { installSystemPackages, missingSystemPackages, whyNotInstallable } from './lib/system-packages.mjs';
import { countReport, summaryLine } from './lib/test-report.mjs';
import { ROOT } from './lib/workspace.mjs';

const CI = ['true', '1'].includes(process.env['CI'] ?? '');
const REPORTS = join(ROOT, '.cache/reports');
const ACCEPTANCE = join(ROOT, 'tools/acceptance');
const NX = join(ROOT, 'node_modules/nx/dist/bin/nx.js');
const BIOME = join(ROOT, 'node_modules/@biomejs/biome/bin/biome');
const VITEST = join(ROOT, 'node_modules/vitest/vitest.mjs');

/** No stage takes nearly as long, on a machine with other work to do neither: one that does hangs. */
const STAGE_TIMEOUT_MS = 40 * 60_000;

/** What stages leave running is found by this variable. Not RMR_…: a daemon refuses a variable of that prefix that it does not know. */
const MARK = { name: 'TEST_RUN_ID', value: `${process.pid}-${Date.now()}` };

/** How long processes that a stage started may take to end after it. */
const LEFTOVER_GRACE_MS = 5000;

/** @type {import('./lib/test-report.mjs').Totals} */
const totals = { passed: 0, failed: [], skipped: [] };
/** @type {{ name: string, ms: number, ok: boolean }[]} */
const shares = [];

/**
 * Runs one stage, counts it and remembers its time. A stage that throws has failed.
 * @param {string} name
 * @param {() => Promise<import('./lib/test-report.mjs').Totals>} action
 */
async function stage(name, action) {
  console.log(`\n── ${name}`);
  const startedMs = performance.now();
  /** @type {import('./lib/test-report.mjs').Totals} */
  let counted;
  try {
    counted = await action();
  } catch (error) {
    counted = { passed: 0, failed: [`${name}: ${error instanceof Error ? error.message : error}`], skipped: [] };
  }
  const leftovers = await endLeftovers();
  if (leftovers.length > 0) counted.failed.push(`${name}: left running: ${leftovers.join('; ')}`);
  totals.passed += counted.passed;
  totals.failed.push(...counted.failed);
  totals.skipped.push(...counted.skipped);
  const ok = counted.failed.length === 0 && !(CI && counted.skipped.length > 0);
  shares.push({ name, ms: performance.now() - startedMs, ok });
  return ok;
}

/**
 * Waits for the processes of the stage to end, and ends those that don't.
 * @returns {Promise<string[]>} the commands that had to be ended
 */
async function endLeftovers() {
  const deadlineMs = performance.now() + LEFTOVER_GRACE_MS;
  while (processesWithEnvironment(MARK).length > 0 && performance.now() < deadlineMs)
    await new Promise((resolve) => setTimeout(resolve, 100));
  return killLeftovers();
}

/** @returns {string[]} the commands of those that were killed */
function killLeftovers() {
  const found = processesWithEnvironment(MARK);
  for (const { pid } of found) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
  return found.map(({ pid, command }) => `${command.slice(0, 100)} (${pid})`);
}

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<number>} exit code
 */
async function run(command, args, cwd = ROOT) {
  const env = {
    ...process.env,
    NX_DAEMON: 'false',
    NX_NO_CLOUD: 'true',
    NX_TUI: 'false',
    NEXT_TELEMETRY_DISABLED: '1',
  };
  const { code, timedOut } = await runGroup(command, args, { cwd, env, mark: MARK, timeoutMs: STAGE_TIMEOUT_MS });
  if (timedOut) throw new Error(`ended after ${STAGE_TIMEOUT_MS / 60_000} minutes without a result`);
  return code;
}

/**
 * A stage that is one check: a command that succeeds or doesn't.
 * @param {string} name
 * @param {string[]} args of node
 */
function check(name, args) {
  return stage(name, async () => {
    const code = await run(process.execPath, args);
    return code === 0 ? { passed: 1, failed: [], skipped: [] } : { passed: 0, failed: [`${name}: code ${code}`], skipped: [] };
  });
}

/**
 * @param {string} name
 * @param {string} report file name
 * @param {string[]} args of vitest
 */
function tests(name, report, args, cwd = ROOT) {
  return stage(name, async () => {
    const path = join(REPORTS, report);
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${path}`];
    const code = await run(process.execPath, [VITEST, 'run', ...args, ...reporters], cwd);
    return countReport(path, { name, code });
  });
}

/** npm packages, without which nothing runs, and system packages, without which real-client tests are skipped. */
async function prepare() {
  const why = whyInstall();
  if (why !== null) {
    console.log(`Installing npm packages: ${why}`);
    const { ok, output } = await install();
    if (!ok) {
      console.error(output);
      return false;
    }
  }
  const missing = missingSystemPackages();
  if (missing.length === 0) return true;
  const obstacle = whyNotInstallable();
  if (obstacle !== null) {
    console.log(`Missing system packages (${obstacle}): ${missing.join(' ')}. Tests that need them are skipped.`);
    return true;
  }
  console.log(`Installing system packages: ${missing.join(' ')}`);
  const { ok, output } = await installSystemPackages(missing);
  if (!ok) console.log(`${output}\nStill missing: ${missingSystemPackages().join(' ') || 'none'}. Tests that need them are skipped.`);
  return true;
}

function report() {
  console.log('');
  const totalMs = shares.reduce((sum, { ms }) => sum + ms, 0);
  for (const { name, ms, ok } of shares) {
    console.log(
      `${ok ? '✓' : '✗'} ${name.padEnd(20)} ${(ms / 1000).toFixed(1).padStart(7)} s ${Math.round((100 * ms) / totalMs)
        .toString()
        .padStart(4)} %`,
    );
  }
  for (const name of totals.failed) console.log(`failed: ${name}`);
  for (const name of totals.skipped) console.log(`skipped${CI ? ' (a failure in CI)' : ''}: ${name}`);
  const ok = shares.every((share) => share.ok);
  console.log(summaryLine(totals, { ci: CI }));
  process.exitCode = ok ? 0 : 1;
}

async function main() {
  rmSync(REPORTS, { recursive: true, force: true });
  mkdirSync(REPORTS, { recursive: true });
  const prepared = await stage('packages', async () => {
    if (await prepare()) return { passed: 0, failed: [], skipped: [] };
    return { passed: 0, failed: ['packages: npm packages can not be installed'], skipped: [] };
  });
  if (!prepared) return report();
  await check('boundaries', ['scripts/check-boundaries.mjs']);
  await check('tidy', ['scripts/tidy.mjs']);
  // In one go: as a target of each project it reads the manifests of all of them fifteen times
  await check('lint', [BIOME, 'check']);
  await check('typecheck', [NX, 'run-many', '-t', 'typecheck', '--outputStyle=static']);
  const built = await check('build', [NX, 'run-many', '-t', 'build', '--outputStyle=static']);
  // No test depends on speed: the bound only ends what hangs, on the busiest machine too.
  await tests('unit tests', 'unit.json', ['--config', 'scripts/unit-tests.config.ts', '--testTimeout=120000', '--hookTimeout=120000']);
  if (built) await check('simulator', ['scripts/simulate.mjs']);
  if (existsSync(ACCEPTANCE)) {
    if (built) await tests('real-client tests', 'acceptance.json', [], ACCEPTANCE);
    else totals.failed.push('real-client tests: not run, the build failed');
  }
  if (built) {
    const chaos = ['scripts/run.mjs', 'chaos', '--minutes'];
    await check('chaos', [...chaos, '2', '--replicas', '3']);
    // Every role there is, and a majority that decides.
    await check('chaos, witness', [...chaos, '1', '--replicas', '2', '--quorum', 'majority', '--witness']);
  }
  return report();
}

process.on('exit', killLeftovers); // when a signal ends this in the middle of a stage

main().catch((error) => {
  console.error(error);
  totals.failed.push(`npm test itself: ${error instanceof Error ? error.message : error}`);
  shares.push({ name: 'npm test', ms: 0, ok: false });
  report();
});
