import { Status } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { Pair } from '../test-harness.ts';

const WAIT_MS = 60_000;

/** What every address has in flight. */
const inFlight = (pair: Pair) => pair.client.session.paths().map((path) => path.inFlight);

/** Two paths, four requests executing on each, answered by nobody. */
function twoBusyPaths(options: ConstructorParameters<typeof Pair>[0] = {}): Pair {
  const pair = new Pair({ paths: 2, ...options }).connect();
  pair.server.echo = false;
  for (let i = 0; i < 8; i++) pair.client.send(`${i}`, i, { payload: new Uint8Array(100 + i).fill(i), fromSlab: true });
  pair.until(() => pair.server.held.length === 8, WAIT_MS, 'the requests');
  expect(inFlight(pair)).toEqual([4, 4]);
  return pair;
}

describe('path policies', () => {
  test('round-robin: every path in turn', () => {
    const pair = new Pair({ paths: 3, client: { pathPolicy: 'round-robin' } }).connect();
    pair.server.echo = false;
    for (let i = 0; i < 9; i++) pair.client.send(`${i}`, i);
    expect(inFlight(pair)).toEqual([3, 3, 3]);
    pair.finish();
  });

  test('min-inflight: the path with the fewest unanswered requests', () => {
    const pair = new Pair({ paths: 2, client: { pathPolicy: 'min-inflight' } }).connect();
    pair.server.echo = false;
    for (let i = 0; i < 6; i++) pair.client.send(`${i}`, i);
    expect(inFlight(pair)).toEqual([3, 3]);
    pair.until(() => pair.server.held.length === 6, WAIT_MS, 'the requests');
    const [first] = pair.serverSession.paths();
    pair.server.answer(0, first?.pathId);
    pair.server.answer(0, first?.pathId);
    pair.until(() => pair.client.ended.size === 2, WAIT_MS, 'two responses');
    const before = inFlight(pair);
    expect(before.toSorted()).toEqual([1, 3]);
    pair.client.send('more', 10);
    pair.client.send('more', 11);
    expect(inFlight(pair)).toEqual([3, 3]);
    pair.finish();
  });

  test('min-latency: the path whose heartbeats return fastest; before they are measured, all', () => {
    const pair = new Pair({ paths: 2, client: { pathPolicy: 'min-latency' } }).connect();
    pair.server.echo = false;
    pair.client.send('a', 1);
    pair.client.send('b', 2);
    expect(inFlight(pair)).toEqual([1, 1]);
    // The network slows down while only the first path is still waiting for its answer.
    const slow = pair.network.endsAt('client').find((end) => end.peerDescription === 'memory:port0');
    slow?.pauseReading();
    pair.until(() => pair.client.session.paths()[1]?.rttMs !== null, WAIT_MS, 'the heartbeat of the fast path');
    pair.world.run(30);
    slow?.resumeReading();
    pair.until(() => pair.client.session.paths()[0]?.rttMs !== null, WAIT_MS, 'the heartbeat of the slow path');
    const [first, second] = pair.client.session.paths();
    expect(first?.rttMs ?? 0).toBeGreaterThan(second?.rttMs ?? 0);
    for (let i = 0; i < 5; i++) pair.client.send(`${i}`, 10 + i);
    expect(inFlight(pair)).toEqual([1, 6]);
    pair.finish();
  });

  test('a path that is down gets nothing, and its share again when it is back', () => {
    const pair = new Pair({ paths: 2 }).connect();
    pair.cutPath(0);
    pair.until(() => pair.pathsUp === 1, WAIT_MS, 'the loss of a path');
    pair.server.echo = false;
    for (let i = 0; i < 4; i++) pair.client.send(`${i}`, i);
    expect(inFlight(pair)).toEqual([0, 4]);
    pair.until(() => pair.pathsUp === 2, WAIT_MS, 'the path to come back');
    for (let i = 4; i < 8; i++) pair.client.send(`${i}`, i);
    expect(inFlight(pair)).toEqual([2, 6]);
    expect(pair.client.session.paths()[0]?.reconnects).toBe(1);
    expect(pair.client.session.counters.sessionsLost).toBe(0);
    pair.finish();
  });
});

describe('path loss behind a fence (I10)', () => {
  test('requests of the lost path are sent again only after the server has drained what it got of them', () => {
    const pair = twoBusyPaths();
    const session = pair.serverSession;
    pair.cutPath(0);
    pair.until(() => pair.pathsUp === 1, WAIT_MS, 'the loss of a path');
    expect(pair.client.events.at(-1)).toBe('paths: 1');
    pair.world.run(1_000);
    // The server executes four requests of the dead path: nothing may be sent again yet.
    expect(pair.client.session.pendingFences).toBe(1);
    expect(pair.server.arrived).toHaveLength(8);
    expect(session.paths().find((path) => !path.up)?.executing).toBe(4);
    const dead = session.paths().find((path) => !path.up)?.pathId ?? 0;
    // All but one of the dead path's: still not confirmed.
    for (let i = 0; i < 3; i++) {
      pair.server.answer(0, dead);
      pair.world.run(1_000);
      expect(pair.client.session.pendingFences).toBe(1);
      expect(pair.server.arrived).toHaveLength(8);
    }
    expect(pair.client.session.counters.reissues).toBe(0);
    // The last one: confirmed, and sent again.
    pair.server.answer(0, dead);
    pair.until(() => pair.server.arrived.length === 12, WAIT_MS, 'the requests to come again');
    expect(pair.client.session.pendingFences).toBe(0);
    expect(pair.client.session.counters.reissues).toBe(4);
    expect(session.counters.droppedResponses).toBe(4);
    pair.server.answerAll();
    pair.until(() => pair.client.ended.size === 8, WAIT_MS, 'all responses');
    expect([...pair.client.ended.values()]).toEqual(new Array(8).fill(0));
    for (let i = 0; i < 8; i++) expect(pair.client.responses.get(i)?.payload ?? null).toEqual(new Uint8Array(100 + i).fill(i));
    pair.finish();
  });

  test('no request is executed twice at the same time, nor late, whatever is cut and delayed', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const pair = new Pair({
        seed,
        paths: 3,
        network: { delayMsMin: 0, delayMsMax: 30, runBytesMax: 200 },
        client: { reconnectMsMin: 20, reconnectMsMax: 100, deadAfterMs: 2000, heartbeatIntervalMs: 500 },
        server: { deadAfterMs: 2000 },
      }).connect();
      pair.server.echo = false;
      const executing = new Set<string>();
      /** Ended at the client, so that nothing of it may start any more. */
      const over = new Set<string>();
      const onRequest = pair.server.onRequest.bind(pair.server);
      pair.server.onRequest = (request) => {
        onRequest(request);
        const text = pair.server.arrived.at(-1) as string;
        expect(executing.has(text), `seed ${seed}: request ${text} is executed twice at the same time`).toBe(false);
        expect(over.has(text), `seed ${seed}: request ${text} is executed after its end`).toBe(false);
        executing.add(text);
        pair.world.after(pair.world.random.u32() % 60, () => {
          executing.delete(text);
          pair.server.held.splice(pair.server.held.indexOf(request), 1);
          request.respond(0, 0, null, null);
        });
      };
      pair.client.onEvent = (event) => {
        const match = /^end (\d+): (\d+)$/.exec(event);
        if (match?.[2] === '0') over.add(match[1] as string);
      };
      let tag = 0;
      for (let round = 0; round < 40; round++) {
        for (let i = 0; i < 3; i++) {
          const slot = pair.client.session.allocate(false);
          if (slot >= 0) {
            tag++;
            pair.client.submit(slot, `${tag}`, tag, { payload: new Uint8Array(tag % 300), fromSlab: true });
          }
        }
        pair.world.run(pair.world.random.u32() % 40);
        const ends = pair.network.endsAt('client');
        const victim = ends[pair.world.random.u32() % Math.max(1, ends.length)];
        if (victim !== undefined && round % 3 === 0) pair.network.cutStream(victim);
        if (victim !== undefined && round % 7 === 0) victim.peer.destroy('the server closes one');
      }
      pair.until(() => pair.client.session.inFlight === 0, WAIT_MS, `all requests of seed ${seed} to end`);
      expect(pair.client.ended.size).toBe(tag);
      pair.until(() => pair.server.held.length === 0, WAIT_MS, 'the server to be done');
      // The server's own guard had nothing to do.
      expect(pair.world.log.text()).not.toContain('a request under a permit that is in use');
      pair.finish();
    }
  });

  test('a path that carried nothing is lost without a fence', () => {
    const pair = new Pair({ paths: 2 }).connect();
    pair.cutPath(0);
    pair.until(() => pair.pathsUp === 1, WAIT_MS, 'the loss of a path');
    expect(pair.client.session.pendingFences).toBe(0);
    pair.finish();
  });

  test('a half-open path is closed at the server by the fence: what is still on its way never executes', () => {
    const pair = new Pair({ paths: 2 }).connect();
    pair.server.echo = false;
    // The stream of path 0 is stuck, as if its packets were lost; a request is on its way on each path.
    const stuck = pair.network
      .endsAt('server')
      .find((end) => pair.serverSession.paths()[0]?.up && end.peer.peerDescription === 'memory:port0');
    stuck?.pauseReading();
    pair.client.send('a', 1);
    pair.client.send('b', 2);
    pair.world.run(100);
    expect(pair.server.arrived).toHaveLength(1);
    // The client alone gives the path up.
    pair.network
      .endsAt('client')
      .find((end) => end.peerDescription === 'memory:port0')
      ?.close('given up');
    pair.until(() => pair.server.arrived.length === 2, WAIT_MS, 'the request to come again');
    stuck?.resumeReading();
    pair.world.run(5_000);
    expect(pair.server.arrived.toSorted()).toEqual(['a', 'b']);
    expect(pair.world.log.text()).toContain('fenced by the client');
    pair.server.answerAll();
    pair.until(() => pair.client.ended.size === 2, WAIT_MS, 'the responses');
    pair.finish();
  });

  test('when the path that carries the fence dies too, another asks again', () => {
    const pair = new Pair({ paths: 3, client: { reconnectMsMin: 5_000, reconnectMsMax: 10_000 } }).connect();
    pair.server.echo = false;
    for (let i = 0; i < 9; i++) pair.client.send(`${i}`, i);
    pair.until(() => pair.server.held.length === 9, WAIT_MS, 'the requests');
    pair.cutPath(0);
    pair.until(() => pair.pathsUp === 2, WAIT_MS, 'the first loss');
    pair.world.run(100);
    pair.cutPath(1);
    pair.until(() => pair.pathsUp === 1, WAIT_MS, 'the second loss');
    pair.world.run(100);
    expect(pair.client.session.pendingFences).toBe(2);
    expect(pair.server.arrived).toHaveLength(9);
    pair.server.answerAll();
    pair.until(() => pair.server.arrived.length === 15, WAIT_MS, 'six requests to come again');
    pair.server.answerAll();
    pair.until(() => pair.client.ended.size === 9, WAIT_MS, 'all responses');
    expect([...pair.client.ended.values()].every((status) => status === 0)).toBe(true);
    pair.finish();
  });

  test('a path that comes back while its fence is pending carries new requests under a new number', () => {
    const pair = twoBusyPaths();
    pair.cutPath(0);
    pair.until(() => pair.pathsUp === 1, WAIT_MS, 'the loss of a path');
    pair.until(() => pair.pathsUp === 2, WAIT_MS, 'the path to come back');
    expect(pair.client.session.pendingFences).toBe(1);
    pair.client.send('new a', 20);
    pair.client.send('new b', 21);
    pair.until(() => pair.server.held.length === 10, WAIT_MS, 'the new requests');
    expect(
      pair.serverSession
        .paths()
        .map((path) => path.pathId)
        .toSorted(),
    ).toEqual([1, 2, 3]);
    pair.server.answerAll();
    pair.until(() => pair.server.held.length === 4, WAIT_MS, 'the requests to come again');
    pair.server.answerAll();
    pair.until(() => pair.client.ended.size === 10, WAIT_MS, 'all responses');
    pair.finish();
  });

  test('permits of fenced requests stay taken: the server never sees more than were granted', () => {
    const pair = twoBusyPaths({ client: { queueDepth: 8 } });
    pair.cutPath(0);
    pair.until(() => pair.pathsUp === 1, WAIT_MS, 'the loss of a path');
    expect(pair.client.session.allocate(false)).toBe(-1);
    pair.server.answerAll();
    pair.until(() => pair.server.held.length === 4, WAIT_MS, 'the requests to come again');
    pair.server.answerAll();
    pair.until(() => pair.client.events.includes('permit') && pair.client.ended.size === 8, WAIT_MS, 'a permit');
    pair.finish();
  });

  test('a drain that is not confirmed in time loses the session, and says so', () => {
    const pair = twoBusyPaths({ client: { drainTimeoutMs: 3_000 } });
    const session = pair.serverSession;
    pair.cutPath(0);
    pair.until(() => pair.pathsUp === 1, WAIT_MS, 'the loss of a path');
    pair.world.run(2_500);
    expect(pair.client.session.state).toBe('CONNECTED');
    pair.until(() => pair.client.ended.size === 8, 1_000, 'the session to be lost');
    expect(pair.client.events.find((event) => event.startsWith('lost'))).toMatch(
      /^lost: the server has not drained path number \d within 3000 ms$/,
    );
    expect([...pair.client.ended.values()]).toEqual(new Array(8).fill(Status.ESESSION));
    pair.until(() => session.state === 'DRAINING', WAIT_MS, 'the server to see the end');
    expect(session.executing).toBe(8);
    pair.until(() => pair.client.session.state === 'CONNECTED', WAIT_MS, 'a new session');
    pair.server.answerAll();
    expect(session.state).toBe('DRAINED');
    pair.finish();
  });

  test('losing all paths at once loses the session once', () => {
    const pair = twoBusyPaths();
    pair.network.cut('client', 'server');
    pair.until(() => pair.client.ended.size === 8, WAIT_MS, 'all requests to end');
    expect(pair.client.events.filter((event) => event.startsWith('lost'))).toHaveLength(1);
    expect([...pair.client.ended.values()]).toEqual(new Array(8).fill(Status.ESESSION));
    pair.finish();
  });
});
