import type { DiskExtent } from '@rmr/runtime';
import { IO_BYTES_MAX } from '../../../constants.ts';
import type { LastIo } from '../../../pool-store.ts';
import { decodeSparse, type PackedBytes, packSparse, type SparseData, sparseRoomBytes } from '../../../wire/sparse-data.ts';
import { encodeUnresolved, unresolvedBytesMax } from '../../../wire/unresolved-writes.ts';
import { zeroRuns } from '../requests/zeroes.ts';

/**
 * Memory for an answer to SYNC_READ, and what becomes of it. A read that knows blocks (`blockShift`, a power of two) leaves
 * those of zeroes out; 0: a plain one, which has the data as it is.
 */

/** Bytes that lie in front of the data, for the runs. */
export function syncRoomBytes(lengthBytes: number, blockShift: number): number {
  return blockShift === 0 ? 0 : sparseRoomBytes(Math.ceil(lengthBytes / 2 ** blockShift));
}

/** Bytes to take for an answer with `lengthBytes` of data in a pool of this queue depth. */
export function syncAnswerBytes(lengthBytes: number, blockShift: number, queueDepth: number): number {
  return syncRoomBytes(lengthBytes, blockShift) + lengthBytes + unresolvedBytesMax(queueDepth);
}

/** An answer, where it lies, and how much data it carries. */
export interface PackedAnswer extends PackedBytes {
  readonly dataBytes: number;
}

/** Makes the answer of data that was read into `bytes`, behind the room for the runs. */
export function packSyncAnswer(bytes: Uint8Array, lengthBytes: number, blockShift: number, unresolved: readonly LastIo[]): PackedAnswer {
  const at = syncRoomBytes(lengthBytes, blockShift);
  const packed =
    blockShift === 0
      ? { start: 0, end: lengthBytes }
      : packSparse(bytes, at, zeroRuns(bytes.subarray(at, at + lengthBytes), 2 ** blockShift));
  return { start: packed.start, end: packed.end + encodeUnresolved(unresolved, bytes.subarray(packed.end)), dataBytes: packed.end - at };
}

/** The answer that a range is a hole throughout. */
export function holeAnswer(lengthBytes: number, unresolved: readonly LastIo[]): Uint8Array {
  const room = sparseRoomBytes(1);
  const bytes = new Uint8Array(room + unresolvedBytesMax(unresolved.length));
  packSparse(bytes, room, [{ lengthBytes, hole: true }]);
  encodeUnresolved(unresolved, bytes.subarray(room));
  return bytes;
}

/**
 * What a source has answered to a read of `lengthBytes`; null: it makes no sense. Plain data is of a source that leaves nothing
 * out: its zeroes are told from the rest here, in blocks of `blockBytes`, and stay in the data.
 */
export function decodeSyncAnswer(payload: Uint8Array | null, lengthBytes: number, sparse: boolean, blockBytes: number): SparseData | null {
  if (payload === null) return null;
  if (sparse) {
    const answer = decodeSparse(payload, lengthBytes);
    return typeof answer === 'string' ? null : answer;
  }
  if (payload.length < lengthBytes) return null;
  const data = payload.subarray(0, lengthBytes);
  return { runs: zeroRuns(data, blockBytes), coveredBytes: lengthBytes, data, rest: payload.subarray(lengthBytes) };
}

/**
 * How much of a long read is answered as a hole: what lies in front of the first data, in steps of {@link IO_BYTES_MAX}, so that
 * chunks and blocks are not cut; 0: there is data at the start.
 */
export function holeInFront(extents: readonly DiskExtent[], lengthBytes: number): number {
  let holeBytes = 0;
  for (const extent of extents) {
    if (!extent.hole) break;
    holeBytes += extent.lengthBytes;
  }
  return holeBytes >= lengthBytes ? lengthBytes : holeBytes - (holeBytes % IO_BYTES_MAX);
}
