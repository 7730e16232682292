import { AWAITED_MS } from '../../../constants.ts';
import { overlapsAny } from '../../../ranges.ts';
import { isWriteType, MessageType } from '../../../wire/io-message.ts';
import type { IoEngine } from '../io/io-engine.ts';
import type { PoolMaps } from '../pool-maps.ts';

/**
 * The members outside of the set that IO has waited for: no member of the set has a chunk of it, and they have. It goes through the
 * requests only while there is such a chunk.
 */
export function awaitedMembers({ engine, maps, inSyncIds, outIds, owedIds, nowMs }: AwaitedView): ReadonlySet<number> {
  const awaited = new Set<number>();
  const heldElsewhere = maps.heldElsewhere(inSyncIds);
  if (heldElsewhere < 0 && engine.owed.length === 0) return awaited;
  const addHolders = (chunk: number): void => {
    for (const memberId of outIds) if (!maps.of(memberId).test(chunk)) awaited.add(memberId);
  };
  engine.forEachRequest(({ type, offsetBytes, lengthBytes, submittedAtMs }) => {
    if (nowMs - submittedAtMs < AWAITED_MS || type === MessageType.EXTENTS || awaited.size === outIds.length) return;
    if (type === MessageType.FLUSH) {
      if (heldElsewhere >= 0) addHolders(heldElsewhere);
      return;
    }
    if (isWriteType(type) && overlapsAny({ offsetBytes, lengthBytes }, engine.owed)) for (const memberId of owedIds) awaited.add(memberId);
    const first = maps.firstOf(offsetBytes);
    const end = maps.endOf(offsetBytes, lengthBytes);
    for (let chunk = maps.dirtyForAll(inSyncIds, first, end); chunk >= 0; chunk = maps.dirtyForAll(inSyncIds, chunk + 1, end))
      addHolders(chunk);
  });
  return awaited;
}

/** What {@link awaitedMembers} looks at. */
export interface AwaitedView {
  readonly engine: Pick<IoEngine, 'owed' | 'forEachRequest'>;
  readonly maps: PoolMaps;
  readonly inSyncIds: readonly number[];
  /** The other members with data. */
  readonly outIds: readonly number[];
  /** The members that owed adds are for (V5). */
  readonly owedIds: readonly number[];
  readonly nowMs: number;
}
