import { assert, crc32c, decodeUuid, encodeUuid, isUuid, readU16, readU32, writeU16, writeU32 } from '@rmr/runtime';
import { FORMAT_VERSION, FORMAT_VERSION_OLDEST, MAP_SIDES, MEMBER_ID_MAX, MEMBER_SLOTS, NAME_BYTES_MAX, PAGE_BYTES } from '../constants.ts';
import type { StoreParameters } from '../types.ts';
import { allZero, decodeText, encodeText, readU64, writeU64 } from './fields.ts';
import { computeLayout, type Geometry, HOME_A_OFFSET, HOME_B_OFFSET, invalidGeometry, JOURNAL_OFFSET, LAST_IO_OFFSET } from './layout.ts';

/**
 * A superblock: one page, which says what the store is. There are two copies. These are its invariants:
 *
 * - Everything in it is fixed when the store is created, except for format version and sequence.
 * - A new superblock has the next sequence, and a format version that is not older ({@link superblockFollows}).
 * - The copies are written one after the other, each durably, so that one of them is whole at any time. The higher sequence wins.
 * - Magic number, checksum and format version stand at the same places in every format version, so that any program can say which one it is.
 * - The offsets of the areas follow from the sizes. What is reserved is zero.
 */
export const SUPERBLOCK_BYTES = PAGE_BYTES;

/** "RMRSTORE" */
const MAGIC = Uint8Array.of(0x52, 0x4d, 0x52, 0x53, 0x54, 0x4f, 0x52, 0x45);

const OFFSET_CRC = 8;
const OFFSET_FORMAT_VERSION = 12;
const OFFSET_STORE_UUID = 16;
const OFFSET_POOL_UUID = 32;
const OFFSET_LINEAGE_UUID = 48;
const OFFSET_SEQUENCE = 64;
const OFFSET_DEVICE_BYTES = 72;
const OFFSET_CHUNK_BYTES = 80;
const OFFSET_QUEUE_DEPTH = 84;
const OFFSET_REGION_BYTES = 88;
const OFFSET_JOURNAL_BYTES = 96;
const OFFSET_MEMBER_ID = 100;
const OFFSET_MEMBER_SLOTS = 104;
const OFFSET_MAP_SIDES = 105;
const OFFSET_RESERVED_1 = 106;
const OFFSET_FLAGS = 108;
const OFFSET_OFFSETS = 112;
const OFFSET_NAME_BYTES = 160;
const OFFSET_RESERVED_2 = 162;
const OFFSET_NAME = 168;
const OFFSET_RESERVED_3 = OFFSET_NAME + NAME_BYTES_MAX;

const FLAG_CREATED_ZEROED = 1;
const FLAG_WITNESS = 2;
const FLAGS_ALL = 3;

/** The content of a superblock. */
export interface Superblock extends StoreParameters, Geometry {
  /** {@link FORMAT_VERSION}, or an older one until the store is opened. */
  readonly formatVersion: number;
  /** Counts how often the pair was written; the higher copy wins. */
  readonly sequence: number;
  /** The data area was proven to read as zeroes when the store was created; true for a witness, which has none. */
  readonly createdZeroed: boolean;
}

/** Whether `next` may be written over `former`: it is of the same store, with the next sequence. */
export function superblockFollows(former: Superblock, next: Superblock): boolean {
  const { formatVersion, sequence } = next;
  const page = new Uint8Array(SUPERBLOCK_BYTES);
  const same = new Uint8Array(SUPERBLOCK_BYTES);
  encodeSuperblock(page, next);
  encodeSuperblock(same, { ...former, formatVersion, sequence });
  return sequence === former.sequence + 1 && formatVersion >= former.formatVersion && page.every((byte, at) => byte === same[at]);
}

/** Whether the page starts as a superblock does. */
export function hasSuperblockMagic(page: Uint8Array): boolean {
  for (let i = 0; i < MAGIC.length; i++) if (page[i] !== MAGIC[i]) return false;
  return true;
}

/** The format version that the page claims. */
export function superblockFormatVersion(page: Uint8Array): number {
  return readU32(page, OFFSET_FORMAT_VERSION);
}

/** Whether this program can open a store of that format version. */
export function isKnownVersion(version: number): boolean {
  return version >= FORMAT_VERSION_OLDEST && version <= FORMAT_VERSION;
}

/** Whether the checksum fits; it stands at the same place in every format version. */
export function superblockChecksumFits(page: Uint8Array): boolean {
  return readU32(page, OFFSET_CRC) === crc32c(page.subarray(OFFSET_FORMAT_VERSION, SUPERBLOCK_BYTES));
}

/** Writes a superblock page. */
export function encodeSuperblock(page: Uint8Array, superblock: Superblock): void {
  assert(page.length === SUPERBLOCK_BYTES, 'superblock: one page');
  assert(invalidGeometry(superblock) === null, 'superblock: geometry is valid');
  page.fill(0);
  page.set(MAGIC, 0);
  writeU32(page, OFFSET_FORMAT_VERSION, superblock.formatVersion);
  encodeUuid(superblock.storeUuid, page, OFFSET_STORE_UUID);
  encodeUuid(superblock.poolUuid, page, OFFSET_POOL_UUID);
  encodeUuid(superblock.lineageUuid, page, OFFSET_LINEAGE_UUID);
  writeU64(page, OFFSET_SEQUENCE, superblock.sequence);
  writeU64(page, OFFSET_DEVICE_BYTES, superblock.sizeBytes);
  writeU32(page, OFFSET_CHUNK_BYTES, superblock.chunkSizeBytes);
  writeU32(page, OFFSET_QUEUE_DEPTH, superblock.queueDepth);
  writeU64(page, OFFSET_REGION_BYTES, superblock.regionBytes);
  writeU32(page, OFFSET_JOURNAL_BYTES, superblock.journalBytes);
  writeU32(page, OFFSET_MEMBER_ID, superblock.memberId);
  page[OFFSET_MEMBER_SLOTS] = MEMBER_SLOTS;
  page[OFFSET_MAP_SIDES] = MAP_SIDES;
  const flags = (superblock.createdZeroed ? FLAG_CREATED_ZEROED : 0) | (superblock.witness ? FLAG_WITNESS : 0);
  writeU32(page, OFFSET_FLAGS, flags);
  const offsets = offsetsOf(superblock);
  for (let i = 0; i < offsets.length; i++) writeU64(page, OFFSET_OFFSETS + i * 8, offsets[i] as number);
  const name = encodeText(superblock.poolName);
  assert(name.length <= NAME_BYTES_MAX, 'superblock: the pool name fits');
  writeU16(page, OFFSET_NAME_BYTES, name.length);
  page.set(name, OFFSET_NAME);
  writeU32(page, OFFSET_CRC, crc32c(page.subarray(OFFSET_FORMAT_VERSION)));
  assert(invalidSuperblock(page) === null, 'superblock: what was written is valid');
}

/** Why the page is not a good superblock of a format version that is known, or null. */
export function invalidSuperblock(page: Uint8Array): string | null {
  if (page.length !== SUPERBLOCK_BYTES) return 'it is not one page';
  if (!hasSuperblockMagic(page)) return 'the magic number is missing';
  if (!superblockChecksumFits(page)) return 'the checksum is wrong';
  if (!isKnownVersion(readU32(page, OFFSET_FORMAT_VERSION))) return 'the format version is another one';
  if ((page[OFFSET_MEMBER_SLOTS] as number) !== MEMBER_SLOTS) return 'the number of member slots is another one';
  if ((page[OFFSET_MAP_SIDES] as number) !== MAP_SIDES) return 'the number of map sides is another one';
  if (readU32(page, OFFSET_FLAGS) > FLAGS_ALL) return 'unknown flags are set';
  if (readU32(page, OFFSET_MEMBER_ID) > MEMBER_ID_MAX) return 'the member id is out of range';
  if (!(readU64(page, OFFSET_SEQUENCE) > 0)) return 'the sequence is out of range';
  const geometry = geometryOf(page);
  const wrong = invalidGeometry(geometry);
  if (wrong !== null) return wrong;
  const offsets = offsetsOf(geometry);
  for (let i = 0; i < offsets.length; i++) {
    if (readU64(page, OFFSET_OFFSETS + i * 8) !== offsets[i]) return 'the offsets of the areas do not follow from the sizes';
  }
  const nameBytes = readU16(page, OFFSET_NAME_BYTES);
  if (nameBytes > NAME_BYTES_MAX) return 'the pool name is too long';
  if (decodeText(page, OFFSET_NAME, nameBytes) === null) return 'the pool name is not UTF-8';
  if (!allZero(page, OFFSET_RESERVED_1, OFFSET_FLAGS)) return 'reserved bytes are not zero';
  if (!allZero(page, OFFSET_RESERVED_2, OFFSET_NAME)) return 'reserved bytes are not zero';
  if (!allZero(page, OFFSET_NAME + nameBytes, OFFSET_RESERVED_3)) return 'reserved bytes are not zero';
  if (!allZero(page, OFFSET_RESERVED_3, SUPERBLOCK_BYTES)) return 'reserved bytes are not zero';
  return null;
}

/** The content of a superblock page that {@link invalidSuperblock} found nothing wrong with. */
export function decodeSuperblock(page: Uint8Array): Superblock {
  const poolName = decodeText(page, OFFSET_NAME, readU16(page, OFFSET_NAME_BYTES));
  assert(poolName !== null, 'superblock: the pool name was checked');
  return {
    ...geometryOf(page),
    formatVersion: readU32(page, OFFSET_FORMAT_VERSION),
    storeUuid: decodeUuid(page, OFFSET_STORE_UUID),
    poolUuid: decodeUuid(page, OFFSET_POOL_UUID),
    lineageUuid: decodeUuid(page, OFFSET_LINEAGE_UUID),
    poolName,
    memberId: readU32(page, OFFSET_MEMBER_ID),
    sequence: readU64(page, OFFSET_SEQUENCE),
    createdZeroed: (readU32(page, OFFSET_FLAGS) & FLAG_CREATED_ZEROED) !== 0,
  };
}

/** Why a store can't be created with these parameters, or null. */
export function invalidParameters(parameters: StoreParameters): string | null {
  if (!isUuid(parameters.storeUuid)) return `the store UUID "${parameters.storeUuid}" is not a UUID in lower-case text form`;
  if (!isUuid(parameters.poolUuid)) return `the pool UUID "${parameters.poolUuid}" is not a UUID in lower-case text form`;
  if (!isUuid(parameters.lineageUuid)) return `the lineage UUID "${parameters.lineageUuid}" is not a UUID in lower-case text form`;
  if (!Number.isInteger(parameters.memberId) || parameters.memberId < 0 || parameters.memberId > MEMBER_ID_MAX) {
    return `the member id is ${parameters.memberId}; it must be from 0 to ${MEMBER_ID_MAX}`;
  }
  if (parameters.poolName.length === 0) return 'the pool name is empty';
  if (encodeText(parameters.poolName).length > NAME_BYTES_MAX) return `the pool name is longer than ${NAME_BYTES_MAX} bytes`;
  return null;
}

/** Seed of every other checksum in the store: what another store wrote never passes for this one's. */
export function storeSeed(storeUuid: string): number {
  const bytes = new Uint8Array(16);
  encodeUuid(storeUuid, bytes, 0);
  return crc32c(bytes);
}

/** Seed of the checksums in one map area. */
export function mapSeed(seed: number, slot: number, side: number): number {
  return crc32c(Uint8Array.of(0x4d, slot, side), seed);
}

function geometryOf(page: Uint8Array): Geometry {
  return {
    sizeBytes: readU64(page, OFFSET_DEVICE_BYTES),
    chunkSizeBytes: readU32(page, OFFSET_CHUNK_BYTES),
    queueDepth: readU32(page, OFFSET_QUEUE_DEPTH),
    regionBytes: readU64(page, OFFSET_REGION_BYTES),
    journalBytes: readU32(page, OFFSET_JOURNAL_BYTES),
    witness: (readU32(page, OFFSET_FLAGS) & FLAG_WITNESS) !== 0,
  };
}

function offsetsOf(geometry: Geometry): readonly number[] {
  const layout = computeLayout(geometry);
  return [HOME_A_OFFSET, HOME_B_OFFSET, LAST_IO_OFFSET, JOURNAL_OFFSET, layout.mapsOffset, layout.dataOffset];
}
