import { GIB, MIB } from '@rmr/runtime';

/**
 * Bounds what is in the page cache and not on the disk, so that a flush never owes more than a few seconds of the disk's own pace.
 * Left to itself, the kernel takes in a share of the host's memory, however slow the disk is. The bytes of all writes are counted: a
 * place that is written twice counts twice.
 */
export class UnwrittenLimit {
  #written = 0;
  #reached = 0;
  #limitBytes = UNWRITTEN_BYTES_FIRST;
  #bytesPerSecond: number | null = null;

  /** Bytes that may be unwritten. */
  get limitBytes(): number {
    return this.#limitBytes;
  }

  /** Bytes that are unwritten, at most. */
  get unwrittenBytes(): number {
    return this.#written - this.#reached;
  }

  /** The disk's pace as measured; null: not yet. */
  get bytesPerSecond(): number | null {
    return this.#bytesPerSecond;
  }

  /** Writes have to wait. */
  get full(): boolean {
    return this.unwrittenBytes >= this.#limitBytes;
  }

  /** It is time to write back. */
  get due(): boolean {
    return this.unwrittenBytes * 2 >= this.#limitBytes;
  }

  /** Bytes are in the page cache now. */
  wrote(bytes: number): void {
    this.#written += bytes;
  }

  /** What a flush or a write-back covers that begins now; for {@link reached}. */
  mark(): number {
    return this.#written;
  }

  /** What was in the page cache at the mark is on the disk, which took from `sinceMs` to `nowMs`. */
  reached(mark: number, sinceMs: number, nowMs: number): void {
    const bytes = mark - this.#reached;
    if (bytes <= 0) return;
    this.#reached = mark;
    const tookMs = Math.max(1, nowMs - sinceMs);
    if (bytes < SAMPLE_BYTES_MIN && tookMs < SAMPLE_MS_MIN) return;
    const sample = (bytes * 1000) / tookMs;
    const known = this.#bytesPerSecond;
    // A slower pace is believed at once if it was measured for long enough. A quicker one is believed step by step.
    this.#bytesPerSecond = known === null || (sample < known && tookMs >= SAMPLE_MS_MIN) ? sample : (known + sample) / 2;
    const wanted = Math.min(UNWRITTEN_BYTES_MAX, Math.max(UNWRITTEN_BYTES_MIN, (this.#bytesPerSecond * OWED_MS) / 1000));
    this.#limitBytes = Math.min(wanted, this.#limitBytes * GROWTH_MAX);
  }
}

/** What a flush may owe, in milliseconds of the disk's time. */
export const OWED_MS = 4_000;
/** Bounds of what may be unwritten, in bytes: below, a disk has no work; above, no disk gets faster. */
export const UNWRITTEN_BYTES_MIN = 4 * MIB;
export const UNWRITTEN_BYTES_MAX = GIB;
/** What may be unwritten before anything is known of the disk. */
export const UNWRITTEN_BYTES_FIRST = 8 * MIB;
/** The factor by which the limit grows at most from one measurement to the next. A single one may have measured data that was on the disk already. */
const GROWTH_MAX = 4;
/** A measurement of fewer bytes than this that took fewer milliseconds than this tells of latency, and not of pace. */
const SAMPLE_BYTES_MIN = MIB;
const SAMPLE_MS_MIN = 1_000;
