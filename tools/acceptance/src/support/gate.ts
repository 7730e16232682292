import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A way to a unix socket that lets bytes through, or holds them until it is told to let them go. */
export class Gate {
  readonly path: string;
  readonly #target: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** What has arrived and waits, in its order. */
  #held: { readonly to: Socket; readonly bytes: Uint8Array }[] = [];
  #closed = false;
  #connections = 0;

  private constructor(path: string, target: string) {
    this.path = path;
    this.#target = target;
    this.#server = createServer((socket) => this.#forward(socket));
  }

  /** Listens at `path`. A connection to it is passed on to `target`. The gate is open at first. */
  static async listen(path: string, target: string): Promise<Gate> {
    rmSync(path, { force: true });
    const gate = new Gate(path, target);
    await new Promise<void>((resolve, reject) => {
      gate.#server.once('error', reject).listen(path, resolve);
    });
    return gate;
  }

  /** How many have come so far, whether somebody listened behind the gate or not. */
  get connections(): number {
    return this.#connections;
  }

  /** Holds from now on what arrives, in both directions. Connections still come and end at once. */
  close(): void {
    this.#closed = true;
  }

  /**
   * Lets go what is held at this moment, and nothing that comes after it: of peers of which each waits for the other's
   * answer, one message gets through.
   */
  step(): void {
    const held = this.#held;
    this.#held = [];
    for (const { to, bytes } of held) if (!to.destroyed) to.write(bytes);
  }

  /** Lets everything through again. */
  open(): void {
    this.#closed = false;
    this.step();
  }

  async dispose(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #forward(near: Socket): void {
    this.#connections++;
    const far = connect(this.#target);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on('data', (bytes) => {
        if (this.#closed) this.#held.push({ to, bytes });
        else to.write(bytes);
      });
      // A process that dies on one side is gone for the other side at once, and what was on its way to or from it is lost.
      from.on('error', () => {});
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}
