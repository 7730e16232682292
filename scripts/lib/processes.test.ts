import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { processesWithEnvironment, runGroup } from './processes.mjs';

const PROCESSES = join(import.meta.dirname, 'processes.mjs');
const WAIT = { timeout: 30_000, interval: 20 };

let folder: string;
const started: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rmr-processes-'));
});

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

function isAlive(pid: number): boolean {
  try {
    // A process that has ended but that nobody has waited for is not alive
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** A process that calls `code` with the module's functions. */
function node(code: string): ChildProcess {
  const child = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    `import { become, runGroup } from ${JSON.stringify(PROCESSES)};\n${code}`,
  ]);
  started.push(child);
  return child;
}

/** A shell script that writes its process id and that of a child of its own, and stays. `trap` is what it does on SIGTERM. */
function stayingScript(trap: string): { code: string; pids: () => Promise<number[]> } {
  const file = join(folder, 'pids');
  const script = `${trap}\nsleep 600 &\necho $$ $! > ${file}\nwait\nwait`;
  const read = () => {
    try {
      return readFileSync(file, 'utf8').trim().split(' ').map(Number);
    } catch {
      return [];
    }
  };
  return {
    code: `'sh', ['-c', ${JSON.stringify(script)}]`,
    async pids() {
      await expect.poll(read, WAIT).toHaveLength(2);
      return read();
    },
  };
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('exit', resolve));
}

test('a group reports code and both outputs of its program', async () => {
  expect(await runGroup('sh', ['-c', 'echo out; echo err >&2; exit 3'], { stdio: 'capture' })).toMatchObject({
    code: 3,
    timedOut: false,
    output: expect.stringMatching(/out[\s\S]*err|err[\s\S]*out/),
  });
});

test('a program that is not there is code 127 with a message', async () => {
  expect(await runGroup('no-such-program-anywhere', [], { stdio: 'capture' })).toMatchObject({
    code: 127,
    output: expect.stringContaining('no-such-program-anywhere'),
  });
});

test('a program that a signal ended has the code that a shell gives it', async () => {
  expect(await runGroup('sh', ['-c', 'kill -TERM $$'], { stdio: 'capture' })).toMatchObject({ code: 143, signal: 'SIGTERM' });
});

test('a program that takes too long is ended, and so is what it started', async () => {
  const script = stayingScript('');
  const running = runGroup('sh', ['-c', JSON.parse(script.code.slice("'sh', ['-c', ".length, -1))], {
    stdio: 'capture',
    timeoutMs: 500,
    graceMs: 300,
  });
  const pids = await script.pids();
  expect(await running).toMatchObject({ timedOut: true });
  await expect.poll(() => pids.filter(isAlive), WAIT).toEqual([]);
});

test.each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)(
  'when %s ends the parent, the group ends with it',
  { timeout: 60_000 },
  async (signal) => {
    const script = stayingScript('');
    const parent = node(`await runGroup(${script.code}, { graceMs: 300 });`);
    const pids = await script.pids();
    parent.kill(signal);
    await ended(parent);
    await expect.poll(() => pids.filter(isAlive), WAIT).toEqual([]);
  },
);

test('what carries the mark ends with a parent that is killed, even when it has left the group', { timeout: 60_000 }, async () => {
  const value = `${process.pid}-${folder}`;
  const detached = `require('node:child_process').spawn('sleep', ['600'], { detached: true, stdio: 'ignore' }).unref()`;
  const mark = { name: 'MARK_OF_TEST', value };
  const script = `${process.execPath} -e "${detached}"; sleep 600`;
  const parent = node(`await runGroup('sh', ['-c', ${JSON.stringify(script)}], { graceMs: 300, mark: ${JSON.stringify(mark)} });`);
  const sleeping = () => processesWithEnvironment(mark).filter(({ command }) => command === 'sleep 600').length;
  await expect.poll(sleeping, WAIT).toBe(2);
  parent.kill('SIGKILL');
  await expect.poll(() => processesWithEnvironment(mark), WAIT).toEqual([]);
});

test('a group that does not mind SIGTERM is killed', { timeout: 60_000 }, async () => {
  const script = stayingScript("trap '' TERM");
  const parent = node(`await runGroup(${script.code}, { graceMs: 300 });`);
  const pids = await script.pids();
  parent.kill('SIGTERM');
  expect(await ended(parent)).toBe(143);
  await expect.poll(() => pids.filter(isAlive), WAIT).toEqual([]);
});

test('the program that this one becomes gets its signals, and its code is the last word', { timeout: 60_000 }, async () => {
  const script = stayingScript("trap 'exit 7' TERM");
  const parent = node(`await become(${script.code});`);
  const [, sleeper] = await script.pids();
  parent.kill('SIGTERM');
  expect(await ended(parent)).toBe(7);
  process.kill(sleeper as number, 'SIGKILL'); // the shell's own child is none of become's business
});

test('the same signal twice in a moment is passed on once', { timeout: 60_000 }, async () => {
  const file = join(folder, 'ready');
  const script = `count=0; trap 'count=$((count+1))' INT; trap 'exit $count' TERM; echo > ${file}; while :; do sleep 0.05; done`;
  const parent = node(`await become('sh', ['-c', ${JSON.stringify(script)}]);`);
  await expect.poll(() => spawnedAndReady(file), WAIT).toBe(true);
  parent.kill('SIGINT');
  parent.kill('SIGINT');
  // Another kind of signal within the same moment is part of the same wish too; so ask until it is a new one
  const asking = setInterval(() => parent.kill('SIGTERM'), 300);
  const code = await ended(parent);
  clearInterval(asking);
  expect(code).toBe(1);
});

function spawnedAndReady(file: string): boolean {
  try {
    readFileSync(file);
    return true;
  } catch {
    return false;
  }
}

test('processes are found by their environment, however they were detached', async () => {
  const value = `${process.pid}-${folder}`;
  const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore', env: { ...process.env, MARK_OF_TEST: value } });
  started.push(child);
  await expect
    .poll(() => processesWithEnvironment({ name: 'MARK_OF_TEST', value }), WAIT)
    .toEqual([{ pid: child.pid, command: 'sleep 600' }]);
  expect(processesWithEnvironment({ name: 'MARK_OF_TEST', value: `${value}x` })).toEqual([]);
});
