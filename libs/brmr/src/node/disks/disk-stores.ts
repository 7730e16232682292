import { lstat, open, rename, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CHUNK_BYTES_DEFAULT, createStore as formatStore, storeBytes, wipeStore } from '@rmr/bitmap-store';
import { type Disk, OperationError } from '@rmr/runtime';
import { MARKER_NAME, markerText } from '../../core/disks/directory-marker.ts';
import type { PlaceContent } from '../../core/disks/disk-types.ts';
import type { StorePlaces } from '../../core/server/thread-places.ts';
import { FileDisk } from '../file-disk.ts';
import type { CreateStoreOptions } from '../store-files.ts';
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
export type NewStore = Omit<CreateStoreOptions, 'path' | 'force' | 'keepData'>;

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
 * durable. Rejects as `createStore` of the bitmap store, and with CONFLICT if that name is taken.
 */
export async function createInDirectory(directory: string, store: NewStore, options: StepOptions): Promise<string> {
  const { places, beforeStep } = options;
  const [path, unfinished] = [storePath(directory, store.storeUuid), unfinishedPath(directory, store.storeUuid)];
  const format = { ...formatOptions(store, path), ...({ data: 'known', force: false } as const) };
  const totalBytes = storeBytes(format.sizeBytes, format.chunkSizeBytes, format.queueDepth, { witness: format.witness });
  beforeStep('remove what an earlier attempt has left');
  await inPool(places, () => removeFile(unfinished));
  beforeStep('make a file under a name of its own');
  // Durably: where the disk hangs, or takes no changes, this hangs in the thread pool, and nothing is opened in this thread.
  await orRemove(unfinished, places, () => inPool(places, () => makeFile(unfinished, totalBytes)));
  beforeStep('make the store in it');
  const formatted = async (disk: Disk): Promise<void> => refuse(await ended((done) => formatStore(disk, format, done)));
  await orRemove(unfinished, places, () => withFile(unfinished, places, formatted));
  beforeStep('give it its name');
  await inPool(places, async () => {
    if (await isThere(path))
      throw new OperationError('CONFLICT', `${path} is there already, and is no store: find out what it is, and move it away`);
    await rename(unfinished, path);
  });
  beforeStep('make the name durable');
  await inPool(places, () => flushDirectory(directory));
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
  // What is left of a creation or a wiping that was cut short was looked at above.
  const format = { ...formatOptions(store, label), ...({ data: 'erase', force: true } as const) };
  refuse(await ended((done) => formatStore(disk, format, done)));
}

function formatOptions({ sizeBytes, chunkSizeBytes = CHUNK_BYTES_DEFAULT, witness = false, ...rest }: NewStore, label: string) {
  return { ...rest, label, sizeBytes, chunkSizeBytes, witness };
}

/** Wipes the store in a file, and removes the file. A file that is not there was removed before. Rejects as {@link wipeOnDisk}. */
export async function wipeFile(directory: string, path: string, storeUuid: string, damaged: boolean, options: StepOptions): Promise<void> {
  const { places, beforeStep } = options;
  if (await inPool(places, () => isThere(path)))
    await withFile(path, places, (disk) => wipeOnDisk(disk, path, storeUuid, damaged, options));
  beforeStep('remove the file');
  await inPool(places, () => removeFile(path));
  await inPool(places, () => removeFile(unfinishedPath(directory, storeUuid)));
  beforeStep('make its end durable');
  await inPool(places, () => flushDirectory(directory));
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
  refuse(await ended((done) => wipeStore(disk, { label, storeUuid, damaged }, done)));
}

/** Opens a file or device for a change: it is locked, and a device is claimed. Rejects as `FileDisk`. */
export async function withFile(path: string, places: StorePlaces, use: (disk: Disk) => Promise<void>): Promise<void> {
  const disk = new FileDisk({ path, places });
  try {
    await use(disk);
  } finally {
    await closeDisk(disk);
  }
}

/** Marks a directory as that of a disk, durably, before it gets its first store. */
export async function writeMarker(directory: string, directoryUuid: string, { places, beforeStep }: StepOptions): Promise<void> {
  const path = join(directory, MARKER_NAME);
  beforeStep('write the marker');
  await inPool(places, async () => {
    await writeFile(`${path}.new`, markerText(directoryUuid), { mode: 0o640, flush: true });
    await rename(`${path}.new`, path);
  });
  beforeStep('make the marker durable');
  await inPool(places, () => flushDirectory(directory));
}

/** Does something, and removes the file if that fails: what is not whole takes no space. */
async function orRemove(path: string, places: StorePlaces, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    await inPool(places, () => removeFile(path));
    throw error;
  }
}

/** Makes calls to the file system, one at a time, in a thread of the disk. */
async function inPool<Result>(places: StorePlaces, call: () => Promise<Result>): Promise<Result> {
  if (!places.take())
    throw new OperationError('UNAVAILABLE', 'earlier calls still wait for this disk; check it, and ask for the same again');
  try {
    return await call();
  } finally {
    places.give();
  }
}

function ended(begin: (done: (error: OperationError | null) => void) => void): Promise<OperationError | null> {
  return new Promise((resolve) => begin(resolve));
}

function refuse(error: OperationError | null): void {
  if (error !== null) throw error;
}

async function makeFile(path: string, sizeBytes: number): Promise<void> {
  const handle = await open(path, 'wx', 0o600);
  try {
    await handle.truncate(sizeBytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(absent)) !== null;
}

async function removeFile(path: string): Promise<void> {
  await unlink(path).catch(absent);
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code !== 'ENOENT') throw error;
  return null;
}

async function flushDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
