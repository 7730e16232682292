import { assert, Status, type Ticked, type World } from '@rmr/runtime';
import { IO_BYTES_MAX, MEMBERS_MAX, QUEUE_DEPTH_DEFAULT, RETURN_HOLD_MS_DEFAULT } from '../../constants.ts';
import type { ByteRange, VersionRecord } from '../../pool-store.ts';
import { formatVersion } from '../../version.ts';
import { MessageType } from '../../wire/io-message.ts';
import { isFenced } from '../control-call.ts';
import type { SessionUser, SharedSession } from '../shared-session.ts';
import { ChunkReads } from './io/chunk-reads.ts';
import type { PoolClientCounters } from './io/io-counters.ts';
import { type IoEngine, type IoEngineHost, poolEngine } from './io/io-engine.ts';
import { IoRequest } from './io/io-request.ts';
import type { Leg } from './legs/leg.ts';
import type { LegFault } from './legs/leg-faults.ts';
import { LegTable } from './legs/leg-table.ts';
import { Renewal } from './legs/renewal.ts';
import { SlowLegs } from './legs/slow-legs.ts';
import { knownDifferences } from './membership/differences.ts';
import {
  type MembershipChange,
  type MembershipHost,
  MembershipOperations,
  type OperationDone,
} from './membership/membership-operations.ts';
import { OrderlyStop, type OrderlyStopHost, unfinished } from './orderly-stop.ts';
import type { PoolClientOptions, PoolClientState, PoolClientStatus, PoolGeometry } from './pool-client-types.ts';
import type { PoolMaps } from './pool-maps.ts';
import { type ForcePlan, servedRefusal } from './recovery/force-plan.ts';
import { Recovery } from './recovery/recovery.ts';
import type { Assembled } from './recovery/recovery-options.ts';
import type { TakeoverWay } from './recovery/takeover.ts';
import { disableMember, releaseMembers } from './release.ts';
import { LegReturn, type ReturnHost } from './return/leg-return.ts';
import { MapChecks, type MapChecksHost, mapCheckIntervalMs } from './return/map-checks.ts';
import { ReturningStores } from './return/returning-stores.ts';
import type { RmrClient } from './rmr-client.ts';
import { poolStatus } from './status/pool-client-status.ts';
import { remedyForFailure, remedyForFullDisk } from './status/remedies.ts';
import { WaitingNote } from './status/waiting-note.ts';
import { leftBefore } from './versions/member-records.ts';
import { Versions, type VersionsHost } from './versions/versions.ts';

/**
 * One pool on the client (RMR-client): its legs, its version, and through the {@link IoEngine} its IO.
 *
 * It keeps these rules: L1 (order of leaving), L5 (going on by what it knows), L7 (a leg that is too slow leaves), V6, C3, R3 (a clear
 * counts only under the version of its stamp). Its {@link Versions} keep V1 to V5 and the quorum, its {@link Recovery} the assembly, its
 * {@link LegTable} the legs and L7's back-off.
 */
export class PoolClient implements IoEngineHost, SessionUser, Ticked {
  readonly options: PoolClientOptions;
  readonly #world: World;
  readonly #legs: LegTable;
  readonly #client: RmrClient;
  readonly #engine: IoEngine;
  readonly #slowLegs: SlowLegs;
  readonly #recovery: Recovery;
  readonly #versions: Versions;
  /** Changes of members and policy that an operator asks for. */
  readonly membership: MembershipOperations;
  readonly #onGeometry: (pool: PoolClient) => void;
  #state: PoolClientState = 'RECOVERING';
  #stateSinceMs: number;
  #geometry: PoolGeometry | null = null;
  #epoch = 0;
  /** The dirty maps of all members. They are complete while the pool is served. */
  #maps: PoolMaps | null = null;
  readonly #mapChecks: MapChecks;
  /** Whether flushes wait for a chunk that no in-sync member has clean, and perhaps another one has (◆8). */
  #flushWaits = false;
  /** Whether the maps have become cleaner since what depends on them was last looked at. */
  #clearsToTell = false;
  /** When in-sync members were last asked what they have clean, in clock milliseconds. */
  #mapsCheckedMs = 0;
  readonly #renewal: Renewal;
  /** The return under way. Null if there is none. */
  #return: LegReturn | null = null;
  /** When the last map update began (L4), wall clock. */
  #mapUpdateSinceMs = 0;
  /** Since when the witness takes no part, wall clock. Null if it takes part. */
  #witnessAwaySinceMs: number | null = null;
  readonly #returning: ReturningStores;
  /** What the pool waits for while it is not served, or is paused. */
  readonly #waiting: WaitingNote;
  /** Called when the pool has stopped. */
  #stopRequested: (() => void) | null = null;
  #orderlyStop: OrderlyStop | null = null;

  /** Begins to bring the pool into service. `onGeometry` is called once, when the pool is first served. */
  constructor(world: World, client: RmrClient, options: PoolClientOptions, onGeometry: (pool: PoolClient) => void) {
    assert(options.members.length >= 1 && options.members.length <= MEMBERS_MAX, 'pool client: 1 to 8 members');
    this.options = options;
    this.#client = client;
    this.#stateSinceMs = world.clock.wallMs();
    this.#world = { ...world, log: world.log.child({ pool: options.poolName }) };
    this.#onGeometry = onGeometry;
    this.#waiting = new WaitingNote(this.#world);
    const session = client.session.bind(client);
    const { members, witness = null, queueDepth = QUEUE_DEPTH_DEFAULT, legReturnDelayMsMax } = options;
    this.#legs = new LegTable(this.#world, { members, witness, session, user: this, returnDelayMsMax: legReturnDelayMsMax });
    this.#engine = poolEngine(this.#world, this, this.#legs.all, options);
    this.#slowLegs = new SlowLegs({
      ...{ options, engine: this.#engine, legs: this.#legs, maps: () => this.#maps },
      onSlow: (mask, reason, fault) => this.onLegsFailed(mask, reason, fault),
    });
    this.#versions = new Versions(this.#world, this.#versionsHost());
    this.#mapChecks = new MapChecks(this.#mapChecksHost());
    this.membership = new MembershipOperations(this.#membershipHost());
    this.#returning = new ReturningStores({
      ...{ log: this.#world.log, poolUuid: options.poolUuid, poolName: options.poolName, queueDepth },
      ...{ versions: this.#versions, legs: this.#legs, membership: this.membership, geometry: () => this.#geometry },
    });
    this.#renewal = new Renewal({
      log: this.#world.log,
      poolUuid: options.poolUuid,
      clientInstance: client.instanceUuid,
      versions: this.#versions,
      engine: this.#engine,
      epoch: () => this.#epoch,
      inSyncLegs: () => this.#legs.inSync,
      witness: () => this.#legs.witness,
      onFenced: (by) => this.#fence(by),
      onRefused: (leg, reason) => this.onLegsFailed(leg.bit, reason),
      onAsked: (wish) => options.onAsked?.(wish) ?? `${client.name} hands no pool over`,
    });
    this.#recovery = new Recovery(this.#world, this.#legs.all, {
      poolUuid: options.poolUuid,
      poolName: options.poolName,
      queueDepth,
      clientInstance: client.instanceUuid,
      clientName: client.name,
      quorum: options.quorum ?? 'none',
      takeover: options.takeover ?? 'NO',
      witness: () => this.#legs.witness,
      onMembers: (members) => this.#legs.learn(members),
      twice: (leg) => this.#legs.twice(leg),
      strays: () => this.#legs.strays,
      memory: () => this.#versions.memory,
      onAttempt: (version) => this.#versions.noteAttempt(version),
      onWaiting: (waiting) => this.#waiting.wait(waiting),
      onStep: (step, narrows) => this.#waiting.step(step, narrows),
      onFenced: (by) => this.#fence(by),
      onAssembled: (assembled) => this.#assembled(assembled),
    });
    world.ticker.subscribe(this);
    this.#waiting.wait({ what: 'the storage nodes to answer' });
    this.#recovery.begin();
  }

  get state(): PoolClientState {
    return this.#state;
  }

  get counters(): PoolClientCounters {
    return this.#engine.counters;
  }

  /** Null until the pool is first served. */
  get geometry(): PoolGeometry | null {
    return this.#geometry;
  }

  /** Submits an IO. It waits as long as there is no usable leg (see `ioTimeoutMs`). */
  submit(request: IoRequest): void {
    const { lengthBytes, type } = request;
    assert((lengthBytes === 0) === (type === MessageType.FLUSH) && lengthBytes >= 0, 'pool client: the length does not fit the type');
    assert(type !== MessageType.WRITE || lengthBytes <= IO_BYTES_MAX, 'pool client: a write beyond the limit');
    this.#engine.submit(request);
  }

  /** Nobody wants the IO any more (W9). True: it never begins. It is the caller's again, and its sink is not called. False: it goes on. */
  readonly cancel = (request: IoRequest): boolean => this.#engine.cancel(request);

  /**
   * Ends in order: IO in flight ends, everything is flushed, and members are told that nothing is in flight. The caller submits no IO
   * any more. `done` is called in any case, within `ORDERLY_STOP_MS_MAX` and a tick. Where an orderly end is impossible, as in a pool
   * without a leg, the members reconcile at the next start.
   */
  stop(done: () => void): void {
    assert(this.#stopRequested === null, 'pool client: stopped twice');
    this.#stopRequested = done;
    const nowMs = this.#world.clock.nowMs();
    this.#orderlyStop = new OrderlyStop(this.#world.log, this.#orderlyStopHost(), nowMs);
    this.#orderlyStop.goOn(nowMs);
  }

  #orderlyStopHost(): OrderlyStopHost {
    return {
      serving: () => this.#state === 'SERVING',
      unfinished: () => unfinished(this.#engine, this.#versions),
      flushMustWait: () => this.flushMustWait(),
      flush: (done) => {
        this.#setState('STOPPING');
        this.#endReturn('the pool is being stopped');
        const flush = new IoRequest({ onIoDone: (_request, status) => done(status) });
        flush.type = MessageType.FLUSH;
        this.#engine.submit(flush);
      },
      release: (done) => {
        const { log } = this.#world;
        const { inSync: legs, witness } = this.#legs;
        releaseMembers({ log, poolUuid: this.options.poolUuid, epoch: this.#epoch, versions: this.#versions, legs, witness }, done);
      },
      stopped: () => this.#stopped(),
    };
  }

  /** The status of the pool at this moment. */
  status(): PoolClientStatus {
    const { poolUuid, poolName } = this.options;
    return poolStatus({
      ...{ poolUuid, poolName, epoch: this.#epoch, geometry: this.#geometry },
      clock: this.#world.clock,
      state: this.#state,
      stateSinceMs: this.#stateSinceMs,
      waitingFor: this.#waiting.current,
      legs: this.#legs.all,
      witness: this.#legs.witness,
      witnessAwaySinceMs: this.#witnessAwaySinceMs ?? this.#stateSinceMs,
      mapUpdateSinceMs: this.#mapUpdateSinceMs,
      engine: this.#engine,
      versions: this.#versions,
      maps: this.#maps,
      returning: this.#return,
      differences: knownDifferences(this.options, this.#versions, this.#legs),
      born: this.#geometry === null ? this.#recovery.birth.born : true,
    });
  }

  /** Rechecks the invariants of this class, of the engine and of the maps. */
  verify(): void {
    this.#maps?.verify();
    this.#versions.verify();
    this.#recovery.verify();
    this.membership.verify();
    this.#return?.verify();
    if (this.#return?.updatesMaps === true) assert(this.#engine.gate.writesWait, 'L4: writes are sent while the maps are handed over');
    this.#legs.verify();
    const normal = this.#legs.inSyncMask;
    assert(this.#engine.routeMask === normal, 'pool client: IO is routed to legs that are not NORMAL, or not to one that is');
    if (this.#state === 'SERVING') assert(normal !== 0, 'pool client: serving without a leg');
    if (normal !== 0 && !this.#engine.gate.versionPending) {
      // A leg whose removal was superseded stays REMOVING, and its member gets another leg.
      const inSet = this.#versions.current?.inSync.map(({ memberId }) => memberId) ?? [];
      const serving = this.#legs.inSyncIds;
      const same = inSet.length === serving.length && inSet.every((memberId) => serving.includes(memberId));
      assert(same, 'I6: the durable in-sync set and the NORMAL legs differ while IO completes');
    }
    this.#engine.verify();
  }

  onSessionUp(session: SharedSession): void {
    if (this.#state === 'RECOVERING') this.#recovery.poke();
    this.#legs.sessionUp(session);
    this.#goOn();
  }

  onSessionDown(session: SharedSession, reason: string): void {
    this.#recovery.sessionDown(session);
    if (this.#return?.leg.session === session) this.#endReturn(`path set lost: ${reason}`);
    const { witness } = this.#legs;
    if (witness?.session === session) {
      witness.probe = null;
      this.#versions.witnessLost();
    }
    const lost = this.#legs.sessionDown(session, reason);
    if (lost !== 0) this.onLegsFailed(lost, `path set lost: ${reason}`);
    this.#goOn();
  }

  onSessionPermit(_session: SharedSession): void {
    this.#engine.retryWaiting();
  }

  onFenced(): void {
    this.#fence('a newer client, as a member says');
  }

  cleanLegs(offsetBytes: number, lengthBytes: number, candidates: number): number {
    return this.#maps?.cleanLegs(this.#legs.all, offsetBytes, lengthBytes, candidates) || candidates;
  }

  absentMayHave(offsetBytes: number, lengthBytes: number): boolean {
    const all = this.#versions.dataMemberIds();
    // A member that is in the set already and is still being enabled can't be read from either.
    const absent = all.filter((memberId) => !this.#legs.inSyncIds.includes(memberId));
    return this.#maps?.anyCleanAbsent(absent, all, offsetBytes, lengthBytes) === true;
  }

  readByChunks(request: IoRequest): boolean {
    return new ChunkReads(this.#engine, request, this.#maps as PoolMaps).begin();
  }

  onUnreadable(offsetBytes: number, lengthBytes: number): void {
    if (this.#maps?.noteUnreadable(offsetBytes, lengthBytes) === true)
      this.#world.log.error('a read fails, as no member can read its chunk', { offsetBytes, lengthBytes });
  }

  onRead(offsetBytes: number, lengthBytes: number): void {
    this.#maps?.readable(offsetBytes, lengthBytes);
  }

  eachChunkClean(offsetBytes: number, lengthBytes: number, mask: number): boolean {
    return this.#maps?.eachCleanFor(this.#legs.idsOf(mask), offsetBytes, lengthBytes) === true;
  }

  onWriteEnded(range: ByteRange, status: number, carriedOut: number, missed: boolean): void {
    const cleaner = this.#engine.dirtyMask & carriedOut;
    const isCleaner = status === Status.OK && this.#maps?.written(range, cleaner === 0 ? [] : this.#legs.idsOf(cleaner));
    if (isCleaner === true) this.#clearsToTell = true;
    if (missed && this.#versions.missed(range, status === Status.OK)) this.#engine.setOwed(this.#versions.owed);
  }

  hastenReturn(): boolean {
    return this.#legs.hasten(this.#versions);
  }

  flushMustWait(): boolean {
    const { dirtyMask, routeMask } = this.#engine;
    this.#flushWaits = routeMask !== 0 && dirtyMask === routeMask && (this.#maps?.heldElsewhere(this.#legs.inSyncIds) ?? -1) >= 0;
    return this.#flushWaits;
  }

  onLegsFailed(mask: number, reason: string, fault: LegFault = 'OTHER'): void {
    if (this.#state !== 'SERVING' && this.#state !== 'STOPPING') return;
    const leaving = this.#legs.fail(mask, reason, fault);
    if (leaving === 0) return;
    this.#dropReturn('the in-sync set shrinks');
    this.#engine.gate.awaitVersion(this.#versions.majority);
    if ((this.#engine.routeMask & ~leaving) === 0) {
      this.#lostAllLegs();
      return;
    }
    this.#engine.legsLeft(leaving);
    this.#changeVersion();
    for (const leg of this.#legs.all) if ((leaving & leg.bit) !== 0) this.#disable(leg);
    this.membership.interrupted('a member left the in-sync set');
  }

  /** Tells a member, if it can be reached, that it is out of the set. */
  #disable(leg: Leg): void {
    disableMember(leg, this.options.poolUuid, this.#epoch, this.#world.log);
  }

  tick(nowMs: number): void {
    this.#slowLegs.tick(nowMs);
    this.#return?.tick(nowMs);
    if (this.#state === 'RECOVERING') this.#recovery.tick(nowMs);
    if (this.#state === 'SERVING') this.#renewal.tick(nowMs);
    if (this.#clearsToTell) this.#tellCleared();
    if (this.#state === 'SERVING' || this.#state === 'STOPPING') {
      this.#versions.tick(nowMs);
      this.#goOn();
      this.#checkMaps(nowMs);
    }
    if (this.#versions.witnessReady) this.#witnessAwaySinceMs = null;
    else this.#witnessAwaySinceMs ??= this.#world.clock.wallMs();
    this.membership.tick(nowMs);
    if (this.#legs.followMoved(nowMs, this.options.poolUuid, (stray) => this.#returning.isMoved(stray)) && this.#state === 'RECOVERING')
      this.#recovery.poke();
    this.#engine.nextRound();
    this.#orderlyStop?.goOn(nowMs);
  }

  /** C0: brings the pool into being. See {@link Recovery.create}. */
  create(done: OperationDone): void {
    this.#recovery.create(done);
  }

  /** C4: what to do about another client that serves the pool. It counts until the pool is served here. */
  takeOver(way: TakeoverWay): void {
    this.#recovery.takeOver(way);
  }

  /** What {@link force} would do now, and what would be lost. */
  forcePlan(): ForcePlan {
    return this.#state === 'RECOVERING' ? this.#recovery.forcePlan() : servedRefusal(this.#state, this.#versions.paused);
  }

  /** Serves the pool with the members that are there, as a new lineage. See {@link Recovery.force}. */
  force(leftBehind: readonly number[] | null = null, done: OperationDone = () => {}): void {
    this.#recovery.force(leftBehind, done);
  }

  #versionsHost(): VersionsHost {
    const pool = this;
    return {
      poolUuid: this.options.poolUuid,
      clientInstance: this.#client.instanceUuid,
      clientName: this.#client.name,
      get epoch() {
        return pool.#epoch;
      },
      get maps() {
        return pool.#maps as PoolMaps;
      },
      get writeSeq() {
        return pool.#engine.writeSeq;
      },
      normalLegs: () => this.#legs.inSync,
      witnessLeg: () => this.#legs.witness,
      awaitVersion: (readsToo) => this.#engine.gate.awaitVersion(readsToo),
      incompleteWriteRanges: () => this.#engine.incompleteWriteRanges(),
      onFenced: (by) => this.#fence(by),
      onNotRecorded: (leg, reason) => {
        if (leg.state === 'NORMAL') this.onLegsFailed(leg.bit, reason);
        else this.#endReturn(reason);
      },
      onPaused: (what) => {
        this.#engine.gate.awaitQuorum();
        this.#waiting.wait({ what });
      },
      onOwedChanged: (ranges) => {
        this.#engine.setOwed(ranges);
        this.#engine.settleAgain();
      },
    };
  }

  #membershipHost(): MembershipHost {
    return {
      log: this.#world.log,
      poolUuid: this.options.poolUuid,
      queueDepth: this.options.queueDepth ?? QUEUE_DEPTH_DEFAULT,
      epoch: () => this.#epoch,
      versions: this.#versions,
      nowMs: () => this.#world.clock.nowMs(),
      answeredSeqs: this.#engine.answeredSeqs,
      lineageUuid: () => (this.#versions.current as VersionRecord).lineageUuid,
      idle: () => this.#idle,
      serving: () => this.#state === 'SERVING',
      geometry: () => this.#geometry,
      maps: () => this.#maps as PoolMaps,
      legs: () => this.#legs.staying,
      strayOf: (memberId) => this.#legs.strayOf(memberId),
      addLeg: (member) => this.#legs.add(member),
      takeOut: (leg, to, why) => {
        // A member that is being added may be taken for one that returns.
        if (this.#return?.leg === leg) this.#endReturn(why);
        const wasNormal = leg.state === 'NORMAL';
        leg.setState(to, why);
        if (!wasNormal) return;
        this.#engine.gate.awaitVersion(this.#versions.majority);
        this.#engine.legsLeft(leg.bit);
      },
      change: (change) => this.#changeVersion(change),
      dropLeg: (leg) => this.#legs.giveUpSession(leg),
      disable: (leg) => this.#disable(leg),
      goOn: () => this.#goOn(),
    };
  }

  /** Makes a version of the NORMAL legs durable. IO goes on when it is, and enough members have recorded it. */
  #changeVersion({ givenUp = null, ...change }: MembershipChange & { readonly onDurable?: () => void } = {}): void {
    this.#versions.change({
      ...change,
      onDurable: (version) => {
        // This comes before any write goes on: what is written from now on is not lost (◆8).
        this.#maps?.giveUp(givenUp);
        this.#refreshDirty();
        // If a removal was superseded, the member is in the table again. Its leg stays REMOVING, so it needs another one.
        this.#legs.learn(this.#versions.members);
        if (!this.#versions.paused) {
          this.#waiting.clear();
          this.#renewal.extend();
          this.#engine.setVersion(this.#epoch, version.seq, this.#versions.missing());
        }
        change.onDurable?.();
        this.#goOn();
      },
    });
  }

  /** Whether a version change, or the return of a member, may begin. */
  get #idle(): boolean {
    return (
      this.#state === 'SERVING' &&
      this.#return === null &&
      this.#maps !== null &&
      (!this.#engine.gate.versionPending || this.#versions.paused)
    );
  }

  /** Begins what comes next: an operator's change, a paused pool that can go on, or the return of a member. */
  #goOn(): void {
    if (!this.#idle) return;
    const { paused, witnessAnew, witnessReady, witnessRecorded } = this.#versions;
    if ((paused || witnessAnew) && witnessReady && !witnessRecorded) {
      this.#changeVersion();
      return;
    }
    if (this.membership.startNext()) return;
    this.#startReturn();
  }

  /** L3: starts the return of a member that is out of the set. One member returns at a time. */
  #startReturn(): void {
    if (!this.#idle) return;
    this.#legs.hastenAwaited(this.#engine, this.#maps as PoolMaps, this.#versions);
    const leg = this.#legs.nextToReturn(this.#world.clock.nowMs(), (memberId) => this.#versions.inMaintenance(memberId));
    if (leg === undefined) return;
    this.#return = new LegReturn(this.#returnHost(this.#maps as PoolMaps), leg);
    this.#return.start();
  }

  #returnHost(maps: PoolMaps): ReturnHost {
    return {
      poolUuid: this.options.poolUuid,
      epoch: this.#epoch,
      maps,
      memberIds: this.#versions.dataMemberIds(),
      lineageUuid: (this.#versions.current as VersionRecord).lineageUuid,
      clientInstance: this.#client.instanceUuid,
      clientName: this.#client.name,
      inSyncLegs: () => this.#legs.inSync,
      leftBefore: (memberId) => leftBefore(this.#versions.members, memberId),
      markOwed: (memberId) => this.#versions.markOwed(memberId),
      heard: (leg, mark) => this.#versions.heard(leg, mark),
      knowledge: () => this.#versions.memory,
      answeredSeqs: this.#engine.answeredSeqs,
      rolledBack: (leg, store, known) => this.#returning.rolledBack(leg, store, known),
      unfit: (leg, probe) => this.#returning.unfit(leg, probe),
      onMapsChanged: () => this.#refreshDirty(),
      refreshMaps: (done) => {
        const dirty = this.#legs.inSync.filter((leg) => (this.#engine.dirtyMask & leg.bit) !== 0);
        this.#mapChecks.askAllOf(dirty, done);
      },
      quiesce: (onQuiet) => {
        this.#mapUpdateSinceMs = this.#world.clock.wallMs();
        this.#engine.gate.quiesce(onQuiet);
      },
      grow: (leg, columns, newLineage, erase, onDurable) =>
        this.#versions.change({ joining: { leg, columns, newLineage, erase }, onDurable }),
      recording: () => this.#versions.recording?.legs ?? new Set(),
      holdMsMax: this.options.legReturnHoldMs ?? RETURN_HOLD_MS_DEFAULT,
      joined: (leg, version) => this.#joined(leg, version),
      gaveUp: (leg, reason, failure, isOld, heldUp) => {
        if (failure !== null && isFenced(failure, this.#client.instanceUuid)) this.#fence(failure.message);
        else this.#endReturn(reason, heldUp);
        // The member may be enabled late, with a version that was superseded.
        if (heldUp) this.#disable(leg);
        else if (isOld) this.#returning.copyAnew(leg);
        else if (failure === null && leg.probe !== null && this.#returning.unfit(leg, leg.probe) !== '')
          leg.remedy = this.#returning.remedyForUnfit(leg);
        else if (failure === null && leg.probe?.lacksSpace !== undefined) leg.remedy = remedyForFullDisk(leg.member.name);
        else leg.remedy = remedyForFailure(leg.member.name, failure);
        this.#goOn();
      },
    };
  }

  /** V3: the version with the returning member is durable on its whole set. From now on IO goes to that member, too. */
  #joined(leg: Leg, version: VersionRecord): void {
    this.#return = null;
    leg.enabled(version);
    this.#legs.hasReturned(leg);
    this.#refreshDirty();
    const { memberId: member } = leg.member;
    const dirtyBytes = this.#maps?.dirtyBytes(member) ?? 0;
    this.#world.log.info('a member is back in the in-sync set', { member, version: formatVersion(version), dirtyBytes });
    const routeMask = this.#engine.routeMask | leg.bit;
    if (this.#versions.paused) this.#engine.route(routeMask);
    else this.#engine.resume(routeMask, version.epoch, version.seq, this.#versions.missing());
    if (!this.#versions.paused) this.#waiting.clear();
    this.#goOn();
  }

  /** The return under way fails. If a map update had begun, a version ends it (V4). */
  #endReturn(reason: string, heldUp = false): void {
    const updatesMaps = this.#return?.updatesMaps === true;
    this.#dropReturn(reason, heldUp);
    if (updatesMaps && this.#legs.inSync.length > 0) this.#changeVersion();
  }

  /** The return under way fails. If it had begun a map update, the caller makes the version that ends it. */
  #dropReturn(reason: string, heldUp = false): void {
    const returning = this.#return;
    if (returning === null) return;
    returning.cancel();
    this.#return = null;
    this.#legs.hasNotReturned(returning.leg, reason, heldUp);
  }

  /** The maps or the set have changed. Tells the engine which legs miss something, as it steers reads around that. */
  #refreshDirty(): void {
    this.#maps?.noteFound(this.#versions.dataMemberIds());
    let mask = 0;
    for (const leg of this.#legs.inSync) if ((this.#maps?.of(leg.member.memberId).dirtyCount ?? 0) > 0) mask |= leg.bit;
    this.#engine.dirtyMask = mask;
  }

  /** Asks in-sync members with dirty chunks here what they have clean by now. */
  #checkMaps(nowMs: number): void {
    const everyMs = mapCheckIntervalMs(this.#flushWaits || this.#versions.owes);
    if (this.#engine.dirtyMask === 0 || this.#engine.gate.versionPending || nowMs - this.#mapsCheckedMs < everyMs) return;
    this.#mapsCheckedMs = nowMs;
    for (const leg of this.#legs.all) if ((this.#engine.dirtyMask & leg.bit) !== 0) this.#mapChecks.ask(leg);
  }

  #tellCleared(): void {
    this.#clearsToTell = false;
    this.#refreshDirty();
    this.#engine.settleAgain();
  }

  #mapChecksHost(): MapChecksHost {
    return {
      poolUuid: this.options.poolUuid,
      maps: () => this.#maps as PoolMaps,
      stamp: () => (this.#engine.gate.versionPending && !this.#versions.paused ? null : this.#versions.current),
      onCleared: () => this.#tellCleared(),
      onMalformed: (leg, reason) => this.onLegsFailed(leg.bit, `its answer to a map check is malformed: ${reason}`),
    };
  }

  /** V6: no leg is left. The state is kept, IO waits, and recovery begins. */
  #lostAllLegs(): void {
    this.#versions.stop();
    this.#engine.allLegsLeft();
    if (this.#state === 'STOPPING') {
      this.#stopped();
      return;
    }
    this.#setState('RECOVERING');
    this.#world.log.error('no leg is left: IO waits', { version: formatVersion(this.#versions.current as VersionRecord) });
    this.#waiting.wait({ what: 'a member of the in-sync set to come back' });
    this.membership.interrupted('no member is left');
    this.#legs.learn(this.#versions.members);
    this.#recovery.begin();
  }

  /** Recovery has ended. The pool is served with these legs, and IO goes on. */
  #assembled(assembled: Assembled): void {
    assert(this.#state === 'RECOVERING', 'pool client: assembled while not recovering');
    const { version, members, policy, witnessRecorded, legs, geometry, maps, allVolatileLost } = assembled;
    const servedBefore = this.#versions.current !== null;
    this.#epoch = version.epoch;
    this.#maps = maps;
    this.#waiting.clear();
    this.#versions.adopt(version, members, policy, witnessRecorded);
    this.#legs.learn(members);
    this.#legs.dropStrangers(members);
    this.#setState('SERVING');
    let mask = 0;
    for (const leg of legs) {
      leg.enabled(version);
      this.#legs.hasReturned(leg);
      this.#engine.answeredSeqs[leg.index] = 0;
      leg.nextLeaf = 0;
      mask |= leg.bit;
    }
    this.#refreshDirty();
    this.#renewal.begin(this.#world.clock.nowMs());
    if (this.#geometry === null) {
      this.#geometry = geometry;
      this.#onGeometry(this);
    }
    this.#world.log.info('pool is served', { version: formatVersion(version), legs: legs.map((leg) => leg.member.memberId) });
    if (this.#versions.paused) this.#engine.route(mask);
    else this.#engine.resume(mask, version.epoch, version.seq, this.#versions.missing());
    if (servedBefore && allVolatileLost) this.#engine.failNextFlush();
    this.#goOn();
  }

  /** C3: another client was granted the pool. Everything that is in flight or waits ends with ESHUTDOWN. */
  #fence(by: string): void {
    if (this.#state === 'FENCED' || this.#state === 'STOPPED') return;
    this.#world.log.error('this client is fenced and stops serving the pool', { by });
    this.#setState('FENCED');
    this.#versions.stop();
    this.#dropReturn(`fenced: ${by}`);
    this.#recovery.end();
    for (const leg of this.#legs.all) if (leg.state === 'NORMAL' || leg.state === 'RECONNECTING') leg.setState('FAILED', `fenced: ${by}`);
    const remedy = 'Restart this node if it is to serve the pool again: it claims the pool when the other client has left it.';
    this.#waiting.wait({ what: `nothing: the pool was taken over (${by})`, remedy });
    this.membership.close(`the pool was taken over: ${by}`);
    this.#engine.close(Status.ESHUTDOWN);
  }

  #setState(to: PoolClientState): void {
    this.#state = to;
    this.#stateSinceMs = this.#world.clock.wallMs();
  }

  #stopped(): void {
    if (this.#state === 'STOPPED') return;
    this.#setState('STOPPED');
    this.#waiting.clear();
    this.#versions.stop();
    this.#dropReturn('the pool is stopped');
    this.#recovery.end();
    this.#world.ticker.unsubscribe(this);
    this.membership.close('the pool is stopped');
    this.#legs.close('the pool is stopped');
    this.#engine.close(Status.ESHUTDOWN);
    this.#stopRequested?.();
  }
}
