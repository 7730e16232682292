import { randomBelow, SeededRandom, TIB } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { CHUNKS_PER_LEAF, DirtyMap, LEAF_BYTES } from './dirty-map.ts';

test.each([1, 31, 32, 33, CHUNKS_PER_LEAF - 1, CHUNKS_PER_LEAF, CHUNKS_PER_LEAF + 1, 3 * CHUNKS_PER_LEAF - 5])(
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
    const chunkCount = CHUNKS_PER_LEAF * 2 + randomBelow(random, CHUNKS_PER_LEAF);
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
  const one = new DirtyMap(CHUNKS_PER_LEAF * 2);
  const other = new DirtyMap(CHUNKS_PER_LEAF * 2);
  one.set(0, CHUNKS_PER_LEAF + 7);
  other.set(0, CHUNKS_PER_LEAF * 2);
  expect(one.digest()).not.toBe(other.digest());
  other.clear(CHUNKS_PER_LEAF + 7, CHUNKS_PER_LEAF - 7);
  expect(one.digest()).toBe(other.digest());
  other.clear(3, 1);
  other.set(CHUNKS_PER_LEAF + 9, 1);
  expect(one.dirtyCount).toBe(other.dirtyCount);
  expect(one.digest()).not.toBe(other.digest());
  other.reset();
  expect(other.digest()).toBe(new DirtyMap(CHUNKS_PER_LEAF * 2).digest());
});

test('a clone shares nothing that changes', () => {
  const map = new DirtyMap(CHUNKS_PER_LEAF * 2);
  map.set(5, 10);
  map.set(CHUNKS_PER_LEAF, CHUNKS_PER_LEAF);
  const copy = map.clone();
  copy.clear(5, 10);
  copy.clear(CHUNKS_PER_LEAF + 1, 1);
  expect(map.dirtyCount).toBe(10 + CHUNKS_PER_LEAF);
  map.verify();
  copy.verify();
});

test('leaves survive the way to the disk and back; bits beyond the last chunk are refused', () => {
  const chunkCount = CHUNKS_PER_LEAF + 100;
  const map = new DirtyMap(chunkCount);
  map.set(17, 1000);
  map.set(CHUNKS_PER_LEAF, 100);
  const copy = new DirtyMap(chunkCount);
  for (let leaf = 0; leaf < map.leafCount; leaf++) expect(copy.loadLeaf(leaf, map.leafBytes(leaf))).toBeNull();
  expect(copy.digest()).toBe(map.digest());
  copy.verify();
  expect(copy.loadLeaf(1, new Uint8Array(LEAF_BYTES).fill(0xff))).toMatch(/beyond the last chunk/);
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

/** A map of about two and a half leaves with leaves of every kind, and the set that it stands for. */
type Marked = ReturnType<typeof randomMap>;

function randomMap(random: SeededRandom, chunkCount: number): { map: DirtyMap; model: Set<number> } {
  const map = new DirtyMap(chunkCount);
  const model = new Set<number>();
  const change = (first: number, count: number, dirty: boolean): void => {
    if (dirty) map.set(first, count);
    else map.clear(first, count);
    for (let chunk = first; chunk < first + count; chunk++) dirty ? model.add(chunk) : model.delete(chunk);
  };
  for (let leaf = 0; leaf < map.leafCount; leaf++) {
    const base = leaf * CHUNKS_PER_LEAF;
    const size = Math.min(CHUNKS_PER_LEAF, chunkCount - base);
    const kind = randomBelow(random, 4);
    if (kind === 0) continue;
    if (kind >= 2) change(base, size, true);
    if (kind === 2) continue;
    for (let i = 0; i < 8; i++) {
      const first = randomBelow(random, size);
      change(base + first, Math.min(1 + randomBelow(random, 100), size - first), kind === 1);
    }
  }
  return { map, model };
}

test('what is asked of several maps is what the sets of their chunks say', () => {
  const random = new SeededRandom(7);
  for (let round = 0; round < 60; round++) {
    const chunkCount = CHUNKS_PER_LEAF * 2 + 1 + randomBelow(random, CHUNKS_PER_LEAF - 1);
    const one = randomMap(random, chunkCount);
    const two = randomMap(random, chunkCount);
    const from = randomBelow(random, 3) * randomBelow(random, CHUNKS_PER_LEAF);
    const end = from + randomBelow(random, chunkCount - from + 1);

    let first = -1;
    for (let chunk = from; chunk < end && first < 0; chunk++) if (one.model.has(chunk) && two.model.has(chunk)) first = chunk;
    expect(DirtyMap.firstInAll([one.map, two.map], from, end)).toBe(first);

    const runs = one.map.runs(5, from);
    expect(runs.length).toBeLessThanOrEqual(5);
    let at = from;
    for (const run of runs) {
      expect(one.map.testAny(at, run.first - at)).toBe(false);
      expect(one.map.testAll(run.first, run.count)).toBe(true);
      at = run.first + run.count;
    }
    if (runs.length < 5) expect(one.map.nextDirty(at)).toBe(chunkCount);

    for (let leaf = 0; leaf < one.map.leafCount; leaf++) {
      const base = leaf * CHUNKS_PER_LEAF;
      const size = Math.min(CHUNKS_PER_LEAF, chunkCount - base);
      const dirty = one.map.count(base, size);
      expect(one.map.leafState(leaf)).toBe(dirty === 0 ? 'empty' : dirty === size ? 'full' : 'mixed');
      expect(one.map.leafEquals(leaf, two.map)).toBe(Buffer.compare(one.map.leafBytes(leaf), two.map.leafBytes(leaf)) === 0);
    }

    const union = new Set([...one.model, ...two.model]);
    expect(one.map.mergeFrom(two.map)).toBe(union.size - one.model.size);
    one.map.verify();
    two.map.verify();
    expect(two.map.dirtyCount).toBe(two.model.size);
    const merged = new DirtyMap(chunkCount);
    for (const chunk of union) merged.set(chunk, 1);
    expect(one.map.equals(merged)).toBe(true);
    expect(one.map.digest()).toBe(merged.digest());
    expect(one.map.mergeFrom(two.map)).toBe(0);
    const changed = randomBelow(random, chunkCount);
    if (merged.set(changed, 1) === 0) merged.clear(changed, 1);
    expect(one.map.equals(merged)).toBe(false);
    expect(one.map.leafEquals(Math.floor(changed / CHUNKS_PER_LEAF), merged)).toBe(false);
  }
});

test('what is counted in several maps, and in none of another, is what the sets of their chunks say', () => {
  const random = new SeededRandom(8);
  for (let round = 0; round < 6; round++) {
    const chunkCount = CHUNKS_PER_LEAF + 1 + randomBelow(random, CHUNKS_PER_LEAF - 1);
    const [one, two, three] = [0, 1, 2].map(() => randomMap(random, chunkCount)) as [Marked, Marked, Marked];
    const inBoth = [...one.model].filter((chunk) => two.model.has(chunk));
    expect(DirtyMap.countInAll([one.map, two.map])).toBe(inBoth.length);
    expect(DirtyMap.countInAll([one.map, two.map], three.map)).toBe(inBoth.filter((chunk) => !three.model.has(chunk)).length);
    expect(DirtyMap.countInAll([one.map], three.map)).toBe([...one.model].filter((chunk) => !three.model.has(chunk)).length);
  }
});

test('a merge that fills a leaf leaves it in canonical form and shares nothing with the other map', () => {
  const chunkCount = CHUNKS_PER_LEAF + 10;
  const one = new DirtyMap(chunkCount);
  const other = new DirtyMap(chunkCount);
  one.set(0, 100);
  other.set(100, CHUNKS_PER_LEAF - 100);
  other.set(CHUNKS_PER_LEAF + 3, 4);
  expect(one.mergeFrom(other)).toBe(CHUNKS_PER_LEAF - 100 + 4);
  expect([one.leafState(0), one.leafState(1)]).toEqual(['full', 'mixed']);
  one.clear(CHUNKS_PER_LEAF + 3, 1);
  expect(other.test(CHUNKS_PER_LEAF + 3)).toBe(true);
  one.verify();
  other.verify();
});

test('no chunk is dirty in all maps when one has none, or all have others; the bits beyond the last chunk are no chunks', () => {
  const full = new DirtyMap(100);
  full.set(0, 100);
  expect(DirtyMap.firstInAll([full])).toBe(0);
  expect(DirtyMap.firstInAll([full], 99)).toBe(99);
  expect(DirtyMap.firstInAll([full], 100)).toBe(-1);
  expect(DirtyMap.firstInAll([full, null])).toBe(-1);
  expect(DirtyMap.firstInAll([full, new DirtyMap(100)])).toBe(-1);
  const even = new DirtyMap(100);
  const odd = new DirtyMap(100);
  for (let chunk = 0; chunk < 100; chunk++) (chunk % 2 === 0 ? even : odd).set(chunk, 1);
  expect(DirtyMap.firstInAll([full, even, odd])).toBe(-1);
  odd.set(98, 1);
  expect(DirtyMap.firstInAll([full, even, odd])).toBe(98);
  expect(DirtyMap.firstInAll([full, even, odd], 0, 98)).toBe(-1);
  expect(() => DirtyMap.firstInAll([])).toThrow(/at least one map/);
  expect(() => DirtyMap.countInAll([])).toThrow(/at least one map/);
  expect([DirtyMap.countInAll([full]), DirtyMap.countInAll([full, even]), DirtyMap.countInAll([full], even)]).toEqual([100, 50, 50]);
  expect([DirtyMap.countInAll([full, null]), DirtyMap.countInAll([full, new DirtyMap(100)]), DirtyMap.countInAll([even], full)]).toEqual([
    0, 0, 0,
  ]);
});

test('maps of different sizes are never compared or merged', () => {
  const one = new DirtyMap(100);
  const other = new DirtyMap(101);
  one.set(0, 1);
  other.set(0, 1);
  expect(() => one.equals(other)).toThrow(/same size/);
  expect(() => one.leafEquals(0, other)).toThrow(/same size/);
  expect(() => one.mergeFrom(other)).toThrow(/same size/);
  expect(() => DirtyMap.firstInAll([one, other])).toThrow(/same size/);
  expect(() => one.leafState(1)).toThrow(/leaf in range/);
});
