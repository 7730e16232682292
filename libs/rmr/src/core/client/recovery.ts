import { assert, randomUuid, type World } from '@rmr/runtime';
import { RECOVERY_RETRY_MS, RECOVERY_RETRY_MS_MAX } from '../../constants.ts';
import type { InSyncMember, MemberRecord, VersionRecord } from '../../pool-store.ts';
import { compareVersions, formatVersion, isInSync, sameMember } from '../../version.ts';
import {
  type ClaimResult,
  claimResultSchema,
  emptyResultSchema,
  owedResultSchema,
  type ProbeResult,
  probeResultSchema,
} from '../../wire/control-message.ts';
import type { SharedSession } from '../shared-session.ts';
import { assembleMaps, type Grant, holdersOf, reconcile } from './assembly.ts';
import type { Leg } from './leg.ts';
import { readGrant } from './map-reader.ts';
import { MapSpread } from './map-spread.ts';
import { PoolMaps } from './pool-maps.ts';

/** What recovery ends with: these legs hold this version, durably, and are enabled. */
export interface Assembled {
  readonly version: VersionRecord;
  readonly members: readonly MemberRecord[];
  readonly legs: readonly Leg[];
  readonly geometry: {
    readonly sizeBytes: number;
    readonly chunkSizeBytes: number;
    readonly fastPunch: boolean;
    readonly fastZero: boolean;
  };
  /** The dirty maps of all members, complete. */
  readonly maps: PoolMaps;
  /** Every member may have lost data that it had accepted and not flushed. */
  readonly allVolatileLost: boolean;
}

/** What a client that has served the pool remembers of its versions (L5). */
export interface VersionMemory {
  /** Durable on all members of its set. */
  readonly durable: VersionRecord;
  /** Later attempts that may have reached somebody (V4), oldest first. */
  readonly attempts: readonly VersionRecord[];
}

/** What recovery is given and whom it tells. */
export interface RecoveryOptions {
  readonly poolUuid: string;
  readonly queueDepth: number;
  readonly clientInstance: string;
  readonly clientName: string;
  /** What this client knows from serving the pool; null before it has. */
  readonly memory: () => VersionMemory | null;
  /** This version is about to be sent to members: it may exist from now on (V4). */
  readonly onAttempt: (version: VersionRecord) => void;
  readonly onWaiting: (what: string) => void;
  readonly onFenced: (by: string) => void;
  readonly onAssembled: (assembled: Assembled) => void;
}

/**
 * Brings a pool into service: probe, claim, assemble the maps, reconcile, record the first version of the new epoch,
 * enable. It starts over at every change and gives up on none; what it waits for is always said.
 *
 * The steps are those of C1 (probes change nothing, and a claim is made only when they satisfy the assemble rule), C2
 * (assembly uses grants only), the assemble rule (every member of the highest version's in-sync set has granted), and
 * reconciliation under a new version (◆15).
 *
 * L5: a client that has served the pool itself knows that no version exists that it did not make. It goes on with any
 * members of its last durable version, provided that each of its later attempts had one of them in its set: an attempt
 * without any of them could be assembled behind its back (V4).
 */
export class Recovery {
  readonly #world: World;
  readonly #legs: readonly Leg[];
  readonly #options: RecoveryOptions;
  #active = false;
  /** An attempt is under way; its number tells its answers from those of an older one. */
  #busy = false;
  #attempt = 0;
  /** Something changed that the attempt under way may not have seen. */
  #pokedWhileBusy = false;
  #retryAtMs = 0;
  /** Grows while nothing changes. */
  #retryMs = RECOVERY_RETRY_MS;
  /** The highest epoch that this client was ever enabled under. */
  #servedEpoch = 0;
  #highestEpochSeen = 0;
  /** Until then a client that has served the pool waits for all members of its last version. */
  #graceUntilMs = 0;
  #spreads: MapSpread[] = [];
  #participants: readonly Leg[] = [];

  constructor(world: World, legs: readonly Leg[], options: RecoveryOptions) {
    this.#world = world;
    this.#legs = legs;
    this.#options = options;
  }

  /** Starts, or starts over. */
  begin(): void {
    this.#active = true;
    this.#retryMs = RECOVERY_RETRY_MS;
    this.#graceUntilMs = this.#world.clock.nowMs() + RECOVERY_RETRY_MS;
    this.#run();
  }

  /** Something changed. */
  poke(): void {
    if (!this.#active) return;
    this.#retryMs = RECOVERY_RETRY_MS;
    if (this.#busy) this.#pokedWhileBusy = true;
    else this.#run();
  }

  end(): void {
    this.#active = false;
    this.#abandon();
  }

  sessionDown(session: SharedSession): void {
    if (!this.#active || !this.#busy || !this.#participants.some((leg) => leg.session === session)) return;
    this.#abandon();
    this.#retryAtMs = this.#world.clock.nowMs() + RECOVERY_RETRY_MS;
  }

  tick(nowMs: number): void {
    if (!this.#active) return;
    if (!this.#busy && nowMs >= this.#retryAtMs) this.#run();
  }

  #abandon(): void {
    this.#attempt++;
    this.#busy = false;
    this.#pokedWhileBusy = false;
    for (const spread of this.#spreads) spread.cancel();
    this.#spreads = [];
    this.#participants = [];
  }

  #wait(what: string): void {
    const again = this.#pokedWhileBusy;
    this.#abandon();
    this.#retryAtMs = this.#world.clock.nowMs() + (again ? 0 : this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RECOVERY_RETRY_MS_MAX);
    this.#options.onWaiting(what);
  }

  #run(): void {
    this.#abandon();
    const connected = this.#legs.filter((leg) => leg.connected);
    if (connected.length === 0) {
      this.#wait(`a storage node to be reachable: ${this.#legs.map((leg) => `${leg.member.name} (${leg.session.lostReason})`).join(', ')}`);
      return;
    }
    this.#busy = true;
    this.#participants = connected;
    const attempt = this.#attempt;
    let left = connected.length;
    for (const leg of connected) {
      leg.call({ op: 'probe', poolUuid: this.#options.poolUuid }, probeResultSchema, (result, failure) => {
        if (attempt !== this.#attempt) return;
        leg.probe = result;
        leg.problem = failure === null ? unfitness(leg, result as ProbeResult, this.#options) : failure.message;
        if (result !== null) leg.poolHandle = result.poolHandle;
        if (leg.problem !== '') leg.probe = null;
        if (--left === 0) this.#choose();
      });
    }
  }

  /** C1: decides whether the probes satisfy the assemble rule, and for whom to wait otherwise. */
  #choose(): void {
    const present = this.#legs.filter((leg) => leg.probe !== null);
    for (const leg of present) {
      const promise = (leg.probe as ProbeResult).promise;
      if (promise === null) continue;
      this.#highestEpochSeen = Math.max(this.#highestEpochSeen, promise.epoch);
      if (this.#servedEpoch > 0 && promise.epoch > this.#servedEpoch && promise.clientInstance !== this.#options.clientInstance) {
        this.#options.onFenced(`${promise.clientName} holds epoch ${promise.epoch}`);
        return;
      }
    }
    if (present.length === 0) {
      this.#wait(
        `a storage node with a store of this pool: ${this.#legs.map((leg) => leg.problem || `${leg.member.name} is not reachable (${leg.session.lostReason})`).join('; ')}`,
      );
      return;
    }
    const first = present[0] as Leg;
    const odd = present.find((leg) => !sameGeometry(leg, first));
    if (odd !== undefined) {
      this.#wait(`an operator: ${odd.describe()} and ${first.describe()} differ in size or chunk size`);
      return;
    }
    const versions = present.map((leg) => (leg.probe as ProbeResult).version).filter((version) => version !== null);
    const needed = versions.length === 0 ? this.#bornWith(present) : this.#inSyncLegs(present, versions);
    if (needed === null) return;
    this.#claim(needed, present);
  }

  /** A pool that is being born: all stores are there, and new. */
  #bornWith(present: readonly Leg[]): readonly Leg[] | null {
    const missing = this.#legs.filter((leg) => leg.probe === null);
    if (missing.length > 0) {
      this.#wait(
        `${missing.map((leg) => leg.problem || `${leg.describe()}: ${leg.session.lostReason}`).join('; ')} (every member is needed to create the pool)`,
      );
      return null;
    }
    return present;
  }

  /** The legs to claim, or null when they are not all there, which is said. */
  #inSyncLegs(present: readonly Leg[], versions: readonly VersionRecord[]): readonly Leg[] | null {
    const highest = highestVersion(versions);
    if (versions.some((version) => version.lineageUuid !== highest.lineageUuid)) {
      this.#wait('an operator: the members belong to different lineages of this pool');
      return null;
    }
    const needed: Leg[] = [];
    const missing: string[] = [];
    for (const member of highest.inSync) {
      const leg = this.#legs.find((candidate) => candidate.member.memberId === member.memberId);
      const store = leg?.probe?.identity.storeUuid;
      if (leg !== undefined && store === member.storeUuid) needed.push(leg);
      else if (leg === undefined) missing.push(`member ${member.memberId}, which this node's configuration lacks`);
      else if (store !== undefined) missing.push(`${leg.describe()} with its former store ${member.storeUuid} (it has ${store} now)`);
      else missing.push(leg.problem || `${leg.describe()}: ${leg.session.lostReason}`);
    }
    const known = this.#knownSet(present, highest);
    const complete = known !== null && known.length === (this.#options.memory()?.durable.inSync.length ?? 0);
    const chosen =
      known !== null && (complete || this.#world.clock.nowMs() >= this.#graceUntilMs) ? known : missing.length === 0 ? needed : null;
    if (chosen === null) {
      this.#wait(`${missing.join('; ')} (in-sync set of version ${formatVersion(highest)})`);
      return null;
    }
    for (const leg of present) {
      if (chosen.includes(leg)) continue;
      if (leg.state === 'CREATED' || leg.state === 'RECONNECTING') {
        leg.setState('FAILED', `out of the in-sync set since version ${formatVersion(highest)}: it returns when the pool is served`);
      }
    }
    return chosen;
  }

  /** L5: the present members of this client's last durable version, if no other version can be assembled without them. */
  #knownSet(present: readonly Leg[], highest: VersionRecord): readonly Leg[] | null {
    const memory = this.#options.memory();
    if (memory === null || !mayGoOn(memory, highest, (member) => present.some((leg) => isLegOf(leg, member)))) return null;
    return present.filter((leg) => memory.durable.inSync.some((member) => isLegOf(leg, member)));
  }

  #claim(needed: readonly Leg[], present: readonly Leg[]): void {
    const attempt = this.#attempt;
    const epoch = this.#highestEpochSeen + 1;
    this.#highestEpochSeen = epoch;
    this.#participants = needed;
    const newborn = present.every((leg) => (leg.probe as ProbeResult).version === null);
    for (const leg of needed) {
      if (leg.state === 'FAILED' || (leg.state === 'CREATED' && !newborn)) leg.setState('RECONNECTING', `epoch ${epoch} is being claimed`);
    }
    const grants = new Map<Leg, ClaimResult>();
    for (const leg of needed) {
      leg.call(
        {
          op: 'claim',
          poolUuid: this.#options.poolUuid,
          epoch,
          clientInstance: this.#options.clientInstance,
          clientName: this.#options.clientName,
        },
        claimResultSchema,
        (result, failure) => {
          if (attempt !== this.#attempt) return;
          if (result === null) {
            const promised = failure?.failure?.promise?.epoch ?? 0;
            this.#highestEpochSeen = Math.max(this.#highestEpochSeen, promised);
            this.#wait(failure?.message ?? `${leg.describe()} to grant epoch ${epoch}`);
            return;
          }
          grants.set(leg, result);
          if (grants.size === needed.length) this.#granted(epoch, needed, grants);
        },
      );
    }
  }

  /** C2: from here on only what the grants say counts. */
  #granted(epoch: number, legs: readonly Leg[], claims: ReadonlyMap<Leg, ClaimResult>): void {
    const results = legs.map((leg) => claims.get(leg) as ClaimResult);
    const versions = results.map((result) => result.version).filter((version) => version !== null);
    const highest = versions.length === 0 ? null : highestVersion(versions);
    const has = (member: InSyncMember): boolean => legs.some((leg) => isLegOf(leg, member));
    const memory = this.#options.memory();
    const known = memory !== null && highest !== null && mayGoOn(memory, highest, has);
    if (highest !== null && !known) {
      if (!highest.inSync.every(has) || !legs.every((leg) => isInSync(highest, leg.member.memberId, storeOf(leg)))) {
        this.#wait(`the in-sync set of version ${formatVersion(highest)}, which was recorded while the pool was being claimed`);
        return;
      }
    }
    const attempt = this.#attempt;
    const { sizeBytes, chunkSizeBytes } = ((legs[0] as Leg).probe as ProbeResult).identity;
    const maps = new PoolMaps(sizeBytes, chunkSizeBytes);
    const source = { poolUuid: this.#options.poolUuid, epoch, chunkCount: maps.chunkCount };
    const grants = new Map<Leg, Grant>();
    for (const leg of legs) {
      readGrant(
        leg,
        claims.get(leg) as ClaimResult,
        source,
        () => attempt === this.#attempt,
        (grant, failure) => {
          if (attempt !== this.#attempt) return;
          if (grant === null) {
            this.#wait(failure);
            return;
          }
          grants.set(leg, grant);
          if (grants.size < legs.length) return;
          const members = memberTable(this.#legs, legs, results);
          const all = legs.map((granted) => grants.get(granted) as Grant);
          this.#assemble(maps, highest, all, members, known);
          this.#spread(
            epoch,
            legs,
            claims,
            highest,
            members,
            maps,
            all.every((granted) => granted.volatileLost),
          );
        },
      );
    }
  }

  #assemble(
    maps: PoolMaps,
    highest: VersionRecord | null,
    grants: readonly Grant[],
    members: readonly MemberRecord[],
    known: boolean,
  ): void {
    const memberIds = members.map((member) => member.memberId);
    if (highest === null) {
      // A pool that is born: stores that are not proven to read as zeroes have the first one's data to take over.
      const zeroed = this.#participants.every((leg) => leg.probe?.identity.createdZeroed === true);
      for (const [index, memberId] of memberIds.entries()) if (!zeroed && index > 0) maps.of(memberId).set(0, maps.chunkCount);
      return;
    }
    assembleMaps(maps, holdersOf(grants, highest, known), memberIds);
    reconcile(maps, grants, memberIds);
  }

  /** Stages on every member the columns in which it differs from the assembled ones. */
  #spread(
    epoch: number,
    legs: readonly Leg[],
    claims: ReadonlyMap<Leg, ClaimResult>,
    previous: VersionRecord | null,
    members: readonly MemberRecord[],
    maps: PoolMaps,
    allVolatileLost: boolean,
  ): void {
    const attempt = this.#attempt;
    const empty = new PoolMaps(maps.sizeBytes, maps.chunkSizeBytes).of(1).digest();
    let left = legs.length;
    for (const leg of legs) {
      const held = new Map((claims.get(leg) as ClaimResult).columns.map((column) => [column.memberId, column.digest]));
      const differing = members
        .map((member) => member.memberId)
        .filter((memberId) => (held.get(memberId) ?? empty) !== maps.of(memberId).digest());
      const spread = new MapSpread(leg, this.#options.poolUuid, epoch, maps, differing);
      this.#spreads.push(spread);
    }
    for (const spread of [...this.#spreads]) {
      spread.run((failure) => {
        if (attempt !== this.#attempt) return;
        if (failure !== null) this.#wait(failure);
        else if (--left === 0) this.#recordFirst(epoch, legs, previous, members, maps, allVolatileLost);
      });
    }
  }

  #recordFirst(
    epoch: number,
    legs: readonly Leg[],
    previous: VersionRecord | null,
    members: readonly MemberRecord[],
    maps: PoolMaps,
    allVolatileLost: boolean,
  ): void {
    const attempt = this.#attempt;
    const columns = members.map(({ memberId }) => ({ memberId, digest: maps.of(memberId).digest() }));
    const version: VersionRecord = {
      lineageUuid: previous?.lineageUuid ?? randomUuid(this.#world.random),
      epoch,
      seq: 1,
      inSync: legs.map((leg) => ({ memberId: leg.member.memberId, storeUuid: storeOf(leg) })),
      horizon: 0,
    };
    assert(previous === null || compareVersions(version, previous) > 0, 'V1: a version does not rise');
    const { poolUuid } = this.#options;
    this.#options.onAttempt(version);
    let recorded = 0;
    let enabled = 0;
    for (const leg of legs) {
      leg.call(
        {
          op: 'record-version',
          poolUuid,
          epoch,
          version: { ...version, inSync: [...version.inSync] },
          members: members.map((member) => ({ ...member, addresses: [...member.addresses] })),
          mapAdds: [],
          mapErase: [],
          maps: columns,
        },
        owedResultSchema,
        (result, failure) => {
          if (attempt !== this.#attempt) return;
          if (result === null) {
            this.#wait(failure?.message ?? `${leg.describe()} to record version ${formatVersion(version)}`);
            return;
          }
          if (++recorded === legs.length) enableAll();
        },
      );
    }
    const enableAll = (): void => {
      for (const leg of legs) {
        leg.call({ op: 'enable', poolUuid, epoch, versionSeq: version.seq }, emptyResultSchema, (result, failure) => {
          if (attempt !== this.#attempt) return;
          if (result === null) {
            this.#wait(failure?.message ?? `${leg.describe()} to be enabled`);
            return;
          }
          if (++enabled < legs.length) return;
          this.#servedEpoch = epoch;
          this.end();
          this.#options.onAssembled({ version, members, legs, geometry: geometryOf(legs), maps, allVolatileLost });
        });
      }
    };
  }
}

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

function storeOf(leg: Leg): string {
  assert(leg.probe !== null, 'recovery: a participant has not answered');
  return leg.probe.identity.storeUuid;
}

function isLegOf(leg: Leg, member: InSyncMember): boolean {
  return sameMember(member, { memberId: leg.member.memberId, storeUuid: storeOf(leg) });
}

/**
 * Whether the client that made these versions may go on with the members that `has` says are there: at least one of its
 * last durable version, one of every later attempt, and no version exists that it did not make.
 */
function mayGoOn({ durable, attempts }: VersionMemory, highest: VersionRecord, has: (member: InSyncMember) => boolean): boolean {
  const newest = attempts[attempts.length - 1] ?? durable;
  if (highest.lineageUuid !== newest.lineageUuid || compareVersions(highest, newest) > 0) return false;
  const there = durable.inSync.filter(has);
  return there.length > 0 && attempts.every((attempt) => attempt.inSync.some((member) => there.some((other) => sameMember(member, other))));
}

function highestVersion(versions: readonly VersionRecord[]): VersionRecord {
  return versions.reduce((highest, version) => (compareVersions(version, highest) > 0 ? version : highest));
}

function sameGeometry(a: Leg, b: Leg): boolean {
  const first = (a.probe as ProbeResult).identity;
  const second = (b.probe as ProbeResult).identity;
  return first.sizeBytes === second.sizeBytes && first.chunkSizeBytes === second.chunkSizeBytes;
}

function geometryOf(legs: readonly Leg[]): Assembled['geometry'] {
  const probes = legs.map((leg) => leg.probe as ProbeResult);
  const { sizeBytes, chunkSizeBytes } = (probes[0] as ProbeResult).identity;
  return {
    sizeBytes,
    chunkSizeBytes,
    fastPunch: probes.every((probe) => probe.features.fastPunch),
    fastZero: probes.every((probe) => probe.features.fastZero),
  };
}

/** The member table: addresses from the configuration, stores from those present, the absent as the members remember them. */
function memberTable(all: readonly Leg[], present: readonly Leg[], results: readonly ClaimResult[]): MemberRecord[] {
  const table = new Map<number, MemberRecord>();
  for (const result of results) for (const member of result.members) table.set(member.memberId, member);
  for (const leg of all) {
    const { memberId, name, addresses } = leg.member;
    const storeUuid = present.includes(leg) ? storeOf(leg) : (table.get(memberId)?.storeUuid ?? leg.probe?.identity.storeUuid);
    if (storeUuid !== undefined) table.set(memberId, { ...table.get(memberId), memberId, storeUuid, name, addresses });
  }
  return [...table.values()].sort((a, b) => a.memberId - b.memberId);
}
