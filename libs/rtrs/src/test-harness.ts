// A client and a server on a network in memory, for the tests of this library.
import { SlabPool } from '@rmr/runtime';
import { MemoryNetwork, type MemoryNetworkOptions, type VirtualHost, VirtualWorld } from '@rmr/testing';
import type { RtrsClientHandler, RtrsClientOptions, RtrsResponseSink } from './client-types.ts';
import { RtrsClientSession } from './core/client-session.ts';
import { RtrsServer } from './core/server.ts';
import type { RtrsServerRequest } from './core/server-request.ts';
import type { RtrsServerSession } from './core/server-session.ts';
import type { PeerIdentity } from './identity.ts';
import type { RtrsServerHandler, RtrsServerOptions } from './server-types.ts';
import { headerChecksum } from './wire/header-checksum.ts';

export function identity(name: string, incarnation = 1): PeerIdentity {
  const host = headerChecksum(new TextEncoder().encode(name), 0, name.length).toString(16).padStart(8, '0');
  return {
    hostUuid: `${host}-0000-4000-8000-000000000000`,
    hostName: name,
    bootId: `${host}-0000-4000-8000-00000000b007`,
    incarnation: `${host}-0000-4000-8000-${incarnation.toString(16).padStart(12, '0')}`,
  };
}

/** A server that holds every request until the test lets it be answered. */
export class TestServer implements RtrsServerHandler {
  readonly world: VirtualHost;
  readonly slabs = new SlabPool();
  readonly server: RtrsServer;
  readonly events: string[] = [];
  /** Requests not yet answered, oldest first. */
  readonly held: RtrsServerRequest[] = [];
  /** Texts of all requests, in order of arrival. */
  readonly arrived: string[] = [];
  /** Answers at once, with the same header and payload. */
  echo = true;

  constructor(world: VirtualHost, network: MemoryNetwork, addresses: string[], options: Partial<RtrsServerOptions> = {}) {
    this.world = world;
    this.server = new RtrsServer(
      world,
      this.slabs,
      { local: identity(world.name), queueDepth: 64, maxPayloadBytes: 1024 * 1024, payloadChecksum: true, ...options },
      this,
    );
    for (const address of addresses) {
      network.host(world.name).listen(
        address,
        (stream) => this.server.accept(stream),
        () => {},
        (_code, reason) => {
          throw new Error(reason);
        },
      );
    }
  }

  onSession(session: RtrsServerSession): void {
    this.events.push(`session of ${session.peer.hostName}`);
  }

  onRequest(request: RtrsServerRequest): void {
    const text = new TextDecoder().decode(request.header.subarray(request.headerOffset, request.headerOffset + request.headerLength));
    this.arrived.push(text);
    this.held.push(request);
    if (this.echo) this.answer();
  }

  /** Answers the oldest held request, of all or of one path. */
  answer(status = 0, pathId = 0): void {
    const at = this.held.findIndex((held) => pathId === 0 || held.pathId === pathId);
    const request = this.held[at];
    if (request === undefined) throw new Error('no such request is held');
    this.held.splice(at, 1);
    const length = Math.min(64, request.headerLength);
    for (let i = 0; i < length; i++) {
      request.responseHeader[request.responseHeaderOffset + i] = request.header[request.headerOffset + i] as number;
    }
    request.respond(status, length, request.payload, request.payload === null ? null : request.slab);
  }

  answerAll(): void {
    while (this.held.length > 0) this.answer();
  }

  onSessionClosed(session: RtrsServerSession, reason: string): void {
    this.events.push(`closed of ${session.peer.hostName}, executing ${session.executing}: ${reason}`);
  }

  onSessionDrained(session: RtrsServerSession): void {
    this.events.push(`drained of ${session.peer.hostName}`);
  }
}

/** A client that records what happens to it. */
export class TestClient implements RtrsClientHandler, RtrsResponseSink {
  readonly world: VirtualHost;
  readonly slabs = new SlabPool();
  readonly session: RtrsClientSession;
  readonly events: string[] = [];
  /** Ended requests: tag → status. */
  readonly ended = new Map<number, number>();
  readonly responses = new Map<number, { header: string; payload: Uint8Array | null }>();
  onEvent: ((event: string) => void) | null = null;

  constructor(world: VirtualHost, network: MemoryNetwork, addresses: string[], options: Partial<RtrsClientOptions> = {}) {
    this.world = world;
    this.session = new RtrsClientSession(
      world,
      network.host(world.name),
      this.slabs,
      {
        local: identity(world.name),
        addresses,
        queueDepth: 32,
        maxPayloadBytes: 1024 * 1024,
        payloadChecksum: true,
        pathPolicy: 'round-robin',
        ...options,
      },
      this,
    );
  }

  #event(event: string): void {
    this.events.push(event);
    this.onEvent?.(event);
  }

  onConnected(): void {
    this.#event('connected');
  }

  onLost(_session: RtrsClientSession, reason: string): void {
    this.#event(`lost: ${reason}`);
  }

  onPermit(): void {
    this.#event('permit');
  }

  onPathChange(): void {
    this.#event(`paths: ${this.session.paths().filter((path) => path.state === 'UP').length}`);
  }

  /** Sends a request; its header is its text. Throws when there is no permit. */
  send(text: string, tag: number, options: { control?: boolean; payload?: Uint8Array; fromSlab?: boolean } = {}): void {
    const slot = this.session.allocate(options.control ?? false);
    if (slot < 0) throw new Error('no permit');
    this.submit(slot, text, tag, options);
  }

  submit(slot: number, text: string, tag: number, options: { payload?: Uint8Array; fromSlab?: boolean } = {}): void {
    const bytes = new TextEncoder().encode(text);
    this.session.headerBytes.set(bytes, this.session.headerOffset(slot));
    if (options.payload !== undefined && options.fromSlab) {
      const slab = this.slabs.take(options.payload.length);
      slab.bytes.set(options.payload);
      this.session.submit(slot, bytes.length, slab.bytes.subarray(0, options.payload.length), slab, tag, this);
      slab.release();
    } else {
      this.session.submit(slot, bytes.length, options.payload ?? null, null, tag, this);
    }
  }

  onResponse(tag: number, status: number, header: Uint8Array, offset: number, length: number, payload: Uint8Array | null): void {
    if (this.ended.has(tag)) throw new Error(`request ${tag} ended twice`);
    this.ended.set(tag, status);
    this.responses.set(tag, {
      header: new TextDecoder().decode(header.subarray(offset, offset + length)),
      payload: payload === null ? null : payload.slice(),
    });
    this.#event(`end ${tag}: ${status}`);
  }
}

export interface PairOptions {
  readonly seed?: number;
  readonly paths?: number;
  readonly network?: Partial<MemoryNetworkOptions>;
  readonly client?: Partial<RtrsClientOptions>;
  readonly server?: Partial<RtrsServerOptions>;
}

/** One client and one server, with `verify()` of both after every event. */
export class Pair {
  readonly world: VirtualWorld;
  readonly network: MemoryNetwork;
  readonly client: TestClient;
  readonly server: TestServer;
  readonly addresses: string[];

  constructor(options: PairOptions = {}) {
    this.world = new VirtualWorld(options.seed ?? 1);
    this.network = new MemoryNetwork(this.world, options.network);
    this.addresses = Array.from({ length: options.paths ?? 1 }, (_, i) => `memory:port${i}`);
    this.server = new TestServer(this.world.host('server'), this.network, this.addresses, options.server);
    this.client = new TestClient(this.world.host('client'), this.network, this.addresses, options.client);
    this.world.check(() => {
      this.client.session.verify();
      this.server.server.verify();
    });
  }

  /** Starts and waits until every path is up. */
  connect(): this {
    this.world.run(1);
    this.client.session.start();
    this.world.runUntil(() => this.pathsUp === this.addresses.length, 10_000, 'all paths to come up');
    return this;
  }

  get pathsUp(): number {
    return this.client.session.paths().filter((path) => path.state === 'UP').length;
  }

  /** The only session at the server. */
  get serverSession(): RtrsServerSession {
    const [session] = this.server.server.sessions();
    if (session === undefined) throw new Error('the server has no session');
    return session;
  }

  /** Cuts the path that comes from this address, without a word from the server to the client but the close. */
  cutPath(index: number): void {
    const stream = this.network.endsAt('client').find((end) => end.peerDescription === this.addresses[index]);
    if (stream === undefined) throw new Error(`path ${index} has no connection`);
    this.network.cutStream(stream);
  }

  until(predicate: () => boolean, maxVirtualMs: number, what: string): void {
    this.world.runUntil(predicate, maxVirtualMs, what);
  }

  /** Closes both sides and checks that no memory is held. */
  finish(): void {
    this.client.session.close('the test is over');
    this.network.healAll();
    this.server.echo = false;
    this.server.answerAll();
    this.server.server.close('the test is over');
    this.world.run(20_000);
    if (this.network.openEnds !== 0) throw new Error(`${this.network.openEnds} connections are left`);
    if (this.client.slabs.heldBytes !== 0) throw new Error(`the client holds ${this.client.slabs.heldBytes} bytes`);
    if (this.server.slabs.heldBytes !== 0) throw new Error(`the server holds ${this.server.slabs.heldBytes} bytes`);
  }
}
