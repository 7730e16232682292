import { ChunkGrid } from '@rmr/dirty-map';
import type { ByteRange, PoolStore } from '../../../pool-store.ts';

/**
 * What this member's own dirty map says about byte ranges of the device: which chunks a range touches, and which of them it
 * has missed. It reads the map as it is durable at the moment of the call, and changes nothing.
 *
 * Ranges lie within the device and are not empty.
 */
export class OwnChunks extends ChunkGrid {
  readonly #store: PoolStore;
  readonly #memberId: number;
  constructor(store: PoolStore) {
    super(store.identity.sizeBytes, store.identity.chunkSizeBytes);
    this.#store = store;
    this.#memberId = store.identity.memberId;
  }

  /**
   * Whether a chunk that the range touches is dirty for this member; one that is being pulled or replaced stays dirty until
   * that is durable. Called for every request: it allocates nothing.
   */
  anyDirty(offsetBytes: number, lengthBytes: number): boolean {
    const own = this.#store.dirtyMap(this.#memberId);
    if (own === null || own.dirtyCount === 0) return false;
    const first = this.firstOf(offsetBytes);
    return own.testAny(first, this.endOf(offsetBytes, lengthBytes) - first);
  }

  /** The first dirty chunk that the range touches, or -1: all of them are clean. */
  firstDirty(offsetBytes: number, lengthBytes: number): number {
    const end = this.endOf(offsetBytes, lengthBytes);
    const chunk = this.#store.dirtyMap(this.#memberId)?.nextDirty(this.firstOf(offsetBytes), end) ?? end;
    return chunk === end ? -1 : chunk;
  }

  /** The dirty chunks that the range touches, in order. */
  dirtyChunks(offsetBytes: number, lengthBytes: number): number[] {
    const own = this.#store.dirtyMap(this.#memberId);
    const chunks: number[] = [];
    const end = this.endOf(offsetBytes, lengthBytes);
    if (own === null) return chunks;
    for (let chunk = this.firstOf(offsetBytes); chunk < end; chunk++) if (own.test(chunk)) chunks.push(chunk);
    return chunks;
  }

  /** The dirty chunks that the range touches if it covers every one of them whole; else null. A short last chunk is whole up to its end. */
  dirtyIfWhole(offsetBytes: number, lengthBytes: number): number[] | null {
    const own = this.#store.dirtyMap(this.#memberId);
    const chunks: number[] = [];
    if (own === null) return chunks;
    const end = this.endOf(offsetBytes, lengthBytes);
    for (let chunk = this.firstOf(offsetBytes); chunk < end; chunk++) {
      if (!own.test(chunk)) continue;
      if (!this.covers(offsetBytes, lengthBytes, chunk)) return null;
      chunks.push(chunk);
    }
    return chunks;
  }

  /** The chunks that the range touches and that are clean for this member, each as a whole. */
  cleanRanges(offsetBytes: number, lengthBytes: number): ByteRange[] {
    const own = this.#store.dirtyMap(this.#memberId);
    const ranges: ByteRange[] = [];
    const end = this.endOf(offsetBytes, lengthBytes);
    for (let chunk = this.firstOf(offsetBytes); chunk < end; chunk++) {
      if (own?.test(chunk) !== true) ranges.push(this.rangeOf(chunk));
    }
    return ranges;
  }
}
