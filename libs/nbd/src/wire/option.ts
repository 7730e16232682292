import { readU32, writeU16, writeU32, writeU64 } from './bytes.ts';
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

/** The header of a reply to an option: magic, option, reply type, length of the data that follows. */
export const OPTION_REPLY_HEADER_BYTES = 20;

export function encodeOptionReplyHeader(bytes: Uint8Array, offset: number, option: number, replyType: number, dataBytes: number): void {
  writeU32(bytes, offset, OPTION_REPLY_MAGIC_HIGH);
  writeU32(bytes, offset + 4, OPTION_REPLY_MAGIC_LOW);
  writeU32(bytes, offset + 8, option);
  writeU32(bytes, offset + 12, replyType);
  writeU32(bytes, offset + 16, dataBytes);
}

/** Data of NBD_REP_INFO with NBD_INFO_EXPORT. */
export const INFO_EXPORT_BYTES = 12;

export function encodeInfoExport(bytes: Uint8Array, offset: number, sizeBytes: number, transmissionFlags: number): void {
  writeU16(bytes, offset, InfoType.EXPORT);
  writeU64(bytes, offset + 2, sizeBytes);
  writeU16(bytes, offset + 10, transmissionFlags);
}

/** Data of NBD_REP_INFO with NBD_INFO_BLOCK_SIZE. */
export const INFO_BLOCK_SIZE_BYTES = 14;

export function encodeInfoBlockSize(bytes: Uint8Array, offset: number, minBytes: number, preferredBytes: number, maxBytes: number): void {
  writeU16(bytes, offset, InfoType.BLOCK_SIZE);
  writeU32(bytes, offset + 2, minBytes);
  writeU32(bytes, offset + 6, preferredBytes);
  writeU32(bytes, offset + 10, maxBytes);
}
