/** Which leg a read goes to: in turn; where least is in flight; always the first that can. */
export type ReadPolicyName = 'round-robin' | 'min-inflight' | 'preferred';

/** Chooses a leg for each read. Legs are indices; a mask has a bit for each. */
export class ReadPolicy {
  readonly #name: ReadPolicyName;
  readonly #inFlight: Int32Array;
  #last = 0;

  /** `inFlight` is read at every choice; the caller keeps it up to date. */
  constructor(name: ReadPolicyName, inFlight: Int32Array) {
    this.#name = name;
    this.#inFlight = inFlight;
  }

  /** The index of a leg in `candidates`, which is not empty. */
  choose(candidates: number): number {
    if (this.#name === 'preferred') return 31 - Math.clz32(candidates & -candidates);
    // The next after the last that is a candidate.
    const above = candidates & ~((2 << this.#last) - 1);
    const next = above !== 0 ? above : candidates;
    let chosen = 31 - Math.clz32(next & -next);
    if (this.#name === 'min-inflight') {
      for (let rest = candidates; rest !== 0; rest &= rest - 1) {
        const index = 31 - Math.clz32(rest & -rest);
        if ((this.#inFlight[index] as number) < (this.#inFlight[chosen] as number)) chosen = index;
      }
    }
    this.#last = chosen;
    return chosen;
  }
}
