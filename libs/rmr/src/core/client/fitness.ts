import type { MemberRecord } from '../../pool-store.ts';
import type { ProbeResult } from '../../wire/control-message.ts';
import type { Leg } from './leg.ts';
import type { PoolGeometry } from './pool-client-types.ts';

/** Why a member that answers can't take part in the pool, or an empty string. */
export function unfitness(leg: Leg, { identity }: ProbeResult, pool: { readonly poolUuid: string; readonly queueDepth: number }): string {
  if (identity.poolUuid !== pool.poolUuid) return `${leg.describe()} has a store of pool ${identity.poolUuid}`;
  if (identity.memberId !== leg.member.memberId) {
    return `${leg.member.name} has the store of member ${identity.memberId}, where this node's configuration expects member ${leg.member.memberId}`;
  }
  if (identity.queueDepth < pool.queueDepth) {
    return `${leg.describe()} was created with queue depth ${identity.queueDepth}; configure queueDepth ${identity.queueDepth} or less`;
  }
  return '';
}

/** Why a member can't return to the pool that is served, with what to do; empty when it can. */
export function unfitToReturn(
  leg: Leg,
  probe: ProbeResult,
  pool: {
    readonly poolUuid: string;
    readonly queueDepth: number;
    readonly lineageUuid: string | undefined;
    readonly members: readonly MemberRecord[];
    readonly geometry: PoolGeometry | null;
  },
): string {
  if (pool.lineageUuid !== undefined && probe.policy.formerLineages.includes(pool.lineageUuid))
    return `${leg.describe()} belongs to a newer lineage, into which the pool was forced without those that are served here`;
  const unfit = unfitness(leg, probe, pool);
  if (unfit !== '') return unfit;
  const { storeUuid, sizeBytes, chunkSizeBytes } = probe.identity;
  const known = pool.members.find((member) => member.memberId === leg.member.memberId);
  if (known === undefined) return `${leg.describe()} is not a member of this pool: add it`;
  if (known.storeUuid !== storeUuid)
    return `${leg.describe()} has store ${storeUuid}, where the pool knows ${known.storeUuid}: replace the member's store, or bring the former one back`;
  if (sizeBytes !== pool.geometry?.sizeBytes || chunkSizeBytes !== pool.geometry.chunkSizeBytes)
    return `${leg.describe()} differs from the pool in size or chunk size`;
  return '';
}
