import { close as closeFd, constants, open as openFd, write as writeFd } from 'node:fs';
import { MIB } from '@rmr/runtime';
import { alignedBytes } from './aligned-bytes.ts';
import { Errno } from './libc.ts';

/**
 * Writes to a file or block device around the page cache, and past the cache of the drive. So a place that the disk fails to take fails the
 * very write of it. The page cache takes such a write, and then fails a flush, which does not say what it could not write.
 *
 * A flush of another descriptor neither fails nor gets better by what is written here. Where the file system knows no direct writes, or a
 * range is not aligned, it is written into the page cache.
 */
export class WriteThrough {
  readonly #cachedFd: number;
  /** Null: it is not open. */
  #fd: number | null = null;
  #isImpossible = false;
  /** What waits for it to be open. */
  #waiting: (() => void)[] = [];
  readonly #buffers: Uint8Array[] = [];

  /** `cachedFd`: the file, open for reading and writing, for as long as this is used. */
  constructor(cachedFd: number) {
    this.#cachedFd = cachedFd;
  }

  /**
   * Writes a first part of `bytes` from `at` on, at `offsetBytes` of the file, and calls back how much that was. The caller has a place in the
   * thread pool, and keeps it until then.
   */
  write(bytes: Uint8Array, at: number, offsetBytes: number, done: Done): void {
    const lengthBytes = Math.min(PIECE_BYTES, bytes.length - at);
    const isAligned = offsetBytes % SECTOR_BYTES === 0 && lengthBytes % SECTOR_BYTES === 0;
    if (this.#isImpossible || !isAligned) {
      writeFd(this.#cachedFd, bytes, at, lengthBytes, offsetBytes, done);
      return;
    }
    if (this.#fd === null) {
      this.#open(() => this.write(bytes, at, offsetBytes, done));
      return;
    }
    const fd = this.#fd;
    const buffer = this.#buffers.pop() ?? alignedBytes(PIECE_BYTES);
    buffer.set(bytes.subarray(at, at + lengthBytes));
    let isSecond = false;
    const written: Done = (error, count) => {
      if (error?.errno === -Errno.EIO && !isSecond) {
        // It may have been told of an earlier failure elsewhere, of what the page cache wrote back. It is told of each only once.
        isSecond = true;
        writeFd(fd, buffer, 0, lengthBytes, offsetBytes, written);
        return;
      }
      this.#buffers.push(buffer);
      if (error?.errno === -Errno.EINVAL) writeFd(this.#cachedFd, bytes, at, lengthBytes, offsetBytes, done);
      else done(error, count);
    };
    writeFd(fd, buffer, 0, lengthBytes, offsetBytes, written);
  }

  /** Nothing is being written. */
  close(done: () => void): void {
    if (this.#fd === null) done();
    else closeFd(this.#fd, done);
  }

  #open(then: () => void): void {
    this.#waiting.push(then);
    if (this.#waiting.length > 1) return;
    // The path may lead elsewhere by now: what counts is what is open.
    openFd(`/proc/self/fd/${this.#cachedFd}`, constants.O_RDWR | constants.O_DIRECT | constants.O_DSYNC, (error, fd) => {
      if (error === null) this.#fd = fd;
      else this.#isImpossible = true;
      for (const each of this.#waiting.splice(0)) each();
    });
  }
}

/** Bytes that one call writes at most. */
const PIECE_BYTES = MIB;
/** Offsets and lengths that no device takes directly are no multiples of this. */
const SECTOR_BYTES = 512;

/** As `fs.write` calls back. */
type Done = (error: NodeJS.ErrnoException | null, count: number) => void;
