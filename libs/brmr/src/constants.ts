import { RANGE_BYTES_MAX } from '@rmr/rmr';
import { assert, MIB } from '@rmr/runtime';

/**
 * TRIM and WRITE_ZEROES of a device, all connections together: the most bytes in flight, and the least, however slow they are. These
 * requests carry no data, so nothing else bounds them. A disk may have to write zeroes for all of the range.
 */
export const RANGES_BYTES_MAX = 512 * MIB;
export const RANGES_BYTES_MIN = 16 * MIB;
/** Pieces in flight at most: what is left of the IO units is for reads and writes. */
export const RANGES_IN_FLIGHT_MAX = 16;
/** A window is so many pieces. */
export const RANGES_PER_WINDOW = 8;
/** Pieces that take longer than this, in milliseconds, are made smaller, and fewer bytes are in flight. Pieces that take less than half of it are made larger. */
export const RANGE_MS = 250;

assert(RANGES_BYTES_MAX / RANGES_PER_WINDOW <= RANGE_BYTES_MAX, 'constants: a piece of a range fits into a message');
assert(RANGES_PER_WINDOW <= RANGES_IN_FLIGHT_MAX, 'constants: a window of pieces may be in flight');
