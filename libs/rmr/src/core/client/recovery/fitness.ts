import { formatSize } from '@rmr/runtime';
import type { MemberRecord } from '../../../pool-store.ts';
import { formatVersion } from '../../../version.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import type { Leg } from '../legs/leg.ts';
import type { PoolGeometry } from '../pool-client-types.ts';
import type { Assembled } from './recovery-options.ts';

/** Why a member that answers can't take part in the pool. Empty if it can. */
export function unfitness(
  leg: Leg,
  { identity }: ProbeResult,
  pool: { readonly poolUuid: string; readonly queueDepth: number },
  isWitness = false,
): string {
  const at = leg.member.addresses.join(' or ');
  if (identity.poolUuid !== pool.poolUuid) return `${leg.describe()} has a store of pool ${identity.poolUuid}`;
  if (identity.memberId !== leg.member.memberId)
    return `the storage node at ${at} has store ${identity.storeUuid} of member ${identity.memberId}, where ${leg.describe()} is expected`;
  if ((identity.witness === true) !== isWitness)
    return `${leg.describe()} has a store ${isWitness ? 'with data, where a witness' : 'without data, as of a witness, where a member with data'} is expected`;
  if (identity.queueDepth < pool.queueDepth) {
    return `${leg.describe()} was created with queue depth ${identity.queueDepth}; configure queueDepth ${identity.queueDepth} or less`;
  }
  return '';
}

/** Why a member can't return to the pool that is served. Empty if it can. */
export function unfitToReturn(
  leg: Leg,
  probe: ProbeResult,
  pool: {
    readonly poolUuid: string;
    readonly queueDepth: number;
    readonly lineageUuid: string | undefined;
    readonly formerLineages: readonly string[];
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
  if (known.storeUuid !== storeUuid) {
    const what =
      probe.version === null
        ? 'an empty store that was never in service'
        : `a store that was in service as version ${formatVersion(probe.version)}`;
    return `${leg.describe()} has store ${storeUuid}, ${what}, where the pool knows ${known.storeUuid}`;
  }
  const lineage = probe.version?.lineageUuid;
  if (lineage !== undefined && lineage !== pool.lineageUuid && !pool.formerLineages.includes(lineage))
    return `${leg.describe()} belongs to another lineage of this pool (${lineage}), which does not descend from the one that is served, nor that one from it`;
  if (sizeBytes !== pool.geometry?.sizeBytes || chunkSizeBytes !== pool.geometry.chunkSizeBytes)
    return `${describeGeometry(leg)}, and the pool has ${pool.geometry === null ? 'none yet' : geometryText(pool.geometry)}`;
  return '';
}

/** Whether the stores of two legs, which were probed, have the same size and chunk size. */
export function sameGeometry(a: Leg, b: Leg): boolean {
  const first = (a.probe as ProbeResult).identity;
  const second = (b.probe as ProbeResult).identity;
  return first.sizeBytes === second.sizeBytes && first.chunkSizeBytes === second.chunkSizeBytes;
}

interface Geometry {
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
}

/** `10 GiB (10737418240 bytes) in chunks of 128 KiB`: sizes that differ by a sector look the same otherwise. */
export function geometryText({ sizeBytes, chunkSizeBytes }: Geometry): string {
  return `${formatSize(sizeBytes)} (${sizeBytes} bytes) in chunks of ${formatSize(chunkSizeBytes)}`;
}

/** `member 1 (storage-1) has a store for a device of 10 GiB (10737418240 bytes) in chunks of 128 KiB`, for people. The leg was probed. */
export function describeGeometry(leg: Leg): string {
  return `${leg.describe()} has a store for a device of ${geometryText((leg.probe as ProbeResult).identity)}`;
}

/** Size and features of a pool: a feature is one if every store has it. */
export function geometryOf(legs: readonly Leg[]): Assembled['geometry'] {
  const probes = legs.map((leg) => leg.probe as ProbeResult);
  const { sizeBytes, chunkSizeBytes } = (probes[0] as ProbeResult).identity;
  return {
    sizeBytes,
    chunkSizeBytes,
    fastPunch: probes.every((probe) => probe.features.fastPunch),
    fastZero: probes.every((probe) => probe.features.fastZero),
  };
}
