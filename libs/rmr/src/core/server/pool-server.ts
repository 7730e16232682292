import type { RtrsServerRequest, RtrsServerSession } from '@rmr/rtrs';
import { assert, type DiskExtent, type DiskSink, type Slab, Status, type Ticked, type TurnTask, type World } from '@rmr/runtime';
import { IO_BYTES_MAX, PASS_BY_MS, WAIT_BOUNCE_MS } from '../../constants.ts';
import type { PoolStore, VersionRecord } from '../../pool-store.ts';
import type { ServerPoolState } from '../../states.ts';
import type { ControlRequest } from '../../wire/control-message.ts';
import { encodeExtents } from '../../wire/extents.ts';
import { IoFlag, IoMessage, isWriteType, MessageType } from '../../wire/io-message.ts';
import { OwnChunks } from './chunks/own-chunks.ts';
import { PassingWrite } from './chunks/passing-write.ts';
import { UnreadableChunks } from './chunks/unreadable-chunks.ts';
import { type ControlDone, PoolControl } from './pool-control.ts';
import { type ChunkWait, PoolServerCounters, sumUpWaits } from './pool-server-counters.ts';
import { admission } from './requests/admission.ts';
import type { ReadArena } from './requests/read-arena.ts';
import { Phase, RequestSlots } from './requests/request-slots.ts';
import { submitRange } from './requests/write-data.ts';
import { Resync } from './resync/resync.ts';
import { ResyncBudget } from './resync/resync-budget.ts';
import type { ResyncOptions } from './resync/resync-types.ts';
import { holeAnswer, holeInFront, packSyncAnswer, syncAnswerBytes, syncRoomBytes } from './resync/sync-answer.ts';
import { type SessionOpener, type SyncPeerStatus, SyncPeers } from './resync/sync-peers.ts';
import { Serving } from './serving.ts';
import { failureOf, needsSpace, SpaceWatch } from './space-watch.ts';

/**
 * One pool on a storage node (RMR-server): receives the client's IO and hands it to the registered store. What the client
 * asks for besides IO is its {@link PoolControl}'s matter.
 *
 * Invariants kept here: I7 (nothing of an older epoch is executed, also not what was queued or waiting), W3 (order of
 * a write: checks, `lastIo`, write intent and dirty bits durable, data), W4 (dirty chunks), I4 (a dirty chunk is not
 * served). What is refused at once, as by the horizon (W6), is {@link admission}'s matter.
 */
export class PoolServer implements TurnTask, DiskSink, Ticked {
  turnQueued = false;
  /** By which requests name the pool. */
  readonly handle: number;
  readonly counters = new PoolServerCounters();
  readonly #world: World;
  readonly #store: PoolStore;
  readonly #own: OwnChunks;
  readonly #arena: ReadArena;
  readonly #serving: Serving;
  readonly #control: PoolControl;

  /** The requests that are being executed, by tag. */
  readonly #slots = new RequestSlots();
  /** What is wrong with the disk, as the keeper of the store has found. A sentence without its subject. Empty: nothing. */
  diskTrouble = '';
  /** Called when nothing is executing any more. Null unless a drain waits for that. */
  #onDrained: (() => void) | null = null;

  readonly #unreadable: UnreadableChunks;
  readonly #space: SpaceWatch;
  readonly #peers: SyncPeers;
  /** Brings what is dirty here up to date. */
  readonly resync: Resync;
  /** For what is decoded again: valid until the next one is. */
  readonly #message = new IoMessage();
  /** The tags of the requests that wait for a dirty or locked chunk, in order. */
  readonly #waiting: number[] = [];
  /** Chunks have been released: what waits is looked at again at the end of the turn. */
  #released = false;
  /** W10: writes that pass dirty chunks by, by tag. */
  readonly #passing = new Map<number, PassingWrite>();

  constructor(
    world: World,
    handle: number,
    store: PoolStore,
    arena: ReadArena,
    sessions: SessionOpener,
    resync: ResyncOptions = {},
    budget = new ResyncBudget(resync),
  ) {
    this.#world = world;
    this.handle = handle;
    this.#store = store;
    this.#own = new OwnChunks(store);
    this.#arena = arena;
    const log = world.log.child({ pool: store.identity.poolName, member: store.identity.memberId });
    this.#serving = new Serving(world.clock, log, store.version?.seq ?? 0);
    const poolWorld = { ...world, log };
    this.#peers = new SyncPeers(poolWorld, store, sessions, () => this.resync.poke());
    this.#unreadable = new UnreadableChunks(this.#own);
    this.#space = new SpaceWatch(world.clock, log, store);
    this.resync = new Resync(
      poolWorld,
      store,
      this.#peers,
      resync,
      budget,
      () => this.#onReleased(),
      (offsetBytes, lengthBytes) => this.#unreadable.written(offsetBytes, lengthBytes),
      () => this.#space.refused(),
    );
    this.#control = new PoolControl(world, store, this.#serving, {
      handle,
      leaveIo: (status) => this.#leaveIo(status),
      drain: (done) => this.#drain(done),
      bounceWaiting: () => this.#discardWaiting(Status.EBOUNCED),
      resyncStarts: (version) => this.#resyncStarts(version),
      unreadable: this.#unreadable,
      resolved: (completedThrough) => this.resync.passBy.resolved(completedThrough),
      space: this.#space,
      diskTrouble: () => this.diskTrouble || this.#space.trouble,
      versionRecording: (recording) => this.#peers.holdClears(recording),
      submitLater: () => world.turn.defer(this),
    });
    store.careful ||= store.cacheDoubtful;
    store.onDoubt = () => this.storeFailed('a flush of its disk failed: data that was not flushed may be gone', true);
    world.ticker.subscribe(this);
  }

  /** Where the pool's data and metadata lie. */
  get store(): PoolStore {
    return this.#store;
  }

  get state(): ServerPoolState {
    return this.#serving.state;
  }

  /** Requests accepted and not answered yet. */
  get executing(): number {
    return this.#slots.used;
  }

  /** Why the pool is in its state, since when (wall clock), and whose it is. */
  describe(): { state: ServerPoolState; reason: string; sinceMs: number; holder: string | null; draining: boolean } {
    return {
      state: this.#serving.state,
      reason: this.#serving.reason,
      sinceMs: this.#serving.sinceMs,
      holder: this.#serving.holder === null ? null : (this.#store.promise?.clientName ?? null),
      draining: this.#onDrained !== null,
    };
  }

  /** Since when the store has been out of space, wall clock; null: it is not (W8). */
  get fullSinceMs(): number | null {
    return this.#space.fullSinceWallMs;
  }

  /** The sync legs to the other members, for status. */
  peers(): SyncPeerStatus[] {
    return this.#peers.status();
  }

  /** The requests that wait for dirty or locked chunks, by what they wait for, for status. */
  waits(): ChunkWait[] {
    const wallMs = this.#world.clock.wallMs() - this.#world.clock.nowMs();
    const waits: ChunkWait[] = [];
    for (const tag of this.#waiting) {
      const [offsetBytes, lengthBytes] = [this.#slots.offsets[tag] as number, this.#slots.lengths[tag] as number];
      const chunk = this.#awaited(tag, offsetBytes, lengthBytes) ?? this.#own.firstDirty(offsetBytes, lengthBytes);
      // Clean by now: it is taken up at the end of the turn.
      if (chunk < 0) continue;
      const isLocked = this.resync.isLocked(chunk, 1);
      const what = isLocked ? 'a pull or a write of the chunk that is under way' : this.resync.sourceOf(chunk);
      const remedy = isLocked ? undefined : this.resync.remedyFor(chunk);
      waits.push({ chunk, what, remedy, requests: 1, sinceMs: wallMs + (this.#slots.waitingSinceMs[tag] as number) });
    }
    return sumUpWaits(waits);
  }

  /** Takes over an IO request whose message is valid. Answers it now or later, exactly once. */
  onRequest(request: RtrsServerRequest, message: IoMessage): void {
    const status = admission(request, message, this.#store, this.#serving);
    if (status !== Status.OK) {
      this.counters.rejected++;
      request.respond(status, 0, null, null);
      return;
    }
    const tag = this.#slots.take(request, message);

    if (message.type === MessageType.SYNC_READ) {
      this.counters.syncReads++;
    } else {
      this.resync.noteClientIo(this.#world.clock.nowMs(), message.felt);
      this.resync.passBy.resolved(message.completedThrough);
      this.counters.count(message);
    }
    this.#start(tag, message);
    this.#world.turn.defer(this);
  }

  /** Begins an accepted request, or begins it again when what it waited for has changed. */
  #start(tag: number, message: IoMessage): void {
    switch (message.type) {
      case MessageType.READ:
      case MessageType.SYNC_READ:
        if (this.#own.anyDirty(message.offsetBytes, message.lengthBytes)) {
          // I4: what is dirty here is not served from here.
          if (message.type === MessageType.SYNC_READ || this.#mayPassBy(tag, message.offsetBytes, message.lengthBytes))
            this.#finish(tag, Status.EDIRTY);
          else this.#waitForChunks(tag, message.offsetBytes, message.lengthBytes);
          return;
        }
        if (message.lengthBytes <= IO_BYTES_MAX) this.#read(tag, message.offsetBytes, message.lengthBytes);
        else this.#syncReadLong(tag, message.offsetBytes, message.lengthBytes);
        break;
      case MessageType.FLUSH:
        this.#store.setCompletedThrough(message.completedThrough);
        this.#slots.phases[tag] = Phase.FLUSH;
        this.#store.flush(tag, this);
        break;
      case MessageType.EXTENTS:
        this.#answerExtents(tag, message.offsetBytes, message.lengthBytes);
        break;
      default:
        this.#write(tag, message);
    }
  }

  /** Reads, for another storage node with room for what its answer says besides the data. */
  #read(tag: number, offsetBytes: number, lengthBytes: number): void {
    const slots = this.#slots;
    const isSync = slots.types[tag] === MessageType.SYNC_READ;
    const blockShift = slots.blockShifts[tag] as number;
    slots.lengths[tag] = lengthBytes;
    this.#arena.take(isSync ? syncAnswerBytes(lengthBytes, blockShift, this.#store.identity.queueDepth) : lengthBytes);
    slots.readSlabs[tag] = this.#arena.slab;
    slots.readViews[tag] = this.#arena.view;
    slots.phases[tag] = Phase.DATA;
    const at = isSync ? syncRoomBytes(lengthBytes, blockShift) : 0;
    this.#store.read(offsetBytes, this.#arena.view.subarray(at, at + lengthBytes), tag, this);
  }

  /** The range is more than one answer can carry: a hole at its start is answered as a hole, else the data at its start is. */
  #syncReadLong(tag: number, offsetBytes: number, lengthBytes: number): void {
    this.#slots.phases[tag] = Phase.DATA;
    this.#store.extents(offsetBytes, lengthBytes, (status, extents) => {
      const holeBytes = status === Status.OK ? holeInFront(extents, lengthBytes) : 0;
      if (status !== Status.OK) {
        this.#finish(tag, status);
      } else if (holeBytes > 0) {
        // Looked up after the hole was: what a write has made of it since has been recorded by then (W3).
        const answer = holeAnswer(holeBytes, this.#store.unresolvedWrites(offsetBytes, holeBytes));
        this.#answer(tag, answer);
      } else {
        this.#read(tag, offsetBytes, IO_BYTES_MAX);
        this.#world.turn.defer(this);
      }
    });
  }

  /** What waited for chunks goes on if it can, and the store begins what it was given in this turn. */
  runAtTurnEnd(): void {
    if (this.#released) {
      this.#released = false;
      this.#startWaiting();
    }
    this.#store.submit();
  }

  /** Gives back what has waited for long: the client sees that the member lives, and may know a better one by now. */
  tick(nowMs: number): void {
    if (this.#waiting.some((tag) => (this.#slots.waitingSinceMs[tag] as number) <= nowMs - PASS_BY_MS)) this.#onReleased();
    this.#space.look();
    for (let i = 0; i < this.#waiting.length; ) {
      const tag = this.#waiting[i] as number;
      if ((this.#slots.waitingSinceMs[tag] as number) > nowMs - WAIT_BOUNCE_MS) {
        i++;
        continue;
      }
      this.#waiting.splice(i, 1);
      this.#bounce(tag);
    }
  }

  /** For the store alone: a disk request has ended. */
  onDiskDone(tag: number, status: number): void {
    const slots = this.#slots;
    const request = slots.requests[tag] as RtrsServerRequest;
    assert(request !== null, 'pool server: completion without a request');
    switch (slots.phases[tag]) {
      case Phase.SPACE:
        this.#spaceDecided(tag, status);
        break;
      case Phase.PREPARE:
        if (status !== Status.OK) {
          this.#finish(tag, failureOf(status));
        } else if (slots.epochs[tag] !== this.#serving.epoch) {
          // I7: its client is not served any more; nothing of it has touched the data.
          this.#finish(tag, this.#serving.endStatus);
        } else {
          this.#afterPrepare(tag);
          this.#world.turn.defer(this);
        }
        break;
      case Phase.PASS_DATA: {
        const whole = (this.#passing.get(tag) as PassingWrite).partEnded(status);
        if (whole !== null) this.#passed(tag, whole);
        break;
      }
      case Phase.REPLACE_PREPARE:
      case Phase.REPLACE_MARK:
      case Phase.REPLACE_DATA:
      case Phase.REPLACE_FLUSH:
        this.#replaceGoesOn(tag, status);
        break;
      case Phase.DATA:
        if (status === Status.OK && ((slots.flags[tag] as number) & IoFlag.FUA) !== 0 && isWriteType(slots.types[tag] as number)) {
          slots.phases[tag] = Phase.FUA;
          this.#store.flush(tag, this);
          this.#world.turn.defer(this);
          break;
        }
        this.#noteReadable(tag, status);
        if (status === Status.ENOSPC) this.#space.refused();
        this.#finish(tag, status);
        break;
      case Phase.FUA:
      case Phase.PASS_FUA:
      case Phase.FLUSH:
        if (status === Status.OK) {
          // One that failed before it may have made the kernel forget what this one was to make durable.
          const done = slots.phases[tag] === Phase.PASS_FUA ? Status.EPASSED : Status.OK;
          this.#finish(tag, this.#store.volatileLost ? Status.EIO : done);
          break;
        }
        // The kernel may have dropped what it could not write: say so durably before anyone hears of the failure.
        this.#store.commit({ volatileLost: true }, () => this.#finish(tag, failureOf(status)));
        break;
      default:
        assert(false, 'pool server: completion in an unknown phase');
    }
  }

  /** What the end of a read or write says about whether the disk can be read there. */
  #noteReadable(tag: number, status: number): void {
    const isRead = this.#slots.readSlabs[tag] !== null;
    if (isRead === (status === Status.OK)) return;
    const [offsetBytes, lengthBytes] = [this.#slots.offsets[tag] as number, this.#slots.lengths[tag] as number];
    if (isRead) this.#unreadable.note(offsetBytes, lengthBytes);
    else this.#unreadable.written(offsetBytes, lengthBytes);
  }

  /** Carries out a control request; `done` is called once. */
  control(session: RtrsServerSession, request: ControlRequest, done: ControlDone): void {
    this.#control.request(session, request, done);
  }

  /** The session is gone: if it was the holder's, the pool leaves IO. What is executing goes on and is drained by the next claim. */
  onSessionClosed(session: RtrsServerSession, reason: string): void {
    if (this.#serving.holder !== session) return;
    this.#leaveIo(Status.ENOTNORMAL);
    const state = this.#serving.state;
    if (state === 'NORMAL') this.#serving.setState('NO_IO', `the client's session was lost: ${reason}`);
    else if (state === 'CREATED') this.#serving.setState('REGISTERED', `the client left before the first enable: ${reason}`);
  }

  /** The store goes away: nothing new is executed; `done` is called when nothing is executing or recorded any more. */
  close(done: () => void): void {
    this.#leaveIo(Status.ENOTNORMAL);
    if (this.#serving.state === 'NORMAL') this.#serving.setState('NO_IO', 'the store is taken away');
    this.#peers.close();
    this.#world.ticker.unsubscribe(this);
    this.#control.close(() => this.#drain(done));
  }

  /** The store can't do its work any more. The pool leaves IO, and its client hears of that. `careful`: from now on, see there. */
  storeFailed(reason: string, careful = this.#store.careful): void {
    this.#store.careful = careful;
    this.#leaveIo(Status.EIO);
    if (this.#serving.state === 'NORMAL') this.#serving.setState('NO_IO', reason);
    else if (this.#serving.state === 'CREATED') this.#serving.setState('REGISTERED', reason);
  }

  /** Nothing of the client is executed any more but what has begun; what waits for chunks ends with `status`. */
  #leaveIo(status: number): void {
    this.#serving.end(status);
    this.#control.forgetStaged();
    this.resync.stop();
    this.#peers.stop();
    this.#discardWaiting(status);
  }

  #resyncStarts(version: VersionRecord): void {
    this.#peers.start(version);
    this.resync.start(version);
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    this.#slots.verify();
    if (this.#serving.epoch !== 0)
      assert(this.#store.promise?.epoch === this.#serving.epoch, 'I7: an epoch is served that was not promised');
    if (this.#serving.state === 'NORMAL') {
      assert(this.#serving.epoch !== 0, 'pool server: NORMAL without an epoch');
      const version = this.#store.version;
      assert(version !== null && version.epoch === this.#serving.epoch, 'pool server: NORMAL without a version of its epoch');
    }
    for (const tag of this.#waiting) assert(this.#slots.phases[tag] === Phase.CHUNK, 'pool server: a request waits that does not');
    this.#control.verify();
    this.resync.verify();
  }

  /**
   * Begins what changes data: a write, a discard, or zeroes. First it gets its space (W8), and until then it has left no trace.
   * Equal members are asked in the same order, as they get the same requests, and so agree on which write finds none.
   */
  #write(tag: number, message: IoMessage): void {
    const { offsetBytes, lengthBytes } = message;
    if (needsSpace(message) && !this.#store.reserve(offsetBytes, lengthBytes, tag, this)) this.#slots.phases[tag] = Phase.SPACE;
    else this.#writeHasSpace(tag, message);
  }

  /** Whether there is space is known. What waited for it is looked at as if it came now: epoch, state and chunks may have changed. */
  #spaceDecided(tag: number, status: number): void {
    if (this.#slots.epochs[tag] !== this.#serving.epoch) {
      this.#finish(tag, this.#serving.endStatus); // I7.
    } else if (status !== Status.OK) {
      this.#space.refused();
      this.#finish(tag, status);
    } else {
      this.#slots.decode(tag, this.#message);
      this.#writeHasSpace(tag, this.#message);
      this.#world.turn.defer(this);
    }
  }

  /** Goes on with a write. If it has to wait for chunks, it has left no trace yet (W4). */
  #writeHasSpace(tag: number, message: IoMessage): void {
    const { offsetBytes, lengthBytes } = message;
    if (this.#own.anyDirty(offsetBytes, lengthBytes)) {
      const replaced = this.#replacedChunks(offsetBytes, lengthBytes);
      if (replaced !== null) {
        this.#slots.replaced[tag] = replaced;
        for (const chunk of replaced) this.resync.lock(chunk);
      } else if (this.#mayPassBy(tag, offsetBytes, lengthBytes)) {
        this.#passBy(tag, message);
      } else {
        this.#waitForChunks(tag, offsetBytes, lengthBytes);
        return;
      }
    }
    this.#store.setCompletedThrough(message.completedThrough);
    this.#store.recordLastIo(message.ioUnit, message.writeSeq, offsetBytes, lengthBytes);
    if (this.#slots.replaced[tag] !== null) {
      this.#slots.phases[tag] = Phase.REPLACE_PREPARE;
      // The bits of the members that miss it come later: those of chunks that are clean here before the data, the others with the clears.
      if (this.#store.prepareWrite(offsetBytes, lengthBytes, message.writeSeq, NO_MEMBERS, 0, tag, this))
        this.#replaceGoesOn(tag, Status.OK);
      return;
    }
    this.#slots.phases[tag] = Phase.PREPARE;
    this.#serving.forgetErased(message);
    const { missingMemberIds, missingCount } = message;
    if (this.#store.prepareWrite(offsetBytes, lengthBytes, message.writeSeq, missingMemberIds, missingCount, tag, this))
      this.#afterPrepare(tag);
  }

  /** Intent and dirty bits are durable: the data, as far as it is carried out here. */
  #afterPrepare(tag: number): void {
    const slots = this.#slots;
    const parts = this.#passing.get(tag)?.parts;
    slots.phases[tag] = parts === undefined ? Phase.DATA : Phase.PASS_DATA;
    if (parts === undefined) submitRange(this.#store, slots, tag, slots.offsets[tag] as number, slots.lengths[tag] as number, this);
    else if (parts.length === 0) this.#passed(tag, Status.OK);
    else for (const { offsetBytes, lengthBytes } of parts) submitRange(this.#store, slots, tag, offsetBytes, lengthBytes, this);
  }

  /** W10: whether every dirty chunk of the range can be left as it is. */
  #mayPassBy(tag: number, offsetBytes: number, lengthBytes: number): boolean {
    return this.#awaited(tag, offsetBytes, lengthBytes) === null;
  }

  /** The first dirty chunk of the range that the request can't pass by (W10). Null: it can pass all of them by. */
  #awaited(tag: number, offsetBytes: number, lengthBytes: number): number | null {
    const sinceMs = this.#slots.hasWaited(tag) ? (this.#slots.waitingSinceMs[tag] as number) : Number.POSITIVE_INFINITY;
    const mayPass = (chunk: number): boolean => !this.resync.isLocked(chunk, 1) && this.resync.passBy.may(chunk, sinceMs);
    return this.#own.dirtyChunks(offsetBytes, lengthBytes).find((chunk) => !mayPass(chunk)) ?? null;
  }

  /** W10: the dirty chunks of the range stay as they are; what is clean of it is written. */
  #passBy(tag: number, { offsetBytes, lengthBytes, writeSeq }: IoMessage): void {
    this.counters.passedWrites++;
    for (const chunk of this.#own.dirtyChunks(offsetBytes, lengthBytes)) this.resync.passBy.passed(chunk, writeSeq);
    this.#passing.set(tag, new PassingWrite(this.#own, offsetBytes, lengthBytes));
  }

  /** W10: what could be carried out of the write has been. */
  #passed(tag: number, status: number): void {
    if (status !== Status.OK || ((this.#slots.flags[tag] as number) & IoFlag.FUA) === 0) {
      this.#finish(tag, failureOf(status) || Status.EPASSED);
      return;
    }
    this.#slots.phases[tag] = Phase.PASS_FUA;
    this.#store.flush(tag, this);
    this.#world.turn.defer(this);
  }

  /** W4: the dirty chunks of the range if each is covered whole and free, so that the write replaces them; else null. */
  #replacedChunks(offsetBytes: number, lengthBytes: number): number[] | null {
    const chunks = this.#own.dirtyIfWhole(offsetBytes, lengthBytes);
    if (chunks === null) return null;
    for (const chunk of chunks) if (this.resync.isLocked(chunk, 1) || !this.resync.passBy.mayReplace(chunk)) return null;
    return chunks;
  }

  /** The request waits until its chunks are clean here, or is given back when a map update is ahead (L4). */
  #waitForChunks(tag: number, offsetBytes: number, lengthBytes: number): void {
    if (this.#serving.bouncing) {
      this.#bounce(tag);
      return;
    }
    if (this.#slots.phases[tag] !== Phase.CHUNK || !this.#slots.hasWaited(tag)) {
      this.counters.chunkWaits++;
      this.#slots.waitingSinceMs[tag] = this.#world.clock.nowMs();
    }
    this.#slots.phases[tag] = Phase.CHUNK;
    this.#waiting.push(tag);
    const first = this.#own.firstOf(offsetBytes);
    this.resync.want(first, this.#own.endOf(offsetBytes, lengthBytes) - first);
  }

  /** Gives the request back: the client sends it again, here or elsewhere (L4). */
  #bounce(tag: number): void {
    this.counters.bounces++;
    this.#finish(tag, Status.EBOUNCED);
  }

  /** Ends all that waits for chunks. */
  #discardWaiting(status: number): void {
    for (const tag of this.#waiting.splice(0)) {
      if (status === Status.EBOUNCED) this.counters.bounces++;
      this.#finish(tag, status);
    }
  }

  /** Chunks are clean or unlocked, or known to be lost: what waits is looked at once, at the end of the turn, however many they are. */
  #onReleased(): void {
    if (this.#waiting.length === 0) return;
    this.#released = true;
    this.#world.turn.defer(this);
  }

  /** Looks at what waits for chunks again, in order; what has to wait on joins the end of the list, and IO of lost chunks ends (I8). */
  #startWaiting(): void {
    const message = this.#message;
    for (const tag of this.#waiting.splice(0)) {
      this.#slots.decode(tag, message);
      const end = this.#own.endOf(message.offsetBytes, message.lengthBytes);
      let lost = false;
      let full = false;
      for (let chunk = this.#own.firstOf(message.offsetBytes); chunk < end && !lost; chunk++) {
        lost = this.resync.isLost(chunk);
        full ||= this.resync.lacksSpace(chunk);
      }
      if (lost) this.#finish(tag, Status.ELOST);
      // W8: a write whose chunk finds no space here has found none either.
      else if (full && isWriteType(message.type)) this.#finish(tag, Status.ENOSPC);
      else this.#start(tag, message);
    }
  }

  /** The steps of a write that replaces dirty chunks whole (W4): marks, data, made durable (◆5), then clears. */
  #replaceGoesOn(tag: number, status: number): void {
    const slots = this.#slots;
    const current = slots.epochs[tag] === this.#serving.epoch;
    if (status !== Status.OK || !current) {
      const failure = slots.phases[tag] === Phase.REPLACE_DATA ? status : failureOf(status);
      this.#replaceEnds(tag, status !== Status.OK ? failure : this.#serving.endStatus);
      return;
    }
    this.#world.turn.defer(this);
    const message = this.#message;
    slots.decode(tag, message);
    this.#serving.forgetErased(message);
    const missing = [...message.missingMemberIds.subarray(0, message.missingCount)];
    switch (slots.phases[tag]) {
      case Phase.REPLACE_PREPARE: {
        const clean = missing.length === 0 ? [] : this.#own.cleanRanges(message.offsetBytes, message.lengthBytes);
        if (clean.length === 0) {
          this.#submitData(tag, Phase.REPLACE_DATA);
          break;
        }
        slots.phases[tag] = Phase.REPLACE_MARK;
        this.#store.commit({ dirtyAdd: [{ memberIds: missing, ranges: clean }] }, (marked) => this.#replaceGoesOn(tag, marked));
        break;
      }
      case Phase.REPLACE_MARK:
        this.#submitData(tag, Phase.REPLACE_DATA);
        break;
      case Phase.REPLACE_DATA:
        slots.phases[tag] = Phase.REPLACE_FLUSH;
        this.#store.flush(tag, this);
        break;
      default: {
        const ranges = (slots.replaced[tag] as number[]).map((chunk) => this.#own.rangeOf(chunk));
        slots.phases[tag] = Phase.REPLACE_CLEAR;
        const dirtyAdd = missing.length === 0 ? [] : [{ memberIds: missing, ranges }];
        this.#store.commit({ dirtyClear: [{ memberIds: [this.#store.identity.memberId], ranges }], dirtyAdd }, (cleared) =>
          this.#replaceEnds(tag, failureOf(cleared)),
        );
      }
    }
  }

  /** The chunks are free again, and clean if that worked. */
  #replaceEnds(tag: number, status: number): void {
    const slots = this.#slots;
    const chunks = slots.replaced[tag] as number[];
    for (const chunk of chunks) this.resync.unlock(chunk);
    if (status === Status.OK) {
      this.#unreadable.written(slots.offsets[tag] as number, slots.lengths[tag] as number);
      for (const chunk of chunks) this.resync.passBy.taken(chunk);
    }
    slots.replaced[tag] = null;
    this.#onReleased();
    // W10: the chunks are as dirty as before. What is clean of the range is tried by itself, and if the disk fails that too, the write has failed.
    if (status === Status.EIO && slots.phases[tag] === Phase.REPLACE_DATA && slots.epochs[tag] === this.#serving.epoch) {
      for (const chunk of chunks) this.resync.passBy.refused(chunk, 1);
      slots.decode(tag, this.#message);
      this.#start(tag, this.#message);
      this.#world.turn.defer(this);
      return;
    }
    this.#finish(tag, status);
  }

  /** Gives the write's data, or its hole, to the store. What replaces a dirty chunk goes as a pull does (W10). */
  #submitData(tag: number, phase: number): void {
    const { phases, offsets, lengths } = this.#slots;
    phases[tag] = phase;
    const through = this.#store.careful && phase === Phase.REPLACE_DATA;
    submitRange(this.#store, this.#slots, tag, offsets[tag] as number, lengths[tag] as number, this, through);
  }

  /** Says where the range has data, as far as that is known here. */
  #answerExtents(tag: number, offsetBytes: number, lengthBytes: number): void {
    if (this.#own.anyDirty(offsetBytes, lengthBytes)) {
      // What lies on this disk says nothing: data is always a right answer.
      this.#answer(tag, encodeExtents([{ lengthBytes, hole: false }]));
      return;
    }
    this.#store.extents(offsetBytes, lengthBytes, (status: number, extents: readonly DiskExtent[]) => {
      if (status === Status.OK) this.#answer(tag, encodeExtents(extents));
      else this.#finish(tag, status);
    });
  }

  /** Answers the request with what is known of the range, and not with what was read. */
  #answer(tag: number, payload: Uint8Array): void {
    (this.#slots.requests[tag] as RtrsServerRequest).respond(Status.OK, 0, payload, null);
    this.#forget(tag);
  }

  /** Answers the request, a read that went well with its data. */
  #finish(tag: number, status: number): void {
    const slots = this.#slots;
    const request = slots.requests[tag] as RtrsServerRequest;
    if (status !== Status.OK && status !== Status.EPASSED) this.counters.errors++;
    const slab = slots.readSlabs[tag] as Slab | null;
    if (slab === null) {
      request.respond(status, 0, null, null);
      this.#forget(tag);
      return;
    }
    let view = slots.readViews[tag] as Uint8Array;
    if (slots.types[tag] === MessageType.SYNC_READ && status === Status.OK) {
      // Asked for after the data was read: what it shows of a write has been recorded by then (W3).
      const lengthBytes = slots.lengths[tag] as number;
      const unresolved = this.#store.unresolvedWrites(slots.offsets[tag] as number, lengthBytes);
      const { start, end, dataBytes } = packSyncAnswer(view, lengthBytes, slots.blockShifts[tag] as number, unresolved);
      view = view.subarray(start, end);
      this.counters.syncReadBytes += dataBytes;
    }
    slots.readSlabs[tag] = null;
    slots.readViews[tag] = null;
    request.respond(status, 0, status === Status.OK ? view : null, status === Status.OK ? slab : null);
    slab.release();
    this.#forget(tag);
  }

  /** The request has been answered: its tag is free. */
  #forget(tag: number): void {
    if (this.#passing.size > 0) this.#passing.delete(tag);
    this.#slots.free(tag);
    if (this.#slots.used > 0 || this.#onDrained === null) return;
    const onDrained = this.#onDrained;
    this.#onDrained = null;
    onDrained();
  }

  /** Calls back when nothing that came before is executing, and no pull writes to the disk (I7, I10). */
  #drain(done: () => void): void {
    const drained = (): void => this.resync.whenOffDisk(done);
    if (this.#slots.used === 0) {
      drained();
      return;
    }
    assert(this.#onDrained === null, 'pool server: drained twice at a time');
    this.#onDrained = drained;
  }
}

const NO_MEMBERS = new Uint8Array(0);
