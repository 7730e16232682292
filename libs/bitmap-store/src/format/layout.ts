import { ChunkGrid } from '@rmr/dirty-map';
import { assert, KIB, MIB } from '@rmr/runtime';
import {
  CHUNK_BYTES_MAX,
  CHUNK_BYTES_MIN,
  CHUNK_COUNT_MAX,
  DATA_ALIGN_BYTES,
  DEVICE_BYTES_STEP,
  INTENT_REGION_BYTES_MIN,
  INTENT_REGION_COUNT_MAX,
  JOURNAL_BYTES_LARGE,
  JOURNAL_BYTES_MAX,
  JOURNAL_BYTES_MIN,
  JOURNAL_BYTES_SMALL,
  JOURNAL_LARGE_DEVICE_BYTES,
  LAST_IO_ENTRIES_MAX,
  MAP_SIDES,
  MEMBER_SLOTS,
  PAGE_BYTES,
  RECORD_BYTES_MAX,
} from '../constants.ts';
import { LAST_IO_ENTRY_BYTES } from './last-io-entry.ts';
import { CHUNKS_PER_PAGE } from './map-sector.ts';

/** First superblock. */
export const SUPERBLOCK_A_OFFSET = 0;
/** Second superblock. It is far from the first, so that one is left when the head of the disk is overwritten. */
export const SUPERBLOCK_B_OFFSET = MIB - PAGE_BYTES;
/** The mark of a failed flush. */
export const DOUBT_OFFSET = PAGE_BYTES;
/** The two home records. What lies between the mark and them is unused. */
export const HOME_A_OFFSET = 64 * KIB;
export const HOME_B_OFFSET = HOME_A_OFFSET + RECORD_BYTES_MAX;
export const LAST_IO_OFFSET = HOME_B_OFFSET + RECORD_BYTES_MAX;
export const JOURNAL_OFFSET = MIB;

assert(
  LAST_IO_OFFSET + LAST_IO_ENTRIES_MAX * LAST_IO_ENTRY_BYTES <= SUPERBLOCK_B_OFFSET,
  'layout: last_io ends before the second superblock',
);

/** Sizes that determine the layout. */
export interface Geometry {
  /** Of the pool's device. */
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  readonly queueDepth: number;
  readonly regionBytes: number;
  readonly journalBytes: number;
  /** A witness has no data area; everything else is as in the stores of data. */
  readonly witness: boolean;
}

/** Where everything is. Offsets are in bytes of the disk. */
export interface Layout extends Geometry {
  /** The device in chunks. */
  readonly grid: ChunkGrid;
  readonly regionCount: number;
  readonly lastIoBytes: number;
  /** One dirty map: one side of one member slot. */
  readonly mapBytes: number;
  readonly mapPages: number;
  readonly mapsOffset: number;
  readonly dataOffset: number;
  /** Bytes the disk must have. */
  readonly totalBytes: number;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && Number.isInteger(Math.log2(value));
}

/** Why the geometry is not acceptable, or null. */
export function invalidGeometry(geometry: Geometry): string | null {
  const { sizeBytes, chunkSizeBytes, queueDepth, regionBytes, journalBytes } = geometry;
  if (!isPowerOfTwo(chunkSizeBytes) || chunkSizeBytes < CHUNK_BYTES_MIN || chunkSizeBytes > CHUNK_BYTES_MAX) {
    return `the chunk size is ${chunkSizeBytes}; it must be a power of two from ${CHUNK_BYTES_MIN} to ${CHUNK_BYTES_MAX} bytes`;
  }
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % DEVICE_BYTES_STEP !== 0) {
    return `the device size is ${sizeBytes}; it must be a positive multiple of ${DEVICE_BYTES_STEP} bytes`;
  }
  if (Math.ceil(sizeBytes / chunkSizeBytes) > CHUNK_COUNT_MAX) {
    return `a device of ${sizeBytes} bytes has more than ${CHUNK_COUNT_MAX} chunks of ${chunkSizeBytes} bytes; choose larger chunks`;
  }
  if (!Number.isInteger(queueDepth) || queueDepth < 1 || queueDepth > LAST_IO_ENTRIES_MAX) {
    return `the queue depth is ${queueDepth}; it must be from 1 to ${LAST_IO_ENTRIES_MAX}`;
  }
  if (!isPowerOfTwo(regionBytes) || regionBytes < chunkSizeBytes || regionBytes > 2 ** 40) {
    return `the write-intent region size is ${regionBytes}; it must be a power of two, at least the chunk size and at most 1 TiB`;
  }
  if (Math.ceil(sizeBytes / regionBytes) > INTENT_REGION_COUNT_MAX) {
    return `a device of ${sizeBytes} bytes has more than ${INTENT_REGION_COUNT_MAX} write-intent regions of ${regionBytes} bytes`;
  }
  if (
    !Number.isInteger(journalBytes) ||
    journalBytes % PAGE_BYTES !== 0 ||
    journalBytes < JOURNAL_BYTES_MIN ||
    journalBytes > JOURNAL_BYTES_MAX
  ) {
    return `the journal size is ${journalBytes}; it must be whole pages from ${JOURNAL_BYTES_MIN} to ${JOURNAL_BYTES_MAX} bytes`;
  }
  return null;
}

/** Region size for a device: the smallest that keeps the number of regions bounded. */
export function regionBytesFor(sizeBytes: number, chunkSizeBytes: number): number {
  let regionBytes = Math.max(INTENT_REGION_BYTES_MIN, chunkSizeBytes);
  while (Math.ceil(sizeBytes / regionBytes) > INTENT_REGION_COUNT_MAX) regionBytes *= 2;
  return regionBytes;
}

/** Journal size for a device. */
export function journalBytesFor(sizeBytes: number): number {
  return sizeBytes >= JOURNAL_LARGE_DEVICE_BYTES ? JOURNAL_BYTES_LARGE : JOURNAL_BYTES_SMALL;
}

/** The layout of a valid geometry. */
export function computeLayout(geometry: Geometry): Layout {
  assert(invalidGeometry(geometry) === null, 'layout: geometry is valid');
  const grid = new ChunkGrid(geometry.sizeBytes, geometry.chunkSizeBytes);
  const regionCount = Math.ceil(geometry.sizeBytes / geometry.regionBytes);
  const mapPages = Math.ceil(grid.chunkCount / CHUNKS_PER_PAGE);
  const mapBytes = mapPages * PAGE_BYTES;
  const mapsOffset = JOURNAL_OFFSET + geometry.journalBytes;
  const metadataBytes = mapsOffset + MEMBER_SLOTS * MAP_SIDES * mapBytes;
  const dataOffset = Math.ceil(metadataBytes / DATA_ALIGN_BYTES) * DATA_ALIGN_BYTES;
  return {
    sizeBytes: geometry.sizeBytes,
    chunkSizeBytes: geometry.chunkSizeBytes,
    queueDepth: geometry.queueDepth,
    regionBytes: geometry.regionBytes,
    journalBytes: geometry.journalBytes,
    witness: geometry.witness,
    grid,
    regionCount,
    lastIoBytes: Math.ceil((geometry.queueDepth * LAST_IO_ENTRY_BYTES) / PAGE_BYTES) * PAGE_BYTES,
    mapBytes,
    mapPages,
    mapsOffset,
    dataOffset,
    totalBytes: dataOffset + (geometry.witness ? 0 : geometry.sizeBytes),
  };
}

/** Offset of one side of one slot's map. */
export function mapOffset(layout: Layout, slot: number, side: number): number {
  assert(slot >= 0 && slot < MEMBER_SLOTS, 'layout: slot in range');
  assert(side >= 0 && side < MAP_SIDES, 'layout: side in range');
  return layout.mapsOffset + (slot * MAP_SIDES + side) * layout.mapBytes;
}
