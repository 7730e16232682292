import { DirtyMap } from '@rmr/dirty-map';
import type { ByteRange, MemberRecord } from '../pool-store.ts';
import { mergeRanges } from '../ranges.ts';
import type { MapAdd } from '../wire/control-message.ts';

/** Whoever holds the dirty maps of a pool: a member, in its store, and the client that serves it. */
export interface MapHolder {
  readonly identity: { readonly chunkSizeBytes: number; readonly sizeBytes: number };
  /** The member table that is in force. */
  readonly members: readonly MemberRecord[];
  /** Null: all clean. */
  dirtyMap(memberId: number): DirtyMap | null;
}

/**
 * V5 (◆12, I8): which map adds may be made, and which ranges are owed as they would leave no member with a clean copy of a
 * chunk, by this holder's maps. `members` is the member table that comes into force with the adds. An add is made when no
 * holder objects: what one of them knows to be lacking, another may still take for the copy that remains.
 *
 * What a member lacks that is new, or has a new store, is never owed: there is no copy to be kept.
 */
export function judgeAdds(
  holder: MapHolder,
  members: readonly MemberRecord[],
  adds: readonly MapAdd[],
): { readonly make: MapAdd[]; readonly owed: ByteRange[] } {
  const { chunkSizeBytes, sizeBytes } = holder.identity;
  const make: MapAdd[] = [];
  const owed: ByteRange[] = [];
  for (const add of adds) {
    const { memberIds, ranges } = add;
    const holdsCopies = memberIds.filter((id) => !isNew(id, holder.members, members)).map((id) => holder.dirtyMap(id));
    const others = members
      .filter(({ memberId, role }) => role !== 'witness' && !memberIds.includes(memberId))
      .map(({ memberId }) => holder.dirtyMap(memberId));
    const allowed: ByteRange[] = [];
    for (const { offsetBytes, lengthBytes } of ranges) {
      const end = Math.min(offsetBytes + lengthBytes, sizeBytes);
      if (offsetBytes >= end) continue;
      const endChunk = Math.ceil(end / chunkSizeBytes);
      let from = offsetBytes;
      for (let chunk = Math.floor(offsetBytes / chunkSizeBytes); chunk < endChunk; chunk++) {
        chunk = DirtyMap.firstInAll(others, chunk, endChunk);
        if (chunk < 0) break;
        // Dirty for those that leave too: no copy is lost by saying so.
        if (holdsCopies.every((map) => map?.test(chunk) === true)) continue;
        const chunkFrom = Math.max(chunk * chunkSizeBytes, offsetBytes);
        const chunkEnd = Math.min((chunk + 1) * chunkSizeBytes, end);
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

/** Whether the member, with the store that it has in `members`, comes with this very table. */
function isNew(memberId: number, before: readonly MemberRecord[], members: readonly MemberRecord[]): boolean {
  const store = members.find((member) => member.memberId === memberId)?.storeUuid;
  return !before.some((member) => member.memberId === memberId && member.storeUuid === store);
}
