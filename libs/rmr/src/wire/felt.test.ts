import { describe, expect, test } from 'vitest';
import { FELT_MAX, feltMs, feltOf } from './felt.ts';

describe('what a client tells of how long an answer took', () => {
  test('stands for at least as long, and for at most a tenth more', () => {
    for (let tookMs = 0.01; tookMs < 100_000; tookMs *= 1.037) {
      const toldMs = feltMs(feltOf(tookMs));
      expect(toldMs).toBeGreaterThanOrEqual(tookMs * 0.999_999);
      expect(toldMs).toBeLessThan(tookMs * 1.1);
    }
  });

  test('is one byte, and never zero, which says nothing', () => {
    expect([0, 0.001, 0.01].map(feltOf)).toEqual([1, 1, 1]);
    expect([Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY].map(feltOf)).toEqual([FELT_MAX, FELT_MAX]);
  });
});
