import type { Socket } from 'node:net';

/** Takes bytes from a socket in pieces of the reader's choice. */
export class ByteReader {
  readonly #chunks: Buffer[] = [];
  #held = 0;
  #ended: Error | null = null;
  #wake: (() => void) | null = null;

  constructor(socket: Socket) {
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#held += chunk.length;
      this.#wake?.();
    });
    socket.on('error', (error) => {
      this.#ended ??= error;
    });
    socket.on('close', () => {
      this.#ended ??= new Error('the server closed the connection');
      this.#wake?.();
    });
  }

  /** The next `count` bytes. Rejects when the connection ends before. One call at a time. */
  async read(count: number): Promise<Buffer> {
    while (this.#held < count) {
      if (this.#ended !== null) throw this.#ended;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
    return this.#take(count);
  }

  #take(count: number): Buffer {
    this.#held -= count;
    const first = this.#chunks[0];
    if (first !== undefined && first.length > count) {
      this.#chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    const bytes = Buffer.allocUnsafe(count);
    for (let filled = 0; filled < count; ) {
      const chunk = this.#chunks[0] as Buffer;
      const copied = chunk.copy(bytes, filled);
      filled += copied;
      if (copied === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(copied);
    }
    return bytes;
  }
}
