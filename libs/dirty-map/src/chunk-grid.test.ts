import { describe, expect, test } from 'vitest';
import { ChunkGrid } from './chunk-grid.ts';
import { DirtyMap } from './dirty-map.ts';

const CHUNK = 4096;
const SHORT = 512;
/** Nine whole chunks and a short one. */
const grid = new ChunkGrid(9 * CHUNK + SHORT, CHUNK);

describe('chunk grid', () => {
  test('a short last chunk counts as one', () => {
    expect(grid.chunkCount).toBe(10);
    expect(new ChunkGrid(9 * CHUNK, CHUNK).chunkCount).toBe(9);
  });

  test.each([
    { range: 'a byte', offsetBytes: CHUNK, lengthBytes: 1, first: 1, end: 2 },
    { range: 'a whole chunk', offsetBytes: CHUNK, lengthBytes: CHUNK, first: 1, end: 2 },
    { range: 'one byte on each side of a border', offsetBytes: 2 * CHUNK - 1, lengthBytes: 2, first: 1, end: 3 },
    { range: 'the device', offsetBytes: 0, lengthBytes: 9 * CHUNK + SHORT, first: 0, end: 10 },
  ])('touches: $range', ({ offsetBytes, lengthBytes, first, end }) => {
    expect(grid.firstOf(offsetBytes)).toBe(first);
    expect(grid.endOf(offsetBytes, lengthBytes)).toBe(end);
    expect(grid.countOf(offsetBytes, lengthBytes)).toBe(end - first);
  });

  test.each([
    { range: 'a whole chunk', offsetBytes: CHUNK, lengthBytes: CHUNK, whole: [1] },
    { range: 'all of a chunk but its first byte', offsetBytes: CHUNK + 1, lengthBytes: CHUNK - 1, whole: [] },
    { range: 'all of a chunk but its last byte', offsetBytes: CHUNK, lengthBytes: CHUNK - 1, whole: [] },
    { range: 'two halves around a chunk', offsetBytes: CHUNK / 2, lengthBytes: 2 * CHUNK, whole: [1] },
    { range: 'the short last chunk up to its end', offsetBytes: 9 * CHUNK, lengthBytes: SHORT, whole: [9] },
    { range: 'the short last chunk without its end', offsetBytes: 9 * CHUNK, lengthBytes: SHORT - 1, whole: [] },
  ])('covers whole: $range', ({ offsetBytes, lengthBytes, whole }) => {
    const covered = Array.from({ length: 10 }, (_, chunk) => chunk).filter((chunk) => grid.covers(offsetBytes, lengthBytes, chunk));
    expect(covered).toEqual(whole);
    const end = grid.endWholeOf(offsetBytes, lengthBytes);
    expect(
      Array.from({ length: 10 }, (_, chunk) => chunk).filter((chunk) => chunk >= grid.firstWholeOf(offsetBytes) && chunk < end),
    ).toEqual(whole);
  });

  test('a range is whole if it begins with a chunk and ends with one, or with the device', () => {
    expect(grid.isWhole(CHUNK, 2 * CHUNK)).toBe(true);
    expect(grid.isWhole(8 * CHUNK, CHUNK + SHORT)).toBe(true);
    expect(grid.isWhole(CHUNK + 1, CHUNK - 1)).toBe(false);
    expect(grid.isWhole(CHUNK, CHUNK + 1)).toBe(false);
  });

  test('chunks are ranges of bytes; the last one is short', () => {
    expect(grid.rangeOf(3)).toEqual({ offsetBytes: 3 * CHUNK, lengthBytes: CHUNK });
    expect(grid.rangeOf(3, 2)).toEqual({ offsetBytes: 3 * CHUNK, lengthBytes: 2 * CHUNK });
    expect(grid.rangeOf(8, 2)).toEqual({ offsetBytes: 8 * CHUNK, lengthBytes: CHUNK + SHORT });
  });

  test('the bytes of a map are those of its dirty chunks', () => {
    const map = new DirtyMap(10);
    expect(grid.bytesIn(map)).toBe(0);
    map.set(2, 3);
    expect(grid.bytesIn(map)).toBe(3 * CHUNK);
    map.set(9, 1);
    expect(grid.bytesIn(map)).toBe(3 * CHUNK + SHORT);
  });
});
