import type { ByteRange, MemberRecord, PoolStore } from '../../pool-store.ts';
import type { MapAdd } from '../../wire/control-message.ts';

/**
 * V5 (◆12, I8): which map adds may be made here, and which ranges are owed as they would leave no member with a clean
 * copy of a chunk, by this holder's maps.
 */
export function judgeAdds(
  store: PoolStore,
  members: readonly MemberRecord[],
  adds: readonly MapAdd[],
): { readonly make: MapAdd[]; readonly owed: ByteRange[] } {
  const { memberId, chunkSizeBytes, sizeBytes } = store.identity;
  const own = store.dirtyMap(memberId);
  if (own === null || own.dirtyCount === 0) return { make: [...adds], owed: [] };
  const make: MapAdd[] = [];
  const owed: ByteRange[] = [];
  for (const { memberIds, ranges } of adds) {
    const others = members.map((member) => member.memberId).filter((id) => !memberIds.includes(id));
    const lastClean = (chunk: number): boolean => others.every((id) => store.dirtyMap(id)?.test(chunk) === true);
    const allowed: ByteRange[] = [];
    for (const { offsetBytes, lengthBytes } of ranges) {
      const end = Math.min(offsetBytes + lengthBytes, sizeBytes);
      let from = offsetBytes;
      for (let chunk = Math.floor(offsetBytes / chunkSizeBytes); chunk * chunkSizeBytes < end; chunk++) {
        if (!own.test(chunk) || !lastClean(chunk)) continue;
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
  return { make, owed };
}
