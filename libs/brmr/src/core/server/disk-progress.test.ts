import { beforeEach, describe, expect, test } from 'vitest';
import { DiskProgress } from './disk-progress.ts';

let progress: DiskProgress;
let nowMs: number;

/** Time passes, and the disk is asked as it is in production. Returns for how long it has been idle at the end. */
function pass(ms: number, eachStep: () => void = () => {}): number {
  let idleMs = 0;
  for (const endMs = nowMs + ms; nowMs < endMs; ) {
    nowMs += 100;
    eachStep();
    idleMs = progress.idleMs(nowMs);
  }
  return idleMs;
}

beforeEach(() => {
  progress = new DiskProgress();
  nowMs = 1_000;
  pass(1_000);
});

describe('a disk that hangs, and one that is slow', () => {
  test.each([true, false])('a request that waits while nothing happens (read: %s) is idle for as long', (read) => {
    progress.begin(read);
    expect(pass(20_000)).toBeGreaterThan(19_000);
    expect(progress.oldestMs).toBeGreaterThan(19_000);
  });

  test('a flush during which bytes reach the device is never idle, however long it takes, and is told to be old', () => {
    progress.begin(false);
    expect(pass(600_000, () => progress.wrote(nowMs))).toBe(0);
    expect(progress.oldestMs).toBeGreaterThan(590_000);
    // Then it hangs.
    expect(pass(20_000)).toBe(20_000);
  });

  test('answers to reads are no progress for a change: a device may answer them and write nothing', () => {
    progress.begin(false);
    expect(pass(20_000, () => progress.answered(nowMs))).toBeGreaterThan(19_000);
  });

  test.each(['answered', 'wrote'] as const)('a read waits its turn while the device does anything (%s)', (what) => {
    progress.begin(true);
    expect(pass(20_000, () => progress[what](nowMs))).toBe(0);
  });

  test('progress before a request began does not count for it, and nothing under way is never idle', () => {
    progress.wrote(nowMs);
    expect(pass(60_000)).toBe(0);
    const generation = progress.begin(false);
    expect(pass(1_000)).toBeLessThanOrEqual(1_000);
    progress.end(false, generation);
    expect(pass(60_000)).toBe(0);
    expect(progress.oldestMs).toBe(0);
  });
});
