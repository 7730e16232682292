import { assert, type DiskExtent } from '@rmr/runtime';
import { decodeExtents, encodeExtents } from './extents.ts';

/**
 * The answer to a SYNC_READ with the flag SPARSE, little-endian: u32 number of runs, u32 zero; the runs, 8 bytes each as in an
 * answer to EXTENTS, which cover the range or a first part of it; the data of those that are no holes, one behind the other;
 * then the unresolved writes, as in any answer to SYNC_READ.
 */
const HEAD_BYTES = 8;
const RUN_BYTES = 8;

/** What the runs of dense data take: one run. */
const DENSE_BYTES = HEAD_BYTES + RUN_BYTES;
/**
 * By how much a sparse answer may be longer than the data that it stands for. Every further pair of runs leaves out a block,
 * which is longer than two runs.
 */
export const SPARSE_EXTRA_BYTES_MAX = DENSE_BYTES;

/** What has to be free in front of the data so that {@link packSparse} finds room, for data of this many blocks. */
export function sparseRoomBytes(blockCount: number): number {
  return HEAD_BYTES + RUN_BYTES * blockCount;
}

/** Where a packed answer lies. */
export interface PackedBytes {
  readonly start: number;
  readonly end: number;
}

/**
 * Makes an answer from the data that was read to `bytes` at `at`. The runs cover that data. It moves the data together, and puts the
 * runs in front of it, where there are {@link sparseRoomBytes} for them. Dense data stays where it is.
 */
export function packSparse(bytes: Uint8Array, at: number, runs: readonly DiskExtent[]): PackedBytes {
  const start = at - HEAD_BYTES - RUN_BYTES * runs.length;
  assert(start >= 0, 'sparse data: no room for the runs');
  let from = at;
  let end = at;
  for (const { lengthBytes, hole } of runs) {
    if (!hole) {
      if (from !== end) bytes.copyWithin(end, from, from + lengthBytes);
      end += lengthBytes;
    }
    from += lengthBytes;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(start, runs.length, true);
  view.setUint32(start + 4, 0, true);
  bytes.set(encodeExtents(runs), start + HEAD_BYTES);
  return { start, end };
}

/** A decoded answer. */
export interface SparseData {
  /** They cover `coveredBytes` of the range from its start. */
  readonly runs: readonly DiskExtent[];
  readonly coveredBytes: number;
  /** The data of the runs that are no holes. */
  readonly data: Uint8Array;
  /** What follows the data: unresolved writes. */
  readonly rest: Uint8Array;
}

/** The answer to a read of `lengthBytes`, or the reason why it is malformed. */
export function decodeSparse(payload: Uint8Array, lengthBytes: number): SparseData | string {
  if (payload.length < DENSE_BYTES) return 'sparse data: too short';
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const dataAt = HEAD_BYTES + RUN_BYTES * view.getUint32(0, true);
  if (view.getUint32(4, true) !== 0) return 'sparse data: reserved bytes set';
  if (dataAt > payload.length) return 'sparse data: more runs than bytes';
  const runs = decodeExtents(payload.subarray(HEAD_BYTES, dataAt), lengthBytes);
  if (typeof runs === 'string') return runs;
  let coveredBytes = 0;
  let dataBytes = 0;
  for (const run of runs) {
    coveredBytes += run.lengthBytes;
    if (!run.hole) dataBytes += run.lengthBytes;
  }
  if (dataAt + dataBytes > payload.length) return 'sparse data: less data than runs';
  const restAt = dataAt + dataBytes;
  return { runs, coveredBytes, data: payload.subarray(dataAt, restAt), rest: payload.subarray(restAt) };
}
