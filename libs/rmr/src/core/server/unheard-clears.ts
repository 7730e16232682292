import type { DirtyChange, PoolStore } from '../../pool-store.ts';
import type { MapKnown } from '../../wire/control-message.ts';

/**
 * V2: what the client knows to have become clean for members that are outside of the set now, and this holder has not
 * heard of. Nobody could tell it any more: a member that left answers no map check. Left dirty here, the last clean copy
 * of a chunk would be forgotten if this holder were the only one to remember (I8).
 */
export function unheardClears(store: PoolStore, known: readonly MapKnown[]): DirtyChange[] {
  const { chunkSizeBytes, sizeBytes } = store.identity;
  const chunkCount = Math.ceil(sizeBytes / chunkSizeBytes);
  const clears: DirtyChange[] = [];
  for (const { memberId, dirty } of known) {
    const held = store.dirtyMap(memberId);
    if (held === null || held.dirtyCount === 0) continue;
    const ranges: { offsetBytes: number; lengthBytes: number }[] = [];
    const clean = (from: number, end: number): void => {
      const first = held.nextDirty(from, Math.max(from, end));
      if (first >= end) return;
      const offsetBytes = first * chunkSizeBytes;
      ranges.push({ offsetBytes, lengthBytes: Math.min(end * chunkSizeBytes, sizeBytes) - offsetBytes });
    };
    let at = 0;
    for (const { offsetBytes, lengthBytes } of [...dirty].sort((a, b) => a.offsetBytes - b.offsetBytes)) {
      clean(at, Math.min(Math.floor(offsetBytes / chunkSizeBytes), chunkCount));
      at = Math.max(at, Math.min(Math.ceil((offsetBytes + lengthBytes) / chunkSizeBytes), chunkCount));
    }
    clean(at, chunkCount);
    if (ranges.length > 0) clears.push({ memberIds: [memberId], ranges });
  }
  return clears;
}
