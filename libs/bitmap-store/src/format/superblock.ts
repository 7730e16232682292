import { assert, crc32c, decodeUuid, encodeUuid, isUuid } from '@rmr/runtime';
import { FORMAT_VERSION, FORMAT_VERSION_OLDEST, MAP_SIDES, MEMBER_ID_MAX, MEMBER_SLOTS, NAME_BYTES_MAX, PAGE_BYTES } from '../constants.ts';
import type { StoreParameters } from '../types.ts';
import { computeLayout, type Geometry, HOME_A_OFFSET, HOME_B_OFFSET, invalidGeometry, JOURNAL_OFFSET, LAST_IO_OFFSET } from './layout.ts';
import { decodeText, encodeText } from './text.ts';
import { allZero, readU64, writeU64 } from './u64.ts';

/** A superblock: one page. Everything in it is fixed when the store is created, except format version and sequence. */
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

/** Whether the page starts as a superblock does. */
export function hasSuperblockMagic(page: Uint8Array): boolean {
  for (let i = 0; i < MAGIC.length; i++) if (page[i] !== MAGIC[i]) return false;
  return true;
}

/** The format version that the page claims. */
export function superblockFormatVersion(page: Uint8Array): number {
  return viewOf(page).getUint32(OFFSET_FORMAT_VERSION, true);
}

/** Whether this program can open a store of that format version. */
export function isKnownVersion(version: number): boolean {
  return version >= FORMAT_VERSION_OLDEST && version <= FORMAT_VERSION;
}

/** Whether the checksum fits; it stands at the same place in every format version. */
export function superblockChecksumFits(page: Uint8Array): boolean {
  return viewOf(page).getUint32(OFFSET_CRC, true) === crc32c(page.subarray(OFFSET_FORMAT_VERSION, SUPERBLOCK_BYTES));
}

/** Writes a superblock page. */
export function encodeSuperblock(page: Uint8Array, superblock: Superblock): void {
  assert(page.length === SUPERBLOCK_BYTES, 'superblock: one page');
  assert(invalidGeometry(superblock) === null, 'superblock: geometry is valid');
  page.fill(0);
  const view = viewOf(page);
  page.set(MAGIC, 0);
  view.setUint32(OFFSET_FORMAT_VERSION, superblock.formatVersion, true);
  encodeUuid(superblock.storeUuid, page, OFFSET_STORE_UUID);
  encodeUuid(superblock.poolUuid, page, OFFSET_POOL_UUID);
  encodeUuid(superblock.lineageUuid, page, OFFSET_LINEAGE_UUID);
  writeU64(view, OFFSET_SEQUENCE, superblock.sequence);
  writeU64(view, OFFSET_DEVICE_BYTES, superblock.deviceBytes);
  view.setUint32(OFFSET_CHUNK_BYTES, superblock.chunkBytes, true);
  view.setUint32(OFFSET_QUEUE_DEPTH, superblock.queueDepth, true);
  writeU64(view, OFFSET_REGION_BYTES, superblock.regionBytes);
  view.setUint32(OFFSET_JOURNAL_BYTES, superblock.journalBytes, true);
  view.setUint32(OFFSET_MEMBER_ID, superblock.memberId, true);
  view.setUint8(OFFSET_MEMBER_SLOTS, MEMBER_SLOTS);
  view.setUint8(OFFSET_MAP_SIDES, MAP_SIDES);
  const flags = (superblock.createdZeroed ? FLAG_CREATED_ZEROED : 0) | (superblock.witness ? FLAG_WITNESS : 0);
  view.setUint32(OFFSET_FLAGS, flags, true);
  const offsets = offsetsOf(superblock);
  for (let i = 0; i < offsets.length; i++) writeU64(view, OFFSET_OFFSETS + i * 8, offsets[i] as number);
  const name = encodeText(superblock.poolName);
  assert(name.length <= NAME_BYTES_MAX, 'superblock: the pool name fits');
  view.setUint16(OFFSET_NAME_BYTES, name.length, true);
  page.set(name, OFFSET_NAME);
  view.setUint32(OFFSET_CRC, crc32c(page.subarray(OFFSET_FORMAT_VERSION)), true);
  assert(invalidSuperblock(page) === null, 'superblock: what was written is valid');
}

/** Why the page is not a good superblock of a format version that is known, or null. */
export function invalidSuperblock(page: Uint8Array): string | null {
  if (page.length !== SUPERBLOCK_BYTES) return 'it is not one page';
  if (!hasSuperblockMagic(page)) return 'the magic number is missing';
  const view = viewOf(page);
  if (!superblockChecksumFits(page)) return 'the checksum is wrong';
  if (!isKnownVersion(view.getUint32(OFFSET_FORMAT_VERSION, true))) return 'the format version is another one';
  if (view.getUint8(OFFSET_MEMBER_SLOTS) !== MEMBER_SLOTS) return 'the number of member slots is another one';
  if (view.getUint8(OFFSET_MAP_SIDES) !== MAP_SIDES) return 'the number of map sides is another one';
  if (view.getUint32(OFFSET_FLAGS, true) > FLAGS_ALL) return 'unknown flags are set';
  if (view.getUint32(OFFSET_MEMBER_ID, true) > MEMBER_ID_MAX) return 'the member id is out of range';
  if (!(readU64(view, OFFSET_SEQUENCE) > 0)) return 'the sequence is out of range';
  const geometry = geometryOf(view);
  const wrong = invalidGeometry(geometry);
  if (wrong !== null) return wrong;
  const offsets = offsetsOf(geometry);
  for (let i = 0; i < offsets.length; i++) {
    if (readU64(view, OFFSET_OFFSETS + i * 8) !== offsets[i]) return 'the offsets of the areas do not follow from the sizes';
  }
  const nameBytes = view.getUint16(OFFSET_NAME_BYTES, true);
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
  const view = viewOf(page);
  const poolName = decodeText(page, OFFSET_NAME, view.getUint16(OFFSET_NAME_BYTES, true));
  assert(poolName !== null, 'superblock: the pool name was checked');
  return {
    ...geometryOf(view),
    formatVersion: view.getUint32(OFFSET_FORMAT_VERSION, true),
    storeUuid: decodeUuid(page, OFFSET_STORE_UUID),
    poolUuid: decodeUuid(page, OFFSET_POOL_UUID),
    lineageUuid: decodeUuid(page, OFFSET_LINEAGE_UUID),
    poolName,
    memberId: view.getUint32(OFFSET_MEMBER_ID, true),
    sequence: readU64(view, OFFSET_SEQUENCE),
    createdZeroed: (view.getUint32(OFFSET_FLAGS, true) & FLAG_CREATED_ZEROED) !== 0,
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

function geometryOf(view: DataView): Geometry {
  return {
    deviceBytes: readU64(view, OFFSET_DEVICE_BYTES),
    chunkBytes: view.getUint32(OFFSET_CHUNK_BYTES, true),
    queueDepth: view.getUint32(OFFSET_QUEUE_DEPTH, true),
    regionBytes: readU64(view, OFFSET_REGION_BYTES),
    journalBytes: view.getUint32(OFFSET_JOURNAL_BYTES, true),
    witness: (view.getUint32(OFFSET_FLAGS, true) & FLAG_WITNESS) !== 0,
  };
}

function offsetsOf(geometry: Geometry): readonly number[] {
  const layout = computeLayout(geometry);
  return [HOME_A_OFFSET, HOME_B_OFFSET, LAST_IO_OFFSET, JOURNAL_OFFSET, layout.mapsOffset, layout.dataOffset];
}

function viewOf(page: Uint8Array): DataView {
  return new DataView(page.buffer, page.byteOffset, page.byteLength);
}
