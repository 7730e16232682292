import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NodeStoreStatus, type StorageNodeStatus, storageNodeStatusSchema } from '@rmr/admin-api';
import { createStore, inspect } from '@rmr/brmr/node';
import { type Daemon, loadConfig, Metrics } from '@rmr/daemon';
import { SILENT_LOGGER } from '@rmr/runtime';
import { SocketTransport } from '@rmr/runtime/node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type StorageNodeConfigFile, storageNodeConfigSchema } from './config.ts';
import { startDaemon } from './daemon.ts';

/** Bound of waiting for a condition: a store is tried again after a second, then two, four. */
const WAIT = { timeout: 60_000, interval: 50 };
const POOL_UUID = '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab';
const OTHER_UUID = '7b3f8a52-9c1d-4e6f-8a2b-0123456789ac';

let folder: string;
let path: string;
let daemon: Daemon | null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rmr-daemon-'));
  path = join(folder, 'a.store');
  daemon = null;
});

afterEach(async () => {
  await daemon?.stop(true);
  rmSync(folder, { recursive: true });
});

async function create(at = path, poolUuid = POOL_UUID, memberId = 1): Promise<void> {
  await createStore({
    path: at,
    storeUuid: `00000000-0000-4000-8000-00000000000${memberId}`,
    poolUuid,
    lineageUuid: OTHER_UUID,
    poolName: poolUuid === POOL_UUID ? 'demo' : 'other',
    memberId,
    sizeBytes: 8 * 1024 * 1024,
    queueDepth: 16,
  });
}

async function start(stores: StorageNodeConfigFile['stores'], more: Record<string, string> = {}): Promise<void> {
  const environment = {
    RMR_NAME: 'storage-1',
    RMR_STATE_DIR: join(folder, 'state'),
    RMR_RTRS_LISTEN: `unix:${join(folder, 'rtrs.sock')}`,
    RMR_STORES: JSON.stringify(stores),
    ...more,
  };
  const config = loadConfig(storageNodeConfigSchema, { environment, flags: new Map() });
  daemon = await startDaemon(config, { log: SILENT_LOGGER, version: '0', transport: new SocketTransport() });
}

/** What the daemon says of itself, held to the contract of the admin interface. */
async function status(): Promise<StorageNodeStatus> {
  return storageNodeStatusSchema.parse(await (daemon as Daemon).status());
}

async function store(index = 0): Promise<NodeStoreStatus> {
  return (await status()).stores[index] as NodeStoreStatus;
}

async function metric(line: string): Promise<string | undefined> {
  const metrics = new Metrics();
  (daemon as Daemon).registerMetrics(metrics);
  return (await metrics.text()).split('\n').find((each) => each.startsWith(line));
}

const state = async (): Promise<string> => (await store()).state;

test('an open store is told in full, with its pool', async () => {
  await create();
  await start([{ path, poolUuid: POOL_UUID }]);
  expect(await store()).toMatchObject({
    path,
    uuid: '00000000-0000-4000-8000-000000000001',
    pool: { name: 'demo', uuid: POOL_UUID, memberId: 1 },
    state: 'OPEN',
    reason: 'opened as member 1 of pool demo',
    waitingFor: null,
    health: { level: 'healthy' },
  });
  expect((await status()).pools).toMatchObject([
    {
      ...{ name: 'demo', store: { path, state: 'OPEN' } },
      waitingFor: { what: 'a client to claim the pool', remedy: expect.stringContaining('configured for pool demo') },
    },
  ]);
  expect(await metric('rmr_store_up')).toBe(`rmr_store_up{store="${path}"} 1`);
  await daemon?.flush('demo');
  await expect(daemon?.flush('unknown')).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('a store that is missing at start does not stop the daemon, is told with the reason, and is opened when it is there', async () => {
  await start([{ path }]);
  expect(daemon?.notReady()).toBeNull();
  const before = await store();
  expect(before).toMatchObject({ path, uuid: null, pool: null, state: 'DETACHED', health: { level: 'down' } });
  expect(before.reason).toContain('a.store does not exist');
  expect(before.waitingFor).toMatchObject({
    what: expect.stringMatching(/next attempt to open it, in \d+ s/),
    since: before.since,
    remedy: expect.stringContaining(`Mount the file system of ${path}, attach its disk`),
  });
  expect((await status()).pools).toEqual([]);
  expect((await status()).health).toMatchObject({ level: 'down', sentence: expect.stringContaining('a.store does not exist') });
  expect(await metric('rmr_store_up')).toBe(`rmr_store_up{store="${path}"} 0`);
  await expect(daemon?.flush(null)).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('does not exist') });
  await create();
  await expect.poll(state, WAIT).toBe('OPEN');
  const after = await store();
  expect(after.since > before.since).toBe(true);
  // Nothing was lost: it has not been open before.
  expect((await status()).pools[0]?.store?.volatileLost).toBe(false);
});

test('a store that another process has open is waited for', async () => {
  await create();
  await start([{ path }]);
  const first = daemon as Daemon;
  await start([{ path }], { RMR_RTRS_LISTEN: `unix:${join(folder, 'second.sock')}`, RMR_STATE_DIR: join(folder, 'state-2') });
  expect((await store()).reason).toContain(`is already open in process ${process.pid}`);
  await first.stop(true);
  await expect.poll(state, WAIT).toBe('OPEN');
  expect((await status()).pools[0]?.store?.volatileLost).toBe(false);
});

test('two stores of one pool, a store of another pool and a directory end the start, naming the path', async () => {
  const other = join(folder, 'b.store');
  await create();
  await create(other, POOL_UUID, 2);
  await expect(start([{ path }, { path: other }])).rejects.toMatchObject({ code: 'CONFLICT', message: expect.stringContaining(other) });
  await expect(start([{ path, poolUuid: OTHER_UUID }])).rejects.toMatchObject({
    code: 'STORE_FOREIGN',
    message: expect.stringContaining(path),
  });
  await expect(start([{ path: folder }])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(folder) });
  // They were closed properly, and can be opened.
  expect((await inspect(path)).cleanShutdown).toBe(true);
  await start([{ path }]);
  expect(await state()).toBe('OPEN');
});

test('a store and a copy of it end the start, naming both and the store; without the copy the store is opened', async () => {
  await create();
  copyFileSync(path, `${path}.copy`);
  const twins = start([{ path }, { path: `${path}.copy` }]);
  await expect(twins).rejects.toMatchObject({ code: 'CONFLICT' });
  const { message } = (await twins.catch((error: unknown) => error)) as Error;
  for (const named of [`${path} `, `${path}.copy `, '00000000-0000-4000-8000-000000000001', 'Take the copy out of "stores"'])
    expect(message).toContain(named);
  expect([(await inspect(path)).cleanShutdown, (await inspect(`${path}.copy`)).cleanShutdown]).toEqual([true, true]);
  await start([{ path }]);
  expect([await state(), (await status()).pools[0]?.store?.volatileLost]).toEqual(['OPEN', false]);
});

test('a mark of a store by another path of it counts', async () => {
  await create();
  symlinkSync(path, join(folder, 'link'));
  mkdirSync(join(folder, 'state'));
  writeFileSync(join(folder, 'state', 'doubtful-stores.json'), JSON.stringify([join(folder, 'link')]));
  await start([{ path }]);
  expect((await status()).pools[0]?.store?.volatileLost).toBe(true);
  await daemon?.stop(true);
  expect(JSON.parse(readFileSync(join(folder, 'state', 'doubtful-stores.json'), 'utf8'))).toEqual([]);
});

test('a file that is removed takes its store away, and the others go on; put back, it counts as having been away', async () => {
  const other = join(folder, 'b.store');
  await create();
  await create(other, OTHER_UUID);
  await start([{ path }, { path: other }]);
  renameSync(path, `${path}.away`);
  await expect.poll(state, WAIT).toBe('DETACHED');
  const away = await store();
  expect(away).toMatchObject({ pool: { name: 'demo', memberId: 1 }, uuid: '00000000-0000-4000-8000-000000000001' });
  expect(away.reason).toMatch(/was removed|does not exist/);
  expect((await store(1)).state).toBe('OPEN');
  expect((await status()).pools.map(({ name }) => name)).toEqual(['other']);
  await daemon?.flush('other');
  await expect(daemon?.flush('demo')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  renameSync(`${path}.away`, path);
  await expect.poll(state, WAIT).toBe('OPEN');
  expect((await status()).pools.find(({ name }) => name === 'demo')?.store?.volatileLost).toBe(true);
});

test('a file that is replaced under the daemon is noticed, and a daemon that ends meanwhile remembers the doubt', async () => {
  await create();
  await start([{ path }]);
  copyFileSync(path, `${path}.copy`);
  const { since } = await store();
  rmSync(path);
  await expect.poll(state, WAIT).toBe('DETACHED');
  expect((await store()).since > since).toBe(true);
  await daemon?.stop(true);
  renameSync(`${path}.copy`, path);
  expect((await inspect(path)).volatileLost).toBe(false);
  await start([{ path }]);
  expect((await status()).pools[0]?.store?.volatileLost).toBe(true);
});

test('a file that holds no store is told, not fatal, and not touched', async () => {
  const other = join(folder, 'b.store');
  await create(other, OTHER_UUID);
  writeFileSync(path, 'x'.repeat(32 * 1024 * 1024));
  await start([{ path }, { path: other }]);
  expect(await store()).toMatchObject({ state: 'DETACHED', reason: expect.stringContaining('holds no store') });
  expect((await store(1)).state).toBe('OPEN');
  expect(readFileSync(path, 'utf8')).toBe('x'.repeat(32 * 1024 * 1024));
});
