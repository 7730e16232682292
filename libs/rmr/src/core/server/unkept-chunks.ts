import { type Clock, type Logger, Status } from '@rmr/runtime';
import { REFUSED_RETRY_MS, REFUSED_RETRY_MS_MAX } from '../../constants.ts';
import type { ByteRange, PoolStore } from '../../pool-store.ts';
import { mergeRanges, overlapsAny } from '../../ranges.ts';
import type { UnreadableChunks } from './unreadable-chunks.ts';

/**
 * Chunks that are clean here and that the disk fails to make durable (W10, I8): what can be read of them lies in the page cache, and nobody else
 * had a copy when that showed. So they stay what they are, and are read from here. They stay in the write intent, as a power loss
 * takes them. Writes of them are refused, but for one now and then: what the page cache would take would fail the next flush, of whatever. Once others of the in-sync set have all of them, this member has to leave: it names them when it returns, as it does with what its
 * disk can't read, so that they are dirty for it from then on.
 */
export class UnkeptChunks {
  readonly #store: PoolStore;
  readonly #unreadable: UnreadableChunks;
  readonly #log: Logger;
  readonly #clock: Clock;
  #ranges: readonly ByteRange[] = [];
  /** When a write is let in again (clock milliseconds), and how long it takes after the next failure. */
  #retryAtMs = 0;
  #delayMs = REFUSED_RETRY_MS;

  constructor(clock: Clock, store: PoolStore, unreadable: UnreadableChunks, log: Logger) {
    this.#clock = clock;
    this.#store = store;
    this.#unreadable = unreadable;
    this.#log = log;
  }

  /** Where they lie, each range within whole chunks, in order. */
  get ranges(): readonly ByteRange[] {
    return this.#ranges;
  }

  /** The disk has failed these. They are told with the next grant, and are dirty here then where another member of the set has them. */
  note(ranges: readonly ByteRange[]): void {
    for (const { offsetBytes } of ranges) this.#unreadable.note(offsetBytes, 1);
  }

  /** Of what is clean here the disk has failed these and no others. From now on the store says so to the next process, too. */
  hold(ranges: readonly ByteRange[]): void {
    const held = mergeRanges(ranges);
    this.note(ranges);
    for (const { offsetBytes, lengthBytes } of held) {
      if (this.#ranges.some((known) => known.offsetBytes === offsetBytes && known.lengthBytes === lengthBytes)) continue;
      this.#log.error('the disk fails to keep chunks of which this member may have the only copy', {
        offsetBytes,
        lengthBytes,
        remedy: 'Replace the disk, once another member has them.',
      });
    }
    this.#ranges = held;
    this.#retryAtMs = this.#clock.nowMs() + this.#delayMs;
    this.#delayMs = held.length === 0 ? REFUSED_RETRY_MS : Math.min(2 * this.#delayMs, REFUSED_RETRY_MS_MAX);
    this.#store.lacking = held.length > 0;
  }

  /** They enter the write intent, durably, and stay there until the next grant at least. */
  enterIntent(done: (status: number) => void): void {
    this.#enter(0, done);
  }

  /** Whether a write of the range is refused, as the disk would not take it. */
  refuses(range: ByteRange): boolean {
    return this.#ranges.length > 0 && this.#clock.nowMs() < this.#retryAtMs && overlapsAny(range, this.#ranges);
  }

  /** Whether `isHeld` is true of each chunk, and there is one. */
  every(isHeld: (chunk: number) => boolean): boolean {
    const { chunkSizeBytes } = this.#store.identity;
    for (const { offsetBytes, lengthBytes } of this.#ranges) {
      const end = Math.ceil((offsetBytes + lengthBytes) / chunkSizeBytes);
      for (let chunk = Math.floor(offsetBytes / chunkSizeBytes); chunk < end; chunk++) if (!isHeld(chunk)) return false;
    }
    return this.#ranges.length > 0;
  }

  #enter(index: number, done: (status: number) => void): void {
    const range = this.#ranges[index];
    if (range === undefined) {
      done(Status.OK);
      return;
    }
    const entered = (_tag: number, status: number): void => {
      if (status === Status.OK) this.#enter(index + 1, done);
      else done(status);
    };
    // No write has this number, so that none that is resolved lets go of the regions (W7).
    const { offsetBytes, lengthBytes } = range;
    if (this.#store.prepareWrite(offsetBytes, lengthBytes, Number.MAX_SAFE_INTEGER, NO_MEMBERS, 0, 0, { onDiskDone: entered }))
      entered(0, Status.OK);
  }
}

const NO_MEMBERS = new Uint8Array(0);
