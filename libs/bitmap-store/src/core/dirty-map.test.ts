import { randomBelow, SeededRandom, TIB } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { BITMAP_BYTES_PER_PAGE, CHUNKS_PER_PAGE } from '../format/map-sector.ts';
import { DirtyMap } from './dirty-map.ts';

test.each([1, 31, 32, 33, CHUNKS_PER_PAGE - 1, CHUNKS_PER_PAGE, CHUNKS_PER_PAGE + 1, 3 * CHUNKS_PER_PAGE - 5])(
  'a map of %i chunks is clean at first, full after setting all, and clean again after clearing all',
  (chunkCount) => {
    const map = new DirtyMap(chunkCount);
    expect(map.nextDirty(0)).toBe(chunkCount);
    expect(map.set(0, chunkCount)).toBe(chunkCount);
    expect(map.testAll(0, chunkCount)).toBe(true);
    expect(map.nextClean(0)).toBe(chunkCount);
    map.verify();
    expect(map.clear(0, chunkCount)).toBe(chunkCount);
    expect(map.dirtyCount).toBe(0);
    map.verify();
  },
);

test('after any changes a map says what a plain set of chunks says', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const chunkCount = CHUNKS_PER_PAGE * 2 + randomBelow(random, CHUNKS_PER_PAGE);
    const map = new DirtyMap(chunkCount);
    const model = new Uint8Array(chunkCount);
    for (let i = 0; i < 60; i++) {
      const first = randomBelow(random, chunkCount);
      const count =
        randomBelow(random, 4) === 0 ? randomBelow(random, chunkCount - first + 1) : Math.min(randomBelow(random, 70), chunkCount - first);
      const dirty = randomBelow(random, 2) === 1;
      let expected = 0;
      for (let chunk = first; chunk < first + count; chunk++) if (model[chunk] !== (dirty ? 1 : 0)) expected++;
      model.fill(dirty ? 1 : 0, first, first + count);
      expect(dirty ? map.set(first, count) : map.clear(first, count)).toBe(expected);
      map.verify();
      const from = randomBelow(random, chunkCount);
      const end = from + randomBelow(random, chunkCount - from + 1);
      const window = model.subarray(from, end);
      const nextDirty = window.indexOf(1);
      const nextClean = window.indexOf(0);
      expect(map.nextDirty(from, end)).toBe(nextDirty < 0 ? end : from + nextDirty);
      expect(map.nextClean(from, end)).toBe(nextClean < 0 ? end : from + nextClean);
      expect(map.count(from, end - from)).toBe(window.reduce((sum, bit) => sum + bit, 0));
      expect(map.testAny(from, end - from)).toBe(nextDirty >= 0);
      expect(map.test(first)).toBe(model[first] === 1);
    }
    const seen = new Uint8Array(chunkCount);
    map.forEachRun((first, count) => seen.fill(1, first, first + count));
    expect(Buffer.compare(seen, model)).toBe(0);
  }
});

test('equal sets have equal digests however they came about, and others have others', () => {
  const one = new DirtyMap(CHUNKS_PER_PAGE * 2);
  const other = new DirtyMap(CHUNKS_PER_PAGE * 2);
  one.set(0, CHUNKS_PER_PAGE + 7);
  other.set(0, CHUNKS_PER_PAGE * 2);
  expect(one.digest()).not.toBe(other.digest());
  other.clear(CHUNKS_PER_PAGE + 7, CHUNKS_PER_PAGE - 7);
  expect(one.digest()).toBe(other.digest());
  other.clear(3, 1);
  other.set(CHUNKS_PER_PAGE + 9, 1);
  expect(one.dirtyCount).toBe(other.dirtyCount);
  expect(one.digest()).not.toBe(other.digest());
  other.reset();
  expect(other.digest()).toBe(new DirtyMap(CHUNKS_PER_PAGE * 2).digest());
});

test('a clone shares nothing that changes', () => {
  const map = new DirtyMap(CHUNKS_PER_PAGE * 2);
  map.set(5, 10);
  map.set(CHUNKS_PER_PAGE, CHUNKS_PER_PAGE);
  const copy = map.clone();
  copy.clear(5, 10);
  copy.clear(CHUNKS_PER_PAGE + 1, 1);
  expect(map.dirtyCount).toBe(10 + CHUNKS_PER_PAGE);
  map.verify();
  copy.verify();
});

test('leaves survive the way to the disk and back; bits beyond the last chunk are refused', () => {
  const chunkCount = CHUNKS_PER_PAGE + 100;
  const map = new DirtyMap(chunkCount);
  map.set(17, 1000);
  map.set(CHUNKS_PER_PAGE, 100);
  const copy = new DirtyMap(chunkCount);
  for (let leaf = 0; leaf < map.leafCount; leaf++) expect(copy.loadLeaf(leaf, map.leafBytes(leaf))).toBeNull();
  expect(copy.digest()).toBe(map.digest());
  copy.verify();
  expect(copy.loadLeaf(1, new Uint8Array(BITMAP_BYTES_PER_PAGE).fill(0xff))).toMatch(/beyond the last chunk/);
  expect(copy.digest()).toBe(map.digest());
});

test('a mostly clean map, and a mostly dirty one, of 64 TiB in chunks of 128 KiB take less than 1 MiB', () => {
  const chunkCount = (64 * TIB) / (128 * 1024);
  const map = new DirtyMap(chunkCount);
  for (let i = 0; i < 100; i++) map.set(i * 5_000_000, 10);
  expect(map.memoryBytes).toBeLessThan(1024 * 1024);
  map.set(0, chunkCount);
  for (let i = 0; i < 100; i++) map.clear(i * 5_000_000, 10);
  expect(map.dirtyCount).toBe(chunkCount - 1000);
  expect(map.memoryBytes).toBeLessThan(1024 * 1024);
});

test.each([
  [-1, 1],
  [0, 101],
  [100, 1],
  [5, -1],
])('a range from %i of %i chunks that leaves a map of 100 is a bug and is caught', (first, count) => {
  const map = new DirtyMap(100);
  expect(() => map.set(first, count)).toThrow(/range within the map/);
  expect(() => map.clear(first, count)).toThrow(/range within the map/);
});
