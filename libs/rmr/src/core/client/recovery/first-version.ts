import { assert, randomUuid, type World } from '@rmr/runtime';
import { FORMER_LINEAGES_MAX } from '../../../constants.ts';
import type { MemberRecord, PoolPolicy, VersionRecord } from '../../../pool-store.ts';
import { compareVersions, sameVersion } from '../../../version.ts';
import type { ClaimResult } from '../../../wire/control-message.ts';
import type { Leg } from '../legs/leg.ts';
import type { PoolMaps } from '../pool-maps.ts';
import { dataMembers, datedTable, suffices } from '../versions/member-records.ts';
import { memberTable, unknownColumns } from '../versions/member-table.ts';
import type { VersionMemory } from '../versions/versions.ts';
import { assembleMaps, type Grant, holdersOf, passOverUnreadable, reconcile } from './assembly.ts';

/** What is recorded when the pool is taken into service. */
export interface FirstVersion {
  readonly version: VersionRecord;
  /** The legs of the version's in-sync set. All of them record it, with data and maps. */
  readonly legs: readonly Leg[];
  /** The witness, which records the version without data. Null if there is no witness, or it has not granted. */
  readonly witness: Leg | null;
  readonly members: readonly MemberRecord[];
  readonly policy: PoolPolicy;
  /** The complete dirty maps of all members. */
  readonly maps: PoolMaps;
  /** The legs that have a version of another lineage, which this version's lineage names as a former one. */
  readonly foreign: readonly Leg[];
  /** The ids of former members, whose columns are erased. */
  readonly erase: readonly number[];
  /** Whether every member may have lost data that it had accepted and not flushed. */
  readonly allVolatileLost: boolean;
}

/** What the first version of an epoch is made from. */
export interface FirstVersionInputs {
  /** The epoch that was granted. */
  readonly epoch: number;
  /** The legs to serve the pool with, at least one. They have been probed, and have granted. */
  readonly legs: readonly Leg[];
  /** What each leg that was asked has granted. These are the `legs`, and with quorum `majority` also legs that only vote. */
  readonly claims: ReadonlyMap<Leg, ClaimResult>;
  /** The grants of the `legs`, with the maps that they hold. */
  readonly grants: readonly Grant[];
  /** The highest version of the newest lineage. Null if the pool is being born. */
  readonly highest: VersionRecord | null;
  /** What this client remembers of serving the pool, if it goes on by that (L5). Null otherwise. */
  readonly memory: VersionMemory | null;
  /** Whether an operator has decided to serve the pool with what is there. */
  readonly forced: boolean;
  /** The quorum that a pool is born with. */
  readonly quorum: PoolPolicy['quorum'];
  /** All legs that are not being removed, whether they take part or not. */
  readonly allLegs: readonly Leg[];
  readonly witness: Leg | null;
  /** Empty maps of the pool's size. The maps of all members are put together here. */
  readonly maps: PoolMaps;
}

/**
 * Decides what the first version of an epoch is. It assembles and reconciles the maps, and says what is to be recorded with them. It
 * sends nothing. It draws the UUID of a new lineage from `world`, and logs a warning for a pool that is forced.
 */
export function firstVersion(world: Pick<World, 'random' | 'log' | 'clock'>, inputs: FirstVersionInputs): FirstVersion {
  const { epoch, legs, claims, grants, highest, memory, forced, witness, maps } = inputs;
  const results = legs.map((leg) => claims.get(leg) as ClaimResult);
  // The past of the witness counts, too, if it has granted.
  const granted = new Map([...claims].filter(([leg]) => legs.includes(leg) || leg === witness));
  const members = memberTable(memory?.members ?? null, inputs.allLegs, witness, granted, world.clock.wallMs());
  const memberIds = dataMembers(members).map((member) => member.memberId);
  const inSync = legs.map((leg) => ({ memberId: leg.member.memberId, storeUuid: storeOf(leg) }));
  const lineageUuid = highest === null || forced ? randomUuid(world.random) : highest.lineageUuid;
  let policy = policySoFar(inputs);
  if (highest === null) {
    // C0: at the birth of a pool, one member at most was created to keep its data. All others have to copy that data.
    const kept = legs.filter((leg) => leg.probe?.identity.createdZeroed === false).map((leg) => leg.member.memberId);
    assert(kept.length <= 1, 'C0: two members were created to keep their data');
    const [source] = kept;
    if (source !== undefined) for (const memberId of memberIds) if (memberId !== source) maps.of(memberId).set(0, maps.chunkCount);
  } else {
    assembleMaps(maps, holdersOf(grants, highest, memory !== null, members), memberIds);
    passOverUnreadable(maps, grants);
    reconcile(maps, grants, memberIds);
  }
  if (forced && highest !== null) {
    // Nothing counts that members have which are not here. A chunk that no member here has clean is LOST (I8).
    for (const memberId of memberIds) {
      if (!inSync.some((member) => member.memberId === memberId)) maps.of(memberId).set(0, maps.chunkCount);
    }
    const isThere = ({ memberId }: MemberRecord): boolean => inSync.some((member) => member.memberId === memberId);
    // Without a majority, all IO would wait for members that are left behind.
    const quorum = suffices(isThere, { members, policy }, { members, policy }) ? policy.quorum : 'none';
    policy = { ...policy, quorum, formerLineages: [...policy.formerLineages, highest.lineageUuid].slice(-FORMER_LINEAGES_MAX) };
    world.log.warn('the pool is forced into service as a new lineage', {
      lineage: lineageUuid,
      former: highest.lineageUuid,
      members: inSync.map((member) => member.memberId),
      firstLostChunk: maps.dirtyForAll(memberIds),
      quorum,
    });
  }
  maps.noteLost(memberIds);
  // The id of a removed member is never given to another one, as stores may still have a column of it.
  policy = { ...policy, highestMemberId: Math.max(policy.highestMemberId, ...members.map((member) => member.memberId)) };
  const version: VersionRecord = { lineageUuid, epoch, seq: 1, inSync, horizon: 0 };
  // Versions are ordered within a lineage. The first one of a new lineage has no version to rise above.
  assert(forced || highest === null || compareVersions(version, highest) > 0, 'V1: a version does not rise');
  return {
    version,
    legs,
    witness: witness !== null && claims.has(witness) && !legs.includes(witness) ? witness : null,
    members: datedTable(withoutHalfJoined(members, legs, claims, lineageUuid), version),
    policy,
    maps,
    foreign: legs.filter((leg) => (claims.get(leg)?.version?.lineageUuid ?? lineageUuid) !== lineageUuid),
    erase: unknownColumns(results, members),
    allVolatileLost: grants.every((grant) => grant.volatileLost),
  };
}

/**
 * L8: the member table without the `joined` version of members that have not recorded that version. Such a member was about to join in
 * an attempt that came to an end. It joins with the version that is made now. With the old `joined`, a client that finds a later version
 * would think that the member had recorded it.
 */
function withoutHalfJoined(
  members: readonly MemberRecord[],
  legs: readonly Leg[],
  claims: ReadonlyMap<Leg, ClaimResult>,
  lineageUuid: string,
): MemberRecord[] {
  const has = (leg: Leg, { epoch, seq }: NonNullable<MemberRecord['joined']>): boolean => {
    const version = claims.get(leg)?.version;
    return version?.lineageUuid === lineageUuid && (version.epoch > epoch || (version.epoch === epoch && version.seq >= seq));
  };
  return members.map((member) => {
    const leg = legs.find((each) => each.member.memberId === member.memberId);
    const { joined, ...rest } = member;
    return leg === undefined || joined === undefined || has(leg, joined) ? member : rest;
  });
}

/** The policy that this client remembers, or else that of the holder of the highest version. At birth it is the configured one. */
function policySoFar({ legs, claims, highest, memory, quorum }: FirstVersionInputs): PoolPolicy {
  if (memory !== null) return memory.policy;
  if (highest !== null) return (claims.get(holderOf(legs, claims, highest)) as ClaimResult).policy;
  return { quorum, highestMemberId: 0, formerLineages: [] };
}

/** A leg that holds the highest version. If none does, the version may be that of a witness, and the first leg is returned. */
function holderOf(legs: readonly Leg[], claims: ReadonlyMap<Leg, ClaimResult>, highest: VersionRecord): Leg {
  const holder = legs.find((leg) => {
    const version = claims.get(leg)?.version;
    return version != null && sameVersion(version, highest);
  });
  return holder ?? (legs[0] as Leg);
}

/** The UUID of the store with which a leg has answered its probe. */
export function storeOf(leg: Leg): string {
  assert(leg.probe !== null, 'recovery: a participant has not answered');
  return leg.probe.identity.storeUuid;
}

/** The version with which a leg has answered its probe. */
export function versionOf(leg: Leg): VersionRecord {
  const version = leg.probe?.version;
  assert(version != null, 'recovery: a member without a version');
  return version;
}
