import { assert, Status } from '@rmr/runtime';
import { type IoRequest, isLegWide } from './io-request.ts';

const LEG_BITS = 3;
const UNIT_BITS = 10;
const GENERATION_MAX = 0x1ffff;

/**
 * The IO units of a pool (W1, I12): each holds one request in flight, and knows which legs have been asked and what they
 * have answered. Arrays by unit, as this is looked at with every message.
 *
 * A unit's generation tells the answers to what it holds now from those to what it held, or sent, before.
 */
export class IoUnits {
  readonly unitCount: number;
  readonly requests: (IoRequest | null)[];
  /** Masks of legs: those that have not answered, have carried it out, have failed it. */
  readonly pending: Uint8Array;
  readonly ok: Uint8Array;
  readonly failed: Uint8Array;
  /** Of those that have failed it, the ones that had no space for it, and have changed nothing (W8). */
  readonly full: Uint8Array;
  /** The last error; ENOSPC, and then ELOST, only where there was no other, as who answers that has carried out nothing. */
  readonly statuses: Int32Array;
  /** 1: a leg that has left may have carried it out. That stays so when it is sent again. */
  readonly touched: Uint8Array;
  /** Clock milliseconds. */
  readonly sentAtMs: Float64Array;
  /** How long the slowest leg took that has answered a write or flush, in milliseconds; 0: none has. */
  readonly peersMs: Float64Array;
  /** A write or flush that is to be sent again is not sent in this round; 0: it is not to be sent again. It keeps its unit, as `lastIo` keeps naming its range meanwhile. */
  readonly again: Float64Array;
  readonly #generations: Uint32Array;
  readonly #free: Uint16Array;
  #freeCount: number;
  #againCount = 0;
  #unanswered = 0;

  constructor(unitCount: number) {
    this.unitCount = unitCount;
    this.requests = new Array(unitCount).fill(null);
    this.pending = new Uint8Array(unitCount);
    this.ok = new Uint8Array(unitCount);
    this.failed = new Uint8Array(unitCount);
    this.full = new Uint8Array(unitCount);
    this.statuses = new Int32Array(unitCount);
    this.touched = new Uint8Array(unitCount);
    this.sentAtMs = new Float64Array(unitCount);
    this.peersMs = new Float64Array(unitCount);
    this.again = new Float64Array(unitCount);
    this.#generations = new Uint32Array(unitCount);
    this.#free = new Uint16Array(unitCount);
    for (let i = 0; i < unitCount; i++) this.#free[i] = unitCount - 1 - i;
    this.#freeCount = unitCount;
  }

  get freeCount(): number {
    return this.#freeCount;
  }

  /** Writes and flushes that a leg has not answered yet. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /** Units that are to be sent again. */
  get againCount(): number {
    return this.#againCount;
  }

  /** A unit for the request; there must be a free one. */
  take(request: IoRequest, nowMs: number): number {
    const unit = this.#free[--this.#freeCount] as number;
    this.requests[unit] = request;
    this.touched[unit] = 0;
    this.#begin(unit, nowMs);
    return unit;
  }

  /** The unit is free again; answers to what it held count for nothing any more. */
  release(unit: number): void {
    if (this.pending[unit] !== 0 && isLegWide(this.requests[unit] as IoRequest)) this.#unanswered--;
    if (this.again[unit] !== 0) {
      this.again[unit] = 0;
      this.#againCount--;
    }
    this.requests[unit] = null;
    this.pending[unit] = 0;
    this.#nextGeneration(unit);
    this.#free[this.#freeCount++] = unit;
  }

  /** A read has been sent to this leg. */
  sentToOne(unit: number, bit: number): void {
    this.pending[unit] = bit;
  }

  /** A write or flush has been sent to these legs. */
  sentToAll(unit: number, mask: number): void {
    this.pending[unit] = mask;
    this.#unanswered++;
  }

  /** What a leg sends with its answer: which unit, of which generation, and its own index. */
  tag(unit: number, legIndex: number): number {
    return ((this.#generations[unit] as number) << (LEG_BITS + UNIT_BITS)) | (unit << LEG_BITS) | legIndex;
  }

  /** The unit that an answer is for; -1: nobody waits for it any more. The leg does not owe it an answer from now on. */
  answered(tag: number): number {
    const unit = (tag >>> LEG_BITS) & ((1 << UNIT_BITS) - 1);
    const bit = 1 << legIndexOf(tag);
    const request = this.requests[unit] as IoRequest | null;
    if (request === null || tag >>> (LEG_BITS + UNIT_BITS) !== this.#generations[unit]) return -1;
    const pending = this.pending[unit] as number;
    if ((pending & bit) === 0) return -1;
    this.pending[unit] = pending & ~bit;
    if (pending === bit && isLegWide(request)) this.#unanswered--;
    return unit;
  }

  /** A leg has failed it. */
  noteFailed(unit: number, bit: number, status: number): void {
    if (this.failed[unit] === 0 || weightOf(status) >= weightOf(this.statuses[unit] as number)) this.statuses[unit] = status;
    this.failed[unit] = (this.failed[unit] as number) | bit;
    if (status === Status.ENOSPC) this.full[unit] = (this.full[unit] as number) | bit;
  }

  /** Nothing that these legs have said, or may say, of a write or flush counts any more (L1). */
  legsLeft(unit: number, mask: number): void {
    const pending = this.pending[unit] as number;
    if (((pending | (this.ok[unit] as number) | (this.failed[unit] as number)) & mask) !== 0) this.touched[unit] = 1;
    if (pending !== 0 && (pending & ~mask) === 0) this.#unanswered--;
    this.pending[unit] = pending & ~mask;
    this.ok[unit] = (this.ok[unit] as number) & ~mask;
    this.failed[unit] = (this.failed[unit] as number) & ~mask;
    this.full[unit] = (this.full[unit] as number) & ~mask;
  }

  /** The write or flush is to be sent again, in its unit, in any round but this one. */
  sendAgain(unit: number, butNotInRound: number): void {
    if (this.again[unit] === 0) this.#againCount++;
    this.again[unit] = butNotInRound;
  }

  /** What was to be sent again begins anew. */
  beginAgain(unit: number, nowMs: number): void {
    this.again[unit] = 0;
    this.#againCount--;
    this.#nextGeneration(unit);
    this.#begin(unit, nowMs);
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    let used = 0;
    let unanswered = 0;
    let again = 0;
    for (let unit = 0; unit < this.unitCount; unit++) {
      const request = this.requests[unit] as IoRequest | null;
      if (request === null) continue;
      used++;
      if (isLegWide(request) && this.pending[unit] !== 0) unanswered++;
      if (this.again[unit] !== 0) again++;
    }
    assert(used === this.unitCount - this.#freeCount, 'engine: a unit is lost');
    assert(unanswered === this.#unanswered, 'engine: the count of unanswered writes and flushes is off');
    assert(again === this.#againCount, 'engine: the count of what is to be sent again is off');
  }

  #begin(unit: number, nowMs: number): void {
    this.ok[unit] = 0;
    this.failed[unit] = 0;
    this.full[unit] = 0;
    this.statuses[unit] = Status.OK;
    this.sentAtMs[unit] = nowMs;
    this.peersMs[unit] = 0;
  }

  #nextGeneration(unit: number): void {
    this.#generations[unit] = ((this.#generations[unit] as number) + 1) & GENERATION_MAX;
  }
}

/** The index of the leg that has answered with this tag. */
export function legIndexOf(tag: number): number {
  return tag & ((1 << LEG_BITS) - 1);
}

/** How much an error says beside those of other legs. */
function weightOf(status: number): number {
  if (status === Status.ELOST) return 0;
  return status === Status.ENOSPC ? 1 : 2;
}
