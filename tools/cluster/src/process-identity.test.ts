import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { identifyProcess, type ProcessIdentity, processState, signalProcess } from './process-identity.ts';

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

function idle(): ProcessIdentity {
  const child = spawn('sleep', ['600']);
  children.push(child);
  return identifyProcess(child.pid as number) as ProcessIdentity;
}

test('a process that runs is running, and gone when it has been killed', async () => {
  const identity = idle();
  expect(processState(identity)).toBe('running');
  expect(signalProcess(identity, 'SIGKILL')).toBe(true);
  await expect.poll(() => processState(identity)).toBe('gone');
  expect(signalProcess(identity, 'SIGKILL')).toBe(false);
});

test('a stopped process is paused', async () => {
  const identity = idle();
  signalProcess(identity, 'SIGSTOP');
  await expect.poll(() => processState(identity)).toBe('paused');
  signalProcess(identity, 'SIGCONT');
  await expect.poll(() => processState(identity)).toBe('running');
});

test('another process that was given the same pid is not taken for it, and not signalled', () => {
  const identity = idle();
  const earlier = { ...identity, startTicks: identity.startTicks - 1 };
  expect(processState(earlier)).toBe('gone');
  expect(signalProcess(earlier, 'SIGKILL')).toBe(false);
  expect(processState(identity)).toBe('running');
});

test('a process of an earlier boot is gone, whatever has its pid now', () => {
  expect(processState({ ...idle(), bootId: '00000000-0000-4000-8000-000000000000' })).toBe('gone');
});

test('a program whose name holds brackets and spaces is understood', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'rmr-name-'));
  const program = join(folder, 'a) S 1 (b');
  copyFileSync('/bin/sleep', program);
  const child = spawn(program, ['600']);
  children.push(child);
  const identity = identifyProcess(child.pid as number) as ProcessIdentity;
  await expect.poll(() => processState(identity)).toBe('running');
  child.kill('SIGKILL');
  await expect.poll(() => processState(identity)).toBe('gone');
  rmSync(folder, { recursive: true });
});

test('a pid that nobody has identifies nothing', () => {
  expect(identifyProcess(2 ** 22 + 1)).toBeNull();
  expect(processState(null)).toBe('gone');
});
