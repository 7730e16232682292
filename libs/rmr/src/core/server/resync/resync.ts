import { ChunkGrid } from '@rmr/dirty-map';
import type { RtrsResponseSink } from '@rmr/rtrs';
import { assert, type DiskSink, type Slab, Status, statusName, type Ticked, type TurnTask, type World } from '@rmr/runtime';
import { IO_BYTES_MAX, RESYNC_HOLE_CHUNKS_MAX } from '../../../constants.ts';
import type { PoolStore, VersionRecord } from '../../../pool-store.ts';
import { IoFlag, IoMessage } from '../../../wire/io-message.ts';
import type { SparseData } from '../../../wire/sparse-data.ts';
import { decodeUnresolved } from '../../../wire/unresolved-writes.ts';
import { PassBy } from '../chunks/pass-by.ts';
import { Pull, PullPhase } from './pull.ts';
import { preparePull, reservePull, writePull } from './pull-disk.ts';
import { PullSources } from './pull-sources.ts';
import type { ResyncBudget, ResyncShare } from './resync-budget.ts';
import { ResyncCondition } from './resync-condition.ts';
import { ResyncPace } from './resync-pace.ts';
import { NO_RESYNC_ORDER, type ResyncOptions, type ResyncOrder, type ResyncStatus } from './resync-types.ts';
import { decodeSyncAnswer } from './sync-answer.ts';
import type { SyncPeer, SyncPeers } from './sync-peers.ts';
import { UnreadableSources } from './unreadable-sources.ts';

/**
 * Resync of this member: pulls what is dirty for it from members that have it clean (R1). Order: lock the chunks, read, get space,
 * enter the write intent, write, make durable, clear the own bits durably, unlock. A pull belongs to the version at its
 * start (R2, ◆21): when that ends, what was read is dropped, and what is being written is not cleared.
 *
 * Chunks that IO waits for come first and are not held up by the rate.
 */
export class Resync implements RtrsResponseSink, DiskSink, Ticked, TurnTask {
  turnQueued = false;
  readonly #world: World;
  readonly #store: PoolStore;
  readonly #peers: SyncPeers;
  readonly #onReleased: () => void;
  readonly #onPulled: (offsetBytes: number, lengthBytes: number) => void;
  readonly #onFull: () => void;
  readonly #grid: ChunkGrid;
  readonly #memberId: number;
  /** The block in which this disk has holes, as a power of two. */
  readonly #blockShift: number;
  readonly #message = new IoMessage();
  readonly #pace: ResyncPace;
  readonly #share: ResyncShare;
  readonly #sources: PullSources;
  /** Which dirty chunks nothing waits for here (W10). */
  readonly passBy: PassBy;
  /** Null: the pool is not NORMAL. */
  #version: VersionRecord | null = null;
  /** Grows whenever a version begins or ends: what belongs to an older one is told by it (R2). */
  #generation = 0;
  #order = NO_RESYNC_ORDER;
  /** By tag; places are used again. */
  readonly #pulls: Pull[] = [];
  /** Pulls that are neither FREE nor ABANDONED, and their bytes. */
  #active = 0;
  #activeBytes = 0;
  /** Pulls that the disk works for: a drain waits for them (I7, I10). */
  #onDisk = 0;
  #whenOffDisk: (() => void) | null = null;
  /** Chunks that a pull is about to write, or a client's write that replaces them whole: nobody else touches them meanwhile. */
  readonly #locks = new Set<number>();
  /** Chunks that IO waits for, and since when (clock milliseconds). */
  readonly #wanted = new Map<number, number>();
  /** Lost chunks of which the waiting requests have been told. They are told once. Otherwise requests that wait for other chunks, too, would be looked at again for ever. */
  readonly #toldLost = new Set<number>();
  /** Chunks that IO waits for, and for which the disk had no space when they were pulled last. */
  readonly #spaceless = new Set<number>();
  readonly #unreadable = new UnreadableSources();
  /** Where the search for dirty chunks goes on; behind the last chunk it begins anew. */
  #cursor = 0;
  readonly #condition: ResyncCondition;

  /**
   * `onReleased`: chunks have become clean or unlocked, or are known to be lost; what waits is to be looked at again.
   * `onPulled`: this range of whole chunks has been written, and is clean. `onFull`: a pull has found no space on the disk.
   */
  constructor(
    world: World,
    store: PoolStore,
    peers: SyncPeers,
    options: ResyncOptions,
    budget: ResyncBudget,
    onReleased: () => void,
    onPulled: (offsetBytes: number, lengthBytes: number) => void,
    onFull: () => void,
  ) {
    this.#world = world;
    this.#store = store;
    this.#peers = peers;
    this.#onReleased = onReleased;
    this.#onPulled = onPulled;
    this.#onFull = onFull;
    this.#grid = ChunkGrid.of(store.identity);
    this.#memberId = store.identity.memberId;
    this.#blockShift = Math.log2(store.features.holeBytes);
    assert(Number.isInteger(this.#blockShift), 'resync: a block is a power of two');
    this.#condition = new ResyncCondition(world, this.#memberId);
    this.#pace = new ResyncPace(options);
    this.#share = budget.join(() => this.#later());
    this.#sources = new PullSources(world.clock, store, peers, this.#unreadable);
    this.passBy = new PassBy(world, this.#grid, this.#sources, () => this.#later());
  }

  /** Changes the options that are given; the others stay. The rates are those of the storage node. */
  set options(options: ResyncOptions) {
    this.#pace.configure(options);
    this.#share.budget.configure(options);
    this.#later();
  }

  get order(): ResyncOrder {
    return this.#order;
  }

  /** What an operator wants from now on. What is in flight already is not taken back. */
  set order(order: ResyncOrder) {
    this.#order = order;
    this.#share.limitBytes = order.rateBytes;
    this.#later();
  }

  /** The pool is NORMAL, or goes on, under this version. */
  start(version: VersionRecord): void {
    if (this.#version === null) this.#world.ticker.subscribe(this);
    this.#abandon();
    this.#version = version;
    this.#pace.forgetFailures();
    this.#condition.forgetFailure();
    this.#later();
  }

  /** The pool is not NORMAL any more. */
  stop(): void {
    if (this.#version !== null) this.#world.ticker.unsubscribe(this);
    this.#abandon();
    this.#version = null;
    this.#wanted.clear();
    this.#toldLost.clear();
    this.passBy.clear();
    this.#share.leave();
    this.#spaceless.clear();
    this.#condition.state = 'IDLE';
  }

  /** Calls back when no pull writes to the disk any more; at once when none does. */
  whenOffDisk(done: () => void): void {
    assert(this.#whenOffDisk === null, 'resync: drained twice at a time');
    if (this.#onDisk === 0) done();
    else this.#whenOffDisk = done;
  }

  /** A client has asked for IO: resync keeps to its rate under load for a while. `nowMs`: clock milliseconds; `felt`: what the client tells (see felt.ts). */
  noteClientIo(nowMs: number, felt: number): void {
    this.#share.budget.noteClientIo(nowMs, felt);
    // With the tick alone it would go on in bursts, and whatever clients do meanwhile would wait behind each.
    if (this.#condition.state === 'RUNNING' && this.#share.isDue(nowMs)) this.#later();
  }

  /** IO waits for these chunks, as far as they are dirty. */
  want(firstChunk: number, chunkCount: number): void {
    const own = this.#store.dirtyMap(this.#memberId);
    if (own === null) return;
    const nowMs = this.#world.clock.nowMs();
    const end = firstChunk + chunkCount;
    for (let chunk = own.nextDirty(firstChunk, end); chunk < end; chunk = chunk + 1 < end ? own.nextDirty(chunk + 1, end) : end) {
      if (!this.#wanted.has(chunk)) this.#wanted.set(chunk, nowMs);
      this.#toldLost.delete(chunk);
      this.#spaceless.delete(chunk);
    }
    this.#later();
  }

  /** Number of locked chunks. */
  get locked(): number {
    return this.#locks.size;
  }

  /** Whether a chunk of the range is locked. */
  isLocked(firstChunk: number, chunkCount: number): boolean {
    if (this.#locks.size === 0) return false;
    for (let chunk = firstChunk; chunk < firstChunk + chunkCount; chunk++) if (this.#locks.has(chunk)) return true;
    return false;
  }

  /** Locks a chunk, which is not locked: for a pull, or for a write that replaces all of it. */
  lock(chunk: number): void {
    assert(!this.#locks.has(chunk), 'R1: a chunk is locked twice');
    this.#locks.add(chunk);
  }

  /** Unlocks a chunk that is locked. It does not tell those that wait for the chunk. */
  unlock(chunk: number): void {
    assert(this.#locks.delete(chunk), 'R1: a chunk is unlocked that was not locked');
  }

  /**
   * I8: whether the chunk is known to have no clean copy that can be read: dirty for every member, as every in-sync member
   * has confirmed since IO began to wait for it, or clean for some in the set whose disks can't read it. False for a chunk
   * that no IO waits for.
   */
  isLost(chunk: number): boolean {
    const sinceMs = this.#wanted.get(chunk);
    return sinceMs !== undefined && this.#sources.isLost(chunk, sinceMs);
  }

  /** W8: whether the chunk could not be pulled for lack of space since IO began to wait for it. */
  lacksSpace(chunk: number): boolean {
    return this.#spaceless.has(chunk);
  }

  /** The members that have a dirty chunk clean, and why one can't be read from, if so: for people. */
  sourceOf(chunk: number): string {
    return this.#sources.describe(chunk);
  }

  /** What a person can do so that the chunk can be pulled; undefined: nothing, as far as is known. */
  remedyFor(chunk: number): string | undefined {
    return this.#sources.remedy(chunk);
  }

  /** A picture of it as it is now. */
  status(): ResyncStatus {
    const bytesLeft = this.#store.dirtyBytes(this.#memberId);
    const sources = new Set<number>();
    for (const { phase, peer } of this.#pulls) {
      if (phase !== PullPhase.FREE && phase !== PullPhase.ABANDONED && peer !== null) sources.add(peer.member.memberId);
    }
    const { bytesPerSecond } = this.#pace;
    const moving = this.#condition.state === 'RUNNING' && bytesPerSecond > 0;
    return {
      state: this.#condition.state,
      bytesLeft,
      bytesPerSecond: this.#condition.state === 'RUNNING' ? Math.round(bytesPerSecond) : 0,
      etaSeconds: moving ? Math.ceil(bytesLeft / bytesPerSecond) : null,
      sourceMemberIds: [...sources].sort((a, b) => a - b),
      reason: this.#condition.reason,
      sinceMs: this.#condition.sinceMs,
      pulledBytes: this.#pace.pulledBytes,
      refused: this.passBy.refusedRanges(),
    };
  }

  /** Measures its speed, and looks again at what a budget that grows, or a rest that ends, may allow now. */
  tick(nowMs: number): void {
    this.#pace.measure(nowMs);
    this.#share.budget.tick(nowMs);
    if (this.#wanted.size > 0 || (this.#store.dirtyMap(this.#memberId)?.dirtyCount ?? 0) > 0 || this.#condition.state !== 'IDLE')
      this.#later();
  }

  /** Something that pulls may have waited for has changed. */
  poke(): void {
    if (this.#version !== null) this.#later();
  }

  runAtTurnEnd(): void {
    this.#fill();
    this.#store.submit();
  }

  /** For the sync legs alone: a read has been answered, or has failed. `tag` is the index of its pull. */
  onResponse(
    tag: number,
    status: number,
    _header: Uint8Array,
    _at: number,
    _length: number,
    payload: Uint8Array | null,
    slab: Slab | null,
  ): void {
    const pull = this.#pulls[tag] as Pull;
    const peer = pull.peer as SyncPeer;
    peer.inFlight--;
    if (pull.phase === PullPhase.ABANDONED) {
      pull.free();
      return;
    }
    assert(pull.phase === PullPhase.READ, 'resync: an answer without a read');
    const answer = status === Status.OK ? decodeSyncAnswer(payload, pull.pieceBytes, pull.sparse, this.#store.features.holeBytes) : null;
    if (answer === null || slab === null) {
      if (pull.sparse && (status === Status.EPROTO || (status === Status.EIO && pull.lengthBytes > pull.chargedBytes))) {
        // It is of an older version; or a part of much can't be read, and which one shows when less is asked for.
        if (status === Status.EPROTO) peer.sparse = false;
        this.#pace.noteAnswer(false);
        this.#release(pull);
        return;
      }
      if (
        status === Status.EIO &&
        this.#unreadable.note(pull.firstChunk, pull.chunkCount, peer.member.memberId, this.#world.clock.nowMs())
      ) {
        this.#world.log.warn('a source could not read something', {
          chunk: pull.firstChunk,
          chunks: pull.chunkCount,
          source: peer.describe(),
        });
        this.#release(pull);
        return;
      }
      // What it has clean, and under which version, is learned anew by asking: at the next round.
      if (status === Status.ENOPOOL) peer.rejoin();
      if (status === Status.ENOTNORMAL || status === Status.EVERSION) {
        peer.rest(`it does not serve under this member's version: ${statusName(status)}`);
        this.#release(pull);
        return;
      }
      this.#failed(
        `${peer.describe()} could not be read: ${status === Status.OK ? 'its answer has the wrong length, or makes no sense' : statusName(status)}`,
      );
      this.#release(pull);
      return;
    }
    const { queueDepth, sizeBytes } = this.#store.identity;
    const unresolved = decodeUnresolved(answer.rest, queueDepth, sizeBytes);
    if (unresolved === null) {
      this.#failed(`${peer.describe()} answered with malformed unresolved writes`);
      this.#release(pull);
      return;
    }
    this.#pace.noteRead(this.#world.clock.nowMs() - pull.startedMs, Math.min(answer.coveredBytes, IO_BYTES_MAX));
    if (pull.sparse) this.#pace.noteAnswer(answer.data.length === 0);
    this.#takeAnswer(pull, answer);
    slab.retain();
    pull.slab = slab;
    pull.unresolved = unresolved;
    pull.unresolvedSeq = unresolved.reduce((newest, { writeSeq }) => Math.max(newest, writeSeq), 0);
    this.#onDisk++;
    if (reservePull(this.#store, pull, tag, this)) this.#prepare(pull, tag);
    this.#world.turn.defer(this);
  }

  /** There is space for the piece that was read: it enters the write intent, and is written. */
  #prepare(pull: Pull, tag: number): void {
    if (preparePull(this.#store, pull, tag, this)) writePull(this.#store, pull, tag, this);
  }

  /** For the store alone: a step of the pull on the disk has ended. */
  onDiskDone(tag: number, status: number): void {
    const pull = this.#pulls[tag] as Pull;
    const stale = pull.generation !== this.#generation;
    if (pull.phase === PullPhase.SPACE || pull.phase === PullPhase.WRITE) {
      if (pull.changeStatus === Status.OK) pull.changeStatus = status;
      // Also after a failure: as long as the disk works for the chunks they stay locked.
      if (--pull.changesLeft > 0) return;
      status = pull.changeStatus;
    }
    if (status !== Status.OK) {
      if (status === Status.ENOSPC && pull.phase <= PullPhase.WRITE) this.#noteFull(pull);
      const isRefused = status === Status.EIO && pull.phase === PullPhase.WRITE;
      if (!stale && !(isRefused && this.passBy.refused(pull.firstChunk, pull.chunkCount)))
        this.#failed(status === Status.ENOSPC ? "this member's disk is full" : `this member's store failed: ${statusName(status)}`);
      this.#release(pull);
      return;
    }
    switch (pull.phase) {
      case PullPhase.SPACE:
        if (stale) this.#release(pull);
        else this.#prepare(pull, tag);
        break;
      case PullPhase.PREPARE:
        if (stale) this.#release(pull);
        else writePull(this.#store, pull, tag, this);
        break;
      case PullPhase.WRITE:
        pull.writtenBytes += pull.coveredBytes;
        if (pull.writtenBytes < pull.lengthBytes) {
          if (stale) this.#release(pull);
          else this.#readNext(pull, tag);
          break;
        }
        pull.phase = PullPhase.FLUSH;
        this.#store.flush(tag, this);
        break;
      case PullPhase.FLUSH:
        // R2: the bits belong to another version now, which may have set them anew.
        if (stale) this.#release(pull);
        else this.#clear(pull);
        break;
      default:
        assert(false, 'resync: completion in an unknown phase');
    }
    this.#world.turn.defer(this);
  }

  /** W8: there is no space for what was pulled. Requests that wait for these chunks are told, once. */
  #noteFull(pull: Pull): void {
    this.#onFull();
    for (let chunk = pull.firstChunk; chunk < pull.firstChunk + pull.chunkCount; chunk++)
      if (this.#wanted.has(chunk)) this.#spaceless.add(chunk);
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    let active = 0;
    let onDisk = 0;
    let bytes = 0;
    for (const pull of this.#pulls) {
      if (pull.phase === PullPhase.FREE || pull.phase === PullPhase.ABANDONED) continue;
      active++;
      bytes += pull.chargedBytes;
      const works = pull.phase === PullPhase.SPACE || pull.phase === PullPhase.WRITE;
      assert(works || pull.changesLeft === 0, 'resync: the disk works for a pull that does not wait for it');
      if (pull.phase >= PullPhase.SPACE) onDisk++;
      for (let i = 0; i < pull.chunkCount; i++) assert(this.#locks.has(pull.firstChunk + i), 'R1: a chunk is pulled that is not locked');
    }
    assert(active === this.#active && bytes === this.#activeBytes, 'resync: active pulls are counted');
    assert(onDisk === this.#onDisk, 'resync: pulls on disk are counted');
    this.#peers.verify();
    for (const peer of this.#peers.all()) {
      const reading = this.#pulls.filter(
        (pull) => pull.peer === peer && (pull.phase === PullPhase.READ || pull.phase === PullPhase.ABANDONED),
      );
      assert(peer.inFlight === reading.length, 'resync: reads of a member are counted');
    }
  }

  /** The pull goes on with what the answer covers. Chunks that it lacks are free again. */
  #takeAnswer(pull: Pull, answer: SparseData): void {
    const lacking = pull.take(answer);
    const end = pull.firstChunk + pull.chunkCount;
    for (let chunk = end; chunk < end + lacking; chunk++) this.unlock(chunk);
    if (lacking === 0) return;
    this.#cursor = Math.min(this.#cursor, end);
    this.#onReleased();
  }

  /** The next piece of a chunk that is larger than a message. */
  #readNext(pull: Pull, tag: number): void {
    pull.slab?.release();
    pull.slab = null;
    pull.data = null;
    pull.runs = [];
    pull.phase = PullPhase.READ;
    this.#offDisk();
    if (this.#read(pull, tag)) return;
    this.#failed(`${(pull.peer as SyncPeer).describe()} takes no more reads now`);
    this.#release(pull);
  }

  /** Asks the peer for what is next of the pull; false: it can't be sent now. */
  #read(pull: Pull, tag: number): boolean {
    const peer = pull.peer as SyncPeer;
    const { epoch, seq } = this.#version as VersionRecord;
    const message = this.#message;
    message.epoch = epoch;
    message.versionSeq = seq;
    message.offsetBytes = pull.pieceOffsetBytes;
    message.lengthBytes = pull.pieceBytes;
    message.flags = pull.sparse ? IoFlag.SPARSE | (this.#wanted.has(pull.firstChunk) ? IoFlag.URGENT : 0) : 0;
    message.blockShift = pull.sparse ? this.#blockShift : 0;
    pull.startedMs = this.#world.clock.nowMs();
    return peer.ready && peer.read(message, tag, this);
  }

  /** The pull's data is durable: its chunks become clean here. */
  #clear(pull: Pull): void {
    pull.phase = PullPhase.CLEAR;
    const lengthBytes = pull.lengthBytes;
    const ranges = [{ offsetBytes: pull.offsetBytes, lengthBytes }];
    this.#store.commit({ dirtyClear: [{ memberIds: [this.#memberId], ranges }] }, (status) => {
      if (status === Status.OK) {
        this.#pace.notePulled(lengthBytes);
        this.#share.refund(pull.chargedBytes, pull.carriedBytes);
        this.#condition.forgetFailure();
        for (let i = 0; i < pull.chunkCount; i++) {
          this.#wanted.delete(pull.firstChunk + i);
          this.#spaceless.delete(pull.firstChunk + i);
          this.#unreadable.forget(pull.firstChunk + i);
          this.passBy.taken(pull.firstChunk + i);
        }
        this.#onPulled(pull.offsetBytes, lengthBytes);
      } else if (pull.generation === this.#generation) {
        this.#failed(`this member's store failed: ${statusName(status)}`);
      }
      this.#release(pull);
    });
  }

  /** Looks at the end of the turn at what can be begun; not when there is nothing to do. */
  #later(): void {
    const own = this.#store.dirtyMap(this.#memberId);
    if (this.#active > 0 || this.#condition.state !== 'IDLE' || (own !== null && own.dirtyCount > 0)) this.#world.turn.defer(this);
  }

  /** Starts as many pulls as depth, memory, rate and sources allow. */
  #fill(): void {
    const version = this.#version;
    const own = this.#store.dirtyMap(this.#memberId);
    if (version === null) return;
    if (own === null || own.dirtyCount === 0) {
      this.#condition.setStall('');
      this.#wanted.clear();
      this.#peers.urgent = false;
      this.#share.leave();
      if (this.#active === 0) this.#condition.state = 'IDLE';
      return;
    }
    const nowMs = this.#world.clock.nowMs();
    if (this.#pace.isResting(nowMs)) {
      this.#share.leave();
      if (this.#active === 0) this.#condition.state = this.#order.paused ? 'PAUSED' : 'FAILED';
      return;
    }
    if (this.#order.paused || !this.#peers.anyReady) this.#share.leave();
    else this.#share.refill(nowMs);
    let stall = '';
    let urgent = false;
    for (const chunk of this.#wanted.keys()) {
      if (!own.test(chunk)) this.#wanted.delete(chunk);
      else if (!this.#locks.has(chunk) && this.passBy.mayPull(chunk, nowMs) && this.#pace.mayStartWanted(this.#active)) {
        if (this.#pullFrom(chunk, chunk + 1) === Begun.NO_SOURCE) {
          urgent = true;
          stall = `chunk ${chunk} waits for ${this.sourceOf(chunk)}`;
          if (this.isLost(chunk) && !this.#toldLost.has(chunk)) {
            this.#toldLost.add(chunk);
            this.#onReleased();
          }
        }
      }
    }
    this.#peers.urgent = urgent;
    if (this.#order.paused) {
      this.#condition.setStall(stall);
      this.#condition.state = 'PAUSED';
      return;
    }
    // Chunks that were looked at: once round is enough, and one, while nobody at all can be read from.
    let visited = 0;
    while ((this.#mayStart() || !this.#peers.anyReady) && visited < own.chunkCount) {
      let chunk = own.nextDirty(Math.min(this.#cursor, own.chunkCount));
      if (chunk === own.chunkCount) {
        visited += own.chunkCount - this.#cursor;
        this.#cursor = 0;
        if (visited >= own.chunkCount) break;
        chunk = own.nextDirty(0);
      }
      const end = own.nextClean(chunk);
      visited += Math.max(1, end - this.#cursor);
      const begun = this.#pullRun(chunk, end);
      if (begun === Begun.NO_PERMIT) break;
      if (begun === Begun.NO_SOURCE) {
        if (stall === '' && this.#active === 0)
          stall = this.passBy.describe(chunk) ?? `chunk ${chunk} and others wait for ${this.sourceOf(chunk)}`;
        this.#cursor = end;
        // While nobody at all can be read from, the rest need not be looked at.
        if (!this.#peers.anyReady) break;
      }
    }
    if (stall === '' && !this.#share.hasPlace && this.#peers.anyReady)
      stall = 'it waits for its turn: other pools of this storage node are pulled now';
    this.#condition.setStall(this.#active > 0 ? '' : stall);
    this.#condition.state = this.#active === 0 && stall === '' && this.#condition.hasFailed ? 'FAILED' : 'RUNNING';
  }

  #mayStart(): boolean {
    return this.#share.mayStart() && this.#pace.mayStart(this.#active, this.#activeBytes, this.#share.inFlightBytesMax);
  }

  /** Starts pulls within the run of dirty chunks [first, end), and moves the cursor behind them. How the last of them went. */
  #pullRun(first: number, end: number): Begun {
    let begun: Begun = Begun.NO_SOURCE;
    const nowMs = this.#world.clock.nowMs();
    for (let chunk = this.#sources.nextReadable(first, end); chunk < end; chunk = this.#sources.nextReadable(chunk, end)) {
      if (!this.#mayStart()) break;
      if (this.#locks.has(chunk) || !this.passBy.mayPull(chunk, nowMs)) {
        chunk++;
        continue;
      }
      const askBytes = this.#pace.askBytes(this.#share.inFlightBytesMax, this.#share.readBytesMax);
      const chunks = Math.max(1, Math.floor(askBytes / this.#grid.chunkSizeBytes));
      const stop = Math.min(end, chunk + Math.min(chunks, RESYNC_HOLE_CHUNKS_MAX));
      begun = this.#pullFrom(chunk, stop);
      if (begun === Begun.NO_SOURCE && this.#unreadable.has(chunk)) {
        chunk++;
        continue;
      }
      if (begun !== Begun.YES) break;
      while (chunk < stop && this.#locks.has(chunk)) chunk++;
      this.#cursor = chunk;
    }
    return begun;
  }

  /** Pulls chunk `first`, and what follows up to `end` from the same source. */
  #pullFrom(first: number, end: number): Begun {
    const peer = this.#sources.best(first);
    if (peer === null) return Begun.NO_SOURCE;
    assert(this.#pace.mayStartWanted(this.#active), 'I12: more pulls than the depth');
    const source = this.#store.dirtyMap(peer.member.memberId);
    // A source that leaves nothing out is not asked for more than it can answer.
    if (!peer.sparse) end = Math.min(end, first + Math.max(1, Math.floor(IO_BYTES_MAX / this.#grid.chunkSizeBytes)));
    let stop = first + 1;
    // A suspect is pulled alone: that shows whether it is the one that can't be read there, or written here.
    const nowMs = this.#world.clock.nowMs();
    const isAlone = (chunk: number): boolean => this.#unreadable.isSuspect(chunk) || this.passBy.isAlone(chunk);
    const isNext = (chunk: number): boolean =>
      !this.#locks.has(chunk) && source?.test(chunk) !== true && !isAlone(chunk) && this.passBy.mayPull(chunk, nowMs);
    if (!isAlone(first)) while (stop < end && isNext(stop)) stop++;
    const tag = this.#take();
    const pull = this.#pulls[tag] as Pull;
    pull.begin(first, stop - first, peer, this.#generation);
    if (!this.#read(pull, tag)) {
      pull.peer = null;
      return Begun.NO_PERMIT;
    }
    pull.phase = PullPhase.READ;
    this.#active++;
    this.#activeBytes += pull.chargedBytes;
    this.#share.spend(pull.chargedBytes);
    for (let chunk = first; chunk < stop; chunk++) this.lock(chunk);
    return Begun.YES;
  }

  /** A place for a pull, which stays FREE until it is begun. */
  #take(): number {
    const free = this.#pulls.findIndex((pull) => pull.phase === PullPhase.FREE);
    if (free >= 0) return free;
    this.#pulls.push(new Pull(this.#grid));
    return this.#pulls.length - 1;
  }

  /** The pull is over: its chunks are free for IO, and its place for another. */
  #release(pull: Pull): void {
    for (let i = 0; i < pull.chunkCount; i++) this.unlock(pull.firstChunk + i);
    const onDisk = pull.phase >= PullPhase.SPACE;
    pull.slab?.release();
    this.#uncount(pull);
    pull.free();
    this.#onReleased();
    this.#later();
    if (onDisk) this.#offDisk();
  }

  /** The disk works for one pull less. */
  #offDisk(): void {
    if (--this.#onDisk > 0 || this.#whenOffDisk === null) return;
    const done = this.#whenOffDisk;
    this.#whenOffDisk = null;
    done();
  }

  /** It is not in flight any more. */
  #uncount(pull: Pull): void {
    this.#active--;
    this.#activeBytes -= pull.chargedBytes;
  }

  /**
   * What was asked for is dropped, what is being written is not cleared. A read that is dropped keeps its place and its permit
   * until it is answered. It holds nothing else up: a source whose disk hangs may never answer.
   */
  #abandon(): void {
    this.#generation++;
    this.#unreadable.clear();
    let released = false;
    for (const pull of this.#pulls) {
      if (pull.phase !== PullPhase.READ) continue;
      for (let i = 0; i < pull.chunkCount; i++) this.unlock(pull.firstChunk + i);
      this.#uncount(pull);
      pull.phase = PullPhase.ABANDONED;
      released = true;
    }
    if (released) this.#onReleased();
  }

  /** A pull has failed: nothing is begun for a while. */
  #failed(reason: string): void {
    this.#condition.failed(reason);
    this.#pace.noteFailure(this.#world.clock.nowMs());
  }
}

/** Whether a pull was begun: not when nobody can be read from, or when a request can't be sent at the moment. */
const Begun = { YES: 0, NO_SOURCE: 1, NO_PERMIT: 2 } as const;
type Begun = (typeof Begun)[keyof typeof Begun];
