import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { type Disk, type DiskFeatures, type DiskSink, OperationError, Status } from '@rmr/runtime';
import { statusOfErrno } from '../errno-status.ts';
import { Errno, errno, lseek, SEEK_END } from '../libc.ts';
import { failureAt } from './disk-errors.ts';

/**
 * A file or block device to look at: every call is made in the thread pool, one at a time, with no lock and no claim. So it may be in use, and
 * it may hang. Whatever would change it ends with EINVAL.
 */
export class ReadOnlyDisk implements Disk {
  readonly features = READ_ONLY;
  readonly space = null;
  readonly sizeBytes: number;
  /** Bytes that a file takes on its file system; null: a device. */
  readonly allocatedBytes: number | null;
  /** MAJOR:MINOR packed as `rdev` of a device; null: a file. */
  readonly rdev: number | null;
  readonly #handle: FileHandle;
  #queue: Read[] = [];
  #refused: Omit<Read, 'target' | 'offsetBytes'>[] = [];
  #tail: Promise<void> = Promise.resolve();

  private constructor(handle: FileHandle, sizeBytes: number, allocatedBytes: number | null, rdev: number | null) {
    this.#handle = handle;
    this.sizeBytes = sizeBytes;
    this.allocatedBytes = allocatedBytes;
    this.rdev = rdev;
  }

  /** Rejects with an OperationError: NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT (neither file nor block device), IO_ERROR. */
  static async open(path: string): Promise<ReadOnlyDisk> {
    // NONBLOCK: a pipe without a writer is no disk, but nothing to wait for either.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
      throw failureAt(path, error);
    });
    try {
      const status = await handle.stat();
      if (status.isFile()) return new ReadOnlyDisk(handle, status.size, status.blocks * 512, null);
      if (!status.isBlockDevice())
        throw new OperationError('INVALID_ARGUMENT', `${path} is neither a file nor a block device: correct the path`);
      // It asks the kernel, and not the device.
      const sizeBytes = lseek(handle.fd, 0, SEEK_END);
      if (sizeBytes < 0) throw new OperationError('IO_ERROR', `the size of ${path} can't be found (errno ${errno()})`);
      return new ReadOnlyDisk(handle, sizeBytes, null, status.rdev);
    } catch (error) {
      await handle.close();
      throw failureAt(path, error);
    }
  }

  read(offsetBytes: number, target: Uint8Array, tag: number, sink: DiskSink): void {
    this.#queue.push({ offsetBytes, target, tag, sink });
  }

  submit(): void {
    const [queue, refused] = [this.#queue, this.#refused];
    this.#queue = [];
    this.#refused = [];
    this.#tail = this.#tail.then(async () => {
      for (const { tag, sink } of refused) sink.onDiskDone(tag, Status.EINVAL);
      for (const read of queue) read.sink.onDiskDone(read.tag, await this.#read(read));
    });
  }

  async #read({ offsetBytes, target }: Read): Promise<number> {
    if (offsetBytes < 0 || offsetBytes + target.length > this.sizeBytes) return Status.EINVAL;
    try {
      for (let done = 0; done < target.length; ) {
        const { bytesRead } = await this.#handle.read(target, done, target.length - done, offsetBytes + done);
        // The file was shortened.
        if (bytesRead === 0) return Status.EIO;
        done += bytesRead;
      }
      return Status.OK;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).errno;
      return statusOfErrno(code === undefined ? Errno.EIO : -code);
    }
  }

  close(done: (status: number) => void): void {
    this.submit();
    this.#tail
      .then(() => this.#handle.close())
      .then(
        () => done(Status.OK),
        () => done(Status.EIO),
      );
  }

  write(_offsetBytes: number, _source: Uint8Array, tag: number, sink: DiskSink): void {
    this.#refused.push({ tag, sink });
  }

  zero(_offsetBytes: number, _lengthBytes: number, tag: number, sink: DiskSink): void {
    this.#refused.push({ tag, sink });
  }

  punch(_offsetBytes: number, _lengthBytes: number, tag: number, sink: DiskSink): void {
    this.#refused.push({ tag, sink });
  }

  allocate(_offsetBytes: number, _lengthBytes: number, tag: number, sink: DiskSink): void {
    this.#refused.push({ tag, sink });
  }

  flush(tag: number, sink: DiskSink): void {
    this.#refused.push({ tag, sink });
  }

  reserve(_offsetBytes: number, _lengthBytes: number, tag: number, sink: DiskSink): boolean {
    this.#refused.push({ tag, sink });
    return false;
  }

  extents(_offsetBytes: number, lengthBytes: number, done: Parameters<Disk['extents']>[2]): void {
    done(Status.OK, [{ lengthBytes, hole: false }]);
  }
}

interface Read {
  readonly offsetBytes: number;
  readonly target: Uint8Array;
  readonly tag: number;
  readonly sink: DiskSink;
}

const READ_ONLY: DiskFeatures = { fastPunch: false, fastZero: false, holeBytes: 4096, extents: false, survivesProcessCrash: true };
