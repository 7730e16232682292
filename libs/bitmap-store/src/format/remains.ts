import { crc32c, decodeUuid, encodeUuid } from '@rmr/runtime';
import { PAGE_BYTES, SECTOR_BYTES } from '../constants.ts';

/**
 * What stands in place of superblock A while there is no store yet, or none any more: it says what was begun, so that it can go on. It is one
 * sector, which a disk writes whole or not at all. Behind its magic are, as in a superblock: checksum, zeroes, store UUID.
 */
export type StoreRemains = { readonly kind: 'wiping' | 'unfinished'; readonly storeUuid: string };

/** "RMRWIPED": the store is being wiped. "RMRMAKES": it is being made, on a disk whose content was given up for it. */
const MAGIC = {
  wiping: Uint8Array.of(0x52, 0x4d, 0x52, 0x57, 0x49, 0x50, 0x45, 0x44),
  unfinished: Uint8Array.of(0x52, 0x4d, 0x52, 0x4d, 0x41, 0x4b, 0x45, 0x53),
} as const;

const OFFSET_CRC = 8;
const OFFSET_CHECKED = 12;
const OFFSET_STORE_UUID = 16;

/** A page with the remains in its first sector, and zeroes behind. */
export function remainsPage({ kind, storeUuid }: StoreRemains): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES);
  page.set(MAGIC[kind], 0);
  encodeUuid(storeUuid, page, OFFSET_STORE_UUID);
  new DataView(page.buffer).setUint32(OFFSET_CRC, crc32c(page.subarray(OFFSET_CHECKED, SECTOR_BYTES)), true);
  return page;
}

/** The remains at the start of these bytes, or null. */
export function remainsIn(bytes: Uint8Array): StoreRemains | null {
  if (bytes.length < SECTOR_BYTES) return null;
  for (const kind of ['wiping', 'unfinished'] as const) {
    if (MAGIC[kind].some((byte, i) => bytes[i] !== byte)) continue;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (view.getUint32(OFFSET_CRC, true) !== crc32c(bytes.subarray(OFFSET_CHECKED, SECTOR_BYTES))) continue;
    return { kind, storeUuid: decodeUuid(bytes, OFFSET_STORE_UUID) };
  }
  return null;
}
