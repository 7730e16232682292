import { type ByteStream, type ByteStreamHandler, SeededRandom, type StreamListener, type Transport } from '@rmr/runtime';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

/** The suite that every {@link Transport} passes, on whatever it is built. */
export function transportCompliance(name: string, create: () => ComplianceSubject): void {
  describe(`transport compliance: ${name}`, () => {
    let subject: ComplianceSubject;
    let listeners: StreamListener[] = [];
    let ends: End[] = [];

    beforeEach(() => {
      subject = create();
    });
    afterEach(async () => {
      for (const end of ends) end.stream.destroy('test is over');
      const opened = ends;
      await subject.waitFor(() => opened.every((end) => end.closed.length === 1), 'every end to be told once that it is closed');
      for (const end of opened) expect(end.callsAfterClose).toBe(0);
      for (const listener of listeners) listener.close();
      ends = [];
      listeners = [];
      subject.dispose();
    });

    async function listen(address: string, onConnection: (stream: ByteStream) => void): Promise<StreamListener> {
      let listener: StreamListener | null = null;
      let failure = '';
      subject.transport.listen(
        address,
        onConnection,
        (made) => {
          listener = made;
        },
        (code, reason) => {
          failure = `${code} ${reason}`;
        },
      );
      await subject.waitFor(() => listener !== null || failure !== '', 'a listener');
      if (listener === null) throw new Error(failure);
      listeners.push(listener);
      return listener;
    }

    async function streamTo(address: string): Promise<ByteStream> {
      let stream: ByteStream | null = null;
      let failure = '';
      subject.transport.connect(
        address,
        (made) => {
          stream = made;
        },
        (reason) => {
          failure = reason;
        },
      );
      await subject.waitFor(() => stream !== null || failure !== '', 'a connection');
      if (stream === null) throw new Error(failure);
      return stream;
    }

    /** Two connected ends, attached. */
    async function pair(targetBytes?: number): Promise<[End, End]> {
      let accepted: ByteStream | null = null;
      const listener = await listen(subject.address, (stream) => {
        accepted = stream;
      });
      const near = new End(await streamTo(listener.address), targetBytes);
      await subject.waitFor(() => accepted !== null, 'an accepted connection');
      const far = new End(accepted as unknown as ByteStream, targetBytes);
      ends.push(near, far);
      near.attach();
      far.attach();
      return [near, far];
    }

    test('every byte arrives once and in order, both ways at the same time', async () => {
      const [near, far] = await pair();
      const there = noise(1_500_000, 1);
      const back = noise(900_000, 2);
      for (const [end, bytes] of [
        [near, there],
        [far, back],
      ] as const) {
        for (let at = 0, step = 1; at < bytes.length; at += step, step = (step * 7) % 70_001) {
          end.stream.write(bytes.subarray(at, Math.min(bytes.length, at + step)));
          if (step % 3 === 0) end.stream.flush();
        }
        end.stream.flush();
      }
      await subject.waitFor(() => far.receivedBytes === there.length && near.receivedBytes === back.length, 'all bytes');
      expect(Buffer.compare(far.received(), there)).toBe(0);
      expect(Buffer.compare(near.received(), back)).toBe(0);
    });

    test('a receive target of one byte is enough', async () => {
      const [near, far] = await pair(1);
      near.stream.write(noise(500, 3));
      near.stream.flush();
      await subject.waitFor(() => far.receivedBytes === 500, 'all bytes');
      expect(far.received()).toEqual(noise(500, 3));
    });

    test('nothing leaves before a flush', async () => {
      const [near, far] = await pair();
      near.stream.write(noise(10, 4));
      far.stream.write(noise(10, 5));
      far.stream.flush();
      await subject.waitFor(() => near.receivedBytes === 10, 'the flushed bytes');
      expect(far.receivedBytes).toBe(0);
      expect(near.stream.queuedBytes).toBe(10);
      near.stream.flush();
      await subject.waitFor(() => far.receivedBytes === 10, 'the other bytes');
    });

    test('onWritten rises to the total, and then nothing is queued; a view may change after it', async () => {
      const [near, far] = await pair();
      const bytes = noise(100_000, 6);
      const view = bytes.slice();
      near.stream.write(view.subarray(0, 99_999));
      near.stream.flush();
      near.stream.write(view.subarray(99_999));
      near.stream.flush();
      expect(near.written).toEqual([]);
      await subject.waitFor(() => near.written.at(-1) === 100_000, 'all bytes to be taken');
      view.fill(0);
      expect(near.stream.queuedBytes).toBe(0);
      expect(near.written).toEqual([...near.written].sort((a, b) => a - b));
      await subject.waitFor(() => far.receivedBytes === 100_000, 'all bytes');
      expect(Buffer.compare(far.received(), bytes)).toBe(0);
    });

    test('a paused reader holds the sender back, and gets everything once it resumes', async () => {
      const [near, far] = await pair();
      far.stream.pauseReading();
      const bytes = noise(12_000_000, 7);
      near.stream.write(bytes);
      near.stream.flush();
      far.stream.write(noise(10, 8));
      far.stream.flush();
      await subject.waitFor(() => near.receivedBytes === 10, 'the other direction');
      expect(far.reads).toBeLessThanOrEqual(1);
      expect(near.stream.queuedBytes).toBeGreaterThan(0);
      far.stream.resumeReading();
      await subject.waitFor(() => far.receivedBytes === bytes.length, 'all bytes');
      expect(Buffer.compare(far.received(), bytes)).toBe(0);
    });

    test('a reader may pause from within a read', async () => {
      const [near, far] = await pair();
      far.onBytes = () => far.stream.pauseReading();
      near.stream.write(noise(3_000_000, 9));
      near.stream.flush();
      await subject.waitFor(() => far.reads > 0, 'a read');
      near.stream.pauseReading();
      const reads = far.reads;
      far.stream.write(noise(1, 9));
      far.stream.flush();
      await subject.waitFor(() => far.written.length > 0, 'a byte to be taken');
      expect(far.reads).toBeLessThanOrEqual(reads + 1);
    });

    test('destroy closes both ends, tells each once and never from within, and drops what was queued', async () => {
      const [near, far] = await pair();
      near.stream.write(noise(10, 10));
      near.stream.destroy('had enough');
      near.stream.destroy('again');
      expect(near.closed).toEqual([]);
      await subject.waitFor(() => near.closed.length > 0 && far.closed.length > 0, 'both ends to close');
      expect(near.closed).toEqual(['had enough']);
      expect(far.closed).toHaveLength(1);
      expect(far.closed[0]).not.toBe('');
      expect(far.receivedBytes).toBe(0);
    });

    test('calls on a closed stream are harmless', async () => {
      const [near, far] = await pair();
      far.stream.destroy('over');
      await subject.waitFor(() => near.closed.length > 0 && far.closed.length > 0, 'both ends to close');
      for (const end of [near, far]) {
        end.stream.write(noise(10, 11));
        end.stream.flush();
        end.stream.pauseReading();
        end.stream.resumeReading();
        end.stream.end();
        end.stream.destroy('over');
      }
      expect(near.written).toEqual([]);
    });

    test('destroy from within a read is the last thing that happens', async () => {
      const [near, far] = await pair(100);
      far.onBytes = () => far.stream.destroy('seen enough');
      near.stream.write(noise(1_000, 12));
      near.stream.flush();
      await subject.waitFor(() => far.closed.length > 0 && near.closed.length > 0, 'both ends to close');
      expect(far.reads).toBe(1);
    });

    test('end sends what was queued before it closes', async () => {
      const [near, far] = await pair();
      const bytes = noise(2_000_000, 13);
      near.stream.write(bytes);
      near.stream.end();
      await subject.waitFor(() => near.closed.length > 0 && far.closed.length > 0, 'both ends to close');
      expect(Buffer.compare(far.received(), bytes)).toBe(0);
    });

    test('nothing is lost that was sent before the receiver attached', async () => {
      let accepted: ByteStream | null = null;
      const listener = await listen(subject.address, (stream) => {
        accepted = stream;
      });
      const near = new End(await streamTo(listener.address)).attach();
      near.stream.write(noise(5_000, 14));
      near.stream.flush();
      await subject.waitFor(() => accepted !== null && near.written.length > 0, 'the bytes to be taken');
      const far = new End(accepted as unknown as ByteStream).attach();
      ends.push(near, far);
      await subject.waitFor(() => far.receivedBytes === 5_000, 'all bytes');
      expect(far.received()).toEqual(noise(5_000, 14));
    });

    test('an end that attaches after its stream was destroyed is told', async () => {
      let accepted: ByteStream | null = null;
      const listener = await listen(subject.address, (stream) => {
        accepted = stream;
      });
      const near = new End(await streamTo(listener.address));
      ends.push(near);
      near.stream.destroy('no need');
      near.attach();
      expect(near.closed).toEqual([]);
      await subject.waitFor(() => near.closed.length === 1 && accepted !== null, 'the close to be told');
      expect(near.closed).toEqual(['no need']);
      const far = new End(accepted as unknown as ByteStream).attach();
      ends.push(far);
      await subject.waitFor(() => far.closed.length === 1, 'the other end to be told');
    });

    test('connections are independent of one another', async () => {
      const accepted: End[] = [];
      const listener = await listen(subject.address, (stream) => {
        accepted.push(new End(stream).attach());
      });
      const connected: End[] = [];
      for (let i = 0; i < 8; i++) connected.push(new End(await streamTo(listener.address)).attach());
      await subject.waitFor(() => accepted.length === 8, 'eight connections');
      ends.push(...accepted, ...connected);
      (connected[3] as End).stream.destroy('one of them');
      for (let i = 0; i < 8; i++) {
        (connected[i] as End).stream.write(noise(1_000 + i, i));
        (connected[i] as End).stream.flush();
      }
      await subject.waitFor(() => accepted.filter((end) => end.receivedBytes > 0).length === 7, 'the seven others');
      await subject.waitFor(() => accepted.every((end) => end.receivedBytes >= 1_000 || end.closed.length === 1), 'all bytes');
      for (const end of accepted) {
        if (end.closed.length === 0) expect(end.received()).toEqual(noise(end.receivedBytes, end.receivedBytes - 1_000));
      }
    });

    test('a connect that nobody accepts fails with a reason', async () => {
      await expect(streamTo(subject.otherAddress)).rejects.toThrow(/^E[A-Z]+/);
    });

    test('a connect that was given up calls nothing', async () => {
      let accepted = 0;
      const listener = await listen(subject.address, (stream) => {
        accepted++;
        ends.push(new End(stream).attach());
      });
      let calls = 0;
      const called = () => {
        calls++;
      };
      const attempt = subject.transport.connect(listener.address, called, called);
      attempt.cancel();
      attempt.cancel();
      subject.transport.connect(subject.otherAddress, called, called).cancel();
      subject.transport.connect(subject.invalidAddress, called, called).cancel();
      const before = accepted;
      const near = new End(await streamTo(listener.address)).attach();
      ends.push(near);
      await subject.waitFor(() => accepted > before, 'a later connection');
      expect(calls).toBe(0);
    });

    test('an address of another form is refused with what is wrong, never from within the call', async () => {
      const { transport, invalidAddress } = subject;
      expect(transport.invalidAddress(subject.address)).toBeNull();
      expect(transport.invalidAddress(invalidAddress)).toContain(invalidAddress);
      const reasons: string[] = [];
      transport.connect(
        invalidAddress,
        () => reasons.push('connected'),
        (reason) => reasons.push(reason),
      );
      transport.listen(
        invalidAddress,
        () => {},
        () => reasons.push('listening'),
        (code) => reasons.push(code),
      );
      expect(reasons).toEqual([]);
      await subject.waitFor(() => reasons.length === 2, 'both to fail');
      expect(reasons.sort()).toEqual([transport.invalidAddress(invalidAddress), 'EINVAL'].sort());
    });

    test('an address can be listened on once', async () => {
      const listener = await listen(subject.address, () => {});
      await expect(listen(listener.address, () => {})).rejects.toThrow('EADDRINUSE');
    });

    test('a closed listener takes no more connections; those that exist live on', async () => {
      const [near, far] = await pair();
      const listener = listeners.pop() as StreamListener;
      listener.close();
      await expect(streamTo(listener.address)).rejects.toThrow(/^E[A-Z]+/);
      near.stream.write(noise(100, 15));
      near.stream.flush();
      await subject.waitFor(() => far.receivedBytes === 100, 'bytes on the old connection');
    });

    test('a closed listener says when it is done, and its address can be listened on again', async () => {
      const listener = await listen(subject.address, () => {});
      listeners.pop();
      let done = false;
      listener.close(() => {
        done = true;
      });
      await subject.waitFor(() => done, 'the listener to close');
      await listen(listener.address, () => {});
    });
  });
}

/** A transport under test. Made anew for every test. */
export interface ComplianceSubject {
  readonly transport: Transport;
  /** Where to listen; a port 0 is fine. */
  readonly address: string;
  /** A second address, nobody listening there. */
  readonly otherAddress: string;
  /** An address of a form that the transport does not understand. */
  readonly invalidAddress: string;
  /** Lets events happen until `predicate` holds; rejects when it does not within a generous bound. */
  waitFor(predicate: () => boolean, what: string): Promise<void>;
  dispose(): void;
}

/** Records what happens at one end. */
class End implements ByteStreamHandler {
  readonly stream: ByteStream;
  readonly #target: Uint8Array;
  readonly #chunks: Uint8Array[] = [];
  receivedBytes = 0;
  reads = 0;
  written: number[] = [];
  closed: string[] = [];
  callsAfterClose = 0;
  onBytes: (() => void) | null = null;

  constructor(stream: ByteStream, targetBytes = 64 * 1024) {
    this.stream = stream;
    this.#target = new Uint8Array(targetBytes);
  }

  attach(): this {
    this.stream.attach(this);
    return this;
  }

  receiveTarget(): Uint8Array {
    return this.#target;
  }

  onReceived(byteCount: number): void {
    if (this.closed.length > 0) this.callsAfterClose++;
    this.reads++;
    this.receivedBytes += byteCount;
    this.#chunks.push(this.#target.slice(0, byteCount));
    this.onBytes?.();
  }

  onWritten(totalBytes: number): void {
    if (this.closed.length > 0) this.callsAfterClose++;
    this.written.push(totalBytes);
  }

  onClosed(reason: string): void {
    this.closed.push(reason);
  }

  received(): Uint8Array {
    const all = new Uint8Array(this.receivedBytes);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }
}

/** Bytes without a pattern, the same for the same seed. */
function noise(byteCount: number, seed: number): Uint8Array {
  const random = new SeededRandom(seed);
  const words = new Uint32Array(Math.ceil(byteCount / 4));
  for (let i = 0; i < words.length; i++) words[i] = random.u32();
  return new Uint8Array(words.buffer, 0, byteCount);
}
