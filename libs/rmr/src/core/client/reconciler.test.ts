import { expect, test } from 'vitest';
import { mergeRanges } from './reconciler.ts';

test('ranges merge when they overlap or touch, and stay apart otherwise', () => {
  const range = (offsetBytes: number, lengthBytes: number) => ({ offsetBytes, lengthBytes });
  expect(mergeRanges([])).toEqual([]);
  expect(mergeRanges([range(100, 50), range(0, 10), range(10, 5), range(120, 10), range(151, 1)])).toEqual([
    range(0, 15),
    range(100, 50),
    range(151, 1),
  ]);
  expect(mergeRanges([range(0, 100), range(10, 10)])).toEqual([range(0, 100)]);
});
