import type { ChunkGrid } from '@rmr/dirty-map';
import { REFUSED_CHUNKS_MAX, REFUSED_RETRY_MS, REFUSED_RETRY_MS_MAX } from '../../../constants.ts';
import type { ByteRange } from '../../../pool-store.ts';
import { mergeRanges } from '../../../ranges.ts';

/**
 * Dirty chunks whose data this member's disk fails to take, as one does that has run out of spare sectors (W10): nothing waits for
 * them, and a pull of one is tried again after a time that grows with each failure. Kept in memory only: the chunks are dirty
 * durably, and that the disk fails them shows again with the first pull.
 *
 * A write of several chunks does not say which of them is to blame. They are suspects until each is pulled alone.
 */
export class RefusedChunks {
  readonly #grid: ChunkGrid;
  readonly #refusals = new Map<number, Refusal>();
  readonly #suspects = new Set<number>();

  constructor(grid: ChunkGrid) {
    this.#grid = grid;
  }

  /** Number of chunks that the disk failed to take. */
  get count(): number {
    return this.#refusals.size;
  }

  /** The disk has failed a write of these chunks. False: too many are remembered already. */
  note(firstChunk: number, chunkCount: number, nowMs: number): boolean {
    if (this.#refusals.size + this.#suspects.size + chunkCount > REFUSED_CHUNKS_MAX) return false;
    if (chunkCount > 1) {
      for (let chunk = firstChunk; chunk < firstChunk + chunkCount; chunk++) if (!this.#refusals.has(chunk)) this.#suspects.add(chunk);
      return true;
    }
    this.#suspects.delete(firstChunk);
    const delayMs = this.#refusals.get(firstChunk)?.delayMs ?? REFUSED_RETRY_MS;
    this.#refusals.set(firstChunk, { retryAtMs: nowMs + delayMs, delayMs: Math.min(delayMs * 2, REFUSED_RETRY_MS_MAX) });
    return true;
  }

  /** Whether the disk failed to take the chunk when that was tried last. */
  has(chunk: number): boolean {
    return this.#refusals.size > 0 && this.#refusals.has(chunk);
  }

  /** Whether the chunk is to be written alone, so that it shows whether the disk takes it. */
  isAlone(chunk: number): boolean {
    return this.#refusals.size + this.#suspects.size > 0 && (this.#suspects.has(chunk) || this.#refusals.has(chunk));
  }

  /** Whether the chunk may be tried now. */
  mayTry(chunk: number, nowMs: number): boolean {
    const refusal = this.#refusals.size === 0 ? undefined : this.#refusals.get(chunk);
    return refusal === undefined || nowMs >= refusal.retryAtMs;
  }

  /** The chunk is clean: the disk has taken it. */
  taken(chunk: number): void {
    if (this.#refusals.size + this.#suspects.size === 0) return;
    this.#refusals.delete(chunk);
    this.#suspects.delete(chunk);
  }

  /** Where they lie on the device, in order, neighbours merged. */
  ranges(): ByteRange[] {
    return mergeRanges([...this.#refusals.keys()].map((chunk) => this.#grid.rangeOf(chunk)));
  }
}

/** A chunk that the disk failed to take. */
interface Refusal {
  /** When a pull of it is tried again (clock milliseconds), and how long it waits after the next failure. */
  retryAtMs: number;
  delayMs: number;
}
