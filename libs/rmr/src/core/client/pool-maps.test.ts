import { beforeEach, describe, expect, test } from 'vitest';
import { PoolMaps } from './pool-maps.ts';

const CHUNK = 4096;

let maps: PoolMaps;

beforeEach(() => {
  maps = new PoolMaps(10 * CHUNK, CHUNK);
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
    maps.written(3 * CHUNK, CHUNK);
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

  test('no member has the last clean copy of them', () => {
    expect([maps.heldOnlyBy(1, [2]), maps.heldOnlyBy(2, [1])]).toEqual([0, -1]);
  });
});

test('the last chunk lost, with nothing clean behind it', () => {
  maps.of(1).set(9, 1);
  maps.noteLost([1]);
  expect([maps.heldElsewhere([1]), maps.heldOnlyBy(1, [2]), maps.heldOnlyBy(2, [1])]).toEqual([-1, -1, 9]);
});
