import { DirtyMap } from '@rmr/dirty-map';
import { assert, Status, type Ticked, type World } from '@rmr/runtime';
import {
  CLEARED_RUNS_MAX,
  IO_BYTES_MAX,
  LEG_TIMEOUT_MS_DEFAULT,
  MAP_CHECK_MS,
  MAP_CHECK_URGENT_MS,
  MEMBERS_MAX,
  QUEUE_DEPTH_DEFAULT,
  RETURN_RETRY_MS,
  RETURN_RETRY_MS_MAX,
} from '../../constants.ts';
import type { ByteRange, InSyncMember, MemberRecord, VersionRecord } from '../../pool-store.ts';
import { mergeRanges } from '../../ranges.ts';
import type { LegState } from '../../states.ts';
import { formatVersion, sameMember } from '../../version.ts';
import { emptyResultSchema, type MapAdd, mapReadResultSchema, owedResultSchema, type ProbeResult } from '../../wire/control-message.ts';
import { MessageType } from '../../wire/io-message.ts';
import { clearedRuns } from '../map-leaves.ts';
import type { SessionUser, SharedSession } from '../shared-session.ts';
import { IoEngine, type IoEngineHost, type PoolClientCounters } from './io-engine.ts';
import { IoRequest } from './io-request.ts';
import { Leg, type MemberAddress } from './leg.ts';
import { LegReturn, type ReturnHost } from './leg-return.ts';
import type { ColumnDigest } from './map-spread.ts';
import type { PoolMaps } from './pool-maps.ts';
import { ReadPolicy, type ReadPolicyName } from './read-policy.ts';
import { type Assembled, Recovery, unfitness, type VersionMemory } from './recovery.ts';
import type { RmrClient } from './rmr-client.ts';

/** What a pool is served with. */
export interface PoolClientOptions {
  readonly poolUuid: string;
  readonly poolName: string;
  readonly members: readonly MemberAddress[];
  readonly readPolicy?: ReadPolicyName;
  /** The member that the read policy `preferred` prefers. */
  readonly preferredMemberId?: number;
  /** IO units; bounded by what the stores were created with. */
  readonly queueDepth?: number;
  /** Milliseconds after which an IO that has no usable leg fails with EIO; null: it waits for ever, as a disk would hang. */
  readonly ioTimeoutMs?: number | null;
  /** Milliseconds after which a leg that does not answer an IO leaves (L7). */
  readonly legTimeoutMs?: number;
}

/**
 * What a pool client does. `RECOVERING`: no leg is NORMAL, IO waits. `SERVING`: at least one leg is. `FENCED`: a newer
 * client was granted the pool; final (C3). `STOPPING`, `STOPPED`: on its way out.
 */
export type PoolClientState = 'RECOVERING' | 'SERVING' | 'FENCED' | 'STOPPING' | 'STOPPED';

/** Geometry and abilities of the pool, known once it was assembled. */
export interface PoolGeometry {
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  /** Every member frees space at the cost of a metadata update. */
  readonly fastPunch: boolean;
  /** Every member can zero a range without moving data. */
  readonly fastZero: boolean;
}

/** What a pool client waits for, and since when (wall clock). */
export interface WaitingFor {
  readonly what: string;
  readonly sinceMs: number;
}

/** A picture of the pool for status. */
export interface PoolClientStatus {
  readonly poolUuid: string;
  readonly poolName: string;
  readonly state: PoolClientState;
  readonly stateSinceMs: number;
  readonly epoch: number;
  readonly version: VersionRecord | null;
  readonly versionChangePending: boolean;
  readonly geometry: PoolGeometry | null;
  readonly waitingFor: WaitingFor | null;
  readonly executing: number;
  readonly waiting: number;
  readonly legs: readonly {
    readonly memberId: number;
    readonly name: string;
    readonly storeUuid: string | null;
    readonly state: LegState;
    readonly reason: string;
    readonly sinceMs: number;
    readonly connected: boolean;
    readonly inSync: boolean;
    readonly inFlight: number;
    /** Bytes in chunks that the member misses, as far as this client knows; null before the pool was assembled. */
    readonly dirtyBytes: number | null;
  }[];
}

/**
 * One pool on the compute client (RMR-client): its legs, its version, and through the {@link IoEngine} its IO.
 *
 * Kept here: L1 (order of leaving), L5 (order of recovery), V1 to V4 (a version is durable on every member of its set
 * before anything relies on it; an attempt that may have reached anybody is superseded by a higher one), V5 (owed adds),
 * V6, C3, R3 (clears count under the version of their stamp alone).
 */
export class PoolClient implements IoEngineHost, SessionUser, Ticked {
  readonly options: PoolClientOptions;
  readonly #world: World;
  readonly #legs: readonly Leg[];
  readonly #engine: IoEngine;
  readonly #recovery: Recovery;
  readonly #onGeometry: (pool: PoolClient) => void;
  #state: PoolClientState = 'RECOVERING';
  #stateSinceMs: number;
  #geometry: PoolGeometry | null = null;
  #epoch = 0;
  /** The version that is durable on all members of its set; null before the first assembly. */
  #version: VersionRecord | null = null;
  /** Later versions that were sent to members and are not known to be durable on their sets (V4); the newest of each set. */
  #attempts: VersionRecord[] = [];
  #members: readonly MemberRecord[] = [];
  /** The dirty maps of all members; complete while the pool is served. */
  #maps: PoolMaps | null = null;
  /** For answers to map checks. */
  #scratch: DirtyMap | null = null;
  /** Map adds that some member may not make yet (V5). */
  #owed: MapAdd[] = [];
  #owedAskedMs = 0;
  #owedBusy = false;
  /** A flush waits for a chunk that no in-sync member has clean. */
  #flushWaits = false;
  #mapsCheckedMs = 0;
  /** The member that is on its way back. */
  #return: LegReturn | null = null;
  readonly #clientInstance: string;
  readonly #clientName: string;
  /** The sequence number of the newest attempt at a version in this epoch. */
  #versionSeq = 0;
  /** Counts version changes begun; an answer of an older one means nothing. */
  #changeAttempt = 0;
  #waitingFor: WaitingFor | null = null;
  #fencedBy = '';
  #stopRequested: (() => void) | null = null;

  constructor(world: World, client: RmrClient, options: PoolClientOptions, onGeometry: (pool: PoolClient) => void) {
    assert(options.members.length >= 1 && options.members.length <= MEMBERS_MAX, 'pool client: 1 to 8 members');
    this.options = options;
    this.#clientInstance = client.instanceUuid;
    this.#clientName = client.name;
    this.#stateSinceMs = world.clock.wallMs();
    this.#world = { ...world, log: world.log.child({ pool: options.poolName }) };
    this.#onGeometry = onGeometry;
    const wallMs = (): number => world.clock.wallMs();
    this.#legs = options.members.map((member, index) => new Leg(index, member, client.session(member.addresses), this.#world.log, wallMs));
    const inFlight = new Int32Array(MEMBERS_MAX);
    const preferred = Math.max(
      0,
      options.members.findIndex((member) => member.memberId === options.preferredMemberId),
    );
    const policy = new ReadPolicy(options.readPolicy ?? 'min-inflight', inFlight, preferred);
    this.#engine = new IoEngine(this.#world, this, this.#legs, options.queueDepth ?? QUEUE_DEPTH_DEFAULT, policy, inFlight);
    this.#engine.park();
    this.#recovery = new Recovery(this.#world, this.#legs, {
      poolUuid: options.poolUuid,
      queueDepth: options.queueDepth ?? QUEUE_DEPTH_DEFAULT,
      clientInstance: client.instanceUuid,
      clientName: client.name,
      memory: () => this.#memory(),
      onAttempt: (version) => this.#noteAttempt(version),
      onWaiting: (what) => this.#wait(what),
      onFenced: (by) => this.#fence(by),
      onAssembled: (assembled) => this.#assembled(assembled),
    });
    for (const leg of this.#legs) leg.session.addUser(this);
    world.ticker.subscribe(this);
    this.#wait('the storage nodes to answer');
    this.#recovery.begin();
  }

  get state(): PoolClientState {
    return this.#state;
  }

  get counters(): PoolClientCounters {
    return this.#engine.counters;
  }

  get geometry(): PoolGeometry | null {
    return this.#geometry;
  }

  /** Hands an IO in. It waits as long as there is no usable leg (see `ioTimeoutMs`). */
  submit(request: IoRequest): void {
    assert(
      request.type === MessageType.FLUSH ? request.lengthBytes === 0 : request.lengthBytes > 0,
      'pool client: the length does not fit the type',
    );
    assert(request.type !== MessageType.WRITE || request.lengthBytes <= IO_BYTES_MAX, 'pool client: a write beyond the limit');
    this.#engine.submit(request);
  }

  /**
   * Ends in order: everything is flushed, and the members are told that nothing is in flight. The caller has let its IO
   * end before. `done` is called in every case; a pool without a leg ends at once, and its members reconcile at the
   * next start.
   */
  stop(done: () => void): void {
    assert(this.#stopRequested === null, 'pool client: stopped twice');
    this.#stopRequested = done;
    if (this.#state !== 'SERVING' || this.flushMustWait()) {
      // Nothing can be made durable on all members now: they reconcile at the next start.
      this.#stopped();
      return;
    }
    this.#setState('STOPPING');
    this.#endReturn('the pool is being stopped');
    const flush = new IoRequest({ onIoDone: (_request, status) => this.#releaseAll(status) });
    flush.type = MessageType.FLUSH;
    this.#engine.submit(flush);
  }

  status(): PoolClientStatus {
    const inSync = new Set(this.#version?.inSync.map((member) => member.memberId) ?? []);
    return {
      poolUuid: this.options.poolUuid,
      poolName: this.options.poolName,
      state: this.#state,
      stateSinceMs: this.#stateSinceMs,
      epoch: this.#epoch,
      version: this.#version,
      versionChangePending: this.#state === 'SERVING' && this.#engine.frozen,
      geometry: this.#geometry,
      waitingFor: this.#waitingFor,
      executing: this.#engine.executing,
      waiting: this.#engine.waiting,
      legs: this.#legs.map((leg) => ({
        memberId: leg.member.memberId,
        name: leg.member.name,
        storeUuid: leg.storeUuid,
        state: leg.state,
        reason:
          (this.#return?.leg === leg ? `returning: ${this.#return.phase}` : leg.problem) ||
          leg.reason ||
          (leg.connected ? '' : leg.session.lostReason),
        sinceMs: leg.sinceMs,
        connected: leg.connected,
        inSync: inSync.has(leg.member.memberId),
        inFlight: this.#engine.inFlight[leg.index] as number,
        dirtyBytes: this.#maps?.dirtyBytes(leg.member.memberId) ?? null,
      })),
    };
  }

  /** Rechecks the invariants of this class and of the engine. */
  verify(): void {
    let normal = 0;
    for (const leg of this.#legs) {
      leg.verify();
      if (leg.state === 'NORMAL') normal |= leg.bit;
    }
    assert(this.#engine.routeMask === normal, 'pool client: IO is routed to legs that are not NORMAL, or not to one that is');
    if (this.#state === 'SERVING') assert(normal !== 0, 'pool client: serving without a leg');
    if (normal !== 0 && !this.#engine.frozen) {
      for (const leg of this.#legs) {
        const inSet = this.#version?.inSync.some((member) => member.memberId === leg.member.memberId) ?? false;
        assert((leg.state === 'NORMAL') === inSet, 'I6: the durable in-sync set and the NORMAL legs differ while IO completes');
      }
    }
    this.#engine.verify();
  }

  onSessionUp(session: SharedSession): void {
    if (this.#state === 'RECOVERING') this.#recovery.poke();
    for (const leg of this.#legs) if (leg.session === session && leg.faultsMs.length === 0) leg.returnAtMs = 0;
    this.#startReturn();
  }

  onSessionDown(session: SharedSession, reason: string): void {
    this.#recovery.sessionDown(session);
    if (this.#return?.leg.session === session) this.#endReturn(`path set lost: ${reason}`);
    let lost = 0;
    for (const leg of this.#legs) {
      if (leg.session !== session) continue;
      leg.probe = null;
      if (leg.state === 'NORMAL') lost |= leg.bit;
      else if (leg.state === 'RECONNECTING' || leg.state === 'CREATED') leg.setState('FAILED', `path set lost: ${reason}`);
    }
    if (lost !== 0) this.onLegsFailed(lost, `path set lost: ${reason}`);
  }

  onSessionPermit(_session: SharedSession): void {
    this.#engine.retryWaiting();
  }

  onFenced(): void {
    this.#fence('a newer client, as a member says');
  }

  cleanLegs(offsetBytes: number, lengthBytes: number, candidates: number): number {
    let clean = 0;
    for (const leg of this.#legs) {
      if ((candidates & leg.bit) !== 0 && this.#maps?.anyDirty(leg.member.memberId, offsetBytes, lengthBytes) === false) clean |= leg.bit;
    }
    return clean === 0 ? candidates : clean;
  }

  onWriteMissed(offsetBytes: number, lengthBytes: number): void {
    for (const memberId of this.#missingMembers()) this.#maps?.add(memberId, { offsetBytes, lengthBytes });
  }

  flushMustWait(): boolean {
    const { dirtyMask, routeMask } = this.#engine;
    this.#flushWaits = routeMask !== 0 && dirtyMask === routeMask && (this.#maps?.dirtyForAll(this.#inSyncIds()) ?? -1) >= 0;
    return this.#flushWaits;
  }

  onLegsFailed(mask: number, reason: string): void {
    if (this.#state !== 'SERVING' && this.#state !== 'STOPPING') return;
    let leaving = 0;
    const nowMs = this.#world.clock.nowMs();
    for (const leg of this.#legs) {
      if ((mask & leg.bit) === 0 || leg.state !== 'NORMAL') continue;
      leg.setState('FAILED', reason);
      leg.problem = '';
      // L7: who leaves for its own fault comes back the later the oftener it did so within the hour.
      if (leg.connected) leg.faultsMs.push(nowMs);
      while (leg.faultsMs.length > 0 && (leg.faultsMs[0] as number) < nowMs - 3_600_000) leg.faultsMs.shift();
      const delayMs = leg.connected ? Math.min(RETURN_RETRY_MS * 2 ** Math.min(leg.faultsMs.length, 16), RETURN_RETRY_MS_MAX) : 0;
      leg.returnAtMs = nowMs + delayMs;
      leaving |= leg.bit;
    }
    if (leaving === 0) return;
    this.#dropReturn('the in-sync set shrinks');
    this.#engine.freeze();
    if ((this.#engine.routeMask & ~leaving) === 0) {
      this.#lostAllLegs();
      return;
    }
    this.#engine.legsLeft(leaving);
    this.#change(null, null, () => {});
    for (const leg of this.#legs) {
      if ((leaving & leg.bit) === 0 || !leg.connected) continue;
      leg.call({ op: 'disable', poolUuid: this.options.poolUuid, epoch: this.#epoch }, emptyResultSchema, (_result, failure) => {
        if (failure !== null) this.#world.log.warn('a member that left the in-sync set could not be told', { reason: failure.message });
      });
    }
  }

  tick(nowMs: number): void {
    const { ioTimeoutMs = null, legTimeoutMs = LEG_TIMEOUT_MS_DEFAULT } = this.options;
    const waitingBefore = ioTimeoutMs === null ? Number.NEGATIVE_INFINITY : nowMs - ioTimeoutMs;
    const slow = this.#engine.expire(waitingBefore, nowMs - legTimeoutMs);
    const others = this.#engine.routeMask & ~slow;
    // L7: unless it is the last.
    if (slow !== 0 && others !== 0) this.onLegsFailed(slow, `an IO was not answered for ${legTimeoutMs} ms`);
    if (this.#state === 'RECOVERING') this.#recovery.tick(nowMs);
    if (this.#state === 'SERVING' || this.#state === 'STOPPING') {
      this.#startReturn();
      this.#checkMaps(nowMs);
      this.#askOwed(nowMs);
    }
    this.#engine.nextRound();
  }

  #memory(): VersionMemory | null {
    return this.#version === null ? null : { durable: this.#version, attempts: this.#attempts };
  }

  /** V4: this version may exist from now on. Of attempts with the same set the newest says all. */
  #noteAttempt(version: VersionRecord): void {
    const key = (record: VersionRecord): string => record.inSync.map((member) => `${member.memberId} ${member.storeUuid}`).join();
    this.#attempts = [...this.#attempts.filter((attempt) => key(attempt) !== key(version)), version];
  }

  #inSyncIds(): number[] {
    return this.#legs.filter((leg) => leg.state === 'NORMAL').map((leg) => leg.member.memberId);
  }

  /**
   * Makes a version of the NORMAL legs, and of `joining`, durable on every one of them (V2, V3); what waits for leavers
   * completes only then (L1). A leg that does not record it leaves, under a version that supersedes this one (V4).
   * `columns`: the staged columns that come into use, by leg.
   */
  #change(
    joining: Leg | null,
    columns: ReadonlyMap<Leg, readonly ColumnDigest[]> | null,
    onDurable: (version: VersionRecord) => void,
  ): void {
    const current = this.#version as VersionRecord;
    const targets = this.#legs.filter((leg) => leg.state === 'NORMAL' || leg === joining);
    const inSync = targets.map((leg) => ({ memberId: leg.member.memberId, storeUuid: leg.storeUuid as string }));
    const leavers = current.inSync.filter((member) => !inSync.some((other) => sameMember(member, other))).map((member) => member.memberId);
    const attempt = ++this.#changeAttempt;
    const version: VersionRecord = {
      lineageUuid: current.lineageUuid,
      epoch: this.#epoch,
      seq: ++this.#versionSeq,
      inSync,
      horizon: this.#engine.writeSeq,
    };
    const ranges = mergeRanges(this.#engine.incompleteWriteRanges());
    const mapAdds = ranges.length === 0 || leavers.length === 0 ? [] : [{ memberIds: leavers, ranges }];
    this.#world.log.info('in-sync set changes', {
      from: formatVersion(current),
      to: formatVersion(version),
      incompleteWrites: ranges.length,
    });
    this.#engine.freeze();
    this.#noteAttempt(version);
    let left = targets.length;
    const owed: ByteRange[] = [];
    for (const leg of targets) {
      leg.call(
        {
          op: 'record-version',
          poolUuid: this.options.poolUuid,
          epoch: this.#epoch,
          version: { ...version, inSync: [...inSync] },
          members: this.#members.map((member) => ({ ...member, addresses: [...member.addresses] })),
          mapAdds,
          mapErase: [],
          maps: [...(columns?.get(leg) ?? [])],
        },
        owedResultSchema,
        (result, failure) => {
          if (attempt !== this.#changeAttempt) return;
          if (failure?.code === 'STALE_EPOCH') {
            this.#fence(failure.message);
            return;
          }
          if (result === null) {
            const reason = `version ${formatVersion(version)} could not be recorded: ${failure?.message ?? 'no answer'}`;
            if (leg === joining) this.#endReturn(reason);
            else this.onLegsFailed(leg.bit, reason);
            return;
          }
          owed.push(...result.owed);
          if (--left > 0) return;
          this.#version = version;
          this.#attempts = [];
          if (joining !== null) this.#owed = withoutMember(this.#owed, joining.member.memberId);
          if (owed.length > 0) this.#owed.push({ memberIds: leavers, ranges: mergeRanges(owed) });
          this.#engine.setOwed(this.#owed.flatMap((add) => add.ranges));
          onDurable(version);
          if (joining !== null) return;
          this.#refreshDirty();
          this.#engine.setVersion(this.#epoch, version.seq, this.#missingMembers());
          this.#startReturn();
        },
      );
    }
  }

  /** L5: starts the return of a member that is out of the set, one at a time. */
  #startReturn(): void {
    if (this.#state !== 'SERVING' || this.#return !== null || this.#engine.frozen || this.#maps === null) return;
    const nowMs = this.#world.clock.nowMs();
    const leg = this.#legs.find(
      (candidate) =>
        candidate.connected &&
        !candidate.maintenance &&
        (candidate.state === 'FAILED' || candidate.state === 'CREATED' || candidate.state === 'RECONNECTING') &&
        nowMs >= candidate.returnAtMs,
    );
    if (leg === undefined) return;
    this.#return = new LegReturn(this.#returnHost(this.#maps), leg);
    this.#return.start();
  }

  #returnHost(maps: PoolMaps): ReturnHost {
    return {
      poolUuid: this.options.poolUuid,
      epoch: this.#epoch,
      maps,
      members: this.#members,
      clientInstance: this.#clientInstance,
      clientName: this.#clientName,
      inSyncLegs: () => this.#legs.filter((leg) => leg.state === 'NORMAL'),
      unfit: (leg, probe) => this.#unfit(leg, probe),
      onMapsChanged: () => this.#refreshDirty(),
      hold: (onQuiet) => {
        this.#engine.hold(onQuiet);
        for (const leg of this.#legs) {
          if (leg.state !== 'NORMAL') continue;
          leg.call({ op: 'freeze', poolUuid: this.options.poolUuid, epoch: this.#epoch }, emptyResultSchema, (_result, failure) => {
            if (failure !== null) this.#world.log.warn('a member did not freeze for a map update', { reason: failure.message });
          });
        }
      },
      grow: (leg, columns, onDurable) => this.#change(leg, columns, onDurable),
      joined: (leg, version) => this.#joined(leg, version),
      gaveUp: (_leg, reason, failure) => {
        if (failure?.code === 'STALE_EPOCH') this.#fence(failure.message);
        else this.#endReturn(reason);
      },
    };
  }

  #unfit(leg: Leg, probe: ProbeResult): string {
    const unfit = unfitness(leg, probe, { poolUuid: this.options.poolUuid, queueDepth: this.options.queueDepth ?? QUEUE_DEPTH_DEFAULT });
    if (unfit !== '') return unfit;
    const { storeUuid, sizeBytes, chunkSizeBytes } = probe.identity;
    const known = this.#members.find((member) => member.memberId === leg.member.memberId);
    if (known === undefined) return `${leg.describe()} is not a member of this pool: add it`;
    if (known.storeUuid !== storeUuid)
      return `${leg.describe()} has store ${storeUuid}, where the pool knows ${known.storeUuid}: replace the member's store, or bring the former one back`;
    if (sizeBytes !== this.#geometry?.sizeBytes || chunkSizeBytes !== this.#geometry.chunkSizeBytes)
      return `${leg.describe()} differs from the pool in size or chunk size`;
    return '';
  }

  #joined(leg: Leg, version: VersionRecord): void {
    this.#return = null;
    leg.setState('NORMAL', `version ${formatVersion(version)} is durable on its in-sync set`);
    leg.problem = '';
    leg.returnDelayMs = RETURN_RETRY_MS;
    this.#refreshDirty();
    this.#world.log.info('a member is back in the in-sync set', {
      member: leg.member.memberId,
      version: formatVersion(version),
      dirtyBytes: this.#maps?.dirtyBytes(leg.member.memberId) ?? 0,
    });
    this.#engine.resume(this.#engine.routeMask | leg.bit, version.epoch, version.seq, this.#missingMembers());
    this.#startReturn();
  }

  /** The return under way ends without success. If a map update had begun, a version ends it (V4). */
  #endReturn(reason: string): void {
    const held = this.#return?.held === true;
    this.#dropReturn(reason);
    if (held && this.#inSyncIds().length > 0) this.#change(null, null, () => {});
  }

  #dropReturn(reason: string): void {
    const returning = this.#return;
    if (returning === null) return;
    returning.cancel();
    this.#return = null;
    const { leg } = returning;
    if (leg.state === 'RECONNECTING') leg.setState('FAILED', reason);
    leg.problem = reason;
    leg.returnAtMs = this.#world.clock.nowMs() + leg.returnDelayMs;
    leg.returnDelayMs = Math.min(leg.returnDelayMs * 2, RETURN_RETRY_MS_MAX);
  }

  /** Legs with dirty chunks, for reads; and whether what waited for clean chunks can go on. */
  #refreshDirty(): void {
    let mask = 0;
    for (const leg of this.#legs) if (leg.state === 'NORMAL' && (this.#maps?.of(leg.member.memberId).dirtyCount ?? 0) > 0) mask |= leg.bit;
    this.#engine.dirtyMask = mask;
  }

  /** Asks in-sync members that are dirty here what they have clean by now (map check). */
  #checkMaps(nowMs: number): void {
    const everyMs = this.#flushWaits || this.#owed.length > 0 ? MAP_CHECK_URGENT_MS : MAP_CHECK_MS;
    if (this.#engine.dirtyMask === 0 || this.#engine.frozen || nowMs - this.#mapsCheckedMs < everyMs) return;
    this.#mapsCheckedMs = nowMs;
    const maps = this.#maps as PoolMaps;
    for (const leg of this.#legs) {
      if ((this.#engine.dirtyMask & leg.bit) === 0) continue;
      const held = maps.of(leg.member.memberId);
      const fromLeaf = leg.nextLeaf;
      leg.call({ op: 'map-check', poolUuid: this.options.poolUuid, fromLeaf }, mapReadResultSchema, (answer) => {
        // R3 (◆22): a clear counts under the version of its stamp alone.
        const version = this.#version;
        if (answer === null || answer.stamp === null || version === null || this.#engine.frozen || leg.state !== 'NORMAL') return;
        if (answer.stamp.epoch !== version.epoch || answer.stamp.seq !== version.seq) return;
        this.#scratch ??= new DirtyMap(maps.chunkCount);
        const { runs, reason } = clearedRuns(held, this.#scratch, fromLeaf, answer, CLEARED_RUNS_MAX);
        if (reason !== null) {
          this.onLegsFailed(leg.bit, `its answer to a map check is malformed: ${reason}`);
          return;
        }
        for (const [first, count] of runs) held.clear(first, count);
        leg.nextLeaf = runs.length < CLEARED_RUNS_MAX ? (answer.nextLeaf ?? 0) : fromLeaf;
        this.#refreshDirty();
        this.#engine.settleAgain();
      });
    }
  }

  /** V5: asks for the adds that are owed, until every member has made them. */
  #askOwed(nowMs: number): void {
    if (this.#owed.length === 0 || this.#owedBusy || this.#engine.frozen || nowMs - this.#owedAskedMs < MAP_CHECK_URGENT_MS) return;
    this.#owedAskedMs = nowMs;
    this.#owedBusy = true;
    const attempt = this.#changeAttempt;
    const add = this.#owed[0] as MapAdd;
    const legs = this.#legs.filter((leg) => leg.state === 'NORMAL');
    const rest: ByteRange[] = [];
    let left = legs.length;
    for (const leg of legs) {
      leg.call(
        { op: 'map-add', poolUuid: this.options.poolUuid, epoch: this.#epoch, versionSeq: this.#versionSeq, add },
        owedResultSchema,
        (result) => {
          rest.push(...(result?.owed ?? add.ranges));
          if (--left > 0) return;
          this.#owedBusy = false;
          if (attempt !== this.#changeAttempt || this.#owed[0] !== add) return;
          this.#owed.shift();
          if (rest.length > 0) this.#owed.push({ memberIds: add.memberIds, ranges: mergeRanges(rest) });
          this.#engine.setOwed(this.#owed.flatMap((owed) => owed.ranges));
          this.#engine.settleAgain();
        },
      );
    }
  }

  #missingMembers(): number[] {
    const inSync = this.#version?.inSync ?? [];
    return this.#members.map((member) => member.memberId).filter((id) => !inSync.some((member: InSyncMember) => member.memberId === id));
  }

  /** V6: the state is kept, IO waits, recovery begins. */
  #lostAllLegs(): void {
    this.#changeAttempt++;
    this.#owed = [];
    this.#engine.park();
    if (this.#state === 'STOPPING') {
      this.#stopped();
      return;
    }
    this.#setState('RECOVERING');
    this.#world.log.warn('no leg is left: IO waits', { version: formatVersion(this.#version as VersionRecord) });
    this.#wait('a member of the in-sync set to come back');
    this.#recovery.begin();
  }

  #assembled(assembled: Assembled): void {
    assert(this.#state === 'RECOVERING', 'pool client: assembled while not recovering');
    const { version, members, legs, geometry, maps, allVolatileLost } = assembled;
    const servedBefore = this.#version !== null;
    this.#epoch = version.epoch;
    this.#versionSeq = version.seq;
    this.#version = version;
    this.#attempts = [];
    this.#members = members;
    this.#maps = maps;
    this.#waitingFor = null;
    this.#setState('SERVING');
    let mask = 0;
    for (const leg of legs) {
      leg.setState('NORMAL', `version ${formatVersion(version)} is durable on its in-sync set`);
      leg.problem = '';
      leg.nextLeaf = 0;
      mask |= leg.bit;
    }
    this.#refreshDirty();
    if (this.#geometry === null) {
      this.#geometry = geometry;
      this.#onGeometry(this);
    }
    this.#world.log.info('pool is served', { version: formatVersion(version), legs: legs.map((leg) => leg.member.memberId) });
    this.#engine.resume(mask, version.epoch, version.seq, this.#missingMembers(), servedBefore && allVolatileLost);
    this.#startReturn();
  }

  #fence(by: string): void {
    if (this.#state === 'FENCED' || this.#state === 'STOPPED') return;
    this.#world.log.error('this client is fenced and stops serving the pool', { by });
    this.#fencedBy = by;
    this.#setState('FENCED');
    this.#changeAttempt++;
    this.#dropReturn(`fenced: ${by}`);
    this.#recovery.end();
    for (const leg of this.#legs) if (leg.state === 'NORMAL' || leg.state === 'RECONNECTING') leg.setState('FAILED', `fenced: ${by}`);
    this.#wait(`nothing: the pool was taken over (${this.#fencedBy}); restart this node to claim it again`);
    this.#engine.close(Status.ESHUTDOWN);
  }

  #setState(to: PoolClientState): void {
    this.#state = to;
    this.#stateSinceMs = this.#world.clock.wallMs();
  }

  #wait(what: string): void {
    if (this.#waitingFor?.what === what) return;
    this.#waitingFor = { what, sinceMs: this.#world.clock.wallMs() };
    this.#world.log.info('pool waits', { waitingFor: what });
  }

  #releaseAll(flushStatus: number): void {
    const legs = this.#legs.filter((leg) => leg.state === 'NORMAL');
    if (flushStatus !== Status.OK || legs.length === 0) {
      this.#world.log.error('the last flush failed; the members reconcile at the next start', { status: flushStatus });
      this.#stopped();
      return;
    }
    let left = legs.length;
    for (const leg of legs) {
      leg.call({ op: 'release', poolUuid: this.options.poolUuid, epoch: this.#epoch }, emptyResultSchema, (_result, failure) => {
        if (failure !== null) this.#world.log.warn('a member could not be released', { reason: failure.message });
        if (--left === 0) this.#stopped();
      });
    }
  }

  #stopped(): void {
    if (this.#state === 'STOPPED') return;
    this.#setState('STOPPED');
    this.#waitingFor = null;
    this.#changeAttempt++;
    this.#dropReturn('the pool is stopped');
    this.#recovery.end();
    this.#world.ticker.unsubscribe(this);
    for (const leg of this.#legs) {
      leg.session.removeUser(this);
      if (leg.state !== 'REMOVING') leg.setState('REMOVING', 'the pool is stopped');
    }
    this.#engine.close(Status.ESHUTDOWN);
    this.#stopRequested?.();
  }
}

/** The adds without those for a member that is back: its writes are sent again. */
function withoutMember(adds: readonly MapAdd[], memberId: number): MapAdd[] {
  return adds
    .map((add) => ({ ...add, memberIds: add.memberIds.filter((id) => id !== memberId) }))
    .filter((add) => add.memberIds.length > 0);
}
