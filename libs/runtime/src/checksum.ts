import { crc32c as nativeCrc32c } from '@node-rs/crc32';

/**
 * CRC-32C (Castagnoli; RFC 3720 appendix B.4) of `bytes`, continuing from `seed`. An unsigned 32-bit integer.
 * It is a pure function, so cores may use it. It is native code, because a table in JavaScript is several times slower.
 */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  return nativeCrc32c(bytes, seed);
}
