import { crc32c, KIB, MIB } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { CONTROL_PERMITS, RESPONSE_BACKLOG_BYTES_MAX } from '../constants.ts';
import { RawPeer, rawFrame, rawHandshake } from '../raw-peer.ts';
import { identity, Pair, type PairOptions, TestClient } from '../test-harness.ts';
import { FrameKind } from '../wire/frame-header.ts';
import type { Handshake } from '../wire/handshake.ts';

const WAIT_MS = 60_000;
const DEPTH = 4;

const HELLO: Handshake = {
  versionMin: 2,
  versionMax: 2,
  payloadChecksum: true,
  generation: 0,
  pathId: 0,
  maxPayloadBytes: 1 * MIB,
  heartbeatIntervalMs: 1000,
  queueDepth: DEPTH,
  identity: identity('stranger'),
};

const text = (value: string) => new TextEncoder().encode(value);

/** A client that has shaken hands and may now misbehave. */
function welcomed(options: PairOptions = {}): { pair: Pair; peer: RawPeer } {
  const pair = new Pair(options);
  pair.world.run(1);
  const peers: RawPeer[] = [];
  RawPeer.connect(pair.network, 'memory:port0', (peer) => peers.push(peer));
  pair.until(() => peers.length > 0, WAIT_MS, 'a connection');
  const [peer] = peers as [RawPeer];
  peer.send(rawHandshake(FrameKind.HELLO, HELLO));
  pair.until(() => peer.kinds().includes(FrameKind.WELCOME), WAIT_MS, 'the welcome');
  return { pair, peer };
}

/** A frame without a right header checksum. */
function damaged(bytes: Uint8Array): Uint8Array {
  bytes[0] = (bytes[0] as number) ^ 1;
  return bytes;
}

describe('a server and a bad client', () => {
  test.each([
    ['a damaged header', damaged(rawFrame(FrameKind.REQUEST, { slot: 16 })), 'header checksum is wrong'],
    ['a slot beyond the permits', rawFrame(FrameKind.REQUEST, { slot: CONTROL_PERMITS + DEPTH }), 'beyond the permits'],
    ['the last slot there could be', rawFrame(FrameKind.REQUEST, { slot: 0xffff }), 'beyond the permits'],
    ['a payload one byte too long', rawFrame(FrameKind.REQUEST, { payloadLength: MIB + 1, flags: 1 }), 'longer than negotiated'],
    ['a payload of 4 GiB', rawFrame(FrameKind.REQUEST, { payloadLength: 0xffffffff, flags: 1 }), 'longer than negotiated'],
    ['a payload without its checksum', rawFrame(FrameKind.REQUEST, { payload: text('x') }), 'flags not as negotiated'],
    ['a damaged payload', rawFrame(FrameKind.REQUEST, { payload: text('x'), flags: 1, payloadChecksum: 1 }), 'payload checksum is wrong'],
    ['a response', rawFrame(FrameKind.RESPONSE), 'only servers may send'],
    ['a confirmed fence', rawFrame(FrameKind.FENCED, { status: 1 }), 'only servers may send'],
    ['a refusal', rawFrame(FrameKind.REFUSE, { status: 1 }), 'only servers may send'],
    ['a second HELLO', rawHandshake(FrameKind.HELLO, HELLO), 'only servers may send'],
    ['a fence for itself', rawFrame(FrameKind.FENCE, { status: 1 }), 'the path that carries it'],
    ['a fence for a path that never was', rawFrame(FrameKind.FENCE, { status: 2 }), 'never was'],
    ['a fence for path number 0', rawFrame(FrameKind.FENCE, { status: 0 }), 'never was'],
    ['bytes of another protocol', text('hello, is this a storage node? I would like a block'), 'wrong magic'],
  ])('%s closes the path with a reason in the log, and nothing reaches the upper layer', (_name, bytes, reason) => {
    const { pair, peer } = welcomed();
    const before = pair.server.slabs.heldBytes;
    peer.send(bytes);
    pair.until(() => peer.closed !== null, WAIT_MS, 'the close');
    expect(pair.world.log.text()).toContain(reason);
    expect(pair.server.arrived).toEqual([]);
    expect(pair.server.events).toHaveLength(3);
    expect(pair.server.slabs.heldBytes).toBeLessThan(before);
    pair.finish();
  });

  test('a request under a permit in use closes the path; the first is still answered to nobody', () => {
    const { pair, peer } = welcomed();
    pair.server.echo = false;
    peer.send(rawFrame(FrameKind.REQUEST, { slot: 17, generation: 1 }));
    peer.send(rawFrame(FrameKind.REQUEST, { slot: 17, generation: 2 }));
    pair.until(() => peer.closed !== null, WAIT_MS, 'the close');
    expect(pair.world.log.text()).toContain('a permit that is in use');
    expect(pair.server.held).toHaveLength(1);
    expect(pair.serverSession.state).toBe('DRAINING');
    pair.finish();
  });

  test('frames behind a bad one in the same bytes are not looked at', () => {
    const { pair, peer } = welcomed();
    const bytes = new Uint8Array(96);
    bytes.set(rawFrame(FrameKind.FENCE, { status: 9 }));
    bytes.set(rawFrame(FrameKind.REQUEST, { slot: 16 }), 32);
    peer.send(bytes);
    pair.until(() => peer.closed !== null, WAIT_MS, 'the close');
    expect(pair.server.arrived).toEqual([]);
    pair.finish();
  });

  test('a request that is cut off at any byte never executes', () => {
    const payload = text('payload');
    const request = rawFrame(FrameKind.REQUEST, { slot: 16, userHeader: text('hdr'), payload, flags: 1, payloadChecksum: crc32c(payload) });
    for (let length = 0; length <= request.length; length++) {
      const { pair, peer } = welcomed();
      peer.send(request.subarray(0, length));
      peer.stream.end();
      pair.until(() => pair.server.server.sessions().length === 0, WAIT_MS, 'the end of the session');
      expect(pair.server.arrived).toEqual(length === request.length ? ['hdr'] : []);
      pair.finish();
    }
  });

  test('a long payload that never comes costs one buffer, and the path dies of silence', () => {
    const { pair, peer } = welcomed();
    peer.send(rawFrame(FrameKind.REQUEST, { slot: 16, payloadLength: MIB, flags: 1 }));
    pair.world.run(100);
    expect(pair.server.slabs.heldBytes).toBeLessThanOrEqual(2 * MIB);
    pair.until(() => peer.closed !== null, 6_000, 'the close');
    pair.finish();
  });

  test('a client that does not read its responses is not read from, and cannot grow the server', () => {
    const { pair, peer } = welcomed({ network: { windowBytes: 64 * KIB } });
    peer.stream.pauseReading();
    const payload = new Uint8Array(512 * KIB);
    const checksum = crc32c(payload);
    let most = 0;
    // Every permit is used again at once, as if its response had been read.
    for (let i = 0; i < 100; i++) {
      peer.send(
        rawFrame(FrameKind.REQUEST, { slot: CONTROL_PERMITS + (i % DEPTH), generation: i, payload, flags: 1, payloadChecksum: checksum }),
      );
    }
    for (let i = 0; i < 200; i++) {
      pair.world.run(10);
      most = Math.max(most, pair.server.slabs.heldBytes);
    }
    expect(pair.server.arrived.length).toBeLessThan(25);
    expect(most).toBeLessThan(RESPONSE_BACKLOG_BYTES_MAX * 2 + 4 * MIB);
    // It reads on: everything is answered.
    peer.stream.resumeReading();
    pair.until(() => pair.server.arrived.length === 100, WAIT_MS, 'the rest of the requests');
    peer.stream.destroy('enough');
    pair.finish();
  });

  test('a client that never reads again is closed', () => {
    const { pair, peer } = welcomed({ network: { windowBytes: 64 * KIB } });
    peer.stream.pauseReading();
    const payload = new Uint8Array(512 * KIB);
    const checksum = crc32c(payload);
    for (let i = 0; i < 40; i++) {
      peer.send(
        rawFrame(FrameKind.REQUEST, { slot: CONTROL_PERMITS + (i % DEPTH), generation: i, payload, flags: 1, payloadChecksum: checksum }),
      );
    }
    pair.until(() => pair.server.server.sessions().length === 0, 10_000, 'the session to be closed');
    peer.stream.destroy('enough');
    pair.finish();
  });

  test('a flood of heartbeats without reading is bounded too', () => {
    const { pair, peer } = welcomed({ network: { windowBytes: 64 * KIB } });
    peer.stream.pauseReading();
    const pings = new Uint8Array(32 * 4096);
    for (let at = 0; at < pings.length; at += 32) pings.set(rawFrame(FrameKind.PING, { status: at }), at);
    for (let i = 0; i < 100; i++) peer.send(pings);
    pair.world.run(2_000);
    expect(pair.server.slabs.heldBytes).toBeLessThan(RESPONSE_BACKLOG_BYTES_MAX + 2 * MIB);
    peer.stream.destroy('enough');
    pair.finish();
  });
});

describe('a client and a bad server', () => {
  function misled(): { pair: Pair; client: TestClient; peer: RawPeer } {
    const pair = new Pair();
    const peers: RawPeer[] = [];
    pair.network.host('impostor').listen(
      'memory:impostor',
      (stream) => peers.push(new RawPeer(stream)),
      () => {},
      () => {},
    );
    pair.world.run(1);
    const client = new TestClient(pair.world.host('c'), pair.network, ['memory:impostor']);
    pair.world.check(() => client.session.verify());
    client.session.start();
    pair.until(() => peers.length > 0, WAIT_MS, 'the client');
    const [peer] = peers as [RawPeer];
    peer.send(rawHandshake(FrameKind.WELCOME, { ...HELLO, pathId: 1, generation: 5, queueDepth: 32, identity: identity('impostor') }));
    pair.until(() => client.session.state === 'CONNECTED', WAIT_MS, 'the session');
    return { pair, client, peer };
  }

  test.each([
    ['a damaged header', damaged(rawFrame(FrameKind.RESPONSE, { slot: 16, generation: 1 })), 'header checksum is wrong'],
    ['a response to a free slot', rawFrame(FrameKind.RESPONSE, { slot: 17, generation: 1 }), 'no request of this path'],
    ['a response of another generation', rawFrame(FrameKind.RESPONSE, { slot: 16, generation: 2 }), 'no request of this path'],
    ['a response beyond every slot', rawFrame(FrameKind.RESPONSE, { slot: 0xffff }), 'no request of this path'],
    [
      'a payload too long',
      rawFrame(FrameKind.RESPONSE, { slot: 16, generation: 1, payloadLength: MIB + 1, flags: 1 }),
      'longer than negotiated',
    ],
    ['a fence that nobody asked for', rawFrame(FrameKind.FENCED, { status: 1 }), 'nobody asked for'],
    ['a request', rawFrame(FrameKind.REQUEST), 'only clients may send'],
    ['a fence', rawFrame(FrameKind.FENCE, { status: 1 }), 'only clients may send'],
    ['a second WELCOME', rawHandshake(FrameKind.WELCOME, HELLO), 'only clients may send'],
  ])('%s loses the session with a reason, and the request in flight ends', (_name, bytes, reason) => {
    const { pair, client, peer } = misled();
    client.send('x', 1, { payload: new Uint8Array(30_000), fromSlab: true });
    pair.world.run(10);
    peer.send(bytes);
    pair.until(() => client.ended.size === 1, WAIT_MS, 'the end of the request');
    expect(client.events[1]).toMatch(/^lost: the last path is gone: /);
    expect(client.events[1]).toContain(reason);
    expect(client.session.counters.badFrames).toBe(1);
    client.session.close('enough');
    pair.world.run(10_000);
    expect(client.slabs.heldBytes).toBe(0);
  });

  test('the same response twice is one too many', () => {
    const { pair, client, peer } = misled();
    client.send('x', 1);
    pair.world.run(10);
    peer.send(rawFrame(FrameKind.RESPONSE, { slot: 16, generation: 1 }));
    peer.send(rawFrame(FrameKind.RESPONSE, { slot: 16, generation: 1 }));
    pair.until(() => client.session.state === 'CONNECTING', WAIT_MS, 'the loss');
    expect(client.ended.get(1)).toBe(0);
    client.session.close('enough');
  });

  test('a flood of heartbeats from a server that does not read cannot grow the client', () => {
    const { pair, client, peer } = misled();
    pair.network.options.windowBytes = 64 * KIB;
    peer.stream.pauseReading();
    const pings = new Uint8Array(32 * 8192);
    for (let at = 0; at < pings.length; at += 32) pings.set(rawFrame(FrameKind.PING, { status: at }), at);
    for (let i = 0; i < 100; i++) peer.send(pings);
    pair.world.run(2_000);
    expect(client.slabs.heldBytes).toBeLessThan(RESPONSE_BACKLOG_BYTES_MAX + 2 * MIB);
    client.session.close('enough');
    pair.world.run(20_000);
    expect(client.slabs.heldBytes).toBe(0);
  });
});
