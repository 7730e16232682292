// A record of the log, as it lies in the pool: what was put under a key, or that the key was deleted.
import { crc32c, readU16, readU32, readU64, writeU16, writeU32, writeU64 } from '@rmr/runtime';

/** "RLOG", the first four bytes of a record. */
const MAGIC = 0x474f4c52;
const MAGIC_AT = 0;
/** CRC-32C of all that follows, begun with that of the record before: a record counts only behind the one that it was written behind. */
const CRC_AT = 4;
const SEQUENCE_AT = 8;
const KEY_BYTES_AT = 16;
const FLAGS_AT = 18;
const VALUE_BYTES_AT = 20;
const HEADER_BYTES = 24;
const DELETED = 1;
/** Records begin at whole sectors. */
const SECTOR_BYTES = 512;

/** One change of a key. */
export interface LogRecord {
  /** Counts the records of the log, from 1. */
  readonly sequence: number;
  readonly key: string;
  /** Null: the key was deleted. */
  readonly value: Uint8Array | null;
}

/** A record that was found, and what the next one needs. */
export interface FoundRecord {
  readonly record: LogRecord;
  /** Its length in the pool in bytes: whole sectors. */
  readonly lengthBytes: number;
  readonly crc: number;
}

/** The bytes of a record in whole sectors, and its CRC. `previousCrc`: that of the record before, 0 for the first. */
export function encodeRecord(
  { sequence, key, value }: LogRecord,
  previousCrc: number,
): { readonly bytes: Uint8Array; readonly crc: number } {
  const keyBytes = new TextEncoder().encode(key);
  const valueBytes = value?.length ?? 0;
  const end = HEADER_BYTES + keyBytes.length + valueBytes;
  const bytes = new Uint8Array(Math.ceil(end / SECTOR_BYTES) * SECTOR_BYTES);
  writeU32(bytes, MAGIC_AT, MAGIC);
  writeU64(bytes, SEQUENCE_AT, sequence);
  writeU16(bytes, KEY_BYTES_AT, keyBytes.length);
  writeU16(bytes, FLAGS_AT, value === null ? DELETED : 0);
  writeU32(bytes, VALUE_BYTES_AT, valueBytes);
  bytes.set(keyBytes, HEADER_BYTES);
  if (value !== null) bytes.set(value, HEADER_BYTES + keyBytes.length);
  const crc = crc32c(bytes.subarray(SEQUENCE_AT, end), previousCrc);
  writeU32(bytes, CRC_AT, crc);
  return { bytes, crc };
}

/**
 * The record that begins at `at`. `null`: there is none; the log ends here. `cut`: the bytes end before it does.
 * A record whose write was broken off has a wrong CRC, so it is none.
 */
export function decodeRecord(bytes: Uint8Array, at: number, sequence: number, previousCrc: number): FoundRecord | 'cut' | null {
  if (at + HEADER_BYTES > bytes.length) return 'cut';
  if (readU32(bytes, at + MAGIC_AT) !== MAGIC || readU64(bytes, at + SEQUENCE_AT) !== sequence) return null;
  const keyEnd = at + HEADER_BYTES + readU16(bytes, at + KEY_BYTES_AT);
  const end = keyEnd + readU32(bytes, at + VALUE_BYTES_AT);
  const lengthBytes = Math.ceil((end - at) / SECTOR_BYTES) * SECTOR_BYTES;
  if (at + lengthBytes > bytes.length) return 'cut';
  const crc = crc32c(bytes.subarray(at + SEQUENCE_AT, end), previousCrc);
  if (crc !== readU32(bytes, at + CRC_AT)) return null;
  const key = new TextDecoder().decode(bytes.subarray(at + HEADER_BYTES, keyEnd));
  const isDeleted = (readU16(bytes, at + FLAGS_AT) & DELETED) !== 0;
  return { record: { sequence, key, value: isDeleted ? null : bytes.slice(keyEnd, end) }, lengthBytes, crc };
}
