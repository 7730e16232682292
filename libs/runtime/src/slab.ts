import { assert } from './errors.ts';

/**
 * A reference-counted piece of memory that sockets read into and write from. An owner that keeps a view into a slab beyond
 * the call that showed the view retains the slab, and releases it when done. At zero references the memory is used again.
 */
export class Slab {
  readonly bytes: Uint8Array;
  readonly #pool: SlabPool;
  #references = 1;

  constructor(pool: SlabPool, byteCount: number) {
    this.#pool = pool;
    this.bytes = new Uint8Array(byteCount);
  }

  /** How many hold this slab. */
  get references(): number {
    return this.#references;
  }

  retain(): void {
    assert(this.#references > 0, 'slab: retained after its last release');
    this.#references++;
  }

  release(): void {
    assert(this.#references > 0, 'slab: released more often than retained');
    if (--this.#references === 0) this.#pool.giveBack(this);
  }

  /** For the pool alone: a free slab starts its next life. */
  revive(): void {
    assert(this.#references === 0, 'slab: revived while held');
    this.#references = 1;
  }
}

/** Bytes in a standard slab: one large socket read. */
export const SLAB_BYTES = 256 * 1024;
/** Bytes in the small slab with which a stream begins to receive. Most handshakes need no more, so an idle peer holds no more. */
export const SMALL_SLAB_BYTES = 16 * 1024;
/** Free small slabs a pool keeps. */
const FREE_SMALL_MAX = 64;
/** Free standard slabs a pool keeps; more are given back to the allocator. */
const FREE_STANDARD_MAX = 64;
/** Free large slabs a pool keeps. */
const FREE_LARGE_MAX = 16;

/**
 * Hands out slabs and takes them back. It never refuses. Memory is bounded by the flow control of the callers: permits on a
 * session, bytes in flight on an NBD connection (I12).
 */
export class SlabPool {
  readonly #small: Slab[] = [];
  readonly #standard: Slab[] = [];
  readonly #large: Slab[] = [];
  #heldBytes = 0;

  /** Bytes in slabs that are held at the moment. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** A slab of at least `byteCountMin` bytes, held once. Its content is whatever was there before. */
  take(byteCountMin: number = SLAB_BYTES): Slab {
    const list = byteCountMin <= SLAB_BYTES ? this.#standard : this.#large;
    for (let i = list.length - 1; i >= 0; i--) {
      const slab = list[i] as Slab;
      if (slab.bytes.length < byteCountMin) continue;
      list[i] = list[list.length - 1] as Slab;
      list.pop();
      slab.revive();
      this.#heldBytes += slab.bytes.length;
      return slab;
    }
    const byteCount = byteCountMin <= SLAB_BYTES ? SLAB_BYTES : Math.ceil(byteCountMin / SLAB_BYTES) * SLAB_BYTES;
    this.#heldBytes += byteCount;
    return new Slab(this, byteCount);
  }

  /** A slab of {@link SMALL_SLAB_BYTES}, held once. Its content is whatever was there before. */
  takeSmall(): Slab {
    this.#heldBytes += SMALL_SLAB_BYTES;
    const slab = this.#small.pop();
    if (slab === undefined) return new Slab(this, SMALL_SLAB_BYTES);
    slab.revive();
    return slab;
  }

  /** For {@link Slab.release} alone. */
  giveBack(slab: Slab): void {
    this.#heldBytes -= slab.bytes.length;
    if (slab.bytes.length === SMALL_SLAB_BYTES) {
      if (this.#small.length < FREE_SMALL_MAX) this.#small.push(slab);
    } else if (slab.bytes.length === SLAB_BYTES) {
      if (this.#standard.length < FREE_STANDARD_MAX) this.#standard.push(slab);
    } else if (this.#large.length < FREE_LARGE_MAX) {
      this.#large.push(slab);
    } else {
      // Keep the slab that was given back last: its size is more likely to be wanted again.
      this.#large[0] = slab;
    }
  }
}
