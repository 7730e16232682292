import type { RtrsResponseSink } from '@rmr/rtrs';
import { assert, type DiskSink, type Slab, Status, statusName, type Ticked, type TurnTask, type World } from '@rmr/runtime';
import {
  IO_BYTES_MAX,
  RESYNC_BYTES_MAX,
  RESYNC_BYTES_MIN,
  RESYNC_LOAD_MS,
  RESYNC_READ_MS,
  RESYNC_RETRY_MS,
  RESYNC_RETRY_MS_MAX,
  RESYNC_WANTED_DEPTH,
} from '../../constants.ts';
import type { LastIo, PoolStore, VersionRecord } from '../../pool-store.ts';
import { IoMessage } from '../../wire/io-message.ts';
import { decodeUnresolved } from '../../wire/unresolved-writes.ts';
import { Begun, type ResyncOptions, type ResyncState, type ResyncStatus, withDefaults } from './resync-types.ts';
import type { SyncPeer, SyncPeers } from './sync-peers.ts';
import { UnreadableSources } from './unreadable-sources.ts';
import { isZero } from './zeroes.ts';

const Phase = { FREE: 0, READ: 1, ABANDONED: 2, PREPARE: 3, WRITE: 4, FLUSH: 5, CLEAR: 6 } as const;

/** One run of chunks on its way from a peer to this disk. */
class Pull {
  phase: number = Phase.FREE;
  firstChunk = 0;
  chunkCount = 0;
  /** Bytes written so far: a chunk larger than a message is read in pieces. */
  writtenBytes = 0;
  generation = 0;
  peer: SyncPeer | null = null;
  data: Uint8Array | null = null;
  slab: Slab | null = null;
  unresolved: readonly LastIo[] = [];
  /** The newest write that the data shows and that is not resolved yet; 0: none. */
  unresolvedSeq = 0;
  /** Clock milliseconds. */
  startedMs = 0;
}

/**
 * Resync of this member: pulls what is dirty for it from members that have it clean (R1). Order: lock the chunks, read,
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
  readonly #chunkBytes: number;
  readonly #deviceBytes: number;
  readonly #memberId: number;
  readonly #message = new IoMessage();
  #options: Required<ResyncOptions>;
  /** Null: the pool is not NORMAL. */
  #version: VersionRecord | null = null;
  #generation = 0;
  #paused = false;
  readonly #pulls: Pull[] = [];
  #active = 0;
  #activeBytes = 0;
  /** Bytes in flight that the way to the sources carries without a long queue: what IO waits for stands behind them. */
  #windowBytes = RESYNC_BYTES_MIN;
  /** Pulls that the disk works for: a drain waits for them (I7, I10). */
  #onDisk = 0;
  #whenOffDisk: (() => void) | null = null;
  readonly #locks = new Set<number>();
  /** Chunks that IO waits for, and since when (clock milliseconds). */
  readonly #wanted = new Map<number, number>();
  /** Chunks of which those that waited have been told that they are lost: once, or who waits for another chunk would be asked again for ever. */
  readonly #toldLost = new Set<number>();
  readonly #unreadable = new UnreadableSources();
  #cursor = 0;
  #budgetBytes = 0;
  #budgetAtMs = 0;
  #clientIoMs = Number.NEGATIVE_INFINITY;
  #retryAtMs = 0;
  #retryMs = RESYNC_RETRY_MS;
  #failure = '';
  #stall = '';
  #sinceMs: number;
  #state: ResyncState = 'IDLE';
  #pulledBytes = 0;
  #rate = 0;
  #rateAtMs = 0;
  #rateBytes = 0;

  /**
   * `onReleased`: chunks have become clean or unlocked, or are known to be lost; what waits is to be looked at again.
   * `onPulled`: this range of whole chunks has been written, and is clean.
   */
  constructor(
    world: World,
    store: PoolStore,
    peers: SyncPeers,
    options: ResyncOptions,
    onReleased: () => void,
    onPulled: (offsetBytes: number, lengthBytes: number) => void,
  ) {
    this.#world = world;
    this.#store = store;
    this.#peers = peers;
    this.#onReleased = onReleased;
    this.#onPulled = onPulled;
    this.#chunkBytes = store.identity.chunkSizeBytes;
    this.#deviceBytes = store.identity.sizeBytes;
    this.#memberId = store.identity.memberId;
    this.#sinceMs = world.clock.wallMs();
    this.#options = withDefaults(options);
  }

  set options(options: ResyncOptions) {
    this.#options = withDefaults({ ...this.#options, ...options });
    this.#later();
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Paused by an operator: only chunks that IO waits for are pulled. */
  set paused(paused: boolean) {
    this.#paused = paused;
    this.#later();
  }

  /** The pool is NORMAL, or goes on, under this version. */
  start(version: VersionRecord): void {
    if (this.#version === null) this.#world.ticker.subscribe(this);
    this.#abandon();
    this.#version = version;
    this.#retryAtMs = 0;
    this.#retryMs = RESYNC_RETRY_MS;
    this.#failure = '';
    this.#later();
  }

  /** The pool is not NORMAL any more. */
  stop(): void {
    if (this.#version !== null) this.#world.ticker.unsubscribe(this);
    this.#abandon();
    this.#version = null;
    this.#wanted.clear();
    this.#toldLost.clear();
    this.#setState('IDLE');
  }

  /** Calls back when no pull writes to the disk any more; at once when none does. */
  whenOffDisk(done: () => void): void {
    assert(this.#whenOffDisk === null, 'resync: drained twice at a time');
    if (this.#onDisk === 0) done();
    else this.#whenOffDisk = done;
  }

  /** A client has done IO. */
  noteClientIo(nowMs: number): void {
    this.#clientIoMs = nowMs;
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
    }
    this.#later();
  }

  get locked(): number {
    return this.#locks.size;
  }

  /** Whether a chunk of the range is locked. */
  isLocked(firstChunk: number, chunkCount: number): boolean {
    if (this.#locks.size === 0) return false;
    for (let chunk = firstChunk; chunk < firstChunk + chunkCount; chunk++) if (this.#locks.has(chunk)) return true;
    return false;
  }

  /** Locks a chunk for a write that replaces all of it. */
  lock(chunk: number): void {
    assert(!this.#locks.has(chunk), 'R1: a chunk is locked twice');
    this.#locks.add(chunk);
  }

  unlock(chunk: number): void {
    assert(this.#locks.delete(chunk), 'R1: a chunk is unlocked that was not locked');
  }

  /**
   * I8: whether the chunk is known to have no clean copy that can be read: dirty for every member, as every in-sync member
   * has confirmed since IO began to wait for it, or clean for some in the set whose disks can't read it.
   */
  isLost(chunk: number): boolean {
    const sinceMs = this.#wanted.get(chunk);
    if (sinceMs === undefined) return false;
    for (const { memberId, role } of this.#store.members) {
      if (role === 'witness' || this.#store.dirtyMap(memberId)?.test(chunk) === true) continue;
      if (!this.#isUnreadable(chunk, memberId)) return false;
    }
    return this.#peers.inSync().every((peer) => this.#isUnreadable(chunk, peer.member.memberId) || peer.wholeRoundBeganMs > sinceMs);
  }

  /** The member that a dirty chunk can't be read from although it has it clean: for people. */
  sourceOf(chunk: number): string {
    const clean = this.#peers.all().filter((peer) => this.#store.dirtyMap(peer.member.memberId)?.test(chunk) !== true);
    if (clean.length === 0) return 'the in-sync members to say who has it clean';
    const inSync = this.#peers.inSync();
    const name = (peer: SyncPeer): string => {
      if (!inSync.includes(peer)) return `${peer.describe()} (out of the in-sync set)`;
      if (this.#isUnreadable(chunk, peer.member.memberId)) return `${peer.describe()} (its disk can't read the chunk)`;
      return peer.ready ? peer.describe() : `${peer.describe()} (${peer.problem})`;
    };
    return clean.map(name).join(' or ');
  }

  status(): ResyncStatus {
    const bytesLeft = this.#store.dirtyBytes(this.#memberId);
    const sources = new Set<number>();
    for (const pull of this.#pulls) if (pull.phase !== Phase.FREE && pull.peer !== null) sources.add(pull.peer.member.memberId);
    const moving = this.#state === 'RUNNING' && this.#rate > 0;
    return {
      state: this.#state,
      bytesLeft,
      bytesPerSecond: this.#state === 'RUNNING' ? Math.round(this.#rate) : 0,
      etaSeconds: moving ? Math.ceil(bytesLeft / this.#rate) : null,
      sourceMemberIds: [...sources].sort((a, b) => a - b),
      reason: this.#whyStill(),
      sinceMs: this.#sinceMs,
      pulledBytes: this.#pulledBytes,
    };
  }

  #whyStill(): string {
    if (this.#state !== 'FAILED' && this.#state !== 'PAUSED') return this.#stall;
    const first = this.#state === 'FAILED' ? this.#failure : 'paused by an operator';
    return this.#stall === '' ? first : `${first}; ${this.#stall}`;
  }

  tick(nowMs: number): void {
    if (nowMs - this.#rateAtMs >= 1000) {
      const seconds = (nowMs - this.#rateAtMs) / 1000;
      const current = (this.#pulledBytes - this.#rateBytes) / seconds;
      this.#rate = this.#rateAtMs === 0 ? current : this.#rate * 0.6 + current * 0.4;
      this.#rateAtMs = nowMs;
      this.#rateBytes = this.#pulledBytes;
    }
    if (this.#wanted.size > 0 || (this.#store.dirtyMap(this.#memberId)?.dirtyCount ?? 0) > 0 || this.#state !== 'IDLE') this.#later();
  }

  /** Something that pulls may have waited for has changed. */
  poke(): void {
    if (this.#version !== null) this.#later();
  }

  runAtTurnEnd(): void {
    this.#fill();
    this.#store.submit();
  }

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
    if (pull.phase === Phase.ABANDONED) {
      this.#free(pull);
      return;
    }
    assert(pull.phase === Phase.READ, 'resync: an answer without a read');
    const lengthBytes = this.#pieceBytes(pull);
    if (status !== Status.OK || payload === null || slab === null || payload.length < lengthBytes) {
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
      this.#failed(
        `${peer.describe()} could not be read: ${status === Status.OK ? 'it answered with the wrong length' : statusName(status)}`,
      );
      this.#release(pull);
      return;
    }
    const { queueDepth, sizeBytes } = this.#store.identity;
    const unresolved = decodeUnresolved(payload.subarray(lengthBytes), queueDepth, sizeBytes);
    if (unresolved === null) {
      this.#failed(`${peer.describe()} answered with malformed unresolved writes`);
      this.#release(pull);
      return;
    }
    this.#adapt(pull, lengthBytes);
    slab.retain();
    pull.slab = slab;
    pull.data = payload.subarray(0, lengthBytes);
    pull.unresolved = unresolved;
    pull.unresolvedSeq = unresolved.reduce((newest, { writeSeq }) => Math.max(newest, writeSeq), 0);
    this.#onDisk++;
    pull.phase = Phase.PREPARE;
    const offsetBytes = this.#pieceOffset(pull);
    if (this.#store.prepareWrite(offsetBytes, lengthBytes, pull.unresolvedSeq, NO_MEMBERS, 0, tag, this)) this.#write(pull, tag);
    this.#world.turn.defer(this);
  }

  onDiskDone(tag: number, status: number): void {
    const pull = this.#pulls[tag] as Pull;
    const stale = pull.generation !== this.#generation;
    if (status !== Status.OK) {
      if (!stale) this.#failed(`this member's store failed: ${statusName(status)}`);
      this.#release(pull);
      return;
    }
    switch (pull.phase) {
      case Phase.PREPARE:
        if (stale) this.#release(pull);
        else this.#write(pull, tag);
        break;
      case Phase.WRITE:
        pull.writtenBytes += (pull.data as Uint8Array).length;
        if (pull.writtenBytes < this.#bytesOf(pull)) {
          if (stale) this.#release(pull);
          else this.#readNext(pull, tag);
          break;
        }
        pull.phase = Phase.FLUSH;
        this.#store.flush(tag, this);
        break;
      case Phase.FLUSH:
        // R2: the bits belong to another version now, which may have set them anew.
        if (stale) this.#release(pull);
        else this.#clear(pull);
        break;
      default:
        assert(false, 'resync: completion in an unknown phase');
    }
    this.#world.turn.defer(this);
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    let active = 0;
    let onDisk = 0;
    let bytes = 0;
    for (const pull of this.#pulls) {
      if (pull.phase === Phase.FREE) continue;
      active++;
      bytes += this.#bytesOf(pull);
      if (pull.phase >= Phase.PREPARE) onDisk++;
      if (pull.phase === Phase.ABANDONED) continue;
      for (let i = 0; i < pull.chunkCount; i++) assert(this.#locks.has(pull.firstChunk + i), 'R1: a chunk is pulled that is not locked');
    }
    assert(active === this.#active && bytes === this.#activeBytes, 'resync: active pulls are counted');
    assert(onDisk === this.#onDisk, 'resync: pulls on disk are counted');
  }

  #write(pull: Pull, tag: number): void {
    pull.phase = Phase.WRITE;
    const offsetBytes = this.#pieceOffset(pull);
    const data = pull.data as Uint8Array;
    this.#noteUnresolved(pull);
    if (isZero(data)) this.#store.punch(offsetBytes, data.length, tag, this);
    else this.#store.write(offsetBytes, data, tag, this);
  }

  /**
   * I2: the data shows writes that are not resolved yet, and that this member may never get: it waited for this very chunk,
   * or is still on its way, when the client and the source die. Nobody would suspect the chunk then. So what the source has
   * in `lastIo` of them goes into the own one before the data is written; a newer write of the unit resolves the older.
   */
  #noteUnresolved(pull: Pull): void {
    if (pull.unresolved.length === 0) return;
    const newest = new Map(this.#store.lastIo().map(({ memId, writeSeq }) => [memId, writeSeq]));
    for (const { memId, writeSeq, offsetBytes, lengthBytes } of pull.unresolved) {
      if ((newest.get(memId) ?? 0) < writeSeq) this.#store.recordLastIo(memId, writeSeq, offsetBytes, lengthBytes);
    }
    pull.unresolved = [];
  }

  /** The next piece of a chunk that is larger than a message. */
  #readNext(pull: Pull, tag: number): void {
    pull.slab?.release();
    pull.slab = null;
    pull.data = null;
    pull.phase = Phase.READ;
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
    message.offsetBytes = this.#pieceOffset(pull);
    message.lengthBytes = this.#pieceBytes(pull);
    pull.startedMs = this.#world.clock.nowMs();
    return peer.ready && peer.read(message, tag, this);
  }

  #clear(pull: Pull): void {
    pull.phase = Phase.CLEAR;
    const lengthBytes = this.#bytesOf(pull);
    const ranges = [{ offsetBytes: pull.firstChunk * this.#chunkBytes, lengthBytes }];
    this.#store.commit({ dirtyClear: [{ memberIds: [this.#memberId], ranges }] }, (status) => {
      if (status === Status.OK) {
        this.#pulledBytes += lengthBytes;
        this.#retryMs = RESYNC_RETRY_MS;
        this.#failure = '';
        for (let i = 0; i < pull.chunkCount; i++) {
          this.#wanted.delete(pull.firstChunk + i);
          this.#unreadable.forget(pull.firstChunk + i);
        }
        this.#onPulled(pull.firstChunk * this.#chunkBytes, lengthBytes);
      } else if (pull.generation === this.#generation) {
        this.#failed(`this member's store failed: ${statusName(status)}`);
      }
      this.#release(pull);
    });
  }

  #later(): void {
    const own = this.#store.dirtyMap(this.#memberId);
    if (this.#active > 0 || this.#state !== 'IDLE' || (own !== null && own.dirtyCount > 0)) this.#world.turn.defer(this);
  }

  /** Starts as many pulls as depth, memory, rate and sources allow. */
  #fill(): void {
    const version = this.#version;
    const own = this.#store.dirtyMap(this.#memberId);
    if (version === null) return;
    if (own === null || own.dirtyCount === 0) {
      this.#setStall('');
      this.#wanted.clear();
      this.#peers.urgent = false;
      if (this.#active === 0) this.#setState('IDLE');
      return;
    }
    const nowMs = this.#world.clock.nowMs();
    if (nowMs < this.#retryAtMs) {
      if (this.#active === 0) this.#setState(this.#paused ? 'PAUSED' : 'FAILED');
      return;
    }
    this.#refillBudget(nowMs);
    let stall = '';
    let urgent = false;
    for (const chunk of this.#wanted.keys()) {
      if (!own.test(chunk)) this.#wanted.delete(chunk);
      else if (!this.#locks.has(chunk) && this.#active < this.#options.depth + RESYNC_WANTED_DEPTH) {
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
    if (this.#paused) {
      this.#setStall(stall);
      this.#setState('PAUSED');
      return;
    }
    let visited = 0;
    while (this.#mayStart() && this.#budgetBytes > 0 && visited < own.chunkCount) {
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
        if (stall === '' && this.#active === 0) stall = `chunk ${chunk} and others wait for ${this.sourceOf(chunk)}`;
        this.#cursor = end;
        // While nobody at all can be read from, the rest need not be looked at.
        if (!this.#peers.inSync().some((peer) => peer.ready)) break;
      }
    }
    this.#setStall(this.#active > 0 ? '' : stall);
    this.#setState(this.#active === 0 && stall === '' && this.#failure !== '' ? 'FAILED' : 'RUNNING');
  }

  #mayStart(): boolean {
    return this.#active < this.#options.depth && this.#activeBytes < this.#windowBytes;
  }

  /** Starts pulls within a run of dirty chunks. */
  #pullRun(first: number, end: number): Begun {
    let begun: Begun = Begun.NO_SOURCE;
    for (let chunk = this.#nextReadable(first, end); chunk < end; chunk = this.#nextReadable(chunk, end)) {
      if (!this.#mayStart() || this.#budgetBytes <= 0) break;
      if (this.#locks.has(chunk)) {
        chunk++;
        continue;
      }
      const pieceBytes = Math.min(IO_BYTES_MAX, this.#windowBytes / 4);
      const stop = Math.min(end, chunk + Math.max(1, Math.floor(pieceBytes / this.#chunkBytes)));
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

  /** The first chunk in [from, end) that a member has clean that can be read from, or `end`. */
  #nextReadable(from: number, end: number): number {
    let next = end;
    for (const peer of this.#peers.inSync()) {
      if (!peer.ready) continue;
      const map = this.#store.dirtyMap(peer.member.memberId);
      next = map === null ? from : map.nextClean(from, next);
    }
    return next;
  }

  /** Pulls chunk `first`, and what follows up to `end` from the same source. */
  #pullFrom(first: number, end: number): Begun {
    let peer: SyncPeer | null = null;
    for (const candidate of this.#peers.inSync()) {
      if (!candidate.ready || this.#store.dirtyMap(candidate.member.memberId)?.test(first) === true) continue;
      if (this.#isUnreadable(first, candidate.member.memberId)) continue;
      if (peer === null || candidate.inFlight < peer.inFlight) peer = candidate;
    }
    if (peer === null) return Begun.NO_SOURCE;
    assert(this.#active < this.#options.depth + RESYNC_WANTED_DEPTH, 'I12: more pulls than the depth');
    const source = this.#store.dirtyMap(peer.member.memberId);
    let stop = first + 1;
    const alone = this.#unreadable.isSuspect(first);
    while (!alone && stop < end && !this.#locks.has(stop) && source?.test(stop) !== true && !this.#unreadable.isSuspect(stop)) stop++;
    const tag = this.#take();
    const pull = this.#pulls[tag] as Pull;
    pull.firstChunk = first;
    pull.chunkCount = stop - first;
    pull.writtenBytes = 0;
    pull.generation = this.#generation;
    pull.peer = peer;
    if (!this.#read(pull, tag)) {
      pull.peer = null;
      return Begun.NO_PERMIT;
    }
    pull.phase = Phase.READ;
    const lengthBytes = this.#bytesOf(pull);
    this.#active++;
    this.#activeBytes += lengthBytes;
    this.#budgetBytes -= lengthBytes;
    for (let chunk = first; chunk < stop; chunk++) this.lock(chunk);
    return Begun.YES;
  }

  /** Whether the member could not read the chunk when it was asked for it a moment ago. */
  #isUnreadable(chunk: number, memberId: number): boolean {
    return this.#unreadable.has(chunk) && this.#unreadable.at(chunk, memberId, this.#world.clock.nowMs());
  }

  #take(): number {
    const free = this.#pulls.findIndex((pull) => pull.phase === Phase.FREE);
    if (free >= 0) return free;
    this.#pulls.push(new Pull());
    return this.#pulls.length - 1;
  }

  #bytesOf(pull: Pull): number {
    const offsetBytes = pull.firstChunk * this.#chunkBytes;
    return Math.min(pull.chunkCount * this.#chunkBytes, this.#deviceBytes - offsetBytes);
  }

  #pieceOffset(pull: Pull): number {
    return pull.firstChunk * this.#chunkBytes + pull.writtenBytes;
  }

  #pieceBytes(pull: Pull): number {
    return Math.min(IO_BYTES_MAX, this.#bytesOf(pull) - pull.writtenBytes);
  }

  /** The pull is over: its chunks are free for IO, and its place for another. */
  #release(pull: Pull): void {
    for (let i = 0; i < pull.chunkCount; i++) this.unlock(pull.firstChunk + i);
    const onDisk = pull.phase >= Phase.PREPARE;
    pull.slab?.release();
    this.#free(pull);
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

  #free(pull: Pull): void {
    this.#active--;
    this.#activeBytes -= this.#bytesOf(pull);
    pull.phase = Phase.FREE;
    pull.peer = null;
    pull.data = null;
    pull.slab = null;
  }

  /** What was asked for is dropped, what is being written is not cleared. */
  #abandon(): void {
    this.#generation++;
    this.#unreadable.clear();
    let released = false;
    for (const pull of this.#pulls) {
      if (pull.phase !== Phase.READ) continue;
      for (let i = 0; i < pull.chunkCount; i++) this.unlock(pull.firstChunk + i);
      pull.phase = Phase.ABANDONED;
      released = true;
    }
    if (released) this.#onReleased();
  }

  /** A read that took long stood in a queue: less is asked for at a time. One that did not: more. */
  #adapt(pull: Pull, lengthBytes: number): void {
    const tookMs = this.#world.clock.nowMs() - pull.startedMs;
    if (tookMs > RESYNC_READ_MS) this.#windowBytes = Math.max(this.#windowBytes / 2, RESYNC_BYTES_MIN);
    else this.#windowBytes = Math.min(this.#windowBytes + lengthBytes, RESYNC_BYTES_MAX);
  }

  #failed(reason: string): void {
    if (reason !== this.#failure) this.#world.log.warn('resync was interrupted', { member: this.#memberId, reason });
    this.#failure = reason;
    this.#retryAtMs = this.#world.clock.nowMs() + this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, RESYNC_RETRY_MS_MAX);
  }

  #refillBudget(nowMs: number): void {
    const { rateBytes, loadedRateBytes } = this.#options;
    const loaded = nowMs - this.#clientIoMs < RESYNC_LOAD_MS;
    const rate = loaded ? (loadedRateBytes ?? rateBytes) : rateBytes;
    if (rate === null) {
      this.#budgetBytes = Number.POSITIVE_INFINITY;
    } else {
      if (!Number.isFinite(this.#budgetBytes)) this.#budgetBytes = 0;
      // At most a quarter of a second's worth is saved up.
      this.#budgetBytes = Math.min(this.#budgetBytes + (rate * (nowMs - this.#budgetAtMs)) / 1000, rate / 4);
    }
    this.#budgetAtMs = nowMs;
  }

  /** Why it stands still, and since when: not since it began to run. */
  #setStall(stall: string): void {
    if ((stall === '') !== (this.#stall === '')) this.#sinceMs = this.#world.clock.wallMs();
    this.#stall = stall;
  }

  #setState(state: ResyncState): void {
    if (state === this.#state) return;
    this.#world.log.info('resync', { member: this.#memberId, from: this.#state, to: state, reason: this.#failure || this.#stall });
    this.#state = state;
    this.#sinceMs = this.#world.clock.wallMs();
  }
}

const NO_MEMBERS = new Uint8Array(0);
