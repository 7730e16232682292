import { assert } from '@rmr/runtime';
import { RANGE_MS, RANGES_BYTES_MAX, RANGES_BYTES_MIN, RANGES_IN_FLIGHT_MAX, RANGES_PER_WINDOW } from '../../constants.ts';

/** A range that is not wholly in flight yet. */
class Queued<Owner> {
  readonly owner: Owner;
  /** Where what is left begins. */
  nextBytes: number;
  readonly endBytes: number;

  constructor(owner: Owner, startBytes: number, endBytes: number) {
    this.owner = owner;
    this.nextBytes = startBytes;
    this.endBytes = endBytes;
  }
}

/**
 * TRIM and WRITE_ZEROES on their way: cut into pieces, of which no more are in flight than disks carry out in a fraction of a
 * second. So a client that discards terabytes keeps neither the units of the pool nor the disks from others, and no disk owes
 * more than it can do before it counts as hung.
 *
 * Long ranges take turns, piece by piece, and short ones have every second turn, so that none waits for all that came before.
 * The caller bounds how many are queued. It has no clock: what a piece took comes from the caller.
 */
export class RangeQueue<Owner> {
  readonly #send: (owner: Owner, offsetBytes: number, lengthBytes: number, isLast: boolean) => void;
  /** Ranges of which one piece is all, and longer ones. */
  #short: Queued<Owner>[] = [];
  #long: Queued<Owner>[] = [];
  #shortIsNext = true;
  /** A power of two. */
  #windowBytes = RANGES_BYTES_MIN;
  #inFlight = 0;
  #inFlightBytes = 0;

  /** `send` begins a piece of a range; its end is told by {@link ended}, later. */
  constructor(send: (owner: Owner, offsetBytes: number, lengthBytes: number, isLast: boolean) => void) {
    this.#send = send;
  }

  /** Pieces in flight. */
  get inFlight(): number {
    return this.#inFlight;
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  /** Pieces are cut at multiples of this. */
  get stepBytes(): number {
    return this.#windowBytes / RANGES_PER_WINDOW;
  }

  /** Ranges that are not wholly in flight. */
  get queued(): number {
    return this.#short.length + this.#long.length;
  }

  /** Carries out the range. */
  push(owner: Owner, startBytes: number, endBytes: number): void {
    assert(startBytes < endBytes, 'range queue: a range is not empty');
    const range = new Queued(owner, startBytes, endBytes);
    (endBytes - startBytes <= RANGES_BYTES_MIN / RANGES_PER_WINDOW ? this.#short : this.#long).push(range);
    this.#fill();
  }

  /** A piece of so many bytes has ended, `tookMs` after it was begun. */
  ended(lengthBytes: number, tookMs: number): void {
    this.#inFlight--;
    this.#inFlightBytes -= lengthBytes;
    assert(this.#inFlight >= 0 && this.#inFlightBytes >= 0, 'range queue: a piece ends once');
    if (tookMs > RANGE_MS) this.#windowBytes = Math.max(this.#windowBytes / 2, RANGES_BYTES_MIN);
    // A piece that is smaller than it could be says nothing of those that are not.
    else if (tookMs < RANGE_MS / 2 && lengthBytes >= this.stepBytes) this.#windowBytes = Math.min(this.#windowBytes * 2, RANGES_BYTES_MAX);
    this.#fill();
  }

  /** What waits of the owner's range is never begun. Others go on at the next {@link resume} or {@link ended}. */
  remove(owner: Owner): void {
    this.#short = this.#short.filter((range) => range.owner !== owner);
    this.#long = this.#long.filter((range) => range.owner !== owner);
  }

  /** A piece of so many bytes will not be carried out: it says nothing of how fast pieces are, and begins none from within. */
  cancelled(lengthBytes: number): void {
    this.#inFlight--;
    this.#inFlightBytes -= lengthBytes;
    assert(this.#inFlight >= 0 && this.#inFlightBytes >= 0, 'range queue: a piece ends once');
  }

  /** Begins what there is room for again after {@link remove} and {@link cancelled}. */
  resume(): void {
    this.#fill();
  }

  /** One piece may always be in flight: larger ones may have been when the window shrank. */
  #mayStart(): boolean {
    if (this.#inFlight === 0) return true;
    return this.#inFlight < RANGES_IN_FLIGHT_MAX && this.#inFlightBytes + this.stepBytes <= this.#windowBytes;
  }

  #fill(): void {
    while (this.queued > 0 && this.#mayStart()) {
      const isShort = this.#long.length === 0 || (this.#shortIsNext && this.#short.length > 0);
      this.#shortIsNext = !isShort;
      const queue = isShort ? this.#short : this.#long;
      const range = queue.shift() as Queued<Owner>;
      const { owner, nextBytes, endBytes } = range;
      const step = this.stepBytes;
      const stop = Math.min(endBytes, (Math.floor(nextBytes / step) + 1) * step);
      range.nextBytes = stop;
      if (stop < endBytes) queue.push(range);
      this.#inFlight++;
      this.#inFlightBytes += stop - nextBytes;
      this.#send(owner, nextBytes, stop - nextBytes, stop === endBytes);
    }
  }
}
