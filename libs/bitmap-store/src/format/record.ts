import { assert, crc32c, readU16, readU32, writeU16, writeU32 } from '@rmr/runtime';
import { PAGE_BYTES, RECORD_BYTES_MAX } from '../constants.ts';
import { allZero, readU64, writeU64 } from './fields.ts';

/**
 * A record: what journal and home areas are made of. A header and a list of entries under one checksum; either all
 * of its entries count or none. It starts on a page and is padded with zeroes to whole pages.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | magic: "RMRJ" journal, "RMRH" home |
 * | 4 | 4 | CRC-32C of bytes 8..length, seeded with the store |
 * | 8 | 8 | sequence: journal records count up by one; home records count generations |
 * | 16 | 8 | tail: every journal record below it is contained in the home areas |
 * | 24 | 4 | length in bytes without the padding |
 * | 28 | 4 | number of entries |
 * | 32 | 32 | reserved, zero |
 * | 64 | … | entries |
 *
 * Entry: type (2), reserved (2), payload length (4), payload, zeroes up to a multiple of 8.
 */
export const RECORD_HEADER_BYTES = 64;
export const ENTRY_HEADER_BYTES = 8;

export const RecordMagic = { JOURNAL: 0x4a524d52, HOME: 0x48524d52 } as const;
export type RecordMagic = (typeof RecordMagic)[keyof typeof RecordMagic];

const OFFSET_MAGIC = 0;
const OFFSET_CRC = 4;
const OFFSET_SEQUENCE = 8;
const OFFSET_TAIL = 16;
const OFFSET_LENGTH = 24;
const OFFSET_ENTRIES = 28;
const OFFSET_RESERVED = 32;

/** Bytes an entry of this payload takes. */
export function entryBytes(payloadBytes: number): number {
  return ENTRY_HEADER_BYTES + Math.ceil(payloadBytes / 8) * 8;
}

/** Bytes on disk of a record of this length. */
export function paddedBytes(lengthBytes: number): number {
  return Math.ceil(lengthBytes / PAGE_BYTES) * PAGE_BYTES;
}

/** Builds one record at a time in memory of its own. */
export class RecordWriter {
  readonly bytes = new Uint8Array(RECORD_BYTES_MAX);
  #lengthBytes = 0;
  #entryCount = 0;
  #reserveBytes = 0;

  /** Number of entries so far. */
  get entryCount(): number {
    return this.#entryCount;
  }

  /** Length of the record so far, without padding. */
  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  /** Bytes that are left for entries, beside the reserve. */
  get bytesLeft(): number {
    return RECORD_BYTES_MAX - this.#lengthBytes - this.#reserveBytes;
  }

  /** Forgets what was there and starts a record. `reserveBytes` are kept free until {@link useReserve}. */
  begin(reserveBytes = 0): void {
    this.#lengthBytes = RECORD_HEADER_BYTES;
    this.#entryCount = 0;
    this.#reserveBytes = reserveBytes;
  }

  /** What was kept free may be used. */
  useReserve(): void {
    this.#reserveBytes = 0;
  }

  /** Adds an entry of zeroes; the caller fills in the payload at the returned offset. */
  add(type: number, payloadBytes: number): number {
    const size = entryBytes(payloadBytes);
    assert(size <= this.bytesLeft, 'record: the entry fits');
    const at = this.#lengthBytes;
    this.bytes.fill(0, at, at + size);
    writeU16(this.bytes, at, type);
    writeU32(this.bytes, at + 4, payloadBytes);
    this.#lengthBytes += size;
    this.#entryCount++;
    return at + ENTRY_HEADER_BYTES;
  }

  /** Completes the record. Returns its bytes with the padding: a view that holds until the next `begin`. */
  finish(magic: RecordMagic, sequence: number, tail: number, seed: number): Uint8Array {
    const length = this.#lengthBytes;
    assert(length >= RECORD_HEADER_BYTES, 'record: begun');
    const padded = paddedBytes(length);
    this.bytes.fill(0, 0, RECORD_HEADER_BYTES);
    this.bytes.fill(0, length, padded);
    writeU32(this.bytes, OFFSET_MAGIC, magic);
    writeU64(this.bytes, OFFSET_SEQUENCE, sequence);
    writeU64(this.bytes, OFFSET_TAIL, tail);
    writeU32(this.bytes, OFFSET_LENGTH, length);
    writeU32(this.bytes, OFFSET_ENTRIES, this.#entryCount);
    writeU32(this.bytes, OFFSET_CRC, crc32c(this.bytes.subarray(OFFSET_SEQUENCE, length), seed));
    return this.bytes.subarray(0, padded);
  }
}

/** Whether a record of that kind seems to begin at `offset`. */
export function hasRecordMagic(bytes: Uint8Array, offset: number, magic: RecordMagic): boolean {
  return readU32(bytes, offset + OFFSET_MAGIC) === magic;
}

/** Why no good record begins at `offset`, or null. Looks at the framing of the entries, not at what they mean. */
export function invalidRecord(bytes: Uint8Array, offset: number, magic: RecordMagic, seed: number): string | null {
  if (offset + RECORD_HEADER_BYTES > bytes.length) return 'it leaves the area';
  if (!hasRecordMagic(bytes, offset, magic)) return 'the magic number is missing';
  const length = recordLength(bytes, offset);
  if (length < RECORD_HEADER_BYTES || length > RECORD_BYTES_MAX || length % 8 !== 0) return 'the length is out of range';
  if (offset + length > bytes.length) return 'it leaves the area';
  if (readU32(bytes, offset + OFFSET_CRC) !== crc32c(bytes.subarray(offset + OFFSET_SEQUENCE, offset + length), seed)) {
    return 'the checksum is wrong';
  }
  if (!(recordSequence(bytes, offset) > 0)) return 'the sequence is out of range';
  if (!(recordTail(bytes, offset) > 0)) return 'the tail is out of range';
  if (!allZero(bytes, offset + OFFSET_RESERVED, offset + RECORD_HEADER_BYTES)) return 'reserved bytes are not zero';
  let entries = 0;
  let at = offset + RECORD_HEADER_BYTES;
  while (at < offset + length) {
    if (readU16(bytes, at + 2) !== 0) return 'reserved bytes are not zero';
    const payloadBytes = readU32(bytes, at + 4);
    if (payloadBytes > RECORD_BYTES_MAX) return 'an entry is too long';
    at += entryBytes(payloadBytes);
    entries++;
  }
  if (at !== offset + length) return 'the last entry leaves the record';
  if (entries !== readU32(bytes, offset + OFFSET_ENTRIES)) return 'the number of entries is wrong';
  return null;
}

export function recordSequence(bytes: Uint8Array, offset: number): number {
  return readU64(bytes, offset + OFFSET_SEQUENCE);
}

export function recordTail(bytes: Uint8Array, offset: number): number {
  return readU64(bytes, offset + OFFSET_TAIL);
}

export function recordLength(bytes: Uint8Array, offset: number): number {
  return readU32(bytes, offset + OFFSET_LENGTH);
}

/** Type of the entry at `offset`. */
export function entryType(bytes: Uint8Array, offset: number): number {
  return readU16(bytes, offset);
}

/** Payload length of the entry at `offset`. */
export function entryPayloadBytes(bytes: Uint8Array, offset: number): number {
  return readU32(bytes, offset + 4);
}
