import { RequestAges } from './request-ages.ts';

/**
 * Tells a disk that hangs from one that is slow. That a request takes long means little: a slow disk may need minutes for what a flush
 * owes. A disk hangs when it does nothing of the kind that requests wait for.
 *
 * A read waits for any answer of the device. A change waits for bytes that reach the device. So a device that
 * answers reads and writes nothing back hangs for changes alone.
 */
export class DiskProgress {
  readonly #reads = new RequestAges();
  readonly #changes = new RequestAges();
  #answeredMs = Number.NEGATIVE_INFINITY;
  #wroteMs = Number.NEGATIVE_INFINITY;
  #oldestMs = 0;

  /** A request begins: the number is for {@link end}. */
  begin(read: boolean): number {
    return (read ? this.#reads : this.#changes).begin();
  }

  end(read: boolean, generation: number): void {
    (read ? this.#reads : this.#changes).end(generation);
  }

  /** The device itself, no cache, has answered something. */
  answered(nowMs: number): void {
    this.#answeredMs = nowMs;
  }

  /** Bytes have reached the device. */
  wrote(nowMs: number): void {
    this.#wroteMs = nowMs;
  }

  /** For how long the oldest request had been under way at the last {@link idleMs}, in milliseconds, at least; 0: none, or not for long. */
  get oldestMs(): number {
    return this.#oldestMs;
  }

  /**
   * Milliseconds for which requests have waited without any progress; 0 = none does. Has to be asked regularly: see
   * {@link RequestAges.oldestMs}.
   */
  idleMs(nowMs: number): number {
    const readMs = this.#reads.oldestMs(nowMs);
    const changeMs = this.#changes.oldestMs(nowMs);
    this.#oldestMs = Math.max(readMs, changeMs);
    const sinceWroteMs = nowMs - this.#wroteMs;
    const sinceAnyMs = Math.min(sinceWroteMs, nowMs - this.#answeredMs);
    return Math.max(Math.min(readMs, sinceAnyMs), Math.min(changeMs, sinceWroteMs));
  }
}
