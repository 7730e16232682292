import { assert } from '@rmr/runtime';
import { IO_BYTES_MAX, IO_UNITS_MAX } from '../constants.ts';
import type { LastIo } from '../pool-store.ts';
import { SPARSE_EXTRA_BYTES_MAX } from './sparse-data.ts';

/** Bytes of an entry: IO unit (2), zero (2), length (4), sequence number (8), offset (8); little-endian. */
const ENTRY_BYTES = 24;
/** What may follow the data of an answer to SYNC_READ: an entry for each IO unit. */
export const UNRESOLVED_BYTES_MAX = IO_UNITS_MAX * ENTRY_BYTES;

/** The largest payload of a message: what sessions between daemons have to allow. */
export const MESSAGE_PAYLOAD_BYTES_MAX = IO_BYTES_MAX + UNRESOLVED_BYTES_MAX + SPARSE_EXTRA_BYTES_MAX;

/** {@link UNRESOLVED_BYTES_MAX} for a pool of this queue depth. */
export function unresolvedBytesMax(queueDepth: number): number {
  return queueDepth * ENTRY_BYTES;
}

/** Writes the entries at the start of `bytes`; returns how long they are. */
export function encodeUnresolved(entries: readonly LastIo[], bytes: Uint8Array): number {
  assert(entries.length * ENTRY_BYTES <= bytes.length, 'unresolved writes: more than there is room for');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  for (const { ioUnit, writeSeq, offsetBytes, lengthBytes } of entries) {
    view.setUint16(at, ioUnit, true);
    view.setUint16(at + 2, 0, true);
    view.setUint32(at + 4, lengthBytes, true);
    view.setBigUint64(at + 8, BigInt(writeSeq), true);
    view.setBigUint64(at + 16, BigInt(offsetBytes), true);
    at += ENTRY_BYTES;
  }
  return at;
}

const NONE: readonly LastIo[] = [];

/** The entries that fill `bytes`, or null when they are malformed: half an entry, an IO unit or range that the store does not have. */
export function decodeUnresolved(bytes: Uint8Array, queueDepth: number, sizeBytes: number): readonly LastIo[] | null {
  // Nearly always.
  if (bytes.length === 0) return NONE;
  if (bytes.length % ENTRY_BYTES !== 0) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries: LastIo[] = [];
  for (let at = 0; at < bytes.length; at += ENTRY_BYTES) {
    const ioUnit = view.getUint16(at, true);
    const lengthBytes = view.getUint32(at + 4, true);
    const writeSeq = Number(view.getBigUint64(at + 8, true));
    const offsetBytes = Number(view.getBigUint64(at + 16, true));
    if (ioUnit >= queueDepth || lengthBytes === 0 || writeSeq === 0 || !Number.isSafeInteger(writeSeq)) return null;
    if (!Number.isSafeInteger(offsetBytes) || offsetBytes + lengthBytes > sizeBytes) return null;
    entries.push({ ioUnit, writeSeq, offsetBytes, lengthBytes });
  }
  return entries;
}
