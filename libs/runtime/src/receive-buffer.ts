import { assert } from './errors.ts';
import { SLAB_BYTES, type Slab, type SlabPool } from './slab.ts';

/**
 * The receiving side of a stream: bytes are read into slabs and parsed in place. A frame is always contiguous. A payload can
 * be kept as a view, by retaining {@link slab}. Bytes are moved only when a frame would cross the end of its slab, and then
 * only the part that has arrived. The buffer begins with a small slab. The first read that fills it makes the buffer go on
 * with standard slabs.
 *
 * The unread bytes are `slab.bytes[start..end)`.
 */
export class ReceiveBuffer {
  readonly #pool: SlabPool;
  slab: Slab;
  start = 0;
  end = 0;
  /** Size of the last frame that did not fit into the rest of a standard slab, or 0. The next frame is likely to be as large. */
  #largeFrameBytes = 0;
  /** The slab into which the transport puts the next bytes. It is held until they have come. */
  #targetSlab: Slab | null = null;
  #targetOffset = 0;

  constructor(pool: SlabPool) {
    this.#pool = pool;
    this.slab = pool.takeSmall();
  }

  /** Unread bytes. */
  get readableBytes(): number {
    return this.end - this.start;
  }

  /** The memory for the next read. Parsing may go on before the read has come, as it does after back-pressure. */
  target(): Uint8Array {
    this.#dropTarget();
    if (this.start === this.end) {
      if (this.slab.bytes.length < SLAB_BYTES && this.end === this.slab.bytes.length) {
        this.#moveTo(Math.max(SLAB_BYTES, this.#largeFrameBytes));
      } else if (this.slab.references === 1 && this.slab.bytes.length >= this.#largeFrameBytes) {
        this.start = 0;
        this.end = 0;
      } else if (this.slab.bytes.length - this.end < Math.max(TAIL_BYTES_MIN, this.#largeFrameBytes)) {
        this.#moveTo(Math.max(SLAB_BYTES, this.#largeFrameBytes));
      }
    } else if (this.slab.bytes.length - this.end < 1) {
      this.#moveTo(this.readableBytes + TAIL_BYTES_MIN);
    }
    this.slab.retain();
    this.#targetSlab = this.slab;
    this.#targetOffset = this.end;
    return this.slab.bytes.subarray(this.end);
  }

  /** `byteCount` bytes were read into the last target. */
  received(byteCount: number): void {
    const targetSlab = this.#targetSlab;
    assert(targetSlab !== null, 'receive buffer: bytes arrived that nobody asked for');
    assert(this.#targetOffset + byteCount <= targetSlab.bytes.length, 'receive buffer: more bytes than there was room for');
    if (targetSlab !== this.slab || this.#targetOffset !== this.end) {
      // The unread bytes moved while the read was under way: bring the new ones behind them.
      if (this.slab.bytes.length - this.end < byteCount)
        this.#moveTo(Math.max(SLAB_BYTES, this.#largeFrameBytes, this.readableBytes + byteCount));
      this.slab.bytes.set(targetSlab.bytes.subarray(this.#targetOffset, this.#targetOffset + byteCount), this.end);
    }
    this.end += byteCount;
    this.#dropTarget();
  }

  /** Whether a whole frame of `frameBytes` is readable. If not, makes sure that its rest will arrive contiguously. */
  hasFrame(frameBytes: number): boolean {
    if (this.end - this.start >= frameBytes) return true;
    if (this.start + frameBytes > this.slab.bytes.length) {
      this.#largeFrameBytes = frameBytes > SLAB_BYTES / 2 ? frameBytes : 0;
      this.#moveTo(Math.max(SLAB_BYTES, frameBytes));
    }
    return false;
  }

  /** Drops the first `byteCount` readable bytes, which have been handled. */
  consume(byteCount: number): void {
    this.start += byteCount;
    assert(this.start <= this.end, 'receive buffer: consumed more than was readable');
  }

  /** Gives the memory back. The buffer is not used after. */
  dispose(): void {
    this.#dropTarget();
    this.slab.release();
    this.start = 0;
    this.end = 0;
  }

  #dropTarget(): void {
    if (this.#targetSlab === null) return;
    this.#targetSlab.release();
    this.#targetSlab = null;
  }

  #moveTo(byteCount: number): void {
    const next = this.#pool.take(byteCount);
    const unread = this.end - this.start;
    if (unread > 0) next.bytes.set(this.slab.bytes.subarray(this.start, this.end), 0);
    this.slab.release();
    this.slab = next;
    this.start = 0;
    this.end = unread;
  }
}

/** The least room for a read. A smaller read is not worth a system call: the buffer moves to a fresh slab instead. */
const TAIL_BYTES_MIN = 16 * 1024;
