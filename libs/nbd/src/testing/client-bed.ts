import { type ByteStream, type ConnectAttempt, type DiskSink, SlabPool, type StreamListener, type Transport } from '@rmr/runtime';
import { NbdClient } from '../client/nbd-client.ts';
import type { ExportFailure, RemoteExport } from '../client/remote-export.ts';
import { NbdServer } from '../core/nbd-server.ts';
import { FakeStream, FakeWorld } from './fake-world.ts';

/** A client in a world of its own, against the server of this library, or a test that plays the server. */
export class ClientBed {
  readonly world = new FakeWorld();
  readonly slabs = new SlabPool();
  readonly server: NbdServer | null;
  readonly client: NbdClient;
  /** The client's ends of its connections, and the server's, if there is one. */
  readonly ends: { readonly client: FakeStream; readonly server: FakeStream | null }[] = [];
  readonly #connects: (() => void)[] = [];
  readonly #accepted: number;
  ready: RemoteExport | null = null;
  lost: ExportFailure | null = null;
  /** Status by tag. */
  readonly done = new Map<number, number>();
  readonly sink: DiskSink = {
    onDiskDone: (tag, status) => {
      if (this.done.has(tag)) throw new Error(`request ${tag} ended twice`);
      this.done.set(tag, status);
    },
  };

  /** `prepare` adds exports to the server; without it the test is the server. Only the first `accepted` connections can be made. */
  constructor(
    prepare: ((server: NbdServer, world: FakeWorld) => void) | null,
    exportName = '',
    connectionsMax?: number,
    accepted = Number.POSITIVE_INFINITY,
  ) {
    this.#accepted = accepted;
    this.server = prepare === null ? null : new NbdServer(this.world, this.slabs);
    if (this.server !== null) prepare?.(this.server, this.world);
    const listener = {
      onReady: (found: RemoteExport) => {
        this.ready = found;
      },
      onLost: (failure: ExportFailure) => {
        if (this.lost !== null) throw new Error('lost twice');
        this.lost = failure;
      },
      onAnswer: () => {},
    };
    const parts = { world: this.world, transport: this.#transport(), slabs: this.slabs };
    this.client = new NbdClient(parts, { address: 'tcp://host:1', exportName }, listener, connectionsMax);
    this.settle();
  }

  /** Lets everything happen that can. */
  settle(): void {
    for (let rounds = 0; ; rounds++) {
      if (rounds > 1_000_000) throw new Error('the client does not come to rest');
      let moved = this.#connects.length > 0;
      for (const connect of this.#connects.splice(0)) connect();
      for (const { client, server } of this.ends) {
        moved = client.step() || moved;
        if (server !== null) {
          moved = server.step() || moved;
          for (const bytes of client.received.splice(0)) server.feed(bytes);
          for (const bytes of server.received.splice(0)) client.feed(bytes);
          if (server.closed && !client.closed) client.hangUp();
          if (client.closed && !server.closed) server.hangUp();
        }
      }
      moved = this.world.endTurn() || moved;
      this.client.verify();
      if (!moved) return;
    }
  }

  /** The test is the server: what the client has said on its first connection since the last call. */
  said(): Uint8Array {
    const stream = this.stream;
    const parts = stream.received.splice(0);
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }

  /** The test is the server: says something. */
  say(...parts: readonly Uint8Array[]): void {
    for (const part of parts) this.stream.feed(part);
    this.settle();
  }

  /** The client's end of its first connection. */
  get stream(): FakeStream {
    const end = this.ends[0];
    if (end === undefined) throw new Error('the client has not connected');
    return end.client;
  }

  #transport(): Transport {
    return {
      invalidAddress: () => null,
      connect: (_address: string, onConnected: (stream: ByteStream) => void, onFailed: (reason: string) => void): ConnectAttempt => {
        let cancelled = false;
        this.#connects.push(() => {
          if (cancelled) return;
          if (this.ends.length >= this.#accepted) {
            onFailed('ECONNREFUSED');
            return;
          }
          const client = new FakeStream();
          const server = this.server === null ? null : new FakeStream();
          this.ends.push({ client, server });
          if (server !== null) this.server?.accept(server);
          onConnected(client);
        });
        return { cancel: () => (cancelled = true) };
      },
      listen: (_address, _onConnection, _onListening: (listener: StreamListener) => void) => {
        throw new Error('nobody listens here');
      },
    };
  }
}
