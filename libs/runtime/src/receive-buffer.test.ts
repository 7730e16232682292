import { describe, expect, test } from 'vitest';
import { SeededRandom } from './random.ts';
import { ReceiveBuffer } from './receive-buffer.ts';
import { SLAB_BYTES, type Slab, SlabPool, SMALL_SLAB_BYTES } from './slab.ts';

/** Frames of 4 bytes of length and as many bytes of content, each byte the low bits of its position in the stream. */
function stream(lengths: readonly number[]): Uint8Array {
  const total = lengths.reduce((sum, length) => sum + 4 + length, 0);
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const length of lengths) {
    view.setUint32(at, length, true);
    for (let i = 0; i < length; i++) bytes[at + 4 + i] = (at + 4 + i) * 31;
    at += 4 + length;
  }
  return bytes;
}

describe('receive buffer', () => {
  test('frames of any size arrive whole through reads of any size, also those that are kept, and parsing that lags behind', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = new SeededRandom(seed);
      const pool = new SlabPool();
      const receive = new ReceiveBuffer(pool);
      const lengths = Array.from({ length: 40 }, () => (random.u32() % 8 === 0 ? random.u32() % (3 * SLAB_BYTES) : random.u32() % 5000));
      const source = stream(lengths);
      const kept: { slab: Slab; view: Uint8Array; at: number }[] = [];
      let at = 0;
      let frameAt = 0;
      let frame = 0;
      let target = receive.target();
      const parse = (): void => {
        while (receive.readableBytes >= 4) {
          const { bytes } = receive.slab;
          const length = new DataView(bytes.buffer, bytes.byteOffset + receive.start).getUint32(0, true);
          expect(length).toBe(lengths[frame]);
          if (!receive.hasFrame(4 + length)) return;
          const view = receive.slab.bytes.subarray(receive.start + 4, receive.start + 4 + length);
          receive.slab.retain();
          kept.push({ slab: receive.slab, view, at: frameAt + 4 });
          receive.consume(4 + length);
          frameAt += 4 + length;
          frame++;
          while (kept.length > 5 || (kept.length > 0 && random.u32() % 3 === 0)) {
            const oldest = kept.shift();
            if (oldest === undefined) break;
            let wrong = 0;
            for (let i = 0; i < oldest.view.length; i += 97) if (oldest.view[i] !== (((oldest.at + i) * 31) & 0xff)) wrong++;
            expect(wrong).toBe(0);
            oldest.slab.release();
          }
        }
      };
      while (at < source.length) {
        const count = Math.min(target.length, source.length - at, 1 + (random.u32() % 100_000));
        target.set(source.subarray(at, at + count));
        at += count;
        receive.received(count);
        // With back-pressure parsing lags behind, and goes on while a read is under way.
        if (random.u32() % 4 !== 0) parse();
        target = receive.target();
        if (random.u32() % 4 === 0) parse();
      }
      parse();
      expect(frame).toBe(lengths.length);
      for (const { slab } of kept) slab.release();
      receive.dispose();
      expect(pool.heldBytes).toBe(0);
    }
  });

  test('a buffer holds little until a read fills it, and a standard slab from then on', () => {
    const pool = new SlabPool();
    const receive = new ReceiveBuffer(pool);
    const first = receive.target();
    expect(first.length).toBe(SMALL_SLAB_BYTES);
    receive.received(first.length - 1);
    receive.consume(first.length - 1);
    expect(receive.target().length).toBe(SMALL_SLAB_BYTES);
    receive.received(SMALL_SLAB_BYTES);
    receive.consume(SMALL_SLAB_BYTES);
    expect(receive.target().length).toBe(SLAB_BYTES);
    expect(pool.heldBytes).toBe(SLAB_BYTES);
  });

  test('an idle buffer starts over in the same memory', () => {
    const receive = new ReceiveBuffer(new SlabPool());
    const first = receive.target();
    receive.received(10);
    receive.consume(10);
    expect(receive.target().byteOffset).toBe(first.byteOffset);
  });
});
