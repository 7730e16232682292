import { describe, expect, test } from 'vitest';
import { lifeOf, PAST } from '../testing/scripted-pool.ts';
import type { StorePast } from '../wire/control-message.ts';
import { hasInPast, markOf, seenAt } from './store-past.ts';

/** A store that was opened at these ages, and is so old now. The lives are numbered from `first` on. */
function opened(at: readonly number[], age: number, first = 1): StorePast {
  const lives = at.map((firstAge, index) => {
    const next = at[index + 1];
    return { lifeUuid: lifeOf(first + index), firstAge, lastAge: next === undefined ? null : next - 1, openedAtMs: 0 };
  });
  return { age, lives };
}

const has = (past: StorePast, life: number, age: number): boolean => hasInPast(past, { lifeUuid: lifeOf(life), age });

describe('what is remembered of a store is in its past (L8)', () => {
  test.each([
    ['of the life that goes on: it is as old', 20, true],
    ['of the life that goes on: it is older', 19, true],
    ['of the life that goes on: it is younger, as a copy that was made in this life is', 21, false],
  ])('%s', (_name, age, expected) => {
    expect(has(opened([1, 10], 20), 2, age)).toBe(expected);
  });

  test.each([
    ['it had become so old before that ended', 9, true],
    ['it was younger when that ended, however old it has become since: it was copied before', 10, false],
    ['it was younger when that ended, and is younger now', 21, false],
  ])('of a life that has ended: %s', (_name, age, expected) => {
    expect(has(opened([1, 10], 20), 1, age)).toBe(expected);
  });

  test('a life that it does not know, and that was as old as those that it tells of, is none of its own', () => {
    const past = opened([5, 10], 20);
    expect([has(past, 9, 5), has(past, 9, 12), has(past, 9, 20), has(past, 9, 21)]).toEqual([false, false, false, false]);
  });

  test('of a life from before all that it tells of, the number decides, as nothing else is left', () => {
    const past = opened([100, 110], 120, 40);
    expect([has(past, 3, 99), has(past, 3, 1)]).toEqual([true, true]);
    expect([has(past, 3, 100), has(past, 3, 121)]).toEqual([false, false]);
  });

  test('a copy that has been opened so often that it is older than the original gives itself away by its lives', () => {
    // The original went on from its life 2; the copy was made at age 15, and opened thrice.
    const copy: StorePast = {
      age: 60,
      lives: [...opened([1, 10, 16], 60).lives.slice(0, 2), ...opened([16, 30, 45], 60, 7).lives],
    };
    expect(copy.lives[1]).toMatchObject({ lifeUuid: lifeOf(2), lastAge: 15 });
    expect([has(copy, 2, 15), has(copy, 2, 16), has(copy, 3, 40)]).toEqual([true, false, false]);
  });

  test('a store without lives is nobody: nothing is in its past', () => {
    expect(has({ age: 20, lives: [] }, 1, 0)).toBe(false);
  });

  test('the mark of a store is that of the life that goes on; it has it in its own past', () => {
    expect(markOf(PAST)).toEqual({ lifeUuid: lifeOf(2), age: 20 });
    expect(hasInPast(PAST, markOf(PAST))).toBe(true);
  });

  test('when it was heard of is told in whole milliseconds, and a clock that stands before 1970 does no harm', () => {
    const mark = markOf(PAST);
    expect([seenAt(mark, 1_000.7), seenAt(mark, -5)]).toEqual([
      { ...mark, atMs: 1_000 },
      { ...mark, atMs: 0 },
    ]);
  });
});
