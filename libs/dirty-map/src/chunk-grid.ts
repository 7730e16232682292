import { assert } from '@rmr/runtime';
import type { DirtyMap } from './dirty-map.ts';

/**
 * A device in chunks of one size, numbered from 0. The last one may be shorter. Sizes and offsets are in bytes. Ranges lie within the
 * device and are not empty. Only {@link rangeOf} allocates.
 */
export class ChunkGrid {
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  readonly chunkCount: number;

  constructor(sizeBytes: number, chunkSizeBytes: number) {
    assert(chunkSizeBytes > 0 && sizeBytes >= 0, 'chunk grid: sizes are out of range');
    this.sizeBytes = sizeBytes;
    this.chunkSizeBytes = chunkSizeBytes;
    this.chunkCount = Math.ceil(sizeBytes / chunkSizeBytes);
  }

  /** The chunks of a device of this size, such as a store's identity names it. */
  static of({ sizeBytes, chunkSizeBytes }: Pick<ChunkGrid, 'sizeBytes' | 'chunkSizeBytes'>): ChunkGrid {
    return new ChunkGrid(sizeBytes, chunkSizeBytes);
  }

  /** The chunk that the byte lies in: the first one that a range touches which begins there. */
  firstOf(offsetBytes: number): number {
    return Math.floor(offsetBytes / this.chunkSizeBytes);
  }

  /** The chunk behind the last one that the range touches. */
  endOf(offsetBytes: number, lengthBytes: number): number {
    return Math.floor((offsetBytes + lengthBytes - 1) / this.chunkSizeBytes) + 1;
  }

  /** The number of chunks that the range touches. */
  countOf(offsetBytes: number, lengthBytes: number): number {
    return this.endOf(offsetBytes, lengthBytes) - this.firstOf(offsetBytes);
  }

  /** The first chunk that begins at this byte or behind it: the first one that a range can cover whole which begins there. */
  firstWholeOf(offsetBytes: number): number {
    return Math.ceil(offsetBytes / this.chunkSizeBytes);
  }

  /** The chunk behind the last one that the range can cover whole. */
  endWholeOf(offsetBytes: number, lengthBytes: number): number {
    const end = offsetBytes + lengthBytes;
    return end === this.sizeBytes ? this.chunkCount : Math.floor(end / this.chunkSizeBytes);
  }

  /** Whether the range begins with a chunk and ends with one. */
  isWhole(offsetBytes: number, lengthBytes: number): boolean {
    const end = offsetBytes + lengthBytes;
    return offsetBytes % this.chunkSizeBytes === 0 && (end % this.chunkSizeBytes === 0 || end === this.sizeBytes);
  }

  /** Whether the range covers the whole chunk. */
  covers(offsetBytes: number, lengthBytes: number, chunk: number): boolean {
    return this.startOf(chunk) >= offsetBytes && this.startOf(chunk + 1) <= offsetBytes + lengthBytes;
  }

  /** Where the chunk begins, and the one before it ends. */
  startOf(chunk: number): number {
    return Math.min(chunk * this.chunkSizeBytes, this.sizeBytes);
  }

  /** Chunks as a range of bytes. */
  rangeOf(first: number, count = 1): { readonly offsetBytes: number; readonly lengthBytes: number } {
    const offsetBytes = this.startOf(first);
    return { offsetBytes, lengthBytes: this.startOf(first + count) - offsetBytes };
  }

  /** The bytes in `count` chunks. `withLast`: the last chunk of the device is among them. */
  bytesOf(count: number, withLast: boolean): number {
    return count * this.chunkSizeBytes - (withLast ? this.chunkCount * this.chunkSizeBytes - this.sizeBytes : 0);
  }

  /** The bytes in the dirty chunks of the map. */
  bytesIn(map: DirtyMap): number {
    return map.dirtyCount === 0 ? 0 : this.bytesOf(map.dirtyCount, map.test(this.chunkCount - 1));
  }
}
