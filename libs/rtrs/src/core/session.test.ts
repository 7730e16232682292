import { InvariantViolation, Status } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { CONTROL_PERMITS } from '../constants.ts';
import { Pair, TestClient } from '../test-harness.ts';

const WAIT_MS = 60_000;

describe('requests', () => {
  test('a request and its response carry header and payload both ways', () => {
    const pair = new Pair().connect();
    const payload = Uint8Array.from({ length: 4096 }, (_, i) => i);
    pair.client.send('hello', 7, { payload });
    pair.until(() => pair.client.ended.size === 1, WAIT_MS, 'the response');
    expect(pair.client.ended.get(7)).toBe(0);
    expect(pair.client.responses.get(7)).toEqual({ header: 'hello', payload });
    pair.finish();
  });

  test.each([0, 1, 16 * 1024, 16 * 1024 + 1, 300_000, 1024 * 1024])(
    'a payload of %i bytes arrives whole, from a slab and without one',
    (byteCount) => {
      const pair = new Pair({ network: { runBytesMax: 5_000 } }).connect();
      const payload = Uint8Array.from({ length: byteCount }, (_, i) => i * 7 + (i >> 8));
      pair.client.send('from a slab', 1, { payload, fromSlab: true });
      pair.client.send('plain', 2, { payload });
      pair.until(() => pair.client.ended.size === 2, WAIT_MS, 'the responses');
      for (const tag of [1, 2]) {
        const back = pair.client.responses.get(tag)?.payload ?? new Uint8Array(0);
        expect(Buffer.compare(back, payload)).toBe(0);
      }
      pair.finish();
    },
  );

  test('everything arrives though runs of bytes are cut at every place', () => {
    const pair = new Pair({ seed: 4, network: { runBytesMax: 3, delayMsMax: 2 } }).connect();
    for (let i = 0; i < 30; i++) pair.client.send(`request ${i}`, i, { payload: new Uint8Array(i * 3).fill(i) });
    pair.until(() => pair.client.ended.size === 30, WAIT_MS, 'all responses');
    for (let i = 0; i < 30; i++) {
      expect(pair.client.responses.get(i)?.header).toBe(`request ${i}`);
      expect(pair.client.responses.get(i)?.payload ?? new Uint8Array(0)).toEqual(new Uint8Array(i * 3).fill(i));
    }
    pair.finish();
  });

  test('a status comes through, and requests may be answered in any order', () => {
    const pair = new Pair().connect();
    pair.server.echo = false;
    for (let i = 0; i < 3; i++) pair.client.send(`${i}`, i);
    pair.until(() => pair.server.held.length === 3, WAIT_MS, 'the requests');
    pair.server.held.reverse();
    pair.server.answer(Status.EIO);
    pair.server.answer(Status.EVERSION);
    pair.server.answer();
    pair.until(() => pair.client.ended.size === 3, WAIT_MS, 'the responses');
    expect([...pair.client.ended]).toEqual([
      [2, Status.EIO],
      [1, Status.EVERSION],
      [0, 0],
    ]);
    pair.finish();
  });

  test('without payload checksums payloads travel all the same', () => {
    const pair = new Pair({ server: { payloadChecksum: false } }).connect();
    expect(pair.client.session.limits.payloadChecksum).toBe(false);
    pair.client.send('x', 1, { payload: new Uint8Array(100).fill(3) });
    pair.until(() => pair.client.ended.size === 1, WAIT_MS, 'the response');
    expect(pair.client.responses.get(1)?.payload).toEqual(new Uint8Array(100).fill(3));
    pair.finish();
  });

  test('what is queued in a turn leaves as one run of bytes', () => {
    const pair = new Pair({ network: { runBytesMax: Number.POSITIVE_INFINITY } }).connect();
    const before = pair.world.scheduler.eventCount;
    for (let i = 0; i < 20; i++) pair.client.send(`${i}`, i);
    pair.until(() => pair.client.ended.size === 20, WAIT_MS, 'the responses');
    // Take, report, deliver, make room; there and back.
    expect(pair.world.scheduler.eventCount - before).toBeLessThanOrEqual(12);
    pair.finish();
  });

  test('counters add up', () => {
    const pair = new Pair().connect();
    for (let i = 0; i < 5; i++) pair.client.send(`${i}`, i);
    pair.until(() => pair.client.ended.size === 5, WAIT_MS, 'the responses');
    const { client, serverSession } = pair;
    expect(client.session.counters).toMatchObject({ requests: 5, responses: 5, reissues: 0, sessionsUp: 1, pathsUp: 1, badFrames: 0 });
    expect(serverSession.counters).toMatchObject({ requests: 5, responses: 5, pathsUp: 1, badFrames: 0 });
    // The server counts what came before its session apart.
    const before = pair.server.server.strangers.receivedBytes;
    expect(before).toBe(32 + 160);
    expect(client.session.counters.sentBytes).toBe(serverSession.counters.receivedBytes + before);
    expect(client.session.counters.receivedBytes).toBe(serverSession.counters.sentBytes);
    pair.finish();
  });
});

describe('permits', () => {
  test('there are as many IO permits as granted, and one more once one is answered', () => {
    const pair = new Pair({ client: { queueDepth: 4 } }).connect();
    pair.server.echo = false;
    for (let i = 0; i < 4; i++) pair.client.send(`${i}`, i);
    expect(pair.client.session.allocate(false)).toBe(-1);
    pair.until(() => pair.server.held.length === 4, WAIT_MS, 'the requests');
    expect(pair.client.events).not.toContain('permit');
    pair.server.answer();
    pair.until(() => pair.client.events.includes('permit'), WAIT_MS, 'a permit');
    pair.client.send('one more', 4);
    expect(pair.client.session.allocate(false)).toBe(-1);
    pair.finish();
  });

  test('the lesser queue depth of both sides holds', () => {
    const pair = new Pair({ client: { queueDepth: 10 }, server: { queueDepth: 3 } }).connect();
    expect(pair.client.session.limits.queueDepth).toBe(3);
    expect(pair.serverSession.limits.queueDepth).toBe(3);
    const slots = [0, 1, 2].map(() => pair.client.session.allocate(false));
    expect(slots.every((slot) => slot >= 0)).toBe(true);
    expect(pair.client.session.allocate(false)).toBe(-1);
    for (const slot of slots) pair.client.session.release(slot);
    pair.finish();
  });

  test('control messages pass while IO has used every permit', () => {
    const pair = new Pair({ client: { queueDepth: 2 } }).connect();
    pair.server.echo = false;
    pair.client.send('io', 0);
    pair.client.send('io', 1);
    expect(pair.client.session.allocate(false)).toBe(-1);
    for (let i = 0; i < CONTROL_PERMITS; i++) pair.client.send(`control ${i}`, 10 + i, { control: true });
    expect(pair.client.session.allocate(true)).toBe(-1);
    pair.until(() => pair.server.held.length === 2 + CONTROL_PERMITS, WAIT_MS, 'all requests');
    expect(pair.server.held.map((request) => request.control)).toEqual([false, false, ...new Array(CONTROL_PERMITS).fill(true)]);
    pair.finish();
  });

  test('a permit that is released is offered to a caller that waits', () => {
    const pair = new Pair({ client: { queueDepth: 1 } }).connect();
    const slot = pair.client.session.allocate(false);
    expect(pair.client.session.allocate(false)).toBe(-1);
    pair.client.session.release(slot);
    expect(pair.client.events).not.toContain('permit');
    pair.world.run(1);
    expect(pair.client.events.filter((event) => event === 'permit')).toHaveLength(1);
    pair.finish();
  });

  test('a freed permit can be taken from within the response', () => {
    const pair = new Pair({ client: { queueDepth: 1 } }).connect();
    pair.client.onEvent = (event) => {
      if (event === 'end 0: 0') pair.client.send('next', 1);
    };
    pair.client.send('first', 0);
    pair.until(() => pair.client.ended.size === 2, WAIT_MS, 'both responses');
    pair.finish();
  });

  test('there are no permits without a session', () => {
    const pair = new Pair();
    expect(pair.client.session.allocate(false)).toBe(-1);
    expect(pair.client.session.allocate(true)).toBe(-1);
    pair.connect();
    expect(pair.client.session.allocate(true)).toBeGreaterThanOrEqual(0);
    pair.finish();
  });

  test('misuse is a bug: submitting or releasing without a permit, too long a header, too large a payload', () => {
    const pair = new Pair().connect();
    const { session } = pair.client;
    expect(() => session.release(20)).toThrow(InvariantViolation);
    expect(() => session.submit(20, 1, null, null, 1, pair.client)).toThrow('without a permit');
    const slot = session.allocate(false);
    expect(() => session.submit(slot, 193, null, null, 1, pair.client)).toThrow('user header too long');
    pair.client.session.release(slot);
    expect(() => session.release(slot)).toThrow('not held');
    const other = new Pair().connect();
    expect(() => other.client.send('x', 1, { payload: new Uint8Array(1024 * 1024 + 1) })).toThrow('longer than negotiated');
  });

  test('a response without a request, or a second one, is a bug', () => {
    const pair = new Pair().connect();
    pair.server.echo = false;
    pair.client.send('x', 1);
    pair.until(() => pair.server.held.length === 1, WAIT_MS, 'the request');
    const [request] = pair.server.held;
    pair.server.answer();
    expect(() => request?.respond(0, 0, null, null)).toThrow('responded twice');
    pair.finish();
  });
});

describe('ending', () => {
  test('close tells the server, which drains what executes; the client hears no more', () => {
    const pair = new Pair().connect();
    pair.server.echo = false;
    pair.client.send('x', 1, { payload: new Uint8Array(50_000), fromSlab: true });
    pair.until(() => pair.server.held.length === 1, WAIT_MS, 'the request');
    const before = pair.client.events.length;
    pair.client.session.close('enough');
    pair.until(() => pair.server.events.length === 2, WAIT_MS, 'the close');
    expect(pair.server.events[1]).toBe('closed of client, executing 1: closed by the client: enough');
    expect(pair.client.session.state).toBe('CLOSED');
    pair.server.answerAll();
    expect(pair.server.events[2]).toBe('drained of client');
    pair.world.run(WAIT_MS);
    expect(pair.client.events.slice(before)).toEqual([]);
    expect(pair.client.slabs.heldBytes).toBe(0);
    pair.finish();
  });

  test('a session can be closed before it was started, while it connects, and from within any callback', () => {
    new TestClient(new Pair().world.host('x'), new Pair().network, ['memory:a']).session.close('never mind');
    const connecting = new Pair();
    connecting.world.run(1);
    connecting.client.session.start();
    connecting.client.session.close('too slow');
    connecting.finish();
    for (const when of ['connected', 'end 1: 0', 'permit', 'lost', 'paths: 1']) {
      const pair = new Pair({ paths: 2, client: { queueDepth: 1 } });
      pair.client.onEvent = (event) => {
        if (event.startsWith(when)) pair.client.session.close('from within');
        if (event !== 'connected' || when === 'connected') return;
        pair.client.send('x', 1);
        pair.client.session.allocate(false);
      };
      pair.world.run(1);
      pair.client.session.start();
      pair.world.run(5_000);
      if (when === 'paths: 1') pair.cutPath(1);
      if (when === 'lost') pair.network.cut('client', 'server');
      pair.world.run(5_000);
      expect(pair.client.session.state).toBe('CLOSED');
      expect(pair.client.events.at(-1)).toMatch(when);
      pair.finish();
    }
  });

  test('the server can end a session: the client loses it with the reason and comes back with a new one', () => {
    const pair = new Pair({ paths: 2 }).connect();
    const { generation } = pair.client.session;
    pair.server.echo = false;
    pair.client.send('x', 1);
    pair.until(() => pair.server.held.length === 1, WAIT_MS, 'the request');
    pair.serverSession.close('fenced off');
    pair.until(() => pair.client.ended.size === 1, WAIT_MS, 'the end of the request');
    expect(pair.client.events.slice(-2)).toEqual(['lost: closed by the server: fenced off', `end 1: ${Status.ESESSION}`]);
    pair.until(() => pair.pathsUp === 2, WAIT_MS, 'a new session');
    expect(pair.client.session.generation).not.toBe(generation);
    expect(pair.server.server.sessions()).toHaveLength(2);
    pair.server.answerAll();
    expect(pair.server.server.sessions()).toHaveLength(1);
    pair.finish();
  });

  test('a session that ended while nothing executed is drained at once, after it was closed', () => {
    const pair = new Pair().connect();
    pair.network.cut('client', 'server');
    pair.until(() => pair.server.events.length >= 3, WAIT_MS, 'the end');
    expect(pair.server.events.slice(0, 3)).toEqual([
      'session of client',
      'closed of client, executing 0: the last path is gone: ECONNRESET',
      'drained of client',
    ]);
    pair.finish();
  });

  test('the upper layer may answer from within onSessionClosed: drained comes after', () => {
    const pair = new Pair().connect();
    pair.server.echo = false;
    pair.client.send('x', 1);
    pair.until(() => pair.server.held.length === 1, WAIT_MS, 'the request');
    const closed = pair.server.onSessionClosed.bind(pair.server);
    pair.server.onSessionClosed = (session, reason) => {
      closed(session, reason);
      pair.server.answerAll();
    };
    pair.serverSession.close('over');
    expect(pair.server.events.slice(-2)).toEqual(['closed of client, executing 1: over', 'drained of client']);
    pair.finish();
  });

  test('a closed server turns new connections away and refuses those that shake hands', () => {
    const pair = new Pair().connect();
    pair.server.server.close('maintenance');
    pair.until(() => pair.client.events.includes('lost: closed by the server: maintenance'), WAIT_MS, 'the loss');
    pair.world.run(10_000);
    expect(pair.client.session.state).toBe('CONNECTING');
    expect(pair.client.session.paths()[0]?.lastError).toMatch('closed');
    pair.finish();
  });
});

describe('losing the session', () => {
  test('onLost comes first, then every request in flight ends with ESESSION, and slabs are released', () => {
    const pair = new Pair({ client: { queueDepth: 8 } }).connect();
    pair.server.echo = false;
    for (let i = 0; i < 5; i++) pair.client.send(`${i}`, i, { payload: new Uint8Array(40_000), fromSlab: true });
    pair.client.send('control', 5, { control: true });
    pair.until(() => pair.server.held.length === 6, WAIT_MS, 'the requests');
    const from = pair.client.events.length;
    pair.network.cut('client', 'server');
    pair.until(() => pair.client.ended.size === 6, WAIT_MS, 'the end of all requests');
    expect(pair.client.events.slice(from, from + 1)).toEqual(['lost: the last path is gone: ECONNRESET']);
    expect([...pair.client.ended.values()]).toEqual(new Array(6).fill(Status.ESESSION));
    pair.server.answerAll();
    pair.until(() => pair.client.events.includes('connected', from), WAIT_MS, 'a new session');
    pair.client.send('again', 9);
    pair.until(() => pair.server.held.length === 1, WAIT_MS, 'the request');
    pair.finish();
  });

  test('requests submitted without a session end with ESESSION, not from within submit', () => {
    const pair = new Pair().connect();
    const slot = pair.client.session.allocate(false);
    pair.network.refuse('memory:port0', true);
    pair.network.cut('client', 'server');
    pair.until(() => pair.client.session.state === 'CONNECTING', WAIT_MS, 'the loss');
    pair.client.submit(slot, 'late', 1, { payload: new Uint8Array(20_000), fromSlab: true });
    expect(pair.client.ended.size).toBe(0);
    pair.world.run(1);
    expect(pair.client.ended.get(1)).toBe(Status.ESESSION);
    expect(pair.client.slabs.heldBytes).toBe(0);
    pair.finish();
  });

  test('a permit held over a loss is void: submitting ends with ESESSION, and it can be taken anew', () => {
    const pair = new Pair({ client: { queueDepth: 2 } }).connect();
    const [a, b] = [pair.client.session.allocate(false), pair.client.session.allocate(false)];
    pair.network.cut('client', 'server');
    pair.until(() => pair.client.events.filter((event) => event === 'connected').length === 2, WAIT_MS, 'a new session');
    expect(pair.client.session.allocate(false)).toBe(-1);
    pair.client.submit(a, 'stale', 1);
    pair.world.run(1);
    expect(pair.client.ended.get(1)).toBe(Status.ESESSION);
    expect(pair.server.arrived).toEqual([]);
    pair.client.session.release(b);
    pair.client.send('fresh', 2);
    pair.client.send('fresh', 3);
    pair.until(() => pair.client.ended.size === 3, WAIT_MS, 'the responses');
    pair.finish();
  });

  test('responses of a lost session are dropped, and the session is drained when the last is given', () => {
    const pair = new Pair().connect();
    pair.server.echo = false;
    pair.client.send('a', 1);
    pair.client.send('b', 2);
    pair.until(() => pair.server.held.length === 2, WAIT_MS, 'the requests');
    const session = pair.serverSession;
    pair.network.cut('client', 'server');
    pair.until(() => session.state === 'DRAINING', WAIT_MS, 'the loss at the server');
    pair.server.answer();
    expect(session.state).toBe('DRAINING');
    expect(session.executing).toBe(1);
    pair.server.answer();
    expect(session.state).toBe('DRAINED');
    expect(session.counters.droppedResponses).toBe(2);
    pair.finish();
  });
});
