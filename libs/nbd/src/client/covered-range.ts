import { CLIENT_READ_STRETCHES_MAX } from '../constants.ts';

/**
 * The part of a READ that has come. A server may send it in any order. No byte may come twice, or one could be missing although their
 * number is right. Used again and again; the usual case, each chunk behind the one before, needs no memory.
 */
export class CoveredRange {
  /** Stretches that do not adjoin, in order: where each begins, and where it ends. */
  readonly #from: number[] = [];
  readonly #to: number[] = [];

  /** Nothing has come. */
  clear(): void {
    this.#from.length = 0;
    this.#to.length = 0;
  }

  /** Whether all from `from` to `to` has come, and nothing else. */
  isWhole(from: number, to: number): boolean {
    return this.#from.length === 1 && this.#from[0] === from && this.#to[0] === to;
  }

  /** Adds a stretch. False: some of it has come before, or there are too many stretches that do not adjoin. */
  add(from: number, to: number): boolean {
    const starts = this.#from;
    const ends = this.#to;
    let at = starts.length;
    while (at > 0 && (starts[at - 1] as number) >= from) at--;
    // `at` is the first stretch that begins behind it, `at - 1` the last that begins before it.
    if (at > 0 && (ends[at - 1] as number) > from) return false;
    if (at < starts.length && (starts[at] as number) < to) return false;
    const joinsBefore = at > 0 && ends[at - 1] === from;
    const joinsBehind = at < starts.length && starts[at] === to;
    if (joinsBefore && joinsBehind) {
      ends[at - 1] = ends[at] as number;
      starts.splice(at, 1);
      ends.splice(at, 1);
    } else if (joinsBefore) {
      ends[at - 1] = to;
    } else if (joinsBehind) {
      starts[at] = from;
    } else {
      if (starts.length === CLIENT_READ_STRETCHES_MAX) return false;
      starts.splice(at, 0, from);
      ends.splice(at, 0, to);
    }
    return true;
  }
}
