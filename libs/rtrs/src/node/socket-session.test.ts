import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ByteStream, SILENT_LOGGER, SlabPool, type StreamListener, type World } from '@rmr/runtime';
import { createSystemWorld, SocketTransport } from '@rmr/runtime/node';
import { afterAll, describe, expect, test, vi } from 'vitest';
import type { RtrsClientOptions } from '../client-types.ts';
import { RtrsClientSession } from '../core/client-session.ts';
import { RtrsServer } from '../core/server.ts';
import type { RtrsServerRequest } from '../core/server-request.ts';
import type { PeerIdentity } from '../identity.ts';

const WAIT = { timeout: 50_000, interval: 5 };
const PAYLOAD_MAX = 8 * 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'rtrs-session-'));
afterAll(() => rmSync(folder, { recursive: true }));

function identity(hostName: string): PeerIdentity {
  return { hostUuid: randomUUID(), hostName, bootId: randomUUID(), incarnation: randomUUID() };
}

/** An echo server and a client in this process, on real sockets. */
class Rig {
  readonly world: World = createSystemWorld(SILENT_LOGGER);
  readonly transport = new SocketTransport();
  readonly slabs = { client: new SlabPool(), server: new SlabPool() };
  readonly server: RtrsServer;
  readonly accepted: ByteStream[] = [];
  readonly ended = new Map<number, number>();
  readonly events: string[] = [];
  onRequest = (request: RtrsServerRequest): void => request.respond(0, 0, request.payload, request.payload === null ? null : request.slab);
  onPayload: ((tag: number, payload: Uint8Array | null) => void) | null = null;
  client!: RtrsClientSession;
  #listener!: StreamListener;

  constructor() {
    const limits = { queueDepth: 64, maxPayloadBytes: PAYLOAD_MAX, payloadChecksum: true };
    this.server = new RtrsServer(
      this.world,
      this.slabs.server,
      { local: identity('server'), ...limits },
      {
        onSession: () => {},
        onRequest: (request) => this.onRequest(request),
        onSessionClosed: () => {},
        onSessionDrained: () => {},
      },
    );
  }

  async start(address: string, paths: number, options: Partial<RtrsClientOptions> = {}): Promise<void> {
    this.#listener = await new Promise((resolve, reject) =>
      this.transport.listen(
        address,
        (stream) => {
          this.accepted.push(stream);
          this.server.accept(stream);
        },
        resolve,
        (_code, reason) => reject(new Error(reason)),
      ),
    );
    this.client = new RtrsClientSession(
      this.world,
      this.transport,
      this.slabs.client,
      {
        local: identity('client'),
        addresses: new Array(paths).fill(this.address),
        queueDepth: 32,
        maxPayloadBytes: PAYLOAD_MAX,
        payloadChecksum: true,
        reconnectMsMin: 10,
        ...options,
      },
      {
        onConnected: () => this.events.push('connected'),
        onLost: (_session, reason) => this.events.push(`lost: ${reason}`),
        onPermit: () => {},
      },
    );
    this.client.start();
    await this.until(() => this.pathsUp === paths);
  }

  get address(): string {
    return this.#listener.address;
  }

  get pathsUp(): number {
    return this.client.paths().filter((path) => path.state === 'UP').length;
  }

  send(tag: number, payload: Uint8Array | null): boolean {
    const slot = this.client.allocate(false);
    if (slot < 0) return false;
    this.client.headerBytes.fill(tag, this.client.headerOffset(slot), this.client.headerOffset(slot) + 50);
    this.client.submit(slot, 50, payload, null, tag, this);
    return true;
  }

  onResponse(tag: number, status: number, _header: Uint8Array, _offset: number, _length: number, payload: Uint8Array | null): void {
    expect(this.ended.has(tag)).toBe(false);
    this.ended.set(tag, status);
    this.onPayload?.(tag, payload);
  }

  /** `state`: what to say of it when it never comes true. */
  until(predicate: () => boolean, state = (): string => ''): Promise<void> {
    return vi.waitFor(() => {
      if (!predicate()) throw new Error(`waited in vain ${state()}`);
    }, WAIT);
  }

  async stop(): Promise<void> {
    this.client.verify();
    this.server.verify();
    this.client.close('the test is over');
    await this.until(() => this.server.sessions().length === 0);
    this.server.close('the test is over');
    await new Promise<void>((resolve) => this.#listener.close(resolve));
    await this.until(() => this.slabs.client.heldBytes === 0 && this.slabs.server.heldBytes === 0);
  }
}

describe.each([
  ['tcp', () => 'tcp://127.0.0.1:0'],
  ['unix', () => `unix:${folder}/${randomUUID()}`],
])('session on %s', (_name, address) => {
  test.each([1, 3])('5,000 requests over %i path(s) come back whole', async (paths) => {
    const rig = new Rig();
    await rig.start(address(), paths);
    let next = 0;
    let wrong = 0;
    const submit = (): void => {
      while (next < 5_000) {
        const payload = new Uint8Array(next % 3 === 0 ? 4096 : next % 100).fill(next);
        if (!rig.send(next, payload)) return;
        next++;
      }
    };
    rig.onPayload = (tag, payload) => {
      const size = tag % 3 === 0 ? 4096 : tag % 100;
      if ((payload?.length ?? 0) !== size || payload?.some((byte) => byte !== (tag & 0xff))) wrong++;
      submit();
    };
    submit();
    await rig.until(() => rig.ended.size === 5_000);
    expect(wrong).toBe(0);
    expect([...rig.ended.values()].every((status) => status === 0)).toBe(true);
    if (paths > 1) for (const path of rig.server.sessions()[0]?.paths() ?? []) expect(path.up).toBe(true);
    expect(rig.client.counters).toMatchObject({ requests: 5_000, responses: 5_000, badFrames: 0 });
    await rig.stop();
  });

  test('payloads of 8 MiB go both ways', async () => {
    const rig = new Rig();
    await rig.start(address(), 2);
    const words = new Uint32Array(PAYLOAD_MAX / 4).map((_, i) => i * 2654435761);
    const payload = new Uint8Array(words.buffer);
    const same: boolean[] = [];
    rig.onPayload = (_tag, back) => same.push(back !== null && Buffer.compare(back, payload) === 0);
    for (let tag = 0; tag < 8; tag++) rig.send(tag, payload);
    await rig.until(() => rig.ended.size === 8);
    expect(same).toEqual(new Array(8).fill(true));
    await rig.stop();
  });

  test('paths killed under load: every request ends with success, behind its fence', async () => {
    const rig = new Rig();
    const running = new Set<number>();
    let twice = 0;
    let failed = 0;
    // Answers a little later, so that requests execute when their path dies.
    rig.onRequest = (request) => {
      const tag = request.header[request.headerOffset] as number;
      if (running.has(tag)) twice++;
      running.add(tag);
      setImmediate(() => {
        running.delete(tag);
        request.respond(0, 0, null, null);
      });
    };
    await rig.start(address(), 3);
    let next = 0;
    let lostBefore = -1;
    let endedSince = 0;
    const lost = (): number => rig.client.counters.pathsLost;
    const payload = new Uint8Array(20_000);
    const submit = (): void => {
      while (lost() < 5 && rig.send(next, payload)) next = (next + 1) % 256;
    };
    rig.onPayload = (tag) => {
      if (rig.ended.get(tag) !== 0) failed++;
      rig.ended.delete(tag);
      // One after the other: two paths live on. On a busy machine a connection may have ended before it was its turn.
      if (rig.pathsUp === 3 && (lost() > lostBefore || ++endedSince > 1_000)) {
        lostBefore = lost();
        endedSince = 0;
        rig.accepted.shift()?.destroy('killed by the test');
      }
      submit();
    };
    submit();
    const state = (): string =>
      `${lost()} lost, ${rig.pathsUp} up, ${rig.accepted.length} not killed, ${rig.client.inFlight} in flight, ${rig.events}`;
    await rig.until(() => lost() >= 5 && rig.client.inFlight === 0, state);
    expect(failed).toBe(0);
    expect(twice).toBe(0);
    expect(rig.events).toEqual(['connected']);
    expect(rig.client.counters.reissues).toBeGreaterThan(0);
    await rig.until(() => rig.pathsUp === 3);
    await rig.stop();
  });

  test('losing the only path ends what is in flight, and a new session comes up by itself', async () => {
    const rig = new Rig();
    const held: RtrsServerRequest[] = [];
    rig.onRequest = (request) => held.push(request);
    await rig.start(address(), 1);
    for (let tag = 0; tag < 5; tag++) rig.send(tag, new Uint8Array(100_000));
    await rig.until(() => held.length === 5);
    rig.accepted[0]?.destroy('killed by the test');
    await rig.until(() => rig.events.filter((event) => event === 'connected').length === 2);
    expect(rig.ended.size).toBe(5);
    expect(new Set(rig.ended.values())).toEqual(new Set([1004]));
    for (const request of held) request.respond(0, 0, null, null);
    await rig.stop();
  });

  test('a stranger that sends garbage is cut off while the session goes on', async () => {
    const rig = new Rig();
    await rig.start(address(), 1);
    const target = rig.address.startsWith('unix:')
      ? { path: rig.address.slice(5) }
      : { host: '127.0.0.1', port: Number(rig.address.split(':').at(-1)) };
    let cutOff = 0;
    for (let i = 0; i < 10; i++) {
      const stranger = connect(target);
      stranger.on('error', () => {});
      stranger.on('close', () => cutOff++);
      stranger.write(Buffer.alloc(10_000, i * 31 + 7));
    }
    await rig.until(() => cutOff === 10);
    rig.send(1, new Uint8Array(10));
    await rig.until(() => rig.ended.size === 1);
    expect(rig.server.strangers.badFrames).toBe(10);
    await rig.stop();
  });
});
