import { assert, OperationError, type World } from '@rmr/runtime';
import { FIRST_CONTACT_MS, LEASE_END_MS, READ_CHECK_MS, RECOVERY_RETRY_MS, RECOVERY_RETRY_MS_MAX } from '../../../constants.ts';
import type { InSyncMember, VersionRecord } from '../../../pool-store.ts';
import { compareVersions, formatVersion, highestVersion, isInSync, sameMember, sameVersion } from '../../../version.ts';
import { type ClaimResult, claimResultSchema, type ProbeResult } from '../../../wire/control-message.ts';
import type { SharedSession } from '../../shared-session.ts';
import { readGrant } from '../io/map-reader.ts';
import { firstContacts, tellAsked } from '../legs/asked-legs.ts';
import type { Leg } from '../legs/leg.ts';
import { rolledBackLegs, setRolledBackAside, setTwinsAside } from '../legs/set-aside.ts';
import type { OperationDone } from '../membership/membership-operations.ts';
import { PoolMaps } from '../pool-maps.ts';
import { findRolledBack } from '../return/rolled-back.ts';
import {
  bringBack,
  remedyFor,
  remedyForFailure,
  remedyForLineages,
  remedyForOddGeometry,
  remedyForRolledBack,
} from '../status/remedies.ts';
import { describeLineages, forcedSet, newestLineage } from '../versions/lineage.ts';
import { dataMembers } from '../versions/member-records.ts';
import { mayGoOn, type VersionMemory } from '../versions/versions.ts';
import { type AssemblyView, chooseLegs, chooseVoters, isLegOf } from './assemble-rule.ts';
import { type Grant, suspectRanges } from './assembly.ts';
import { Birth } from './birth.ts';
import { FirstRecord } from './first-record.ts';
import { type FirstVersion, firstVersion, storeOf, versionOf } from './first-version.ts';
import { describeGeometry, geometryOf, sameGeometry } from './fitness.ts';
import { type ForcePlan, forcePlan, refusal } from './force-plan.ts';
import { ProbeRound } from './probe-round.ts';
import { checkAllReadable, checkPortions } from './read-check.ts';
import type { RecoveryOptions } from './recovery-options.ts';
import { Takeover, type TakeoverWay } from './takeover.ts';

/**
 * Brings a pool into service: probe, claim, assemble the maps, reconcile, record the first version of the new epoch, enable. It starts
 * over at every change and never gives up. It always says what it waits for.
 *
 * A pool comes into being by an order alone (C0), see {@link create}. Members without a version wait for that order.
 *
 * These rules are decided here:
 * - C1: probes change nothing. A claim is made only when the probes satisfy the assemble rule.
 * - C2: assembly uses what the members have granted, and nothing else.
 * - The assemble rule: every member of the highest version's in-sync set has granted.
 *
 * From the grants {@link firstVersion} makes a new version (◆15), and a {@link FirstRecord} makes that version durable.
 *
 * L5: a client that has served the pool knows that it made all versions itself. It goes on with any members of its last durable version,
 * provided that each of its later attempts had one of them in its set. An attempt without any of them could be assembled behind its back
 * (V4).
 */
export class Recovery {
  readonly #world: World;
  readonly #allLegs: readonly Leg[];
  readonly #options: RecoveryOptions;
  #active = false;
  /** Whether an attempt is under way. */
  #busy = false;
  /** The number of the attempt. It tells answers to this attempt from answers to an older one. */
  #attempt = 0;
  /** Whether something changed that the attempt under way may not have seen. */
  #pokedWhileBusy = false;
  /** The time at which the next attempt begins if none is under way, in clock milliseconds. */
  #retryAtMs = 0;
  /** Milliseconds from an attempt that ends in waiting to the next one. They grow while nothing changes. */
  #retryMs = RECOVERY_RETRY_MS;
  /** The highest epoch under which this client was ever enabled. */
  #servedEpoch = 0;
  /** The highest epoch that this client has asked for or heard of. The next epoch that it asks for is higher. */
  #highestEpochSeen = 0;
  /** The time until which a client that has served the pool waits for all members of its last version, in clock milliseconds. */
  #graceUntilMs = 0;
  /** The last step of the attempt. Null before that step. */
  #record: FirstRecord | null = null;
  /** What recovery last waited for. It goes into the answer to an order that was not carried out. */
  #lastWaited = '';
  /** The attempt under way is forced. The next field has the members that the operator agreed to leave behind. Null: any. */
  #forced = false;
  #leftBehind: readonly number[] | null = null;
  #onForced: OperationDone | null = null;
  readonly #birth: Birth;
  readonly #takeover: Takeover;
  /** L8: members whose stores went back in time, with their answers. They take no part in this attempt. */
  readonly #rolledBack = new Map<Leg, ProbeResult>();
  /** L8: what this client knew when it asked. What it hears meanwhile may be younger than the answers. */
  #knownThen: VersionMemory | null = null;
  /** L8: rolled back members of the highest version's set that the attempt needs not wait for, as a released member excuses them. */
  #excused: readonly InSyncMember[] = [];
  /** What was logged of rolled back members, so that it is logged once. */
  readonly #told = new Set<string>();
  /** The legs that the attempt asks. The attempt ends when one of their sessions is lost. */
  #participants: readonly Leg[] = [];
  /** The round of probes that is under way. Null if there is none. */
  #probing: ProbeRound | null = null;
  /** L8: whether the members that seemed to be rolled back were asked once more in this attempt. */
  #askedTwice = false;
  /** What the attempt goes on with when the lease of the former client has ended, and when that is. Null if it does not wait for that. */
  #afterLease: { readonly atMs: number; readonly goOn: () => void } | null = null;

  constructor(world: World, legs: readonly Leg[], options: RecoveryOptions) {
    this.#world = world;
    this.#allLegs = legs;
    this.#options = options;
    this.#birth = new Birth(options.poolName);
    this.#takeover = new Takeover(options.poolUuid, options.clientInstance, options.clientName, options.takeover);
  }

  /** The legs that are not being removed. */
  get #legs(): readonly Leg[] {
    return this.#allLegs.filter((leg) => leg.state !== 'REMOVING');
  }

  /** The pool has no leg in service. Recovery starts, or starts over. */
  begin(): void {
    this.#active = true;
    this.#retryMs = RECOVERY_RETRY_MS;
    this.#graceUntilMs = this.#world.clock.nowMs() + RECOVERY_RETRY_MS;
    this.#run();
  }

  get birth(): Pick<Birth, 'born'> {
    return this.#birth;
  }

  /**
   * C0: the pool comes into being, with all members that the configuration names. `done` is called when the pool is served, or with an
   * error that says why not. CONFLICT: the pool exists already. UNAVAILABLE: a member was not there in time. The order is carried out
   * once. It is not kept for members that are there later.
   */
  create(done: OperationDone): void {
    if (this.#active) {
      this.#birth.order(done, this.#world.clock.nowMs());
      this.poke();
    } else {
      done(new OperationError('CONFLICT', `pool ${this.#options.poolName} exists already: it is served`));
    }
  }

  /** C4: what to do from now on about another client that serves the pool. It counts until the pool is served here. */
  takeOver(way: TakeoverWay): void {
    if (this.#takeover.way === way) return;
    this.#takeover.way = way;
    this.poke();
  }

  /** What {@link force} would do now. */
  forcePlan(): ForcePlan {
    return this.#active ? forcePlan(this.#legs, this.#rolledBack) : refusal('the pool is served');
  }

  /**
   * Takes the pool into service with the members that are there now. The pool becomes a new lineage, unless these members suffice
   * anyway. The caller has asked the operator twice. Force is tried once, as other members may be there the next time. `leftBehind`: the
   * members with data that the operator agreed to leave behind. Null: any. `done` is called once.
   */
  force(leftBehind: readonly number[] | null = null, done: OperationDone = () => {}): void {
    // While the lease runs out, the members that are there suffice, and serve the pool in a moment.
    if (!this.#active || this.#afterLease !== null) {
      done(new OperationError('CONFLICT', 'the pool is served, or about to be: there is nothing to force'));
      return;
    }
    this.#retryMs = RECOVERY_RETRY_MS;
    this.#run();
    this.#forced = this.#busy;
    this.#leftBehind = leftBehind;
    if (this.#forced) this.#onForced = done;
    else done(new OperationError('UNAVAILABLE', 'no member can be reached'));
  }

  /** Something has changed that recovery may wait for. An attempt begins at once, or as soon as the one under way ends in waiting. */
  poke(): void {
    if (!this.#active) return;
    this.#retryMs = RECOVERY_RETRY_MS;
    if (this.#busy) this.#pokedWhileBusy = true;
    else this.#run();
  }

  /** Ends recovery until {@link begin} is called again. `served`: the pool is in service. */
  end(served = false): void {
    this.#active = false;
    if (served) {
      this.#onForced?.(null);
      this.#onForced = null;
      this.#forced = false;
      this.#takeover.way = 'NO';
      this.#birth.end(null);
    }
    this.#abandon();
    this.#birth.end(new OperationError('UNAVAILABLE', 'this node does not serve the pool any more'));
  }

  /** A session was lost. An attempt in which one of its legs takes part ends, and the next one begins after a while. */
  sessionDown(session: SharedSession): void {
    if (!this.#active || !this.#busy) return;
    const lost = this.#participants.filter((leg) => leg.session === session);
    if (lost.length === 0) return;
    this.#abandon();
    this.#retryAtMs = this.#world.clock.nowMs() + RECOVERY_RETRY_MS;
    const names = lost.map((leg) => leg.describe()).join(' and ');
    this.#options.onStep({ what: `the next attempt, as the session to ${names} was lost (${session.lostReason})` }, false);
  }

  /** Begins the next attempt when it is due, or goes on when the lease of the former client has ended. `nowMs`: clock milliseconds. */
  tick(nowMs: number): void {
    if (!this.#active) return;
    this.#birth.tick(nowMs, this.#lastWaited);
    if (!this.#busy && nowMs >= this.#retryAtMs) this.#run();
    const overdue = this.#probing?.overdue(nowMs) ?? null;
    if (overdue !== null) this.#step(overdue, (names) => `${names} to say what is there`);
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

  /** The attempt ends. Answers to it are ignored from now on. */
  #abandon(): void {
    if (this.#forced)
      this.#world.log.warn('the pool was not forced into service: look which members are there, and ask again', {
        waitsFor: this.#lastWaited,
      });
    this.#onForced?.(new OperationError('UNAVAILABLE', `it was not forced: it waits for ${this.#lastWaited}`));
    this.#onForced = null;
    this.#forced = false;
    this.#leftBehind = null;
    this.#excused = [];
    this.#attempt++;
    this.#busy = false;
    this.#pokedWhileBusy = false;
    this.#record?.cancel();
    this.#record = null;
    this.#participants = [];
    this.#probing?.cancel();
    this.#probing = null;
    this.#askedTwice = false;
    this.#afterLease = null;
  }

  /**
   * The attempt ends, and recovery waits. The next attempt begins after a while, or with the next tick if something has changed
   * meanwhile.
   */
  #wait(what: string, remedy?: string): void {
    this.#lastWaited = what;
    const again = this.#pokedWhileBusy;
    this.#abandon();
    this.#retryAtMs = this.#world.clock.nowMs() + (again ? 0 : this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RECOVERY_RETRY_MS_MAX);
    this.#options.onWaiting({ what, remedy });
  }

  /** Begins an attempt. It probes all members that can be reached. */
  #run(): void {
    this.#abandon();
    this.#rolledBack.clear();
    this.#knownThen = this.#options.memory();
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
    this.#probe(connected, []);
  }

  /** Probes these members. Their answers are added to `tables`. */
  #probe(legs: readonly Leg[], tables: ProbeResult[]): void {
    const { witness } = this.#options;
    this.#probing = new ProbeRound(legs, witness(), this.#options, tables, this.#world.clock.nowMs(), () => this.#choose(tables));
  }

  /** C1: decides whether the probes satisfy the assemble rule, and says what recovery waits for if they don't. */
  #choose(answers: ProbeResult[]): void {
    this.#probing = null;
    // The member that has answered first may have an old table. That table must not lead away from where the configuration finds a newer
    // one.
    if (this.#expectsOthers() || this.#learn(answers)) return;
    setTwinsAside(this.#legs, this.#options.twice);
    const answered = this.#legs.filter((leg) => leg.probe !== null);
    const witness = this.#options.witness();
    for (const leg of [...answered, ...(witness === null || witness.probe === null ? [] : [witness])]) {
      const { promise, version } = leg.probe as ProbeResult;
      // V1: the next version gets an epoch that is higher than all that members have, whatever they have promised.
      this.#highestEpochSeen = Math.max(this.#highestEpochSeen, promise?.epoch ?? 0, version?.epoch ?? 0);
      if (promise === null) continue;
      if (this.#servedEpoch > 0 && promise.epoch > this.#servedEpoch && promise.clientInstance !== this.#options.clientInstance) {
        this.#options.onFenced(`${promise.clientName} holds epoch ${promise.epoch}`);
        return;
      }
    }
    const all = witness === null ? this.#legs : [...this.#legs, witness];
    const served = this.#forced ? null : this.#takeover.waitsFor(all);
    if (served !== null) {
      if (this.#takeover.asks) this.#retryMs = RECOVERY_RETRY_MS;
      this.#wait(served.what, served.remedy);
      return;
    }
    if (answered.length === 0) {
      this.#wait(
        `a storage node with a store of this pool: ${this.#legs.map((leg) => leg.problem || `${leg.member.name} is not reachable (${leg.session.lostReason})`).join('; ')}`,
        remedyFor(this.#legs),
      );
      return;
    }
    const first = answered[0] as Leg;
    const odd = answered.find((leg) => !sameGeometry(leg, first));
    if (odd !== undefined) {
      this.#wait(
        `an operator: ${describeGeometry(odd)}, and ${describeGeometry(first)}`,
        remedyForOddGeometry(odd.member.name, first.member.name),
      );
      return;
    }
    const memory = this.#options.memory();
    const remembered = memory === null ? [] : [{ version: memory.durable, policy: memory.policy }];
    const lineage = newestLineage([...answered.map((leg) => leg.probe as ProbeResult), ...remembered]);
    this.#birth.heard(lineage, this.#legs, witness, this.#options.strays());
    if (lineage !== null)
      this.#birth.end(new OperationError('CONFLICT', `pool ${this.#options.poolName} exists already: ${describeLineages(answered)}`));
    if (lineage === undefined) {
      this.#wait(
        `an operator: the members belong to different lineages of this pool, and none knows of the others: ${describeLineages(answered)}`,
        remedyForLineages(),
      );
      return;
    }
    if (lineage !== null) {
      const known = all.filter((leg) => leg.probe !== null);
      const doubtful = rolledBackLegs(known, this.#legs, lineage, this.#knownThen, this.#options.clientInstance);
      if (!this.#askedTwice && doubtful.size > 0) {
        // A member that remembers such a store may have heard of it from another client after the store had answered. So the store is
        // asked again, now that all others have spoken.
        this.#askedTwice = true;
        this.#probe([...doubtful.keys()], answers);
        return;
      }
      for (const [leg, answer] of setRolledBackAside(doubtful)) {
        this.#rolledBack.set(leg, answer);
        if (!this.#told.has(leg.problem))
          this.#world.log.error('a store went back in time', { member: leg.member.memberId, why: leg.problem });
        this.#told.add(leg.problem);
      }
    }
    let present = answered.filter((leg) => leg.probe !== null);
    const onlyOld = this.#forced && present.every((leg) => leg.probe?.version?.lineageUuid !== lineage);
    if (onlyOld) {
      // All members that are left are rolled back. The operator has been told so.
      for (const [leg, answer] of this.#rolledBack) if (leg !== witness) leg.probe = answer;
      present = answered.filter((leg) => leg.probe !== null);
    }
    const holders = present.filter((leg) => (leg.probe as ProbeResult).version?.lineageUuid === lineage);
    if (lineage !== null && holders.length === 0) {
      const old = [...this.#rolledBack.keys()].map((leg) => leg.problem);
      const absent = 'a member of the lineage that this client has served: those that are there were left behind, or have empty stores';
      if (old.length > 0) this.#wait(`a member whose store is what it was: ${old.join('; ')}`, remedyForRolledBack());
      else this.#wait(absent, remedyFor(this.#legs.filter((leg) => leg.probe === null)));
      return;
    }
    if (lineage === null) {
      const wanted = this.#birth.wants(this.#legs, witness, this.#options.strays());
      if (wanted === null) this.#claim(present, witness === null ? present : [...present, witness]);
      else this.#wait(wanted.what, wanted.remedy);
      return;
    }
    const newest = holders.reduce((a, b) => (compareVersions(versionOf(b), versionOf(a)) > 0 ? b : a));
    // A witness may know of a later version than the members with data that are there.
    const later = witness?.probe?.version?.lineageUuid === lineage && compareVersions(versionOf(witness), versionOf(newest)) > 0;
    const informed = later ? witness : newest;
    const highest = versionOf(informed);
    const { members, policy } = informed.probe as ProbeResult;
    const ahead = [...this.#rolledBack].find(
      ([, { version }]) => version !== null && version.lineageUuid === lineage && compareVersions(version, highest) > 0,
    );
    if (ahead !== undefined && !this.#forced) {
      const [leg, { version }] = ahead;
      this.#wait(
        `an operator: ${leg.problem}, and has version ${formatVersion(version as VersionRecord)}, of which no other member knows: a copy of it was in service`,
        remedyForLineages(),
      );
      return;
    }
    const view: AssemblyView = {
      ...{ legs: this.#legs, witness, holders, highest, members, memory, rolledBack: this.#rolledBack },
      quorum: policy.quorum,
      inGrace: this.#world.clock.nowMs() < this.#graceUntilMs && !this.#forced,
    };
    const needed = chooseLegs(view);
    const suffice = 'what' in needed ? needed : chooseVoters(view, needed.legs, [...new Set([...holders, ...present])]);
    if ('what' in suffice && !this.#forced) {
      this.#wait(suffice.what, suffice.remedy);
      return;
    }
    // The members that are there suffice, so none is left behind. What rolled back stores have lost is left behind in any case.
    if (!('what' in suffice) && !onlyOld) this.#forced = false;
    const chosen = 'what' in needed || this.#forced ? forcedSet(present, versionOf(newest)) : needed.legs;
    this.#excused = 'what' in needed || this.#forced ? [] : needed.excused;
    const behind = dataMembers(members).filter(({ memberId }) => !chosen.some((leg) => leg.member.memberId === memberId));
    const asked = this.#leftBehind;
    if (this.#forced && asked !== null && (behind.length !== asked.length || !behind.every(({ memberId }) => asked.includes(memberId)))) {
      this.#wait(
        `an operator: other members would be left behind than was said: ${behind.map(({ memberId, name }) => `member ${memberId} (${name})`).join(' and ') || 'none'}`,
      );
      return;
    }
    for (const leg of present) {
      if (chosen.includes(leg)) continue;
      if (leg.state === 'CREATED' || leg.state === 'RECONNECTING')
        leg.setState('FAILED', `out of the in-sync set since version ${formatVersion(highest)}: it returns when the pool is served`);
    }
    this.#claim(chosen, 'what' in suffice ? chosen : suffice);
  }

  /**
   * L9: the configuration helps to find a first member. If that member is of the newest lineage, its table says where the others are.
   * Returns whether this attempt has ended, because it has asked at an address that the table does not have.
   */
  #learn(answers: readonly ProbeResult[]): boolean {
    const memory = this.#options.memory();
    const lineage = newestLineage(answers);
    if (lineage === undefined) return false;
    const newest = answers
      .filter(({ version }) => version !== null && version.lineageUuid === lineage)
      .reduce<ProbeResult | null>(
        (a, b) => (a === null || compareVersions(b.version as VersionRecord, a.version as VersionRecord) > 0 ? b : a),
        null,
      );
    const members = memory?.members ?? newest?.members;
    if (members === undefined || !this.#options.onMembers(members)) return false;
    this.#wait("the members to answer at the addresses that the pool's own table has");
    this.#retryAtMs = this.#world.clock.nowMs();
    return true;
  }

  /** A client that has just started waits for the members that it is about to reach. Returns whether the attempt has ended for that. */
  #expectsOthers(): boolean {
    const expected = this.#forced ? null : firstContacts(this.#legs, this.#options, this.#participants);
    if (expected === null) return false;
    this.#retryMs = FIRST_CONTACT_MS;
    this.#wait(expected);
    return true;
  }

  /**
   * Claims the pool from `voters` under an epoch that is higher than all that were seen. The pool is to be served with `needed`, which
   * are among `voters`.
   */
  #claim(needed: readonly Leg[], voters: readonly Leg[]): void {
    const attempt = this.#attempt;
    const epoch = this.#highestEpochSeen + 1;
    this.#highestEpochSeen = epoch;
    this.#participants = voters;
    this.#knownThen = this.#options.memory();
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
          takeover: this.#takeover.way === 'FORCE' && this.#servedEpoch === 0,
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

  /** All `voters` have granted. C2: from here on only the grants count. */
  #granted(epoch: number, legs: readonly Leg[], voters: readonly Leg[], claims: ReadonlyMap<Leg, ClaimResult>): void {
    const results = legs.map((leg) => claims.get(leg) as ClaimResult);
    // The lineage follows from all legs that the pool is to be served with. Where a birth was cut short, one of them may have no version
    // yet, which says nothing of the others.
    const lineage = newestLineage(results);
    if (lineage === undefined) {
      this.#wait('the members to belong to one lineage: one of them was recorded while the pool was being claimed');
      return;
    }
    const old = lineage === null || this.#forced ? [] : [...findRolledBack(claims, lineage, this.#knownThen, this.#legs)];
    const [oldest] = old;
    if (oldest !== undefined) {
      this.#wait(`${oldest[0].describe()}, which ${oldest[1].why}: it turned out while the pool was being claimed`);
      return;
    }
    const versions = voters
      .map((leg) => (claims.get(leg) as ClaimResult).version)
      .filter((version) => version !== null && version.lineageUuid === lineage) as VersionRecord[];
    const highest = versions.length === 0 ? null : highestVersion(versions);
    const has = (member: InSyncMember): boolean => legs.some((leg) => isLegOf(leg, member));
    const memory = this.#options.memory();
    const known = memory !== null && highest !== null && !this.#forced && mayGoOn(memory, highest, has);
    // I7: the former client may go on reading from members of its set that have not granted.
    const isAbsent = (member: InSyncMember): boolean => !has(member) && !this.#excused.some((other) => sameMember(other, member));
    const maybeRead = highest !== null && !known && !this.#forced ? highest.inSync.filter(isAbsent) : [];
    if (highest !== null && !known && !this.#forced) {
      const quorum = results.some((result) => result.policy.quorum === 'majority');
      const held = legs.some((leg) => {
        const { version } = claims.get(leg) as ClaimResult;
        return version !== null && sameVersion(version, highest);
      });
      const isExcused = (member: InSyncMember): boolean => this.#excused.some((other) => sameMember(other, member));
      const whole = highest.inSync.every((member) => has(member) || (held && isExcused(member))) || (quorum && held);
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

  /**
   * I1: a member that can't read a suspect chunk must not win its reconciliation, as the others would have to copy that chunk from it.
   * So the members check what they can read, if there is more than one.
   */
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
    const attempt = this.#attempt;
    const untilMs = this.#world.clock.nowMs() + READ_CHECK_MS;
    checkAllReadable(claimed, portions, {
      source: { poolUuid: this.#options.poolUuid, epoch },
      isLate: () => this.#world.clock.nowMs() >= untilMs,
      current: () => attempt === this.#attempt,
      answered: this.#step(legs, (names) => `${names} to check that what others may have to copy can be read there`),
      failed: (why) => this.#wait(why),
      done: (checked) => goOn(legs.map((leg) => checked.get(leg) as Grant)),
    });
  }

  /** Quorum: all voters have granted, so none of them renews the lease of the former client any more. That lease ends by itself. */
  #waitForLease(members: readonly InSyncMember[], goOn: () => void): void {
    this.#afterLease = { atMs: this.#world.clock.nowMs() + LEASE_END_MS, goOn };
    const names = members.map(({ memberId }) => `member ${memberId}`).join(' and ');
    this.#options.onStep({ what: `${LEASE_END_MS / 1000} s to pass, in which the former client may still read from ${names}` }, false);
  }

  /** The attempt waits for these legs to answer. Returns a function to be called with each leg that has answered. */
  #step(legs: readonly Leg[], what: (names: string) => string): (answered: Leg) => void {
    return tellAsked(legs, what, (text, narrows) => this.#options.onStep({ what: text }, narrows));
  }

  /** The last step of an attempt. The pool is in service when the version is durable and the members of its set are enabled. */
  #makeDurable(first: FirstVersion, claims: ReadonlyMap<Leg, ClaimResult>): void {
    const { legs, version, members, policy, maps, allVolatileLost } = first;
    const { poolUuid, onAttempt, onAssembled } = this.#options;
    const onEnabled = (witnessRecorded: boolean): void => {
      this.#servedEpoch = version.epoch;
      this.end(true);
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
