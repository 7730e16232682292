import type { InFlightRanges } from './in-flight-ranges.ts';

/** The sequence numbers of a pool's writes, and up to which of them all are resolved (W7). */
export class WriteSequence {
  readonly #writes: InFlightRanges;
  readonly #seqs: Float64Array;
  #newest = 0;
  /** The unit of the oldest write in flight, or -1 when that has to be looked up. */
  #oldest = -1;

  /** `writes` lists the writes in flight, in units below `unitCount`. */
  constructor(writes: InFlightRanges, unitCount: number) {
    this.#writes = writes;
    this.#seqs = new Float64Array(unitCount);
  }

  /** The number that was given last; 0 before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** The next number, for the write in this unit, which is listed as in flight. It may have had an earlier one. */
  next(unit: number): number {
    const seq = ++this.#newest;
    this.#seqs[unit] = seq;
    if (this.#writes.count === 1) this.#oldest = unit;
    else if (this.#oldest === unit) this.#oldest = -1;
    return seq;
  }

  /** The number of the newest write of this unit; 0: it has had none. */
  of(unit: number): number {
    return this.#seqs[unit] as number;
  }

  /** The write in this unit is not in flight any more. */
  ended(unit: number): void {
    if (this.#oldest === unit) this.#oldest = -1;
  }

  /** Every write up to this number is resolved on all legs (W7). */
  completedThrough(): number {
    const { count, units } = this.#writes;
    if (count === 0) return this.#newest;
    const seqs = this.#seqs;
    if (this.#oldest < 0) {
      let oldest = units[0] as number;
      for (let i = 1; i < count; i++) if ((seqs[units[i] as number] as number) < (seqs[oldest] as number)) oldest = units[i] as number;
      this.#oldest = oldest;
    }
    return (seqs[this.#oldest] as number) - 1;
  }
}
