import type { Random } from '@rmr/runtime';

/**
 * The delays between attempts. Each is drawn from the upper half of a bound, which doubles from `msMin` up to `msMax`. So clients that lost
 * the same server do not come back in step. The number of attempts is not limited.
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

  /** An attempt has succeeded: the next failure counts as the first one again. */
  reset(): void {
    this.#boundMs = this.#msMin;
  }
}
