import { type Disk, Status } from '@rmr/runtime';
import { MAP_IO_BYTES, PAGE_BYTES, ZERO_STEP_BYTES } from '../constants.ts';
import { allZero } from '../format/fields.ts';
import { DOUBT_OFFSET, type Layout } from '../format/layout.ts';
import type { Procedure } from './procedure.ts';

/**
 * Gives all metadata space of its own, from the first superblock to the last dirty map. So no later record finds the file system full.
 * The content of the metadata stays as it is. A store that has all of the space already is not changed. Returns a status: ENOSPC if there
 * is not enough space, ENOTSUP if the disk can't do that by itself.
 */
export function* askForMetadataSpace(layout: Layout): Procedure<number> {
  for (let offsetBytes = 0; offsetBytes < layout.dataOffset; offsetBytes += ZERO_STEP_BYTES) {
    const lengthBytes = Math.min(ZERO_STEP_BYTES, layout.dataOffset - offsetBytes);
    const status = yield { kind: 'allocate', offsetBytes, lengthBytes };
    if (status !== Status.OK) return status;
  }
  return Status.OK;
}

/**
 * As {@link askForMetadataSpace}, for a store that nobody writes to meanwhile. If the disk can't do it by itself, places that read as
 * zeroes are overwritten with zeroes. A disk that shares its space with nobody needs nothing.
 */
export function* allocateMetadata(disk: Disk, layout: Layout): Procedure<number> {
  const status = yield* askForMetadataSpace(layout);
  return status === Status.ENOTSUP ? yield* writeHoles(disk, layout) : status;
}

function* writeHoles(disk: Disk, layout: Layout): Procedure<number> {
  if (disk.space === null) return Status.OK;
  const buffer = new Uint8Array(MAP_IO_BYTES);
  for (let offsetBytes = DOUBT_OFFSET; offsetBytes < layout.dataOffset; offsetBytes += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, layout.dataOffset - offsetBytes));
    let status = yield { kind: 'read', offsetBytes, target: part };
    if (status !== Status.OK) return status;
    status = yield* writeZeroPages(offsetBytes, part);
    if (status !== Status.OK) return status;
  }
  return Status.OK;
}

const ZEROES = new Uint8Array(PAGE_BYTES);

function* writeZeroPages(offsetBytes: number, part: Uint8Array): Procedure<number> {
  if (allZero(part, 0, part.length)) return yield { kind: 'write', offsetBytes, source: part };
  for (let at = 0; at < part.length; at += PAGE_BYTES) {
    if (!allZero(part, at, at + PAGE_BYTES)) continue;
    const status = yield { kind: 'write', offsetBytes: offsetBytes + at, source: ZEROES };
    if (status !== Status.OK) return status;
  }
  return Status.OK;
}
