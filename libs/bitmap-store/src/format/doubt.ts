import { encodeLastIo, invalidLastIo, LAST_IO_ENTRY_BYTES, lastIoWriteSeq } from './last-io-entry.ts';

/**
 * The mark that a flush of the disk has failed: one sector, with an entry of the form of last_io. Like these it is for the
 * kernel's page cache, to outlive the process where the journal can't be written any more. The entry's write sequence is the
 * number of opens of the store, so that a mark of an earlier process says nothing.
 */
export const DOUBT_BYTES = 512;
/** No IO unit has this index. */
const INDEX = 0xffff;

/** The sector for the process that opened the store as number `openCount`. */
export function encodeDoubt(seed: number, openCount: number): Uint8Array {
  const sector = new Uint8Array(DOUBT_BYTES);
  encodeLastIo(sector, 0, INDEX, seed, openCount, 0, LAST_IO_ENTRY_BYTES);
  return sector;
}

/** Whether the sector says that a flush failed in the process that opened the store as number `openCount`. */
export function isDoubt(sector: Uint8Array, seed: number, openCount: number): boolean {
  return invalidLastIo(sector, 0, INDEX, seed, LAST_IO_ENTRY_BYTES) === null && lastIoWriteSeq(sector, 0) === openCount;
}
