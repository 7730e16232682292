import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AdminService, adminError, createAdminClient, type ForcePlan, type PoolOrders, type StorageNodeStatus } from '@rmr/admin-api';
import { OperationError, SILENT_LOGGER } from '@rmr/runtime';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { type AdminServer, isLoopback, startAdminServer } from './admin-server.ts';
import { Metrics, registerProcessMetrics } from './metrics.ts';

const TOKEN = '0123456789abcdef0123456789abcdef';

const STATUS: StorageNodeStatus = {
  role: 'storage-node',
  node: {
    name: 'storage-1',
    hostUuid: '11111111-1111-4111-8111-111111111111',
    bootId: '22222222-2222-4222-8222-222222222222',
    incarnation: '33333333-3333-4333-8333-333333333333',
    version: '0.1.0',
    pid: 1,
    startedAt: '2026-01-01T00:00:00.000Z',
    uptimeSeconds: 1.5,
  },
  health: { level: 'healthy', sentence: 'every store is in sync' },
  sessions: [],
  rtrsAddresses: ['tcp://127.0.0.1:1'],
  pools: [],
  stores: [
    {
      path: '/srv/a.store',
      uuid: null,
      pool: null,
      state: 'DETACHED',
      reason: '/srv/a.store does not exist',
      since: '2026-01-01T00:00:00.000Z',
      space: null,
      waitingFor: { what: 'the next attempt to open it, in 4 s', since: '2026-01-01T00:00:00.000Z' },
      health: { level: 'down', sentence: '/srv/a.store is not open: /srv/a.store does not exist' },
    },
  ],
};

const servers: AdminServer[] = [];
const folder = mkdtempSync(join(tmpdir(), 'rmr-admin-'));
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
afterEach(() => rmSync(join(folder, 'token'), { force: true }));
afterAll(() => rmSync(folder, { recursive: true }));

interface Setup {
  readonly service?: Partial<AdminService>;
  readonly token?: string;
  readonly listen?: string;
}

async function serve({ service = {}, token, listen = 'http://127.0.0.1:0' }: Setup = {}): Promise<string> {
  const metrics = new Metrics();
  registerProcessMetrics(metrics, { name: 'storage-1', role: 'storage-node', version: '0.1.0' });
  const tokenFile = token === undefined ? undefined : join(folder, 'token');
  if (tokenFile !== undefined) writeFileSync(tokenFile, `${token}\n`);
  const server = await startAdminServer({
    listen,
    tokenFile,
    service: { status: () => STATUS, flush: async () => {}, notReady: () => null, ...service },
    metrics,
    log: SILENT_LOGGER,
  });
  servers.push(server);
  return server.url;
}

/** `fetch` does not let the Host header be chosen. */
function get(url: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    httpRequest(url, { headers, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });
}

async function failure(promise: Promise<unknown>, url = 'http://x'): Promise<OperationError> {
  return await promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: unknown) => adminError(error, url),
  );
}

describe('admin interface', () => {
  test('status arrives typed and complete', async () => {
    const url = await serve();
    expect(await createAdminClient({ url }).status.query()).toEqual(STATUS);
  });

  test('what is wrong with a store is told in full, or not at all', async () => {
    const [store] = STATUS.stores;
    for (const broken of [
      { ...store, state: 'AWAY' },
      { ...store, since: undefined },
      { ...store, reason: undefined },
    ]) {
      const url = await serve({ service: { status: () => ({ ...STATUS, stores: [broken] }) as unknown as StorageNodeStatus } });
      await expect(createAdminClient({ url }).status.query()).rejects.toThrow('Output validation failed');
    }
  });

  test('a status that lacks a field is not passed on as if it were one', async () => {
    const url = await serve({ service: { status: () => ({ ...STATUS, node: undefined }) as unknown as StorageNodeStatus } });
    await expect(createAdminClient({ url }).status.query()).rejects.toThrow('Output validation failed');
  });

  test('flush names the pool, or none for all', async () => {
    const flushed: (string | null)[] = [];
    const url = await serve({
      service: {
        async flush(pool) {
          flushed.push(pool);
        },
      },
    });
    const client = createAdminClient({ url });
    expect(await client.flush.mutate({ pool: 'pool-1' })).toEqual({ flushed: true });
    await client.flush.mutate({});
    expect(flushed).toEqual(['pool-1', null]);
  });

  test.each([
    ['NOT_FOUND', 404],
    ['UNAVAILABLE', 503],
    ['STALE_EPOCH', 409],
    ['NO_SPACE', 507],
  ] as const)('%s of a procedure keeps its code and message, with HTTP %i', async (code, http) => {
    const url = await serve({
      service: {
        async flush() {
          throw new OperationError(code, 'what failed and what to do');
        },
      },
    });
    const error = await failure(createAdminClient({ url }).flush.mutate({ pool: null }));
    expect(error).toMatchObject({ code, message: 'what failed and what to do' });
    const response = await fetch(`${url}/trpc/flush`, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } });
    expect(response.status).toBe(http);
  });

  test('what fails unexpectedly shows no stack', async () => {
    const url = await serve({
      service: {
        async flush() {
          throw new TypeError('undefined is not a function');
        },
      },
    });
    const response = await fetch(`${url}/trpc/flush`, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } });
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('.ts');
    expect(await failure(createAdminClient({ url }).flush.mutate({}), url)).toMatchObject({ code: 'IO_ERROR' });
  });

  test('wrong input is INVALID_ARGUMENT', async () => {
    const url = await serve();
    const client = createAdminClient({ url });
    expect((await failure(client.flush.mutate({ pool: '' }))).code).toBe('INVALID_ARGUMENT');
    expect((await failure(client.flush.mutate({ pol: 'x' } as never))).code).toBe('INVALID_ARGUMENT');
  });

  test('a daemon that is not there is UNAVAILABLE, one that does not answer TIMEOUT', async () => {
    const closed = await serve();
    await servers.pop()?.close();
    const gone = await failure(createAdminClient({ url: closed }).status.query(), closed);
    expect(gone.code).toBe('UNAVAILABLE');
    expect(gone.message).toContain('ECONNREFUSED');
    const url = await serve({ service: { status: () => new Promise(() => {}) } });
    expect((await failure(createAdminClient({ url, timeoutMs: 20 }).status.query(), url)).code).toBe('TIMEOUT');
  });

  test('the probes tell alive from ready, and what is waited for', async () => {
    let waiting: string | null = 'member 2 (storage-2)';
    const url = await serve({ service: { notReady: () => waiting } });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const response = await fetch(`${url}/readyz`);
    expect([response.status, await response.text()]).toEqual([503, 'not ready: member 2 (storage-2)\n']);
    waiting = null;
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
  });

  test('a node that is ready and should not be stopped says why, and is ready', async () => {
    const url = await serve({ service: { notice: () => 'this node holds the only copy of 3 MiB of pool demo' } });
    const response = await fetch(`${url}/readyz`);
    expect([response.status, await response.text()]).toEqual([200, 'ok: this node holds the only copy of 3 MiB of pool demo\n']);
    expect(await (await fetch(`${url}/healthz`)).text()).toBe('ok\n');
  });

  test('metrics are Prometheus text', async () => {
    const response = await fetch(`${await serve()}/metrics`);
    expect(response.headers.get('content-type')).toContain('version=0.0.4');
    const text = await response.text();
    expect(text).toContain('rmr_node_info{name="storage-1",role="storage-node",version="0.1.0"} 1');
    expect(text).toMatch(/rmr_process_memory_bytes\{kind="resident"\} \d+/);
  });

  test('unknown paths and methods are refused', async () => {
    const url = await serve();
    expect((await fetch(`${url}/`)).status).toBe(404);
    expect((await fetch(`${url}/trpc`)).status).toBe(404);
    expect((await fetch(`${url}/trpc/nothing`)).status).toBe(404);
    expect((await fetch(`${url}/metrics`, { method: 'POST' })).status).toBe(405);
    expect((await fetch(`${url}/healthz`, { method: 'DELETE' })).status).toBe(405);
  });

  test('connections that say nothing keep nobody out, and one on which an answer is awaited does not make way', async () => {
    let finish = (): void => {};
    const url = await serve({
      service: {
        flush: () =>
          new Promise((resolve) => {
            finish = resolve;
          }),
      },
    });
    const awaited = createAdminClient({ url }).flush.mutate({ pool: null });
    let closed = 0;
    const silent = Array.from({ length: 300 }, (_, i) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      socket.on('error', () => {});
      socket.once('close', () => closed++);
      // Some begin a request and never end it.
      if (i % 2 === 1) socket.write('GET /healthz HTTP/1.1\r\n');
      return socket;
    });
    await vi.waitFor(() => expect(closed).toBeGreaterThanOrEqual(300 - 64), { timeout: 20_000 });
    expect(await get(`${url}/healthz`, {})).toBe(200);
    finish();
    expect(await awaited).toEqual({ flushed: true });
    for (const socket of silent) socket.destroy();
  });

  test('closing ends idle connections', async () => {
    const url = await serve();
    await fetch(`${url}/healthz`);
    await servers.pop()?.close();
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });
});

describe('admin interface: pools', () => {
  const PLAN: ForcePlan = {
    refusal: null,
    members: [{ memberId: 1, name: 'storage-1', version: '3.2{1,2}', at: '2026-01-01T00:00:00.000Z', missingBytes: 0, note: '' }],
    leftBehind: [{ memberId: 2, name: 'storage-2', version: null, at: null, missingBytes: null, note: "can't be reached" }],
    sentence: 'What was written since may be lost.',
  };

  /** Serves a client node whose orders are noted; each throws `thrown`. */
  async function serveOrders(thrown: OperationError | null = null) {
    const orders: unknown[][] = [];
    const order = async (...args: unknown[]): Promise<void> => {
      if (thrown !== null) throw thrown;
      orders.push(args);
    };
    const pools: PoolOrders = {
      create: (...args) => order('create', ...args),
      forcePlan: () => PLAN,
      force: (...args) => order('force', ...args),
      copyAnew: (...args) => order('copyAnew', ...args),
      replaceStore: (...args) => order('replaceStore', ...args),
    };
    return { admin: createAdminClient({ url: await serve({ service: { pools } }) }), orders };
  }

  test('each order arrives as it was given, and the plan as it was made', async () => {
    const { admin, orders } = await serveOrders();
    expect(await admin.pool.create.mutate({ pool: 'demo' })).toEqual({ done: true });
    expect(await admin.pool.force.mutate({ pool: 'demo', leftBehind: [2, 3] })).toEqual({ done: true });
    expect(await admin.pool.copyAnew.mutate({ pool: 'demo', memberId: 2, giveUp: false })).toEqual({ done: true });
    expect(await admin.pool.replaceStore.mutate({ pool: 'demo', memberId: 3, giveUp: true })).toEqual({ done: true });
    expect(await admin.pool.forcePlan.query({ pool: 'demo' })).toEqual(PLAN);
    expect(orders).toEqual([
      ['create', 'demo'],
      ['force', 'demo', [2, 3]],
      ['copyAnew', 'demo', 2, false],
      ['replaceStore', 'demo', 3, true],
    ]);
  });

  test('a daemon that is no client node names the daemon to ask, whatever the arguments are', async () => {
    const { pool } = createAdminClient({ url: await serve() });
    const calls = [
      pool.create.mutate({ pool: 'demo' }),
      pool.forcePlan.query({ pool: 'demo' }),
      pool.force.mutate({ pool: 'demo', leftBehind: [] }),
      pool.copyAnew.mutate({ pool: '', memberId: 0, giveUp: true }),
      pool.replaceStore.mutate({ pool: '', memberId: 0, giveUp: true }),
    ];
    for (const answer of await Promise.all(calls.map((call) => failure(call)))) {
      expect(answer).toMatchObject({
        code: 'UNSUPPORTED',
        message: expect.stringMatching(/^only a client node can do pool\.\w+, .* ask the client node that maps the volume$/),
      });
    }
  });

  test('a refusal keeps its code', async () => {
    const { admin } = await serveOrders(new OperationError('CONFLICT', 'pool demo exists already'));
    expect(await failure(admin.pool.create.mutate({ pool: 'demo' }))).toMatchObject({
      code: 'CONFLICT',
      message: 'pool demo exists already',
    });
  });

  test('nothing is guessed: an order that lacks something, or says more than it should, is refused', async () => {
    const { admin, orders } = await serveOrders();
    const wrong: Promise<unknown>[] = [
      admin.pool.create.mutate({ pool: '' }),
      admin.pool.create.mutate({ pool: 'demo', force: true } as never),
      admin.pool.force.mutate({ pool: 'demo' } as never),
      admin.pool.force.mutate({ pool: 'demo', leftBehind: [0] }),
      admin.pool.force.mutate({ pool: 'demo', leftBehind: [1.5] }),
      admin.pool.force.mutate({ pool: 'demo', leftBehind: ['2'] } as never),
      admin.pool.copyAnew.mutate({ pool: 'demo', memberId: 2 } as never),
      admin.pool.copyAnew.mutate({ pool: 'demo', memberId: 256, giveUp: false }),
      admin.pool.copyAnew.mutate({ pool: 'demo', memberId: 2, giveUp: 'yes' } as never),
      admin.pool.replaceStore.mutate({ pool: 'demo', memberId: 2 } as never),
      admin.pool.replaceStore.mutate({ pool: 'demo', memberId: 0, giveUp: false }),
      admin.pool.replaceStore.mutate({ pool: 'demo', memberId: 2, giveUp: false, storeUuid: '' } as never),
    ];
    for (const answer of await Promise.all(wrong.map((call) => failure(call)))) expect(answer.code).toBe('INVALID_ARGUMENT');
    expect(orders).toEqual([]);
  });
});

describe('admin interface: who may', () => {
  test('beyond loopback it does not listen without a token', async () => {
    await expect(serve({ listen: 'http://0.0.0.0:0' })).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining('admin.tokenFile'),
    });
    await expect(serve({ listen: 'http://[::]:0' })).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    await expect(serve({ listen: 'http://example.com:0' })).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
  });

  test('with a token it listens everywhere and asks for it everywhere but at the probes', async () => {
    const url = (await serve({ listen: 'http://0.0.0.0:0', token: TOKEN })).replace('0.0.0.0', '127.0.0.1');
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    expect((await fetch(`${url}/metrics`)).status).toBe(401);
    expect((await fetch(`${url}/nothing`)).status).toBe(401);
    expect((await fetch(`${url}/metrics`, { headers: { authorization: `bearer ${TOKEN}` } })).status).toBe(200);
    for (const wrong of [TOKEN.slice(1), `${TOKEN}0`, TOKEN.toUpperCase(), '', `x ${TOKEN}`]) {
      expect((await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${wrong}` } })).status).toBe(401);
    }
    expect((await fetch(`${url}/metrics`, { headers: { authorization: TOKEN } })).status).toBe(401);
    expect((await createAdminClient({ url, token: TOKEN }).status.query()).role).toBe('storage-node');
    expect((await failure(createAdminClient({ url, token: `${TOKEN}x` }).status.query(), url)).code).toBe('UNAUTHENTICATED');
  });

  test.each([
    ['', 'does not hold a token'],
    ['two words are no token at all', 'has a line 1 that is no token'],
    ['x'.repeat(5000), 'does not hold a token'],
  ])('a token file that holds no token is refused (%#)', async (token, why) => {
    await expect(serve({ token })).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining(why),
    });
  });

  test('a token file that is missing is refused', async () => {
    const options = {
      service: { status: () => STATUS, flush: async () => {}, notReady: () => null },
      metrics: new Metrics(),
      log: SILENT_LOGGER,
    };
    await expect(startAdminServer({ ...options, listen: 'http://127.0.0.1:0', tokenFile: '/none' })).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
    });
  });

  test('without a token, names that were made to point here and web pages are refused', async () => {
    const url = await serve();
    expect(await get(`${url}/metrics`, { host: 'evil.example:80' })).toBe(403);
    expect(await get(`${url}/metrics`, { host: 'localhost:1' })).toBe(200);
    expect(await get(`${url}/metrics`, { host: '[::1]:1' })).toBe(200);
    expect(await get(`${url}/metrics`, { origin: 'http://evil.example' })).toBe(403);
    expect(await get(`${url}/metrics`, { origin: 'null' })).toBe(403);
  });

  test('a port that is taken is ADDRESS_IN_USE, with its number', async () => {
    const url = await serve();
    await expect(serve({ listen: url })).rejects.toMatchObject({ code: 'ADDRESS_IN_USE', message: expect.stringContaining(url) });
  });

  test.each([
    ['127.0.0.1', true],
    ['127.9.9.9', true],
    ['::1', true],
    ['::ffff:127.0.0.1', true],
    ['LOCALHOST', true],
    ['0.0.0.0', false],
    ['::', false],
    ['10.0.0.1', false],
    ['localhost.example', false],
    ['', false],
  ])('isLoopback(%j) is %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected);
  });
});

describe('admin interface: bad input', () => {
  function raw(url: string, bytes: string): Promise<string> {
    return new Promise((resolve) => {
      let text = '';
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(bytes));
      socket.on('data', (data) => {
        text += data.toString('latin1');
      });
      socket.on('error', () => socket.destroy());
      socket.on('close', () => resolve(text));
    });
  }

  test('bytes that are no HTTP are answered with 400 and the connection is closed', async () => {
    expect(await raw(await serve(), '\x00\x01\x02 NBDMAGIC\r\n\r\n')).toContain('400');
  });

  test('headers without end are refused', async () => {
    expect(await raw(await serve(), `GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(20_000)}`)).toContain('431');
  });

  test('a body beyond the limit is refused', async () => {
    const url = await serve();
    const response = await fetch(`${url}/trpc/flush`, {
      method: 'POST',
      body: JSON.stringify({ pool: 'x'.repeat(100_000) }),
      headers: { 'content-type': 'application/json' },
    });
    expect(response.status).toBe(413);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });

  test.each(['{', '[]', '"x"', 'null'])('the body %s is refused with a 4xx', async (body) => {
    const response = await fetch(`${await serve()}/trpc/flush`, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
  });

  test('a path with strange escapes is refused', async () => {
    expect([400, 404]).toContain(await get(`${await serve()}/trpc/%ff%00`, {}));
  });
});

describe('metrics', () => {
  test('counters read plain integers at every scrape, and series that are not observed are absent', async () => {
    const metrics = new Metrics();
    const counts = new Map([['a', 1]]);
    metrics.counter({
      name: 'rmr_things_total',
      help: 'things',
      labels: ['kind'],
      read: (observe) => {
        for (const [kind, value] of counts) observe(value, kind);
      },
    });
    expect(await metrics.text()).toContain('rmr_things_total{kind="a"} 1');
    counts.delete('a');
    counts.set('b', 7);
    const text = await metrics.text();
    expect(text).toContain('rmr_things_total{kind="b"} 7');
    expect(text).not.toContain('kind="a"');
  });

  test('names that break the convention are a bug', () => {
    const read = () => {};
    expect(() => new Metrics().counter({ name: 'rmr_things', help: '', read })).toThrow('a counter is named');
    expect(() => new Metrics().gauge({ name: 'things_bytes', help: '', read })).toThrow('a gauge is named');
  });
});
