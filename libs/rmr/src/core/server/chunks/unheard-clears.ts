import { ChunkGrid, DirtyMap } from '@rmr/dirty-map';
import type { DirtyChange, PoolStore } from '../../../pool-store.ts';
import type { MapKnown } from '../../../wire/control-message.ts';

/**
 * What the client knows to have become clean for other members, and this holder has not heard of. It may never hear of it:
 * a member that is away, or has left, answers no map check. Left dirty here, the last clean copy of a chunk would be
 * forgotten if this holder were the only one to remember (I8).
 */
export function unheardClears(store: PoolStore, known: readonly KnownColumn[]): DirtyChange[] {
  const grid = ChunkGrid.of(store.identity);
  const clears: DirtyChange[] = [];
  for (const { memberId, map } of known) {
    const held = store.dirtyMap(memberId);
    if (held === null) continue;
    const { chunkCount } = map;
    // One range for each gap in what is known, however scattered what is held: a record has room for so many (I12).
    const ranges: { offsetBytes: number; lengthBytes: number }[] = [];
    for (let clean = map.nextClean(0); clean < chunkCount; ) {
      const dirty = map.nextDirty(clean);
      if (held.nextDirty(clean, dirty) < dirty) ranges.push(grid.rangeOf(clean, dirty - clean));
      clean = dirty < chunkCount ? map.nextClean(dirty) : chunkCount;
    }
    if (ranges.length > 0) clears.push({ memberIds: [memberId], ranges });
  }
  return clears;
}

/** All that may be dirty for a member, as the client knows. */
export interface KnownColumn {
  readonly memberId: number;
  readonly map: DirtyMap;
}

/** The ranges of a version record as columns (V2). */
export function knownColumns({ identity }: PoolStore, known: readonly MapKnown[]): KnownColumn[] {
  const grid = ChunkGrid.of(identity);
  return known.map(({ memberId, dirty }) => {
    const map = new DirtyMap(grid.chunkCount);
    for (const { offsetBytes, lengthBytes } of dirty) {
      const first = grid.firstOf(offsetBytes);
      const end = Math.min(grid.endOf(offsetBytes, lengthBytes), grid.chunkCount);
      if (first < end) map.set(first, end - first);
    }
    return { memberId, map };
  });
}

/** What is dirty by both: as {@link unheardClears}, for a column that was handed over whole and may be scattered. */
export function dirtyByBoth(held: DirtyMap, known: DirtyMap): DirtyMap {
  const both = new DirtyMap(held.chunkCount);
  held.forEachRun((first, count) => {
    const end = first + count;
    for (let dirty = known.nextDirty(first, end); dirty < end; ) {
      const clean = known.nextClean(dirty, end);
      both.set(dirty, clean - dirty);
      dirty = clean < end ? known.nextDirty(clean, end) : end;
    }
  });
  return both;
}
