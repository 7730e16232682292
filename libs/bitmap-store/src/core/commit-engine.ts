import { assert, type Disk, type DiskSink, type Logger, Status, statusName, type Turn, type TurnTask } from '@rmr/runtime';
import { INTENT_REGIONS_PER_WRITE_MAX, RECORD_BYTES_MAX } from '../constants.ts';
import { DIRTY_SET, invalidEntries, USAGE } from '../format/entries.ts';
import { addEntry } from '../format/entry.ts';
import { JOURNAL_OFFSET } from '../format/layout.ts';
import { entryBytes, RECORD_HEADER_BYTES, RecordMagic, RecordWriter } from '../format/record.ts';
import { changeBytesMax, encodeChange, needsStaging, RecordPlan, type StoreChange, stageMaps } from './change-encoder.ts';
import { checkpoint, writeStagedMaps } from './checkpoint.ts';
import { Phase, TRANSITIONS } from './commit-phase.ts';
import type { FlushGroup } from './flush-group.ts';
import type { JournalRing } from './journal-ring.ts';
import { type Procedure, ProcedureRun, type StepTarget } from './procedure.ts';
import type { StagedMap, StoreState } from './store-state.ts';
import { type CommitUnit, type PrepareUnit, PrepareUnits, type RefusedUnit, UnitKind, type WaitUnit } from './wait-unit.ts';
import { EnterResult } from './write-intent.ts';

/**
 * Makes changes durable. It gathers what was asked for during a turn into one journal record, writes the record, has the disk
 * flushed, applies the record, and tells those that wait. One record is under way at a time, so that only the newest can be torn.
 * Nothing is applied, and so nothing can reach the home areas, before its record is durable.
 */
export class CommitEngine implements DiskSink, TurnTask {
  turnQueued = false;
  readonly #parts: EngineParts;
  readonly #writer = new RecordWriter();
  readonly #plan: RecordPlan;
  readonly #units = new PrepareUnits();
  #phase: Phase = Phase.IDLE;
  #queue: WaitUnit[] = [];
  #inRecord: WaitUnit[] = [];
  /** Writes that found the write intent full and wait for a flush. */
  #starved: PrepareUnit[] = [];
  #starvedFlushAsked = false;
  #idleFlushAsked = false;
  #leaveIdle = false;
  #staged: readonly StagedMap[] | null = null;
  #recordOffset = 0;
  #recordBytes = 0;
  #checkpointRuns = false;
  #awaitsCheckpoint = false;
  #homeGeneration: number;
  #homeIndex: number;
  #idleWaiter: (() => void) | null = null;
  /** Records written so far. */
  recordCount = 0;
  checkpointCount = 0;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#plan = new RecordPlan(parts.state);
    this.#homeGeneration = parts.homeGeneration;
    this.#homeIndex = parts.homeIndex;
  }

  get failed(): boolean {
    return this.#phase === Phase.FAILED;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Queues a write whose regions or dirty bits are not all durable yet. */
  queuePrepare(
    firstRegion: number,
    lastRegion: number,
    firstChunk: number,
    chunkCount: number,
    writeSeq: number,
    missing: Uint8Array,
    missingCount: number,
    tag: number,
    sink: DiskSink,
  ): void {
    this.#queue.push(this.#units.take(firstRegion, lastRegion, firstChunk, chunkCount, writeSeq, missing, missingCount, tag, sink));
    this.#kick();
  }

  /** Queues a change. `first` puts it before everything that has not begun. */
  queueCommit(change: StoreChange, done: (status: number) => void, first = false): void {
    if (change.dirtyErase !== undefined && change.dirtyErase.length > 0) this.#missNoMore(change.dirtyErase);
    const unit: CommitUnit = { kind: UnitKind.COMMIT, change, failuresBefore: this.#parts.flushes.failureCount, done };
    if (first) this.#queue.unshift(unit);
    else this.#queue.push(unit);
    this.#kick();
  }

  /** Answers a request with a status at the end of the turn. */
  queueRefusal(status: number, tag: number, sink: DiskSink): void {
    const unit: RefusedUnit = { kind: UnitKind.REFUSED, status, tag, sink };
    this.#queue.push(unit);
    this.#kick();
  }

  /** A new idle period: regions that no write came for leave. */
  leaveIdleRegions(): void {
    if (this.failed) return;
    const { intent } = this.#parts.state;
    intent.nextPeriod();
    if (intent.idleCanLeave) {
      this.#leaveIdle = true;
      this.#kick();
    }
    if (intent.idleNeedsFlush && !this.#idleFlushAsked) {
      this.#idleFlushAsked = true;
      this.#parts.flushes.request(TAG_IDLE_FLUSH, this, true);
    }
  }

  /** Calls back, possibly at once, when nothing is queued or under way. */
  whenIdle(done: () => void): void {
    assert(this.#idleWaiter === null, 'engine: one waits for idleness');
    this.#idleWaiter = done;
    this.#checkIdle();
  }

  /** Writes everything to the home areas, so that the journal is empty. */
  startCheckpoint(): void {
    if (this.#checkpointRuns || this.failed || this.#phase === Phase.STAGING) return;
    this.#checkpointRuns = true;
    this.checkpointCount++;
    const { state, ring, seed } = this.#parts;
    const tail = ring.nextSequence;
    const run = checkpoint(state, seed, tail, this.#homeGeneration + 1, 1 - this.#homeIndex);
    this.#runProcedure(run, (status) => this.#onCheckpointDone(status, tail));
  }

  runAtTurnEnd(): void {
    this.#startRecord();
    this.#checkIdle();
  }

  onDiskDone(tag: number, status: number): void {
    switch (tag) {
      case TAG_RECORD:
        this.#onRecordWritten(status);
        break;
      case TAG_RECORD_FLUSH:
        this.#onRecordFlushed(status);
        break;
      case TAG_STARVED_FLUSH:
        this.#onStarvedFlush(status);
        break;
      case TAG_IDLE_FLUSH:
        this.#idleFlushAsked = false;
        break;
      default:
        assert(false, 'engine: known tag');
    }
  }

  /** A disk flush has ended. A failure is recorded durably before those that asked for the flush are told. */
  onFlushEnded(status: number): void {
    const { log, label, flushes } = this.#parts;
    if (this.#idleWaiter !== null) this.#kick();
    if (status === Status.OK) return;
    log.error('a flush of the disk failed; unflushed data counts as lost', { store: label, status: statusName(status) });
    if (this.failed) flushes.answerFailed();
    else this.queueCommit({ volatileLost: true }, () => flushes.answerFailed(), true);
  }

  verify(): void {
    const { state, ring } = this.#parts;
    state.verify();
    ring.verify();
    assert(this.#phase !== Phase.IDLE || this.#inRecord.length === 0, 'engine: who waits for a record has one');
    assert(this.#phase !== Phase.FAILED || this.#inRecord.length === 0, 'engine: nobody waits for a failed journal');
  }

  #kick(): void {
    this.#parts.turn.defer(this);
  }

  #setPhase(to: Phase): void {
    assert(TRANSITIONS[this.#phase].includes(to), 'engine: legal transition');
    this.#phase = to;
  }

  #startRecord(): void {
    if (this.#phase === Phase.FAILED) {
      this.#refuseQueued(Status.EIO);
      return;
    }
    if (this.#phase !== Phase.IDLE || (this.#queue.length === 0 && !this.#leaveIdle)) return;
    const offset = this.#parts.ring.placeFor(RECORD_BYTES_MAX);
    if (offset < 0) {
      this.#awaitsCheckpoint = true;
      this.startCheckpoint();
      return;
    }
    const head = this.#queue[0];
    if (head !== undefined && head.kind === UnitKind.COMMIT && needsStaging(head.change)) {
      this.#startStaging(head);
      return;
    }
    this.#writer.begin(RESERVE_BYTES);
    this.#plan.begin(this.#parts.state);
    this.#gather();
    if (this.#leaveIdle) {
      this.#leaveIdle = false;
      this.#parts.state.intent.leaveIdle(this.#writer);
    }
    if (this.#writer.entryCount === 0) {
      // All that is asked for is so already. What depends on it is told all the same: a reconciliation lets regions go.
      this.#tellApplied();
      this.#completeUnits(Status.OK, Status.OK);
      if (this.#queue.length > 0) this.#kick();
      return;
    }
    this.#beginRecord(offset);
  }

  /** Moves units from the queue into the record until it is full. */
  #gather(): void {
    let taken = 0;
    for (; taken < this.#queue.length; taken++) {
      const unit = this.#queue[taken] as WaitUnit;
      if (unit.kind === UnitKind.PREPARE) {
        if (!this.#gatherPrepare(unit)) break;
      } else if (unit.kind === UnitKind.COMMIT) {
        if (needsStaging(unit.change)) break;
        if (!this.#plan.hasRoomFor(unit.change)) {
          this.#refuseForSlots(unit);
          continue;
        }
        if (changeBytesMax(unit.change, this.#plan, false) > this.#writer.bytesLeft) break;
        encodeChange(this.#writer, this.#parts.state, this.#plan, this.#changeOf(unit), null);
        this.#inRecord.push(unit);
      } else {
        this.#inRecord.push(unit);
      }
    }
    this.#queue.splice(0, taken);
  }

  /** False when the record is full. */
  #gatherPrepare(unit: PrepareUnit): boolean {
    const writer = this.#writer;
    const { state } = this.#parts;
    if (writer.bytesLeft < PREPARE_BYTES) return false;
    const mask = this.#missingMask(unit);
    if (mask < 0) {
      this.#queueUnitRefusal(unit, Status.ENOSPC);
      return true;
    }
    const wide = unit.lastRegion - unit.firstRegion >= INTENT_REGIONS_PER_WRITE_MAX;
    let entered = state.intent.enter(writer, unit.firstRegion, unit.lastRegion, unit.writeSeq, wide);
    if (entered === EnterResult.SET_FULL && !unit.starved && state.intent.flushHelps) {
      unit.starved = true;
      this.#starved.push(unit);
      if (!this.#starvedFlushAsked) {
        this.#starvedFlushAsked = true;
        this.#parts.flushes.request(TAG_STARVED_FLUSH, this, true);
      }
      return true;
    }
    if (entered === EnterResult.SET_FULL) entered = state.intent.enter(writer, unit.firstRegion, unit.lastRegion, unit.writeSeq, true);
    if (entered === EnterResult.RECORD_FULL || writer.bytesLeft < DIRTY_BYTES) return false;
    if (mask > 0) {
      this.#plan.recordSlots(writer);
      addEntry(writer, DIRTY_SET, { slotMask: mask, ranges: [[unit.firstChunk, unit.chunkCount]] });
    }
    this.#inRecord.push(unit);
    return true;
  }

  /** These members get no dirty bits from writes that wait, such as one that found the write intent full. Otherwise such a write would bring back a map that is being erased. */
  #missNoMore(memberIds: readonly number[]): void {
    for (const unit of [...this.#queue, ...this.#starved]) {
      if (unit.kind !== UnitKind.PREPARE) continue;
      const { missing, missingCount } = unit;
      unit.missingCount = 0;
      for (let i = 0; i < missingCount; i++) {
        const memberId = missing[i] as number;
        if (!memberIds.includes(memberId)) missing[unit.missingCount++] = memberId;
      }
    }
  }

  /** Slots whose maps lack a chunk of the write; -1 when a member finds no slot. */
  #missingMask(unit: PrepareUnit): number {
    let mask = 0;
    for (let i = 0; i < unit.missingCount; i++) {
      const memberId = unit.missing[i] as number;
      const slot = this.#plan.slotFor(memberId);
      if (slot < 0) return -1;
      const known = this.#parts.state.slotMembers[slot] === memberId;
      if (!known || !this.#parts.state.maps[slot]?.testAll(unit.firstChunk, unit.chunkCount)) mask |= 1 << slot;
    }
    return mask;
  }

  #refuseForSlots(unit: CommitUnit): void {
    this.#parts.log.error('a change was refused: dirty maps of too many members', { store: this.#parts.label });
    const refused: RefusedUnit = {
      kind: UnitKind.REFUSED,
      status: Status.ENOSPC,
      tag: 0,
      sink: { onDiskDone: (_tag, status) => unit.done(status) },
    };
    this.#inRecord.push(refused);
  }

  #queueUnitRefusal(unit: PrepareUnit, status: number): void {
    this.#parts.log.error('a write was refused: dirty maps of too many members', { store: this.#parts.label });
    const refused: RefusedUnit = { kind: UnitKind.REFUSED, status, tag: unit.tag, sink: unit.sink };
    this.#units.giveBack(unit);
    this.#inRecord.push(refused);
  }

  #startStaging(unit: CommitUnit): void {
    // Checkpoint and staging both write map areas: one after the other.
    if (this.#checkpointRuns) {
      this.#awaitsCheckpoint = true;
      return;
    }
    this.#plan.begin(this.#parts.state);
    this.#queue.shift();
    if (!this.#plan.hasRoomFor(unit.change)) {
      this.#refuseForSlots(unit);
      this.#completeUnits(Status.OK, Status.OK);
      this.#kick();
      return;
    }
    this.#setPhase(Phase.STAGING);
    const { state, seed } = this.#parts;
    const staged = stageMaps(state, this.#plan, unit.change);
    this.#runProcedure(writeStagedMaps(state, seed, staged), (status) => this.#onStaged(unit, staged, status));
  }

  /**
   * Procedures flush through the group, so that every failure is seen in one place. I3, I6: any flush that has failed since the
   * procedure began may have taken what the procedure had written by then. The procedure's own flush would not bring that back.
   */
  #runProcedure(procedure: Procedure<number>, done: (status: number) => void): void {
    const { disk, flushes } = this.#parts;
    const { failureCount } = flushes;
    const target: StepTarget = {
      read: (offset, into, tag, sink) => disk.read(offset, into, tag, sink),
      write: (offset, source, tag, sink) => disk.write(offset, source, tag, sink),
      zero: (offset, length, tag, sink) => disk.zero(offset, length, tag, sink),
      punch: (offset, length, tag, sink) => disk.punch(offset, length, tag, sink),
      allocate: (offset, length, tag, sink) => disk.allocate(offset, length, tag, sink),
      flush: (tag, sink) => {
        const onDiskDone = (_tag: number, status: number): void =>
          sink.onDiskDone(tag, status === Status.OK && failureCount !== flushes.failureCount ? Status.EIO : status);
        flushes.request(tag, { onDiskDone }, true);
      },
      submit: () => disk.submit(),
    };
    new ProcedureRun(target, procedure, done);
  }

  #onStaged(unit: CommitUnit, staged: readonly StagedMap[], status: number): void {
    if (status !== Status.OK) {
      this.#setPhase(Phase.IDLE);
      this.#kick();
      unit.done(status);
      return;
    }
    this.#staged = staged;
    this.#writer.begin(RESERVE_BYTES);
    this.#plan.begin(this.#parts.state);
    encodeChange(this.#writer, this.#parts.state, this.#plan, this.#changeOf(unit), staged);
    this.#inRecord.push(unit);
    const offset = this.#parts.ring.placeFor(RECORD_BYTES_MAX);
    assert(offset >= 0, 'engine: staging began with room in the journal');
    this.#beginRecord(offset);
  }

  #beginRecord(offset: number): void {
    this.#setPhase(Phase.WRITING);
    this.#parts.onRecordBegins();
    this.#writeRecord(offset);
  }

  #writeRecord(offset: number): void {
    const { disk, ring, seed, state } = this.#parts;
    const bytes = this.#writer.finish(RecordMagic.JOURNAL, ring.nextSequence, ring.tailSequence, seed);
    // A record that a parser refuses would make the store unusable: that is found out here.
    const { lengthBytes } = this.#writer;
    assert(invalidEntries(bytes, RECORD_HEADER_BYTES, lengthBytes, state.layout) === null, 'engine: what is written can be read');
    this.#recordOffset = offset;
    this.#recordBytes = bytes.length;
    this.recordCount++;
    disk.write(JOURNAL_OFFSET + offset, bytes, TAG_RECORD, this);
    disk.submit();
  }

  #onRecordWritten(status: number): void {
    if (status !== Status.OK) {
      this.#fail(status, 'the journal can not be written');
      return;
    }
    this.#setPhase(this.#phase === Phase.WRITING ? Phase.FLUSHING : Phase.REFLUSHING);
    this.#parts.flushes.request(TAG_RECORD_FLUSH, this, true);
  }

  #onRecordFlushed(status: number): void {
    if (status === Status.OK) {
      this.#apply();
      return;
    }
    if (this.#phase === Phase.REFLUSHING) {
      this.#fail(status, 'the journal can not be flushed');
      return;
    }
    // The kernel may have dropped the record: write it again, with the loss in it.
    this.#setPhase(Phase.REWRITING);
    this.#plan.usage = { ...this.#plan.usage, volatileLost: true };
    this.#writer.useReserve();
    addEntry(this.#writer, USAGE, this.#plan.usage);
    this.#writeRecord(this.#recordOffset);
  }

  #apply(): void {
    const { state, ring } = this.#parts;
    const flushFailed = this.#phase === Phase.REFLUSHING;
    state.applyRecord(this.#writer.bytes, 0, this.#staged ?? []);
    this.#staged = null;
    ring.append(this.#recordOffset, this.#recordBytes);
    this.#setPhase(Phase.IDLE);
    this.#tellApplied();
    if (ring.liveBytes * 2 > ring.journalBytes || ring.placeFor(RECORD_BYTES_MAX) < 0) this.startCheckpoint();
    // A write must not go on as if its leg were whole: the flush that failed may have been for data.
    this.#completeUnits(Status.OK, flushFailed ? Status.EIO : Status.OK);
    this.#kick();
  }

  #tellApplied(): void {
    for (const unit of this.#inRecord) if (unit.kind === UnitKind.COMMIT) this.#parts.onApplied(this.#changeOf(unit));
  }

  /**
   * What the commit changes. I1, W7: a flush that has failed since it was asked for may have taken what a reconciliation vouches
   * for; volatile state counts as lost and the write intent holds its regions until the next one.
   */
  #changeOf({ change, failuresBefore }: CommitUnit): StoreChange {
    if (change.reconciled !== true || failuresBefore === this.#parts.flushes.failureCount) return change;
    return { ...change, reconciled: false };
  }

  #completeUnits(commitStatus: number, prepareStatus: number): void {
    const units = this.#inRecord;
    this.#inRecord = [];
    for (const unit of units) this.#complete(unit, unit.kind === UnitKind.COMMIT ? commitStatus : prepareStatus);
  }

  #complete(unit: WaitUnit, status: number): void {
    if (unit.kind === UnitKind.COMMIT) {
      unit.done(status);
    } else if (unit.kind === UnitKind.REFUSED) {
      unit.sink.onDiskDone(unit.tag, unit.status);
    } else {
      const { tag, sink } = unit;
      this.#units.giveBack(unit);
      sink.onDiskDone(tag, status);
    }
  }

  #onStarvedFlush(status: number): void {
    this.#starvedFlushAsked = false;
    const starved = this.#starved;
    this.#starved = [];
    if (status === Status.OK) this.#queue.unshift(...starved);
    else for (const unit of starved) this.#complete(unit, status);
    this.#kick();
  }

  #onCheckpointDone(status: number, tail: number): void {
    this.#checkpointRuns = false;
    const { log, label, ring } = this.#parts;
    if (status === Status.OK) {
      this.#homeGeneration++;
      this.#homeIndex = 1 - this.#homeIndex;
      ring.releaseBelow(tail);
    } else {
      log.error('a checkpoint failed; it is tried again with the next change', { store: label, status: statusName(status) });
      if (this.#awaitsCheckpoint && this.#phase !== Phase.FAILED && ring.placeFor(RECORD_BYTES_MAX) < 0) this.#refuseQueued(status);
    }
    this.#awaitsCheckpoint = false;
    this.#kick();
  }

  /** Answers everything that has not begun. */
  #refuseQueued(status: number): void {
    const units = this.#queue;
    this.#queue = [];
    this.#leaveIdle = false;
    for (const unit of units) this.#complete(unit, status);
  }

  #fail(status: number, event: string): void {
    const { log, label, flushes } = this.#parts;
    log.error(event, { store: label, status: statusName(status) });
    this.#setPhase(Phase.FAILED);
    this.#parts.onFailed();
    const starved = this.#starved;
    this.#starved = [];
    this.#completeUnits(status, status);
    for (const unit of starved) this.#complete(unit, status);
    this.#refuseQueued(status);
    flushes.answerFailed();
    this.#kick();
  }

  #checkIdle(): void {
    if (this.#idleWaiter === null || this.#checkpointRuns || this.#inRecord.length > 0) return;
    if (this.#queue.length > 0 || this.#starved.length > 0 || this.#leaveIdle || this.#parts.flushes.busy) return;
    if (this.#phase !== Phase.IDLE && this.#phase !== Phase.FAILED) return;
    const done = this.#idleWaiter;
    this.#idleWaiter = null;
    done();
  }
}

const TAG_RECORD = 1;
const TAG_RECORD_FLUSH = 2;
const TAG_STARVED_FLUSH = 3;
const TAG_IDLE_FLUSH = 4;

/** Room kept in every record for saying that a flush failed. */
const RESERVE_BYTES = entryBytes(32);
/** Bytes that the dirty bits of one write take at most: slots and one range. */
const DIRTY_BYTES = entryBytes(16) + entryBytes(16);
/** Bytes below which a record takes no further write. */
const PREPARE_BYTES = DIRTY_BYTES + 2 * entryBytes(4);

/** What the engine works on. */
export interface EngineParts {
  readonly disk: Disk;
  readonly turn: Turn;
  readonly log: Logger;
  readonly label: string;
  readonly seed: number;
  readonly state: StoreState;
  readonly ring: JournalRing;
  readonly flushes: FlushGroup;
  readonly homeGeneration: number;
  readonly homeIndex: number;
  /** A record begins to be written: the age rises when it is durable. */
  readonly onRecordBegins: () => void;
  /** A change has been applied. */
  readonly onApplied: (change: StoreChange) => void;
  /** The journal can't be written any more: the engine has failed. */
  readonly onFailed: () => void;
}
