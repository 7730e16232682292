import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatSize, OperationError } from '@rmr/runtime';
import type { Cleanup } from './cleanup.ts';

/** Magic numbers of file systems in `statfs`, for the report. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = { 16914836: 'tmpfs', 61267: 'ext4', 1481003842: 'xfs', 2435016766: 'btrfs' };
/** Room left on the medium beside the images, as a part of them: metadata, logs, the fio report. */
const SPACE_RESERVE = 1.1;
/** The longest folder name that still leaves room for socket names within the 107 bytes of a unix socket's path. */
const FOLDER_BYTES_MAX = 60;

/**
 * Makes a folder of the benchmark's own for images of `imageBytes` altogether, in `parent` or else in memory; `cleanup`
 * removes it. Throws NO_SPACE, and INVALID_ARGUMENT when the path is too long.
 */
export function createFolder(parent: string | undefined, imageBytes: number, cleanup: Cleanup): string {
  const place = parent ?? defaultFolder();
  const { bavail, bsize } = statfsSync(place);
  const needed = imageBytes * SPACE_RESERVE;
  if (bavail * bsize < needed) {
    throw new OperationError(
      'NO_SPACE',
      `${place} has ${formatSize(bavail * bsize)} free and the images need ${formatSize(needed)}; name another place with --dir, or lower --size`,
    );
  }
  const folder = mkdtempSync(join(place, 'rmr-bench-'));
  cleanup.add(`remove ${folder}`, () => rmSync(folder, { recursive: true, force: true }));
  if (Buffer.byteLength(folder) > FOLDER_BYTES_MAX) {
    throw new OperationError('INVALID_ARGUMENT', `--dir: ${place} is too long for unix sockets inside it; name a shorter one`);
  }
  return folder;
}

/** Memory where there is one, so that software is measured and not the disk. */
function defaultFolder(): string {
  try {
    return fileSystemOf('/dev/shm') === 'tmpfs' ? '/dev/shm' : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** The name of the file system that `path` is on. */
export function fileSystemOf(path: string): string {
  const { type } = statfsSync(path);
  return FILE_SYSTEMS[type] ?? `file system 0x${type.toString(16)}`;
}
