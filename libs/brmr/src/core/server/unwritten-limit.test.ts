import { MIB } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { OWED_MS, UNWRITTEN_BYTES_FIRST, UNWRITTEN_BYTES_MAX, UNWRITTEN_BYTES_MIN, UnwrittenLimit } from './unwritten-limit.ts';

/** Writes as much as there is room for, and writes it back at this pace, again and again. Returns the most that a flush owed, in milliseconds. */
function run(limit: UnwrittenLimit, bytesPerSecond: number, rounds: number): number {
  let nowMs = 0;
  let owedMsMax = 0;
  for (let i = 0; i < rounds; i++) {
    while (!limit.full) limit.wrote(64 * 1024);
    const owedMs = (limit.unwrittenBytes * 1000) / bytesPerSecond;
    owedMsMax = Math.max(owedMsMax, owedMs);
    limit.reached(limit.mark(), nowMs, nowMs + owedMs);
    nowMs += owedMs;
    expect(limit.unwrittenBytes).toBe(0);
  }
  return owedMsMax;
}

test.each([2, 10, 100, 200])('at %i MiB/s a flush owes a few seconds at most, and the disk has enough to do', (mibPerSecond) => {
  const limit = new UnwrittenLimit();
  expect(run(limit, mibPerSecond * MIB, 20)).toBeLessThanOrEqual(OWED_MS + 100);
  expect(limit.bytesPerSecond).toBeCloseTo(mibPerSecond * MIB, -3);
  expect(limit.limitBytes).toBeCloseTo((mibPerSecond * MIB * OWED_MS) / 1000, -3);
});

test('before a disk is known, and below any pace, the limits are those that have names', () => {
  const slow = new UnwrittenLimit();
  expect(slow.limitBytes).toBe(UNWRITTEN_BYTES_FIRST);
  run(slow, MIB / 4, 3);
  expect(slow.limitBytes).toBe(UNWRITTEN_BYTES_MIN);
  const fast = new UnwrittenLimit();
  run(fast, 10_000 * MIB, 20);
  expect(fast.limitBytes).toBe(UNWRITTEN_BYTES_MAX);
});

test('a disk that gets slower has a lower limit at once; one measurement that is too good raises it fourfold at most', () => {
  const limit = new UnwrittenLimit();
  run(limit, 100 * MIB, 20);
  run(limit, 5 * MIB, 1);
  expect(limit.limitBytes).toBe(20 * MIB);
  const before = limit.limitBytes;
  limit.wrote(before);
  limit.reached(limit.mark(), 0, 1);
  expect(limit.limitBytes).toBe(4 * before);
});

test('small flushes tell of latency, and not of pace, unless they take long', () => {
  const limit = new UnwrittenLimit();
  limit.wrote(4096);
  limit.reached(limit.mark(), 0, 30);
  expect(limit.bytesPerSecond).toBeNull();
  limit.wrote(512 * 1024);
  limit.reached(limit.mark(), 0, 2_000);
  expect(limit.bytesPerSecond).toBe(256 * 1024);
});

test('what is written during a write-back is unwritten after it; a flush that began before covers no more than it did', () => {
  const limit = new UnwrittenLimit();
  limit.wrote(3 * MIB);
  const first = limit.mark();
  limit.wrote(2 * MIB);
  const second = limit.mark();
  limit.wrote(MIB);
  limit.reached(second, 0, 100);
  expect(limit.unwrittenBytes).toBe(MIB);
  limit.reached(first, 0, 200);
  expect(limit.unwrittenBytes).toBe(MIB);
  expect([limit.due, limit.full]).toEqual([false, false]);
});
