import { close as closeFd, constants, openSync, read as readFd } from 'node:fs';
import type { StorePlaces } from '../core/server/thread-places.ts';
import { ALIGN_BYTES, alignedBytes } from './aligned-bytes.ts';

/**
 * Asks the device behind a file, around the page cache and in the thread pool, whether it still answers. When a device hangs, writes into
 * the page cache succeed for a while. Then one of them hangs, too, and with it the thread that made it. The canary finds out earlier.
 */
export class DeviceCanary {
  readonly #fd: number;
  readonly #places: StorePlaces;
  readonly #onAnswer: () => void;
  readonly #buffer = alignedBytes(ALIGN_BYTES);
  #askedMs = Number.NEGATIVE_INFINITY;
  #asking = false;
  #whenQuiet: (() => void) | null = null;
  /** Reads so far. */
  askedCount = 0;

  private constructor(fd: number, places: StorePlaces, onAnswer: () => void) {
    this.#fd = fd;
    this.#onAnswer = onAnswer;
    this.#places = places;
  }

  /** A canary for the file or device, which tells of each answer, or null where direct reads are not possible. */
  static open(path: string, places: StorePlaces, onAnswer: () => void): DeviceCanary | null {
    try {
      return new DeviceCanary(openSync(path, constants.O_RDONLY | constants.O_DIRECT), places, onAnswer);
    } catch {
      // The file system has no direct reads: slow flushes and slow calls are the only signs then.
      return null;
    }
  }

  /** Asks, when it is time to. Call it whenever there is IO. */
  ask(nowMs: number): void {
    if (this.#asking || nowMs - this.#askedMs < INTERVAL_MS || !this.#places.take()) return;
    this.#asking = true;
    this.#askedMs = nowMs;
    this.askedCount++;
    readFd(this.#fd, this.#buffer, 0, ALIGN_BYTES, 0, this.#onRead);
  }

  /** Milliseconds by which the answer is late; 0 = it is not. */
  lateMs(nowMs: number): number {
    const sinceMs = this.#asking ? nowMs - this.#askedMs : 0;
    return sinceMs > LATE_MS ? sinceMs : 0;
  }

  /** Waits for the answer and closes. */
  close(done: () => void): void {
    this.#whenQuiet = () => closeFd(this.#fd, done);
    if (!this.#asking) this.#whenQuiet();
  }

  /** An error is an answer as well: reads of the store itself will report it. */
  readonly #onRead = (): void => {
    this.#asking = false;
    this.#places.give();
    this.#onAnswer();
    this.#whenQuiet?.();
  };
}

/** How often the device is asked, in milliseconds: ten small reads a second cost nothing and bound how long a hang goes unseen. */
const INTERVAL_MS = 100;
/** An answer that takes longer than this, in milliseconds, tells of a device in trouble: far above a busy disk's queue. */
const LATE_MS = 50;
