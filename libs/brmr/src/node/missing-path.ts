import { lstatSync, opendirSync, readFileSync, readlinkSync, realpathSync, type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** A mounted file system. */
interface Mount {
  readonly device: string;
  readonly at: string;
}

/** What a person is told before anything else of a store that is not there. */
const FIRST = 'mount the file system, attach the disk or correct the path';

/** What a new store is good for: nothing that was lost comes back by making one. */
export const NEW_STORE_IS_EMPTY =
  'A new store ("store create") is only for a new member, or to replace this one when its data is lost (client-node replace-store): it never brings data back';

/** What was found where a store should be, and what to do first. `mounts` is for tests: the text of /proc/self/mounts. */
export function describeMissing(path: string, mounts: string = readMounts()): string {
  const target = linkTarget(path);
  const subject = target === null ? `${path} does not exist` : `${path} is a link to ${target}, which does not exist`;
  return `${subject}: ${found(target ?? path, mounts)}. First ${FIRST}. ${NEW_STORE_IS_EMPTY}`;
}

/** Why a file can't be created: its directory is missing. */
export function describeMissingDirectory(path: string, mounts: string = readMounts()): string {
  return `${path} can't be created: ${found(linkTarget(path) ?? path, mounts)}. If a file system belongs there, mount it first; else make the directory`;
}

function found(path: string, mounts: string): string {
  if (path.startsWith('/dev/')) return 'no such device is attached, or it has another name now; a name in /dev/disk/by-id stays the same';
  const directory = dirname(path);
  let ancestor = directory;
  while (ancestor !== '/' && statOrNull(ancestor) === null) ancestor = dirname(ancestor);
  const status = statOrNull(ancestor);
  if (status !== null && !status.isDirectory()) return `${ancestor} is no directory`;
  const missing = ancestor !== directory;
  const state = missing ? 'does not exist' : isEmpty(directory) ? 'is empty' : 'has other files, but not this one';
  const mount = mountOf(ancestor, mounts);
  if (mount === null) return `its directory ${directory} ${state}`;
  if (!missing && mount.at === realPath(directory) && mount.at !== '/') {
    return `its directory ${directory} ${state}; ${mount.device} is mounted there, which may be the wrong file system`;
  }
  const where = mount.at === '/' ? 'the root file system' : `the file system that is mounted at ${mount.at} (${mount.device})`;
  const subject = missing ? `its directory ${directory} ${state}, and ${ancestor}` : `its directory ${directory} ${state}, and`;
  return `${subject} is on ${where}: the file system that the store was on may not be mounted`;
}

/** Where a symbolic link leads that leads to nothing; null: it is none. */
function linkTarget(path: string): string | null {
  try {
    return lstatSync(path).isSymbolicLink() ? resolve(dirname(path), readlinkSync(path)) : null;
  } catch {
    // It is not there either.
    return null;
  }
}

function statOrNull(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function isEmpty(directory: string): boolean {
  try {
    const entries = opendirSync(directory);
    try {
      return entries.readSync() === null;
    } finally {
      entries.closeSync();
    }
  } catch {
    // It may not be read; then nobody says that it is empty.
    return false;
  }
}

/** The file system that an existing directory is on; null where that can't be told. */
function mountOf(directory: string, mounts: string): Mount | null {
  const path = realPath(directory);
  let best: Mount | null = null;
  for (const line of mounts.split('\n')) {
    const [device, at] = line.split(' ').map(unescaped);
    if (device === undefined || at === undefined || !isWithin(path, at)) continue;
    // A later one of the same place covers an earlier one.
    if (best === null || at.length >= best.at.length) best = { device, at };
  }
  return best;
}

function isWithin(path: string, directory: string): boolean {
  return directory === '/' || path === directory || path.startsWith(`${directory}/`);
}

/** The kernel writes spaces and the like as three octal digits. */
function unescaped(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

function readMounts(): string {
  try {
    return readFileSync('/proc/self/mounts', 'utf8');
  } catch {
    // Without /proc nobody can say; the message does without it.
    return '';
  }
}
