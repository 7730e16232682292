import { TICK_INTERVAL_MS } from '@rmr/runtime';
import {
  HELD_UP_BUCKETS,
  HELD_UP_MIN_PART,
  HELD_UP_PART,
  HELD_UP_SINCE_PART,
  HELD_UP_STALLS_MIN,
  MEMBERS_MAX,
  PROBATION_STALL_MS,
  SLOW_LEG_MS_MIN,
  STALL_MS,
} from '../../../constants.ts';
import { MessageType } from '../../../wire/io-message.ts';
import { type IoRequest, isLegWide } from '../io/io-request.ts';
import type { IoUnits } from '../io/io-units.ts';

/**
 * How long each leg holds up IO that others have answered (L7). A leg holds up IO at a moment if at least half of the requests in flight
 * wait for it, and other legs have answered these, or would have. The class looks at the requests in flight with every tick, so it costs
 * nothing per IO. Averages of answer times would not do: a leg that stops for seconds and then answers all at once is fast on average.
 *
 * No leg is judged by what all legs do. Where the network of this client stalls, no leg has answered. And a leg leaves only if it holds
 * up IO for longer than the best of the others.
 */
export class LegHoldUps {
  readonly limits: HoldUpLimits;
  /** The number of answers to IO that each leg has given, including answers that nothing waits for any more. The engine counts them. */
  readonly answers = new Uint32Array(MEMBERS_MAX);
  /** The legs that have come back after they had left for holding up IO, as a mask. They are given little time (`PROBATION_STALL_MS`). */
  probation = 0;
  readonly #bucketMs: number;
  /** Milliseconds of hold-up per leg and bucket, and their sums per leg. A bucket is a part of `limits.slowForMs`. */
  readonly #heldMs = new Int32Array(MEMBERS_MAX * HELD_UP_BUCKETS);
  readonly #heldSumMs = new Int32Array(MEMBERS_MAX);
  readonly #stalls = new Int32Array(MEMBERS_MAX * HELD_UP_BUCKETS);
  readonly #stallSum = new Int32Array(MEMBERS_MAX);
  /** Milliseconds per bucket in which IO was in flight. */
  readonly #busyMs = new Int32Array(HELD_UP_BUCKETS);
  #busySumMs = 0;
  /** The number of the present bucket, counted from the start of the clock. */
  #bucket = 0;
  #lookedAtMs = Number.NaN;
  /**
   * Per leg: the answers to requests that are no IO; the counts of both kinds at the last look; when the leg had last answered IO, and
   * when it had last answered anything.
   */
  readonly #others = new Uint32Array(MEMBERS_MAX);
  readonly #counted = new Uint32Array(MEMBERS_MAX);
  readonly #othersCounted = new Uint32Array(MEMBERS_MAX);
  readonly #answeredAtMs = new Float64Array(MEMBERS_MAX);
  readonly #heardAtMs = new Float64Array(MEMBERS_MAX);
  /** Per leg: the requests that it holds up at this moment. The fields after it are masks of legs. */
  readonly #held = new Int32Array(MEMBERS_MAX);
  #silent = 0;
  #wasHolding = 0;
  #members = 0;

  constructor(limits: HoldUpLimits) {
    this.limits = limits;
    this.#bucketMs = Math.max(TICK_INTERVAL_MS, Math.ceil(limits.slowForMs / HELD_UP_BUCKETS));
  }

  /** A leg has answered a request that is no IO. */
  heard(legIndex: number): void {
    this.#others[legIndex] = (this.#others[legIndex] as number) + 1;
  }

  /** For how many milliseconds of the last `limits.slowForMs` the leg held up IO. */
  heldUpMs(legIndex: number): number {
    return this.#heldSumMs[legIndex] as number;
  }

  /**
   * Looks at the requests in flight. Returns the leg of `mask` that must leave, as a mask: the one that held up IO for longest. 0 if
   * none must.
   */
  look(nowMs: number, units: IoUnits, mask: number, excuse: Excuse): number {
    const sinceMs = Math.round(nowMs - this.#lookedAtMs);
    this.#lookedAtMs = nowMs;
    this.#goOnTo(Math.floor(nowMs / this.#bucketMs));
    if (mask !== this.#members) this.#changed(mask, nowMs);
    // The first look counts as late, too.
    const isLate = !(sinceMs <= LATE_TICK_MS);
    this.#listen(nowMs, isLate);
    if (isLate || (mask & (mask - 1)) === 0) return 0;
    const inFlight = this.#count(nowMs, units, mask, excuse);
    if (inFlight === 0) {
      this.#wasHolding = 0;
      return 0;
    }
    const at = this.#bucket % HELD_UP_BUCKETS;
    this.#busyMs[at] = (this.#busyMs[at] as number) + sinceMs;
    this.#busySumMs += sinceMs;
    let worst = -1;
    for (let index = 0; index < MEMBERS_MAX; index++) {
      const bit = 1 << index;
      if ((mask & bit) === 0 || 2 * (this.#held[index] as number) < inFlight) {
        this.#wasHolding &= ~bit;
        continue;
      }
      this.#note(index, sinceMs, nowMs);
      const isWorst = worst < 0 || (this.#heldSumMs[index] as number) > (this.#heldSumMs[worst] as number);
      if (isWorst && this.limits.slowFactor !== null && this.#isTooSlow(index, mask, nowMs)) worst = index;
    }
    return worst < 0 ? 0 : 1 << worst;
  }

  /** Counts what each leg holds up at this moment. Returns how many requests are in flight. */
  #count(nowMs: number, units: IoUnits, mask: number, excuse: Excuse): number {
    this.#held.fill(0);
    this.#silent = 0;
    let inFlight = 0;
    for (let unit = 0; unit < units.unitCount; unit++) {
      const request = units.requests[unit] as IoRequest | null;
      const pending = (units.pending[unit] as number) & mask;
      if (request === null || pending === 0) continue;
      inFlight++;
      for (let rest = pending; rest !== 0; rest &= rest - 1) {
        const index = 31 - Math.clz32(rest & -rest);
        const isSilent = this.#isSilent(index, nowMs, units, unit, request, pending, mask);
        if (!isSilent && !this.#isLate(nowMs, units, unit, request, pending, mask)) continue;
        if (excuse(index, request.offsetBytes, request.lengthBytes, isSilent)) continue;
        this.#held[index] = (this.#held[index] as number) + 1;
        if (isSilent) this.#silent |= 1 << index;
      }
    }
    return inFlight;
  }

  /** Whether the leg has answered no IO for a while, although others have answered this request, or would have. */
  #isSilent(index: number, nowMs: number, units: IoUnits, unit: number, request: IoRequest, pending: number, mask: number): boolean {
    const limitMs = (this.probation & (1 << index)) !== 0 ? PROBATION_STALL_MS : STALL_MS;
    const sentAtMs = units.sentAtMs[unit] as number;
    if (nowMs - (this.#answeredAtMs[index] as number) < limitMs || nowMs - sentAtMs < limitMs) return false;
    // A flush takes as long as the disk takes.
    if (request.type === MessageType.FLUSH) return false;
    if (isLegWide(request)) return (mask & ~pending) !== 0 && nowMs - sentAtMs >= (units.peersMs[unit] as number) + limitMs;
    for (let rest = mask & ~pending; rest !== 0; rest &= rest - 1)
      if ((this.#heardAtMs[31 - Math.clz32(rest & -rest)] as number) > sentAtMs) return true;
    return false;
  }

  /**
   * Whether a write or flush takes this leg far longer than it took the others. Where several legs take longer, the limit is higher, as
   * the request does not wait for one of them alone.
   */
  #isLate(nowMs: number, units: IoUnits, unit: number, request: IoRequest, pending: number, mask: number): boolean {
    const { slowFactor } = this.limits;
    if (slowFactor === null || !isLegWide(request) || (mask & ~pending) === 0) return false;
    const minMs = (pending & (pending - 1)) === 0 ? SLOW_LEG_MS_MIN : STALL_MS;
    return nowMs - (units.sentAtMs[unit] as number) > Math.max(minMs, (units.peersMs[unit] as number) * slowFactor);
  }

  #note(index: number, sinceMs: number, nowMs: number): void {
    const at = index * HELD_UP_BUCKETS + (this.#bucket % HELD_UP_BUCKETS);
    this.#heldMs[at] = (this.#heldMs[at] as number) + sinceMs;
    this.#heldSumMs[index] = (this.#heldSumMs[index] as number) + sinceMs;
    // A leg that answers now and then has a new stall after each answer, even if every look finds something that it holds up.
    if ((this.#wasHolding & (1 << index)) === 0 || this.#answeredAtMs[index] === nowMs) {
      this.#stalls[at] = (this.#stalls[at] as number) + 1;
      this.#stallSum[index] = (this.#stallSum[index] as number) + 1;
    }
    this.#wasHolding |= 1 << index;
  }

  #isTooSlow(index: number, mask: number, nowMs: number): boolean {
    if ((this.#silent & this.probation & (1 << index)) !== 0) return true;
    const { slowForMs } = this.limits;
    if ((this.#stallSum[index] as number) < HELD_UP_STALLS_MIN) return false;
    let leastMs = Number.POSITIVE_INFINITY;
    for (let other = 0; other < MEMBERS_MAX; other++)
      if (other !== index && (mask & (1 << other)) !== 0) leastMs = Math.min(leastMs, this.#heldSumMs[other] as number);
    const moreMs = (this.#heldSumMs[index] as number) - leastMs;
    if (moreMs * HELD_UP_MIN_PART < slowForMs || moreMs * HELD_UP_PART < this.#busySumMs) return false;
    return nowMs - this.#heldSinceMs(index) >= slowForMs / HELD_UP_SINCE_PART;
  }

  /** When the leg first held up IO within `limits.slowForMs`, in clock milliseconds. Infinity if it did not. */
  #heldSinceMs(index: number): number {
    for (let bucket = Math.max(0, this.#bucket - HELD_UP_BUCKETS + 1); bucket <= this.#bucket; bucket++)
      if ((this.#heldMs[index * HELD_UP_BUCKETS + (bucket % HELD_UP_BUCKETS)] as number) > 0) return bucket * this.#bucketMs;
    return Number.POSITIVE_INFINITY;
  }

  /**
   * Notes which legs have answered since the last look. `late`: this process did not run for a while, so it does not know yet which legs
   * have answered meanwhile.
   */
  #listen(nowMs: number, late: boolean): void {
    for (let index = 0; index < MEMBERS_MAX; index++) {
      const hasAnswered = this.answers[index] !== this.#counted[index];
      if (hasAnswered || this.#others[index] !== this.#othersCounted[index]) this.#heardAtMs[index] = nowMs;
      if (hasAnswered || late) this.#answeredAtMs[index] = nowMs;
      this.#counted[index] = this.answers[index] as number;
      this.#othersCounted[index] = this.#others[index] as number;
    }
  }

  /** The set of legs has changed. What legs that have left or come held up before does not count any more. */
  #changed(mask: number, nowMs: number): void {
    for (let index = 0; index < MEMBERS_MAX; index++) {
      const bit = 1 << index;
      if ((mask & bit) === (this.#members & bit)) continue;
      for (let at = index * HELD_UP_BUCKETS; at < (index + 1) * HELD_UP_BUCKETS; at++) {
        this.#heldMs[at] = 0;
        this.#stalls[at] = 0;
      }
      this.#heldSumMs[index] = 0;
      this.#stallSum[index] = 0;
      this.#wasHolding &= ~bit;
      this.#answeredAtMs[index] = nowMs;
    }
    this.#members = mask;
  }

  /** Time goes on to this bucket. What is longer ago than `limits.slowForMs` does not count any more. */
  #goOnTo(bucket: number): void {
    const steps = Math.min(bucket - this.#bucket, HELD_UP_BUCKETS);
    for (let step = 1; step <= steps; step++) {
      const at = (this.#bucket + step) % HELD_UP_BUCKETS;
      this.#busySumMs -= this.#busyMs[at] as number;
      this.#busyMs[at] = 0;
      for (let index = 0; index < MEMBERS_MAX; index++) {
        const of = index * HELD_UP_BUCKETS + at;
        this.#heldSumMs[index] = (this.#heldSumMs[index] as number) - (this.#heldMs[of] as number);
        this.#heldMs[of] = 0;
        this.#stallSum[index] = (this.#stallSum[index] as number) - (this.#stalls[of] as number);
        this.#stalls[of] = 0;
      }
    }
    this.#bucket = bucket;
  }
}

/** When a leg counts as too slow for its peers (L7). */
export interface HoldUpLimits {
  /** How many times as long as its peers a leg may take for a write or a flush. Null: any time, and no leg leaves for being slow. */
  readonly slowFactor: number | null;
  /** The time over which hold-ups are counted, in milliseconds. */
  readonly slowForMs: number;
}

/** Whether a leg may take long for this range, as it has to pull a part of it first. `isSilent`: the leg answers nothing at all. */
export type Excuse = (legIndex: number, offsetBytes: number, lengthBytes: number, isSilent: boolean) => boolean;

/** A tick that comes later than this shows that this process did not run. Answers may lie unread then, so no leg is judged by that tick. */
const LATE_TICK_MS = 3 * TICK_INTERVAL_MS;
