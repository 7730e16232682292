import { assert, Status } from '@rmr/runtime';
import { type IoRequest, isLegWide } from './io-request.ts';

/**
 * The IO units of a pool (W1, I12). Each holds one request in flight, and knows which legs have been asked and what they have answered.
 * The fields are arrays by unit, as they are looked at with every message.
 *
 * A unit has a generation. It tells the answers to what the unit holds now from the answers to what it held or sent before.
 */
export class IoUnits {
  readonly unitCount: number;
  readonly requests: (IoRequest | null)[];
  /** Masks of legs: those that have not answered, those that have carried the request out, and those that have failed it. */
  readonly pending: Uint8Array;
  readonly ok: Uint8Array;
  readonly failed: Uint8Array;
  /** The legs that have carried the request out except for chunks that are dirty for them (W10). */
  readonly passed: Uint8Array;
  /** The legs that have failed it for lack of space, and have changed nothing (W8). They are among `failed`. */
  readonly full: Uint8Array;
  /**
   * The last error. Other errors go before ENOSPC, and ENOSPC before ELOST: a leg that answers one of these two has carried out nothing.
   */
  readonly statuses: Int32Array;
  /** 1: a leg that has left may have carried it out. The value stays when the request is sent again. */
  readonly touched: Uint8Array;
  /** When the request was sent, in clock milliseconds. */
  readonly sentAtMs: Float64Array;
  /** How long the slowest leg took that has answered a write or flush, in milliseconds. 0 if none has. */
  readonly peersMs: Float64Array;
  /**
   * The round in which a write or flush that is to be sent again is not sent yet. 0: it is not to be sent again. It keeps its unit, so
   * that `lastIo` keeps naming its range.
   */
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
    this.passed = new Uint8Array(unitCount);
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

  /** The number of writes and flushes that a leg has not answered yet. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /** The number of units whose requests are to be sent again. */
  get againCount(): number {
    return this.#againCount;
  }

  /** Takes a unit for the request. There must be a free one. */
  take(request: IoRequest, nowMs: number): number {
    const unit = this.#free[--this.#freeCount] as number;
    this.requests[unit] = request;
    this.touched[unit] = 0;
    this.#begin(unit, nowMs);
    return unit;
  }

  /** Frees the unit. Answers to what it held do not count any more. */
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

  /** The tag that comes back with a leg's answer: the unit, its generation, and the index of the leg. */
  tag(unit: number, legIndex: number): number {
    return ((this.#generations[unit] as number) << (LEG_BITS + UNIT_BITS)) | (unit << LEG_BITS) | legIndex;
  }

  /** Notes an answer. Returns the unit that it is for, or -1 if nothing waits for it any more. */
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

  /** A leg has failed the unit's request. */
  noteFailed(unit: number, bit: number, status: number): void {
    if (this.failed[unit] === 0 || weightOf(status) >= weightOf(this.statuses[unit] as number)) this.statuses[unit] = status;
    this.failed[unit] = (this.failed[unit] as number) | bit;
    if (status === Status.ENOSPC) this.full[unit] = (this.full[unit] as number) | bit;
  }

  /** These legs have left. Their answers to a write or flush, past and future, do not count any more (L1). */
  legsLeft(unit: number, mask: number): void {
    const pending = this.pending[unit] as number;
    if (((pending | this.applied(unit)) & mask) !== 0) this.touched[unit] = 1;
    if (pending !== 0 && (pending & ~mask) === 0) this.#unanswered--;
    this.pending[unit] = pending & ~mask;
    this.ok[unit] = (this.ok[unit] as number) & ~mask;
    this.failed[unit] = (this.failed[unit] as number) & ~mask;
    this.passed[unit] = (this.passed[unit] as number) & ~mask;
    this.full[unit] = (this.full[unit] as number) & ~mask;
  }

  /** The legs that have answered a write and may have carried out some of it. */
  applied(unit: number): number {
    const failed = (this.failed[unit] as number) & ~(this.full[unit] as number);
    return (this.ok[unit] as number) | failed | (this.passed[unit] as number);
  }

  /** The write or flush is to be sent again in its unit, in any round except this one. */
  sendAgain(unit: number, butNotInRound: number): void {
    if (this.again[unit] === 0) this.#againCount++;
    this.again[unit] = butNotInRound;
  }

  /** The request that was to be sent again begins anew. */
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
    this.passed[unit] = 0;
    this.full[unit] = 0;
    this.statuses[unit] = Status.OK;
    this.sentAtMs[unit] = nowMs;
    this.peersMs[unit] = 0;
  }

  #nextGeneration(unit: number): void {
    this.#generations[unit] = ((this.#generations[unit] as number) + 1) & GENERATION_MAX;
  }
}

const LEG_BITS = 3;
const UNIT_BITS = 10;
const GENERATION_MAX = 0x1ffff;

/** The index of the leg that has answered with this tag. */
export function legIndexOf(tag: number): number {
  return tag & ((1 << LEG_BITS) - 1);
}

/** How much an error counts beside those of other legs. */
function weightOf(status: number): number {
  if (status === Status.ELOST) return 0;
  return status === Status.ENOSPC ? 1 : 2;
}
