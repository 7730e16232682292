import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { lockName, withDirectoryLock } from './directory-lock.ts';

const folder = mkdtempSync(join(tmpdir(), 'rmr-lock-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Holds the lock until it is killed, as a command does that hangs. */
const HOLD = "require('node:net').createServer().listen({ path: process.argv[1] }, () => console.log('held'))";

test('the second command waits for the first', async () => {
  const order: string[] = [];
  let release = (): void => {};
  const first = withDirectoryLock(folder, async () => {
    order.push('first begins');
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    order.push('first ends');
  });
  await expect.poll(() => order).toEqual(['first begins']);
  const second = withDirectoryLock(folder, async () => {
    order.push('second');
    return 'result';
  });
  release();
  expect(await second).toBe('result');
  await first;
  expect(order).toEqual(['first begins', 'first ends', 'second']);
});

test('a directory has one lock, by whatever path it is reached', async () => {
  const link = `${folder}-link`;
  symlinkSync(folder, link);
  await withDirectoryLock(folder, async () => {
    await expect(withDirectoryLock(link, async () => {}, 0)).rejects.toMatchObject({ code: 'CONFLICT' });
  });
  rmSync(link);
});

test('a command that waits too long is told who holds on', async () => {
  await withDirectoryLock(folder, async () => {
    await expect(withDirectoryLock(folder, async () => {}, 0)).rejects.toMatchObject({
      code: 'CONFLICT',
      message: `another command (process ${process.pid}) works on ${folder}; try again when it has ended`,
    });
  });
});

test('work that fails gives the lock back', async () => {
  await expect(withDirectoryLock(folder, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(await withDirectoryLock(folder, async () => 1, 0)).toBe(1);
});

test('the lock of a command that was killed is free', async () => {
  const name = lockName(folder);
  // A zero can't be passed as an argument.
  const script = spawn(process.execPath, ['-e', HOLD.replace('process.argv[1]', JSON.stringify(name))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => script.stdout.once('data', resolve));
  await expect(withDirectoryLock(folder, async () => {}, 0)).rejects.toMatchObject({ code: 'CONFLICT' });
  script.kill('SIGKILL');
  expect(await withDirectoryLock(folder, async () => 'mine')).toBe('mine');
});
