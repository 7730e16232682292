import type { DirtyMap } from '@rmr/dirty-map';
import { assert, type Disk, type DiskSink, type Logger, Status, statusName, type Ticked, type Ticker, type Turn } from '@rmr/runtime';
import { INTENT_IDLE_TICKS, MEMBER_SLOTS } from '../constants.ts';
import { DOUBT_BYTES, encodeDoubt } from '../format/doubt.ts';
import type { Usage } from '../format/entries.ts';
import { DOUBT_OFFSET, LAST_IO_OFFSET, type Layout } from '../format/layout.ts';
import { type Lives, verifyLives } from '../format/lives.ts';
import type { Superblock } from '../format/superblock.ts';
import type { ByteRange, LastIo, MemberRecord, MetadataChange, PoolPolicy, PromiseRecord, StoreLife, VersionRecord } from '../types.ts';
import { invalidChange, type StoreChange } from './change-encoder.ts';
import { CommitEngine } from './commit-engine.ts';
import { FlushGroup } from './flush-group.ts';
import type { JournalRing } from './journal-ring.ts';
import type { LastIoTable } from './last-io-table.ts';
import type { LoadedStore } from './load-store.ts';
import { askForMetadataSpace } from './metadata-space.ts';
import { ProcedureRun } from './procedure.ts';
import type { StoreState } from './store-state.ts';

/**
 * An open store: everything on the disk except the data, which the caller moves itself at {@link dataOffset}. Calls
 * that wait end through a sink or callback, never from within the call.
 */
export class BitmapStore implements Ticked {
  readonly superblock: Superblock;
  readonly layout: Layout;
  /** What the disk is called in messages. */
  readonly label: string;
  readonly #disk: Disk;
  readonly #seed: number;
  readonly #world: StoreWorld;
  readonly #state: StoreState;
  readonly #lastIo: LastIoTable;
  readonly #flushes: FlushGroup;
  readonly #engine: CommitEngine;
  readonly #ring: JournalRing;
  readonly #lastIoCopy: Uint8Array;
  #lastIoWriting = false;
  /** True while the disk is called: what it answers then is seen by the caller. */
  #inSubmitLastIo = false;
  #lastIoFrom = 0;
  #lastIoTo = 0;
  #lastIoStatus: number = Status.OK;
  #onLastIoWritten: (status: number) => void = () => {};
  /** It was opened with volatile state that was lost on this very boot. */
  readonly #cacheDoubtful: boolean;
  /** A flush has failed since the store was last known to be whole. */
  #doubtful = false;
  /** The mark on the disk does not say yet what `#doubtful` says. `#markWriting`: the mark is being written. */
  #markDue = false;
  #markWriting = false;
  #onMarkWritten: (() => void) | null = null;
  #onSpaceAsked: (() => void) | null = null;
  /** Called when a flush of the disk has failed, whatever the flush was for, before anything else hears of it. */
  onDoubt: () => void = () => {};
  /** See {@link changedSinceAged} and {@link flushedSinceAged}. */
  #changedSinceAged = false;
  #flushedSinceAged = false;
  /** See {@link dataAge}. */
  #dataAge = 0;
  /** What `#flushedSinceAged` was when the record under way began. */
  #flushedBeforeRecord = false;
  /** See {@link lacksMetadataSpace}. `#askingForSpace`: that space is being asked for. */
  #lacksMetadataSpace: boolean;
  #askingForSpace = false;
  #ticks = 0;
  #closing = false;
  #diskClosed = false;

  /** For `openStore`. */
  constructor(disk: Disk, loaded: LoadedStore, world: StoreWorld, label: string, cacheDoubtful = false) {
    this.#cacheDoubtful = cacheDoubtful;
    this.#lacksMetadataSpace = loaded.lacksMetadataSpace;
    this.superblock = loaded.superblock;
    this.layout = loaded.layout;
    this.label = label;
    this.#disk = disk;
    this.#seed = loaded.seed;
    this.#world = world;
    this.#state = loaded.state;
    this.#lastIo = loaded.lastIo;
    this.#lastIoCopy = new Uint8Array(loaded.layout.lastIoBytes);
    this.#ring = loaded.ring;
    const { intent } = loaded.state;
    this.#flushes = new FlushGroup(disk, world.turn, {
      onFlushBegins: () => intent.flushBegins(),
      onFlushEnds: (status) => {
        intent.flushEnds(status === Status.OK);
        if (status !== Status.OK) {
          // At once, not only when it is recorded: the next flush may succeed, and would vouch for what this one has lost.
          this.#doubtful = true;
          this.#notAged();
          this.#writeMark();
          this.onDoubt();
        }
        this.#engine.onFlushEnded(status);
      },
    });
    this.#engine = new CommitEngine({
      disk,
      turn: world.turn,
      log: world.log,
      label,
      seed: loaded.seed,
      state: loaded.state,
      ring: loaded.ring,
      flushes: this.#flushes,
      homeGeneration: loaded.homeGeneration,
      homeIndex: loaded.homeIndex,
      onRecordBegins: () => this.#onRecordBegins(),
      onApplied: (change) => this.#onApplied(change),
      onFailed: () => this.#notAged(),
    });
    world.ticker.subscribe(this);
  }

  /** Offset of the data area on the disk, in bytes. A witness has none: there the store ends. */
  get dataOffset(): number {
    return this.layout.dataOffset;
  }

  get promise(): PromiseRecord | null {
    return this.#state.promise;
  }

  get version(): VersionRecord | null {
    return this.#state.version;
  }

  get members(): readonly MemberRecord[] {
    return this.#state.members;
  }

  /** Quorum `none`, no member id and no former lineage until another policy is committed. A commit replaces it as a whole. */
  get policy(): PoolPolicy {
    return this.#state.policy;
  }

  /**
   * How many records the journal has had: durable, and it only ever grows. Every write of data that had ended before the newest of
   * them was begun is durable too, unless {@link volatileLost} says that some may be gone.
   */
  get age(): number {
    return this.#ring.nextSequence - 1;
  }

  /** The lives of the store, the one that goes on last; of former ones those in which a promise was committed, at most 32 in all. */
  get lives(): readonly StoreLife[] {
    return this.#state.lives.all;
  }

  /** The client that had made the store's version has ended in order; until another version is committed. */
  get released(): boolean {
    return this.#state.usage.released;
  }

  /** Data was changed, or may have been, since the record that raised the age last was begun. */
  get changedSinceAged(): boolean {
    return this.#changedSinceAged;
  }

  /** The age of the newest record that vouches for data which no earlier record vouches for. 0: there was none since the store was opened. */
  get dataAge(): number {
    return this.#dataAge;
  }

  /** A flush was asked for since that record was begun. */
  get flushedSinceAged(): boolean {
    return this.#flushedSinceAged;
  }

  /** Data that was accepted but not flushed may be gone; until `reconciled` is committed. */
  get volatileLost(): boolean {
    return this.#state.usage.volatileLost || this.#doubtful;
  }

  /**
   * A flush failed, or the disk was away, and the host has not been down since: what can be read may be in the page cache
   * alone, where no later flush finds it. Until `reconciled` is committed.
   */
  get cacheDoubtful(): boolean {
    return !this.layout.witness && (this.#doubtful || (this.#cacheDoubtful && this.#state.usage.volatileLost));
  }

  /** Its file system was full when it was opened, and some of its metadata has no space of its own yet: it is asked for again and again. */
  get lacksMetadataSpace(): boolean {
    return this.#lacksMetadataSpace;
  }

  /** How often the store was opened. */
  get openCount(): number {
    return this.#state.usage.openCount;
  }

  /** True once the journal can't be written any more: every change and flush ends with an error from then on. */
  get failed(): boolean {
    return this.#engine.failed;
  }

  get counters(): StoreCounters {
    return {
      journalRecords: this.#engine.recordCount,
      diskFlushes: this.#flushes.flushCount,
      checkpoints: this.#engine.checkpointCount,
      intentRegions: this.#state.intent.activeCount,
      intentOverflow: this.#state.intent.overflowed,
      journalLiveBytes: this.#ring.liveBytes,
    };
  }

  /** The member's dirty map, to read only; null = all clean. */
  dirtyMap(memberId: number): DirtyMap | null {
    const slot = this.#state.slotOf(memberId);
    return slot < 0 ? null : (this.#state.maps[slot] as DirtyMap);
  }

  /** Bytes in chunks that are dirty for the member. */
  dirtyBytes(memberId: number): number {
    const map = this.dirtyMap(memberId);
    return map === null ? 0 : this.layout.grid.bytesIn(map);
  }

  /** Members that have a dirty map, dirty chunks or not. */
  mappedMemberIds(): readonly number[] {
    return [...this.#state.slotMembers].filter((memberId) => memberId >= 0);
  }

  /** Records the newest write of an IO unit; {@link submitLastIo} hands it to the kernel. */
  recordLastIo(ioUnit: number, writeSeq: number, offsetBytes: number, lengthBytes: number): void {
    assert(!this.layout.witness, 'store: a witness takes no writes');
    this.#changedSinceAged = true;
    this.#lastIo.record(ioUnit, writeSeq, offsetBytes, lengthBytes);
  }

  /**
   * A change of the data area has ended, with or without success. A record that was begun before that end says nothing of the change, so
   * the data counts as changed once more.
   */
  dataChanged(): void {
    this.#changedSinceAged = true;
  }

  lastIo(): readonly LastIo[] {
    return this.#lastIo.entries();
  }

  /** The entries of {@link lastIo} that touch the range and are not known to be resolved on all legs (W7). */
  unresolvedWrites(offsetBytes: number, lengthBytes: number): readonly LastIo[] {
    return this.#lastIo.within(offsetBytes, lengthBytes, this.#state.intent.completedThrough);
  }

  /** Is called when a {@link submitLastIo} that returned false has ended. */
  set onLastIoWritten(listener: (status: number) => void) {
    this.#onLastIoWritten = listener;
  }

  /**
   * Hands the entries that have changed to the kernel, in one write (◆2 ◆3). True when they are there. False when
   * that takes longer: data of the same turn waits until the listener is called, and no other data overtakes it.
   */
  submitLastIo(): boolean {
    if (this.#lastIoWriting) return false;
    if (!this.#lastIo.changed) return true;
    this.#lastIoStatus = Status.OK;
    this.#writeLastIo();
    return !this.#lastIoWriting && this.#lastIoStatus === Status.OK;
  }

  /** Status of the last write of last_io. */
  get lastIoStatus(): number {
    return this.#lastIoStatus;
  }

  /** For the disk: a write of last_io has ended. */
  onDiskDone(_tag: number, status: number): void {
    assert(this.#lastIoWriting, 'store: last_io was being written');
    this.#lastIoWriting = false;
    this.#lastIoStatus = status;
    if (status !== Status.OK) this.#lastIo.giveBackChanged(this.#lastIoFrom, this.#lastIoTo);
    if (this.#inSubmitLastIo) return;
    if (status === Status.OK && this.#lastIo.changed) {
      this.#writeLastIo();
      if (this.#lastIoWriting) return;
    }
    this.#onLastIoWritten(this.#lastIoStatus);
  }

  #writeLastIo(): void {
    const from = this.#lastIo.changedFrom;
    const to = this.#lastIo.changedTo;
    this.#lastIo.takeChanged();
    this.#lastIoFrom = from;
    this.#lastIoTo = to;
    const copy = this.#lastIoCopy.subarray(from, to);
    copy.set(this.#lastIo.bytes.subarray(from, to));
    this.#lastIoWriting = true;
    this.#inSubmitLastIo = true;
    this.#disk.write(LAST_IO_OFFSET + from, copy, 0, this);
    this.#disk.submit();
    this.#inSubmitLastIo = false;
  }

  /**
   * Before data of a write may be submitted (W3): its regions are durably in the write intent and its chunks durably
   * dirty for `missingMemberIds` (first `missingCount` entries; I6). True when that is so already. False: the sink is
   * told when it is; concurrent calls share a commit.
   */
  prepareWrite(
    offsetBytes: number,
    lengthBytes: number,
    writeSeq: number,
    missingMemberIds: Uint8Array,
    missingCount: number,
    tag: number,
    sink: DiskSink,
  ): boolean {
    const { layout } = this;
    assert(!layout.witness, 'store: a witness takes no writes');
    assert(lengthBytes > 0 && offsetBytes >= 0 && offsetBytes + lengthBytes <= layout.sizeBytes, 'store: the write lies within the device');
    assert(!this.#closing, 'store: no write while it closes');
    this.#changedSinceAged = true;
    const last = offsetBytes + lengthBytes - 1;
    const firstRegion = Math.floor(offsetBytes / layout.regionBytes);
    const lastRegion = Math.floor(last / layout.regionBytes);
    let ready = this.#state.intent.touch(firstRegion, lastRegion, writeSeq);
    if (missingCount === 0) {
      if (ready && !this.#engine.failed) return true;
      this.#engine.queuePrepare(firstRegion, lastRegion, 0, 1, writeSeq, missingMemberIds, 0, tag, sink);
      return false;
    }
    const firstChunk = layout.grid.firstOf(offsetBytes);
    const chunkCount = layout.grid.countOf(offsetBytes, lengthBytes);
    for (let i = 0; i < missingCount; i++) {
      const slot = this.#state.slotOf(missingMemberIds[i] as number);
      if (slot < 0 || !(this.#state.maps[slot] as DirtyMap).testAll(firstChunk, chunkCount)) ready = false;
    }
    if (ready && !this.#engine.failed) return true;
    this.#engine.queuePrepare(firstRegion, lastRegion, firstChunk, chunkCount, writeSeq, missingMemberIds, missingCount, tag, sink);
    return false;
  }

  /** Every write up to this sequence number is resolved on all legs (W7). Starts over with a new epoch. */
  setCompletedThrough(writeSeq: number): void {
    assert(!this.layout.witness, 'store: a witness takes no writes');
    this.#state.intent.setCompletedThrough(writeSeq);
  }

  /** Whether the write intent has regions of a former process or client that nothing but a reconciliation lets go. */
  get intentAwaitsReconciliation(): boolean {
    return this.#state.intent.awaitsReconciliation;
  }

  /** The ranges that may differ between members after a power loss, in order. */
  intentRanges(): readonly ByteRange[] {
    return this.#state.intent.ranges();
  }

  /** Makes every change of data and metadata that has ended durable. */
  flush(tag: number, sink: DiskSink): void {
    this.#flushedSinceAged = true;
    if (this.#engine.failed) this.#engine.queueRefusal(Status.EIO, tag, sink);
    else this.#flushes.request(tag, sink, false);
  }

  /** Durable when `done(Status.OK)` is called; changes are applied in the order of the calls. EINVAL: never acceptable, see the log. */
  commit(change: MetadataChange, done: (status: number) => void): void {
    assert(!this.#closing, 'store: no change while it closes');
    const wrong = invalidChange(this.layout, change);
    if (wrong !== null) {
      this.#world.log.error('a metadata change was refused', { store: this.label, why: wrong });
      this.#engine.queueRefusal(Status.EINVAL, 0, { onDiskDone: (_tag, status) => done(status) });
      return;
    }
    if (change.reconciled !== true) {
      this.#engine.queueCommit(change, done);
      return;
    }
    const generation = this.#lastIo.nextGeneration();
    const { failureCount } = this.#flushes;
    this.#engine.queueCommit(change, (status) => {
      if (status === Status.OK) this.#lastIo.eraseUpTo(generation);
      if (status === Status.OK && failureCount === this.#flushes.failureCount && this.#doubtful) {
        this.#doubtful = false;
        // I1: left behind, it would make the next process doubt what was written from now on, too.
        this.#writeMark();
      }
      done(status);
    });
  }

  /** For `openStore`: records how the store is used, and that another life has begun. */
  commitOpening(usage: Usage, lives: Lives, done: (status: number) => void): void {
    assert(lives.all.at(-1)?.firstAge === this.#ring.nextSequence, 'store: a life begins with the record of its opening');
    this.#engine.queueCommit({ usage, lives }, done);
  }

  tick(): void {
    if (++this.#ticks % INTENT_IDLE_TICKS !== 0 || this.#closing) return;
    this.#engine.leaveIdleRegions();
    if (this.#lacksMetadataSpace && !this.#askingForSpace) this.#askForSpace();
  }

  #askForSpace(): void {
    this.#askingForSpace = true;
    new ProcedureRun(this.#disk, askForMetadataSpace(this.layout), (status) => {
      this.#askingForSpace = false;
      this.#lacksMetadataSpace = status !== Status.OK;
      this.#onSpaceAsked?.();
    });
  }

  /** Waits for what is in flight, flushes, records a clean shutdown, and closes the disk. The status is that of the flush and the record. */
  close(done: (status: number) => void): void {
    assert(!this.#closing, 'store: closed once');
    this.#closing = true;
    this.#world.ticker.unsubscribe(this);
    let result: number = Status.OK;
    const closeDisk = (): void => {
      if (this.#markWriting) {
        this.#onMarkWritten = closeDisk;
        return;
      }
      if (this.#askingForSpace) {
        this.#onSpaceAsked = closeDisk;
        return;
      }
      this.#diskClosed = true;
      this.#disk.close((status) => done(result === Status.OK ? status : result));
    };
    const settle = (): void => this.#engine.whenIdle(closeDisk);
    this.#engine.whenIdle(() => {
      if (this.#engine.failed) {
        result = Status.EIO;
        closeDisk();
        return;
      }
      this.#flushForClose((flushStatus) => {
        result = flushStatus;
        if (flushStatus !== Status.OK || this.#engine.failed) {
          settle();
          return;
        }
        this.#engine.queueCommit({ usage: { ...this.#state.usage, cleanShutdown: true } }, (status) => {
          result = status;
          if (status === Status.OK) this.#engine.startCheckpoint();
          settle();
        });
      });
    });
  }

  /** Rechecks the invariants of everything in memory. */
  verify(): void {
    this.#engine.verify();
    this.#flushes.verify();
    this.#lastIo.verify();
    assert(this.#state.maps.length === MEMBER_SLOTS, 'store: one map per slot');
    verifyLives(this.#state.lives, this.age);
  }

  /**
   * L6: makes the mark of a failed flush say what is known now. It is meant for the page cache alone: the process may end before the
   * journal says it, and the journal may not be writable either. A failed flush may take the mark itself, so each one writes it anew.
   */
  #writeMark(): void {
    if (this.layout.witness || this.#diskClosed) return;
    this.#markDue = true;
    if (this.#markWriting) return;
    this.#markDue = false;
    this.#markWriting = true;
    const doubtful = this.#doubtful;
    const sector = doubtful ? encodeDoubt(this.#seed, this.#state.usage.openCount) : new Uint8Array(DOUBT_BYTES);
    this.#disk.write(DOUBT_OFFSET, sector, 0, {
      onDiskDone: (_tag, status) => {
        this.#markWriting = false;
        if (status !== Status.OK) {
          this.#world.log.error('the mark of a failed flush can not be written', {
            store: this.label,
            doubtful,
            status: statusName(status),
          });
        }
        if (this.#markDue) this.#writeMark();
        else this.#onMarkWritten?.();
      },
    });
    this.#disk.submit();
  }

  #flushForClose(done: (status: number) => void): void {
    if (this.submitLastIo()) this.#flushes.request(0, { onDiskDone: (_tag, status) => done(status) }, false);
    else if (this.#lastIoWriting) this.#onLastIoWritten = (status) => (status === Status.OK ? this.#flushForClose(done) : done(status));
    // I11: it has failed at once, so that the listener is never told.
    else done(this.#lastIoStatus);
  }

  #onRecordBegins(): void {
    this.#flushedBeforeRecord = this.#flushedSinceAged;
    if (this.#changedSinceAged) this.#dataAge = this.age + 1;
    // Its flush covers what has ended by now. What ends later counts as changed again.
    this.#changedSinceAged = false;
    this.#flushedSinceAged = false;
  }

  /** A flush or a record has failed: what the age was to vouch for may not be there. */
  #notAged(): void {
    this.#changedSinceAged = true;
    this.#flushedSinceAged ||= this.#flushedBeforeRecord;
  }

  #onApplied(change: StoreChange): void {
    if (change.promise !== undefined) this.#state.intent.holdAll();
    if (change.reconciled === true) this.#state.intent.release();
  }
}

/** What a store needs from outside. */
export interface StoreWorld {
  readonly turn: Turn;
  readonly ticker: Ticker;
  readonly log: Logger;
}

/** Figures of a store, for status and metrics. */
export interface StoreCounters {
  readonly journalRecords: number;
  readonly diskFlushes: number;
  readonly checkpoints: number;
  readonly intentRegions: number;
  readonly intentOverflow: boolean;
  readonly journalLiveBytes: number;
}
