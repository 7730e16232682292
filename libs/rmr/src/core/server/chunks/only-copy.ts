import { ChunkGrid, DirtyMap } from '@rmr/dirty-map';
import type { PoolStore } from '../../../pool-store.ts';

/**
 * Bytes in chunks that this store has and every other member with data has missed, as this store knows: with it they would be gone. Never
 * less than there are: what others have pulled is heard of a little later (R3). 0 where the store was not in the in-sync set of its version,
 * and so has nothing that others lack, and in a pool of one member, which never has another copy. Costs what a walk through the maps
 * costs, where there is more than one other member or this one has missed something itself.
 */
export function onlyCopyBytes(store: Pick<PoolStore, 'identity' | 'version' | 'members' | 'dirtyMap'>): number {
  const { memberId, witness } = store.identity;
  if (witness === true || store.version?.inSync.some((member) => member.memberId === memberId) !== true) return 0;
  const others = store.members
    .filter((member) => member.memberId !== memberId && member.role !== 'witness')
    .map((member) => member.memberId);
  if (others.length === 0) return 0;
  const maps = others.map((other) => store.dirtyMap(other));
  const own = store.dirtyMap(memberId);
  const chunks = DirtyMap.countInAll(maps, own);
  if (chunks === 0) return 0;
  const grid = ChunkGrid.of(store.identity);
  const last = grid.chunkCount - 1;
  return grid.bytesOf(chunks, maps.every((map) => map?.test(last) === true) && own?.test(last) !== true);
}
