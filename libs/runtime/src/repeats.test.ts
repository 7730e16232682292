import { describe, expect, test } from 'vitest';
import { REASONS_MAX, Repeats, SUMMARY_MS_MAX, SUMMARY_MS_MIN } from './repeats.ts';

/** A condition that is felt every `everyMs` for `forMs`. Returns the times at which it is said, in milliseconds from its begin. */
function said(everyMs: number, forMs: number, reason: (count: number) => string = () => 'the same'): number[] {
  let nowMs = 5_000;
  const repeats = new Repeats({ nowMs: () => nowMs, wallMs: () => 1_000_000 + nowMs });
  const times: number[] = [];
  for (let count = 0; count * everyMs <= forMs; count++) {
    nowMs = 5_000 + count * everyMs;
    if (repeats.felt(reason(count))) times.push(nowMs - 5_000);
  }
  return times;
}

describe('a condition that repeats', () => {
  test('is said at once, then after one minute, two more, four more, and in the end every hour', () => {
    const minutes = said(1_000, 6 * SUMMARY_MS_MAX).map((ms) => ms / SUMMARY_MS_MIN);
    expect(minutes).toEqual([0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303]);
  });

  test('a new reason is said at once; one that differs in its figures is not new', () => {
    expect(said(1_000, 30_000, (count) => (count === 7 ? 'refused' : `silent for ${count} ms`))).toEqual([0, 7_000]);
  });

  test('reasons without end are no way around the limit', () => {
    const letters = (count: number) => String.fromCharCode(97 + (count % 26)).repeat(1 + count);
    expect(said(1_000, SUMMARY_MS_MIN - 1_000, letters)).toHaveLength(REASONS_MAX);
  });

  test('counts and times begin anew once it has ended', () => {
    let nowMs = 0;
    const repeats = new Repeats({ nowMs: () => nowMs, wallMs: () => nowMs });
    expect(repeats.since).toBeUndefined();
    expect(repeats.felt('x')).toBe(true);
    nowMs = 90_000;
    expect(repeats.felt('x')).toBe(true);
    expect({ times: repeats.times, seconds: repeats.seconds, since: repeats.since }).toEqual({
      times: 2,
      seconds: 90,
      since: '1970-01-01T00:00:00.000Z',
    });
    repeats.end();
    expect({ times: repeats.times, seconds: repeats.seconds, since: repeats.since }).toEqual({ times: 0, seconds: 0, since: undefined });
    expect(repeats.felt('x')).toBe(true);
    nowMs += SUMMARY_MS_MIN - 1;
    expect(repeats.felt('x')).toBe(false);
    nowMs += 1;
    expect(repeats.felt('x')).toBe(true);
  });
});
