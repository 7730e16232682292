import { MIB } from '@rmr/runtime';
import { expect, test } from 'vitest';
import type { FioResult } from './fio.ts';
import { copyRatio, counts, type ForegroundRound, foregroundRatio, hasEnded, type ResyncSample, resyncRun } from './resync-figures.ts';

function samples(...rows: readonly (readonly [atMs: number, leftMib: number, pulledMib: number])[]): ResyncSample[] {
  return rows.map(([atMs, left, pulled]) => ({ atMs, bytesLeft: left * MIB, pulledBytes: pulled * MIB }));
}

function foreground(healthyP99Us: number, duringP99Us: number, leftAfterMib: number): ForegroundRound {
  const result = (p99Us: number): FioResult => ({ operations: 1, iops: 1, bytesPerSecond: 1, p50Us: 1, p99Us, p999Us: p99Us });
  return {
    healthy: result(healthyP99Us),
    during: result(duringP99Us),
    leftBeforeBytes: 100 * MIB,
    leftAfterBytes: leftAfterMib * MIB,
    resyncBytesPerSecond: 32 * MIB,
  };
}

test('a resync lasts from the last sample before anything was pulled to the first with nothing left', () => {
  const run = resyncRun(samples([0, 0, 0], [100, 64, 0], [200, 64, 0], [450, 20, 44], [700, 0, 64], [900, 0, 64]));
  expect(run).toEqual({ bytes: 64 * MIB, bytesPerSecond: 128 * MIB });
});

test('a resync that fell between two samples is taken for slower than it was, not for faster', () => {
  expect(resyncRun(samples([0, 0, 0], [500, 0, 64]))).toEqual({ bytes: 64 * MIB, bytesPerSecond: 128 * MIB });
});

test('samples without a beginning or an end show no resync', () => {
  expect(resyncRun([])).toBeNull();
  expect(resyncRun(samples([0, 64, 0], [100, 32, 32]))).toBeNull();
  expect(resyncRun(samples([0, 32, 32], [100, 0, 64]))).toBeNull();
});

test('a member that does not know yet what it missed has not ended its resync', () => {
  expect(hasEnded({ bytesLeft: 0, pulledBytes: 0 })).toBe(false);
  expect(hasEnded({ bytesLeft: 1, pulledBytes: 1 })).toBe(false);
  expect(hasEnded({ bytesLeft: 0, pulledBytes: 1 })).toBe(true);
});

test('a foreground run counts when the member pulled during all of it', () => {
  expect(counts({ leftBeforeBytes: 10, leftAfterBytes: 5 })).toBe(true);
  expect(counts({ leftBeforeBytes: 10, leftAfterBytes: 0 }), 'it ended').toBe(false);
  expect(counts({ leftBeforeBytes: 10, leftAfterBytes: 10 }), 'it stood still').toBe(false);
  expect(counts({ leftBeforeBytes: 0, leftAfterBytes: 0 }), 'it was over before').toBe(false);
});

test('one round that does not count takes the ratio of the foreground away', () => {
  const measured = { missedBytes: MIB, runs: [], copies: [] };
  const good = [foreground(100, 150, 40), foreground(100, 110, 50), foreground(100, 120, 60)];
  expect(foregroundRatio({ ...measured, foreground: good })).toEqual({ ratio: 1.2, low: 1.1, high: 1.5 });
  expect(foregroundRatio({ ...measured, foreground: [...good, foreground(100, 100, 0)] })).toBeNull();
});

test('without nbdcopy there is no ratio to it', () => {
  const measured = { missedBytes: MIB, runs: [{ bytes: MIB, bytesPerSecond: 60 }], foreground: [] };
  expect(copyRatio({ ...measured, copies: [] })).toBeNull();
  expect(copyRatio({ ...measured, copies: [100] })).toMatchObject({ ratio: 0.6 });
});
