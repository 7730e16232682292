import { assert } from '@rmr/runtime';
import { isWriteType, MessageType } from '../../../wire/io-message.ts';
import type { IoRequest } from './io-request.ts';
import type { IoUnits } from './io-units.ts';

/** IO units in flight with their byte ranges, packed, so that the question for an overlap is one pass over memory. */
export class InFlightRanges {
  /** The units, in no order; the first {@link count} count. */
  readonly units: Uint16Array;
  count = 0;
  readonly #positions: Uint16Array;
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;

  constructor(unitCount: number) {
    this.units = new Uint16Array(unitCount);
    this.#positions = new Uint16Array(unitCount);
    this.#starts = new Float64Array(unitCount);
    this.#ends = new Float64Array(unitCount);
  }

  add(unit: number, offsetBytes: number, lengthBytes: number): void {
    const position = this.count++;
    this.units[position] = unit;
    this.#positions[unit] = position;
    this.#starts[position] = offsetBytes;
    this.#ends[position] = offsetBytes + lengthBytes;
  }

  remove(unit: number): void {
    const position = this.#positions[unit] as number;
    const last = --this.count;
    const moved = this.units[last] as number;
    this.units[position] = moved;
    this.#positions[moved] = position;
    this.#starts[position] = this.#starts[last] as number;
    this.#ends[position] = this.#ends[last] as number;
  }

  has(unit: number): boolean {
    const position = this.#positions[unit] as number;
    return position < this.count && this.units[position] === unit;
  }

  overlaps(offsetBytes: number, lengthBytes: number): boolean {
    const end = offsetBytes + lengthBytes;
    for (let i = 0; i < this.count; i++) if ((this.#starts[i] as number) < end && offsetBytes < (this.#ends[i] as number)) return true;
    return false;
  }

  /** W1: no two of the ranges overlap. */
  verifyDisjoint(): void {
    for (let i = 0; i < this.count; i++) {
      for (let j = 0; j < i; j++) {
        const overlap = (this.#starts[i] as number) < (this.#ends[j] as number) && (this.#starts[j] as number) < (this.#ends[i] as number);
        assert(!overlap, 'W1: overlapping writes are in flight together');
      }
    }
  }
}

/** Rechecks what must hold of the IO of a pool that is in flight: every write is listed, and so is nothing but reads among the reads. */
export function verifyInFlight(units: IoUnits, writes: InFlightRanges, reads: InFlightRanges, routeMask: number): void {
  units.verify();
  let count = 0;
  for (let unit = 0; unit < units.unitCount; unit++) {
    const request = units.requests[unit] as IoRequest | null;
    if (request === null) continue;
    assert(((units.pending[unit] as number) & ~routeMask) === 0, 'engine: a request waits for a leg out of IO');
    if (!isWriteType(request.type)) continue;
    count++;
    assert(writes.has(unit), 'engine: a write is not listed');
  }
  writes.verifyDisjoint();
  assert(count === writes.count, 'engine: write count is off');
  for (const unit of reads.units.subarray(0, reads.count)) {
    const request = units.requests[unit] as IoRequest | null;
    assert(request !== null && request.type === MessageType.READ, 'engine: a read is listed that is none');
  }
}
