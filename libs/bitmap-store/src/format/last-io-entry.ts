import { readU32, writeU32 } from '@rmr/runtime';
import { readU64, writeU64 } from './fields.ts';

/**
 * One entry of the last_io array: the newest write that was begun in an IO unit. 32 bytes, sixteen to a sector.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 8 | write sequence number, 0 = empty |
 * | 8 | 8 | offset in the device, bytes |
 * | 16 | 8 | length, bytes |
 * | 24 | 4 | mix of the words above with the store's seed and the entry's index |
 * | 28 | 4 | reserved, zero |
 *
 * The mix is no CRC because one is computed for every write: it tells rot and stray entries from good ones, and a
 * sector cannot tear within.
 */
export const LAST_IO_ENTRY_BYTES = 32;

const OFFSET_SEQ = 0;
const OFFSET_OFFSET = 8;
const OFFSET_LENGTH = 16;
const OFFSET_MIX = 24;
const OFFSET_RESERVED = 28;

function mix(bytes: Uint8Array, offset: number, index: number, seed: number): number {
  let hash = (seed ^ Math.imul(index + 1, 0x9e3779b1)) | 0;
  for (let at = offset; at < offset + OFFSET_MIX; at += 4) {
    hash = Math.imul(hash ^ (readU32(bytes, at) | 0), 0x85ebca6b);
    hash ^= hash >>> 13;
  }
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Writes an entry. */
export function encodeLastIo(
  bytes: Uint8Array,
  offset: number,
  index: number,
  seed: number,
  writeSeq: number,
  offsetBytes: number,
  lengthBytes: number,
): void {
  writeU64(bytes, offset + OFFSET_SEQ, writeSeq);
  writeU64(bytes, offset + OFFSET_OFFSET, offsetBytes);
  writeU64(bytes, offset + OFFSET_LENGTH, lengthBytes);
  writeU32(bytes, offset + OFFSET_MIX, mix(bytes, offset, index, seed));
  writeU32(bytes, offset + OFFSET_RESERVED, 0);
}

/** Whether the entry says nothing: all zero. */
export function lastIoEmpty(bytes: Uint8Array, offset: number): boolean {
  for (let at = offset; at < offset + LAST_IO_ENTRY_BYTES; at += 4) if (readU32(bytes, at) !== 0) return false;
  return true;
}

/** Why a non-empty entry is not acceptable in the store of a device of `sizeBytes`, or null. */
export function invalidLastIo(bytes: Uint8Array, offset: number, index: number, seed: number, sizeBytes: number): string | null {
  if (readU32(bytes, offset + OFFSET_MIX) !== mix(bytes, offset, index, seed)) return 'its check value is wrong';
  if (readU32(bytes, offset + OFFSET_RESERVED) !== 0) return 'reserved bytes are not zero';
  const writeSeq = readU64(bytes, offset + OFFSET_SEQ);
  const offsetBytes = readU64(bytes, offset + OFFSET_OFFSET);
  const lengthBytes = readU64(bytes, offset + OFFSET_LENGTH);
  if (!(writeSeq > 0)) return 'its write sequence is out of range';
  if (!(lengthBytes > 0) || !(offsetBytes + lengthBytes <= sizeBytes)) return 'its range leaves the device';
  return null;
}

export function lastIoWriteSeq(bytes: Uint8Array, offset: number): number {
  return readU64(bytes, offset + OFFSET_SEQ);
}

export function lastIoOffsetBytes(bytes: Uint8Array, offset: number): number {
  return readU64(bytes, offset + OFFSET_OFFSET);
}

export function lastIoLengthBytes(bytes: Uint8Array, offset: number): number {
  return readU64(bytes, offset + OFFSET_LENGTH);
}
