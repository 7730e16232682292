import { CHUNKS_PER_LEAF, LEAF_BYTES } from '@rmr/dirty-map';
import { assert, crc32c, readU32, writeU32 } from '@rmr/runtime';
import { PAGE_BYTES, SECTOR_BYTES } from '../constants.ts';

/**
 * A dirty map on disk: pages of eight sectors, each of which carries its own checksum, so that a page torn between
 * sectors is still made of good ones (the journal then brings all of them up to date).
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | CRC-32C of bytes 4..511, seeded with the store and the map area |
 * | 4 | 4 | number of this sector within the map |
 * | 8 | 504 | 4032 bits, chunk number rising from bit 0 of byte 0; 1 = dirty |
 *
 * A sector of zeroes was never written: all its chunks are clean.
 */
export const MAP_SECTOR_HEADER_BYTES = 8;
export const MAP_SECTOR_BITMAP_BYTES = SECTOR_BYTES - MAP_SECTOR_HEADER_BYTES;
export const SECTORS_PER_PAGE = PAGE_BYTES / SECTOR_BYTES;
/** Bytes of bitmap in a page: a leaf of the map in memory. */
export const BITMAP_BYTES_PER_PAGE = LEAF_BYTES;
/** Chunks in a page. */
export const CHUNKS_PER_PAGE = CHUNKS_PER_LEAF;

assert(SECTORS_PER_PAGE * MAP_SECTOR_BITMAP_BYTES === LEAF_BYTES, 'map sector: a page holds a leaf');

/** Writes one map page from a leaf's bitmap. */
export function encodeMapPage(page: Uint8Array, pageOffset: number, bitmap: Uint8Array, pageIndex: number, seed: number): void {
  for (let sector = 0; sector < SECTORS_PER_PAGE; sector++) {
    const at = pageOffset + sector * SECTOR_BYTES;
    writeU32(page, at + 4, pageIndex * SECTORS_PER_PAGE + sector);
    page.set(bitmap.subarray(sector * MAP_SECTOR_BITMAP_BYTES, (sector + 1) * MAP_SECTOR_BITMAP_BYTES), at + MAP_SECTOR_HEADER_BYTES);
    writeU32(page, at, crc32c(page.subarray(at + 4, at + SECTOR_BYTES), seed));
  }
}

/** Why the page is not acceptable, or null. */
export function invalidMapPage(page: Uint8Array, pageOffset: number, pageIndex: number, seed: number): string | null {
  for (let sector = 0; sector < SECTORS_PER_PAGE; sector++) {
    const at = pageOffset + sector * SECTOR_BYTES;
    if (sectorIsZero(page, at)) continue;
    const number = pageIndex * SECTORS_PER_PAGE + sector;
    if (readU32(page, at) !== crc32c(page.subarray(at + 4, at + SECTOR_BYTES), seed)) return `sector ${number} has a wrong checksum`;
    if (readU32(page, at + 4) !== number) return `sector ${number} says that it is sector ${readU32(page, at + 4)}`;
  }
  return null;
}

/** Whether the whole page is zero. */
export function mapPageIsZero(page: Uint8Array, pageOffset: number): boolean {
  for (let sector = 0; sector < SECTORS_PER_PAGE; sector++) if (!sectorIsZero(page, pageOffset + sector * SECTOR_BYTES)) return false;
  return true;
}

/** Copies the bits of a valid page into a leaf's bitmap. */
export function decodeMapPage(page: Uint8Array, pageOffset: number, bitmap: Uint8Array): void {
  for (let sector = 0; sector < SECTORS_PER_PAGE; sector++) {
    const at = pageOffset + sector * SECTOR_BYTES;
    bitmap.set(page.subarray(at + MAP_SECTOR_HEADER_BYTES, at + SECTOR_BYTES), sector * MAP_SECTOR_BITMAP_BYTES);
  }
}

function sectorIsZero(page: Uint8Array, offset: number): boolean {
  for (let at = offset; at < offset + SECTOR_BYTES; at += 4) if (readU32(page, at) !== 0) return false;
  return true;
}
