/**
 * The blocks of a file that are known to be allocated: a bit for each, in parts that exist where something is known, so 32 KiB per
 * GiB that was touched. Offsets and lengths are in bytes.
 */
export class AllocatedBlocks {
  readonly #parts = new Map<number, Uint8Array>();

  /** The start of the block that holds the byte. */
  static floor(offsetBytes: number): number {
    return Math.floor(offsetBytes / BLOCK_BYTES) * BLOCK_BYTES;
  }

  /** The start of the first block at or behind the byte. */
  static ceil(offsetBytes: number): number {
    return Math.ceil(offsetBytes / BLOCK_BYTES) * BLOCK_BYTES;
  }

  /** Whether all blocks that the range touches are known to be allocated. */
  has(offsetBytes: number, lengthBytes: number): boolean {
    if (this.#parts.size === 0) return false;
    const end = Math.ceil((offsetBytes + lengthBytes) / BLOCK_BYTES);
    for (let block = Math.floor(offsetBytes / BLOCK_BYTES); block < end; block++) {
      const part = this.#parts.get(Math.floor(block / PART_BLOCKS));
      if (part === undefined) return false;
      const bit = block % PART_BLOCKS;
      if (((part[bit >>> 3] as number) & (1 << (bit & 7))) === 0) return false;
    }
    return true;
  }

  /** All blocks that the range touches are allocated. */
  add(offsetBytes: number, lengthBytes: number): void {
    const end = Math.ceil((offsetBytes + lengthBytes) / BLOCK_BYTES);
    for (let block = Math.floor(offsetBytes / BLOCK_BYTES); block < end; block++) {
      const index = Math.floor(block / PART_BLOCKS);
      let part = this.#parts.get(index);
      if (part === undefined) {
        part = new Uint8Array(PART_BLOCKS / 8);
        this.#parts.set(index, part);
      }
      const bit = block % PART_BLOCKS;
      part[bit >>> 3] = (part[bit >>> 3] as number) | (1 << (bit & 7));
    }
  }

  /** Of the blocks that the range touches nothing is known any more. */
  remove(offsetBytes: number, lengthBytes: number): void {
    if (this.#parts.size === 0) return;
    const end = Math.ceil((offsetBytes + lengthBytes) / BLOCK_BYTES);
    for (let block = Math.floor(offsetBytes / BLOCK_BYTES); block < end; ) {
      const index = Math.floor(block / PART_BLOCKS);
      const part = this.#parts.get(index);
      const stop = Math.min(end, (index + 1) * PART_BLOCKS);
      if (part !== undefined) {
        for (let each = block; each < stop; each++) {
          const bit = each % PART_BLOCKS;
          part[bit >>> 3] = (part[bit >>> 3] as number) & ~(1 << (bit & 7));
        }
      }
      block = stop;
    }
  }

  /** Nothing is known any more. */
  clear(): void {
    this.#parts.clear();
  }
}

/** What is told apart: no file system that is used here has smaller pages, and where blocks are smaller whole ones of these are asked for. */
const BLOCK_BYTES = 4096;
/** Blocks of one part of the set, which has a bit for each. */
const PART_BLOCKS = 32_768;
