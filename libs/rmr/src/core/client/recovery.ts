import { DirtyMap } from '@rmr/dirty-map';
import { assert, randomUuid, type World } from '@rmr/runtime';
import { FORMER_LINEAGES_MAX, LEASE_END_MS, READ_CHECK_MS, RECOVERY_RETRY_MS, RECOVERY_RETRY_MS_MAX } from '../../constants.ts';
import type { InSyncMember, MemberRecord, PoolPolicy, VersionRecord } from '../../pool-store.ts';
import { compareVersions, formatVersion, highestVersion, isInSync, sameMember, sameVersion } from '../../version.ts';
import {
  type ClaimResult,
  claimResultSchema,
  emptyResultSchema,
  owedResultSchema,
  type ProbeResult,
  probeResultSchema,
} from '../../wire/control-message.ts';
import type { SharedSession } from '../shared-session.ts';
import { assembleMaps, type Grant, holdersOf, passOverUnreadable, reconcile, suspectRanges } from './assembly.ts';
import { unfitness } from './fitness.ts';
import type { Leg } from './leg.ts';
import { forcedSet, newestLineage } from './lineage.ts';
import { readGrant } from './map-reader.ts';
import { MapSpread } from './map-spread.ts';
import { memberTable, unknownColumns } from './member-table.ts';
import { dataMembers, datedTable, majorityOf, suffices } from './membership.ts';
import { geometryOf, sameGeometry } from './pool-geometry.ts';
import { PoolMaps } from './pool-maps.ts';
import { checkPortions, checkReadable } from './read-check.ts';
import { mayGoOn, type VersionMemory } from './version-memory.ts';

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
  readonly policy: PoolPolicy;
  /** The witness has recorded the version too. */
  readonly witnessRecorded: boolean;
  /** The dirty maps of all members, complete. */
  readonly maps: PoolMaps;
  /** Every member may have lost data that it had accepted and not flushed. */
  readonly allVolatileLost: boolean;
}

/** What recovery is given and whom it tells. */
export interface RecoveryOptions {
  readonly poolUuid: string;
  readonly queueDepth: number;
  readonly clientInstance: string;
  readonly clientName: string;
  /** The quorum that a pool is born with. */
  readonly quorum: PoolPolicy['quorum'];
  /** Take the pool from a client that is alive (C4). */
  readonly takeover: boolean;
  readonly witness: () => Leg | null;
  /** The member table of the highest version: legs are made for members that the configuration lacks. */
  readonly onMembers: (members: readonly MemberRecord[]) => void;
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
  readonly #allLegs: readonly Leg[];
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
  /** The attempt under way is to serve the pool with what is there. */
  #forced = false;
  #participants: readonly Leg[] = [];
  /** What the attempt goes on with when the lease of the former client has ended. */
  #afterLease: { readonly atMs: number; readonly goOn: () => void } | null = null;

  constructor(world: World, legs: readonly Leg[], options: RecoveryOptions) {
    this.#world = world;
    this.#allLegs = legs;
    this.#options = options;
  }

  /** A leg that was on its way out is nothing to go on with. */
  get #legs(): readonly Leg[] {
    return this.#allLegs.filter((leg) => leg.state !== 'REMOVING');
  }

  /** Starts, or starts over. */
  begin(): void {
    this.#active = true;
    this.#retryMs = RECOVERY_RETRY_MS;
    this.#graceUntilMs = this.#world.clock.nowMs() + RECOVERY_RETRY_MS;
    this.#run();
  }

  /**
   * Takes the pool into service with the members that are there now, as a new lineage unless they suffice anyway; the
   * caller has asked the operator twice. It is tried once: who is there when it is tried again may be others.
   */
  force(): void {
    // Those that are there suffice, and begin in a moment.
    if (!this.#active || this.#afterLease !== null) return;
    this.#retryMs = RECOVERY_RETRY_MS;
    this.#run();
    this.#forced = this.#busy;
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
    if (this.#afterLease === null || nowMs < this.#afterLease.atMs) return;
    const { goOn } = this.#afterLease;
    this.#afterLease = null;
    goOn();
  }

  #abandon(): void {
    if (this.#forced) this.#world.log.warn('the pool was not forced into service: look who is there, and ask again');
    this.#forced = false;
    this.#attempt++;
    this.#busy = false;
    this.#pokedWhileBusy = false;
    for (const spread of this.#spreads) spread.cancel();
    this.#spreads = [];
    this.#participants = [];
    this.#afterLease = null;
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
    const witness = this.#options.witness();
    const connected = [...this.#legs, ...(witness === null ? [] : [witness])].filter((leg) => leg.connected);
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
    const witness = this.#options.witness();
    for (const leg of [...present, ...(witness === null || witness.probe === null ? [] : [witness])]) {
      const { promise, version } = leg.probe as ProbeResult;
      // V1: the version to come has this epoch, and must rise above all that is there, whatever was promised.
      this.#highestEpochSeen = Math.max(this.#highestEpochSeen, promise?.epoch ?? 0, version?.epoch ?? 0);
      if (promise === null) continue;
      if (this.#servedEpoch > 0 && promise.epoch > this.#servedEpoch && promise.clientInstance !== this.#options.clientInstance) {
        this.#options.onFenced(`${promise.clientName} holds epoch ${promise.epoch}`);
        return;
      }
    }
    const served = this.#servedByAnother();
    if (served !== null) {
      this.#wait(served);
      return;
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
    const memory = this.#options.memory();
    const remembered = memory === null ? [] : [{ version: memory.durable, policy: memory.policy }];
    const lineage = newestLineage([...present.map((leg) => leg.probe as ProbeResult), ...remembered]);
    if (lineage === undefined) {
      this.#wait('an operator: the members belong to different lineages of this pool, and none knows of the others');
      return;
    }
    const holders = present.filter((leg) => (leg.probe as ProbeResult).version?.lineageUuid === lineage);
    if (lineage !== null && holders.length === 0) {
      this.#wait('a member that has a version of the lineage that this client has served: those that are there were left behind');
      return;
    }
    if (lineage === null) {
      const needed = this.#bornWith(present);
      if (needed !== null) this.#claim(needed, witness === null ? needed : [...needed, witness]);
      return;
    }
    const newest = holders.reduce((a, b) => (compareVersions(versionOf(b), versionOf(a)) > 0 ? b : a));
    // A witness may know of a later version than those who are there and have data.
    const later = witness?.probe?.version?.lineageUuid === lineage && compareVersions(versionOf(witness), versionOf(newest)) > 0;
    const informed = later ? witness : newest;
    const highest = versionOf(informed);
    const { members, policy } = informed.probe as ProbeResult;
    this.#options.onMembers(members);
    const needed = this.#inSyncLegs(holders, highest, policy.quorum);
    const suffice =
      typeof needed === 'string' ? needed : this.#voters(needed, [...new Set([...holders, ...present])], members, policy.quorum);
    if (typeof suffice === 'string' && !this.#forced) {
      this.#wait(suffice);
      return;
    }
    // Those that are there suffice: nothing has to be left behind.
    if (typeof suffice !== 'string') this.#forced = false;
    const chosen = typeof needed === 'string' || this.#forced ? forcedSet(present, versionOf(newest)) : needed;
    for (const leg of present) {
      if (chosen.includes(leg)) continue;
      if (leg.state === 'CREATED' || leg.state === 'RECONNECTING')
        leg.setState('FAILED', `out of the in-sync set since version ${formatVersion(highest)}: it returns when the pool is served`);
    }
    this.#claim(chosen, typeof suffice === 'string' ? chosen : suffice);
  }

  /**
   * C4: that a client is alive shows where a member serves it. It is not robbed elsewhere either: a member that is out of its
   * set, and has no session with it just now, would grant, and the client were fenced when that member returns.
   */
  #servedByAnother(): string | null {
    const { clientInstance, takeover } = this.#options;
    if (takeover || this.#forced) return null;
    const witness = this.#options.witness();
    for (const leg of [...this.#legs, ...(witness === null ? [] : [witness])]) {
      if (leg.probe?.state !== 'NORMAL' || leg.probe.promise == null || leg.probe.promise.clientInstance === clientInstance) continue;
      return `${leg.probe.promise.clientName}, which the pool is served to, to leave it (${leg.describe()} says so); or take it over`;
    }
    return null;
  }

  /** The legs that are to grant, or which majority is missing. */
  #voters(
    chosen: readonly Leg[],
    present: readonly Leg[],
    members: readonly MemberRecord[],
    quorum: PoolPolicy['quorum'],
  ): readonly Leg[] | string {
    if (quorum !== 'majority') return chosen;
    // Whoever can grant does: a majority of grants fences every other client.
    const witness = this.#options.witness();
    const entitled = [...present, ...(witness?.probe == null ? [] : [witness])].filter((leg) =>
      members.some((member) => member.memberId === leg.member.memberId && member.storeUuid === storeOf(leg)),
    );
    if (entitled.length < majorityOf(members)) {
      const absent = members.filter((member) => !entitled.some((leg) => leg.member.memberId === member.memberId));
      return `a majority: ${entitled.length} of ${members.length} members are there, ${majorityOf(members)} are needed; missing: ${absent.map((member) => `member ${member.memberId} (${member.name})`).join(', ')}`;
    }
    // A member whose removal is being superseded (L5) grants too, and counts for nothing.
    return [...entitled, ...chosen.filter((leg) => !entitled.includes(leg))];
  }

  /** A pool that is being born: all stores are there, and new. */
  #bornWith(present: readonly Leg[]): readonly Leg[] | null {
    const witness = this.#options.witness();
    const missing = [...this.#legs, ...(witness === null ? [] : [witness])].filter((leg) => leg.probe === null);
    if (missing.length > 0) {
      this.#wait(
        `${missing.map((leg) => leg.problem || `${leg.describe()}: ${leg.session.lostReason}`).join('; ')} (every member is needed to create the pool)`,
      );
      return null;
    }
    return present;
  }

  /** The legs to claim, or who is missing. */
  #inSyncLegs(present: readonly Leg[], highest: VersionRecord, quorum: PoolPolicy['quorum']): readonly Leg[] | string {
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
    const inGrace = this.#world.clock.nowMs() < this.#graceUntilMs && !this.#forced;
    const known = this.#knownSet(present, highest);
    const complete = known !== null && known.length === (this.#options.memory()?.durable.inSync.length ?? 0);
    if (known !== null && (complete || !inGrace)) return known;
    if (missing.length === 0) return needed;
    // In majority mode one in-sync member that holds the version speaks for all: a later version would be known to one of the majority.
    const holds = needed.some((leg) => leg.probe?.version != null && sameVersion(leg.probe.version, highest));
    if (quorum === 'majority' && holds && !inGrace) return needed;
    return `${missing.join('; ')} (in-sync set of version ${formatVersion(highest)})`;
  }

  /** L5: the present members of this client's last durable version, if no other version can be assembled without them. */
  #knownSet(present: readonly Leg[], highest: VersionRecord): readonly Leg[] | null {
    const memory = this.#options.memory();
    if (memory === null || !mayGoOn(memory, highest, (member) => present.some((leg) => isLegOf(leg, member)))) return null;
    return present.filter((leg) => memory.durable.inSync.some((member) => isLegOf(leg, member)));
  }

  /** Claims the pool from `voters`, to be served with `needed`, which are among them. */
  #claim(needed: readonly Leg[], voters: readonly Leg[]): void {
    const attempt = this.#attempt;
    const epoch = this.#highestEpochSeen + 1;
    this.#highestEpochSeen = epoch;
    this.#participants = voters;
    const newborn = needed.every((leg) => (leg.probe as ProbeResult).version === null);
    for (const leg of needed) {
      if (leg.state === 'FAILED' || (leg.state === 'CREATED' && !newborn)) leg.setState('RECONNECTING', `epoch ${epoch} is being claimed`);
    }
    const grants = new Map<Leg, ClaimResult>();
    for (const leg of voters) {
      leg.call(
        {
          op: 'claim',
          poolUuid: this.#options.poolUuid,
          epoch,
          clientInstance: this.#options.clientInstance,
          clientName: this.#options.clientName,
          takeover: this.#options.takeover && this.#servedEpoch === 0,
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
          if (grants.size === voters.length) this.#granted(epoch, needed, voters, grants);
        },
      );
    }
  }

  /** C2: from here on only what the grants say counts. */
  #granted(epoch: number, legs: readonly Leg[], voters: readonly Leg[], claims: ReadonlyMap<Leg, ClaimResult>): void {
    const results = legs.map((leg) => claims.get(leg) as ClaimResult);
    // Of those that it is to be served with: one that has no version yet says nothing of the others'.
    const lineage = newestLineage(results);
    if (lineage === undefined) {
      this.#wait('the members to belong to one lineage: one of them was recorded while the pool was being claimed');
      return;
    }
    const versions = voters
      .map((leg) => (claims.get(leg) as ClaimResult).version)
      .filter((version) => version !== null && version.lineageUuid === lineage) as VersionRecord[];
    const highest = versions.length === 0 ? null : highestVersion(versions);
    const has = (member: InSyncMember): boolean => legs.some((leg) => isLegOf(leg, member));
    const memory = this.#options.memory();
    const known = memory !== null && highest !== null && !this.#forced && mayGoOn(memory, highest, has);
    // I7: the former client may go on reading from members that have not granted.
    const maybeRead = highest !== null && !known && !this.#forced ? highest.inSync.filter((member) => !has(member)) : [];
    if (highest !== null && !known && !this.#forced) {
      const quorum = results.some((result) => result.policy.quorum === 'majority');
      const held = legs.some((leg) => {
        const { version } = claims.get(leg) as ClaimResult;
        return version !== null && sameVersion(version, highest);
      });
      const whole = highest.inSync.every(has) || (quorum && held);
      if (!whole || !legs.every((leg) => isInSync(highest, leg.member.memberId, storeOf(leg)))) {
        this.#wait(`the in-sync set of version ${formatVersion(highest)}, which was recorded while the pool was being claimed`);
        return;
      }
    }
    const attempt = this.#attempt;
    const { sizeBytes, chunkSizeBytes } = ((legs[0] as Leg).probe as ProbeResult).identity;
    const maps = new PoolMaps(sizeBytes, chunkSizeBytes);
    const source = { poolUuid: this.#options.poolUuid, epoch, chunkCount: maps.chunkCount };
    const current = (): boolean => attempt === this.#attempt;
    const grants = new Map<Leg, Grant>();
    for (const leg of legs) {
      readGrant(leg, claims.get(leg) as ClaimResult, source, current, (grant, failure) => {
        if (!current()) return;
        if (grant === null) {
          this.#wait(failure);
          return;
        }
        grants.set(leg, grant);
        if (grants.size < legs.length) return;
        this.#checkReadable(epoch, legs, grants, maps, (all) => {
          const goOn = (): void => this.#spread(this.#plan(epoch, legs, voters, claims, highest, all, maps, known), claims);
          if (maybeRead.length === 0) goOn();
          else this.#waitForLease(maybeRead, goOn);
        });
      });
    }
  }

  /** I1: who can't read what the others would have to copy is no winner of a reconciliation; where there is a choice, they are asked. */
  #checkReadable(
    epoch: number,
    legs: readonly Leg[],
    claimed: ReadonlyMap<Leg, Grant>,
    maps: PoolMaps,
    goOn: (grants: readonly Grant[]) => void,
  ): void {
    const grants = legs.map((leg) => claimed.get(leg) as Grant);
    const portions = legs.length < 2 ? [] : checkPortions(suspectRanges(maps, grants));
    if (portions.length === 0) {
      goOn(grants);
      return;
    }
    if (portions.length > 1) this.#options.onWaiting('the members to check that they can read what others may have to copy from them');
    const attempt = this.#attempt;
    const current = (): boolean => attempt === this.#attempt;
    const source = { poolUuid: this.#options.poolUuid, epoch };
    const untilMs = this.#world.clock.nowMs() + READ_CHECK_MS;
    const isLate = (): boolean => this.#world.clock.nowMs() >= untilMs;
    const checked = new Map<Leg, Grant>();
    for (const leg of legs) {
      const grant = claimed.get(leg) as Grant;
      checkReadable(leg, grant.unreadable, portions, source, isLate, current, (unreadable, failure) => {
        if (!current()) return;
        if (unreadable === null) {
          this.#wait(failure);
          return;
        }
        checked.set(leg, { ...grant, unreadable });
        if (checked.size === legs.length) goOn(legs.map((each) => checked.get(each) as Grant));
      });
    }
  }

  /** Quorum: all grants are there, so that nobody renews the lease of the former client any more; it ends by itself. */
  #waitForLease(members: readonly InSyncMember[], goOn: () => void): void {
    this.#afterLease = { atMs: this.#world.clock.nowMs() + LEASE_END_MS, goOn };
    const names = members.map(({ memberId }) => `member ${memberId}`).join(' and ');
    this.#options.onWaiting(`${LEASE_END_MS / 1000} s to pass, in which the former client may still read from ${names}`);
  }

  /** Assembles and reconciles the maps, and says what is to be recorded. */
  #plan(
    epoch: number,
    legs: readonly Leg[],
    voters: readonly Leg[],
    claims: ReadonlyMap<Leg, ClaimResult>,
    highest: VersionRecord | null,
    grants: readonly Grant[],
    maps: PoolMaps,
    known: boolean,
  ): Plan {
    const memory = known ? this.#options.memory() : null;
    const members = memberTable(
      memory?.members ?? null,
      this.#legs,
      this.#options.witness(),
      legs,
      legs.map((leg) => claims.get(leg) as ClaimResult),
    );
    const memberIds = dataMembers(members).map((member) => member.memberId);
    const inSync = legs.map((leg) => ({ memberId: leg.member.memberId, storeUuid: storeOf(leg) }));
    const recorded = memory?.policy ?? (highest === null ? undefined : claims.get(holderOf(legs, claims, highest)))?.policy;
    let policy: PoolPolicy = recorded ?? { quorum: this.#options.quorum, highestMemberId: 0, formerLineages: [] };
    let lineageUuid = highest?.lineageUuid ?? randomUuid(this.#world.random);
    if (highest === null) {
      // A pool that is born: stores that are not proven to read as zeroes have the first one's data to take over.
      const zeroed = legs.every((leg) => leg.probe?.identity.createdZeroed === true);
      for (const [index, memberId] of memberIds.entries()) if (!zeroed && index > 0) maps.of(memberId).set(0, maps.chunkCount);
    } else {
      assembleMaps(maps, holdersOf(grants, highest, known, members), memberIds);
      passOverUnreadable(maps, grants);
      reconcile(maps, grants, memberIds);
    }
    if (this.#forced && highest !== null) {
      // Whoever is not here comes back with nothing that counts; what nobody here has clean is lost (I8).
      for (const memberId of memberIds) {
        if (!inSync.some((member) => member.memberId === memberId)) maps.of(memberId).set(0, maps.chunkCount);
      }
      lineageUuid = randomUuid(this.#world.random);
      const isThere = ({ memberId }: MemberRecord): boolean => inSync.some((member) => member.memberId === memberId);
      // Without a majority all IO would wait for those that are left behind.
      const quorum = suffices(isThere, { members, policy }, { members, policy }) ? policy.quorum : 'none';
      policy = { ...policy, quorum, formerLineages: [...policy.formerLineages, highest.lineageUuid].slice(-FORMER_LINEAGES_MAX) };
      this.#world.log.warn('the pool is forced into service as a new lineage', {
        lineage: lineageUuid,
        former: highest.lineageUuid,
        members: inSync.map((member) => member.memberId),
        firstLostChunk: maps.dirtyForAll(memberIds),
        quorum,
      });
    }
    maps.noteLost(memberIds);
    policy = { ...policy, highestMemberId: Math.max(policy.highestMemberId, ...members.map((member) => member.memberId)) };
    const version: VersionRecord = { lineageUuid, epoch, seq: 1, inSync, horizon: 0 };
    assert(this.#forced || highest === null || compareVersions(version, highest) > 0, 'V1: a version does not rise');
    return {
      version,
      legs,
      witness: voters.find((leg) => !legs.includes(leg) && leg === this.#options.witness()) ?? null,
      members: datedTable(members, version),
      policy,
      maps,
      foreign: legs.filter((leg) => (claims.get(leg)?.version?.lineageUuid ?? lineageUuid) !== lineageUuid),
      erase: unknownColumns(
        legs.map((leg) => claims.get(leg) as ClaimResult),
        members,
      ),
      allVolatileLost: grants.every((grant) => grant.volatileLost),
    };
  }

  /** Stages on every member the columns in which it differs from the assembled ones. */
  #spread(plan: Plan, claims: ReadonlyMap<Leg, ClaimResult>): void {
    const attempt = this.#attempt;
    const { legs, members, maps, version } = plan;
    const empty = new DirtyMap(maps.chunkCount).digest();
    let left = legs.length;
    this.#spreads = legs.map((leg) => {
      const held = new Map((claims.get(leg) as ClaimResult).columns.map((column) => [column.memberId, column.digest]));
      const differing = dataMembers(members)
        .map((member) => member.memberId)
        .filter((memberId) => (held.get(memberId) ?? empty) !== maps.of(memberId).digest());
      return new MapSpread(leg, this.#options.poolUuid, version.epoch, maps, differing);
    });
    for (const spread of [...this.#spreads]) {
      spread.run((failure) => {
        if (attempt !== this.#attempt) return;
        if (failure !== null) this.#wait(failure);
        else if (--left === 0) this.#recordFirst(plan);
      });
    }
  }

  #recordFirst(plan: Plan): void {
    const attempt = this.#attempt;
    const { legs, version, witness } = plan;
    this.#options.onAttempt(version);
    let recorded = 0;
    for (const leg of legs) {
      this.#record(leg, plan, (failure) => {
        if (attempt !== this.#attempt) return;
        if (failure !== null) {
          this.#wait(failure);
          return;
        }
        if (++recorded < legs.length) return;
        if (witness === null) {
          this.#enableAll(plan, false);
          return;
        }
        // The witness records last.
        this.#record(witness, plan, (refused) => {
          if (attempt !== this.#attempt) return;
          if (refused !== null)
            this.#world.log.warn('the witness did not record a version', { version: formatVersion(version), reason: refused });
          this.#enableAll(plan, refused === null);
        });
      });
    }
  }

  #record(leg: Leg, plan: Plan, done: (failure: string | null) => void): void {
    const { version, members, policy, maps, foreign, erase } = plan;
    const voteOnly = leg === plan.witness;
    leg.call(
      {
        op: 'record-version',
        poolUuid: this.#options.poolUuid,
        epoch: version.epoch,
        version: { ...version, inSync: [...version.inSync] },
        members: members.map((member) => ({ ...member, addresses: [...member.addresses] })),
        policy: { ...policy, formerLineages: [...policy.formerLineages] },
        newLineage: foreign.includes(leg) || voteOnly,
        mapAdds: [],
        mapKnown: [],
        mapErase: voteOnly ? [] : [...erase],
        maps: voteOnly ? [] : dataMembers(members).map(({ memberId }) => ({ memberId, digest: maps.of(memberId).digest() })),
      },
      owedResultSchema,
      (result, failure) =>
        done(result === null ? (failure?.message ?? `${leg.describe()} to record version ${formatVersion(version)}`) : null),
    );
  }

  #enableAll(plan: Plan, witnessRecorded: boolean): void {
    const attempt = this.#attempt;
    const { legs, version, members, policy, maps, allVolatileLost } = plan;
    const { poolUuid } = this.#options;
    let enabled = 0;
    for (const leg of legs) {
      leg.call({ op: 'enable', poolUuid, epoch: version.epoch, versionSeq: version.seq }, emptyResultSchema, (result, failure) => {
        if (attempt !== this.#attempt) return;
        if (result === null) {
          this.#wait(failure?.message ?? `${leg.describe()} to be enabled`);
          return;
        }
        if (++enabled < legs.length) return;
        this.#servedEpoch = version.epoch;
        this.#forced = false;
        this.end();
        this.#options.onAssembled({ version, members, policy, witnessRecorded, legs, geometry: geometryOf(legs), maps, allVolatileLost });
      });
    }
  }
}

/** What is recorded when the pool is taken into service. */
interface Plan {
  readonly version: VersionRecord;
  readonly legs: readonly Leg[];
  readonly witness: Leg | null;
  readonly members: readonly MemberRecord[];
  readonly policy: PoolPolicy;
  readonly maps: PoolMaps;
  /** Legs that have a version of another lineage, which this one follows. */
  readonly foreign: readonly Leg[];
  /** Columns of members that are none any more. */
  readonly erase: readonly number[];
  readonly allVolatileLost: boolean;
}

function versionOf(leg: Leg): VersionRecord {
  const version = leg.probe?.version;
  assert(version != null, 'recovery: a member without a version');
  return version;
}

function holderOf(legs: readonly Leg[], claims: ReadonlyMap<Leg, ClaimResult>, highest: VersionRecord): Leg {
  const holder = legs.find((leg) => {
    const version = claims.get(leg)?.version;
    return version != null && sameVersion(version, highest);
  });
  return holder ?? (legs[0] as Leg);
}

function storeOf(leg: Leg): string {
  assert(leg.probe !== null, 'recovery: a participant has not answered');
  return leg.probe.identity.storeUuid;
}

function isLegOf(leg: Leg, member: InSyncMember): boolean {
  return sameMember(member, { memberId: leg.member.memberId, storeUuid: storeOf(leg) });
}
