import { assert, GIB, KIB, MIB } from '@rmr/runtime';

/** Members of a pool, in sync or not. Bounds the masks, the map columns on disk and the piggyback list. */
export const MEMBERS_MAX = 8;

/** IO units of a pool: default and bounds. `memId` has 16 bits; beyond a thousand only memory grows. */
export const QUEUE_DEPTH_DEFAULT = 128;
export const QUEUE_DEPTH_MIN = 1;
export const QUEUE_DEPTH_MAX = 1024;

/** Data in one read or write. Larger requests are split: it bounds buffers and the time that an IO holds a range. */
export const IO_BYTES_MAX = 1 * MIB;

/**
 * Range of one discard or write-zeroes. They carry no data, but every region that they touch enters the write intent,
 * and the ranges that wait for them grow with them.
 */
export const RANGE_BYTES_MAX = 64 * MIB;

/** Range of one question for extents: it moves no data, and the answer is bounded by its number of runs. */
export const EXTENTS_BYTES_MAX = 1 * GIB;

/** Chunk size: default and bounds. A power of two, fixed at pool creation. */
export const CHUNK_BYTES_DEFAULT = 128 * KIB;
export const CHUNK_BYTES_MIN = 4 * KIB;
export const CHUNK_BYTES_MAX = 16 * MIB;

/** How long a control request may take before its leg is given up: a grant may have to wait for a slow disk to drain. */
export const CONTROL_TIMEOUT_MS = 60_000;

/** When recovery looks again while it waits, besides at every event: first, and at most. It is how the end of another client is noticed. */
export const RECOVERY_RETRY_MS = 500;
export const RECOVERY_RETRY_MS_MAX = 4_000;

/** An IO that a leg has not answered for this long makes the leg leave (L7). */
export const LEG_TIMEOUT_MS_DEFAULT = 30_000;

/** Reconciliation copies in flight together: enough to keep both ends busy, few enough to need little memory. */
export const RECONCILE_DEPTH = 8;

/** Bytes of one control message's JSON. Ranges of a full `lastIo` and write intent fit many times over. */
export const CONTROL_BYTES_MAX = 1 * MIB;

/** Sequence numbers and offsets travel as two 32-bit words and are exact as doubles. */
export const SAFE_HIGH_WORD_MAX = 0x1f_ffff;

assert(IO_BYTES_MAX <= RANGE_BYTES_MAX, 'constants: a write is a range');
assert(QUEUE_DEPTH_MAX <= 0xffff, 'constants: memId has 16 bits');
assert(MEMBERS_MAX <= 8, 'constants: leg masks have 8 bits');
