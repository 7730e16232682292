import { createHash } from 'node:crypto';
import { closeSync, constants, ftruncateSync, openSync, readFileSync, readSync, statSync, unlinkSync } from 'node:fs';
import {
  type BitmapStore,
  CHUNK_BYTES_DEFAULT,
  type CreateOptions,
  createStore as formatStore,
  inspectStore,
  openStore as openBitmapStore,
  type StoreInspection,
  storeBytes,
} from '@rmr/bitmap-store';
import { isNbdUri } from '@rmr/nbd';
import { type Disk, OperationError, randomUuid, type World } from '@rmr/runtime';
import { PoolStoreAdapter } from '../core/server/pool-store-adapter.ts';
import { openError } from './disk-file.ts';
import { FileDisk, type FileDiskTuning } from './file-disk.ts';
import { lseek, SEEK_DATA, SEEK_HOLE } from './libc.ts';
import { describeMissingDirectory } from './missing-path.ts';
import { digestsOfDisk, openExport } from './nbd-export.ts';

/** How a store is created. */
export interface CreateStoreOptions {
  /** A file that does not exist yet, an empty one, a block device, or the NBD URI of an export. */
  readonly path: string;
  readonly storeUuid: string;
  readonly poolUuid: string;
  readonly lineageUuid: string;
  readonly poolName: string;
  readonly memberId: number;
  /** Size of the device in bytes. */
  readonly sizeBytes: number;
  /** Default 128 KiB. */
  readonly chunkSizeBytes?: number;
  readonly queueDepth: number;
  /** Overwrite what is there. */
  readonly force?: boolean;
  /** Leave the data area as it is, for a device that has its content already; the store then does not count as zeroed. */
  readonly keepData?: boolean;
  /** The store of a witness: metadata only, in a file of a few MiB. */
  readonly witness?: boolean;
}

/** How a store is opened. */
export interface OpenStoreOptions {
  readonly path: string;
  readonly world: World;
  /** STORE_FOREIGN unless the store is of this pool. */
  readonly poolUuid?: string;
  /** STORE_FOREIGN unless it is this store. */
  readonly storeUuid?: string;
  readonly tuning?: FileDiskTuning;
  /** The kernel's boot id; default: this kernel's. Tests give another one to play a power loss. */
  readonly bootId?: string;
  /** True: the disk failed or was away since the store was last open, so that unflushed data may be gone (L6). */
  readonly doubtful?: boolean;
}

/** This kernel's boot id: another one means that the page cache was lost. */
export function kernelBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/**
 * Creates a store. A file that does not exist is made, sparse, and removed again when the creation fails. Rejects
 * with an OperationError: INVALID_ARGUMENT, ALREADY_EXISTS, CONFLICT, STORE_LOCKED, STORE_TOO_SMALL, NO_SPACE,
 * PERMISSION_DENIED, NOT_FOUND (the directory), IO_ERROR; for exports those of `openNbdDisk`.
 */
export async function createStore(options: CreateStoreOptions): Promise<void> {
  const chunkSizeBytes = options.chunkSizeBytes ?? CHUNK_BYTES_DEFAULT;
  const witness = options.witness === true;
  const totalBytes = storeBytes(options.sizeBytes, chunkSizeBytes, options.queueDepth, { witness });
  const isExport = isNbdUri(options.path);
  const fresh = !isExport && prepareFile(options.path, totalBytes);
  let disk: Disk | null = null;
  try {
    disk = isExport ? await openExport(options.path, false) : new FileDisk({ path: options.path });
    await format(disk, {
      label: options.path,
      storeUuid: options.storeUuid,
      poolUuid: options.poolUuid,
      lineageUuid: options.lineageUuid,
      poolName: options.poolName,
      memberId: options.memberId,
      sizeBytes: options.sizeBytes,
      chunkSizeBytes,
      queueDepth: options.queueDepth,
      data: options.keepData === true && (witness || !fresh) ? 'keep' : fresh ? 'known' : 'erase',
      witness,
      force: options.force === true,
    });
  } catch (error) {
    if (disk !== null) await closeDisk(disk);
    if (fresh) unlinkSync(options.path);
    throw error;
  }
  await closeDisk(disk);
}

/** Makes the file, or makes an empty one as long as it must be. True when it is a fresh sparse file. */
function prepareFile(path: string, totalBytes: number): boolean {
  let fd: number;
  let existed = false;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw creationError(path, error);
    existed = true;
    try {
      const status = statSync(path);
      if (!status.isFile() || status.size > 0) return false;
      fd = openSync(path, constants.O_RDWR);
    } catch (reopenError) {
      throw openError(path, reopenError);
    }
  }
  try {
    ftruncateSync(fd, totalBytes);
  } catch (error) {
    if (!existed) unlinkSync(path);
    throw openError(path, error);
  } finally {
    closeSync(fd);
  }
  return true;
}

function creationError(path: string, error: unknown): OperationError {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR' ? new OperationError('NOT_FOUND', describeMissingDirectory(path)) : openError(path, error);
}

function format(disk: Disk, options: CreateOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    formatStore(disk, options, (error) => (error === null ? resolve() : reject(error)));
  });
}

function closeDisk(disk: Disk): Promise<void> {
  return new Promise((resolve) => disk.close(() => resolve()));
}

/**
 * Opens a store for a storage node. Rejects with an OperationError: NOT_FOUND, STORE_LOCKED, STORE_NOT_FORMATTED,
 * STORE_VERSION_UNKNOWN, STORE_DAMAGED, STORE_FOREIGN, STORE_TOO_SMALL, PERMISSION_DENIED, NO_SPACE, IO_ERROR. Closing the
 * result gives up the lock.
 */
export async function openStore(options: OpenStoreOptions): Promise<PoolStoreAdapter> {
  const { path, tuning } = options;
  return openStoreOn(new FileDisk({ path, ...(tuning === undefined ? {} : { tuning }) }), options);
}

/** {@link openStore} on a disk that is open; the disk is closed with the store, and when it can't be opened. */
export async function openStoreOn(disk: Disk, options: OpenStoreOptions): Promise<PoolStoreAdapter> {
  const { path, world } = options;
  const store = await new Promise<BitmapStore | OperationError>((resolve) => {
    const expected = {
      label: path,
      ...(options.poolUuid === undefined ? {} : { poolUuid: options.poolUuid }),
      ...(options.storeUuid === undefined ? {} : { storeUuid: options.storeUuid }),
    };
    const opening = {
      bootId: options.bootId ?? kernelBootId(),
      lifeUuid: randomUuid(world.random),
      wallMs: world.clock.wallMs(),
      doubtful: options.doubtful === true,
    };
    openBitmapStore(disk, { ...expected, ...opening, world }, resolve);
  });
  if (store instanceof OperationError) {
    await closeDisk(disk);
    throw store;
  }
  return new PoolStoreAdapter(store, disk);
}

/** How often a store that is being written is read again before what was read counts as damage. */
const INSPECT_ATTEMPTS = 5;

/** The metadata of a store, read without its lock; the store may be in use. Rejects as {@link openStore}. */
export async function inspect(path: string): Promise<StoreInspection> {
  const disk: Disk = isNbdUri(path) ? await openExport(path, true) : new FileDisk({ path, readOnly: true });
  try {
    for (let attempt = 1; ; attempt++) {
      const result = await new Promise<StoreInspection | OperationError>((resolve) => inspectStore(disk, { label: path }, resolve));
      if (!(result instanceof OperationError)) return result;
      // A checkpoint may have moved what was read first while the rest was read.
      if (result.code !== 'STORE_DAMAGED' || attempt === INSPECT_ATTEMPTS) throw result;
    }
  } finally {
    await closeDisk(disk);
  }
}

/** Bytes read at a time for a digest. */
const DIGEST_BYTES = 1024 * 1024;

/**
 * SHA-256 over the device's data bytes, holes as zeroes, in hexadecimal. The store may be in use; then flush and
 * stop writing first, or the digest is of a mixture. Rejects as {@link inspect}; UNSUPPORTED: the store of a witness.
 */
export async function dataDigest(path: string): Promise<string> {
  let whole = '';
  for await (const piece of dataDigests(path, Number.MAX_SAFE_INTEGER)) whole = piece.sha256;
  return whole;
}

/** The digest of one piece of a device. */
export interface PieceDigest {
  /** Where the piece begins in the device, not in the store. */
  readonly offsetBytes: number;
  /** The last piece may be shorter than the others. */
  readonly lengthBytes: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

/**
 * The digests of the device's data, `pieceBytes` (a multiple of 512) at a time, in order, holes as zeroes.
 * Stores of one pool that hold equal bytes give equal digests, wherever each of them has holes. Rejects as {@link dataDigest}.
 */
export async function* dataDigests(path: string, pieceBytes: number): AsyncGenerator<PieceDigest, void, undefined> {
  const { dataOffset, sizeBytes, witness } = await inspect(path);
  if (witness) throw new OperationError('UNSUPPORTED', `${path} is the store of a witness, which has no data: there is no checksum of it`);
  let offsetBytes = 0;
  const digests = isNbdUri(path)
    ? digestsOfDisk(path, dataOffset, sizeBytes, pieceBytes)
    : digestsOfFile(path, dataOffset, sizeBytes, pieceBytes);
  for await (const sha256 of digests) {
    const lengthBytes = Math.min(pieceBytes, sizeBytes - offsetBytes);
    yield { offsetBytes, lengthBytes, sha256 };
    offsetBytes += lengthBytes;
  }
}

async function* digestsOfFile(
  path: string,
  dataOffset: number,
  sizeBytes: number,
  pieceBytes: number,
): AsyncGenerator<string, void, undefined> {
  const buffer = new Uint8Array(DIGEST_BYTES);
  const zeroes = new Uint8Array(DIGEST_BYTES);
  const fd = openSync(path, constants.O_RDONLY);
  try {
    for (let from = 0; from < sizeBytes; from += pieceBytes) {
      const hash = createHash('sha256');
      const end = dataOffset + Math.min(from + pieceBytes, sizeBytes);
      for (let at = dataOffset + from; at < end; ) {
        const data = nextData(fd, at, end);
        for (let left = data - at; left > 0; left -= DIGEST_BYTES) hash.update(left < DIGEST_BYTES ? zeroes.subarray(0, left) : zeroes);
        const stop = data < end ? dataEnd(fd, data, end) : end;
        at = hashData(fd, data, stop, buffer, hash, path);
        // Other work of this process goes on between runs.
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      yield hash.digest('hex');
    }
  } finally {
    closeSync(fd);
  }
}

function hashData(fd: number, from: number, to: number, buffer: Uint8Array, hash: ReturnType<typeof createHash>, path: string): number {
  let at = from;
  while (at < to) {
    const count = readSync(fd, buffer, 0, Math.min(buffer.length, to - at), at);
    if (count === 0)
      throw new OperationError(
        'STORE_TOO_SMALL',
        `${path} ends at byte ${at}, within its data: it has been shortened, or was copied in part. Don't lengthen it: what is missing would read as zeroes, and count as data`,
      );
    hash.update(buffer.subarray(0, count));
    at += count;
  }
  return at;
}

/** Where data begins from `at`, or `end`. Where holes can't be told, everything is data. */
function nextData(fd: number, at: number, end: number): number {
  const position = lseek(fd, at, SEEK_DATA);
  if (position >= 0) return Math.min(position, end);
  return isHoleToEnd(fd, at) ? end : at;
}

function isHoleToEnd(fd: number, at: number): boolean {
  return lseek(fd, at, SEEK_HOLE) === at;
}

function dataEnd(fd: number, at: number, end: number): number {
  const position = lseek(fd, at, SEEK_HOLE);
  return position > at ? Math.min(position, end) : end;
}
