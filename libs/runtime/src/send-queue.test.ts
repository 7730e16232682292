import { describe, expect, test } from 'vitest';
import { SeededRandom } from './random.ts';
import { COPY_BYTES_MAX, SendQueue } from './send-queue.ts';
import { SLAB_BYTES, SlabPool } from './slab.ts';
import type { ByteStream } from './stream.ts';

/** A stream that keeps references, as a socket does, and takes them when told to. */
class LazyStream implements ByteStream {
  readonly peerDescription = 'test';
  readonly taken: Uint8Array[] = [];
  #queued: Uint8Array[] = [];
  #flushed: Uint8Array[] = [];
  total = 0;
  queuedBytes = 0;
  takenBytes = 0;
  attach(): void {}
  write(view: Uint8Array): void {
    this.#queued.push(view);
  }
  flush(): void {
    this.#flushed.push(...this.#queued);
    this.#queued = [];
  }
  take(): number {
    for (const view of this.#flushed) {
      this.taken.push(view.slice());
      this.total += view.length;
    }
    this.#flushed = [];
    return this.total;
  }
  confirmedBytes(): null {
    return null;
  }
  peerIsGone(): boolean {
    return false;
  }
  silentMs(): number {
    return 0;
  }
  pauseReading(): void {}
  resumeReading(): void {}
  end(): void {}
  destroy(): void {}
}

describe('send queue', () => {
  test('what was queued leaves in order and unchanged, however late it is taken, and all memory comes back', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const random = new SeededRandom(seed);
      const pool = new SlabPool();
      const stream = new LazyStream();
      const queue = new SendQueue(pool, stream);
      const expected: number[] = [];
      for (let frame = 0; frame < 200; frame++) {
        const at = queue.reserve(20);
        for (let i = 0; i < 20; i++) {
          queue.bytes[at + i] = frame + i;
          expected.push((frame + i) & 0xff);
        }
        if (random.u32() % 2 === 0) {
          const slab = pool.take(COPY_BYTES_MAX * 2);
          const length = 1 + (random.u32() % (COPY_BYTES_MAX * 2));
          slab.bytes.fill(frame, 0, length);
          queue.append(slab.bytes.subarray(0, length), slab);
          for (let i = 0; i < length; i++) expected.push(frame & 0xff);
          slab.release();
        }
        if (random.u32() % 3 === 0) queue.flush();
        if (random.u32() % 5 === 0) queue.written(stream.take());
      }
      queue.flush();
      queue.written(stream.take());
      expect(queue.pendingBytes).toBe(0);
      expect(Buffer.concat(stream.taken).equals(Buffer.from(expected))).toBe(true);
      queue.dispose();
      expect(pool.heldBytes).toBe(0);
    }
  });

  test('a queue from which everything has left holds no memory', () => {
    const pool = new SlabPool();
    const stream = new LazyStream();
    const queue = new SendQueue(pool, stream);
    expect(pool.heldBytes).toBe(0);
    for (let round = 0; round < 3; round++) {
      queue.append(new Uint8Array(100), null);
      queue.flush();
      expect(pool.heldBytes).toBe(SLAB_BYTES);
      queue.append(new Uint8Array(100), null);
      queue.written(stream.take());
      expect(pool.heldBytes).toBe(SLAB_BYTES);
      queue.flush();
      queue.written(stream.take());
      expect(pool.heldBytes).toBe(0);
    }
  });

  test('memory comes back when the stream closes with much unsent', () => {
    const pool = new SlabPool();
    const queue = new SendQueue(pool, new LazyStream());
    for (let i = 0; i < 100; i++) {
      const slab = pool.take();
      queue.append(slab.bytes, slab);
      slab.release();
    }
    queue.flush();
    queue.dispose();
    expect(pool.heldBytes).toBe(0);
  });

  test('a view without a slab is copied, whatever its size', () => {
    const stream = new LazyStream();
    const queue = new SendQueue(new SlabPool(), stream);
    const view = new Uint8Array(1_000_000).fill(1);
    queue.append(view, null);
    view.fill(2);
    queue.flush();
    queue.written(stream.take());
    expect(Buffer.concat(stream.taken).every((byte) => byte === 1)).toBe(true);
  });

  test('borrowed views leave from where they are if they are large, and the end says when the transport needs them no more', () => {
    const pool = new SlabPool();
    const stream = new LazyStream();
    const queue = new SendQueue(pool, stream);
    const small = new Uint8Array(COPY_BYTES_MAX).fill(1);
    const large = new Uint8Array(COPY_BYTES_MAX + 1).fill(2);
    queue.appendBorrowed(small);
    expect(queue.endBytes).toBe(small.length);
    queue.appendBorrowed(large);
    expect(queue.endBytes).toBe(small.length + large.length);
    queue.flush();
    small.fill(9);
    large.fill(3);
    queue.written(stream.take());
    expect(stream.total).toBe(queue.endBytes);
    expect([stream.taken[0]?.[0], stream.taken[1]?.[0]]).toEqual([1, 3]);
    expect(pool.heldBytes).toBe(0);
    queue.dispose();
  });
});
