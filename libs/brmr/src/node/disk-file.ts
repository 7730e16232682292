import { type BigIntStats, closeSync, constants, fstatSync, openSync, readFileSync, type Stats, stat, statfsSync, statSync } from 'node:fs';
import { type DiskSpace, errorMessage, InvariantViolation, OperationError } from '@rmr/runtime';
import { type BlockLimits, blockLimits, deviceNumber } from './block-limits.ts';
import { spaceOf } from './file-room.ts';
import {
  Errno,
  errno,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  fallocate,
  flock,
  LOCK_EX,
  LOCK_NB,
  lseek,
  SEEK_DATA,
  SEEK_END,
} from './libc.ts';
import { describeMissing } from './missing-path.ts';

/** An open file or block device, and what it can do. */
export interface DiskFile {
  readonly fd: number;
  readonly path: string;
  readonly sizeBytes: number;
  /** What tells it from every other file or device that exists at the same time. */
  readonly identity: string;
  /** MAJOR:MINOR of the block device that it is, or whose file system it is on. */
  readonly device: string;
  readonly blockDevice: boolean;
  /** It is kept in memory (tmpfs). */
  readonly inMemory: boolean;
  /** It is on another host, or behind another process. */
  readonly remote: boolean;
  readonly punch: boolean;
  /** The block in which it frees space, a power of two in bytes. */
  readonly holeBytes: number;
  readonly zeroRange: boolean;
  readonly seekData: boolean;
  /** The space that it finds where it is; null: a device, or a file system that does not tell. */
  readonly space: DiskSpace | null;
}

/** statfs magic of file systems that live in memory: reads and writes never wait for a device. */
const MEMORY_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/**
 * statfs magic of file systems that zero a range without moving data: ext4, XFS, btrfs. They are not asked, as they are for holes: that
 * would leave a block behind the end of the file. If one of them refuses all the same, its first refusal shows that.
 */
const ZERO_RANGE_FILE_SYSTEMS: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e]);

/**
 * statfs magic of file systems on the network or in another process (NFS, SMB, FUSE, CephFS, 9p): any call may wait
 * for somebody else, so none is made in the caller's thread.
 */
const REMOTE_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x6969, 0xff534d42, 0xfe534d42, 0x517b, 0x65735546, 0x00c36400, 0x01021997]);

/**
 * statfs magic of file systems that are not believed when they tell of a hole (ZFS, FUSE); their data is read instead. They have told of
 * a hole where there was data that they had not written yet, or they ask another process that may not know of such data.
 */
const LATE_HOLE_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x2fc12fc1, 0x65735546]);

/** Blocks of file systems; network file systems and others tell what they like to transfer instead. */
const FILE_BLOCK_BYTES = 4096;
const FILE_BLOCK_BYTES_MIN = 512;
const FILE_BLOCK_BYTES_MAX = 65_536;

/** How a file or block device is opened. */
export interface DiskFileOptions {
  readonly path: string;
  /** Without lock and without writing: for looking at a store that may be in use. */
  readonly readOnly?: boolean;
  /** Where sysfs is mounted, for tests. */
  readonly sysfs?: string;
}

/** Opens, locks (a device: claims) and examines a file or block device. Errors: NOT_FOUND, PERMISSION_DENIED, STORE_LOCKED, INVALID_ARGUMENT, IO_ERROR. */
export function openDiskFile(options: DiskFileOptions): DiskFile {
  const { path } = options;
  const readOnly = options.readOnly === true;
  const { fd, claimed } = readOnly ? { fd: openFile(path, constants.O_RDONLY), claimed: false } : openForWriting(path);
  try {
    const status = fstatSync(fd, { bigint: true });
    const blockDevice = status.isBlockDevice();
    if (!blockDevice && !status.isFile()) {
      throw new OperationError(
        'INVALID_ARGUMENT',
        `${path} is neither a file nor a block device; a store needs one of the two: correct the path`,
      );
    }
    if (!readOnly) {
      if (blockDevice && !claimed) throw new OperationError('IO_ERROR', `${path} was replaced while it was opened; try again`);
      lock(fd, path);
    }
    const sizeBytes = blockDevice ? lseek(fd, 0, SEEK_END) : Number(status.size);
    if (sizeBytes < 0) throw new OperationError('IO_ERROR', `the size of ${path} can't be found (errno ${errno()})`);
    const system = statfsSync(path);
    const fileSystem = blockDevice ? 0 : system.type;
    const device = blockDevice ? blockLimits(Number(status.rdev), options.sysfs) : null;
    const limits = device === null ? fileLimits(fd, sizeBytes, system) : { ...device, punches: device.writesZeroes };
    return {
      fd,
      path,
      sizeBytes,
      identity: identityOf(status),
      device: deviceOf(status),
      blockDevice,
      inMemory: MEMORY_FILE_SYSTEMS.has(fileSystem),
      remote: REMOTE_FILE_SYSTEMS.has(fileSystem),
      punch: limits.punches,
      zeroRange: limits.writesZeroes,
      holeBytes: limits.holeBytes,
      seekData: !blockDevice && !LATE_HOLE_FILE_SYSTEMS.has(fileSystem) && canSeekData(fd),
      space: blockDevice ? null : spaceOf(system, Number(status.blocks), sizeBytes),
    };
  } catch (error) {
    closeSync(fd);
    throw error instanceof OperationError || error instanceof InvariantViolation ? error : openError(path, error);
  }
}

function identityOf(status: BigIntStats): string {
  return status.isBlockDevice() ? `block device ${status.rdev}` : `file ${status.ino} of device ${status.dev}`;
}

/** As sysfs names it. */
function deviceOf(status: BigIntStats): string {
  const number = status.isBlockDevice() ? status.rdev : status.dev;
  // Device numbers as the kernel's `makedev` packs them.
  return `${(number >> 8n) & 0xfffn}:${(number & 0xffn) | ((number >> 12n) & 0xfff00n)}`;
}

/**
 * Asks, in the thread pool, whether the path of an open file still leads to it. Calls back with the reason why not;
 * null: it does, or it can't be told, in which case requests to the disk will tell.
 */
export function whyGone(file: DiskFile, done: (reason: string | null) => void): void {
  const { path } = file;
  stat(path, { bigint: true }, (error, status) => {
    if (error !== null) done(error.code === 'ENOENT' || error.code === 'ENOTDIR' ? `${path} was removed` : null);
    else if (identityOf(status) !== file.identity) done(`${path} leads to something else than when it was opened`);
    else if (!file.blockDevice && Number(status.size) < file.sizeBytes) {
      done(`${path} was shortened to ${status.size} bytes; don't lengthen it: what is missing would read as zeroes, and count as data`);
    } else done(null);
  });
}

function openFile(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    throw openError(path, error);
  }
}

/**
 * A block device is claimed for as long as it is open: the kernel then refuses every other claim, that of mount and mkfs
 * as well. A lock belongs to one device node, and a device can have several nodes: each container has its own. The descriptor in use
 * has to be the one with the claim. Punching through a descriptor without it would collide with the claim.
 */
function openForWriting(path: string): { fd: number; claimed: boolean } {
  let status: Stats;
  try {
    status = statSync(path);
  } catch (error) {
    throw openError(path, error);
  }
  // What O_EXCL means for a file that is not created is undefined.
  if (!status.isBlockDevice()) return { fd: openFile(path, constants.O_RDWR), claimed: false };
  try {
    return { fd: openSync(path, constants.O_RDWR | constants.O_EXCL), claimed: true };
  } catch (error) {
    const pid = (error as NodeJS.ErrnoException).code === 'EBUSY' ? lockHolder(status) : null;
    throw pid === null ? openError(path, error) : alreadyOpen(path, `process ${pid}`);
  }
}

/** An error of `open` as an operating failure. */
export function openError(path: string, error: unknown): OperationError {
  const code = (error as NodeJS.ErrnoException).code;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new OperationError('NOT_FOUND', describeMissing(path));
    case 'EROFS':
      return new OperationError(
        'PERMISSION_DENIED',
        `${path} can't be written (EROFS): the device or its file system is read-only, as a file system becomes after errors; check the kernel log before you make it writable`,
      );
    case 'EACCES':
    case 'EPERM':
      return new OperationError('PERMISSION_DENIED', `${path} can't be opened for reading and writing (${code}); check its owner and mode`);
    case 'EISDIR':
      return new OperationError('INVALID_ARGUMENT', `${path} is a directory; a store needs a file or a block device: correct the path`);
    case 'EBUSY':
      return new OperationError(
        'STORE_LOCKED',
        `${path} is in use by another process, mounted, or part of another device; find out by what it is used (lsblk, fuser) and whether the path is right before you release it`,
      );
    case 'ENOSPC':
      return new OperationError('NO_SPACE', `${path} can't be created: the file system is full`);
    default:
      return new OperationError('IO_ERROR', `${path} can't be opened: ${errorMessage(error)}`);
  }
}

function lock(fd: number, path: string): void {
  if (flock(fd, LOCK_EX | LOCK_NB) === 0) return;
  const error = errno();
  if (error !== Errno.EAGAIN) throw new OperationError('IO_ERROR', `${path} can't be locked (errno ${error})`);
  const pid = lockHolder(fstatSync(fd));
  throw alreadyOpen(path, pid === null ? 'another process' : `process ${pid}`);
}

function alreadyOpen(path: string, holder: string): OperationError {
  return new OperationError(
    'STORE_LOCKED',
    `${path} is already open in ${holder}; a store can be open once. Find out which of the two is to have it: correct the path here, or stop that process`,
  );
}

/** The process that has a lock on the file or node, where the kernel shows it. */
function lockHolder({ dev, ino }: Stats): number | null {
  const { major, minor } = deviceNumber(dev);
  const device = `${major.toString(16).padStart(2, '0')}:${minor.toString(16).padStart(2, '0')}:${ino}`;
  let locks: string;
  try {
    locks = readFileSync('/proc/locks', 'utf8');
  } catch {
    // Without /proc nobody can say; the message does without it.
    return null;
  }
  for (const line of locks.split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (fields[1] === 'FLOCK' && fields[5] === device && Number(fields[4]) > 0) return Number(fields[4]);
  }
  return null;
}

/** Whether the file system punches holes: asked beyond the end of the file, where it changes nothing. */
function canPunch(fd: number, sizeBytes: number): boolean {
  const beyond = Math.ceil(sizeBytes / 4096) * 4096;
  return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, beyond, 4096) === 0;
}

/** The limits of a file, in the terms of those of a device. */
function fileLimits(fd: number, sizeBytes: number, fileSystem: { type: number; bsize: number }): BlockLimits & { punches: boolean } {
  const { type, bsize } = fileSystem;
  const isBlock = Number.isInteger(Math.log2(bsize)) && bsize >= FILE_BLOCK_BYTES_MIN && bsize <= FILE_BLOCK_BYTES_MAX;
  return {
    punches: canPunch(fd, sizeBytes),
    writesZeroes: ZERO_RANGE_FILE_SYSTEMS.has(type),
    holeBytes: isBlock ? bsize : FILE_BLOCK_BYTES,
  };
}

function canSeekData(fd: number): boolean {
  return lseek(fd, 0, SEEK_DATA) >= 0 || errno() === Errno.ENXIO;
}
