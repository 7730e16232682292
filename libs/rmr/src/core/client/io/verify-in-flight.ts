import { assert } from '@rmr/runtime';
import { isWriteType, MessageType } from '../../../wire/io-message.ts';
import type { InFlightRanges } from './in-flight-ranges.ts';
import type { IoRequest } from './io-request.ts';
import type { IoUnits } from './io-units.ts';

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
