import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net';

/** A connection on which a test says whatever it likes. */
export class RawConnection {
  readonly #socket: Socket;
  readonly #isTcp: boolean;
  #received: Buffer = Buffer.alloc(0);
  #closed = false;
  #wake: (() => void) | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#isTcp = socket.remotePort !== undefined;
    socket.on('data', (bytes) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      this.#wake?.();
    });
    // What the peer does to this connection is looked at through `closed`.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
      this.#wake?.();
    });
  }

  static open(address: NetConnectOpts): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(address);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.removeListener('error', reject);
        resolve(new RawConnection(socket));
      });
    });
  }

  /** Sends bytes, or queues them in this process while the peer does not read. */
  send(...pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) if (!this.#socket.destroyed) this.#socket.write(piece);
  }

  /** The next `count` bytes. Rejects when the connection ends before. */
  async read(count: number): Promise<Buffer> {
    await this.#until(() => this.#received.length >= count || this.#closed);
    if (this.#received.length < count) throw new Error(`the connection ended after ${this.#received.length} of ${count} bytes`);
    const bytes = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return bytes;
  }

  /** Whether the peer has closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Waits until the peer closes. Rejects when it does not. */
  async closing(): Promise<void> {
    await this.#until(() => this.#closed);
  }

  /** Stops reading, as a client that is stuck does. */
  stopReading(): void {
    this.#socket.pause();
  }

  /** Half-closes: the peer sees the end of our bytes. */
  end(): void {
    this.#socket.end();
  }

  /** Waits until the kernel has taken all but `bytesMax` of what was to be sent. Rejects when it does not. */
  async taken(bytesMax: number): Promise<void> {
    this.#socket.on('drain', () => this.#wake?.());
    const timer = setInterval(() => this.#wake?.(), 10);
    await this.#until(() => this.#socket.writableLength <= bytesMax || this.#closed).finally(() => clearInterval(timer));
  }

  /** Breaks the connection off, as a kernel does when what a process has not read is lost. */
  breakOff(): void {
    // Unix sockets know no reset.
    if (this.#isTcp) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  /** Drops the connection at once. */
  drop(): void {
    this.#socket.destroy();
  }

  async #until(condition: () => boolean): Promise<void> {
    const deadlineMs = performance.now() + ANSWER_MS_MAX;
    while (!condition()) {
      const left = deadlineMs - performance.now();
      if (left <= 0) throw new Error('the peer neither answered nor closed the connection');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
  }
}

/** Reads and closings are waited for so long at most. */
const ANSWER_MS_MAX = 20_000;

/** A TCP port of loopback that nobody uses at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      const address = server.address();
      server.close(() => (address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))));
    });
  });
}
