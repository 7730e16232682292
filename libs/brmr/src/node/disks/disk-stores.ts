import { open, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CHUNK_BYTES_DEFAULT, createStore as formatStore, wipeStore } from '@rmr/bitmap-store';
import { type Disk, OperationError } from '@rmr/runtime';
import { MARKER_NAME, markerText } from '../../core/disks/directory-marker.ts';
import type { PlaceContent } from '../../core/disks/disk-types.ts';
import type { StorePlaces } from '../../core/server/thread-places.ts';
import { FileDisk } from '../file-disk.ts';
import { type CreateStoreOptions, createStore } from '../store-files.ts';
import { closeDisk, scanDisk } from './place-scan.ts';

/**
 * Makes stores on disks, and wipes them, in steps. A crash before any step leaves something that the same call brings to its end when it is made
 * again: it looks at what is there first. What the file system says comes as it is; the catalogue puts it into words.
 */

/** What follows the UUID in the name of a store's file. */
export const STORE_SUFFIX = '.store';
/** A store that is being made has this name until it is whole. */
export const UNFINISHED_SUFFIX = '.store.new';

/** What a store is made of, without the place where. */
export type NewStore = Omit<CreateStoreOptions, 'path' | 'force' | 'keepData' | 'places'>;

/** How the steps are done. */
export interface StepOptions {
  readonly places: StorePlaces;
  /** Called before each step, with its name. Tests throw here, as if the process died. */
  readonly beforeStep: (step: string) => void;
}

/** The file of a store in a directory. */
export function storePath(directory: string, storeUuid: string): string {
  return join(directory, `${storeUuid}${STORE_SUFFIX}`);
}

export function unfinishedPath(directory: string, storeUuid: string): string {
  return join(directory, `${storeUuid}${UNFINISHED_SUFFIX}`);
}

/**
 * Makes a store in a directory: a sparse file, whose metadata has all of its space. The file gets its name when the store is whole and
 * durable. Rejects as `createStore`.
 */
export async function createInDirectory(directory: string, store: NewStore, { places, beforeStep }: StepOptions): Promise<string> {
  const [path, unfinished] = [storePath(directory, store.storeUuid), unfinishedPath(directory, store.storeUuid)];
  beforeStep('remove what an earlier attempt has left');
  await removeFile(unfinished);
  beforeStep('make the store under a name of its own');
  await createStore({ ...store, path: unfinished, places });
  beforeStep('give it its name');
  await rename(unfinished, path);
  beforeStep('make the name durable');
  await flushDirectory(directory);
  return path;
}

/**
 * Makes a store that takes a disk whole. `check` decides, by what is there once the disk is claimed, whether it may be overwritten, and throws if
 * not. Rejects as `createStore`.
 */
export async function createOnDisk(
  disk: Disk,
  label: string,
  store: NewStore,
  check: (content: PlaceContent) => void,
  { beforeStep }: StepOptions,
): Promise<void> {
  check(await scanDisk(disk, label, 'everything'));
  beforeStep('format the disk');
  const { sizeBytes, chunkSizeBytes, ...rest } = store;
  const options = {
    ...rest,
    ...{ label, deviceBytes: sizeBytes, chunkBytes: chunkSizeBytes ?? CHUNK_BYTES_DEFAULT },
    // What is left of a creation or a wiping that was cut short was looked at above.
    ...({ data: 'erase', force: true } as const),
  };
  const error = await new Promise<OperationError | null>((resolve) => formatStore(disk, options, resolve));
  if (error !== null) throw error;
}

/** Wipes the store in a file, and removes the file. A file that is not there was removed before. Rejects as `wipeOnDisk`. */
export async function wipeFile(directory: string, path: string, storeUuid: string, damaged: boolean, options: StepOptions): Promise<void> {
  const disk = openOrNull(path, options.places);
  if (disk !== null) {
    try {
      await wipeOnDisk(disk, path, storeUuid, damaged, options);
    } finally {
      await closeDisk(disk);
    }
  }
  options.beforeStep('remove the file');
  await removeFile(path);
  options.beforeStep('make its end durable');
  await flushDirectory(directory);
}

/** Wipes the store that has a disk whole. Rejects as `wipeStore` of the bitmap store. */
export async function wipeOnDisk(
  disk: Disk,
  label: string,
  storeUuid: string,
  damaged: boolean,
  { beforeStep }: StepOptions,
): Promise<void> {
  beforeStep('wipe the store');
  const error = await new Promise<OperationError | null>((resolve) => wipeStore(disk, { label, storeUuid, damaged }, resolve));
  if (error !== null) throw error;
}

/** Opens a device for a change, which claims it. Rejects as `FileDisk`. */
export async function withDevice(path: string, places: StorePlaces, use: (disk: FileDisk) => Promise<void>): Promise<void> {
  const disk = new FileDisk({ path, places });
  try {
    await use(disk);
  } finally {
    await closeDisk(disk);
  }
}

/** Marks a directory as that of a disk, durably, before it gets its first store. */
export async function writeMarker(directory: string, directoryUuid: string, { beforeStep }: StepOptions): Promise<void> {
  const path = join(directory, MARKER_NAME);
  beforeStep('write the marker');
  await writeFile(`${path}.new`, markerText(directoryUuid), { mode: 0o640, flush: true });
  await rename(`${path}.new`, path);
  beforeStep('make the marker durable');
  await flushDirectory(directory);
}

function openOrNull(path: string, places: StorePlaces): FileDisk | null {
  try {
    return new FileDisk({ path, places });
  } catch (error) {
    if (error instanceof OperationError && error.code === 'NOT_FOUND') return null;
    throw error;
  }
}

async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

async function flushDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
