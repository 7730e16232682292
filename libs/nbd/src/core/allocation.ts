import type { DiskExtent } from '@rmr/runtime';
import { AllocationState } from '../wire/protocol.ts';

const HOLE_FLAGS = AllocationState.HOLE | AllocationState.ZERO;

/**
 * Turns a device's runs into the descriptors of `base:allocation`: cut to the `lengthBytes` that were asked for,
 * neighbours of the same kind merged, and borders moved to multiples of `blockBytes` in favour of data, as a hole that
 * is announced has to be a hole throughout. Writes length and flags of up to `countMax` (at least 1) descriptors to
 * `target` and returns how many: at least one.
 */
export function describeAllocation(
  extents: readonly DiskExtent[],
  lengthBytes: number,
  blockBytes: number,
  countMax: number,
  target: Uint32Array,
): number {
  let count = 0;
  let runStart = 0;
  let runHole = (extents[0] as DiskExtent).hole;
  let position = 0;
  for (let i = 0; count < countMax; i++) {
    const extent = i < extents.length && position < lengthBytes ? (extents[i] as DiskExtent) : null;
    if (extent === null || extent.hole !== runHole) {
      const blocks = Math.min(position, lengthBytes) / blockBytes;
      // What lies beyond the last run is unknown, so the last border moves down like that of a hole.
      const runEnd = (extent === null || runHole ? Math.floor(blocks) : Math.ceil(blocks)) * blockBytes;
      if (runEnd > runStart) {
        target[count * 2] = runEnd - runStart;
        target[count * 2 + 1] = runHole ? HOLE_FLAGS : 0;
        count++;
        runStart = runEnd;
      }
      if (extent === null) break;
      runHole = extent.hole;
    }
    position += extent.lengthBytes;
  }
  if (count === 0) {
    // Less than a block is known: "data" is always a safe answer.
    target[0] = Math.min(blockBytes, lengthBytes);
    target[1] = 0;
    count = 1;
  }
  return count;
}
