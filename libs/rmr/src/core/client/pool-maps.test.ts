import { beforeEach, describe, expect, test } from 'vitest';
import { PoolMaps } from './pool-maps.ts';

const CHUNK = 4096;

let maps: PoolMaps;

beforeEach(() => {
  maps = new PoolMaps(10 * CHUNK, CHUNK);
});

describe('chunks that no member can read (I8)', () => {
  test('they are named, whoever wanted how much of them, until they are written or read as a whole', () => {
    expect(maps.unreadable()).toBeNull();
    expect([maps.noteUnreadable(2 * CHUNK + 512, 512), maps.noteUnreadable(2 * CHUNK, CHUNK), maps.noteUnreadable(5 * CHUNK, 1)]).toEqual([
      true,
      false,
      true,
    ]);
    expect(maps.unreadable()).toEqual({ bytes: 2 * CHUNK, ranges: [2, 5].map((at) => ({ offsetBytes: at * CHUNK, lengthBytes: CHUNK })) });
    // The other sectors of the chunk say nothing of the bad one.
    maps.written({ offsetBytes: 2 * CHUNK, lengthBytes: CHUNK - 512 }, []);
    maps.readable(1 * CHUNK, CHUNK + 512);
    expect(maps.unreadable()?.bytes).toBe(2 * CHUNK);
    maps.written({ offsetBytes: 1 * CHUNK + 512, lengthBytes: 2 * CHUNK }, []);
    expect(maps.unreadable()?.ranges).toEqual([{ offsetBytes: 5 * CHUNK, lengthBytes: CHUNK }]);
    maps.readable(5 * CHUNK, CHUNK);
    expect(maps.unreadable()).toBeNull();
  });

  test('the last chunk of the device may be a short one', () => {
    maps = new PoolMaps(9.5 * CHUNK, CHUNK);
    maps.noteUnreadable(9 * CHUNK, 512);
    expect(maps.unreadable()).toEqual({ bytes: CHUNK / 2, ranges: [{ offsetBytes: 9 * CHUNK, lengthBytes: CHUNK / 2 }] });
    maps.readable(9 * CHUNK, CHUNK / 2);
    expect(maps.unreadable()).toBeNull();
  });
});

describe('chunks that are lost (I8)', () => {
  beforeEach(() => {
    maps.of(1).set(2, 3);
    maps.of(2).set(0, 10);
    maps.noteLost([1, 2]);
  });

  test('◆8: a chunk that nobody has is held nowhere, and a flush does not wait for it', () => {
    expect([maps.dirtyForAll([1]), maps.heldElsewhere([1]), maps.heldElsewhere([1, 2])]).toEqual([2, -1, -1]);
  });

  test('◆8: a chunk that only a member out of the set has clean is', () => {
    maps.of(1).set(7, 1);
    expect(maps.heldElsewhere([1])).toBe(7);
  });

  test('◆8: what was written since may be clean at a member that leaves before that is known', () => {
    maps.written({ offsetBytes: 3 * CHUNK, lengthBytes: CHUNK }, []);
    expect(maps.heldElsewhere([1])).toBe(3);
  });

  test('none are lost when the maps of the next assembly say so', () => {
    maps.of(2).clear(0, 10);
    maps.noteLost([1, 2]);
    maps.of(2).set(2, 1);
    expect(maps.heldElsewhere([1, 2])).toBe(2);
  });

  test('◆8: what only one member had, and was given up', () => {
    const chunks = maps.allHeldOnlyBy(1, [2]);
    expect(chunks?.runs(9)).toEqual([
      { first: 0, count: 2 },
      { first: 5, count: 5 },
    ]);
    maps.giveUp(chunks);
    maps.of(1).set(0, 10);
    expect([maps.heldElsewhere([2]), maps.allHeldOnlyBy(1, [2])]).toEqual([-1, null]);
  });

  test('they are named: how much in all, and where', () => {
    expect(maps.lost()).toEqual({ bytes: 3 * CHUNK, ranges: [{ offsetBytes: 2 * CHUNK, lengthBytes: 3 * CHUNK }] });
    maps.written({ offsetBytes: 3 * CHUNK, lengthBytes: CHUNK }, []);
    expect(maps.lost()?.ranges.map(({ offsetBytes }) => offsetBytes)).toEqual([2 * CHUNK, 4 * CHUNK]);
    maps.written({ offsetBytes: 2 * CHUNK, lengthBytes: 3 * CHUNK }, []);
    expect(maps.lost()).toBeNull();
  });

  test('of many the first are named', () => {
    maps = new PoolMaps(99.5 * CHUNK, CHUNK);
    for (let chunk = 1; chunk < 100; chunk += 2) maps.of(1).set(chunk, 1);
    maps.noteLost([1]);
    expect([maps.lost()?.bytes, maps.lost()?.ranges.length, maps.lost()?.ranges[15]?.offsetBytes]).toEqual([49.5 * CHUNK, 16, 31 * CHUNK]);
    maps.of(1).clear(0, 99);
    maps.noteLost([1]);
    expect(maps.lost()).toEqual({ bytes: CHUNK / 2, ranges: [{ offsetBytes: 99 * CHUNK, lengthBytes: CHUNK / 2 }] });
  });

  test('what a member turns out to have clean is not lost, and a flush waits for it (◆8)', () => {
    maps.of(2).clear(3, 1);
    maps.of(1).clear(4, 2);
    maps.noteFound([1, 2]);
    expect([maps.lost()?.ranges, maps.isLost(2), maps.isLost(3)]).toEqual([[{ offsetBytes: 2 * CHUNK, lengthBytes: CHUNK }], true, false]);
    expect(maps.heldElsewhere([1])).toBe(3);
    maps.of(2).clear(2, 1);
    maps.noteFound([1, 2]);
    expect(maps.lost()).toBeNull();
  });

  test('no member has the last clean copy of them', () => {
    expect([maps.heldOnlyBy(1, [2]), maps.heldOnlyBy(2, [1])]).toEqual([0, -1]);
  });
});

test('the last chunk lost, with nothing clean behind it', () => {
  maps.of(1).set(9, 1);
  maps.noteLost([1]);
  expect([maps.heldElsewhere([1]), maps.heldOnlyBy(1, [2]), maps.heldOnlyBy(2, [1])]).toEqual([-1, -1, 9]);
});

describe('what a write says of the members that have carried it out (W4, I8)', () => {
  test('they have every chunk of it clean, those that were written in part too, and nobody else has', () => {
    for (const memberId of [1, 2, 3]) maps.of(memberId).set(2, 4);
    expect(maps.written({ offsetBytes: 2 * CHUNK + 512, lengthBytes: 2 * CHUNK }, [1, 2])).toBe(true);
    expect([1, 2, 3].map((memberId) => maps.of(memberId).runs(9))).toEqual([
      [{ first: 5, count: 1 }],
      [{ first: 5, count: 1 }],
      [{ first: 2, count: 4 }],
    ]);
  });

  test('seed 59: a member that returns right after it is not told that the only one that has it misses it', () => {
    // Member 2 misses the write, and member 1 was dirty there until it carried it out.
    maps.of(1).set(4, 1);
    maps.written({ offsetBytes: 4 * CHUNK, lengthBytes: CHUNK }, [1]);
    maps.add(2, { offsetBytes: 4 * CHUNK, lengthBytes: CHUNK });
    expect(maps.dirtyForAll([1, 2])).toBe(-1);
  });

  test('it says nothing new where they had it clean, or where nobody is named', () => {
    maps.of(3).set(2, 1);
    expect([
      maps.written({ offsetBytes: 2 * CHUNK, lengthBytes: CHUNK }, [1, 2]),
      maps.written({ offsetBytes: 2 * CHUNK, lengthBytes: CHUNK }, []),
    ]).toEqual([false, false]);
  });
});
