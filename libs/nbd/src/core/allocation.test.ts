import type { DiskExtent } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { describeAllocation } from './allocation.ts';

const DATA = 0;
const HOLE = 3;

function data(lengthBytes: number): DiskExtent {
  return { lengthBytes, hole: false };
}

function hole(lengthBytes: number): DiskExtent {
  return { lengthBytes, hole: true };
}

function described(extents: DiskExtent[], lengthBytes: number, blockBytes = 1, countMax = 16): number[][] {
  const target = new Uint32Array(countMax * 2);
  const count = describeAllocation(extents, lengthBytes, blockBytes, countMax, target);
  return Array.from({ length: count }, (_, i) => [target[i * 2] as number, target[i * 2 + 1] as number]);
}

test('runs become descriptors, neighbours of a kind are merged', () => {
  expect(described([data(10), data(20), hole(5), hole(1), data(4)], 40)).toEqual([
    [30, DATA],
    [6, HOLE],
    [4, DATA],
  ]);
});

test('runs beyond what was asked are cut off', () => {
  expect(described([hole(100)], 40)).toEqual([[40, HOLE]]);
  expect(described([data(40), hole(100)], 40)).toEqual([[40, DATA]]);
  expect(described([data(30), hole(100), data(3)], 40)).toEqual([
    [30, DATA],
    [10, HOLE],
  ]);
});

test('fewer runs than asked for are no error', () => {
  expect(described([hole(8)], 4096)).toEqual([[8, HOLE]]);
});

test('only as many as may be are told', () => {
  expect(described([data(1), hole(1), data(1), hole(1)], 4, 1, 1)).toEqual([[1, DATA]]);
  expect(described([data(1), hole(1), data(1), hole(1)], 4, 1, 3)).toEqual([
    [1, DATA],
    [1, HOLE],
    [1, DATA],
  ]);
});

test('borders move to whole blocks, and holes only shrink', () => {
  expect(described([data(100), hole(1000), data(436)], 1536, 512)).toEqual([
    [512, DATA],
    [512, HOLE],
    [512, DATA],
  ]);
  // A hole smaller than a block disappears; what is around it stays data.
  const tiny = described([data(600), hole(300), data(636)], 1536, 512);
  expect(tiny.every(([, flags]) => flags === DATA)).toBe(true);
  expect(tiny.reduce((sum, [length]) => sum + (length as number), 0)).toBe(1536);
});

test('the device knows less than a block: data is the safe answer', () => {
  expect(described([hole(100)], 1024, 512)).toEqual([[512, DATA]]);
  expect(described([data(0)], 1024, 1)).toEqual([[1, DATA]]);
});

test('a range of 4 GiB less a block fits', () => {
  expect(described([hole(2 ** 33)], 2 ** 32 - 512, 512)).toEqual([[2 ** 32 - 512, HOLE]]);
});
