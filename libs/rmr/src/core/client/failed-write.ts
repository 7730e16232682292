import { Status, statusName } from '@rmr/runtime';
import { isWriteType, MessageType } from '../../wire/io-message.ts';
import { type IoRequest, isMemberOut } from './io-request.ts';
import type { IoUnits } from './io-units.ts';

/**
 * What becomes of a write or flush that some legs of the set have failed, once all of them have answered it (W5): how it ends where
 * no member is the worse for it, and else which legs leave. Masks are of legs of the set alone.
 */

/** With which status it ends, as no member has changed anything for it; OK: some member may have. */
export function endsUnharmed(units: IoUnits, unit: number, request: IoRequest, failed: number, passed: number): number {
  if (units.ok[unit] !== 0 || passed !== 0) return Status.OK;
  // I8: no member has the chunk, and none is the worse for that.
  if (units.statuses[unit] === Status.ELOST && units.touched[unit] === 0) return Status.EIO;
  // W8: none of them has changed anything, so they are equal.
  return fullOf(units, unit, request, failed) === failed ? Status.ENOSPC : Status.OK;
}

/**
 * The legs that leave. Those that have it stay. Where no leg has all of it, those stay that are full, as they are equal, or else one
 * as the authority, and the caller hears of the failure: a leg that has passed some of it by may have carried out what these have
 * not (W10). `isThere`: a leg has it, or legs that have passed chunks by have all of it together. 0: none leaves.
 */
export function leaversOf(units: IoUnits, unit: number, request: IoRequest, failed: number, passed: number, isThere: boolean): number {
  if (isThere) return failed;
  const status = units.statuses[unit] as number;
  const full = fullOf(units, unit, request, failed);
  if (full !== 0) return (failed & ~full) | passed;
  return !isMemberOut(status) || status === Status.ELOST ? (failed & (failed - 1)) | passed : failed;
}

/** Why these legs leave. */
export function whyTheyLeave(units: IoUnits, unit: number, request: IoRequest, failed: number, leavers: number): string {
  const status = leavers === fullOf(units, unit, request, failed) ? Status.ENOSPC : (units.statuses[unit] as number);
  if (request.type === MessageType.FLUSH) return `flush failed: ${statusName(status)}`;
  return status === Status.ENOSPC ? 'its disk is full: it had no space for a write' : `write failed: ${statusName(status)}`;
}

/** Those of the legs that had no space for the write (W8). */
function fullOf(units: IoUnits, unit: number, request: IoRequest, failed: number): number {
  return isWriteType(request.type) ? (units.full[unit] as number) & failed : 0;
}
