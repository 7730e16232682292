import { CHUNKS_PER_LEAF, type DirtyMap, LEAF_BYTES } from '@rmr/dirty-map';
import { LEAVES_PER_MESSAGE } from '../constants.ts';
import type { MapLeaves } from '../wire/control-message.ts';

const FULL = 'full';
const EMPTY = 'empty';

function toText(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

function fromText(text: string): Uint8Array | null {
  let binary: string;
  try {
    binary = atob(text);
  } catch {
    return null;
  }
  if (binary.length !== LEAF_BYTES) return null;
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** One leaf as it travels. */
export function encodeLeaf(map: DirtyMap, leaf: number): MapLeaves[number] {
  const state = map.leafState(leaf);
  return [leaf, state === 'empty' ? EMPTY : state === 'full' ? FULL : toText(map.leafBytes(leaf))];
}

/** Brings one leaf into a map. Returns why it is not acceptable, or null. */
export function applyLeaf(map: DirtyMap, [leaf, text]: MapLeaves[number]): string | null {
  if (leaf >= map.leafCount) return `leaf ${leaf} lies beyond the map`;
  const first = leaf * CHUNKS_PER_LEAF;
  const count = Math.min(CHUNKS_PER_LEAF, map.chunkCount - first);
  if (text === EMPTY) {
    map.clear(first, count);
    return null;
  }
  if (text === FULL) {
    map.set(first, count);
    return null;
  }
  const bytes = fromText(text);
  return bytes === null ? `leaf ${leaf} is malformed` : map.loadLeaf(leaf, bytes);
}

/** The leaves of a map that are not empty, from `fromLeaf` on, as many as fit a message. */
export function readLeaves(map: DirtyMap | null, fromLeaf: number): { leaves: MapLeaves; nextLeaf: number | null } {
  const leaves: MapLeaves = [];
  if (map === null) return { leaves, nextLeaf: null };
  for (let leaf = fromLeaf; leaf < map.leafCount; leaf++) {
    if (map.leafEmpty(leaf)) continue;
    if (leaves.length === LEAVES_PER_MESSAGE) return { leaves, nextLeaf: leaf };
    leaves.push(encodeLeaf(map, leaf));
  }
  return { leaves, nextLeaf: null };
}

/**
 * Runs of chunks that `held` has dirty and that the owner, which answered with these leaves, has clean. `reason` when the
 * answer is malformed. At most `limit` runs: the rest is found when the owner is asked again.
 */
export function clearedRuns(
  held: DirtyMap,
  scratch: DirtyMap,
  fromLeaf: number,
  answer: { readonly leaves: MapLeaves; readonly nextLeaf: number | null },
  limit: number,
): { readonly runs: readonly (readonly [first: number, count: number])[]; readonly reason: string | null } {
  const runs: (readonly [number, number])[] = [];
  scratch.reset();
  for (const leaf of answer.leaves) {
    const reason = applyLeaf(scratch, leaf);
    if (reason !== null) return { runs: [], reason };
  }
  const from = Math.min(fromLeaf * CHUNKS_PER_LEAF, held.chunkCount);
  const end = answer.nextLeaf === null ? held.chunkCount : Math.min(answer.nextLeaf * CHUNKS_PER_LEAF, held.chunkCount);
  for (let at = held.nextDirty(from, end); at < end && runs.length < limit; ) {
    const stop = held.nextClean(at, end);
    // Within a run that is dirty here: what the owner has clean.
    for (let clean = scratch.nextClean(at, stop); clean < stop && runs.length < limit; ) {
      const cleanEnd = scratch.nextDirty(clean, stop);
      runs.push([clean, cleanEnd - clean]);
      clean = scratch.nextClean(cleanEnd, stop);
    }
    at = held.nextDirty(stop, end);
  }
  return { runs, reason: null };
}
