import { assert, type World } from '@rmr/runtime';
import { LEASE_END_MS, READ_CHECK_MS, RECOVERY_RETRY_MS, RECOVERY_RETRY_MS_MAX } from '../../constants.ts';
import type { InSyncMember, MemberRecord, PoolPolicy, VersionRecord } from '../../pool-store.ts';
import { compareVersions, formatVersion, highestVersion, isInSync, sameMember, sameVersion } from '../../version.ts';
import { type ClaimResult, claimResultSchema, type ProbeResult, probeResultSchema } from '../../wire/control-message.ts';
import type { SharedSession } from '../shared-session.ts';
import { tellAsked } from './asked-legs.ts';
import { type Grant, suspectRanges } from './assembly.ts';
import { FirstRecord } from './first-record.ts';
import { type FirstVersion, firstVersion, storeOf } from './first-version.ts';
import { unfitness } from './fitness.ts';
import type { Leg } from './leg.ts';
import { forcedSet, newestLineage } from './lineage.ts';
import { readGrant } from './map-reader.ts';
import { majorityOf } from './membership.ts';
import type { Wanted } from './pool-client-types.ts';
import { geometryOf, sameGeometry } from './pool-geometry.ts';
import { PoolMaps } from './pool-maps.ts';
import { checkPortions, checkReadable } from './read-check.ts';
import { bringBack, remedyFor, remedyForFailure, remedyForUnfit, stopOther } from './remedies.ts';
import { mayGoOn, type VersionMemory } from './version-memory.ts';

/** Probes are answered at once, or stand behind a grant that drains: after so many milliseconds that is worth a word. */
const PROBE_MS = 1_000;

/** What recovery ends with: these legs hold this version, durably, and are enabled. */
export interface Assembled {
  readonly version: VersionRecord;
  readonly members: readonly MemberRecord[];
  /** The legs of its in-sync set. */
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
  /** IO units of this client: a store that was created with fewer is unfit. */
  readonly queueDepth: number;
  /** UUID of this process, to which epochs are granted, and the host's name, for people. */
  readonly clientInstance: string;
  readonly clientName: string;
  /** The quorum that a pool is born with. */
  readonly quorum: PoolPolicy['quorum'];
  /** Take the pool from a client that is alive (C4). */
  readonly takeover: boolean;
  /** The leg of the witness, as far as one is known. */
  readonly witness: () => Leg | null;
  /** The member table of the highest version: legs are made for members that the configuration lacks. */
  readonly onMembers: (members: readonly MemberRecord[]) => void;
  /** What this client knows from serving the pool; null before it has. */
  readonly memory: () => VersionMemory | null;
  /** This version is about to be sent to members: it may exist from now on (V4). */
  readonly onAttempt: (version: VersionRecord) => void;
  /** What is waited for until the next attempt, for people. */
  readonly onWaiting: (waiting: Wanted) => void;
  /** What the attempt under way waits for. `narrows`: it is less of what it waited for already. */
  readonly onStep: (step: Wanted, narrows: boolean) => void;
  /** Another client was promised a higher epoch than this one was ever enabled under (C3); `by` names both. */
  readonly onFenced: (by: string) => void;
  /** The pool is in service. Recovery has ended before it is called, and may be begun anew. */
  readonly onAssembled: (assembled: Assembled) => void;
}

/**
 * Brings a pool into service: probe, claim, assemble the maps, reconcile, record the first version of the new epoch,
 * enable. It starts over at every change and gives up on none; what it waits for is always said.
 *
 * Decided here: C1 (probes change nothing, and a claim is made only when they satisfy the assemble rule), C2 (assembly uses
 * grants only), and the assemble rule (every member of the highest version's in-sync set has granted). What the members
 * have granted then becomes a new version (◆15) by {@link firstVersion}, and is made durable by a {@link FirstRecord}.
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
  /** An attempt is under way. */
  #busy = false;
  /** The number of the attempt: it tells its answers from those of an older one. */
  #attempt = 0;
  /** Something changed that the attempt under way may not have seen. */
  #pokedWhileBusy = false;
  /** When the next attempt begins, in clock milliseconds, if none is under way. */
  #retryAtMs = 0;
  /** Milliseconds from an attempt that ends in waiting to the next; grows while nothing changes. */
  #retryMs = RECOVERY_RETRY_MS;
  /** The highest epoch that this client was ever enabled under. */
  #servedEpoch = 0;
  /** The highest epoch that this client has asked for, or heard of: the next one that it asks for is above. */
  #highestEpochSeen = 0;
  /** Until then a client that has served the pool waits for all members of its last version. */
  #graceUntilMs = 0;
  /** The last step of the attempt, once it has come to that. */
  #record: FirstRecord | null = null;
  /** The attempt under way is to serve the pool with what is there. */
  #forced = false;
  /** The legs that the attempt asks: it ends when one of their sessions does. */
  #participants: readonly Leg[] = [];
  /** The legs that have not answered the probe yet, and when that is told, in clock milliseconds. Null: it has been, or all have. */
  #probing: { readonly legs: Set<Leg>; readonly tellAtMs: number } | null = null;
  /** What the attempt goes on with when the lease of the former client has ended. */
  #afterLease: { readonly atMs: number; readonly goOn: () => void } | null = null;

  constructor(world: World, legs: readonly Leg[], options: RecoveryOptions) {
    this.#world = world;
    this.#allLegs = legs;
    this.#options = options;
  }

  /** A leg that is on its way out is nothing to go on with. */
  get #legs(): readonly Leg[] {
    return this.#allLegs.filter((leg) => leg.state !== 'REMOVING');
  }

  /** The pool has no leg in service: starts, or starts over. */
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

  /** Something changed that may be waited for: an attempt begins at once, or as soon as the one under way ends in waiting. */
  poke(): void {
    if (!this.#active) return;
    this.#retryMs = RECOVERY_RETRY_MS;
    if (this.#busy) this.#pokedWhileBusy = true;
    else this.#run();
  }

  /** Nothing more is done until it is begun anew. */
  end(): void {
    this.#active = false;
    this.#abandon();
  }

  /** A session was lost: an attempt that one of its legs takes part in ends, and the next begins after a while. */
  sessionDown(session: SharedSession): void {
    if (!this.#active || !this.#busy) return;
    const lost = this.#participants.filter((leg) => leg.session === session);
    if (lost.length === 0) return;
    this.#abandon();
    this.#retryAtMs = this.#world.clock.nowMs() + RECOVERY_RETRY_MS;
    const names = lost.map((leg) => leg.describe()).join(' and ');
    this.#options.onStep({ what: `the next attempt, as the session to ${names} was lost (${session.lostReason})` }, false);
  }

  /** Time passes: the next attempt is due, or the lease of the former client has ended. `nowMs` is of the clock. */
  tick(nowMs: number): void {
    if (!this.#active) return;
    if (!this.#busy && nowMs >= this.#retryAtMs) this.#run();
    if (this.#probing !== null && nowMs >= this.#probing.tellAtMs) {
      this.#step([...this.#probing.legs], (names) => `${names} to say what is there`);
      this.#probing = null;
    }
    if (this.#afterLease === null || nowMs < this.#afterLease.atMs) return;
    const { goOn } = this.#afterLease;
    this.#afterLease = null;
    goOn();
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    assert(this.#active || !this.#busy, 'recovery: an attempt although nothing is to be recovered');
    assert(this.#busy || this.#participants.length === 0, 'recovery: somebody takes part in no attempt');
    assert(this.#busy || (this.#record === null && this.#afterLease === null && !this.#forced), 'recovery: a step of no attempt');
    assert(this.#record === null || this.#afterLease === null, 'I7: a version is recorded before the lease has ended');
    assert(this.#servedEpoch <= this.#highestEpochSeen, 'V1: an epoch that was served is not known');
  }

  /** The attempt ends: what is answered to it from now on means nothing. */
  #abandon(): void {
    if (this.#forced) this.#world.log.warn('the pool was not forced into service: look who is there, and ask again');
    this.#forced = false;
    this.#attempt++;
    this.#busy = false;
    this.#pokedWhileBusy = false;
    this.#record?.cancel();
    this.#record = null;
    this.#participants = [];
    this.#probing = null;
    this.#afterLease = null;
  }

  /** The attempt ends in waiting. Another one begins after a while, or in the next tick if something has changed meanwhile. */
  #wait(what: string, remedy?: string): void {
    const again = this.#pokedWhileBusy;
    this.#abandon();
    this.#retryAtMs = this.#world.clock.nowMs() + (again ? 0 : this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RECOVERY_RETRY_MS_MAX);
    this.#options.onWaiting({ what, remedy });
  }

  /** An attempt begins: all that can be reached are probed. */
  #run(): void {
    this.#abandon();
    const witness = this.#options.witness();
    const connected = [...this.#legs, ...(witness === null ? [] : [witness])].filter((leg) => leg.connected);
    if (connected.length === 0) {
      this.#wait(
        `a storage node to be reachable: ${this.#legs.map((leg) => `${leg.member.name} (${leg.session.lostReason})`).join(', ')}`,
        bringBack(this.#legs.map((leg) => leg.member.name)),
      );
      return;
    }
    this.#busy = true;
    this.#participants = connected;
    const attempt = this.#attempt;
    const unanswered = new Set(connected);
    this.#probing = { legs: unanswered, tellAtMs: this.#world.clock.nowMs() + PROBE_MS };
    for (const leg of connected) {
      leg.call({ op: 'probe', poolUuid: this.#options.poolUuid }, probeResultSchema, (result, failure) => {
        if (attempt !== this.#attempt) return;
        leg.probe = result;
        leg.problem = failure === null ? unfitness(leg, result as ProbeResult, this.#options) : failure.message;
        if (result !== null) leg.poolHandle = result.poolHandle;
        if (leg.problem !== '') {
          leg.probe = null;
          leg.remedy = failure === null ? remedyForUnfit(leg.member.name) : remedyForFailure(leg.member.name, failure.failure);
        }
        unanswered.delete(leg);
        if (unanswered.size === 0) this.#choose();
      });
    }
  }

  /** C1: decides whether the probes satisfy the assemble rule, and for whom to wait otherwise. */
  #choose(): void {
    this.#probing = null;
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
      this.#wait(served.what, served.remedy);
      return;
    }
    if (present.length === 0) {
      this.#wait(
        `a storage node with a store of this pool: ${this.#legs.map((leg) => leg.problem || `${leg.member.name} is not reachable (${leg.session.lostReason})`).join('; ')}`,
        remedyFor(this.#legs),
      );
      return;
    }
    const first = present[0] as Leg;
    const odd = present.find((leg) => !sameGeometry(leg, first));
    if (odd !== undefined) {
      this.#wait(
        `an operator: ${odd.describe()} and ${first.describe()} differ in size or chunk size`,
        'Stop the storage node that has the wrong store, or have it open the right one.',
      );
      return;
    }
    const memory = this.#options.memory();
    const remembered = memory === null ? [] : [{ version: memory.durable, policy: memory.policy }];
    const lineage = newestLineage([...present.map((leg) => leg.probe as ProbeResult), ...remembered]);
    if (lineage === undefined) {
      this.#wait(
        'an operator: the members belong to different lineages of this pool, and none knows of the others',
        'Stop the storage nodes whose data is to be left behind; when they come back they take over the data of the others.',
      );
      return;
    }
    const holders = present.filter((leg) => (leg.probe as ProbeResult).version?.lineageUuid === lineage);
    if (lineage !== null && holders.length === 0) {
      this.#wait(
        'a member that has a version of the lineage that this client has served: those that are there were left behind',
        remedyFor(this.#legs.filter((leg) => leg.probe === null)),
      );
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
    const suffice = 'what' in needed ? needed : this.#voters(needed, [...new Set([...holders, ...present])], members, policy.quorum);
    if ('what' in suffice && !this.#forced) {
      this.#wait(suffice.what, suffice.remedy);
      return;
    }
    // Those that are there suffice: nothing has to be left behind.
    if (!('what' in suffice)) this.#forced = false;
    const chosen = 'what' in needed || this.#forced ? forcedSet(present, versionOf(newest)) : needed;
    for (const leg of present) {
      if (chosen.includes(leg)) continue;
      if (leg.state === 'CREATED' || leg.state === 'RECONNECTING')
        leg.setState('FAILED', `out of the in-sync set since version ${formatVersion(highest)}: it returns when the pool is served`);
    }
    this.#claim(chosen, 'what' in suffice ? chosen : suffice);
  }

  /**
   * C4: that a client is alive shows where a member serves it. It is not robbed elsewhere either: a member that is out of its
   * set, and has no session with it just now, would grant, and that client would be fenced when the member returns.
   */
  #servedByAnother(): Wanted | null {
    const { clientInstance, takeover } = this.#options;
    if (takeover || this.#forced) return null;
    const witness = this.#options.witness();
    for (const leg of [...this.#legs, ...(witness === null ? [] : [witness])]) {
      if (leg.probe?.state !== 'NORMAL' || leg.probe.promise == null || leg.probe.promise.clientInstance === clientInstance) continue;
      const { clientName } = leg.probe.promise;
      return { what: `${clientName}, which the pool is served to, to leave it (${leg.describe()} says so)`, remedy: stopOther(clientName) };
    }
    return null;
  }

  /** The legs that are to grant if the pool is served with `chosen`, or which majority is missing. `present` have been probed. */
  #voters(
    chosen: readonly Leg[],
    present: readonly Leg[],
    members: readonly MemberRecord[],
    quorum: PoolPolicy['quorum'],
  ): readonly Leg[] | Wanted {
    if (quorum !== 'majority') return chosen;
    // Whoever can grant does: a majority of grants fences every other client.
    const witness = this.#options.witness();
    const entitled = [...present, ...(witness?.probe == null ? [] : [witness])].filter((leg) =>
      members.some((member) => member.memberId === leg.member.memberId && member.storeUuid === storeOf(leg)),
    );
    if (entitled.length < majorityOf(members)) {
      const absent = members.filter((member) => !entitled.some((leg) => leg.member.memberId === member.memberId));
      const names = absent.map((member) => `member ${member.memberId} (${member.name})`).join(', ');
      return {
        what: `a majority: ${entitled.length} of ${members.length} members are there, ${majorityOf(members)} are needed; missing: ${names}`,
        remedy: this.#remedy(absent),
      };
    }
    // A member whose removal is being superseded (L5) grants too, as the pool is served with it; for the majority it does not count.
    return [...entitled, ...chosen.filter((leg) => !entitled.includes(leg))];
  }

  /** The legs to claim for a pool that is being born: all members have to be there. Null: one is missing, and is waited for. */
  #bornWith(present: readonly Leg[]): readonly Leg[] | null {
    const witness = this.#options.witness();
    const missing = [...this.#legs, ...(witness === null ? [] : [witness])].filter((leg) => leg.probe === null);
    if (missing.length > 0) {
      this.#wait(
        `${missing.map((leg) => leg.problem || `${leg.describe()}: ${leg.session.lostReason}`).join('; ')} (every member is needed to create the pool)`,
        remedyFor(missing),
      );
      return null;
    }
    return present;
  }

  /** Assemble rule: the legs to serve the pool with, or who is missing. `present` have a version of the lineage of `highest`. */
  #inSyncLegs(present: readonly Leg[], highest: VersionRecord, quorum: PoolPolicy['quorum']): readonly Leg[] | Wanted {
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
    const away = highest.inSync.filter((member) => !needed.some((leg) => isLegOf(leg, member)));
    return { what: `${missing.join('; ')} (in-sync set of version ${formatVersion(highest)})`, remedy: this.#remedy(away) };
  }

  /** What a person can do so that these members are there, with these stores; undefined: nothing, as far as is known. */
  #remedy(members: readonly { readonly memberId: number; readonly storeUuid?: string | undefined }[]): string | undefined {
    const witness = this.#options.witness();
    const legs = witness === null ? this.#legs : [...this.#legs, witness];
    const concerned = legs.filter((leg) => members.some(({ memberId }) => memberId === leg.member.memberId));
    const sentences = [remedyFor(concerned.filter((leg) => leg.probe === null))];
    // These answer, but with another store.
    for (const leg of concerned) if (leg.probe !== null) sentences.push(remedyForUnfit(leg.member.name));
    for (const { memberId } of members) {
      if (!concerned.some((leg) => leg.member.memberId === memberId))
        sentences.push(`Name member ${memberId} in this node's configuration, and restart it.`);
    }
    return sentences.filter((sentence) => sentence !== undefined).join(' ') || undefined;
  }

  /** L5: the present members of this client's last durable version, if no other version can be assembled without them, or null. */
  #knownSet(present: readonly Leg[], highest: VersionRecord): readonly Leg[] | null {
    const memory = this.#options.memory();
    if (memory === null || !mayGoOn(memory, highest, (member) => present.some((leg) => isLegOf(leg, member)))) return null;
    return present.filter((leg) => memory.durable.inSync.some((member) => isLegOf(leg, member)));
  }

  /** Claims the pool from `voters` under an epoch above all that was seen, to be served with `needed`, which are among them. */
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
    const answered = this.#step(voters, (names) => `${names} to grant epoch ${epoch}, once what was under way there has ended`);
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
            const remedy = remedyForFailure(leg.member.name, failure?.failure ?? null);
            this.#wait(failure?.message ?? `${leg.describe()} to grant epoch ${epoch}`, remedy === '' ? undefined : remedy);
            return;
          }
          answered(leg);
          grants.set(leg, result);
          if (grants.size === voters.length) this.#granted(epoch, needed, voters, grants);
        },
      );
    }
  }

  /** All `voters` have granted. C2: from here on only what the grants say counts. */
  #granted(epoch: number, legs: readonly Leg[], voters: readonly Leg[], claims: ReadonlyMap<Leg, ClaimResult>): void {
    const results = legs.map((leg) => claims.get(leg) as ClaimResult);
    // Of all that it is to be served with: where the pool was half born, one may have no version yet, which says nothing of the others'.
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
    // I7: the former client may go on reading from those of its set that have not granted.
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
    const read = this.#step(
      legs.filter((leg) => claims.get(leg)?.columns.some((column) => column.dirtyChunks > 0) === true),
      (names) => `the dirty maps of ${names}`,
    );
    for (const leg of legs) {
      readGrant(leg, claims.get(leg) as ClaimResult, source, current, (grant, failure) => {
        if (!current()) return;
        if (grant === null) {
          this.#wait(failure);
          return;
        }
        read(leg);
        grants.set(leg, grant);
        if (grants.size < legs.length) return;
        this.#checkReadable(epoch, legs, grants, maps, (all) => {
          const goOn = (): void => {
            const first = firstVersion(this.#world, {
              epoch,
              legs,
              claims,
              grants: all,
              highest,
              memory: known ? this.#options.memory() : null,
              forced: this.#forced,
              quorum: this.#options.quorum,
              allLegs: this.#legs,
              witness: this.#options.witness(),
              maps,
            });
            this.#makeDurable(first, claims);
          };
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
    const answered = this.#step(legs, (names) => `${names} to check that what others may have to copy can be read there`);
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
        answered(leg);
        checked.set(leg, { ...grant, unreadable });
        if (checked.size === legs.length) goOn(legs.map((each) => checked.get(each) as Grant));
      });
    }
  }

  /** Quorum: all grants are there, so that nobody renews the lease of the former client any more; it ends by itself. */
  #waitForLease(members: readonly InSyncMember[], goOn: () => void): void {
    this.#afterLease = { atMs: this.#world.clock.nowMs() + LEASE_END_MS, goOn };
    const names = members.map(({ memberId }) => `member ${memberId}`).join(' and ');
    this.#options.onStep({ what: `${LEASE_END_MS / 1000} s to pass, in which the former client may still read from ${names}` }, false);
  }

  /** The attempt waits for these legs to answer. Returns what is to be called with one that has. */
  #step(legs: readonly Leg[], what: (names: string) => string): (answered: Leg) => void {
    return tellAsked(legs, what, (text, narrows) => this.#options.onStep({ what: text }, narrows));
  }

  /** The last step: when the version is durable and its members are enabled, the pool is in service. */
  #makeDurable(first: FirstVersion, claims: ReadonlyMap<Leg, ClaimResult>): void {
    const { legs, version, members, policy, maps, allVolatileLost } = first;
    const { poolUuid, onAttempt, onAssembled } = this.#options;
    const onEnabled = (witnessRecorded: boolean): void => {
      this.#servedEpoch = version.epoch;
      this.#forced = false;
      this.end();
      onAssembled({ version, members, policy, witnessRecorded, legs, geometry: geometryOf(legs), maps, allVolatileLost });
    };
    const host = {
      ...{ poolUuid, onAttempt, onEnabled },
      onStep: (what: string, narrows: boolean) => this.#options.onStep({ what }, narrows),
      onFailed: (why: string, remedy?: string) => this.#wait(why, remedy),
    };
    this.#record = new FirstRecord(this.#world.log, host, first, claims);
    this.#record.start();
  }
}

/** The version of a leg that has answered the probe with one. */
function versionOf(leg: Leg): VersionRecord {
  const version = leg.probe?.version;
  assert(version != null, 'recovery: a member without a version');
  return version;
}

/** Whether the leg, which was probed, leads to this member with this very store. */
function isLegOf(leg: Leg, member: InSyncMember): boolean {
  return sameMember(member, { memberId: leg.member.memberId, storeUuid: storeOf(leg) });
}
