import { readU32, writeU16, writeU32, writeU64 } from './bytes.ts';
import { REQUEST_MAGIC } from './protocol.ts';

/** A request: magic, command flags, command, 64-bit cookie, 64-bit offset, length. A WRITE's payload follows. */
export const REQUEST_BYTES = 28;
export const REQUEST_FLAGS_OFFSET = 4;
export const REQUEST_COMMAND_OFFSET = 6;
export const REQUEST_COOKIE_OFFSET = 8;
export const REQUEST_OFFSET_OFFSET = 16;
export const REQUEST_LENGTH_OFFSET = 24;

/** Null, or why the bytes are no request. */
export function requestInvalid(bytes: Uint8Array, offset: number): string | null {
  return readU32(bytes, offset) === REQUEST_MAGIC ? null : 'a request does not begin with its magic number';
}

/** Encodes a request. `commandOffsetBytes` is an integer below 2^53; `lengthBytes` is a 32-bit number. */
export function encodeRequest(
  bytes: Uint8Array,
  offset: number,
  flags: number,
  command: number,
  cookieHigh: number,
  cookieLow: number,
  commandOffsetBytes: number,
  lengthBytes: number,
): void {
  writeU32(bytes, offset, REQUEST_MAGIC);
  writeU16(bytes, offset + REQUEST_FLAGS_OFFSET, flags);
  writeU16(bytes, offset + REQUEST_COMMAND_OFFSET, command);
  writeU32(bytes, offset + REQUEST_COOKIE_OFFSET, cookieHigh);
  writeU32(bytes, offset + REQUEST_COOKIE_OFFSET + 4, cookieLow);
  writeU64(bytes, offset + REQUEST_OFFSET_OFFSET, commandOffsetBytes);
  writeU32(bytes, offset + REQUEST_LENGTH_OFFSET, lengthBytes);
}
