/** Chooses a leg for each read. Legs are indices; a mask has a bit for each. */
export class ReadPolicy {
  readonly #name: ReadPolicyName;
  readonly #inFlight: Int32Array;
  readonly #preferredBit: number;
  #last = 0;

  /** `inFlight` is read at every choice; the caller keeps it up to date. `preferredIndex`: the leg that `preferred` prefers. */
  constructor(name: ReadPolicyName, inFlight: Int32Array, preferredIndex = 0) {
    this.#name = name;
    this.#preferredBit = 1 << preferredIndex;
    this.#inFlight = inFlight;
  }

  /** The index of a leg in `candidates`, which is not empty. */
  choose(candidates: number): number {
    if (this.#name === 'preferred') {
      const wanted = (candidates & this.#preferredBit) !== 0 ? this.#preferredBit : candidates & -candidates;
      return 31 - Math.clz32(wanted);
    }
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

/** Which leg a read goes to: in turn; where least is in flight; always the preferred one while it can. */
export type ReadPolicyName = 'round-robin' | 'min-inflight' | 'preferred';
