import { CHUNKS_PER_LEAF, DirtyMap, LEAF_BYTES } from '@rmr/dirty-map';
import { randomBelow, SeededRandom } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { LEAF_TEXT_MAX, LEAVES_PER_MESSAGE } from '../constants.ts';
import { decodeControlBody, encodeControlBody, type MapLeaves, mapReadResultSchema } from '../wire/control-message.ts';
import { applyLeaf, clearedRuns, encodeLeaf, readLeaves } from './map-leaves.ts';

type Answer = { leaves: MapLeaves; nextLeaf: number | null };

const SHORT = 40;
/** Two whole leaves and a short one. */
const CHUNKS = 2 * CHUNKS_PER_LEAF + SHORT;

function mapWith(runs: readonly (readonly [first: number, count: number])[], chunkCount = CHUNKS): DirtyMap {
  const map = new DirtyMap(chunkCount);
  for (const [first, count] of runs) map.set(first, count);
  return map;
}

/** Some leaves empty, some full, some mixed. */
function randomMap(random: SeededRandom, chunkCount: number): DirtyMap {
  const map = new DirtyMap(chunkCount);
  for (let leaf = 0; leaf < map.leafCount; leaf++) {
    const first = leaf * CHUNKS_PER_LEAF;
    const count = Math.min(CHUNKS_PER_LEAF, chunkCount - first);
    const kind = randomBelow(random, 4);
    if (kind === 1) map.set(first, count);
    for (let run = 0; kind > 1 && run < 12; run++) {
      const at = randomBelow(random, count);
      map.set(first + at, Math.min(1 + randomBelow(random, 50), count - at));
    }
  }
  return map;
}

describe('map leaves: encode and apply', () => {
  test.each<[string, readonly (readonly [number, number])[], string[]]>([
    ['empty', [], ['empty', 'empty', 'empty']],
    ['full', [[0, CHUNKS]], ['full', 'full', 'full']],
    ['full and empty', [[CHUNKS_PER_LEAF, CHUNKS_PER_LEAF]], ['empty', 'full', 'empty']],
  ])('a map that is %s has a word for each leaf', (_name, runs, words) => {
    const map = mapWith(runs);
    expect(words.map((_word, leaf) => encodeLeaf(map, leaf))).toEqual(words.map((word, leaf) => [leaf, word]));
  });

  test('every leaf brings a map to what it was encoded from, whatever stood there before', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = new SeededRandom(seed);
      const source = randomMap(random, CHUNKS);
      const target = randomMap(random, CHUNKS);
      for (let leaf = 0; leaf < source.leafCount; leaf++) expect(applyLeaf(target, encodeLeaf(source, leaf))).toBeNull();
      expect(target.equals(source)).toBe(true);
      expect(target.digest()).toBe(source.digest());
      target.verify();
    }
  });

  test('a last leaf that the map fills only in part travels as full when all its chunks are dirty, and as bits otherwise', () => {
    const map = mapWith([[2 * CHUNKS_PER_LEAF, SHORT]]);
    const target = new DirtyMap(CHUNKS);
    expect(encodeLeaf(map, 2)).toEqual([2, 'full']);
    expect(applyLeaf(target, [2, 'full'])).toBeNull();
    expect([target.dirtyCount, target.equals(map)]).toEqual([SHORT, true]);
    map.clear(CHUNKS - 1, 1);
    expect(applyLeaf(target, encodeLeaf(map, 2))).toBeNull();
    expect(target.equals(map)).toBe(true);
    target.verify();
  });

  test.each<[string, (bits: string) => MapLeaves[number], string]>([
    ['beyond the map', () => [3, 'full'], 'leaf 3 lies beyond the map'],
    ['empty, and beyond the map', () => [0xffff_ffff, 'empty'], 'lies beyond the map'],
    ['no text', () => [0, ''], 'leaf 0 is malformed'],
    ['text that is not base64', () => [0, '*'.repeat(5376)], 'leaf 0 is malformed'],
    ['truncated by four letters', (bits) => [0, bits.slice(0, -4)], 'leaf 0 is malformed'],
    ['truncated by one letter', (bits) => [0, bits.slice(0, -1)], 'leaf 0 is malformed'],
    ['longer than a leaf', (bits) => [0, `${bits}AAAA`], 'leaf 0 is malformed'],
    ['another word', () => [0, 'FULL'], 'leaf 0 is malformed'],
    ['bits beyond the last chunk', (bits) => [2, bits], 'bits beyond the last chunk are set'],
  ])('a leaf is refused, and changes nothing: %s', (_name, leafOf, reason) => {
    const bits = encodeLeaf(mapWith([[SHORT, 2]]), 0)[1];
    const map = mapWith([[5, 7]]);
    const before = map.digest();
    expect(applyLeaf(map, leafOf(bits))).toContain(reason);
    expect(map.digest()).toBe(before);
    map.verify();
  });

  test('I12: the text of a leaf fits its limit, and a message full of leaves fits a control message', () => {
    const map = new DirtyMap(LEAVES_PER_MESSAGE * CHUNKS_PER_LEAF);
    for (let leaf = 0; leaf < map.leafCount; leaf++) map.set(leaf * CHUNKS_PER_LEAF + 1, CHUNKS_PER_LEAF - 1);
    const { leaves, nextLeaf } = readLeaves(map, 0);
    expect([leaves.length, nextLeaf]).toEqual([LEAVES_PER_MESSAGE, null]);
    expect(leaves.every(([, text]) => text.length <= LEAF_TEXT_MAX && text.length === (LEAF_BYTES / 3) * 4)).toBe(true);
    expect(decodeControlBody(mapReadResultSchema, encodeControlBody({ stamp: null, leaves, nextLeaf }))).toHaveProperty('body');
  });
});

describe('map leaves: reading page by page', () => {
  test('empty leaves are left out; a member without a map has none', () => {
    const map = mapWith([
      [0, 1],
      [2 * CHUNKS_PER_LEAF, SHORT],
    ]);
    expect(readLeaves(map, 0).leaves.map(([leaf]) => leaf)).toEqual([0, 2]);
    expect(readLeaves(map, 1)).toEqual({ leaves: [[2, 'full']], nextLeaf: null });
    expect(readLeaves(map, 3)).toEqual({ leaves: [], nextLeaf: null });
    expect(readLeaves(map, 0xffff_ffff)).toEqual({ leaves: [], nextLeaf: null });
    expect(readLeaves(null, 0)).toEqual({ leaves: [], nextLeaf: null });
  });

  test('I12: a page is full at its limit, and the next goes on at the first leaf that is missing', () => {
    const leafCount = 3 * LEAVES_PER_MESSAGE;
    const map = new DirtyMap(leafCount * CHUNKS_PER_LEAF);
    // The first leaf of the second page is empty.
    for (let leaf = 0; leaf < leafCount; leaf++)
      if (leaf !== LEAVES_PER_MESSAGE) map.set(leaf * CHUNKS_PER_LEAF, leaf % 2 === 0 ? CHUNKS_PER_LEAF : 3);
    const copy = new DirtyMap(map.chunkCount);
    const starts: number[] = [];
    for (let fromLeaf: number | null = 0; fromLeaf !== null; ) {
      starts.push(fromLeaf);
      const page: Answer = readLeaves(map, fromLeaf);
      expect(page.leaves.length).toBeLessThanOrEqual(LEAVES_PER_MESSAGE);
      for (const leaf of page.leaves) expect(applyLeaf(copy, leaf)).toBeNull();
      fromLeaf = page.nextLeaf;
    }
    expect(starts).toEqual([0, LEAVES_PER_MESSAGE + 1, 2 * LEAVES_PER_MESSAGE + 1]);
    expect(copy.equals(map)).toBe(true);
  });
});

describe('map leaves: what an owner has clean by now', () => {
  const scratch = new DirtyMap(CHUNKS);
  const all = (map: DirtyMap): Answer => ({
    leaves: [...Array(map.leafCount).keys()].map((leaf) => encodeLeaf(map, leaf)),
    nextLeaf: null,
  });

  test('runs that are dirty here and clean there', () => {
    const held = mapWith([
      [10, 10],
      [CHUNKS_PER_LEAF - 2, 4],
    ]);
    const owner = mapWith([
      [12, 3],
      [18, 100],
    ]);
    expect(clearedRuns(held, scratch, 0, all(owner), 100)).toEqual({
      runs: [
        [10, 2],
        [15, 3],
        [CHUNKS_PER_LEAF - 2, 4],
      ],
      reason: null,
    });
  });

  test('R3: an answer that lists nothing says that all of its part is clean, and no more than its part', () => {
    const held = mapWith([[0, CHUNKS]]);
    expect(clearedRuns(held, scratch, 0, { leaves: [], nextLeaf: null }, 10).runs).toEqual([[0, CHUNKS]]);
    expect(clearedRuns(held, scratch, 1, { leaves: [], nextLeaf: 2 }, 10).runs).toEqual([[CHUNKS_PER_LEAF, CHUNKS_PER_LEAF]]);
    expect(clearedRuns(held, scratch, 2, { leaves: [], nextLeaf: null }, 10).runs).toEqual([[2 * CHUNKS_PER_LEAF, SHORT]]);
    // Beyond the map, backwards, and empty parts clear nothing.
    expect(clearedRuns(held, scratch, 3, { leaves: [], nextLeaf: null }, 10).runs).toEqual([]);
    expect(clearedRuns(held, scratch, 2, { leaves: [], nextLeaf: 1 }, 10).runs).toEqual([]);
    expect(clearedRuns(held, scratch, 1, { leaves: [], nextLeaf: 0xffff_ffff }, 10).runs).toEqual([
      [CHUNKS_PER_LEAF, CHUNKS_PER_LEAF + SHORT],
    ]);
  });

  test('what is clean here is not cleared again', () => {
    expect(clearedRuns(new DirtyMap(CHUNKS), scratch, 0, { leaves: [], nextLeaf: null }, 10)).toEqual({ runs: [], reason: null });
  });

  test('an owner whose chunks are all dirty clears nothing', () => {
    const full = mapWith([[0, CHUNKS]]);
    expect(clearedRuns(mapWith([[3, 5000]]), scratch, 0, all(full), 10).runs).toEqual([]);
  });

  test('I12: no more runs than the limit, the first ones', () => {
    const held = new DirtyMap(CHUNKS);
    for (let chunk = 0; chunk < 40; chunk += 2) held.set(chunk, 1);
    expect(clearedRuns(held, scratch, 0, { leaves: [], nextLeaf: null }, 3).runs).toEqual([
      [0, 1],
      [2, 1],
      [4, 1],
    ]);
    // Also when all lie within one dirty run of this map.
    const owner = new DirtyMap(CHUNKS);
    for (let chunk = 1; chunk < 40; chunk += 2) owner.set(chunk, 1);
    expect(clearedRuns(mapWith([[0, 40]]), scratch, 0, all(owner), 2).runs).toEqual([
      [0, 1],
      [2, 1],
    ]);
  });

  test('a malformed leaf spoils the whole answer', () => {
    const answer: Answer = {
      leaves: [
        [0, 'empty'],
        [1, 'nonsense'],
      ],
      nextLeaf: null,
    };
    expect(clearedRuns(mapWith([[0, CHUNKS]]), scratch, 0, answer, 10)).toEqual({ runs: [], reason: 'leaf 1 is malformed' });
  });

  test('an earlier answer leaves nothing behind', () => {
    const held = mapWith([[0, 10]]);
    expect(clearedRuns(held, scratch, 0, all(mapWith([[0, CHUNKS]])), 10).runs).toEqual([]);
    expect(clearedRuns(held, scratch, 0, all(new DirtyMap(CHUNKS)), 10).runs).toEqual([[0, 10]]);
  });

  test('random maps: page by page the answers clear exactly what the owner has clean', () => {
    const chunkCount = (LEAVES_PER_MESSAGE + 40) * CHUNKS_PER_LEAF + 77;
    const small = new DirtyMap(chunkCount);
    for (let seed = 1; seed <= 2; seed++) {
      const random = new SeededRandom(seed);
      const held = randomMap(random, chunkCount);
      const owner = randomMap(random, chunkCount);
      const expected = held.clone();
      owner.forEachRun((first, count) => expected.clear(first, count));
      const cleared = new DirtyMap(chunkCount);
      for (let fromLeaf: number | null = 0; fromLeaf !== null; ) {
        const answer: Answer = readLeaves(owner, fromLeaf);
        const { runs, reason } = clearedRuns(held, small, fromLeaf, answer, 100);
        expect(reason).toBeNull();
        expect(runs.length).toBeLessThanOrEqual(100);
        for (const [first, count] of runs) {
          cleared.set(first, count);
          held.clear(first, count);
        }
        // At the limit the same part is asked for again.
        if (runs.length < 100) fromLeaf = answer.nextLeaf;
      }
      expect(cleared.equals(expected)).toBe(true);
    }
  });
});
