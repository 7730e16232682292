import { Status, statusName } from '@rmr/runtime';
import { FAILED_WRITE_WAIT_MS } from '../../../constants.ts';
import { isWriteType, MessageType } from '../../../wire/io-message.ts';
import type { IoEngineHost } from './io-engine.ts';
import { type IoRequest, isMemberOut } from './io-request.ts';
import type { IoUnits } from './io-units.ts';

/**
 * W5: what becomes of a write or flush that some legs of the set have failed, once all of them have answered. It ends, if no member is
 * the worse for it. Otherwise some legs leave. Masks are of legs of the set only.
 */

/** The status with which it ends if no member has changed anything for it. OK if a member may have. */
export function endsUnharmed(units: IoUnits, unit: number, request: IoRequest, failed: number, passed: number): number {
  if (units.ok[unit] !== 0 || passed !== 0) return Status.OK;
  // I8: no member has the chunk, so the failure changes nothing on any of them.
  if (units.statuses[unit] === Status.ELOST && units.touched[unit] === 0) return Status.EIO;
  // W8: no leg has changed anything, so they are equal.
  return fullOf(units, unit, request, failed) === failed ? Status.ENOSPC : Status.OK;
}

/**
 * The legs that leave, as a mask. 0: none. Legs that have all of the write stay. If no leg has, the legs that are full stay, as they are
 * equal, or else one leg stays as the authority, and the caller gets the error. Legs that have passed some of it by may have carried out
 * what the authority has not, so they leave (W10). `isThere`: one leg has all of it, or legs that have passed chunks by have it
 * together.
 */
export function leaversOf(units: IoUnits, unit: number, request: IoRequest, failed: number, passed: number, isThere: boolean): number {
  if (isThere) return failed;
  const status = units.statuses[unit] as number;
  const full = fullOf(units, unit, request, failed);
  if (full !== 0) return (failed & ~full) | passed;
  return !isMemberOut(status) || status === Status.ELOST ? (failed & (failed - 1)) | passed : failed;
}

/**
 * W10: whether the legs whose disks failed the write leave, and are asked back, although no other leg is known to have all of it. Others
 * have passed some of it by, and carried out the rest. That is dirty for the legs when they are back, so that they may pass it by, and the
 * write is sent again. A leg leaves once for a write: if it fails the write again, it fails what nobody else has.
 */
export function mayLeaveOnce(units: IoUnits, unit: number, request: IoRequest, failed: number, passed: number): boolean {
  if (passed === 0 || units.statuses[unit] !== Status.EIO || ((units.full[unit] as number) & failed) !== 0) return false;
  if ((request.leftMask & failed) !== 0) return false;
  request.leftMask |= failed;
  return true;
}

/** Whether a write that no disk took waits for a member that is asked back. Where two disks wear out, each has what the other lacks. */
export function mayWaitForReturn(host: Pick<IoEngineHost, 'hastenReturn'>, { submittedAtMs }: IoRequest, nowMs: number): boolean {
  return nowMs - submittedAtMs < FAILED_WRITE_WAIT_MS && host.hastenReturn();
}

/** Why these legs leave. */
export function whyTheyLeave(units: IoUnits, unit: number, request: IoRequest, failed: number, leavers: number): string {
  const status = leavers === fullOf(units, unit, request, failed) ? Status.ENOSPC : (units.statuses[unit] as number);
  if (request.type === MessageType.FLUSH) return `flush failed: ${statusName(status)}`;
  return status === Status.ENOSPC ? 'its disk is full: it had no space for a write' : `write failed: ${statusName(status)}`;
}

/** The legs that had no space for the write (W8). */
function fullOf(units: IoUnits, unit: number, request: IoRequest, failed: number): number {
  return isWriteType(request.type) ? (units.full[unit] as number) & failed : 0;
}
