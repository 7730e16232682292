import { assert, Status, type Ticked, type World } from '@rmr/runtime';
import { IO_BYTES_MAX, LEG_TIMEOUT_MS_DEFAULT, MEMBERS_MAX, QUEUE_DEPTH_DEFAULT } from '../../constants.ts';
import type { InSyncMember, MemberRecord, VersionRecord } from '../../pool-store.ts';
import type { LegState } from '../../states.ts';
import { formatVersion } from '../../version.ts';
import { emptyResultSchema } from '../../wire/control-message.ts';
import { MessageType } from '../../wire/io-message.ts';
import { IoEngine, type IoEngineHost, type PoolClientCounters } from './io-engine.ts';
import { IoRequest } from './io-request.ts';
import { Leg, type MemberAddress } from './leg.ts';
import { ReadPolicy, type ReadPolicyName } from './read-policy.ts';
import { type Assembled, Recovery } from './recovery.ts';
import type { RmrClient } from './rmr-client.ts';
import type { SessionUser, SharedSession } from './shared-session.ts';

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
  }[];
}

/**
 * One pool on the compute client (RMR-client): its legs, its version, and through the {@link IoEngine} its IO.
 *
 * Kept here: L1 (order of leaving), V1, V2 and V4 (a shrink is durable on every member that stays before anything
 * relies on it; an attempt that may have reached anybody is superseded by a higher one), V6, C3.
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
  #members: readonly MemberRecord[] = [];
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
    if (this.#state !== 'SERVING') {
      this.#stopped();
      return;
    }
    this.#setState('STOPPING');
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
        reason: leg.problem || leg.reason || (leg.connected ? '' : leg.session.lostReason),
        sinceMs: leg.sinceMs,
        connected: leg.connected,
        inSync: inSync.has(leg.member.memberId),
        inFlight: this.#engine.inFlight[leg.index] as number,
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

  onSessionUp(_session: SharedSession): void {
    if (this.#state === 'RECOVERING') this.#recovery.poke();
  }

  onSessionDown(session: SharedSession, reason: string): void {
    this.#recovery.sessionDown(session);
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

  onLegsFailed(mask: number, reason: string): void {
    if (this.#state !== 'SERVING' && this.#state !== 'STOPPING') return;
    let leaving = 0;
    for (const leg of this.#legs) {
      if ((mask & leg.bit) === 0 || leg.state !== 'NORMAL') continue;
      leg.setState('FAILED', reason);
      leaving |= leg.bit;
    }
    if (leaving === 0) return;
    this.#engine.freeze();
    if ((this.#engine.routeMask & ~leaving) === 0) {
      this.#lostAllLegs();
      return;
    }
    for (const leg of this.#legs) {
      if ((leaving & leg.bit) === 0) continue;
      leg.problem = `${leg.describe()}: ${reason}; it stays out of the in-sync set, as its return needs a resync, which is not available yet`;
    }
    this.#engine.legsLeft(leaving);
    this.#shrink();
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
    if (this.#engine.waiting > 0) this.#engine.retryWaiting();
  }

  /** V2: the new set is made durable on every member that stays; what waits for the leavers completes only then. */
  #shrink(): void {
    const current = this.#version as VersionRecord;
    const stay = this.#legs.filter((leg) => leg.state === 'NORMAL');
    const inSync = current.inSync.filter((member) => stay.some((leg) => leg.member.memberId === member.memberId));
    const leavers = current.inSync.filter((member) => !inSync.includes(member)).map((member) => member.memberId);
    const attempt = ++this.#changeAttempt;
    const version: VersionRecord = {
      lineageUuid: current.lineageUuid,
      epoch: this.#epoch,
      seq: ++this.#versionSeq,
      inSync,
      horizon: this.#engine.writeSeq,
    };
    const ranges = this.#engine.incompleteWriteRanges();
    this.#world.log.info('in-sync set shrinks', {
      from: formatVersion(current),
      to: formatVersion(version),
      incompleteWrites: ranges.length,
    });
    let left = stay.length;
    for (const leg of stay) {
      leg.call(
        {
          op: 'record-version',
          poolUuid: this.options.poolUuid,
          epoch: this.#epoch,
          version: { ...version, inSync: [...inSync] },
          members: this.#members.map((member) => ({ ...member, addresses: [...member.addresses] })),
          mapAdds: ranges.length === 0 ? [] : [{ memberIds: leavers, ranges }],
          reconciled: false,
        },
        emptyResultSchema,
        (result, failure) => {
          if (attempt !== this.#changeAttempt) return;
          if (failure?.code === 'STALE_EPOCH') {
            this.#fence(failure.message);
          } else if (result === null) {
            // V4: a higher version, without this leg, takes the place of the attempt.
            this.onLegsFailed(leg.bit, `version ${formatVersion(version)} could not be recorded: ${failure?.message ?? 'no answer'}`);
          } else if (--left === 0) {
            this.#version = version;
            this.#engine.setVersion(this.#epoch, version.seq, this.#missingMembers());
          }
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
    const { version, members, legs, geometry, allVolatileLost } = assembled;
    const servedBefore = this.#version !== null;
    this.#epoch = version.epoch;
    this.#versionSeq = version.seq;
    this.#version = version;
    this.#members = members;
    this.#waitingFor = null;
    this.#setState('SERVING');
    let mask = 0;
    for (const leg of legs) {
      leg.setState('NORMAL', `version ${formatVersion(version)} is durable on its in-sync set`);
      mask |= leg.bit;
    }
    if (this.#geometry === null) {
      this.#geometry = geometry;
      this.#onGeometry(this);
    }
    this.#world.log.info('pool is served', { version: formatVersion(version), legs: legs.map((leg) => leg.member.memberId) });
    this.#engine.resume(mask, version.epoch, version.seq, this.#missingMembers(), servedBefore && allVolatileLost);
  }

  #fence(by: string): void {
    if (this.#state === 'FENCED' || this.#state === 'STOPPED') return;
    this.#world.log.error('this client is fenced and stops serving the pool', { by });
    this.#fencedBy = by;
    this.#setState('FENCED');
    this.#changeAttempt++;
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
