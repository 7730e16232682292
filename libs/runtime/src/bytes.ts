/** Little-endian integers at any offset. Plain byte accesses: as fast as a DataView, without one per slab. */

export function readU16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] as number) | ((bytes[offset + 1] as number) << 8);
}

export function readU32(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset] as number) |
      ((bytes[offset + 1] as number) << 8) |
      ((bytes[offset + 2] as number) << 16) |
      ((bytes[offset + 3] as number) << 24)) >>>
    0
  );
}

export function writeU16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
}

export function writeU32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
  bytes[offset + 2] = value >>> 16;
  bytes[offset + 3] = value >>> 24;
}

/** The 64-bit integer. One from 2^53 on loses its low bits: check the {@link SAFE_HIGH_WORD_MAX high word} of what a peer has sent before. */
export function readU64(bytes: Uint8Array, offset: number): number {
  return readU32(bytes, offset + 4) * 0x1_0000_0000 + readU32(bytes, offset);
}

/** `value` is an integer below 2^53. */
export function writeU64(bytes: Uint8Array, offset: number, value: number): void {
  writeU32(bytes, offset, value >>> 0);
  writeU32(bytes, offset + 4, Math.floor(value / 0x1_0000_0000));
}

/** The largest upper half of a 64-bit integer below 2^53. */
export const SAFE_HIGH_WORD_MAX = 0x1f_ffff;
