import { assert, readU16, readU32, readU64, SAFE_HIGH_WORD_MAX, writeU16, writeU32, writeU64 } from '@rmr/runtime';
import {
  BLOCK_SHIFT_MAX,
  BLOCK_SHIFT_MIN,
  EXTENTS_BYTES_MAX,
  IO_BYTES_MAX,
  IO_UNITS_MAX,
  MEMBERS_MAX,
  RANGE_BYTES_MAX,
} from '../constants.ts';

/**
 * The RTRS user header of an IO request. Little-endian, {@link IO_MESSAGE_BYTES} bytes, covered by RTRS's header
 * checksum. The data of a write, or of a read's response, is the RTRS payload.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 1 | type, one of {@link MessageType} |
 * | 1 | 1 | flags, {@link IoFlag} |
 * | 2 | 2 | ioUnit: the IO unit |
 * | 4 | 4 | pool handle, from the probe's answer |
 * | 8 | 4 | client epoch, which is also the epoch of the version |
 * | 12 | 4 | version sequence |
 * | 16 | 8 | offset in bytes |
 * | 24 | 4 | length in bytes |
 * | 28 | 1 | number of missing members |
 * | 29 | 8 | ids of the members that miss this write (piggyback; W2), then zeroes |
 * | 37 | 1 | SPARSE: the block size, as the power of two that it is; else 0 |
 * | 38 | 1 | how long the slowest answer took that this member has given since the request before, see felt.ts; 0: it has given none |
 * | 39 | 1 | reserved, zero |
 * | 40 | 8 | write sequence number; 0 for reads and flushes |
 * | 48 | 8 | completedThrough (W7) |
 * | 56 | 8 | reserved, zero |
 */
export const IO_MESSAGE_BYTES = 64;

const OFFSET_TYPE = 0;
const OFFSET_FLAGS = 1;
const OFFSET_IO_UNIT = 2;
const OFFSET_POOL_HANDLE = 4;
const OFFSET_EPOCH = 8;
const OFFSET_VERSION_SEQ = 12;
const OFFSET_RANGE_OFFSET = 16;
const OFFSET_RANGE_LENGTH = 24;
const OFFSET_MISSING_COUNT = 28;
const OFFSET_MISSING = 29;
const OFFSET_BLOCK_SHIFT = 37;
const OFFSET_FELT = 38;
const OFFSET_RESERVED = 39;
const OFFSET_WRITE_SEQ = 40;
const OFFSET_COMPLETED_THROUGH = 48;
const OFFSET_RESERVED_TAIL = 56;
assert(OFFSET_MISSING + MEMBERS_MAX === OFFSET_BLOCK_SHIFT, 'io message: the offsets do not add up');
assert(OFFSET_RESERVED_TAIL + 8 === IO_MESSAGE_BYTES, 'io message: the offsets do not add up');
/** From a 64-bit integer to its upper half. */
const HIGH_WORD = 4;

/**
 * What an RMR message is. The numbers are RMR's own wire format, as it asks for more than a device is asked for. Control messages carry
 * JSON as payload; see control-message.ts.
 */
export const MessageType = {
  READ: 1,
  WRITE: 2,
  DISCARD: 3,
  WRITE_ZEROES: 4,
  FLUSH: 5,
  EXTENTS: 6,
  /** A read by another storage node, for resync (R1): served only where the range is clean, under the very version. */
  SYNC_READ: 7,
  CONTROL: 64,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

export const IoFlag = {
  /** Durable before it is answered. */
  FUA: 1,
  /** Write zeroes: keep the range allocated. */
  NO_HOLE: 2,
  /** SYNC_READ: blocks of zeroes are left out of the answer, which may cover a first part of the range; see sparse-data.ts. */
  SPARSE: 8,
  /** With SPARSE: IO waits for the answer, so that no limit of resync holds it back. */
  URGENT: 16,
} as const;
const FLAGS_ALL = IoFlag.FUA | IoFlag.NO_HOLE | IoFlag.SPARSE | IoFlag.URGENT;

const SPARSE_URGENT = IoFlag.SPARSE | IoFlag.URGENT;

/** A decoded IO message; one object per decoder, reused. */
export class IoMessage {
  type = 0;
  flags = 0;
  ioUnit = 0;
  poolHandle = 0;
  epoch = 0;
  versionSeq = 0;
  offsetBytes = 0;
  lengthBytes = 0;
  missingCount = 0;
  readonly missingMemberIds = new Uint8Array(MEMBERS_MAX);
  writeSeq = 0;
  completedThrough = 0;
  /** SPARSE: the size of a block as a power of two, {@link BLOCK_SHIFT_MIN} to {@link BLOCK_SHIFT_MAX}; else 0. */
  blockShift = 0;
  /** What the client felt of this member since its request before, see felt.ts; 0: nothing. */
  felt = 0;
}

/** Whether the type changes data, and so takes a write sequence number. */
export function isWriteType(type: number): boolean {
  return type === MessageType.WRITE || type === MessageType.DISCARD || type === MessageType.WRITE_ZEROES;
}

/** Writes the message at `at`; returns {@link IO_MESSAGE_BYTES}. */
export function encodeIoMessage(message: IoMessage, bytes: Uint8Array, at: number): number {
  assert(message.missingCount <= MEMBERS_MAX, 'io message: too many missing members');
  bytes[at + OFFSET_TYPE] = message.type;
  bytes[at + OFFSET_FLAGS] = message.flags;
  writeU16(bytes, at + OFFSET_IO_UNIT, message.ioUnit);
  writeU32(bytes, at + OFFSET_POOL_HANDLE, message.poolHandle);
  writeU32(bytes, at + OFFSET_EPOCH, message.epoch);
  writeU32(bytes, at + OFFSET_VERSION_SEQ, message.versionSeq);
  writeU64(bytes, at + OFFSET_RANGE_OFFSET, message.offsetBytes);
  writeU32(bytes, at + OFFSET_RANGE_LENGTH, message.lengthBytes);
  bytes[at + OFFSET_MISSING_COUNT] = message.missingCount;
  for (let i = 0; i < MEMBERS_MAX; i++)
    bytes[at + OFFSET_MISSING + i] = i < message.missingCount ? (message.missingMemberIds[i] as number) : 0;
  bytes[at + OFFSET_BLOCK_SHIFT] = message.blockShift;
  bytes[at + OFFSET_FELT] = message.felt;
  bytes[at + OFFSET_RESERVED] = 0;
  writeU64(bytes, at + OFFSET_WRITE_SEQ, message.writeSeq);
  writeU64(bytes, at + OFFSET_COMPLETED_THROUGH, message.completedThrough);
  writeU64(bytes, at + OFFSET_RESERVED_TAIL, 0);
  return IO_MESSAGE_BYTES;
}

function lengthMax(type: number, flags: number): number {
  if (type === MessageType.SYNC_READ) return (flags & IoFlag.SPARSE) === 0 ? IO_BYTES_MAX : RANGE_BYTES_MAX;
  if (type === MessageType.READ || type === MessageType.WRITE) return IO_BYTES_MAX;
  return type === MessageType.EXTENTS ? EXTENTS_BYTES_MAX : RANGE_BYTES_MAX;
}

/** Null when the `length` bytes at `at` are an IO message, else the reason. Ranges are checked against the device elsewhere. */
export function invalidIoMessage(bytes: Uint8Array, at: number, length: number): string | null {
  if (length !== IO_MESSAGE_BYTES) return 'io message: wrong length';
  const type = bytes[at + OFFSET_TYPE] as number;
  const flags = bytes[at + OFFSET_FLAGS] as number;
  if (type < MessageType.READ || type > MessageType.SYNC_READ) return 'io message: unknown type';
  if ((flags & ~FLAGS_ALL) !== 0) return 'io message: unknown flag';
  if (readU16(bytes, at + OFFSET_IO_UNIT) >= IO_UNITS_MAX) return 'io message: ioUnit beyond the queue depth';
  if (readU32(bytes, at + OFFSET_RANGE_OFFSET + HIGH_WORD) > SAFE_HIGH_WORD_MAX) return 'io message: offset beyond 2^53';
  const lengthBytes = readU32(bytes, at + OFFSET_RANGE_LENGTH);
  if (type === MessageType.FLUSH ? lengthBytes !== 0 : lengthBytes === 0) return 'io message: length does not fit the type';
  if (lengthBytes > lengthMax(type, flags)) return 'io message: length beyond the limit';
  const missingCount = bytes[at + OFFSET_MISSING_COUNT] as number;
  if (missingCount > MEMBERS_MAX) return 'io message: too many missing members';
  for (let i = 0; i < MEMBERS_MAX; i++) {
    if (((bytes[at + OFFSET_MISSING + i] as number) === 0) !== i >= missingCount)
      return 'io message: missing members do not fit their count';
  }
  const blockShift = bytes[at + OFFSET_BLOCK_SHIFT] as number;
  if ((flags & IoFlag.SPARSE) === 0 ? blockShift !== 0 : blockShift < BLOCK_SHIFT_MIN || blockShift > BLOCK_SHIFT_MAX)
    return 'io message: block size does not fit the flags';
  if (((flags & IoFlag.SPARSE) !== 0 && type !== MessageType.SYNC_READ) || (flags & SPARSE_URGENT) === IoFlag.URGENT)
    return 'io message: a flag does not fit the type';
  if (bytes[at + OFFSET_FELT] !== 0 && type === MessageType.SYNC_READ) return 'io message: a storage node feels nothing';
  if (bytes[at + OFFSET_RESERVED] !== 0) return 'io message: reserved bytes set';
  if (
    readU32(bytes, at + OFFSET_WRITE_SEQ + HIGH_WORD) > SAFE_HIGH_WORD_MAX ||
    readU32(bytes, at + OFFSET_COMPLETED_THROUGH + HIGH_WORD) > SAFE_HIGH_WORD_MAX
  )
    return 'io message: sequence number beyond 2^53';
  const isNumbered = readU64(bytes, at + OFFSET_WRITE_SEQ) !== 0;
  if (isWriteType(type) !== isNumbered) return 'io message: sequence number does not fit the type';
  if (readU64(bytes, at + OFFSET_RESERVED_TAIL) !== 0) return 'io message: reserved bytes set';
  return null;
}

/** Reads a message that {@link invalidIoMessage} found valid. */
export function decodeIoMessage(bytes: Uint8Array, at: number, message: IoMessage): void {
  message.type = bytes[at + OFFSET_TYPE] as number;
  message.flags = bytes[at + OFFSET_FLAGS] as number;
  message.ioUnit = readU16(bytes, at + OFFSET_IO_UNIT);
  message.poolHandle = readU32(bytes, at + OFFSET_POOL_HANDLE);
  message.epoch = readU32(bytes, at + OFFSET_EPOCH);
  message.versionSeq = readU32(bytes, at + OFFSET_VERSION_SEQ);
  message.offsetBytes = readU64(bytes, at + OFFSET_RANGE_OFFSET);
  message.lengthBytes = readU32(bytes, at + OFFSET_RANGE_LENGTH);
  message.missingCount = bytes[at + OFFSET_MISSING_COUNT] as number;
  for (let i = 0; i < MEMBERS_MAX; i++) message.missingMemberIds[i] = bytes[at + OFFSET_MISSING + i] as number;
  message.writeSeq = readU64(bytes, at + OFFSET_WRITE_SEQ);
  message.completedThrough = readU64(bytes, at + OFFSET_COMPLETED_THROUGH);
  message.blockShift = bytes[at + OFFSET_BLOCK_SHIFT] as number;
  message.felt = bytes[at + OFFSET_FELT] as number;
}
