import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from './bytes.ts';
import { InfoType, OPTION_MAGIC_HIGH, OPTION_MAGIC_LOW, OPTION_REPLY_MAGIC_HIGH, OPTION_REPLY_MAGIC_LOW } from './protocol.ts';

/** The header of an option: `IHAVEOPT`, option, length of its data. */
export const OPTION_HEADER_BYTES = 16;
export const OPTION_CODE_OFFSET = 8;
export const OPTION_LENGTH_OFFSET = 12;

/** Null, or why the bytes are no option header. */
export function optionHeaderInvalid(bytes: Uint8Array, offset: number): string | null {
  if (readU32(bytes, offset) !== OPTION_MAGIC_HIGH || readU32(bytes, offset + 4) !== OPTION_MAGIC_LOW) {
    return 'an option does not begin with IHAVEOPT';
  }
  return null;
}

/** Encodes the header of an option with `dataBytes` bytes of data behind it. */
export function encodeOptionHeader(bytes: Uint8Array, offset: number, option: number, dataBytes: number): void {
  writeU32(bytes, offset, OPTION_MAGIC_HIGH);
  writeU32(bytes, offset + 4, OPTION_MAGIC_LOW);
  writeU32(bytes, offset + OPTION_CODE_OFFSET, option);
  writeU32(bytes, offset + OPTION_LENGTH_OFFSET, dataBytes);
}

/** The header of a reply to an option: magic, option, reply type, length of the data that follows. */
export const OPTION_REPLY_HEADER_BYTES = 20;

export function encodeOptionReplyHeader(bytes: Uint8Array, offset: number, option: number, replyType: number, dataBytes: number): void {
  writeU32(bytes, offset, OPTION_REPLY_MAGIC_HIGH);
  writeU32(bytes, offset + 4, OPTION_REPLY_MAGIC_LOW);
  writeU32(bytes, offset + 8, option);
  writeU32(bytes, offset + 12, replyType);
  writeU32(bytes, offset + 16, dataBytes);
}

export const OPTION_REPLY_OPTION_OFFSET = 8;
export const OPTION_REPLY_TYPE_OFFSET = 12;
export const OPTION_REPLY_LENGTH_OFFSET = 16;

/** Null, or why the bytes are no header of a reply to `option`. */
export function optionReplyInvalid(bytes: Uint8Array, offset: number, option: number): string | null {
  if (readU32(bytes, offset) !== OPTION_REPLY_MAGIC_HIGH || readU32(bytes, offset + 4) !== OPTION_REPLY_MAGIC_LOW)
    return 'a reply to an option does not begin with its magic number';
  const answered = readU32(bytes, offset + OPTION_REPLY_OPTION_OFFSET);
  return answered === option ? null : `a reply is to option ${answered}, and option ${option} was asked`;
}

/** The data of GO and INFO: the length of the name, the name, the number of requests for information, and these. */
export function encodeInfoRequest(name: Uint8Array, infoTypes: readonly number[]): Uint8Array {
  const data = new Uint8Array(6 + name.length + 2 * infoTypes.length);
  writeU32(data, 0, name.length);
  data.set(name, 4);
  writeU16(data, 4 + name.length, infoTypes.length);
  for (const [index, type] of infoTypes.entries()) writeU16(data, 6 + name.length + 2 * index, type);
  return data;
}

/** The data of LIST_META_CONTEXT and SET_META_CONTEXT with one query. */
export function encodeMetaQuery(name: Uint8Array, query: Uint8Array): Uint8Array {
  const data = new Uint8Array(12 + name.length + query.length);
  writeU32(data, 0, name.length);
  data.set(name, 4);
  writeU32(data, 4 + name.length, 1);
  writeU32(data, 8 + name.length, query.length);
  data.set(query, 12 + name.length);
  return data;
}

/** Data of NBD_REP_INFO before what depends on its type, which is its first field. */
export const INFO_TYPE_BYTES = 2;

export const decodeInfoType = readU16;

/** Data of NBD_REP_META_CONTEXT before the context's name: its id. */
export const META_CONTEXT_ID_BYTES = 4;

export const decodeMetaContextId = readU32;

/** Data of NBD_REP_INFO with NBD_INFO_EXPORT. */
export const INFO_EXPORT_BYTES = 12;

export function encodeInfoExport(bytes: Uint8Array, offset: number, sizeBytes: number, transmissionFlags: number): void {
  writeU16(bytes, offset, InfoType.EXPORT);
  writeU64(bytes, offset + 2, sizeBytes);
  writeU16(bytes, offset + 10, transmissionFlags);
}

/** Size in bytes (from 2^53 on without its low bits) and transmission flags. */
export function decodeInfoExport(bytes: Uint8Array, offset: number): { readonly sizeBytes: number; readonly transmissionFlags: number } {
  return { sizeBytes: readU64(bytes, offset + 2), transmissionFlags: readU16(bytes, offset + 10) };
}

/** Data of NBD_REP_INFO with NBD_INFO_BLOCK_SIZE. */
export const INFO_BLOCK_SIZE_BYTES = 14;

export function encodeInfoBlockSize(bytes: Uint8Array, offset: number, minBytes: number, preferredBytes: number, maxBytes: number): void {
  writeU16(bytes, offset, InfoType.BLOCK_SIZE);
  writeU32(bytes, offset + 2, minBytes);
  writeU32(bytes, offset + 6, preferredBytes);
  writeU32(bytes, offset + 10, maxBytes);
}

/** Sizes of blocks in bytes, as the server says them. */
export interface BlockSizes {
  readonly minBytes: number;
  readonly preferredBytes: number;
  readonly maxBytes: number;
}

export function decodeInfoBlockSize(bytes: Uint8Array, offset: number): BlockSizes {
  return { minBytes: readU32(bytes, offset + 2), preferredBytes: readU32(bytes, offset + 6), maxBytes: readU32(bytes, offset + 10) };
}

/** Null, or why block sizes are not what the protocol allows. */
export function blockSizesInvalid({ minBytes, preferredBytes, maxBytes }: BlockSizes): string | null {
  const isPowerOfTwo = (value: number): boolean => Number.isInteger(Math.log2(value));
  if (!isPowerOfTwo(minBytes) || minBytes > 65_536) return `the minimum block size is ${minBytes}, which is no power of two up to 65536`;
  if (!isPowerOfTwo(preferredBytes) || preferredBytes < minBytes)
    return `the preferred block size is ${preferredBytes}, which is no power of two from the minimum of ${minBytes} on`;
  if (maxBytes !== 0xffff_ffff && (maxBytes < preferredBytes || maxBytes % minBytes !== 0))
    return `the maximum block size is ${maxBytes}, which is no multiple of the minimum of ${minBytes} from the preferred ${preferredBytes} on`;
  return null;
}
