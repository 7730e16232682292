import { assert, readU64 as readAnyU64, readU32, SAFE_HIGH_WORD_MAX, writeU64 as writeAnyU64 } from '@rmr/runtime';

/** What a disk has more of than a message: 64-bit integers that may be rot, and bytes that have to be zero. */

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
