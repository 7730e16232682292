import { inspectStore, inspectSuperblocks, type StoreInspection, type SuperblockInspection } from '@rmr/bitmap-store';
import { type Disk, OperationError, Status, statusName } from '@rmr/runtime';
import { DiskSample, sampleRanges } from '../../core/disks/disk-sample.ts';
import type { FoundStore, PlaceContent, ScannedPlace } from '../../core/disks/disk-types.ts';
import { contentOf } from '../../core/disks/place-content.ts';
import { ReadOnlyDisk } from './read-only-disk.ts';

/** How often a store that is being written is read again before what was read counts as damage. */
const ATTEMPTS = 5;

/** `superblocks`: whose store it is. `everything`: all of its metadata, which shows damage and its past, and takes some 22 MiB per TiB. */
export type ScanDepth = 'superblocks' | 'everything';

/** What is on a disk that is open. Nothing is changed. `label`: for messages. */
export async function scanDisk(disk: Disk, label: string, depth: ScanDepth): Promise<PlaceContent> {
  const superblocks = await result<SuperblockInspection>((done) => inspectSuperblocks(disk, label, done));
  if (superblocks instanceof OperationError) {
    const sample = superblocks.code === 'STORE_NOT_FORMATTED' ? await readSample(disk, label) : null;
    return sample instanceof OperationError ? contentOf(sample, null) : contentOf(superblocks, sample);
  }
  if (depth === 'superblocks') return contentOf({ ...superblocks, past: null }, null);
  for (let attempt = 1; ; attempt++) {
    const store = await result<StoreInspection>((done) => inspectStore(disk, { label }, done));
    // A checkpoint may have moved what was read first while the rest was read.
    if (store instanceof OperationError && store.code === 'STORE_DAMAGED' && attempt < ATTEMPTS) continue;
    if (store instanceof OperationError) return contentOf(store, null);
    const { version, age, lives } = store;
    const found: FoundStore = { ...superblocks, past: { version, age, lives } };
    return contentOf(found, null);
  }
}

/** What is at a path, without lock and claim: it may be in use. Rejects as {@link ReadOnlyDisk.open}. */
export async function scanPath(path: string, depth: ScanDepth): Promise<ScannedPlace> {
  const disk = await ReadOnlyDisk.open(path);
  try {
    const { sizeBytes, allocatedBytes } = disk;
    return { path, sizeBytes, allocatedBytes, content: await scanDisk(disk, path, depth) };
  } finally {
    await closeDisk(disk);
  }
}

/** Closes a disk; what it has not made durable was never asked for. */
export function closeDisk(disk: Disk): Promise<void> {
  return new Promise((resolve) => disk.close(() => resolve()));
}

function result<Found>(begin: (done: (found: Found | OperationError) => void) => void): Promise<Found | OperationError> {
  return new Promise((resolve) => begin(resolve));
}

async function readSample(disk: Disk, label: string): Promise<DiskSample | OperationError> {
  const parts: Uint8Array[] = [];
  for (const { offsetBytes, lengthBytes } of sampleRanges(disk.sizeBytes)) {
    const target = new Uint8Array(lengthBytes);
    const status = await new Promise<number>((resolve) => {
      disk.read(offsetBytes, target, 0, { onDiskDone: (_tag, ended) => resolve(ended) });
      disk.submit();
    });
    if (status !== Status.OK)
      return new OperationError(
        'IO_ERROR',
        `${label} can't be read at offset ${offsetBytes} (${statusName(status)}); check the disk and the kernel log`,
      );
    parts.push(target);
  }
  return new DiskSample(disk.sizeBytes, parts);
}
