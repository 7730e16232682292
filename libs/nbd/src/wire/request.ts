import { readU32 } from './bytes.ts';
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
