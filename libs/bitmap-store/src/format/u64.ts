/**
 * Unsigned 64-bit little-endian integers as doubles. Values from 2^53 on are refused by the parsers (they get NaN),
 * and never written.
 */

import { assert } from '@rmr/runtime';

export function writeU64(view: DataView, offset: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'u64: value is a safe unsigned integer');
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}

/** The value, or NaN when it is not below 2^53. */
export function readU64(view: DataView, offset: number): number {
  const high = view.getUint32(offset + 4, true);
  return high < 0x20_0000 ? high * 0x1_0000_0000 + view.getUint32(offset, true) : Number.NaN;
}

/** Whether `bytes` are all zero in [from, to). */
export function allZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}
