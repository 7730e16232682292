import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { describeDeath, killProcess, type Launched, launch, logTail, stopProcess } from './node-process.ts';
import { processState, signalProcess } from './process-identity.ts';

/** Generous: nothing depends on it unless something is broken. */
const WAIT = { timeout: 30_000 };

const folder = mkdtempSync(join(tmpdir(), 'rmr-process-'));
afterAll(() => rmSync(folder, { recursive: true }));

const started: Launched[] = [];
afterEach(async () => {
  for (const process of started.splice(0)) await killProcess(process.identity);
});

async function run(name: string, script: string): Promise<Launched> {
  const program = join(folder, `${name}.mjs`);
  writeFileSync(program, script);
  const launched = await launch({ name, program, args: ['argument'], directory: folder, logPath: join(folder, 'logs', `${name}.log`) });
  started.push(launched);
  return launched;
}

function log(name: string): string {
  return readFileSync(join(folder, 'logs', `${name}.log`), 'utf8');
}

test('a process runs in its directory with its arguments, and its output is in its log', async () => {
  await run('speaker', 'console.log(process.cwd(), process.argv[2]); console.error("and errors");');
  await expect.poll(() => log('speaker'), WAIT).toBe(`${folder} argument\nand errors\n`);
});

test('a log is continued at the next start', async () => {
  await run('again', 'console.log("one");');
  await expect.poll(() => log('again'), WAIT).toBe('one\n');
  await run('again', 'console.log("two");');
  await expect.poll(() => log('again'), WAIT).toBe('one\ntwo\n');
});

test('variables of our prefix do not reach the process', async () => {
  process.env['RMR_LOG_LEVEL'] = 'debug';
  try {
    await run(
      'environment',
      'console.log(Object.keys(process.env).filter((name) => name.startsWith("RMR_")).length, "PATH" in process.env);',
    );
  } finally {
    delete process.env['RMR_LOG_LEVEL'];
  }
  await expect.poll(() => log('environment'), WAIT).toBe('0 true\n');
});

test('the death of a process is told with its exit code and the last lines of its log', async () => {
  const launched = await run('dies', 'for (let i = 1; i <= 100; i++) console.log("line " + i); process.exit(6);');
  await expect.poll(() => launched.child.exitCode, WAIT).toBe(6);
  const text = describeDeath(launched);
  expect(text).toContain('dies ended with exit code 6. The last lines of ');
  expect(text).toContain('  line 100');
  expect(text).not.toContain('line 80');
});

test('the death by a signal names the signal', async () => {
  const launched = await run('killed', 'setInterval(() => {}, 1e9);');
  expect(await killProcess(launched.identity)).toBe(true);
  expect(await killProcess(launched.identity)).toBe(false);
  await expect.poll(() => launched.child.signalCode, WAIT).toBe('SIGKILL');
  expect(describeDeath(launched)).toContain('killed was ended by SIGKILL');
});

test('a process that stops when asked is stopped, also when it is paused', async () => {
  const script = 'process.on("SIGTERM", () => process.exit(0)); setInterval(() => {}, 1e9); console.log("up");';
  const launched = await run('polite', script);
  await expect.poll(() => log('polite'), WAIT).toBe('up\n');
  signalProcess(launched.identity, 'SIGSTOP');
  await expect.poll(() => processState(launched.identity), WAIT).toBe('paused');
  expect(await stopProcess(launched.identity)).toBe('stopped');
  expect(await stopProcess(launched.identity)).toBeNull();
});

test('the tail of a log is bounded, however long its lines are', () => {
  const path = join(folder, 'long.log');
  writeFileSync(path, `${'x'.repeat(500_000)}\nend\n`);
  expect(logTail(path).length).toBeLessThan(70_000);
  expect(logTail(path)).toMatch(/ {2}end$/);
});
