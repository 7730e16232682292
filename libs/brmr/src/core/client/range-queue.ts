import { assert } from '@rmr/runtime';
import { RANGE_MS, RANGES_BYTES_MAX, RANGES_BYTES_MIN, RANGES_IN_FLIGHT_MAX, RANGES_PER_WINDOW } from '../../constants.ts';

/**
 * The ranges of TRIM and WRITE_ZEROES that are under way. They are cut into pieces. No more pieces are in flight than disks carry out in
 * a fraction of a second. So a client that discards terabytes leaves the units of the pool and the disks to others, too, and no disk has
 * more to do than it can before it counts as hung.
 *
 * Long ranges take turns, piece by piece. Short ranges have every second turn, so that none waits for all that came before. The caller
 * bounds how many ranges are queued. The queue has no clock: the caller tells how long a piece took.
 */
export class RangeQueue<Owner> {
  readonly #send: (owner: Owner, offsetBytes: number, lengthBytes: number, isLast: boolean) => void;
  /** Ranges of a single piece, and longer ones. */
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

  /** A range whose waiting rest has something of [startBytes, endBytes); null: none has. */
  overlapping(startBytes: number, endBytes: number): WaitingRest | null {
    return firstOverlapping(this.#short, startBytes, endBytes) ?? firstOverlapping(this.#long, startBytes, endBytes);
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
    // A piece that is smaller than the present size says nothing of how long larger ones take.
    else if (tookMs < RANGE_MS / 2 && lengthBytes >= this.stepBytes) this.#windowBytes = Math.min(this.#windowBytes * 2, RANGES_BYTES_MAX);
    this.#fill();
  }

  /** The waiting rest of the owner's range never begins. Other ranges go on at the next {@link resume} or {@link ended}. */
  remove(owner: Owner): void {
    this.#short = without(this.#short, owner);
    this.#long = without(this.#long, owner);
  }

  /** A piece of so many bytes will not be carried out. It says nothing of how fast pieces are. Nothing begins from within this call. */
  cancelled(lengthBytes: number): void {
    this.#inFlight--;
    this.#inFlightBytes -= lengthBytes;
    assert(this.#inFlight >= 0 && this.#inFlightBytes >= 0, 'range queue: a piece ends once');
  }

  /** Begins the pieces for which {@link remove} and {@link cancelled} have made room. */
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

/** The waiting rest of a range that is not wholly in flight yet. */
export interface WaitingRest {
  /** Where it begins on the device, and where it ends. Equal: nothing waits any more. */
  readonly nextBytes: number;
  readonly endBytes: number;
}

class Queued<Owner> implements WaitingRest {
  readonly owner: Owner;
  nextBytes: number;
  readonly endBytes: number;

  constructor(owner: Owner, startBytes: number, endBytes: number) {
    this.owner = owner;
    this.nextBytes = startBytes;
    this.endBytes = endBytes;
  }
}

function firstOverlapping<Owner>(ranges: readonly Queued<Owner>[], startBytes: number, endBytes: number): WaitingRest | null {
  for (const range of ranges) if (range.nextBytes < endBytes && startBytes < range.endBytes) return range;
  return null;
}

/** The ranges but those of the owner, of which nothing waits any more. */
function without<Owner>(ranges: readonly Queued<Owner>[], owner: Owner): Queued<Owner>[] {
  for (const range of ranges) if (range.owner === owner) range.nextBytes = range.endBytes;
  return ranges.filter((range) => range.owner !== owner);
}
