import { ChunkGrid, DirtyMap } from '@rmr/dirty-map';
import { assert } from '@rmr/runtime';
import type { ByteRange, InSyncMember, MemberRecord } from '../pool-store.ts';
import { mergeRanges } from '../ranges.ts';
import type { MapAdd } from '../wire/control-message.ts';

/** A holder of the dirty maps of a pool: a member with its store, or the client that serves the pool. */
export interface MapHolder {
  readonly identity: { readonly chunkSizeBytes: number; readonly sizeBytes: number };
  /** The member table that is in force. */
  readonly members: readonly MemberRecord[];
  /** Null: all clean. */
  dirtyMap(memberId: number): DirtyMap | null;
}

/**
 * V5 (◆12, I8): which map adds may be made, and which ranges are owed as they would leave no member of the in-sync set with a
 * clean copy of a chunk, by this holder's maps. `inSync` is the set, and `members` the member table, that come into force with the
 * adds. An add is made when no holder objects: what one of them knows to be lacking, another may still take for the copy that
 * remains.
 *
 * A member that is out of the set is no copy to rely on, however clean it is: it may never have flushed what others have
 * flushed without it, and lose that with its power (I1).
 *
 * What a member lacks that is new, has a new store, or is copied anew, is never owed: there is no copy to be kept.
 */
export function judgeAdds(
  holder: MapHolder,
  { members, inSync }: { readonly members: readonly MemberRecord[]; readonly inSync: readonly InSyncMember[] },
  adds: readonly MapAdd[],
): { readonly make: MapAdd[]; readonly owed: ByteRange[] } {
  const grid = ChunkGrid.of(holder.identity);
  const make: MapAdd[] = [];
  const owed: ByteRange[] = [];
  for (const add of adds) {
    const { memberIds, ranges } = add;
    const holdsCopies = memberIds.filter((id) => !isNew(id, holder.members, members)).map((id) => holder.dirtyMap(id));
    const others = inSync.filter(({ memberId }) => !memberIds.includes(memberId)).map(({ memberId }) => holder.dirtyMap(memberId));
    assert(others.length > 0, 'I9: a member of the in-sync set is marked dirty');
    const allowed: ByteRange[] = [];
    for (const { offsetBytes, lengthBytes } of ranges) {
      const end = Math.min(offsetBytes + lengthBytes, grid.sizeBytes);
      if (offsetBytes >= end) continue;
      const endChunk = grid.endOf(offsetBytes, end - offsetBytes);
      let from = offsetBytes;
      for (let chunk = grid.firstOf(offsetBytes); chunk < endChunk; chunk++) {
        chunk = DirtyMap.firstInAll(others, chunk, endChunk);
        if (chunk < 0) break;
        // Dirty for those that leave too: no copy is lost by saying so.
        if (holdsCopies.every((map) => map?.test(chunk) === true)) continue;
        const chunkFrom = Math.max(grid.startOf(chunk), offsetBytes);
        const chunkEnd = Math.min(grid.startOf(chunk + 1), end);
        if (from < chunkFrom) allowed.push({ offsetBytes: from, lengthBytes: chunkFrom - from });
        owed.push({ offsetBytes: chunkFrom, lengthBytes: chunkEnd - chunkFrom });
        from = chunkEnd;
      }
      if (from < end) allowed.push({ offsetBytes: from, lengthBytes: end - from });
    }
    if (allowed.length > 0) make.push({ memberIds, ranges: allowed });
  }
  return { make, owed: mergeRanges(owed) };
}

/** Whether the member, with the store that it has in `members`, comes with this very table, or is accepted anew with it. */
function isNew(memberId: number, before: readonly MemberRecord[], members: readonly MemberRecord[]): boolean {
  const now = members.find((member) => member.memberId === memberId);
  const then = before.find((member) => member.memberId === memberId);
  if (now === undefined || then === undefined || now.storeUuid !== then.storeUuid) return true;
  return now.anew !== undefined && (now.anew.epoch !== then.anew?.epoch || now.anew.seq !== then.anew.seq);
}
