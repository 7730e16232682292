import { assert, crc32c } from '@rmr/runtime';

/**
 * The set of chunks that a member has missed. It is a bitmap of two levels. A leaf has {@link CHUNKS_PER_LEAF} chunks,
 * which is one page on disk. A leaf takes memory only while it is mixed: neither empty nor full.
 *
 * Memory, at chunks of 128 KiB: 2.6 KiB per TiB where all leaves are empty or full (10 bytes per leaf; 163 KiB for a
 * clean map of 64 TiB). Each mixed leaf, which stands for 3.94 GiB, takes 4 KiB more: at most 1.03 MiB per TiB in all.
 *
 * Cost: `test`, and a change of one chunk, take constant time. A range takes one step for each word of its mixed leaves,
 * and one for each other leaf. Functions that look at whole maps (equals, mergeFrom, firstInAll, runs, digest) take one
 * step per leaf, and one per word of mixed leaves. Only clone, runs, and the first change of a leaf allocate memory.
 */
export class DirtyMap {
  readonly chunkCount: number;
  readonly leafCount: number;
  /** null = empty, {@link FULL_LEAF} = full. */
  readonly #leaves: (Uint32Array | null)[];
  readonly #leafDirty: Uint16Array;
  #dirtyCount = 0;

  constructor(chunkCount: number) {
    assert(Number.isSafeInteger(chunkCount) && chunkCount > 0, 'dirty map: at least one chunk');
    this.chunkCount = chunkCount;
    this.leafCount = Math.ceil(chunkCount / CHUNKS_PER_LEAF);
    this.#leaves = new Array<Uint32Array | null>(this.leafCount).fill(null);
    this.#leafDirty = new Uint16Array(this.leafCount);
  }

  /** Number of dirty chunks. */
  get dirtyCount(): number {
    return this.#dirtyCount;
  }

  /** Bytes of memory that the map's leaves take. The objects around them are not counted. */
  get memoryBytes(): number {
    let bytes = this.leafCount * 10;
    for (const leaf of this.#leaves) if (leaf !== null && leaf !== FULL_LEAF) bytes += LEAF_BYTES;
    return bytes;
  }

  /** Whether the chunk is dirty. */
  test(chunk: number): boolean {
    assert(chunk >= 0 && chunk < this.chunkCount, 'dirty map: chunk in range');
    const leafIndex = Math.floor(chunk / CHUNKS_PER_LEAF);
    const leaf = this.#leaves[leafIndex] as Uint32Array | null;
    if (leaf === null) return false;
    if (leaf === FULL_LEAF) return true;
    const bit = chunk - leafIndex * CHUNKS_PER_LEAF;
    return ((leaf[bit >>> 5] as number) & (1 << (bit & 31))) !== 0;
  }

  /** Whether all of the chunks are dirty. True for no chunks. */
  testAll(first: number, count: number): boolean {
    return this.nextClean(first, first + count) === first + count;
  }

  /** Whether any of the chunks is dirty. */
  testAny(first: number, count: number): boolean {
    if (this.#dirtyCount === 0) return false;
    return this.nextDirty(first, first + count) < first + count;
  }

  /** Makes the chunks dirty. Returns how many were clean. */
  set(first: number, count: number): number {
    return this.#change(first, count, true);
  }

  /** Makes the chunks clean. Returns how many were dirty. */
  clear(first: number, count: number): number {
    return this.#change(first, count, false);
  }

  /** The first dirty chunk in [from, end), or `end`. */
  nextDirty(from: number, end: number = this.chunkCount): number {
    return this.#next(from, end, true);
  }

  /** The first clean chunk in [from, end), or `end`. */
  nextClean(from: number, end: number = this.chunkCount): number {
    return this.#next(from, end, false);
  }

  /** Number of dirty chunks among these. */
  count(first: number, count: number): number {
    assert(first >= 0 && count >= 0 && first + count <= this.chunkCount, 'dirty map: range within the map');
    const end = first + count;
    let total = 0;
    for (let at = first; at < end; ) {
      const leafIndex = Math.floor(at / CHUNKS_PER_LEAF);
      const base = leafIndex * CHUNKS_PER_LEAF;
      const stop = Math.min(end, base + CHUNKS_PER_LEAF);
      const leaf = this.#leaves[leafIndex] as Uint32Array | null;
      if (leaf === FULL_LEAF) total += stop - at;
      else if (leaf !== null) {
        if (at === base && stop === base + this.#capacity(leafIndex)) total += this.#leafDirty[leafIndex] as number;
        else total += countBits(leaf, at - base, stop - base);
      }
      at = stop;
    }
    return total;
  }

  /** The first `limit` runs of dirty chunks from chunk `from` on, in order. */
  runs(limit: number, from = 0): ChunkRun[] {
    const runs: ChunkRun[] = [];
    for (let at = this.nextDirty(from); at < this.chunkCount && runs.length < limit; ) {
      const end = this.nextClean(at);
      runs.push({ first: at, count: end - at });
      at = this.nextDirty(end);
    }
    return runs;
  }

  /** Calls `visit` for every run of dirty chunks, in order. The map must not change meanwhile. */
  forEachRun(visit: (first: number, count: number) => void): void {
    let at = this.nextDirty(0);
    while (at < this.chunkCount) {
      const end = this.nextClean(at);
      visit(at, end - at);
      at = this.nextDirty(end);
    }
  }

  /** A text that is the same for equal sets, on every host: the number of dirty chunks, and a checksum of where they are. */
  digest(): string {
    let crc = 0;
    const index = new Uint8Array(4);
    const indexView = new DataView(index.buffer);
    for (let i = 0; i < this.leafCount; i++) {
      if (this.#leaves[i] === null) continue;
      indexView.setUint32(0, i, true);
      crc = crc32c(index, crc);
      crc = crc32c(this.leafBytes(i), crc);
    }
    return `${this.#dirtyCount.toString(16)}-${crc.toString(16).padStart(8, '0')}`;
  }

  /** Whether both maps have the same dirty chunks. The maps have to be of the same size. */
  equals(other: DirtyMap): boolean {
    this.#assertSameSize(other);
    if (this.#dirtyCount !== other.#dirtyCount) return false;
    for (let i = 0; i < this.leafCount; i++) if (!this.leafEquals(i, other)) return false;
    return true;
  }

  /**
   * Makes each chunk dirty that is dirty in the other map. The other map has to be of the same size, and stays independent of this one.
   * Returns how many of these chunks were clean.
   */
  mergeFrom(other: DirtyMap): number {
    this.#assertSameSize(other);
    if (other.#dirtyCount === 0) return 0;
    let changed = 0;
    for (let i = 0; i < this.leafCount; i++) changed += this.#mergeLeaf(i, other);
    this.#dirtyCount += changed;
    return changed;
  }

  /**
   * The first chunk in [from, end) that is dirty in every one of the maps, or -1 if there is none. There has to be at least one map,
   * and all have to be of the same size. null stands for a map without a dirty chunk.
   */
  static firstInAll(maps: readonly (DirtyMap | null)[], from = 0, end = Number.POSITIVE_INFINITY): number {
    assert(maps.length > 0, 'dirty map: at least one map to look at');
    for (const map of maps) if (map === null || map.#dirtyCount === 0) return -1;
    const all = maps as readonly DirtyMap[];
    const one = all[0] as DirtyMap;
    for (const map of all) one.#assertSameSize(map);
    const last = Math.min(end, one.chunkCount);
    assert(from >= 0, 'dirty map: range within the map');
    for (let at = from; at < last; ) {
      const leafIndex = Math.floor(at / CHUNKS_PER_LEAF);
      const base = leafIndex * CHUNKS_PER_LEAF;
      const stop = Math.min(last, base + CHUNKS_PER_LEAF);
      const found = DirtyMap.#firstInLeaves(all, leafIndex, at - base, stop - base);
      if (found < stop - base) return base + found;
      at = stop;
    }
    return -1;
  }

  /** The first of the chunks [from, to) of the leaf that is dirty in all of the maps, or `to`. */
  static #firstInLeaves(maps: readonly DirtyMap[], leafIndex: number, from: number, to: number): number {
    for (const map of maps) if (map.#leaves[leafIndex] === null) return to;
    for (let word = from >>> 5; word * 32 < to; word++) {
      let common = maskOf(word, from, to);
      for (const map of maps) common &= (map.#leaves[leafIndex] as Uint32Array)[word] as number;
      if (common !== 0) return word * 32 + lowestBit(common);
    }
    return to;
  }

  /**
   * Number of chunks that are dirty in every one of the maps and clean in `except`. There has to be at least one map, and all have to be
   * of the same size. null stands for a map without a dirty chunk.
   */
  static countInAll(maps: readonly (DirtyMap | null)[], except: DirtyMap | null = null): number {
    assert(maps.length > 0, 'dirty map: at least one map to look at');
    for (const map of maps) if (map === null || map.#dirtyCount === 0) return 0;
    const all = maps as readonly DirtyMap[];
    const one = all[0] as DirtyMap;
    for (const map of all) one.#assertSameSize(map);
    if (except !== null) one.#assertSameSize(except);
    if (all.length === 1 && (except === null || except.#dirtyCount === 0)) return one.#dirtyCount;
    let total = 0;
    for (let leafIndex = 0; leafIndex < one.leafCount; leafIndex++) total += DirtyMap.#countInLeaves(all, except, leafIndex);
    return total;
  }

  static #countInLeaves(maps: readonly DirtyMap[], except: DirtyMap | null, leafIndex: number): number {
    for (const map of maps) if (map.#leaves[leafIndex] === null) return 0;
    const not = except === null ? null : (except.#leaves[leafIndex] as Uint32Array | null);
    if (not === FULL_LEAF) return 0;
    const capacity = (maps[0] as DirtyMap).#capacity(leafIndex);
    let total = 0;
    for (let word = 0; word * 32 < capacity; word++) {
      let common = maskOf(word, 0, capacity);
      for (const map of maps) common &= (map.#leaves[leafIndex] as Uint32Array)[word] as number;
      if (not !== null) common &= ~(not[word] as number);
      if (common !== 0) total += popcount(common);
    }
    return total;
  }

  /** Whether the leaf has no dirty chunk. */
  leafEmpty(leafIndex: number): boolean {
    return this.#leaves[leafIndex] === null;
  }

  /** The state of the leaf. The last leaf may have fewer chunks than the others: it is full when all of these are dirty. */
  leafState(leafIndex: number): LeafState {
    const leaf = this.#leafAt(leafIndex);
    return leaf === null ? 'empty' : leaf === FULL_LEAF ? 'full' : 'mixed';
  }

  /** Whether the leaf has the same dirty chunks in both maps. The maps have to be of the same size. */
  leafEquals(leafIndex: number, other: DirtyMap): boolean {
    this.#assertSameSize(other);
    const mine = this.#leafAt(leafIndex);
    const theirs = other.#leafAt(leafIndex);
    if (mine === theirs) return true;
    // Leaves are in canonical form: an empty leaf equals only an empty one, and a full leaf only a full one.
    if (mine === null || theirs === null || mine === FULL_LEAF || theirs === FULL_LEAF) return false;
    if (this.#leafDirty[leafIndex] !== other.#leafDirty[leafIndex]) return false;
    for (let word = 0; word < WORDS_PER_LEAF; word++) if (mine[word] !== theirs[word]) return false;
    return true;
  }

  /**
   * The bits of a leaf as they are on disk. Bits beyond the end of the map are zero. The result is a view or a copy: read it at once,
   * and do not change it.
   */
  leafBytes(leafIndex: number): Uint8Array {
    const leaf = this.#leaves[leafIndex] as Uint32Array | null;
    if (leaf === null) return EMPTY_BYTES;
    if (leaf !== FULL_LEAF) return new Uint8Array(leaf.buffer);
    const capacity = this.#capacity(leafIndex);
    if (capacity === CHUNKS_PER_LEAF) return FULL_BYTES;
    const partial = new Uint32Array(WORDS_PER_LEAF);
    fillBits(partial, 0, capacity, true);
    return new Uint8Array(partial.buffer);
  }

  /** Replaces a leaf by bits as they are on disk. Returns null, or the reason why these bits can't be a leaf; then nothing has changed. */
  loadLeaf(leafIndex: number, bytes: Uint8Array): string | null {
    assert(bytes.length === LEAF_BYTES, 'dirty map: a whole leaf');
    const words = new Uint32Array(WORDS_PER_LEAF);
    new Uint8Array(words.buffer).set(bytes);
    const capacity = this.#capacity(leafIndex);
    const dirty = countBits(words, 0, capacity);
    if (countBits(words, capacity, CHUNKS_PER_LEAF) !== 0) return 'bits beyond the last chunk are set';
    this.#dirtyCount += dirty - (this.#leafDirty[leafIndex] as number);
    this.#leafDirty[leafIndex] = dirty;
    this.#leaves[leafIndex] = dirty === 0 ? null : dirty === capacity ? FULL_LEAF : words;
    return null;
  }

  /** Makes every chunk clean. */
  reset(): void {
    this.#leaves.fill(null);
    this.#leafDirty.fill(0);
    this.#dirtyCount = 0;
  }

  /** A new map with the same dirty chunks. Later changes of one map do not change the other. */
  clone(): DirtyMap {
    const copy = new DirtyMap(this.chunkCount);
    for (let i = 0; i < this.leafCount; i++) {
      const leaf = this.#leaves[i] as Uint32Array | null;
      copy.#leaves[i] = leaf === null || leaf === FULL_LEAF ? leaf : leaf.slice();
    }
    copy.#leafDirty.set(this.#leafDirty);
    copy.#dirtyCount = this.#dirtyCount;
    return copy;
  }

  /** Rechecks the invariants: the counts agree with the bits, and leaves are in canonical form. */
  verify(): void {
    let total = 0;
    for (let i = 0; i < this.leafCount; i++) {
      const leaf = this.#leaves[i] as Uint32Array | null;
      const capacity = this.#capacity(i);
      const dirty = leaf === null ? 0 : leaf === FULL_LEAF ? capacity : countBits(leaf, 0, capacity);
      assert(dirty === this.#leafDirty[i], 'dirty map: leaf count fits its bits');
      if (leaf !== null && leaf !== FULL_LEAF) {
        assert(dirty > 0 && dirty < capacity, 'dirty map: leaves that are empty or full are not kept');
        assert(countBits(leaf, capacity, CHUNKS_PER_LEAF) === 0, 'dirty map: no bit beyond the last chunk');
      }
      total += dirty;
    }
    assert(total === this.#dirtyCount, 'dirty map: count fits the leaves');
    assert(FULL_LEAF[0] === ALL_ONES && FULL_LEAF[WORDS_PER_LEAF - 1] === ALL_ONES, 'dirty map: the full leaf is full');
  }

  #assertSameSize(other: DirtyMap): void {
    assert(this.chunkCount === other.chunkCount, 'dirty map: both maps are of the same size');
  }

  #leafAt(leafIndex: number): Uint32Array | null {
    const leaf = this.#leaves[leafIndex];
    assert(leaf !== undefined, 'dirty map: leaf in range');
    return leaf;
  }

  #mergeLeaf(leafIndex: number, other: DirtyMap): number {
    const mine = this.#leaves[leafIndex] as Uint32Array | null;
    const theirs = other.#leaves[leafIndex] as Uint32Array | null;
    if (theirs === null || mine === FULL_LEAF || mine === theirs) return 0;
    const before = this.#leafDirty[leafIndex] as number;
    const capacity = this.#capacity(leafIndex);
    let after = capacity;
    if (theirs === FULL_LEAF) this.#leaves[leafIndex] = FULL_LEAF;
    else if (mine === null) {
      this.#leaves[leafIndex] = theirs.slice();
      after = other.#leafDirty[leafIndex] as number;
    } else {
      after = before + addBits(mine, theirs);
      if (after === capacity) this.#leaves[leafIndex] = FULL_LEAF;
    }
    this.#leafDirty[leafIndex] = after;
    return after - before;
  }

  #capacity(leafIndex: number): number {
    return Math.min(CHUNKS_PER_LEAF, this.chunkCount - leafIndex * CHUNKS_PER_LEAF);
  }

  #change(first: number, count: number, dirty: boolean): number {
    assert(first >= 0 && count >= 0 && first + count <= this.chunkCount, 'dirty map: range within the map');
    const end = first + count;
    let changed = 0;
    for (let at = first; at < end; ) {
      const leafIndex = Math.floor(at / CHUNKS_PER_LEAF);
      const base = leafIndex * CHUNKS_PER_LEAF;
      const stop = Math.min(end, base + CHUNKS_PER_LEAF);
      changed += this.#changeLeaf(leafIndex, at - base, stop - base, dirty);
      at = stop;
    }
    this.#dirtyCount += dirty ? changed : -changed;
    return changed;
  }

  #changeLeaf(leafIndex: number, from: number, to: number, dirty: boolean): number {
    const capacity = this.#capacity(leafIndex);
    const before = this.#leafDirty[leafIndex] as number;
    if (before === (dirty ? capacity : 0)) return 0;
    if (from === 0 && to === capacity) {
      this.#leaves[leafIndex] = dirty ? FULL_LEAF : null;
      this.#leafDirty[leafIndex] = dirty ? capacity : 0;
      return dirty ? capacity - before : before;
    }
    let leaf = this.#leaves[leafIndex] as Uint32Array | null;
    if (leaf === null || leaf === FULL_LEAF) {
      const wasFull = leaf === FULL_LEAF;
      leaf = new Uint32Array(WORDS_PER_LEAF);
      if (wasFull) fillBits(leaf, 0, capacity, true);
      this.#leaves[leafIndex] = leaf;
    }
    const changed = to - from === 1 ? changeBit(leaf, from, dirty) : changeBits(leaf, from, to, dirty);
    const after = dirty ? before + changed : before - changed;
    this.#leafDirty[leafIndex] = after;
    if (after === 0) this.#leaves[leafIndex] = null;
    else if (after === capacity) this.#leaves[leafIndex] = FULL_LEAF;
    return changed;
  }

  #next(from: number, end: number, dirty: boolean): number {
    assert(from >= 0 && end <= this.chunkCount, 'dirty map: range within the map');
    for (let at = from; at < end; ) {
      const leafIndex = Math.floor(at / CHUNKS_PER_LEAF);
      const base = leafIndex * CHUNKS_PER_LEAF;
      const stop = Math.min(end, base + CHUNKS_PER_LEAF);
      const leaf = this.#leaves[leafIndex] as Uint32Array | null;
      if (leaf === null || leaf === FULL_LEAF) {
        if ((leaf === FULL_LEAF) === dirty) return at;
      } else {
        const found = nextBit(leaf, at - base, stop - base, dirty);
        if (found < stop - base) return base + found;
      }
      at = stop;
    }
    return end;
  }
}

/** Bytes of bitmap in a leaf. A page of 4 KiB on disk has room for so many beside the headers of its eight sectors. */
export const LEAF_BYTES = 4032;
/** Chunks in a leaf: 3.94 GiB in chunks of 128 KiB. */
export const CHUNKS_PER_LEAF = LEAF_BYTES * 8;

const WORDS_PER_LEAF = LEAF_BYTES / 4;
const ALL_ONES = 0xffffffff;

assert(new Uint8Array(Uint32Array.of(1).buffer)[0] === 1, 'dirty map: the host is little-endian, as the disk format is');

/** Stands for every leaf that is full. It is shared, and so it is never written to. */
const FULL_LEAF = new Uint32Array(WORDS_PER_LEAF).fill(ALL_ONES);

/** How many of a leaf's chunks are dirty: none (`empty`), all (`full`), or some (`mixed`). */
export type LeafState = 'empty' | 'full' | 'mixed';

/** A run of dirty chunks. The chunks before and after it are clean. */
export interface ChunkRun {
  readonly first: number;
  readonly count: number;
}

const EMPTY_BYTES = new Uint8Array(LEAF_BYTES);
const FULL_BYTES = new Uint8Array(FULL_LEAF.buffer);

function popcount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** The bits of word `word` that lie in [from, to). */
function maskOf(word: number, from: number, to: number): number {
  const base = word * 32;
  const low = from > base ? ALL_ONES << (from - base) : ALL_ONES;
  const high = to < base + 32 ? (1 << (to - base)) - 1 : ALL_ONES;
  return low & high;
}

function countBits(words: Uint32Array, from: number, to: number): number {
  let total = 0;
  for (let word = from >>> 5; word * 32 < to; word++) total += popcount((words[word] as number) & maskOf(word, from, to));
  return total;
}

function changeBit(words: Uint32Array, bit: number, dirty: boolean): number {
  const word = bit >>> 5;
  const mask = 1 << (bit & 31);
  const before = words[word] as number;
  if (((before & mask) !== 0) === dirty) return 0;
  words[word] = before ^ mask;
  return 1;
}

function changeBits(words: Uint32Array, from: number, to: number, dirty: boolean): number {
  let changed = 0;
  for (let word = from >>> 5; word * 32 < to; word++) {
    const mask = maskOf(word, from, to);
    const before = words[word] as number;
    changed += popcount((dirty ? ~before : before) & mask);
    words[word] = dirty ? before | mask : before & ~mask;
  }
  return changed;
}

function fillBits(words: Uint32Array, from: number, to: number, dirty: boolean): void {
  changeBits(words, from, to, dirty);
}

/** Sets in `words` the bits of `others`. Returns how many were not set. */
function addBits(words: Uint32Array, others: Uint32Array): number {
  let changed = 0;
  for (let word = 0; word < WORDS_PER_LEAF; word++) {
    const before = words[word] as number;
    const added = (others[word] as number) & ~before;
    if (added === 0) continue;
    words[word] = before | added;
    changed += popcount(added);
  }
  return changed;
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}

/** The first bit in [from, to) that is `dirty`, or `to`. */
function nextBit(words: Uint32Array, from: number, to: number, dirty: boolean): number {
  for (let word = from >>> 5; word * 32 < to; word++) {
    const value = words[word] as number;
    const candidates = (dirty ? value : ~value) & maskOf(word, from, to);
    if (candidates !== 0) return word * 32 + lowestBit(candidates);
  }
  return to;
}
