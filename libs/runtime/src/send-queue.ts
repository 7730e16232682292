import { assert } from './errors.ts';
import { SLAB_BYTES, type Slab, type SlabPool } from './slab.ts';
import type { ByteStream } from './stream.ts';

/**
 * The sending side of a stream: frames are put together in slabs during a turn and leave in one gathered write.
 * Memory is released when the transport has taken it.
 */
export class SendQueue {
  readonly #pool: SlabPool;
  readonly #stream: ByteStream;
  /** The slab for headers and for copies of small payloads. Null while nothing waits, so that idle streams hold no memory. */
  #slab: Slab | null = null;
  #position = 0;
  /** The start of the bytes in the slab that the stream has not been given yet. */
  #segmentStart = 0;
  /** Total bytes given to the stream. */
  #givenBytes = 0;
  #takenBytes = 0;
  /** Slabs to release, with the total at which the stream is done with each: a ring of pairs. */
  #heldSlabs: (Slab | null)[] = new Array(64).fill(null);
  #heldUntil = new Float64Array(64);
  #heldHead = 0;
  #heldCount = 0;
  #disposed = false;

  constructor(pool: SlabPool, stream: ByteStream) {
    this.#pool = pool;
    this.#stream = stream;
  }

  /** The memory that the last {@link reserve} returned an offset of. Read it after that call. */
  get bytes(): Uint8Array {
    assert(this.#slab !== null, 'send queue: nothing is reserved');
    return this.#slab.bytes;
  }

  /** Bytes queued here or in the stream that the transport has not taken. */
  get pendingBytes(): number {
    return this.#givenBytes - this.#takenBytes + (this.#position - this.#segmentStart);
  }

  /** Of all bytes ever queued, the end: when the transport has taken so many in total, it needs nothing of what was queued so far. */
  get endBytes(): number {
    return this.#givenBytes + (this.#position - this.#segmentStart);
  }

  /** Room for `byteCount` (at most a slab's) contiguous bytes, which the caller fills at the returned offset of {@link bytes} at once. */
  reserve(byteCount: number): number {
    assert(byteCount <= SLAB_BYTES, 'send queue: reserved more than a slab');
    if (this.#slab === null) {
      this.#slab = this.#pool.take();
    } else if (this.#position + byteCount > this.#slab.bytes.length) {
      this.#seal();
      this.#hold(this.#slab);
      this.#slab = this.#pool.take();
      this.#position = 0;
      this.#segmentStart = 0;
    }
    const offset = this.#position;
    this.#position += byteCount;
    return offset;
  }

  /** Queues `view`, which lies in `slab` (retained until sent if it is not copied). With no slab it is always copied. */
  append(view: Uint8Array, slab: Slab | null): void {
    if (slab !== null && view.length > COPY_BYTES_MAX) {
      this.#seal();
      slab.retain();
      this.#give(view);
      this.#hold(slab);
      return;
    }
    let from = 0;
    while (from < view.length) {
      const part = Math.min(view.length - from, SLAB_BYTES);
      const offset = this.reserve(part);
      this.bytes.set(part === view.length ? view : view.subarray(from, from + part), offset);
      from += part;
    }
  }

  /**
   * Queues `view`, whose memory is the caller's: it stays unchanged until the transport has taken it (see {@link endBytes}) or the stream is
   * destroyed. Small views are copied.
   */
  appendBorrowed(view: Uint8Array): void {
    if (view.length <= COPY_BYTES_MAX) {
      this.append(view, null);
      return;
    }
    this.#seal();
    this.#give(view);
  }

  /** Sends everything queued so far. */
  flush(): void {
    if (this.#disposed) return;
    this.#seal();
    this.#stream.flush();
  }

  /** The stream's {@link ByteStreamHandler.onWritten}. */
  written(totalBytes: number): void {
    if (this.#disposed) return;
    this.#takenBytes = totalBytes;
    while (this.#heldCount > 0 && (this.#heldUntil[this.#heldHead] as number) <= totalBytes) {
      (this.#heldSlabs[this.#heldHead] as Slab).release();
      this.#heldSlabs[this.#heldHead] = null;
      this.#heldHead = (this.#heldHead + 1) % this.#heldSlabs.length;
      this.#heldCount--;
    }
    if (this.#slab !== null && this.#takenBytes === this.#givenBytes && this.#segmentStart === this.#position) {
      this.#slab.release();
      this.#slab = null;
      this.#position = 0;
      this.#segmentStart = 0;
    }
  }

  /** Releases everything; called when the stream has closed. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (; this.#heldCount > 0; this.#heldCount--) {
      (this.#heldSlabs[this.#heldHead] as Slab).release();
      this.#heldSlabs[this.#heldHead] = null;
      this.#heldHead = (this.#heldHead + 1) % this.#heldSlabs.length;
    }
    this.#slab?.release();
    this.#slab = null;
  }

  #seal(): void {
    if (this.#segmentStart === this.#position) return;
    this.#give(this.bytes.subarray(this.#segmentStart, this.#position));
    this.#segmentStart = this.#position;
  }

  #give(view: Uint8Array): void {
    this.#givenBytes += view.length;
    this.#stream.write(view);
  }

  #hold(slab: Slab): void {
    if (this.#heldCount === this.#heldSlabs.length) this.#growHeld();
    const at = (this.#heldHead + this.#heldCount) % this.#heldSlabs.length;
    this.#heldSlabs[at] = slab;
    this.#heldUntil[at] = this.#givenBytes;
    this.#heldCount++;
  }

  #growHeld(): void {
    const size = this.#heldSlabs.length;
    const slabs: (Slab | null)[] = new Array(size * 2).fill(null);
    const until = new Float64Array(size * 2);
    for (let i = 0; i < size; i++) {
      const at = (this.#heldHead + i) % size;
      slabs[i] = this.#heldSlabs[at] as Slab;
      until[i] = this.#heldUntil[at] as number;
    }
    this.#heldSlabs = slabs;
    this.#heldUntil = until;
    this.#heldHead = 0;
  }
}

/**
 * Payloads up to this size are copied behind their header. Larger ones are sent from where they are. A stream write
 * costs about a microsecond, and copying this many bytes costs the same.
 */
export const COPY_BYTES_MAX = 16 * 1024;
