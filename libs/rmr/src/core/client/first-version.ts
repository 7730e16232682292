import { assert, randomUuid, type World } from '@rmr/runtime';
import { FORMER_LINEAGES_MAX } from '../../constants.ts';
import type { MemberRecord, PoolPolicy, VersionRecord } from '../../pool-store.ts';
import { compareVersions, sameVersion } from '../../version.ts';
import type { ClaimResult } from '../../wire/control-message.ts';
import { assembleMaps, type Grant, holdersOf, passOverUnreadable, reconcile } from './assembly.ts';
import type { Leg } from './leg.ts';
import { memberTable, unknownColumns } from './member-table.ts';
import { dataMembers, datedTable, suffices } from './membership.ts';
import type { PoolMaps } from './pool-maps.ts';
import type { VersionMemory } from './version-memory.ts';

/** What is recorded when the pool is taken into service. */
export interface FirstVersion {
  readonly version: VersionRecord;
  /** The legs of its in-sync set: all of them record it, with data and maps. */
  readonly legs: readonly Leg[];
  /** Records it too, without data; null: there is no witness, or it has not granted. */
  readonly witness: Leg | null;
  readonly members: readonly MemberRecord[];
  readonly policy: PoolPolicy;
  /** The dirty maps of all members, complete. */
  readonly maps: PoolMaps;
  /** Legs that have a version of another lineage, which this one follows. */
  readonly foreign: readonly Leg[];
  /** Columns of members that are none any more. */
  readonly erase: readonly number[];
  /** Every member may have lost data that it had accepted and not flushed. */
  readonly allVolatileLost: boolean;
}

/** What the first version of an epoch follows from. */
export interface FirstVersionInputs {
  /** The epoch that was granted. */
  readonly epoch: number;
  /** The legs to serve the pool with, at least one. They were probed, and have granted. */
  readonly legs: readonly Leg[];
  /** What each leg that was asked has granted: the `legs`, and with a quorum others, which only vote. */
  readonly claims: ReadonlyMap<Leg, ClaimResult>;
  /** The grants of the `legs`, with the maps that they hold. */
  readonly grants: readonly Grant[];
  /** The highest version of the newest lineage; null: the pool is being born. */
  readonly highest: VersionRecord | null;
  /** What this client remembers of having served the pool, where it goes on with that (L5); null where it does not. */
  readonly memory: VersionMemory | null;
  /** An operator has decided to serve the pool with what is there. */
  readonly forced: boolean;
  /** The quorum that a pool is born with. */
  readonly quorum: PoolPolicy['quorum'];
  /** All legs that are not on their way out, whether they take part or not. */
  readonly allLegs: readonly Leg[];
  readonly witness: Leg | null;
  /** Of the pool's size, and empty: here the maps are assembled. */
  readonly maps: PoolMaps;
}

/**
 * Decides what the first version of an epoch is: assembles and reconciles the maps, and says what is to be recorded with
 * them. It sends nothing. The UUID of a new lineage is drawn from `world`; a pool that is forced is worth a warning.
 */
export function firstVersion(world: Pick<World, 'random' | 'log' | 'clock'>, inputs: FirstVersionInputs): FirstVersion {
  const { epoch, legs, claims, grants, highest, memory, forced, witness, maps } = inputs;
  const results = legs.map((leg) => claims.get(leg) as ClaimResult);
  // The witness has shown its past too, where it has granted.
  const granted = new Map([...claims].filter(([leg]) => legs.includes(leg) || leg === witness));
  const members = memberTable(memory?.members ?? null, inputs.allLegs, witness, granted, world.clock.wallMs());
  const memberIds = dataMembers(members).map((member) => member.memberId);
  const inSync = legs.map((leg) => ({ memberId: leg.member.memberId, storeUuid: storeOf(leg) }));
  const lineageUuid = highest === null || forced ? randomUuid(world.random) : highest.lineageUuid;
  let policy = policySoFar(inputs);
  if (highest === null) {
    // C0: a pool that is born: the others have the data to take over of the one that was created to keep it, of which there is one at most.
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
    // Whoever is not here comes back with nothing that counts; what nobody here has clean is lost (I8).
    for (const memberId of memberIds) {
      if (!inSync.some((member) => member.memberId === memberId)) maps.of(memberId).set(0, maps.chunkCount);
    }
    const isThere = ({ memberId }: MemberRecord): boolean => inSync.some((member) => member.memberId === memberId);
    // Without a majority all IO would wait for those that are left behind.
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
  // The id of a member that was removed is never given to another one: stores may still have a column of it.
  policy = { ...policy, highestMemberId: Math.max(policy.highestMemberId, ...members.map((member) => member.memberId)) };
  const version: VersionRecord = { lineageUuid, epoch, seq: 1, inSync, horizon: 0 };
  // Versions are ordered within a lineage: the first one of a new lineage has nothing to rise above.
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
 * L8: the table without the version with which members have joined that have not recorded it: they were about to, in an attempt
 * that came to an end, and join with the version that is made now. Else whoever finds a later version would think that they had.
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

/** The policy as this client or else the holder of the highest version remembers it; at birth the configured one. */
function policySoFar({ legs, claims, highest, memory, quorum }: FirstVersionInputs): PoolPolicy {
  if (memory !== null) return memory.policy;
  if (highest !== null) return (claims.get(holderOf(legs, claims, highest)) as ClaimResult).policy;
  return { quorum, highestMemberId: 0, formerLineages: [] };
}

/** A leg that holds the highest version; the first one where nobody does, as it may be that of a witness. */
function holderOf(legs: readonly Leg[], claims: ReadonlyMap<Leg, ClaimResult>, highest: VersionRecord): Leg {
  const holder = legs.find((leg) => {
    const version = claims.get(leg)?.version;
    return version != null && sameVersion(version, highest);
  });
  return holder ?? (legs[0] as Leg);
}

/** The UUID of the store that a leg, which was probed, has answered with. */
export function storeOf(leg: Leg): string {
  assert(leg.probe !== null, 'recovery: a participant has not answered');
  return leg.probe.identity.storeUuid;
}

/** The version of a leg that has answered the probe with one. */
export function versionOf(leg: Leg): VersionRecord {
  const version = leg.probe?.version;
  assert(version != null, 'recovery: a member without a version');
  return version;
}
