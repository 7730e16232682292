import { describe, expect, test } from 'vitest';
import { decodeSparse, packSparse, SPARSE_EXTRA_BYTES_MAX, sparseRoomBytes } from './sparse-data.ts';

/** Packs data behind room for its runs. */
function packed(data: readonly number[], runs: readonly [lengthBytes: number, hole: boolean][]): Uint8Array {
  const room = sparseRoomBytes(runs.length);
  const bytes = new Uint8Array(room + data.length);
  bytes.set(data, room);
  const { start, end } = packSparse(
    bytes,
    room,
    runs.map(([lengthBytes, hole]) => ({ lengthBytes, hole })),
  );
  return bytes.slice(start, end);
}

describe('sparse data', () => {
  test('has these bytes: the runs, and the data without the holes', () => {
    const bytes = packed(
      [1, 2, 0, 0, 0, 3],
      [
        [2, false],
        [3, true],
        [1, false],
      ],
    );
    expect(Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')).toBe(
      ['03 00 00 00 00 00 00 00', '02 00 00 00 00 00 00 00', '03 00 00 00 01 00 00 00', '01 00 00 00 00 00 00 00', '01 02 03'].join(' '),
    );
  });

  test('decodes to what was packed, with what follows apart', () => {
    const bytes = packed(
      [0, 0, 7, 8],
      [
        [2, true],
        [2, false],
      ],
    );
    const answer = decodeSparse(Uint8Array.from([...bytes, 5, 5]), 4);
    expect(answer).toEqual({
      runs: [
        { lengthBytes: 2, hole: true },
        { lengthBytes: 2, hole: false },
      ],
      coveredBytes: 4,
      data: Uint8Array.from([7, 8]),
      rest: Uint8Array.from([5, 5]),
    });
  });

  test('an answer may cover a first part of the range, and never more than the range', () => {
    const bytes = packed([0, 0, 0, 0], [[4, true]]);
    expect(decodeSparse(bytes, 9)).toMatchObject({ coveredBytes: 4 });
    expect(decodeSparse(bytes, 3)).toBe('extents: beyond the range');
  });

  test('is refused at every length at which something is missing', () => {
    const bytes = packed(
      [1, 0, 2],
      [
        [1, false],
        [1, true],
        [1, false],
      ],
    );
    for (let length = 0; length < bytes.length; length++) expect(typeof decodeSparse(bytes.subarray(0, length), 3)).toBe('string');
    expect(typeof decodeSparse(bytes, 3)).toBe('object');
  });

  test.each<[string, number, number]>([
    ['sparse data: more runs than bytes', 0, 4],
    ['sparse data: reserved bytes set', 4, 1],
    ['extents: empty run', 8, 0],
    ['extents: unknown flag', 12, 2],
    ['extents: wrong length', 0, 0],
  ])('is refused: %s', (reason, at, value) => {
    const bytes = packed([1, 2], [[2, false]]);
    bytes[at] = value;
    expect(decodeSparse(bytes, 2)).toBe(reason);
  });

  test('I12: no answer is longer than dense data and its one run, however the blocks lie', () => {
    const blockBytes = 512;
    const blocks = 64;
    const alternating = Array.from({ length: blocks }, (_, i): [number, boolean] => [blockBytes, i % 2 === 1]);
    const data = Array.from({ length: blocks * blockBytes }, () => 1);
    expect(packed(data, alternating).length).toBeLessThanOrEqual(data.length + SPARSE_EXTRA_BYTES_MAX);
    expect(packed(data, [[data.length, false]]).length).toBe(data.length + SPARSE_EXTRA_BYTES_MAX);
  });
});
