import {
  IO_BYTES_MAX,
  RANGE_BYTES_MAX,
  RESYNC_BYTES_MAX,
  RESYNC_BYTES_MIN,
  RESYNC_DEPTH_DEFAULT,
  RESYNC_HOLE_GROWTH,
  RESYNC_READ_MS,
  RESYNC_RETRY_MS,
  RESYNC_RETRY_MS_MAX,
  RESYNC_WANTED_DEPTH,
} from '../../../constants.ts';
import type { ResyncOptions } from './resync-types.ts';

/**
 * How much the resync of a pool has in flight: as many pulls as the depth, as many bytes as the way to the sources carries
 * without a long queue, and nothing for a while after a failure. Beside that it measures how fast resync really is. How fast it
 * may be is a matter of the storage node: see {@link ResyncBudget}.
 *
 * It decides nothing but that, and has no clock: every time is in clock milliseconds and comes from the caller.
 */
export class ResyncPace {
  #depth: number;
  /** Bytes in flight that the way to the sources carries without a long queue: what IO waits for stands behind them. */
  #windowBytes = RESYNC_BYTES_MIN;
  /** What to ask for where answers have been holes; 0: they have not. */
  #holeBytes = 0;
  /** Nothing is begun before. */
  #retryAtMs = 0;
  /** How long the next failure stops it. */
  #retryMs = RESYNC_RETRY_MS;
  #pulledBytes = 0;
  #bytesPerSecond = 0;
  /** When the speed was measured last, and what had been pulled by then; 0: never. */
  #measuredAtMs = 0;
  #measuredBytes = 0;

  constructor({ depth = RESYNC_DEPTH_DEFAULT }: ResyncOptions) {
    this.#depth = depth;
  }

  /** Changes the depth, if it is given. What is in flight already is not taken back. */
  configure({ depth }: ResyncOptions): void {
    if (depth !== undefined) this.#depth = depth;
  }

  /** Whether one more pull may begin while so many with so many bytes are in flight, `bytesMax` at most. The last one may go beyond the bytes. */
  mayStart(active: number, activeBytes: number, bytesMax = Number.POSITIVE_INFINITY): boolean {
    return active < this.#depth && activeBytes < Math.min(this.#windowBytes, bytesMax);
  }

  /** Whether a pull of a chunk that IO waits for may begin: neither bytes nor rate hold it up, and the depth is larger (I12). */
  mayStartWanted(active: number): boolean {
    return active < this.#depth + RESYNC_WANTED_DEPTH;
  }

  /**
   * Bytes to ask for in one read, as far as chunks allow: a part of what may be in flight, so that several sources have work, and no
   * more than `readBytesMax`.
   */
  readBytes(bytesMax = Number.POSITIVE_INFINITY, readBytesMax = Number.POSITIVE_INFINITY): number {
    return Math.min(IO_BYTES_MAX, Math.min(this.#windowBytes, bytesMax) / 4, readBytesMax);
  }

  /** A pull was answered with holes alone, or not: the next ones ask for more, or for no more than can be carried. */
  noteAnswer(holesOnly: boolean): void {
    this.#holeBytes = holesOnly ? Math.min(Math.max(this.#holeBytes, this.readBytes()) * RESYNC_HOLE_GROWTH, RANGE_BYTES_MAX) : 0;
  }

  /** Bytes to ask a source for that leaves zeroes out: more than {@link readBytes} where answers have been holes. */
  askBytes(bytesMax = Number.POSITIVE_INFINITY, readBytesMax = Number.POSITIVE_INFINITY): number {
    return Math.max(this.#holeBytes, this.readBytes(bytesMax, readBytesMax));
  }

  /** A read of so many bytes was answered. One that took long stood in a queue: less is in flight from now on. One that did not: more. */
  noteRead(tookMs: number, lengthBytes: number): void {
    if (tookMs > RESYNC_READ_MS) this.#windowBytes = Math.max(this.#windowBytes / 2, RESYNC_BYTES_MIN);
    else this.#windowBytes = Math.min(this.#windowBytes + lengthBytes, RESYNC_BYTES_MAX);
  }

  /** So many bytes are clean now. It works: the next failure is taken for the first one. */
  notePulled(lengthBytes: number): void {
    this.#pulledBytes += lengthBytes;
    this.#retryMs = RESYNC_RETRY_MS;
  }

  /** Bytes pulled since the process started. */
  get pulledBytes(): number {
    return this.#pulledBytes;
  }

  /** A pull has failed: resync rests, twice as long as after the failure before, but no longer than {@link RESYNC_RETRY_MS_MAX}. */
  noteFailure(nowMs: number): void {
    this.#retryAtMs = nowMs + this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, RESYNC_RETRY_MS_MAX);
  }

  /** Whether nothing may be begun yet, because a pull has failed a moment ago. */
  isResting(nowMs: number): boolean {
    return nowMs < this.#retryAtMs;
  }

  /** Failures of before say nothing any more: it goes on at once. */
  forgetFailures(): void {
    this.#retryAtMs = 0;
    this.#retryMs = RESYNC_RETRY_MS;
  }

  /** Measures how fast it has been since the last measurement, at most once per second. To be called all the time. */
  measure(nowMs: number): void {
    if (nowMs - this.#measuredAtMs < 1000) return;
    const seconds = (nowMs - this.#measuredAtMs) / 1000;
    const current = (this.#pulledBytes - this.#measuredBytes) / seconds;
    // Smoothed: pulls end in batches, and nobody can read a figure that jumps.
    this.#bytesPerSecond = this.#measuredAtMs === 0 ? current : this.#bytesPerSecond * 0.6 + current * 0.4;
    this.#measuredAtMs = nowMs;
    this.#measuredBytes = this.#pulledBytes;
  }

  /** How fast it has been in the last few seconds, as measured; not rounded. */
  get bytesPerSecond(): number {
    return this.#bytesPerSecond;
  }
}
