import { SLAB_BYTES, type Slab, type SlabPool } from '@rmr/runtime';

/**
 * Memory for the data of reads: small pieces share a slab, which lives until the last of them has been sent.
 * After {@link take}, `view` is the piece and `slab` the slab, held once for the caller.
 */
export class ReadArena {
  readonly #pool: SlabPool;
  #current: Slab | null = null;
  #position = 0;
  slab: Slab;
  view: Uint8Array;

  constructor(pool: SlabPool) {
    this.#pool = pool;
    this.#current = pool.take();
    this.slab = this.#current;
    this.view = this.slab.bytes;
  }

  take(byteCount: number): void {
    if (byteCount > SLAB_BYTES / 2) {
      this.slab = this.#pool.take(byteCount);
      this.view = this.slab.bytes.subarray(0, byteCount);
      return;
    }
    let current = this.#current;
    if (current === null || (current.references > 1 && this.#position + byteCount > current.bytes.length)) {
      current?.release();
      current = this.#pool.take();
      this.#current = current;
      this.#position = 0;
    } else if (current.references === 1) {
      this.#position = 0;
    }
    current.retain();
    this.slab = current;
    this.view = current.bytes.subarray(this.#position, this.#position + byteCount);
    this.#position += byteCount;
  }

  dispose(): void {
    this.#current?.release();
    this.#current = null;
  }
}
