import type { ChunkGrid } from '@rmr/dirty-map';
import { UNREADABLE_CHUNKS_MAX } from '../../../constants.ts';
import type { ByteRange } from '../../../pool-store.ts';
import { mergeRanges } from '../../../ranges.ts';

/**
 * Chunks in which the disk could not read something. When the member comes back into the set, they are marked dirty for it
 * where another member has them (L3), so that resync writes them anew: most disks put a bad sector elsewhere then. They are
 * kept in memory, and no more than {@link UNREADABLE_CHUNKS_MAX}: what is forgotten is noticed when it is read again.
 *
 * A read of several chunks does not say which of them is to blame. They are suspects until each is read alone: a chunk that
 * can be read may be the last good copy.
 */
export class UnreadableChunks {
  readonly #grid: ChunkGrid;
  readonly #chunks = new Set<number>();
  readonly #suspects = new Set<number>();

  constructor(grid: ChunkGrid) {
    this.#grid = grid;
  }

  /** A read of the range has failed. */
  note(offsetBytes: number, lengthBytes: number): void {
    const first = this.#grid.firstOf(offsetBytes);
    const last = this.#grid.endOf(offsetBytes, lengthBytes) - 1;
    const chunks = first === last ? this.#chunks : this.#suspects;
    for (let chunk = first; chunk <= last && chunks.size < UNREADABLE_CHUNKS_MAX; chunk++) chunks.add(chunk);
    if (first === last) this.#suspects.delete(first);
  }

  /** The range has been written: chunks that it covers whole can be read again. */
  written(offsetBytes: number, lengthBytes: number): void {
    if (this.#chunks.size + this.#suspects.size === 0) return;
    const stop = this.#grid.endWholeOf(offsetBytes, lengthBytes);
    for (let chunk = this.#grid.firstWholeOf(offsetBytes); chunk < stop; chunk++) {
      this.#chunks.delete(chunk);
      this.#suspects.delete(chunk);
    }
  }

  /** Where they lie, in order, neighbours merged. */
  ranges(): ByteRange[] {
    return this.#rangesOf(this.#chunks);
  }

  /** Returns where the suspects lie, and forgets them. The caller reads them one by one, and notes those that fail. */
  takeSuspects(): ByteRange[] {
    return this.#take(this.#suspects);
  }

  /** Returns what {@link ranges} does, and forgets it. The caller reads each once more, and notes those that fail again. */
  takeKnown(): ByteRange[] {
    return this.#take(this.#chunks);
  }

  #take(chunks: Set<number>): ByteRange[] {
    const ranges = this.#rangesOf(chunks);
    chunks.clear();
    return ranges;
  }

  #rangesOf(chunks: ReadonlySet<number>): ByteRange[] {
    return mergeRanges([...chunks].map((chunk) => this.#grid.rangeOf(chunk)));
  }
}
