import { closeSync, constants, fstatSync, fsyncSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { type Disk, type DiskExtent, type DiskFeatures, type DiskSink, errorMessage, OperationError, Status } from '@rmr/runtime';

const ZERO_STEP_BYTES = 1024 * 1024;
/** The unit of /sys/…/size, whatever the device's own sectors are. */
const SYSFS_SECTOR_BYTES = 512;

/**
 * A store's file or block device for commands that work on it alone, one request after the other. The daemon uses a
 * disk that is faster and holds a lock.
 */
export class StoreFile implements Disk {
  readonly features: DiskFeatures = { fastPunch: false, fastZero: false, extents: false, survivesProcessCrash: true };
  readonly #file: number;
  readonly #pending: { readonly tag: number; readonly status: number; readonly sink: DiskSink }[] = [];
  #sizeBytes: number;

  private constructor(file: number, sizeBytes: number) {
    this.#file = file;
    this.#sizeBytes = sizeBytes;
  }

  /** Opens what is there. `writable` false changes nothing and needs no lock. Throws NOT_FOUND, PERMISSION_DENIED, IO_ERROR. */
  static open(path: string, writable: boolean): StoreFile {
    return StoreFile.#opened(path, writable ? constants.O_RDWR : constants.O_RDONLY);
  }

  /** Makes a new file, of no size yet. Null when something is there. */
  static create(path: string): StoreFile | null {
    try {
      return StoreFile.#opened(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL);
    } catch (error) {
      if (error instanceof OperationError && error.code === 'ALREADY_EXISTS') return null;
      throw error;
    }
  }

  static #opened(path: string, flags: number): StoreFile {
    let file: number;
    try {
      file = openSync(path, flags, 0o640);
    } catch (error) {
      throw openError(path, error as NodeJS.ErrnoException);
    }
    try {
      return new StoreFile(file, sizeOf(path, file));
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Gives a file a size; what is added reads as zeroes and takes no space. */
  resize(sizeBytes: number): void {
    ftruncateSync(this.#file, sizeBytes);
    this.#sizeBytes = sizeBytes;
  }

  /** Reads at most `target.length` bytes, in place. Returns how many. Throws IO_ERROR. */
  readNow(offsetBytes: number, target: Uint8Array): number {
    try {
      return readSync(this.#file, target, 0, target.length, offsetBytes);
    } catch (error) {
      throw new OperationError('IO_ERROR', `cannot read at offset ${offsetBytes}: ${errorMessage(error)}`, { cause: error });
    }
  }

  read(offsetBytes: number, target: Uint8Array, tag: number, sink: DiskSink): void {
    this.#end(tag, sink, () => {
      for (let done = 0; done < target.length; ) {
        const count = readSync(this.#file, target, done, target.length - done, offsetBytes + done);
        if (count === 0) return Status.EINVAL;
        done += count;
      }
      return Status.OK;
    });
  }

  write(offsetBytes: number, source: Uint8Array, tag: number, sink: DiskSink): void {
    this.#end(tag, sink, () => this.#writeAll(offsetBytes, source));
  }

  zero(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): void {
    this.#end(tag, sink, () => {
      const zeroes = new Uint8Array(Math.min(ZERO_STEP_BYTES, lengthBytes));
      for (let done = 0; done < lengthBytes; done += zeroes.length) {
        this.#writeAll(offsetBytes + done, zeroes.subarray(0, Math.min(zeroes.length, lengthBytes - done)));
      }
      return Status.OK;
    });
  }

  punch(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): void {
    this.zero(offsetBytes, lengthBytes, tag, sink);
  }

  flush(tag: number, sink: DiskSink): void {
    this.#end(tag, sink, () => {
      fsyncSync(this.#file);
      return Status.OK;
    });
  }

  submit(): void {
    for (const { tag, status, sink } of this.#pending.splice(0)) sink.onDiskDone(tag, status);
  }

  extents(_offsetBytes: number, lengthBytes: number, done: (status: number, extents: readonly DiskExtent[]) => void): void {
    done(Status.OK, [{ lengthBytes, hole: false }]);
  }

  close(done: (status: number) => void): void {
    closeSync(this.#file);
    done(Status.OK);
  }

  #writeAll(offsetBytes: number, source: Uint8Array): number {
    for (let done = 0; done < source.length; ) done += writeSync(this.#file, source, done, source.length - done, offsetBytes + done);
    return Status.OK;
  }

  #end(tag: number, sink: DiskSink, work: () => number): void {
    let status: number;
    try {
      status = work();
    } catch (error) {
      status = (error as NodeJS.ErrnoException).code === 'ENOSPC' ? Status.ENOSPC : Status.EIO;
    }
    this.#pending.push({ tag, status, sink });
  }
}

function sizeOf(path: string, file: number): number {
  const stat = fstatSync(file);
  if (stat.isFile()) return stat.size;
  if (!stat.isBlockDevice()) throw new OperationError('INVALID_ARGUMENT', `${path} is neither a file nor a block device`);
  // Linux packs the numbers of a device as 12 bits of the major, and 8 + 12 bits of the minor around it.
  const major = (stat.rdev >>> 8) & 0xfff;
  const minor = (stat.rdev & 0xff) | ((stat.rdev >>> 12) & 0xfff00);
  return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * SYSFS_SECTOR_BYTES;
}

function openError(path: string, error: NodeJS.ErrnoException): OperationError {
  switch (error.code) {
    case 'ENOENT':
      return new OperationError('NOT_FOUND', `${path} does not exist, or its directory does not`, { cause: error });
    case 'EEXIST':
      return new OperationError('ALREADY_EXISTS', `${path} exists`, { cause: error });
    case 'EACCES':
    case 'EPERM':
      return new OperationError('PERMISSION_DENIED', `${path} may not be opened by this user: ${error.message}`, { cause: error });
    default:
      return new OperationError('IO_ERROR', `cannot open ${path}: ${error.message}`, { cause: error });
  }
}
