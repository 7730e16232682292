import { beforeEach, describe, expect, test } from 'vitest';
import { PACE_MS, SLOW_LEG_MS_MIN } from '../../constants.ts';
import { LegPace } from './leg-pace.ts';

let pace: LegPace;
let nowMs: number;

beforeEach(() => {
  pace = new LegPace({ slowFactor: 10, slowForMs: 5 * PACE_MS });
  nowMs = 0;
});

/** One period in which each leg answers ten times, each after so long. The legs that are too slow by then. */
function period(tookMs: readonly number[], excused = 0): number {
  for (const [index, took] of tookMs.entries()) for (let i = 0; i < 10; i++) pace.note(index, took);
  nowMs += PACE_MS;
  return pace.tooSlow(nowMs, (1 << tookMs.length) - 1, excused);
}

describe('L7: a leg that is slower than its peers', () => {
  test('leaves when that has lasted, and not before', () => {
    const verdicts = Array.from({ length: 7 }, () => period([2, 500, 3]));
    expect(verdicts).toEqual([0, 0, 0, 0, 0, 0b010, 0b010]);
  });

  test('starts anew when it was fast enough for a while', () => {
    for (let i = 0; i < 4; i++) period([2, 500]);
    period([2, 3]);
    for (let i = 0; i < 4; i++) expect(period([2, 500])).toBe(0);
  });

  test.each([
    ['all are slow', [400, 500]],
    ['it is alone', [500]],
    ['it is slow by a factor and fast nevertheless', [0.1, SLOW_LEG_MS_MIN]],
  ])('stays when %s', (_why, tookMs) => {
    for (let i = 0; i < 20; i++) expect(period(tookMs)).toBe(0);
  });

  test('stays while it pulls what it missed, and is no measure for others then', () => {
    for (let i = 0; i < 20; i++) expect(period([2, 500, 3], 0b010)).toBe(0);
    for (let i = 0; i < 20; i++) expect(period([300, 500], 0b001)).toBe(0);
  });

  test('stays when nobody asked for a limit', () => {
    pace = new LegPace({ slowFactor: null, slowForMs: 0 });
    for (let i = 0; i < 20; i++) expect(period([2, 5000])).toBe(0);
  });

  test('is not judged by silence', () => {
    for (let i = 0; i < 20; i++) {
      pace.note(1, 500);
      nowMs += PACE_MS;
      expect(pace.tooSlow(nowMs, 0b11, 0)).toBe(0);
    }
  });
});
