import { writeU16, writeU32, writeU64 } from './bytes.ts';
import { SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC } from './protocol.ts';

/** A simple reply: magic, error, cookie. A READ's data follows. */
export const SIMPLE_REPLY_BYTES = 16;

export const SIMPLE_REPLY_ERROR_OFFSET = 4;
/** In simple replies and in chunks: where the cookie is, as two words. */
export const REPLY_COOKIE_OFFSET = 8;

export function encodeSimpleReply(bytes: Uint8Array, offset: number, error: number, cookieHigh: number, cookieLow: number): void {
  writeU32(bytes, offset, SIMPLE_REPLY_MAGIC);
  writeU32(bytes, offset + 4, error);
  writeU32(bytes, offset + 8, cookieHigh);
  writeU32(bytes, offset + 12, cookieLow);
}

/** The header of a chunk of a structured reply: magic, flags, type, cookie, length of the payload that follows. */
export const CHUNK_HEADER_BYTES = 20;

export const CHUNK_FLAGS_OFFSET = 4;
export const CHUNK_TYPE_OFFSET = 6;
export const CHUNK_LENGTH_OFFSET = 16;

export function encodeChunkHeader(
  bytes: Uint8Array,
  offset: number,
  flags: number,
  type: number,
  cookieHigh: number,
  cookieLow: number,
  payloadBytes: number,
): void {
  writeU32(bytes, offset, STRUCTURED_REPLY_MAGIC);
  writeU16(bytes, offset + 4, flags);
  writeU16(bytes, offset + 6, type);
  writeU32(bytes, offset + 8, cookieHigh);
  writeU32(bytes, offset + 12, cookieLow);
  writeU32(bytes, offset + 16, payloadBytes);
}

/** Payload of OFFSET_DATA before the data. */
export const OFFSET_DATA_PREFIX_BYTES = 8;

/** Payload of OFFSET_HOLE: offset and length. */
export const OFFSET_HOLE_BYTES = 12;

export function encodeOffsetHole(bytes: Uint8Array, offset: number, holeOffsetBytes: number, holeBytes: number): void {
  writeU64(bytes, offset, holeOffsetBytes);
  writeU32(bytes, offset + 8, holeBytes);
}

/** Payload of ERROR before the message: error and the message's length. ERROR_OFFSET has the offset behind the message. */
export const ERROR_PREFIX_BYTES = 6;
export const ERROR_OFFSET_SUFFIX_BYTES = 8;

export function encodeErrorPrefix(bytes: Uint8Array, offset: number, error: number, messageBytes: number): void {
  writeU32(bytes, offset, error);
  writeU16(bytes, offset + 4, messageBytes);
}

/** Payload of BLOCK_STATUS before the descriptors: the metadata context's id. */
export const BLOCK_STATUS_PREFIX_BYTES = 4;
/** One descriptor: length and flags of a run. */
export const DESCRIPTOR_BYTES = 8;

export function encodeDescriptor(bytes: Uint8Array, offset: number, lengthBytes: number, flags: number): void {
  writeU32(bytes, offset, lengthBytes);
  writeU32(bytes, offset + 4, flags);
}
