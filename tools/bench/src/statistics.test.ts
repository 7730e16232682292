import { expect, test } from 'vitest';
import { median, ratioOfMedians } from './statistics.ts';

test('the median of an odd count is the middle value, of an even count the mean of the middle two', () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

test('the median of nothing is an error, not NaN', () => {
  expect(() => median([])).toThrow('median of nothing');
});

test('the median does not reorder what it is given', () => {
  const values = [3, 1, 2];
  median(values);
  expect(values).toEqual([3, 1, 2]);
});

test('the ratio is one of medians, the spread one of rounds', () => {
  expect(ratioOfMedians([200, 400, 300], [100, 100, 200])).toEqual({ ratio: 3, low: 1.5, high: 4 });
});

test('rounds that do not pair up, or a peer that did nothing, give no ratio', () => {
  expect(ratioOfMedians([1, 2], [1])).toBeNull();
  expect(ratioOfMedians([], [])).toBeNull();
  expect(ratioOfMedians([1], [0])).toBeNull();
});
