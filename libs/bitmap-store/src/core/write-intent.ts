import { assert } from '@rmr/runtime';
import { INTENT_ACTIVE_MAX } from '../constants.ts';
import { INTENT_ENTER, INTENT_LEAVE, INTENT_OVERFLOW } from '../format/entries.ts';
import { addEntry } from '../format/entry.ts';
import { entryBytes, type RecordWriter } from '../format/record.ts';
import type { ByteRange } from '../types.ts';

/**
 * The write intent: regions that may differ between members after a power loss. A region is entered durably before
 * the first byte of data goes into it (◆4) and leaves only when its newest write is resolved on all legs *and* a local
 * flush began after that (W7, ◆7). Both are one comparison: `newest <= flushedThrough`, where `flushedThrough` is
 * what `completedThrough` was when the latest successful flush began.
 *
 * Regions leave when their place is needed or when no write came for a while, not with every flush: leaving costs a
 * second commit on return, and the set is bounded anyway.
 */
export class WriteIntent {
  readonly regionBytes: number;
  readonly regionCount: number;
  readonly #sizeBytes: number;
  /** Per region: place + 1, or 0. */
  readonly #placeOf: Uint16Array;
  readonly #regionAt = new Uint32Array(INTENT_ACTIVE_MAX + 1);
  readonly #state = new Uint8Array(INTENT_ACTIVE_MAX + 1);
  readonly #hold = new Uint8Array(INTENT_ACTIVE_MAX + 1);
  /** Newest write sequence number in the region. */
  readonly #newest = new Float64Array(INTENT_ACTIVE_MAX + 1);
  /** Idle period in which the region was last written. */
  readonly #period = new Uint32Array(INTENT_ACTIVE_MAX + 1);
  /** Places that were used and are free again; those from `#unused` on were never used. */
  readonly #free: number[] = [];
  #unused = 0;
  #hand = 0;
  #currentPeriod = 0;
  #completedThrough = 0;
  #flushedThrough = 0;
  #completedAtFlushBegin = 0;
  /** True when a whole round of the hand found nothing that may leave, and nothing has changed since. */
  #exhausted = false;
  /** True while a place may be in {@link Hold.FLUSH} or {@link Hold.FLUSHING}. */
  #awaitingFlush = false;

  constructor(sizeBytes: number, regionBytes: number) {
    this.#sizeBytes = sizeBytes;
    this.regionBytes = regionBytes;
    this.regionCount = Math.ceil(sizeBytes / regionBytes);
    this.#placeOf = new Uint16Array(this.regionCount);
  }

  /** Regions in the set, entering ones included. */
  get activeCount(): number {
    return this.#unused - this.#free.length;
  }

  /** True while every region counts as entered. */
  get overflowed(): boolean {
    return this.#state[OVERFLOW] !== PlaceState.FREE;
  }

  /** Whether regions are held until a reconciliation lets go of them. */
  get awaitsReconciliation(): boolean {
    return this.#state.some((state, place) => state !== PlaceState.FREE && this.#hold[place] === Hold.RECONCILE);
  }

  /** Every write up to this sequence number is resolved on all legs (W7). */
  get completedThrough(): number {
    return this.#completedThrough;
  }

  /** Every write up to this sequence number is resolved on all legs. */
  setCompletedThrough(writeSeq: number): void {
    if (writeSeq > this.#completedThrough) this.#completedThrough = writeSeq;
  }

  /**
   * A write is about to touch these regions. True when all of them are durably in the set. From here on none of them
   * leaves before the write is resolved.
   */
  touch(first: number, last: number, writeSeq: number): boolean {
    let ready = true;
    for (let region = first; region <= last; region++) {
      const place = (this.#placeOf[region] as number) - 1;
      if (place < 0) {
        ready = false;
        continue;
      }
      if (writeSeq > (this.#newest[place] as number)) this.#newest[place] = writeSeq;
      this.#period[place] = this.#currentPeriod;
      if (this.#state[place] !== PlaceState.ACTIVE) ready = false;
    }
    // While there are places, regions enter one by one, so that the overflow mark can leave.
    if (ready || !this.#exhausted || this.#state[OVERFLOW] !== PlaceState.ACTIVE) return ready;
    // Every region counts as entered: the write may go on, and holds the overflow mark until it is resolved.
    if (writeSeq > (this.#newest[OVERFLOW] as number)) this.#newest[OVERFLOW] = writeSeq;
    this.#period[OVERFLOW] = this.#currentPeriod;
    return true;
  }

  /**
   * Adds what the write needs to a record: regions enter, and others leave where places are short. SET_FULL when
   * there is no place and `overflow` is not allowed: try again after a flush, then with `overflow`.
   */
  enter(writer: RecordWriter, first: number, last: number, writeSeq: number, overflow: boolean): EnterResult {
    if (overflow) return this.#enterOverflow(writer, writeSeq);
    for (let region = first; region <= last; region++) {
      const known = (this.#placeOf[region] as number) - 1;
      if (known >= 0) {
        // W7: it may have entered for another write since this one touched it, and would leave when that one is resolved.
        if (writeSeq > (this.#newest[known] as number)) this.#newest[known] = writeSeq;
        continue;
      }
      if (writer.bytesLeft < 2 * entryBytes(4)) return EnterResult.RECORD_FULL;
      let place = this.#takeFree();
      if (place < 0) {
        place = this.#evict();
        if (place < 0) return EnterResult.SET_FULL;
        addEntry(writer, INTENT_LEAVE, [this.#regionAt[place] as number]);
        this.#placeOf[this.#regionAt[place] as number] = 0;
      }
      addEntry(writer, INTENT_ENTER, [region]);
      this.#place(place, region, PlaceState.ENTERING, Hold.NONE);
      this.#newest[place] = writeSeq;
    }
    return EnterResult.DONE;
  }

  #enterOverflow(writer: RecordWriter, writeSeq: number): EnterResult {
    if (this.#state[OVERFLOW] === PlaceState.FREE) {
      if (writer.bytesLeft < entryBytes(4)) return EnterResult.RECORD_FULL;
      addEntry(writer, INTENT_OVERFLOW, true);
      this.#state[OVERFLOW] = PlaceState.ENTERING;
      this.#hold[OVERFLOW] = Hold.NONE;
      this.#newest[OVERFLOW] = 0;
    }
    this.#newest[OVERFLOW] = Math.max(this.#newest[OVERFLOW] as number, writeSeq);
    this.#period[OVERFLOW] = this.#currentPeriod;
    return EnterResult.DONE;
  }

  /** Whether a flush that begins now would let something leave. */
  get flushHelps(): boolean {
    return this.#completedThrough > this.#flushedThrough || this.#awaitingFlush;
  }

  /** A local flush begins. */
  flushBegins(): void {
    this.#completedAtFlushBegin = this.#completedThrough;
    if (this.#awaitingFlush) this.#changeHolds(Hold.FLUSH, Hold.FLUSHING);
  }

  /** It has ended. */
  flushEnds(succeeded: boolean): void {
    if (!succeeded) {
      // I1: what it was to make durable may be gone, and the next flush, which may succeed, would vouch for it.
      this.#holdUsed();
      this.#awaitingFlush = false;
      return;
    }
    if (this.#awaitingFlush) {
      this.#changeHolds(Hold.FLUSHING, Hold.NONE);
      this.#awaitingFlush = this.#hold.includes(Hold.FLUSH);
    }
    this.#flushedThrough = Math.max(this.#flushedThrough, this.#completedAtFlushBegin);
    this.#exhausted = false;
  }

  /** A new client epoch: sequence numbers may start over, and only reconciliation lets go of what is in the set. */
  holdAll(): void {
    this.#holdUsed();
    this.#newest.fill(0);
    this.#completedThrough = 0;
    this.#flushedThrough = 0;
    this.#completedAtFlushBegin = 0;
  }

  /** Reconciliation is durable: what was held may leave after the next flush. */
  release(): void {
    this.#changeHolds(Hold.RECONCILE, Hold.FLUSH);
    this.#awaitingFlush = true;
    this.#exhausted = false;
  }

  /** A new idle period begins. */
  nextPeriod(): void {
    this.#currentPeriod++;
  }

  /** Whether something may leave because no write came for a period. */
  get idleCanLeave(): boolean {
    for (let place = 0; place <= OVERFLOW; place++) if (this.#isIdle(place)) return true;
    return false;
  }

  /** Whether a flush would make something idle leave. */
  get idleNeedsFlush(): boolean {
    for (let place = 0; place <= OVERFLOW; place++) {
      if (this.#state[place] !== PlaceState.ACTIVE || this.#currentPeriod - (this.#period[place] as number) < 2) continue;
      const hold = this.#hold[place];
      const newest = this.#newest[place] as number;
      if (hold === Hold.FLUSH && newest <= this.#completedThrough) return true;
      if (hold === Hold.NONE && newest <= this.#completedThrough && newest > this.#flushedThrough) return true;
    }
    return false;
  }

  /** Lets idle regions leave with this record, as many as fit. */
  leaveIdle(writer: RecordWriter): void {
    const room = writer.bytesLeft - 2 * entryBytes(4);
    if (room <= 0) return;
    if (this.#isIdle(OVERFLOW)) {
      addEntry(writer, INTENT_OVERFLOW, false);
      this.#state[OVERFLOW] = PlaceState.FREE;
    }
    const leaving: number[] = [];
    for (let place = 0; place < OVERFLOW && (leaving.length + 1) * 4 < room; place++) {
      if (!this.#isIdle(place)) continue;
      leaving.push(this.#regionAt[place] as number);
      this.#vacate(place);
    }
    if (leaving.length > 0) addEntry(writer, INTENT_LEAVE, leaving);
  }

  /** An ENTER entry is durable, or is read from the disk. */
  applyEnter(region: number): void {
    const place = (this.#placeOf[region] as number) - 1;
    if (place >= 0) {
      this.#state[place] = PlaceState.ACTIVE;
      return;
    }
    const free = this.#takeFree();
    if (free < 0) this.applyOverflow(true);
    else this.#place(free, region, PlaceState.ACTIVE, Hold.RECONCILE);
  }

  /** A LEAVE entry is durable, or is read from the disk. */
  applyLeave(region: number): void {
    const place = (this.#placeOf[region] as number) - 1;
    // In memory it left when the record was built, and may have entered again by the same record.
    if (place >= 0 && this.#state[place] === PlaceState.ACTIVE) this.#vacate(place);
  }

  /** An OVERFLOW entry is durable, or is read from the disk. */
  applyOverflow(overflow: boolean): void {
    if (!overflow) {
      if (this.#state[OVERFLOW] === PlaceState.ACTIVE) this.#state[OVERFLOW] = PlaceState.FREE;
      return;
    }
    if (this.#state[OVERFLOW] === PlaceState.FREE) {
      this.#hold[OVERFLOW] = Hold.RECONCILE;
      this.#newest[OVERFLOW] = 0;
      this.#period[OVERFLOW] = this.#currentPeriod;
    }
    this.#state[OVERFLOW] = PlaceState.ACTIVE;
  }

  /** The regions that are durably in the set, in no order. */
  activeRegions(): Uint32Array {
    const regions = new Uint32Array(INTENT_ACTIVE_MAX);
    let count = 0;
    for (let place = 0; place < OVERFLOW; place++) {
      if (this.#state[place] === PlaceState.ACTIVE) regions[count++] = this.#regionAt[place] as number;
    }
    return regions.subarray(0, count);
  }

  /** Whether the overflow mark is durably set. */
  get overflowActive(): boolean {
    return this.#state[OVERFLOW] === PlaceState.ACTIVE;
  }

  /** The byte ranges that may differ after a power loss, in order, neighbours merged. */
  ranges(): readonly ByteRange[] {
    if (this.overflowed) return [{ offsetBytes: 0, lengthBytes: this.#sizeBytes }];
    const ranges: { offsetBytes: number; lengthBytes: number }[] = [];
    const regions: number[] = [];
    for (let place = 0; place < OVERFLOW; place++) {
      if (this.#state[place] !== PlaceState.FREE) regions.push(this.#regionAt[place] as number);
    }
    for (const region of regions.sort((a, b) => a - b)) {
      const offsetBytes = region * this.regionBytes;
      const lengthBytes = Math.min(this.regionBytes, this.#sizeBytes - offsetBytes);
      const last = ranges.at(-1);
      if (last !== undefined && last.offsetBytes + last.lengthBytes === offsetBytes) last.lengthBytes += lengthBytes;
      else ranges.push({ offsetBytes, lengthBytes });
    }
    return ranges;
  }

  /** Rechecks the invariants: places and regions refer to each other, the free list is complete. */
  verify(): void {
    let used = 0;
    for (let place = 0; place < OVERFLOW; place++) {
      if (this.#state[place] === PlaceState.FREE) continue;
      used++;
      const region = this.#regionAt[place] as number;
      assert(region < this.regionCount, 'write intent: region in range');
      assert(this.#placeOf[region] === place + 1, 'write intent: region and place refer to each other');
    }
    assert(used === this.activeCount, 'write intent: every place is free or used');
    let referred = 0;
    for (let region = 0; region < this.regionCount; region++) if (this.#placeOf[region] !== 0) referred++;
    assert(referred === used, 'write intent: no region refers to a free place');
    for (const place of this.#free) assert(this.#state[place] === PlaceState.FREE, 'write intent: the free list has free places only');
    assert(this.#flushedThrough <= this.#completedThrough, 'write intent: a flush covers resolved writes only');
  }

  /** A free place, or -1. */
  #takeFree(): number {
    return this.#free.pop() ?? (this.#unused < INTENT_ACTIVE_MAX ? this.#unused++ : -1);
  }

  #place(place: number, region: number, state: number, hold: number): void {
    this.#regionAt[place] = region;
    this.#placeOf[region] = place + 1;
    this.#state[place] = state;
    this.#hold[place] = hold;
    this.#newest[place] = 0;
    this.#period[place] = this.#currentPeriod;
  }

  #vacate(place: number): void {
    this.#hold[place] = Hold.NONE;
    this.#placeOf[this.#regionAt[place] as number] = 0;
    this.#state[place] = PlaceState.FREE;
    this.#free.push(place);
    this.#exhausted = false;
  }

  /** W7. */
  #mayLeave(place: number): boolean {
    return (
      this.#state[place] === PlaceState.ACTIVE && this.#hold[place] === Hold.NONE && (this.#newest[place] as number) <= this.#flushedThrough
    );
  }

  #isIdle(place: number): boolean {
    return this.#currentPeriod - (this.#period[place] as number) >= 2 && this.#mayLeave(place);
  }

  /** A place whose region may leave, going round; -1 when there is none. */
  #evict(): number {
    if (this.#exhausted) return -1;
    for (let step = 0; step < INTENT_ACTIVE_MAX; step++) {
      const place = this.#hand;
      this.#hand = (this.#hand + 1) % INTENT_ACTIVE_MAX;
      if (this.#mayLeave(place)) return place;
    }
    this.#exhausted = true;
    return -1;
  }

  /** Only a reconciliation lets go of what is in the set. */
  #holdUsed(): void {
    for (let place = 0; place <= OVERFLOW; place++) if (this.#state[place] !== PlaceState.FREE) this.#hold[place] = Hold.RECONCILE;
  }

  #changeHolds(from: number, to: number): void {
    for (let place = 0; place <= OVERFLOW; place++) if (this.#hold[place] === from) this.#hold[place] = to;
  }
}

/** Life of a place in the set. FREE → ENTERING → ACTIVE → FREE. */
const PlaceState = { FREE: 0, ENTERING: 1, ACTIVE: 2 } as const;

/** Why a region may not leave although its newest write is resolved. */
const Hold = {
  NONE: 0,
  /** It was entered under an earlier process or client epoch, or before a flush that failed: only reconciliation lets go of it. */
  RECONCILE: 1,
  /** Reconciled; data of earlier writes may still be unflushed: the next flush lets go of it. */
  FLUSH: 2,
  /** That flush is running. */
  FLUSHING: 3,
} as const;

/** The place that stands for "every region", used when the set is full and nothing can leave. */
const OVERFLOW = INTENT_ACTIVE_MAX;

/** What {@link WriteIntent.enter} did. */
export const EnterResult = { DONE: 0, RECORD_FULL: 1, SET_FULL: 2 } as const;
export type EnterResult = (typeof EnterResult)[keyof typeof EnterResult];
