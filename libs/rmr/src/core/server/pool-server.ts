import type { RtrsServerRequest, RtrsServerSession } from '@rmr/rtrs';
import { assert, type DiskExtent, type Slab, Status, type TurnTask, type World } from '@rmr/runtime';
import type { PoolStore, PromiseRecord, VersionRecord } from '../../pool-store.ts';
import { SERVER_POOL_TRANSITIONS, type ServerPoolState, StateMachine } from '../../states.ts';
import { compareVersions, formatVersion, isInSync, sameVersion } from '../../version.ts';
import type { ClaimResult, ControlFailure, ControlRequest, ProbeResult } from '../../wire/control-message.ts';
import { encodeExtents } from '../../wire/extents.ts';
import { IoFlag, type IoMessage, isWriteType, MessageType } from '../../wire/io-message.ts';
import type { ReadArena } from './read-arena.ts';

/** What an accepted request waits for. */
const Phase = {
  /** The write intent and the dirty bits to become durable (W3). */
  PREPARE: 1,
  /** The data. */
  DATA: 2,
  /** The flush behind a FUA write. */
  FUA: 3,
  /** A flush. */
  FLUSH: 4,
} as const;

/** Counters of one pool, for status and metrics. */
export class PoolServerCounters {
  reads = 0;
  readBytes = 0;
  writes = 0;
  writtenBytes = 0;
  discards = 0;
  writeZeroes = 0;
  flushes = 0;
  errors = 0;
  rejected = 0;
}

/** The outcome of a control request. */
export type ControlDone = (result: ProbeResult | ClaimResult | Record<string, never> | null, failure: ControlFailure | null) => void;

/**
 * One pool on a storage node (RMR-server). Receives the client's IO and hands it to the registered store, keeps the
 * promise and the version, and fences older clients.
 *
 * Invariants kept here: I7 (nothing of an older epoch is executed, also not what was queued or waiting), W3 (order of
 * a write: checks, `lastIo`, write intent and dirty bits durable, data), W6 (the horizon), V1 (versions only rise).
 */
export class PoolServer implements TurnTask {
  turnQueued = false;
  readonly handle: number;
  readonly counters = new PoolServerCounters();
  readonly #world: World;
  readonly #store: PoolStore;
  readonly #arena: ReadArena;
  readonly #machine: StateMachine<ServerPoolState>;
  /** The epoch whose requests are executed; 0 while none is (before a grant, and while a grant drains). */
  #servedEpoch = 0;
  #versionSeq = 0;
  #horizon = 0;
  /** The session of the client that holds the promise, while it lives. */
  #holder: RtrsServerSession | null = null;
  #stateSinceMs: number;

  /** Requests that are being executed, by tag. */
  readonly #requests: (RtrsServerRequest | null)[] = [];
  /** Where a read's data goes. */
  readonly #readSlabs: (Slab | null)[] = [];
  readonly #readViews: (Uint8Array | null)[] = [];
  #phases = new Uint8Array(64);
  #types = new Uint8Array(64);
  #flags = new Uint8Array(64);
  #epochs = new Uint32Array(64);
  #offsets = new Float64Array(64);
  #lengths = new Float64Array(64);
  readonly #freeTags: number[] = [];
  #executing = 0;
  #onDrained: (() => void) | null = null;

  /** Control requests are carried out one after the other. */
  readonly #controlQueue: (() => void)[] = [];
  #controlBusy = false;

  constructor(world: World, handle: number, store: PoolStore, arena: ReadArena) {
    this.#world = world;
    this.handle = handle;
    this.#store = store;
    this.#arena = arena;
    const log = world.log.child({ pool: store.identity.poolName, member: store.identity.memberId });
    this.#machine = new StateMachine<ServerPoolState>(SERVER_POOL_TRANSITIONS, 'EMPTY', log, 'server pool state');
    this.#stateSinceMs = world.clock.wallMs();
    this.#setState('REGISTERED', 'store registered');
    this.#versionSeq = store.version?.seq ?? 0;
  }

  get store(): PoolStore {
    return this.#store;
  }

  get state(): ServerPoolState {
    return this.#machine.state;
  }

  /** Requests accepted and not answered yet. */
  get executing(): number {
    return this.#executing;
  }

  /** Why the pool is in its state, since when (wall clock), and whose it is. */
  describe(): { state: ServerPoolState; reason: string; sinceMs: number; holder: string | null; draining: boolean } {
    return {
      state: this.#machine.state,
      reason: this.#machine.reason,
      sinceMs: this.#stateSinceMs,
      holder: this.#holder === null ? null : (this.#store.promise?.clientName ?? null),
      draining: this.#onDrained !== null,
    };
  }

  /** Takes over an IO request whose message is valid. Answers it now or later, exactly once. */
  onRequest(request: RtrsServerRequest, message: IoMessage): void {
    const status = this.#refuse(request, message);
    if (status !== Status.OK) {
      this.counters.rejected++;
      request.respond(status, 0, null, null);
      return;
    }
    const tag = this.#accept(request, message);
    switch (message.type) {
      case MessageType.READ:
        this.counters.reads++;
        this.counters.readBytes += message.lengthBytes;
        this.#arena.take(message.lengthBytes);
        this.#readSlabs[tag] = this.#arena.slab;
        this.#readViews[tag] = this.#arena.view;
        this.#phases[tag] = Phase.DATA;
        this.#store.read(message.offsetBytes, this.#arena.view, tag, this);
        break;
      case MessageType.FLUSH:
        this.counters.flushes++;
        this.#store.setCompletedThrough(message.completedThrough);
        this.#phases[tag] = Phase.FLUSH;
        this.#store.flush(tag, this);
        break;
      case MessageType.EXTENTS:
        this.#answerExtents(tag, message.offsetBytes, message.lengthBytes);
        break;
      default:
        this.#write(tag, message);
    }
    this.#world.turn.defer(this);
  }

  runAtTurnEnd(): void {
    this.#store.submit();
  }

  /** For the store alone: a disk request has ended. */
  onDiskDone(tag: number, status: number): void {
    const request = this.#requests[tag] as RtrsServerRequest;
    assert(request !== null, 'pool server: completion without a request');
    switch (this.#phases[tag]) {
      case Phase.PREPARE:
        if (status !== Status.OK) {
          this.#finish(tag, status);
        } else if (this.#epochs[tag] !== this.#servedEpoch) {
          // I7: a new epoch was granted while this one waited; nothing of it has touched the data.
          this.#finish(tag, Status.ESTALE);
        } else {
          this.#submitData(tag);
          this.#world.turn.defer(this);
        }
        break;
      case Phase.DATA:
        if (status === Status.OK && ((this.#flags[tag] as number) & IoFlag.FUA) !== 0 && isWriteType(this.#types[tag] as number)) {
          this.#phases[tag] = Phase.FUA;
          this.#store.flush(tag, this);
          this.#world.turn.defer(this);
          break;
        }
        this.#finish(tag, status);
        break;
      case Phase.FUA:
      case Phase.FLUSH:
        if (status === Status.OK) {
          this.#finish(tag, Status.OK);
          break;
        }
        // The kernel may have dropped what it could not write: say so durably before anyone hears of the failure.
        this.#store.commit({ volatileLost: true }, () => this.#finish(tag, status));
        break;
      default:
        assert(false, 'pool server: completion in an unknown phase');
    }
  }

  /** Carries out a control request; `done` is called once. */
  control(session: RtrsServerSession, request: ControlRequest, done: ControlDone): void {
    if (request.op === 'probe') {
      done(this.#probe(), null);
      return;
    }
    this.#controlQueue.push(() => {
      const finished: ControlDone = (result, failure) => {
        this.#controlBusy = false;
        done(result, failure);
        this.#nextControl();
      };
      if (request.op === 'claim') {
        this.#claim(session, request, finished);
        return;
      }
      const stale = this.#notHolder(session, request.epoch);
      if (stale !== null) {
        finished(null, stale);
        return;
      }
      switch (request.op) {
        case 'record-version':
          this.#recordVersion(request, finished);
          break;
        case 'enable':
          this.#enable(request, finished);
          break;
        case 'disable':
          this.#disable(finished);
          break;
        case 'release':
          this.#release(finished);
          break;
      }
    });
    this.#nextControl();
  }

  /** The session is gone: if it was the holder's, the pool leaves IO. What is executing goes on and is drained by the next claim. */
  onSessionClosed(session: RtrsServerSession, reason: string): void {
    if (this.#holder !== session) return;
    this.#holder = null;
    this.#servedEpoch = 0;
    const state = this.#machine.state;
    if (state === 'NORMAL') this.#setState('NO_IO', `the client's session was lost: ${reason}`);
    else if (state === 'CREATED') this.#setState('REGISTERED', `the client left before the first enable: ${reason}`);
  }

  /** The store goes away: nothing new is executed; `done` is called when nothing is executing any more. */
  close(done: () => void): void {
    this.#servedEpoch = 0;
    this.#holder = null;
    this.#drain(done);
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    let executing = 0;
    for (const request of this.#requests) if (request !== null) executing++;
    assert(executing === this.#executing, 'pool server: executing count is off');
    assert(executing + this.#freeTags.length === this.#requests.length, 'pool server: a tag is lost');
    if (this.#servedEpoch !== 0) assert(this.#store.promise?.epoch === this.#servedEpoch, 'I7: an epoch is served that was not promised');
    if (this.#machine.state === 'NORMAL') {
      assert(this.#servedEpoch !== 0, 'pool server: NORMAL without an epoch');
      const version = this.#store.version;
      assert(version !== null && version.epoch === this.#servedEpoch, 'pool server: NORMAL without a version of its epoch');
    }
  }

  #refuse(request: RtrsServerRequest, message: IoMessage): number {
    if (message.epoch !== this.#servedEpoch)
      return this.#servedEpoch === 0 && message.epoch >= (this.#store.promise?.epoch ?? 0) ? Status.ENOTNORMAL : Status.ESTALE;
    const reconciling = (message.flags & IoFlag.RECONCILE) !== 0;
    const state = this.#machine.state;
    if (reconciling ? state !== 'NO_IO' && state !== 'CREATED' : state !== 'NORMAL') return Status.ENOTNORMAL;
    if (message.offsetBytes + message.lengthBytes > this.#store.identity.sizeBytes) return Status.EINVAL;
    if (message.memId >= this.#store.identity.queueDepth) return Status.EPROTO;
    const payloadBytes = request.payload === null ? 0 : request.payload.length;
    if (payloadBytes !== (message.type === MessageType.WRITE ? message.lengthBytes : 0)) return Status.EPROTO;
    if (reconciling || message.versionSeq === this.#versionSeq) return Status.OK;
    if (message.versionSeq > this.#versionSeq) return Status.EVERSION;
    // W6: a write of before the shrink is acceptable if the shrink has counted it in.
    return isWriteType(message.type) && message.writeSeq > this.#horizon ? Status.EVERSION : Status.OK;
  }

  #accept(request: RtrsServerRequest, message: IoMessage): number {
    let tag = this.#freeTags.pop();
    if (tag === undefined) {
      tag = this.#requests.length;
      this.#requests.push(null);
      this.#readSlabs.push(null);
      this.#readViews.push(null);
      if (tag === this.#phases.length) this.#growSlots();
    }
    this.#requests[tag] = request;
    this.#types[tag] = message.type;
    this.#flags[tag] = message.flags;
    this.#epochs[tag] = message.epoch;
    this.#offsets[tag] = message.offsetBytes;
    this.#lengths[tag] = message.lengthBytes;
    this.#executing++;
    return tag;
  }

  #growSlots(): void {
    const size = this.#phases.length * 2;
    const grow8 = (old: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
      const next = new Uint8Array(size);
      next.set(old);
      return next;
    };
    const grow64 = (old: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> => {
      const next = new Float64Array(size);
      next.set(old);
      return next;
    };
    this.#phases = grow8(this.#phases);
    this.#types = grow8(this.#types);
    this.#flags = grow8(this.#flags);
    this.#offsets = grow64(this.#offsets);
    this.#lengths = grow64(this.#lengths);
    const epochs = new Uint32Array(size);
    epochs.set(this.#epochs);
    this.#epochs = epochs;
  }

  #write(tag: number, message: IoMessage): void {
    if (message.type === MessageType.DISCARD) {
      this.counters.discards++;
    } else if (message.type === MessageType.WRITE_ZEROES) {
      this.counters.writeZeroes++;
    } else {
      this.counters.writes++;
      this.counters.writtenBytes += message.lengthBytes;
    }
    if ((message.flags & IoFlag.RECONCILE) === 0) {
      this.#store.setCompletedThrough(message.completedThrough);
      this.#store.recordLastIo(message.memId, message.writeSeq, message.offsetBytes, message.lengthBytes);
      this.#phases[tag] = Phase.PREPARE;
      if (
        !this.#store.prepareWrite(
          message.offsetBytes,
          message.lengthBytes,
          message.writeSeq,
          message.missingMemberIds,
          message.missingCount,
          tag,
          this,
        )
      ) {
        return;
      }
    }
    this.#submitData(tag);
  }

  #submitData(tag: number): void {
    this.#phases[tag] = Phase.DATA;
    const offsetBytes = this.#offsets[tag] as number;
    const lengthBytes = this.#lengths[tag] as number;
    const type = this.#types[tag];
    if (type === MessageType.WRITE) {
      this.#store.write(offsetBytes, (this.#requests[tag] as RtrsServerRequest).payload as Uint8Array, tag, this);
    } else if (type === MessageType.WRITE_ZEROES && ((this.#flags[tag] as number) & IoFlag.NO_HOLE) !== 0) {
      this.#store.zero(offsetBytes, lengthBytes, tag, this);
    } else {
      this.#store.punch(offsetBytes, lengthBytes, tag, this);
    }
  }

  #answerExtents(tag: number, offsetBytes: number, lengthBytes: number): void {
    this.#store.extents(offsetBytes, lengthBytes, (status: number, extents: readonly DiskExtent[]) => {
      const request = this.#requests[tag] as RtrsServerRequest;
      if (status !== Status.OK) {
        this.#finish(tag, status);
        return;
      }
      request.respond(Status.OK, 0, encodeExtents(extents), null);
      this.#forget(tag);
    });
  }

  #finish(tag: number, status: number): void {
    const request = this.#requests[tag] as RtrsServerRequest;
    if (status !== Status.OK) this.counters.errors++;
    const slab = this.#readSlabs[tag] as Slab | null;
    if (slab === null) {
      request.respond(status, 0, null, null);
      this.#forget(tag);
      return;
    }
    const view = this.#readViews[tag] as Uint8Array;
    this.#readSlabs[tag] = null;
    this.#readViews[tag] = null;
    if (status === Status.OK) request.respond(status, 0, view, slab);
    else request.respond(status, 0, null, null);
    slab.release();
    this.#forget(tag);
  }

  #forget(tag: number): void {
    this.#requests[tag] = null;
    this.#freeTags.push(tag);
    if (--this.#executing > 0 || this.#onDrained === null) return;
    const onDrained = this.#onDrained;
    this.#onDrained = null;
    onDrained();
  }

  #drain(done: () => void): void {
    if (this.#executing === 0) {
      done();
      return;
    }
    assert(this.#onDrained === null, 'pool server: drained twice at a time');
    this.#onDrained = done;
  }

  #nextControl(): void {
    if (this.#controlBusy) return;
    const next = this.#controlQueue.shift();
    if (next === undefined) return;
    this.#controlBusy = true;
    next();
  }

  #probe(): ProbeResult {
    const { identity, features } = this.#store;
    return {
      poolHandle: this.handle,
      state: this.#machine.state,
      identity: { ...identity },
      features: { fastPunch: features.fastPunch, fastZero: features.fastZero, extents: features.extents },
      promise: this.#store.promise,
      version: this.#store.version as ProbeResult['version'],
      volatileLost: this.#store.volatileLost,
    };
  }

  /** C2: a compare-and-set on (epoch, client instance), after everything of older epochs is drained or discarded. */
  #claim(session: RtrsServerSession, request: ControlRequest & { op: 'claim' }, done: ControlDone): void {
    const promise = this.#store.promise;
    const again = promise !== null && promise.epoch === request.epoch && promise.clientInstance === request.clientInstance;
    if (promise !== null && !again && request.epoch <= promise.epoch) {
      done(null, fail('STALE_EPOCH', `epoch ${promise.epoch} is promised to ${promise.clientName}`, promise));
      return;
    }
    if (promise !== null && this.#holder !== null && promise.clientInstance !== request.clientInstance) {
      // C4: a client that is alive is not robbed.
      done(null, fail('HELD', `the pool is served by ${promise.clientName}, which is alive`, promise));
      return;
    }
    // From here on nothing older is executed, also not what waits for its write intent.
    this.#servedEpoch = 0;
    this.#holder = null;
    const why = `epoch ${request.epoch} claimed by ${request.clientName}`;
    if (this.#machine.state === 'NORMAL') this.#setState('NO_IO', why);
    this.#drain(() => {
      const granted: PromiseRecord = { epoch: request.epoch, clientInstance: request.clientInstance, clientName: request.clientName };
      this.#store.commit({ promise: granted }, (status) => {
        if (status !== Status.OK) {
          done(null, fail('STORE_ERROR', `the promise could not be recorded (status ${status})`, this.#store.promise));
          return;
        }
        if (this.#machine.state === 'REGISTERED') this.#setState(this.#store.version === null ? 'CREATED' : 'NO_IO', why);
        else if (this.#machine.state === 'CREATED' && this.#store.version !== null) this.#setState('NO_IO', why);
        if (session.state === 'OPEN') {
          this.#holder = session;
          this.#servedEpoch = request.epoch;
        }
        this.#versionSeq = 0;
        this.#horizon = 0;
        done(
          {
            version: this.#store.version as ClaimResult['version'],
            members: this.#store.members as ClaimResult['members'],
            volatileLost: this.#store.volatileLost,
            lastIo: this.#store.lastIo().map(({ offsetBytes, lengthBytes }) => ({ offsetBytes, lengthBytes })),
            intent: this.#store.intentRanges().map(({ offsetBytes, lengthBytes }) => ({ offsetBytes, lengthBytes })),
          },
          null,
        );
      });
    });
  }

  #recordVersion(request: ControlRequest & { op: 'record-version' }, done: ControlDone): void {
    const current = this.#store.version;
    const next: VersionRecord = request.version;
    const { memberId, storeUuid } = this.#store.identity;
    let wrong: string | null = null;
    if (next.epoch !== request.epoch) wrong = 'its epoch is not the promised one';
    else if (!isInSync(next, memberId, storeUuid)) wrong = 'this store is not in its in-sync set';
    else if (current !== null && current.lineageUuid !== next.lineageUuid) wrong = 'it is of another lineage';
    else if (current !== null && compareVersions(next, current) < 0) wrong = `it is older than ${formatVersion(current)}`;
    else if (current !== null && compareVersions(next, current) === 0 && !sameVersion(next, current))
      wrong = 'its sequence number was used for another set';
    if (wrong !== null) {
      done(null, fail('BAD_VERSION', `version ${formatVersion(next)} is refused: ${wrong}`, null));
      return;
    }
    this.#store.commit(
      { version: next, members: request.members, dirtyAdd: request.mapAdds, ...(request.reconciled ? { reconciled: true } : {}) },
      (status) => {
        if (status !== Status.OK) {
          done(null, fail('STORE_ERROR', `the version could not be recorded (status ${status})`, null));
          return;
        }
        if (this.#servedEpoch === request.epoch) {
          this.#versionSeq = next.seq;
          this.#horizon = next.horizon;
        }
        this.#world.log.info('version recorded', {
          pool: this.#store.identity.poolName,
          version: formatVersion(next),
          horizon: next.horizon,
        });
        done({}, null);
      },
    );
  }

  #enable(request: ControlRequest & { op: 'enable' }, done: ControlDone): void {
    const version = this.#store.version;
    if (version === null || version.epoch !== request.epoch || version.seq !== request.versionSeq) {
      done(null, fail('BAD_VERSION', `version ${request.epoch}.${request.versionSeq} is not recorded here`, null));
      return;
    }
    if (this.#machine.state !== 'NORMAL') this.#setState('NORMAL', `version ${formatVersion(version)} is durable on its in-sync set`);
    done({}, null);
  }

  #disable(done: ControlDone): void {
    // Only writes that were sent before may still be executing; they may end, no other comes.
    this.#servedEpoch = 0;
    this.#holder = null;
    if (this.#machine.state === 'NORMAL') this.#setState('NO_IO', 'the client took this member out of the in-sync set');
    done({}, null);
  }

  /** The client ends in order. What it says about durability is not taken on trust: the flush is made here. */
  #release(done: ControlDone): void {
    this.#servedEpoch = 0;
    this.#holder = null;
    const released = (status: number): void => {
      if (status !== Status.OK) {
        done(null, fail('STORE_ERROR', `the release could not be recorded (status ${status})`, null));
        return;
      }
      if (this.#machine.state !== 'REGISTERED') this.#setState('REGISTERED', 'released by the client');
      done({}, null);
    };
    this.#drain(() => {
      this.#store.flush(0, {
        onDiskDone: (_tag, status) => {
          if (status === Status.OK) this.#store.commit({ reconciled: true }, released);
          else this.#store.commit({ volatileLost: true }, () => released(status));
        },
      });
      this.#world.turn.defer(this);
    });
  }

  #notHolder(session: RtrsServerSession, epoch: number): ControlFailure | null {
    if (this.#holder === session && this.#servedEpoch === epoch) return null;
    const promise = this.#store.promise;
    const holder = promise === null ? 'nobody' : `epoch ${promise.epoch} of ${promise.clientName}`;
    const code = promise !== null && promise.epoch > epoch ? 'STALE_EPOCH' : 'BAD_STATE';
    return fail(code, `epoch ${epoch} is not served here; the promise is held by ${holder}`, promise);
  }

  #setState(to: ServerPoolState, why: string): void {
    this.#stateSinceMs = this.#world.clock.wallMs();
    this.#machine.set(to, why);
  }
}

function fail(code: ControlFailure['code'], message: string, promise: PromiseRecord | null): ControlFailure {
  return { code, message, promise };
}
