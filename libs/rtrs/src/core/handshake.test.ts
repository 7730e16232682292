import { describe, expect, test } from 'vitest';
import { HANDSHAKES_MAX } from '../constants.ts';
import { RawPeer, rawFrame, rawHandshake } from '../raw-peer.ts';
import { identity, Pair, type PairOptions, TestClient } from '../test-harness.ts';
import { FrameKind, RefusalCode } from '../wire/frame-header.ts';
import type { Handshake } from '../wire/handshake.ts';

const WAIT_MS = 60_000;

const HELLO: Handshake = {
  versionMin: 2,
  versionMax: 2,
  payloadChecksum: false,
  generation: 0,
  pathId: 0,
  maxPayloadBytes: 64 * 1024,
  heartbeatIntervalMs: 1000,
  queueDepth: 4,
  identity: identity('stranger'),
};

function stranger(options: PairOptions = {}): { pair: Pair; peer: RawPeer } {
  const pair = new Pair(options);
  pair.world.run(1);
  return { pair, peer: knock(pair) };
}

function knock(pair: Pair): RawPeer {
  const peers: RawPeer[] = [];
  RawPeer.connect(pair.network, 'memory:port0', (made) => peers.push(made));
  pair.until(() => peers.length > 0, 1000, 'a connection');
  return peers[0] as RawPeer;
}

function refused(pair: Pair, peer: RawPeer): { code: number | undefined; text: string } {
  pair.until(() => peer.closed !== null, WAIT_MS, 'the refusal');
  expect(peer.kinds()).toEqual([FrameKind.REFUSE]);
  return { code: peer.frames()[0]?.status, text: peer.lastText() };
}

describe('handshake at the server', () => {
  test('both sides know each other and what they agreed on', () => {
    const pair = new Pair({
      client: { queueDepth: 10, maxPayloadBytes: 128 * 1024, heartbeatIntervalMs: 700 },
      server: { queueDepth: 20, maxPayloadBytes: 96 * 1024, heartbeatIntervalMs: 900 },
    }).connect();
    const limits = { queueDepth: 10, maxPayloadBytes: 96 * 1024, payloadChecksum: true, heartbeatIntervalMs: 700 };
    expect(pair.client.session.peer).toEqual(identity('server'));
    expect(pair.client.session.limits).toEqual(limits);
    expect(pair.serverSession.peer).toEqual(identity('client'));
    expect(pair.serverSession.limits).toEqual(limits);
    expect(pair.client.session.generation).toBe(pair.serverSession.generation);
    expect(pair.client.session.generation).toBeGreaterThan(0);
    pair.finish();
  });

  test.each([
    [1, 1],
    [3, 4],
    [7, 0xffff],
  ])('versions %i to %i have none in common: refused, naming both', (versionMin, versionMax) => {
    const { pair, peer } = stranger();
    peer.send(rawHandshake(FrameKind.HELLO, { ...HELLO, versionMin, versionMax }));
    expect(refused(pair, peer)).toEqual({
      code: RefusalCode.VERSION,
      text: `this server speaks RTRS versions 2 to 2, the client ${versionMin} to ${versionMax}`,
    });
    pair.finish();
  });

  test('a client that speaks newer versions too is welcomed with ours', () => {
    const { pair, peer } = stranger();
    peer.send(rawHandshake(FrameKind.HELLO, { ...HELLO, versionMax: 9 }));
    pair.until(() => peer.frames().length > 0, WAIT_MS, 'the welcome');
    expect(peer.kinds()).toEqual([FrameKind.WELCOME]);
    expect(peer.frames()[0]?.userHeader.subarray(0, 4)).toEqual(new Uint8Array([2, 0, 2, 0]));
    peer.stream.destroy('enough');
    pair.finish();
  });

  test('a generation that does not exist is refused, so that the client starts a new session', () => {
    const { pair, peer } = stranger();
    peer.send(rawHandshake(FrameKind.HELLO, { ...HELLO, generation: 12345 }));
    expect(refused(pair, peer)).toEqual({ code: RefusalCode.SESSION_UNKNOWN, text: 'the session to join does not exist any more' });
    pair.finish();
  });

  test("another client's session cannot be joined, nor that of an earlier start", () => {
    for (const other of [identity('stranger'), identity('client', 2)]) {
      const pair = new Pair().connect();
      const peer = knock(pair);
      peer.send(rawHandshake(FrameKind.HELLO, { ...HELLO, identity: other, generation: pair.client.session.generation }));
      expect(refused(pair, peer).code).toBe(RefusalCode.IDENTITY);
      expect(pair.serverSession.pathCount).toBe(1);
      pair.finish();
    }
  });

  test('sessions are limited; one that drains counts', () => {
    const { pair, peer } = stranger({ server: { sessionsMax: 1 } });
    pair.server.echo = false;
    peer.send(rawHandshake(FrameKind.HELLO, HELLO));
    peer.send(rawFrame(FrameKind.REQUEST, { slot: 0 }));
    pair.until(() => pair.server.held.length === 1, WAIT_MS, 'the request');
    const second = knock(pair);
    second.send(rawHandshake(FrameKind.HELLO, HELLO));
    expect(refused(pair, second)).toEqual({ code: RefusalCode.SESSIONS_EXHAUSTED, text: 'this server has its maximum of 1 sessions' });
    peer.stream.destroy('gone');
    pair.until(() => pair.serverSession.state === 'DRAINING', WAIT_MS, 'the loss');
    const third = knock(pair);
    third.send(rawHandshake(FrameKind.HELLO, HELLO));
    expect(refused(pair, third).code).toBe(RefusalCode.SESSIONS_EXHAUSTED);
    pair.server.answer();
    const fourth = knock(pair);
    fourth.send(rawHandshake(FrameKind.HELLO, HELLO));
    pair.until(() => fourth.kinds().includes(FrameKind.WELCOME), WAIT_MS, 'the welcome');
    fourth.stream.destroy('enough');
    pair.finish();
  });

  test('paths of a session are limited; the client keeps those that it has', () => {
    const pair = new Pair({ paths: 3, server: { pathsMax: 2 } });
    pair.world.run(1);
    pair.client.session.start();
    pair.until(() => pair.client.session.paths().some((path) => path.lastError?.includes('its maximum of 2 paths')), WAIT_MS, 'a refusal');
    expect(pair.pathsUp).toBe(2);
    expect(pair.client.session.state).toBe('CONNECTED');
    pair.finish();
  });

  test('a client that says nothing is closed after the deadline', () => {
    const { pair, peer } = stranger({ server: { handshakeTimeoutMs: 2000 } });
    pair.world.run(1900);
    expect(peer.closed).toBeNull();
    pair.world.run(200);
    expect(peer.closed).toBe('closed by peer');
    expect(pair.world.log.text()).toContain('no handshake within 2000 ms');
    pair.finish();
  });

  test('a client that sends a handshake byte by byte is closed after the deadline too', () => {
    const { pair, peer } = stranger({ server: { handshakeTimeoutMs: 2000 } });
    const hello = rawHandshake(FrameKind.HELLO, HELLO);
    for (let i = 0; i < hello.length && peer.closed === null; i++) {
      peer.send(hello.subarray(i, i + 1));
      pair.world.run(100);
    }
    expect(peer.closed).toBe('closed by peer');
    pair.finish();
  });

  test('connections that shake hands are limited, and silent ones keep nobody out: the oldest makes way', () => {
    const { pair } = stranger();
    const peers = Array.from({ length: HANDSHAKES_MAX + 5 }, () => knock(pair));
    pair.world.run(10);
    expect(peers.map((peer) => peer.closed !== null)).toEqual(peers.map((_, i) => i < 5));
    expect(pair.server.slabs.heldBytes).toBeLessThanOrEqual(HANDSHAKES_MAX * 2 * 256 * 1024);
    for (const peer of peers) peer.stream.destroy('enough');
    pair.finish();
  });

  test.each([
    ['a request before the handshake', rawFrame(FrameKind.REQUEST), 'something else than a handshake'],
    ['a heartbeat before the handshake', rawFrame(FrameKind.PING), 'something else than a handshake'],
    ['a welcome', rawHandshake(FrameKind.WELCOME, HELLO), 'something else than a handshake'],
    ['a path number in a HELLO', rawHandshake(FrameKind.HELLO, { ...HELLO, pathId: 1 }), 'does not number its paths'],
    ['no permits', rawHandshake(FrameKind.HELLO, { ...HELLO, queueDepth: 0 }), 'queue depth out of range'],
    ['an impossible version', rawHandshake(FrameKind.HELLO, { ...HELLO, versionMin: 0 }), 'impossible versions'],
    ['another protocol', new TextEncoder().encode('GET / HTTP/1.1\r\nHost: storage\r\n\r\n'), 'wrong magic'],
    ['a payload before the handshake', rawFrame(FrameKind.REQUEST, { payloadLength: 1 }), 'payload longer than negotiated'],
  ])('%s closes the connection with a reason in the log', (_name, bytes, reason) => {
    const { pair, peer } = stranger();
    peer.send(bytes);
    pair.until(() => peer.closed !== null, WAIT_MS, 'the close');
    expect(pair.world.log.text()).toContain(reason);
    expect(pair.server.server.strangers.badFrames).toBe(1);
    expect(pair.server.events).toEqual([]);
    pair.finish();
  });

  test('a handshake that is cut off at any byte leaves nothing behind', () => {
    const hello = rawHandshake(FrameKind.HELLO, HELLO);
    const pair = new Pair();
    pair.world.run(1);
    for (let length = 0; length < hello.length; length++) {
      const peer = knock(pair);
      peer.send(hello.subarray(0, length));
      peer.stream.end();
      pair.until(() => peer.closed !== null, WAIT_MS, 'the close');
    }
    pair.world.run(100);
    expect(pair.server.events).toEqual([]);
    expect(pair.server.slabs.heldBytes).toBe(0);
    pair.finish();
  });

  test('two sessions of one client live side by side: nothing is replaced silently', () => {
    const pair = new Pair().connect();
    const again = new TestClient(pair.world.host('client'), pair.network, pair.addresses);
    again.session.start();
    pair.until(() => again.session.state === 'CONNECTED', WAIT_MS, 'the second session');
    expect(pair.server.server.sessions()).toHaveLength(2);
    expect(pair.client.session.state).toBe('CONNECTED');
    pair.client.send('still here', 1);
    pair.until(() => pair.client.ended.size === 1, WAIT_MS, 'the response');
    again.session.close('enough');
    pair.finish();
  });
});

describe('handshake at the client', () => {
  /** A client whose server is the test. */
  function lonely(options: PairOptions = {}): { pair: Pair; accept: () => RawPeer } {
    const pair = new Pair(options);
    const peers: RawPeer[] = [];
    pair.network.host('impostor').listen(
      'memory:impostor',
      (stream) => peers.push(new RawPeer(stream)),
      () => {},
      () => {},
    );
    pair.world.run(1);
    return {
      pair,
      accept: () => {
        pair.until(() => peers.length > 0, WAIT_MS, 'the client to connect');
        const peer = peers.shift() as RawPeer;
        pair.until(() => peer.frames().length > 0, WAIT_MS, 'its HELLO');
        return peer;
      },
    };
  }

  const WELCOME: Handshake = { ...HELLO, pathId: 1, generation: 77, queueDepth: 32, identity: identity('impostor') };

  test.each([
    ['more permits than asked for', rawHandshake(FrameKind.WELCOME, { ...WELCOME, queueDepth: 33 }), 'granted more'],
    ['larger payloads than asked for', rawHandshake(FrameKind.WELCOME, { ...WELCOME, maxPayloadBytes: 2 ** 21 }), 'granted more'],
    ['a longer heartbeat interval', rawHandshake(FrameKind.WELCOME, { ...WELCOME, heartbeatIntervalMs: 2000 }), 'longer heartbeat'],
    [
      'a feature that was not offered',
      rawHandshake(FrameKind.WELCOME, { ...WELCOME, payloadChecksum: true }),
      'feature that was not offered',
    ],
    ['a version that was not offered', rawHandshake(FrameKind.WELCOME, { ...WELCOME, versionMin: 3, versionMax: 3 }), 'not offered'],
    ['a range of versions', rawHandshake(FrameKind.WELCOME, { ...WELCOME, versionMax: 3 }), 'not offered'],
    ['no path number', rawHandshake(FrameKind.WELCOME, { ...WELCOME, pathId: 0 }), 'no path number'],
    ['no generation', rawHandshake(FrameKind.WELCOME, { ...WELCOME, generation: 0 }), 'no path number or session generation'],
    ['a response', rawFrame(FrameKind.RESPONSE), 'something else than an answer'],
    ['a HELLO', rawHandshake(FrameKind.HELLO, HELLO), 'something else than an answer'],
    ['a damaged frame', rawHandshake(FrameKind.WELCOME, WELCOME).fill(9, 100, 101), 'header checksum is wrong'],
  ])('%s from the server closes the path with a reason, and the client tries again', (_name, answer, reason) => {
    const { pair, accept } = lonely();
    const client = new TestClient(pair.world.host('c'), pair.network, ['memory:impostor'], { payloadChecksum: false });
    client.session.start();
    const peer = accept();
    peer.send(answer);
    pair.until(() => peer.closed !== null, WAIT_MS, 'the close');
    expect(client.session.paths()[0]?.lastError).toContain(reason);
    expect(client.session.state).toBe('CONNECTING');
    accept().send(rawHandshake(FrameKind.WELCOME, WELCOME));
    pair.until(() => client.session.state === 'CONNECTED', WAIT_MS, 'a session after all');
    client.session.close('enough');
    pair.world.run(10_000);
    expect(client.slabs.heldBytes).toBe(0);
  });

  test('a server that accepts and says nothing is given up after the deadline', () => {
    const { pair, accept } = lonely();
    const client = new TestClient(pair.world.host('c'), pair.network, ['memory:impostor'], { handshakeTimeoutMs: 1500 });
    client.session.start();
    const peer = accept();
    pair.until(() => peer.closed !== null, 2000, 'the client to give up');
    expect(client.session.paths()[0]?.lastError).toBe('no session after 1500 ms');
    accept();
    client.session.close('enough');
  });

  test('a second path that leads to another server, or to one that restarted, ends the session', () => {
    for (const other of [identity('elsewhere'), identity('impostor', 2)]) {
      const { pair, accept } = lonely();
      const client = new TestClient(pair.world.host('c'), pair.network, ['memory:impostor', 'memory:impostor'], { payloadChecksum: false });
      client.session.start();
      accept().send(rawHandshake(FrameKind.WELCOME, WELCOME));
      accept().send(rawHandshake(FrameKind.WELCOME, { ...WELCOME, pathId: 2, identity: other }));
      pair.until(() => client.events.length === 2, WAIT_MS, 'the loss');
      expect(client.events[1]).toBe('lost: path 1 leads to another server, or the server restarted');
      client.session.close('enough');
    }
  });

  test('a second path with another generation or other limits is closed; the session lives on', () => {
    for (const change of [{ generation: 78 }, { queueDepth: 31 }, { maxPayloadBytes: 65537 }, { heartbeatIntervalMs: 999 }]) {
      const { pair, accept } = lonely();
      const client = new TestClient(pair.world.host('c'), pair.network, ['memory:impostor', 'memory:impostor'], { payloadChecksum: false });
      client.session.start();
      accept().send(rawHandshake(FrameKind.WELCOME, WELCOME));
      const second = accept();
      second.send(rawHandshake(FrameKind.WELCOME, { ...WELCOME, pathId: 2, ...change }));
      pair.until(() => second.closed !== null, WAIT_MS, 'the close');
      expect(client.events).toEqual(['connected']);
      client.session.close('enough');
    }
  });

  test('a server that no longer knows the session makes the client start a new one', () => {
    const pair = new Pair({ paths: 2 }).connect();
    // The server loses both paths where the client loses one.
    pair.network.partitionOneWay('server', 'client');
    pair.serverSession.close('forgotten');
    pair.network.healAll();
    pair.until(() => pair.client.events.filter((event) => event === 'connected').length === 2, WAIT_MS, 'a new session');
    pair.until(() => pair.pathsUp === 2, WAIT_MS, 'both paths');
    pair.finish();
  });
});
