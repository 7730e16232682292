import { TICK_INTERVAL_MS } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { identity, Pair, TestServer } from '../test-harness.ts';

const WAIT_MS = 60_000;
const LONG_MS = 600_000;

describe('heartbeats', () => {
  test('an idle session lives on, and both sides measure the round trip', () => {
    const pair = new Pair({ network: { delayMsMin: 2, delayMsMax: 2 } }).connect();
    pair.world.run(LONG_MS);
    expect(pair.client.events).toEqual(['connected']);
    expect(pair.client.session.paths()[0]?.rttMs).toBeCloseTo(4, 0);
    expect(pair.serverSession.paths()[0]?.rttMs).toBeCloseTo(4, 0);
    pair.finish();
  });

  test.each([
    ['from server to client', 'server', 'client'],
    ['from client to server', 'client', 'server'],
  ])('a one-way partition %s is found by the side that hears nothing, in the time set', (_name, from, to) => {
    const pair = new Pair().connect();
    pair.world.run(3_300);
    pair.network.partitionOneWay(from, to);
    const cutAtMs = pair.world.clock.nowMs();
    const lost = () =>
      to === 'client' ? pair.client.session.state === 'CONNECTING' : pair.server.events.some((event) => event.startsWith('closed'));
    pair.until(lost, 5_000 + TICK_INTERVAL_MS * 2, 'the loss');
    expect(pair.world.clock.nowMs() - cutAtMs).toBeGreaterThan(3_900);
    expect(pair.world.log.text()).toMatch(/nothing heard for 5\d\d\d ms/);
    pair.network.healAll();
    pair.until(() => pair.client.events.filter((event) => event === 'connected').length === 2, WAIT_MS, 'a new session');
    pair.finish();
  });

  test('a two-way partition is found by both sides; after it heals there is one new session and one old that drains', () => {
    const pair = new Pair().connect();
    pair.server.echo = false;
    pair.client.send('stuck', 1);
    pair.until(() => pair.server.held.length === 1, WAIT_MS, 'the request');
    pair.network.partition('client', 'server');
    pair.until(() => pair.client.session.state === 'CONNECTING' && pair.serverSession.state === 'DRAINING', 7_000, 'both to notice');
    pair.world.run(60_000);
    pair.network.healAll();
    pair.until(() => pair.client.session.state === 'CONNECTED', WAIT_MS, 'a new session');
    expect(pair.server.server.sessions().map((session) => session.state)).toEqual(['DRAINING', 'OPEN']);
    pair.server.answerAll();
    expect(pair.server.server.sessions().map((session) => session.state)).toEqual(['OPEN']);
    pair.finish();
  });

  test('any byte counts as life: a peer that sends a large frame slowly is not dead', () => {
    const pair = new Pair({ network: { runBytesMax: 2_000, delayMsMin: 60, delayMsMax: 60, windowBytes: 4_000 } }).connect();
    pair.client.send('slow', 1, { payload: new Uint8Array(1024 * 1024) });
    pair.world.run(12_000);
    // Heartbeats queue behind the frame, both ways or one.
    expect(pair.client.ended.size).toBe(0);
    pair.until(() => pair.client.ended.size === 1, WAIT_MS, 'the response');
    expect(pair.client.events).toEqual(['connected', 'end 1: 0']);
    pair.finish();
  });

  test('the shorter interval of both sides holds', () => {
    const pair = new Pair({
      client: { heartbeatIntervalMs: 10_000, deadAfterMs: 30_000 },
      server: { heartbeatIntervalMs: 200, deadAfterMs: 400 },
    }).connect();
    pair.world.run(60_000);
    expect(pair.client.events).toEqual(['connected']);
    pair.finish();
  });

  test('time during which a process did not run is not held against its peer', () => {
    for (const host of ['client', 'server'] as const) {
      const pair = new Pair().connect();
      pair.world.run(500);
      const world = pair[host].world;
      world.pause();
      world.skewClock(60_000);
      world.resume();
      pair.world.run(10_000);
      expect(pair.client.events).toEqual(['connected']);
      expect(pair.server.events).toEqual(['session of client']);
      pair.finish();
    }
  });

  test('a stopped server is dead to its client after the time set, and taken up again when it goes on', () => {
    const pair = new Pair().connect();
    pair.network.freeze('server');
    pair.server.world.pause();
    pair.until(() => pair.client.session.state === 'CONNECTING', 6_000, 'the loss');
    pair.world.run(30_000);
    expect(pair.client.session.paths()[0]?.lastError).toMatch('no session after');
    pair.network.thaw('server');
    pair.server.world.resume();
    pair.until(() => pair.client.session.state === 'CONNECTED', WAIT_MS, 'a new session');
    pair.world.run(20_000);
    expect(pair.client.session.state).toBe('CONNECTED');
    expect(pair.server.server.sessions()).toHaveLength(1);
    pair.finish();
  });
});

describe('reconnecting', () => {
  test('delays double from the shortest to the longest, with jitter, and attempts never end', () => {
    const pair = new Pair({ client: { reconnectMsMin: 100, reconnectMsMax: 10_000 } });
    pair.world.run(1);
    pair.network.refuse('memory:port0', true);
    const attempts: number[] = [];
    const transport = pair.client.session.transport as { connect: (...args: never[]) => unknown };
    const connect = transport.connect.bind(transport);
    transport.connect = (...args) => {
      attempts.push(pair.world.clock.nowMs());
      return connect(...args);
    };
    pair.client.session.start();
    pair.world.run(LONG_MS);
    const gaps = attempts.slice(1).map((at, i) => at - (attempts[i] as number));
    for (const [i, gap] of gaps.entries()) {
      const bound = Math.min(10_000, 100 * 2 ** i);
      expect(gap).toBeGreaterThanOrEqual(bound / 2);
      expect(gap).toBeLessThanOrEqual(bound + 2 * TICK_INTERVAL_MS);
    }
    expect(attempts.length).toBeGreaterThan(LONG_MS / 10_100);
    expect(new Set(gaps.slice(10).map((gap) => Math.round(gap))).size).toBeGreaterThan(20);
    pair.network.refuse('memory:port0', false);
    pair.until(() => pair.client.session.state === 'CONNECTED', 11_000, 'a session');
    pair.finish();
  });

  test('after a session that lasted, the first delay is the shortest again; after one that did not, it grows', () => {
    const pair = new Pair({ client: { reconnectMsMin: 100, reconnectMsMax: 100_000 } }).connect();
    const reconnectMs = () => {
      const from = pair.world.clock.nowMs();
      pair.network.cut('client', 'server');
      pair.until(() => pair.client.session.state === 'CONNECTING', WAIT_MS, 'the loss');
      pair.until(() => pair.client.session.state === 'CONNECTED', 200_000, 'a new session');
      return pair.world.clock.nowMs() - from;
    };
    for (let i = 0; i < 7; i++) reconnectMs();
    expect(reconnectMs()).toBeGreaterThan(3_000);
    pair.world.run(6_000);
    expect(reconnectMs()).toBeLessThan(200);
    pair.finish();
  });

  test('without a session every address is tried in turn, a dead first one included', () => {
    const pair = new Pair({ paths: 3 });
    pair.world.run(1);
    pair.network.refuse('memory:port0', true);
    pair.network.refuse('memory:port1', true);
    pair.client.session.start();
    pair.until(() => pair.client.session.state === 'CONNECTED', 1_000, 'a session over the third address');
    expect(pair.pathsUp).toBe(1);
    pair.world.run(20_000);
    pair.network.refuse('memory:port1', false);
    pair.until(() => pair.pathsUp === 2, 11_000, 'the second path');
    expect(pair.client.session.paths()[0]).toMatchObject({ state: 'DOWN', lastError: 'cannot connect: ECONNREFUSED', reconnects: 0 });
    pair.finish();
  });

  test('an outage costs a line at its begin, one per new reason, summaries after 1, 3, 7, 15 … minutes, and one at its end', () => {
    const pair = new Pair().connect();
    pair.world.run(10_000);
    const lostMs = pair.world.clock.nowMs();
    pair.network.crash('server');
    pair.server.world.crash();
    pair.world.run(16 * 60_000);
    const lines = pair.world.log.entries.filter(({ event }) => event === 'rtrs path is down');
    expect(lines.map(({ atMs }) => Math.floor((atMs - lostMs) / 60_000))).toEqual([0, 0, 1, 3, 7, 15]);
    expect(lines.map(({ fields }) => fields['from'])).toEqual(['UP', ...Array(5).fill('CONNECTING')]);
    expect(lines.at(-1)?.fields).toMatchObject({ why: 'cannot connect: ECONNREFUSED', since: lines[1]?.fields['since'] });
    expect(lines.at(-1)?.fields['times']).toBeGreaterThan(400);

    const again = new TestServer(pair.world.host('server'), pair.network, pair.addresses, { local: identity('server', 2) });
    pair.until(() => pair.client.session.state === 'CONNECTED', WAIT_MS, 'a new session');
    expect(again.events).toHaveLength(1);
    const back = pair.world.log.entries.filter(({ event }) => event === 'rtrs path is up').at(-1);
    expect(back?.fields['downForSeconds']).toBeGreaterThanOrEqual(16 * 60);
    pair.client.session.close('enough');
  });

  test('a server that restarts is found again, as another incarnation', () => {
    const pair = new Pair().connect();
    pair.network.crash('server');
    pair.server.world.crash();
    pair.until(() => pair.client.session.state === 'CONNECTING', WAIT_MS, 'the loss');
    pair.world.run(5_000);
    const again = new TestServer(pair.world.host('server'), pair.network, pair.addresses, { local: identity('server', 2) });
    pair.until(() => pair.client.session.state === 'CONNECTED', WAIT_MS, 'a new session');
    expect(pair.client.session.peer).toEqual(identity('server', 2));
    pair.client.send('x', 1);
    pair.until(() => pair.client.ended.size === 1, WAIT_MS, 'the response');
    expect(again.arrived).toEqual(['x']);
    pair.client.session.close('enough');
  });
});
