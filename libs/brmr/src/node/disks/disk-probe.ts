import { open, opendir, readFile, realpath, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { isUuid, OperationError } from '@rmr/runtime';
import { type FoundMarker, MARKER_NAME, parseMarker } from '../../core/disks/directory-marker.ts';
import type { DirectorySpace } from '../../core/disks/directory-room.ts';
import type { DeviceFacts, ScannedPlace } from '../../core/disks/disk-types.ts';
import { type MountEntry, mountOfPath, parseMountInfo, parseSwaps, useOf } from '../../core/disks/mounts.ts';
import { deviceFacts, numberText, type SystemPaths } from './device-facts.ts';
import { failureAt } from './disk-errors.ts';
import { STORE_SUFFIX, UNFINISHED_SUFFIX } from './disk-stores.ts';
import { type ScanDepth, scanPath } from './place-scan.ts';

/** Looks at what a disk is made of, one call at a time, in the thread pool. Nothing is changed, and nothing is decided here. */

/** Files of a directory that is looked through for stores: a node has 250 stores at most, and other files are better elsewhere. */
const ENTRIES_MAX = 4096;
/** A marker has some 70 bytes. */
const MARKER_BYTES_MAX = 4096;

/** A directory as it was found. */
export interface DirectoryProbe {
  readonly marker: FoundMarker;
  /** The path of what the directory is on; null: not known. */
  readonly mountedAt: string | null;
  readonly fileSystem: string | null;
  readonly space: DirectorySpace;
  readonly places: readonly ScannedPlace[];
  readonly facts: DeviceFacts | null;
}

/** A device as it was found. */
export interface DeviceProbe {
  readonly facts: DeviceFacts | null;
  /** What it is used for, as far as this process can see. */
  readonly use: string | null;
  readonly place: ScannedPlace;
}

/**
 * Looks at a directory and the stores in it. `everything`: the store that all metadata is read of; of the others the superblocks. Rejects with an
 * OperationError: NOT_FOUND, INVALID_ARGUMENT (no directory), PERMISSION_DENIED, IO_ERROR.
 */
export async function probeDirectory(path: string, everything: string | null, system: SystemPaths): Promise<DirectoryProbe> {
  try {
    const status = await stat(path);
    if (!status.isDirectory())
      throw new OperationError('INVALID_ARGUMENT', `${path} is no directory: correct the path, or configure it as a device`);
    const marker = await findMarker(path);
    const mount = mountOfPath(await realpath(path), await mounts(system));
    const fileSystem = await statfs(path);
    const places: ScannedPlace[] = [];
    for (const name of await storeFiles(path)) {
      const place = await scanFile(path, name, everything);
      if (place !== null) places.push(place);
    }
    return {
      marker,
      mountedAt: mount?.mountPoint ?? null,
      fileSystem: mount?.fileSystem ?? null,
      space: {
        capacityBytes: fileSystem.blocks * fileSystem.bsize,
        freeBytes: fileSystem.bavail * fileSystem.bsize,
        allocatedBytes: places.reduce((sum, place) => sum + (place.allocatedBytes ?? 0), 0),
        promisedBytes: places.reduce((sum, place) => sum + place.sizeBytes, 0),
      },
      places,
      facts: await deviceFacts(status.dev, system),
    };
  } catch (error) {
    throw failureAt(path, error);
  }
}

/** Looks at a block device. Rejects with an OperationError: NOT_FOUND, INVALID_ARGUMENT (no block device), PERMISSION_DENIED, IO_ERROR. */
export async function probeDevice(path: string, depth: ScanDepth, system: SystemPaths): Promise<DeviceProbe> {
  try {
    const status = await stat(path);
    if (!status.isBlockDevice())
      throw new OperationError(
        'INVALID_ARGUMENT',
        `${path} is no block device: correct the path. For stores in files, configure a directory`,
      );
    const facts = await deviceFacts(status.rdev, system);
    const paths = [path, await realpath(path), ...(facts === null ? [] : [`/dev/${facts.device}`])];
    const swaps = parseSwaps(await readFile(join(system.proc, 'swaps'), 'utf8').catch(() => ''));
    const uses = { number: numberText(status.rdev), paths, holders: facts?.holders ?? [], partitions: facts?.partitions ?? [] };
    const use = useOf(uses, await mounts(system), swaps);
    const place = await scanPath(path, depth).catch((error: unknown): ScannedPlace => {
      // What is in use says more than that it can't be opened.
      if (use === null || !(error instanceof OperationError)) throw error;
      return {
        path,
        content: { kind: 'unreadable', code: error.code, reason: error.message },
        sizeBytes: facts?.sizeBytes ?? 0,
        allocatedBytes: null,
      };
    });
    return { facts, use, place };
  } catch (error) {
    throw failureAt(path, error);
  }
}

async function mounts({ proc }: SystemPaths): Promise<readonly MountEntry[]> {
  // Without /proc nobody can say.
  return parseMountInfo(await readFile(join(proc, 'self/mountinfo'), 'utf8').catch(() => ''));
}

async function findMarker(directory: string): Promise<FoundMarker> {
  try {
    const handle = await open(join(directory, MARKER_NAME), 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(MARKER_BYTES_MAX), 0, MARKER_BYTES_MAX, 0);
      const directoryUuid = parseMarker(buffer.toString('utf8', 0, bytesRead));
      return directoryUuid === null ? 'damaged' : { directoryUuid };
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'absent';
    throw error;
  }
}

/** The names of files that stores have, sorted; other files are nobody's business. */
async function storeFiles(directory: string): Promise<readonly string[]> {
  const names: string[] = [];
  const entries = await opendir(directory);
  let left = ENTRIES_MAX;
  for await (const { name } of entries) {
    if (left-- === 0)
      throw new OperationError(
        'INVALID_ARGUMENT',
        `${directory} has more than ${ENTRIES_MAX} entries, so it is not looked through for stores: give the disk a directory of its own`,
      );
    if (storeUuidOf(name) !== null) names.push(name);
  }
  return names.sort();
}

/** The UUID in the name of a store's file; null: it is none. */
export function storeUuidOf(name: string): string | null {
  const suffix = [UNFINISHED_SUFFIX, STORE_SUFFIX].find((each) => name.endsWith(each));
  const storeUuid = suffix === undefined ? '' : name.slice(0, -suffix.length);
  return isUuid(storeUuid) ? storeUuid : null;
}

/** A file that can't be read is told, and the others are looked at all the same. Null: it was removed meanwhile. */
async function scanFile(directory: string, name: string, everything: string | null): Promise<ScannedPlace | null> {
  const path = join(directory, name);
  try {
    const place = await scanPath(path, storeUuidOf(name) === everything ? 'everything' : 'superblocks');
    return name.endsWith(UNFINISHED_SUFFIX) ? { ...place, content: { kind: 'unfinished' } } : place;
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    if (error.code === 'NOT_FOUND') return null;
    return { path, content: { kind: 'unreadable', code: error.code, reason: error.message }, sizeBytes: 0, allocatedBytes: null };
  }
}
