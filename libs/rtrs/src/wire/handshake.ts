import { assert, decodeUuid, encodeUuid, readU16, readU32, writeU16, writeU32 } from '@rmr/runtime';
import {
  HEARTBEAT_INTERVAL_MS_MAX,
  HEARTBEAT_INTERVAL_MS_MIN,
  HOST_NAME_BYTES_MAX,
  PAYLOAD_BYTES_MAX,
  PAYLOAD_BYTES_MIN,
  QUEUE_DEPTH_MAX,
} from '../constants.ts';
import type { PeerIdentity } from '../identity.ts';
import { HANDSHAKE_BYTES } from './frame-header.ts';

/**
 * The body of HELLO and WELCOME, as user header of its frame.
 *
 * | offset | size | HELLO | WELCOME |
 * | --- | --- | --- | --- |
 * | 0 | 2 | lowest protocol version spoken | the version in use |
 * | 2 | 2 | highest protocol version spoken | the version in use |
 * | 4 | 4 | features wanted | features in use |
 * | 8 | 8 | session generation to join, 0 for a new session | the session's generation |
 * | 16 | 4 | 0 | path number, from 1, never used again in the session |
 * | 20 | 4 | largest payload wanted | largest payload granted |
 * | 24 | 4 | heartbeat interval wanted, ms | heartbeat interval in use, ms |
 * | 28 | 2 | IO permits wanted | IO permits granted |
 * | 30 | 1 | bytes of the host name | same |
 * | 31 | 1 | reserved, 0 | same |
 * | 32 | 16 | host UUID | same |
 * | 48 | 16 | boot id | same |
 * | 64 | 16 | incarnation | same |
 * | 80 | 64 | host name, UTF-8, zero-padded | same |
 * | 144 | 16 | reserved, 0 | same |
 *
 * The versions keep their place in every version of the protocol.
 */
export interface Handshake {
  versionMin: number;
  versionMax: number;
  payloadChecksum: boolean;
  /** Below 2^53. */
  generation: number;
  pathId: number;
  maxPayloadBytes: number;
  heartbeatIntervalMs: number;
  queueDepth: number;
  identity: PeerIdentity;
}

export const FEATURE_PAYLOAD_CHECKSUM = 1;

const OFFSET_VERSION_MIN = 0;
const OFFSET_VERSION_MAX = 2;
const OFFSET_FEATURES = 4;
const OFFSET_GENERATION_LOW = 8;
const OFFSET_GENERATION_HIGH = 12;
const OFFSET_PATH_ID = 16;
const OFFSET_MAX_PAYLOAD = 20;
const OFFSET_HEARTBEAT_INTERVAL = 24;
const OFFSET_QUEUE_DEPTH = 28;
const OFFSET_NAME_LENGTH = 30;
const OFFSET_RESERVED_A = 31;
const OFFSET_HOST_UUID = 32;
const OFFSET_BOOT_ID = 48;
const OFFSET_INCARNATION = 64;
const OFFSET_NAME = 80;
const OFFSET_RESERVED_B = 144;
assert(OFFSET_NAME + HOST_NAME_BYTES_MAX === OFFSET_RESERVED_B, 'handshake: the offsets do not add up');
assert(OFFSET_RESERVED_B + 16 === HANDSHAKE_BYTES, 'handshake: the offsets do not add up');

/** Generations fit a double exactly. */
const GENERATION_HIGH_MAX = 0x1f_ffff;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** Writes the body at `offset`. */
export function encodeHandshake(handshake: Handshake, bytes: Uint8Array, offset: number): void {
  bytes.fill(0, offset, offset + HANDSHAKE_BYTES);
  writeU16(bytes, offset + OFFSET_VERSION_MIN, handshake.versionMin);
  writeU16(bytes, offset + OFFSET_VERSION_MAX, handshake.versionMax);
  writeU32(bytes, offset + OFFSET_FEATURES, handshake.payloadChecksum ? FEATURE_PAYLOAD_CHECKSUM : 0);
  writeU32(bytes, offset + OFFSET_GENERATION_LOW, handshake.generation % 0x1_0000_0000);
  writeU32(bytes, offset + OFFSET_GENERATION_HIGH, Math.floor(handshake.generation / 0x1_0000_0000));
  writeU32(bytes, offset + OFFSET_PATH_ID, handshake.pathId);
  writeU32(bytes, offset + OFFSET_MAX_PAYLOAD, handshake.maxPayloadBytes);
  writeU32(bytes, offset + OFFSET_HEARTBEAT_INTERVAL, handshake.heartbeatIntervalMs);
  writeU16(bytes, offset + OFFSET_QUEUE_DEPTH, handshake.queueDepth);
  encodeUuid(handshake.identity.hostUuid, bytes, offset + OFFSET_HOST_UUID);
  encodeUuid(handshake.identity.bootId, bytes, offset + OFFSET_BOOT_ID);
  encodeUuid(handshake.identity.incarnation, bytes, offset + OFFSET_INCARNATION);
  const name = encoder.encode(handshake.identity.hostName);
  assert(name.length >= 1 && name.length <= HOST_NAME_BYTES_MAX, 'handshake: host name too long');
  bytes[offset + OFFSET_NAME_LENGTH] = name.length;
  bytes.set(name, offset + OFFSET_NAME);
}

/** The versions at `offset`, readable in every version of the protocol: [lowest, highest]. */
export function handshakeVersions(bytes: Uint8Array, offset: number): [number, number] {
  return [readU16(bytes, offset + OFFSET_VERSION_MIN), readU16(bytes, offset + OFFSET_VERSION_MAX)];
}

/** What is wrong with the body at `offset`, of a version that we speak, or null. */
export function invalidHandshake(bytes: Uint8Array, offset: number): string | null {
  const [versionMin, versionMax] = handshakeVersions(bytes, offset);
  if (versionMin < 1 || versionMin > versionMax) return 'handshake: impossible versions';
  if (readU32(bytes, offset + OFFSET_GENERATION_HIGH) > GENERATION_HIGH_MAX) return 'handshake: session generation out of range';
  const maxPayloadBytes = readU32(bytes, offset + OFFSET_MAX_PAYLOAD);
  if (maxPayloadBytes < PAYLOAD_BYTES_MIN || maxPayloadBytes > PAYLOAD_BYTES_MAX) return 'handshake: payload size out of range';
  const intervalMs = readU32(bytes, offset + OFFSET_HEARTBEAT_INTERVAL);
  if (intervalMs < HEARTBEAT_INTERVAL_MS_MIN || intervalMs > HEARTBEAT_INTERVAL_MS_MAX) return 'handshake: heartbeat interval out of range';
  const queueDepth = readU16(bytes, offset + OFFSET_QUEUE_DEPTH);
  if (queueDepth < 1 || queueDepth > QUEUE_DEPTH_MAX) return 'handshake: queue depth out of range';
  const nameLength = bytes[offset + OFFSET_NAME_LENGTH] as number;
  if (nameLength < 1 || nameLength > HOST_NAME_BYTES_MAX) return 'handshake: host name length out of range';
  if (bytes[offset + OFFSET_RESERVED_A] !== 0) return 'handshake: reserved bytes are not zero';
  for (let at = OFFSET_NAME + nameLength; at < HANDSHAKE_BYTES; at++) {
    if (bytes[offset + at] !== 0) return 'handshake: reserved bytes are not zero';
  }
  if (decodeText(bytes, offset + OFFSET_NAME, nameLength) === null) return 'handshake: host name is not UTF-8';
  return null;
}

/** Reads the body at `offset`, which has been found valid. Features that we do not know are left out. */
export function decodeHandshake(bytes: Uint8Array, offset: number): Handshake {
  const [versionMin, versionMax] = handshakeVersions(bytes, offset);
  return {
    versionMin,
    versionMax,
    payloadChecksum: (readU32(bytes, offset + OFFSET_FEATURES) & FEATURE_PAYLOAD_CHECKSUM) !== 0,
    generation: readU32(bytes, offset + OFFSET_GENERATION_HIGH) * 0x1_0000_0000 + readU32(bytes, offset + OFFSET_GENERATION_LOW),
    pathId: readU32(bytes, offset + OFFSET_PATH_ID),
    maxPayloadBytes: readU32(bytes, offset + OFFSET_MAX_PAYLOAD),
    heartbeatIntervalMs: readU32(bytes, offset + OFFSET_HEARTBEAT_INTERVAL),
    queueDepth: readU16(bytes, offset + OFFSET_QUEUE_DEPTH),
    identity: {
      hostUuid: decodeUuid(bytes, offset + OFFSET_HOST_UUID),
      hostName: decodeText(bytes, offset + OFFSET_NAME, bytes[offset + OFFSET_NAME_LENGTH] as number) ?? '',
      bootId: decodeUuid(bytes, offset + OFFSET_BOOT_ID),
      incarnation: decodeUuid(bytes, offset + OFFSET_INCARNATION),
    },
  };
}

/** UTF-8 text, or null when it is none. */
export function decodeText(bytes: Uint8Array, offset: number, length: number): string | null {
  try {
    return decoder.decode(bytes.subarray(offset, offset + length));
  } catch {
    return null;
  }
}

/** `text` as UTF-8, cut to `bytesMax` at a character's end. */
export function encodeText(text: string, bytesMax: number): Uint8Array {
  const bytes = new Uint8Array(bytesMax);
  const { written } = encoder.encodeInto(text, bytes);
  return bytes.subarray(0, written);
}
