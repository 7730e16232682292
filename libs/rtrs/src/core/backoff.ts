import type { Random } from '@rmr/runtime';

/**
 * Delays between attempts: each is drawn from the upper half of a bound that doubles from `msMin` up to `msMax`, so that those who lost
 * the same server do not come back in step. No limit on the number of attempts.
 */
export class Backoff {
  readonly #random: Random;
  readonly #msMin: number;
  readonly #msMax: number;
  #boundMs: number;

  constructor(random: Random, msMin: number, msMax: number) {
    this.#random = random;
    this.#msMin = msMin;
    this.#msMax = msMax;
    this.#boundMs = msMin;
  }

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const boundMs = this.#boundMs;
    this.#boundMs = Math.min(this.#msMax, boundMs * 2);
    return boundMs / 2 + (this.#random.u32() / 0x1_0000_0000) * (boundMs / 2);
  }

  /** It worked: the next failure is a first one again. */
  reset(): void {
    this.#boundMs = this.#msMin;
  }
}
