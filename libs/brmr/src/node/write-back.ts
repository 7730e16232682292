import { close as closeFd, openSync, readFileSync } from 'node:fs';
import { addressOf } from '@rmr/runtime/node';
import type { StorePlaces } from '../core/server/thread-places.ts';
import { UnwrittenLimit } from '../core/server/unwritten-limit.ts';
import { CACHESTAT, Errno, errno, SYNC_FILE_RANGE_ALL, syncFileRange, syscall } from './libc.ts';

/**
 * Has the kernel write back what a disk's page cache holds before it gets much, and finds out whether that goes on. It
 * has a descriptor of its own: what fails is told to each descriptor once, and has to be told to the flush.
 */
export class WriteBack {
  readonly limit = new UnwrittenLimit();
  readonly #fd: number;
  readonly #storeFd: number;
  readonly #places: StorePlaces;
  readonly #observer: WriteBackObserver;
  /** Counters of the device in sysfs, for kernels that can't tell of one file. */
  readonly #deviceStat: string;
  readonly #range = new Uint8Array(16);
  readonly #counts = new BigUint64Array(5);
  #supported = true;
  #hasCacheStat = true;
  #running = false;
  #mark = 0;
  #sinceMs = 0;
  #looking = false;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #left: number | null = null;
  #sectors: string | null = null;
  #whenQuiet: (() => void) | null = null;

  private constructor(fd: number, storeFd: number, device: string, places: StorePlaces, observer: WriteBackObserver) {
    this.#fd = fd;
    this.#storeFd = storeFd;
    this.#places = places;
    this.#observer = observer;
    this.#deviceStat = `/sys/dev/block/${device}/stat`;
  }

  /**
   * `storeFd`: the open disk, which can be written; `device`: MAJOR:MINOR of the device that it is or is on. Null where there
   * is no second descriptor to be had, without /proc: the kernel's own limits have to do then.
   */
  static open(storeFd: number, device: string, places: StorePlaces, observer: WriteBackObserver): WriteBack | null {
    try {
      return new WriteBack(openSync(`/proc/self/fd/${storeFd}`, 'r'), storeFd, device, places, observer);
    } catch {
      return null;
    }
  }

  /** Bytes that may be written before writes have to wait; `underWay`: those of writes that have begun. */
  roomBytes(underWay: number): number {
    return this.#supported ? Math.max(0, this.limit.limitBytes - this.limit.unwrittenBytes - underWay) : Number.POSITIVE_INFINITY;
  }

  /** Starts to write back when it is time to. Call it after writes. */
  goOn(): void {
    if (this.#running || !this.#supported || !this.limit.due || this.#whenQuiet !== null || !this.#places.take()) return;
    this.#running = true;
    this.#mark = this.limit.mark();
    this.#sinceMs = performance.now();
    syncFileRange.async(this.#fd, 0, 0, SYNC_FILE_RANGE_ALL, this.#onWrittenBack);
  }

  /** Some request is old: looks whether what is to be written gets less. */
  look(nowMs: number): void {
    if (this.#looking || this.#whenQuiet !== null || nowMs - this.#lookedMs < LOOK_MS) return;
    if (nowMs - this.#lookedMs > FORGET_MS) {
      this.#left = null;
      this.#sectors = null;
    }
    this.#lookedMs = nowMs;
    if (!this.#hasCacheStat) {
      this.#lookAtDevice();
    } else if (this.#places.take()) {
      this.#looking = true;
      syscall.async(CACHESTAT, this.#storeFd, addressOf(this.#range), addressOf(new Uint8Array(this.#counts.buffer)), 0, this.#onLooked);
    }
  }

  /** Waits for what runs and closes. Errors of the close don't matter: nothing was written through this descriptor. */
  close(done: () => void): void {
    this.#whenQuiet = () => closeFd(this.#fd, () => done());
    this.#checkQuiet();
  }

  readonly #onWrittenBack = (error: Error | null, result: number): void => {
    const code = result === 0 && error === null ? 0 : errno();
    this.#running = false;
    this.#places.give();
    // A file system that can't: the kernel's own limits have to do.
    if (code === Errno.EINVAL || code === Errno.ENOSYS || code === Errno.EOPNOTSUPP) this.#supported = false;
    // What can't be written is given up by the kernel all the same; the next flush says so.
    this.limit.reached(this.#mark, this.#sinceMs, performance.now());
    this.#observer.onProgress();
    this.#observer.onRoom();
    this.goOn();
    this.#checkQuiet();
  };

  readonly #onLooked = (error: Error | null, result: number): void => {
    this.#looking = false;
    this.#places.give();
    if (error !== null || result !== 0) {
      // Linux before 6.5, or a container that forbids it.
      this.#hasCacheStat = false;
    } else {
      const left = Number((this.#counts[DIRTY] as bigint) + (this.#counts[WRITEBACK] as bigint));
      if (this.#left !== null && left < this.#left) this.#observer.onProgress();
      this.#left = left;
    }
    this.#checkQuiet();
  };

  #lookAtDevice(): void {
    let sectors: string | null = null;
    try {
      sectors = readFileSync(this.#deviceStat, 'utf8').trim().split(/\s+/)[SECTORS_WRITTEN] ?? null;
    } catch {
      // No such device: a file system of several, or on the network. Then only answers tell.
    }
    if (sectors !== null && this.#sectors !== null && sectors !== this.#sectors) this.#observer.onProgress();
    this.#sectors = sectors;
  }

  #checkQuiet(): void {
    if (this.#whenQuiet === null || this.#running || this.#looking) return;
    const quiet = this.#whenQuiet;
    this.#whenQuiet = () => {};
    quiet();
  }
}

/** How often a disk with old requests is asked how much it has left to write, in milliseconds. */
const LOOK_MS = 500;
/** What was seen so long ago, in milliseconds, says nothing of what goes on. */
const FORGET_MS = 5_000;
/** Places of `struct cachestat`. */
const DIRTY = 1;
const WRITEBACK = 2;
/** The field of a device's `stat` in sysfs that counts sectors written. */
const SECTORS_WRITTEN = 6;

/** What a write-back tells its disk of. */
export interface WriteBackObserver {
  /** Bytes have reached the device. */
  onProgress(): void;
  /** A write-back has ended: there may be room. */
  onRoom(): void;
}
