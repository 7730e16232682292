import { beforeEach, describe, expect, test } from 'vitest';
import { identityOf } from '../../../testing/scripted-pool.ts';
import { ScriptedStore } from '../../../testing/scripted-store.ts';
import { OwnChunks } from './own-chunks.ts';

const CHUNK = 4096;
/** The last of the 64 chunks has 512 bytes. */
const DEVICE = 63 * CHUNK + 512;
let store: ScriptedStore;
let own: OwnChunks;

beforeEach(() => {
  store = new ScriptedStore(identityOf(1, 64, CHUNK, CHUNK - 512));
  own = new OwnChunks(store);
});

describe('own chunks: ranges', () => {
  test('a range touches the chunks of its first and its last byte, and those between', () => {
    const touched = (offsetBytes: number, lengthBytes: number) => [own.firstOf(offsetBytes), own.endOf(offsetBytes, lengthBytes)];
    expect(touched(0, 1)).toEqual([0, 1]);
    expect(touched(CHUNK - 1, 1)).toEqual([0, 1]);
    expect(touched(CHUNK, CHUNK)).toEqual([1, 2]);
    expect(touched(CHUNK - 1, 2)).toEqual([0, 2]);
    expect(touched(CHUNK - 1, CHUNK + 2)).toEqual([0, 3]);
    expect(touched(0, DEVICE)).toEqual([0, 64]);
  });

  test('the last chunk of the device is as short as it is', () => {
    expect(own.rangeOf(62)).toEqual({ offsetBytes: 62 * CHUNK, lengthBytes: CHUNK });
    expect(own.rangeOf(63)).toEqual({ offsetBytes: 63 * CHUNK, lengthBytes: 512 });
  });

  test('beyond 2^32 bytes they are as exact', () => {
    const large = new OwnChunks(new ScriptedStore(identityOf(1, 2 ** 28, 2 ** 20)));
    expect([large.firstOf(2 ** 47 + 5), large.endOf(2 ** 47 - 1, 1), large.endOf(2 ** 47 - 1, 2)]).toEqual([2 ** 27, 2 ** 27, 2 ** 27 + 1]);
  });
});

describe('own chunks: what is dirty', () => {
  test('a member without a map has everything clean', () => {
    expect([own.anyDirty(0, DEVICE), own.firstDirty(0, DEVICE), own.dirtyIfWhole(0, DEVICE)]).toEqual([false, -1, []]);
    expect(own.cleanRanges(CHUNK, 1)).toEqual([{ offsetBytes: CHUNK, lengthBytes: CHUNK }]);
  });

  test("I4: one byte of a dirty chunk is enough; other members' chunks, and neighbours, say nothing", () => {
    store.mapOf(2).set(0, 64);
    store.mapOf(1).set(4, 1);
    const dirty = (offsetBytes: number, lengthBytes: number) => [
      own.anyDirty(offsetBytes, lengthBytes),
      own.firstDirty(offsetBytes, lengthBytes),
    ];
    expect(dirty(3 * CHUNK, CHUNK)).toEqual([false, -1]);
    expect(dirty(3 * CHUNK, CHUNK + 1)).toEqual([true, 4]);
    expect(dirty(5 * CHUNK - 1, 1)).toEqual([true, 4]);
    expect(dirty(5 * CHUNK, DEVICE - 5 * CHUNK)).toEqual([false, -1]);
    expect(dirty(0, DEVICE)).toEqual([true, 4]);
  });

  test('the map is asked each time: what was cleared is clean', () => {
    store.mapOf(1).set(4, 2);
    expect(own.firstDirty(0, DEVICE)).toBe(4);
    store.mapOf(1).clear(4, 1);
    expect(own.firstDirty(0, DEVICE)).toBe(5);
    store.mapOf(1).clear(5, 1);
    expect([own.firstDirty(0, DEVICE), own.anyDirty(0, DEVICE)]).toEqual([-1, false]);
  });

  test('W4: the dirty chunks of a range that covers each of them whole; clean ones may be covered in part', () => {
    for (const chunk of [4, 6]) store.mapOf(1).set(chunk, 1);
    expect(own.dirtyIfWhole(4 * CHUNK, 3 * CHUNK)).toEqual([4, 6]);
    expect(own.dirtyIfWhole(4 * CHUNK - 512, 3 * CHUNK + 1024)).toEqual([4, 6]);
    expect(own.dirtyIfWhole(4 * CHUNK, CHUNK + 512)).toEqual([4]);
  });

  test.each([
    ['its first byte', 4 * CHUNK + 1, 2 * CHUNK - 1],
    ['its last byte', 3 * CHUNK, 2 * CHUNK - 1],
    ['all but one byte', 5 * CHUNK - 1, 1],
  ])('W4: a dirty chunk that is covered but for %s is not replaced', (_title, offsetBytes, lengthBytes) => {
    store.mapOf(1).set(4, 1);
    expect(own.dirtyIfWhole(offsetBytes, lengthBytes)).toBeNull();
  });

  test('W4: the short last chunk is covered by its own bytes', () => {
    store.mapOf(1).set(63, 1);
    expect(own.dirtyIfWhole(63 * CHUNK, 512)).toEqual([63]);
    expect(own.dirtyIfWhole(63 * CHUNK, 511)).toBeNull();
  });

  test('clean chunks are given whole, also those that the range touches in part', () => {
    for (const chunk of [4, 6]) store.mapOf(1).set(chunk, 1);
    expect(own.cleanRanges(4 * CHUNK - 1, 3 * CHUNK + 2)).toEqual([3, 5, 7].map((chunk) => own.rangeOf(chunk)));
    expect(own.cleanRanges(4 * CHUNK, CHUNK)).toEqual([]);
    expect(own.cleanRanges(63 * CHUNK, 1)).toEqual([{ offsetBytes: 63 * CHUNK, lengthBytes: 512 }]);
  });
});
