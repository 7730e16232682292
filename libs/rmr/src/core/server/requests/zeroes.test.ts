import { expect, test } from 'vitest';
import { firstOfRuns, isZero, zeroRuns } from './zeroes.ts';

const data = (...blocks: readonly number[][]): Uint8Array => Uint8Array.from(blocks.flat());

test('runs are whole blocks: a block with one byte that is not zero is data', () => {
  expect(zeroRuns(data([0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]), 4)).toEqual([
    { lengthBytes: 8, hole: true },
    { lengthBytes: 4, hole: false },
    { lengthBytes: 4, hole: true },
  ]);
});

test('a last block may be short, and a hole all the same', () => {
  expect(zeroRuns(data([1, 1, 1, 1], [0, 0]), 4)).toEqual([
    { lengthBytes: 4, hole: false },
    { lengthBytes: 2, hole: true },
  ]);
});

test('zeroes are found at every alignment', () => {
  const bytes = new Uint8Array(64);
  for (let from = 0; from < 5; from++) {
    for (let length = 1; length < 20; length++) {
      expect(isZero(bytes.subarray(from, from + length))).toBe(true);
      bytes[from + length - 1] = 1;
      expect(isZero(bytes.subarray(from, from + length))).toBe(false);
      bytes[from + length - 1] = 0;
    }
  }
});

test('the first part of runs cuts one where it ends', () => {
  const runs = [
    { lengthBytes: 4, hole: true },
    { lengthBytes: 4, hole: false },
  ];
  expect(firstOfRuns(runs, 6)).toEqual([
    { lengthBytes: 4, hole: true },
    { lengthBytes: 2, hole: false },
  ]);
  expect(firstOfRuns(runs, 4)).toEqual([{ lengthBytes: 4, hole: true }]);
  expect(() => firstOfRuns(runs, 9)).toThrow('as long as');
});
