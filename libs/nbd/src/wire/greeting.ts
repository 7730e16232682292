import { readU16, readU32, writeU16, writeU32, writeU64 } from './bytes.ts';
import { HandshakeFlag, INIT_MAGIC_HIGH, INIT_MAGIC_LOW, OPTION_MAGIC_HIGH, OPTION_MAGIC_LOW } from './protocol.ts';

/** What the server says first: `NBDMAGIC`, `IHAVEOPT`, 16 bits of handshake flags. */
export const GREETING_BYTES = 18;

/** Handshake flags of this server. */
export const SERVER_HANDSHAKE_FLAGS = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES;

export function encodeGreeting(bytes: Uint8Array, offset: number): void {
  writeU32(bytes, offset, INIT_MAGIC_HIGH);
  writeU32(bytes, offset + 4, INIT_MAGIC_LOW);
  writeU32(bytes, offset + 8, OPTION_MAGIC_HIGH);
  writeU32(bytes, offset + 12, OPTION_MAGIC_LOW);
  writeU16(bytes, offset + 16, SERVER_HANDSHAKE_FLAGS);
}

/** The server's handshake flags, of a greeting that is not {@link greetingInvalid}. */
export function decodeGreetingFlags(bytes: Uint8Array, offset: number): number {
  return readU16(bytes, offset + 16);
}

/** Null, or why a client has to hang up. */
export function greetingInvalid(bytes: Uint8Array, offset: number): string | null {
  if (readU32(bytes, offset) !== INIT_MAGIC_HIGH || readU32(bytes, offset + 4) !== INIT_MAGIC_LOW)
    return 'it does not greet as an NBD server does: something else listens at this address';
  if (readU32(bytes, offset + 8) !== OPTION_MAGIC_HIGH || readU32(bytes, offset + 12) !== OPTION_MAGIC_LOW)
    return 'the server speaks the oldstyle handshake, which has no options';
  return (decodeGreetingFlags(bytes, offset) & HandshakeFlag.FIXED_NEWSTYLE) === 0
    ? 'the server does not offer the fixed newstyle handshake'
    : null;
}

/** What the client answers: 32 bits of flags. */
export const CLIENT_FLAGS_BYTES = 4;

export const decodeClientFlags = readU32;
export const encodeClientFlags = writeU32;

/** Null, or why the server has to hang up. */
export function clientFlagsInvalid(bytes: Uint8Array, offset: number): string | null {
  const unknown = readU32(bytes, offset) & ~SERVER_HANDSHAKE_FLAGS;
  return unknown === 0 ? null : 'the client set handshake flags that this server has not offered';
}

/** The reply to EXPORT_NAME: size, transmission flags, and 124 zeroes unless NO_ZEROES was agreed on. */
export const EXPORT_REPLY_BYTES = 10;
export const EXPORT_REPLY_PADDED_BYTES = EXPORT_REPLY_BYTES + 124;

/** Encodes the reply to EXPORT_NAME, with its padding when `padded`. */
export function encodeExportReply(bytes: Uint8Array, offset: number, sizeBytes: number, transmissionFlags: number, padded: boolean): void {
  writeU64(bytes, offset, sizeBytes);
  writeU16(bytes, offset + 8, transmissionFlags);
  if (padded) bytes.fill(0, offset + EXPORT_REPLY_BYTES, offset + EXPORT_REPLY_PADDED_BYTES);
}
