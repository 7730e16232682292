import { MEMBERS_MAX, PACE_MS, SLOW_LEG_MS_MIN } from '../../constants.ts';

/** When a leg counts as too slow for its peers (L7). */
export interface PaceLimits {
  /** How many times as long as its peers a leg may take; null: as it likes. */
  readonly slowFactor: number | null;
  /** For how long, in milliseconds. */
  readonly slowForMs: number;
}

/**
 * How long each leg takes to answer writes and flushes, which all legs get alike, so that one that holds up all others is
 * found (L7). Looked at once per {@link PACE_MS}; a leg is compared with the slowest of the others.
 */
export class LegPace {
  readonly #limits: PaceLimits;
  readonly #sumsMs = new Float64Array(MEMBERS_MAX);
  readonly #counts = new Uint32Array(MEMBERS_MAX);
  /** Since when a leg has been too slow, in clock milliseconds; infinite: it is not. */
  readonly #slowSinceMs = new Float64Array(MEMBERS_MAX).fill(Number.POSITIVE_INFINITY);
  #judgedMs = 0;

  constructor(limits: PaceLimits) {
    this.#limits = limits;
  }

  /** A leg has answered a write or a flush. */
  note(legIndex: number, tookMs: number): void {
    this.#sumsMs[legIndex] = (this.#sumsMs[legIndex] as number) + tookMs;
    this.#counts[legIndex] = (this.#counts[legIndex] as number) + 1;
  }

  /** The legs of `mask` that have been too slow for too long. Those in `excused` have a reason: they pull what they missed. */
  tooSlow(nowMs: number, mask: number, excused: number): number {
    const { slowFactor, slowForMs } = this.#limits;
    if (slowFactor === null || nowMs - this.#judgedMs < PACE_MS) return 0;
    this.#judgedMs = nowMs;
    let slow = 0;
    for (let index = 0; index < MEMBERS_MAX; index++) {
      const bit = 1 << index;
      const peersMs = this.#slowestMs(mask & ~excused & ~bit);
      const ownMs = this.#averageMs(index);
      const tooSlow = (mask & ~excused & bit) !== 0 && peersMs >= 0 && ownMs > Math.max(peersMs * slowFactor, SLOW_LEG_MS_MIN);
      if (!tooSlow) this.#slowSinceMs[index] = Number.POSITIVE_INFINITY;
      else if (this.#slowSinceMs[index] === Number.POSITIVE_INFINITY) this.#slowSinceMs[index] = nowMs;
      else if (nowMs - (this.#slowSinceMs[index] as number) >= slowForMs) slow |= bit;
    }
    this.#sumsMs.fill(0);
    this.#counts.fill(0);
    return slow;
  }

  /** -1 when none of them has answered anything. */
  #slowestMs(mask: number): number {
    let slowest = -1;
    for (let index = 0; index < MEMBERS_MAX; index++) if ((mask & (1 << index)) !== 0) slowest = Math.max(slowest, this.#averageMs(index));
    return slowest;
  }

  #averageMs(index: number): number {
    const count = this.#counts[index] as number;
    return count === 0 ? -1 : (this.#sumsMs[index] as number) / count;
  }
}
