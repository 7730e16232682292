import { assert, readU64 as readAnyU64, readU32, SAFE_HIGH_WORD_MAX, writeU64 as writeAnyU64 } from '@rmr/runtime';

/** The fields of what is on a disk, which may be rot: 64-bit integers, texts, and bytes that have to be zero. */

/** Writes an unsigned integer below 2^53. */
export function writeU64(bytes: Uint8Array, offset: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'u64: value is a safe unsigned integer');
  writeAnyU64(bytes, offset, value);
}

/** The integer, or NaN if it is not below 2^53, so that no comparison accepts it. */
export function readU64(bytes: Uint8Array, offset: number): number {
  return readU32(bytes, offset + 4) <= SAFE_HIGH_WORD_MAX ? readAnyU64(bytes, offset) : Number.NaN;
}

/** Whether `bytes` are all zero in [from, to). */
export function allZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** Whether it is a whole number that can be stored, not below `least`. */
export function isCount(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}

/** The UTF-8 bytes of a text. */
export function encodeText(text: string): Uint8Array {
  return ENCODER.encode(text);
}

/** The text in `length` bytes at `offset`, or null when it is not UTF-8 or leaves the buffer. */
export function decodeText(bytes: Uint8Array, offset: number, length: number): string | null {
  if (offset + length > bytes.length) return null;
  try {
    return DECODER.decode(bytes.subarray(offset, offset + length));
  } catch {
    return null;
  }
}

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { fatal: true });
