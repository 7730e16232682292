import { assert, readU16, readU32, writeU16, writeU32 } from '@rmr/runtime';
import { REASON_BYTES_MAX, RESPONSE_HEADER_BYTES_MAX, USER_HEADER_BYTES_MAX } from '../constants.ts';
import { headerChecksum } from './header-checksum.ts';

/**
 * The fixed part of every frame. The user header follows it, then the payload.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | CRC-32C of bytes 4 to the end of the user header |
 * | 4 | 4 | magic `RTRS` |
 * | 8 | 1 | kind |
 * | 9 | 1 | flags |
 * | 10 | 2 | user header length |
 * | 12 | 2 | slot |
 * | 14 | 2 | generation of the slot |
 * | 16 | 4 | status; what it means depends on the kind |
 * | 20 | 4 | payload length |
 * | 24 | 4 | payload CRC-32C, 0 without the flag |
 * | 28 | 4 | reserved, 0 |
 */
export const FRAME_HEADER_BYTES = 32;

export const FRAME_MAGIC = 0x53525452;

export const FrameKind = {
  /** Client to server: the client's identity and wishes. The first frame of every path. */
  HELLO: 1,
  /** Server to client: the server's identity, and what the client gets. */
  WELCOME: 2,
  /** Server to client in place of WELCOME: a {@link RefusalCode} in `status`, text as the user header. */
  REFUSE: 3,
  /** Either way: the session ends on purpose; text as the user header. */
  CLOSE: 4,
  REQUEST: 5,
  /** The answer to the request of the same slot and generation, on the same path; `status` is its outcome. */
  RESPONSE: 6,
  /** Either way: are you there? `status` counts them. */
  PING: 7,
  /** The answer to the PING with the same `status`. */
  PONG: 8,
  /** Client to server: close path number `status`, let what it brought finish, then confirm (I10). */
  FENCE: 9,
  /** Server to client: nothing that came over path number `status` executes any more. */
  FENCED: 10,
} as const;

export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

export const FRAME_FLAG_PAYLOAD_CHECKSUM = 1;

/** Why a server refuses a path. */
export const RefusalCode = {
  /** No protocol version in common. */
  VERSION: 1,
  /** The session to join does not exist (any more): start a new one. */
  SESSION_UNKNOWN: 2,
  SESSIONS_EXHAUSTED: 3,
  PATHS_EXHAUSTED: 4,
  /** The session to join is another client's. */
  IDENTITY: 5,
  /** The server is shutting down. */
  CLOSING: 6,
} as const;

const OFFSET_CHECKSUM = 0;
const OFFSET_MAGIC = 4;
const OFFSET_KIND = 8;
const OFFSET_FLAGS = 9;
const OFFSET_USER_HEADER_LENGTH = 10;
const OFFSET_SLOT = 12;
const OFFSET_GENERATION = 14;
const OFFSET_STATUS = 16;
const OFFSET_PAYLOAD_LENGTH = 20;
const OFFSET_PAYLOAD_CHECKSUM = 24;
const OFFSET_RESERVED = 28;
assert(OFFSET_RESERVED + 4 === FRAME_HEADER_BYTES, 'frame header: the offsets do not add up');

/** The handshake body, in HELLO and WELCOME. Laid out in handshake.ts. */
export const HANDSHAKE_BYTES = 160;

/** Bounds of the user header length, by kind. */
const USER_HEADER_MIN = [0, HANDSHAKE_BYTES, HANDSHAKE_BYTES, 0, 0, 0, 0, 0, 0, 0, 0];
const USER_HEADER_MAX = [
  0,
  HANDSHAKE_BYTES,
  HANDSHAKE_BYTES,
  REASON_BYTES_MAX,
  REASON_BYTES_MAX,
  USER_HEADER_BYTES_MAX,
  RESPONSE_HEADER_BYTES_MAX,
  0,
  0,
  0,
  0,
];

/**
 * Encodes a frame header at `offset`. The user header stands behind it already, as the checksum covers it. Values are
 * in their ranges (the caller's business; what does not fit is cut off).
 */
export function encodeFrameHeader(
  bytes: Uint8Array,
  offset: number,
  kind: FrameKind,
  userHeaderLength: number,
  slot: number,
  generation: number,
  status: number,
  payloadLength: number,
  flags: number,
  payloadChecksum: number,
): void {
  writeU32(bytes, offset + OFFSET_MAGIC, FRAME_MAGIC);
  bytes[offset + OFFSET_KIND] = kind;
  bytes[offset + OFFSET_FLAGS] = flags;
  writeU16(bytes, offset + OFFSET_USER_HEADER_LENGTH, userHeaderLength);
  writeU16(bytes, offset + OFFSET_SLOT, slot);
  writeU16(bytes, offset + OFFSET_GENERATION, generation);
  writeU32(bytes, offset + OFFSET_STATUS, status);
  writeU32(bytes, offset + OFFSET_PAYLOAD_LENGTH, payloadLength);
  writeU32(bytes, offset + OFFSET_PAYLOAD_CHECKSUM, payloadChecksum);
  writeU32(bytes, offset + OFFSET_RESERVED, 0);
  writeU32(bytes, offset + OFFSET_CHECKSUM, headerChecksum(bytes, offset + OFFSET_MAGIC, offset + FRAME_HEADER_BYTES + userHeaderLength));
}

/**
 * What is wrong with the fixed part at `offset`, judged without its user header, or null: then
 * {@link frameUserHeaderLength} can be relied on to be in range for the kind, and {@link frameChecksumFails} be asked
 * once the user header is there. Nothing else may be believed before that.
 */
export function invalidFrameHeader(bytes: Uint8Array, offset: number): string | null {
  if (readU32(bytes, offset + OFFSET_MAGIC) !== FRAME_MAGIC) return 'frame: wrong magic';
  const kind = bytes[offset + OFFSET_KIND] as number;
  if (kind < FrameKind.HELLO || kind > FrameKind.FENCED) return 'frame: unknown kind';
  const userHeaderLength = readU16(bytes, offset + OFFSET_USER_HEADER_LENGTH);
  if (userHeaderLength > (USER_HEADER_MAX[kind] as number)) return 'frame: user header too long';
  if (userHeaderLength < (USER_HEADER_MIN[kind] as number)) return 'frame: user header too short';
  return null;
}

/** Whether the checksum over the header at `offset` and its user header is wrong. */
export function frameChecksumFails(bytes: Uint8Array, offset: number): boolean {
  const to = offset + FRAME_HEADER_BYTES + frameUserHeaderLength(bytes, offset);
  return headerChecksum(bytes, offset + OFFSET_MAGIC, to) !== readU32(bytes, offset + OFFSET_CHECKSUM);
}

/**
 * Null, or the reason why the fields of a header are bad. The header's checksum has been checked before. `payloadBytesMax` is the negotiated
 * limit, or 0 before the handshake. `payloadChecksums` tells whether payloads must carry a checksum.
 */
export function invalidFrameFields(bytes: Uint8Array, offset: number, payloadBytesMax: number, payloadChecksums: boolean): string | null {
  const kind = bytes[offset + OFFSET_KIND] as number;
  const payloadLength = readU32(bytes, offset + OFFSET_PAYLOAD_LENGTH);
  const flags = bytes[offset + OFFSET_FLAGS] as number;
  if (readU32(bytes, offset + OFFSET_RESERVED) !== 0) return 'frame: reserved bytes are not zero';
  if (kind === FrameKind.REQUEST || kind === FrameKind.RESPONSE) {
    if (payloadLength > payloadBytesMax) return 'frame: payload longer than negotiated';
    if (flags !== (payloadChecksums && payloadLength > 0 ? FRAME_FLAG_PAYLOAD_CHECKSUM : 0)) return 'frame: flags not as negotiated';
    if (kind === FrameKind.REQUEST && readU32(bytes, offset + OFFSET_STATUS) !== 0) return 'frame: a request with a status';
  } else {
    if (payloadLength !== 0) return 'frame: a payload where none may be';
    if (flags !== 0) return 'frame: unknown flags';
    if (readU32(bytes, offset + OFFSET_SLOT) !== 0) return 'frame: a slot where none may be';
    if (kind <= FrameKind.WELCOME && readU32(bytes, offset + OFFSET_STATUS) !== 0) return 'frame: a status where none may be';
  }
  if (flags === 0 && readU32(bytes, offset + OFFSET_PAYLOAD_CHECKSUM) !== 0) return 'frame: a payload checksum without its flag';
  return null;
}

export function frameKind(bytes: Uint8Array, offset: number): number {
  return bytes[offset + OFFSET_KIND] as number;
}

export function frameUserHeaderLength(bytes: Uint8Array, offset: number): number {
  return readU16(bytes, offset + OFFSET_USER_HEADER_LENGTH);
}

export function frameSlot(bytes: Uint8Array, offset: number): number {
  return readU16(bytes, offset + OFFSET_SLOT);
}

export function frameGeneration(bytes: Uint8Array, offset: number): number {
  return readU16(bytes, offset + OFFSET_GENERATION);
}

export function frameStatus(bytes: Uint8Array, offset: number): number {
  return readU32(bytes, offset + OFFSET_STATUS);
}

export function framePayloadLength(bytes: Uint8Array, offset: number): number {
  return readU32(bytes, offset + OFFSET_PAYLOAD_LENGTH);
}

export function framePayloadChecksum(bytes: Uint8Array, offset: number): number {
  return readU32(bytes, offset + OFFSET_PAYLOAD_CHECKSUM);
}
