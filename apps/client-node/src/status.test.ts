import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClientPoolStatus, clientPoolStatusSchema } from '@rmr/admin-api';
import { loadConfig, Metrics, registerProcessMetrics } from '@rmr/daemon';
import { NbdServer } from '@rmr/nbd';
import { IoRequest, type IoType, MessageType, type PoolClient, type ResyncOptions, RmrClient } from '@rmr/rmr';
import { KIB, MIB, SILENT_LOGGER, SlabPool, Status } from '@rmr/runtime';
import { createSystemWorld, SocketTransport } from '@rmr/runtime/node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ClientPoolConfig, clientNodeConfigSchema } from './config.ts';
import { registerClientMetrics } from './metrics.ts';
import { poolStatus } from './status.ts';
import { TEST_QUEUE_DEPTH, TestingStorageNode, testSession } from './testing-storage-node.ts';

/** Bound of waiting for a condition. */
const WAIT = { timeout: 60_000, interval: 20 };
const POOL_UUID = '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab';
const MEMBER_IDS = [1, 2];

let folder: string;
let nodes: Map<number, TestingStorageNode>;
let client: RmrClient;
let pool: PoolClient;
let config: ClientPoolConfig;

const members = () => MEMBER_IDS.map((memberId) => ({ memberId, name: `storage-${memberId}`, addresses: [address(memberId)] }));
const address = (memberId: number): string => `unix:${join(folder, `${memberId}.sock`)}`;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rmr-status-'));
  nodes = new Map();
  for (const memberId of MEMBER_IDS) await TestingStorageNode.format(join(folder, `${memberId}.store`), POOL_UUID, memberId, 8 * MIB);
  open();
  const environment = {
    RMR_NAME: 'client-1',
    RMR_STATE_DIR: folder,
    RMR_POOLS: JSON.stringify([{ name: 'demo', uuid: POOL_UUID, members: members(), queueDepth: TEST_QUEUE_DEPTH }]),
  };
  config = loadConfig(clientNodeConfigSchema, { environment, flags: new Map() }).pools[0] as ClientPoolConfig;
});

afterEach(async () => {
  await stopClient();
  for (const node of nodes.values()) await node.stop();
  rmSync(folder, { recursive: true });
});

/** A compute client of its own, and the pool on it. */
function open(): void {
  const session = testSession('client-1');
  client = new RmrClient(createSystemWorld(SILENT_LOGGER), new SocketTransport(), new SlabPool(), {
    instanceUuid: session.local.incarnation,
    name: 'client-1',
    session,
  });
  pool = client.open({ poolUuid: POOL_UUID, poolName: 'demo', queueDepth: TEST_QUEUE_DEPTH, members: members() }, () => {});
}

function stopClient(): Promise<void> {
  return new Promise((resolve) => client.stop(resolve));
}

async function start(memberId: number, resync: ResyncOptions = {}): Promise<void> {
  const path = join(folder, `${memberId}.store`);
  nodes.set(memberId, await TestingStorageNode.start(`storage-${memberId}`, address(memberId), path, resync));
}

async function stop(memberId: number): Promise<void> {
  await nodes.get(memberId)?.stop();
  nodes.delete(memberId);
}

/** Orders the pool to be created (C0). The promise ends when that is done. */
function create(): Promise<unknown> {
  return new Promise((resolve) => pool.create(resolve));
}

async function serve(): Promise<void> {
  for (const memberId of MEMBER_IDS) await start(memberId);
  expect(await create()).toBeNull();
  await expect.poll(() => status().health.level, WAIT).toBe('healthy');
}

function io(type: IoType, offsetBytes = 0, lengthBytes = 0): Promise<number> {
  return new Promise((resolve) => {
    const request = new IoRequest({ onIoDone: (_request, ended) => resolve(ended) });
    request.type = type;
    request.offsetBytes = offsetBytes;
    request.lengthBytes = lengthBytes;
    if (type === MessageType.WRITE) request.payload = new Uint8Array(lengthBytes).fill(7);
    pool.submit(request);
  });
}

/** The pool's status, held to the contract of the admin interface. */
function status(): ClientPoolStatus {
  return clientPoolStatusSchema.parse(poolStatus({ config, client: pool, isStatic: true }, { listen: 'http://127.0.0.1:4812' }));
}

const leg = (memberId: number) => status().legs.find((each) => each.memberId === memberId);

async function metrics(): Promise<string> {
  const all = new Metrics();
  const world = createSystemWorld(SILENT_LOGGER);
  registerClientMetrics(all, [{ config, client: pool, isStatic: true }], client, new NbdServer(world, new SlabPool(), {}), new SlabPool());
  return await all.text();
}

test('a pool that is not served says which member it waits for and since when, and each leg names the address that it has no session to', async () => {
  await start(1);
  const created = create();
  await expect.poll(() => status().waitingFor?.what, WAIT).toContain('member 2 (storage-2)');
  expect(status()).toMatchObject({
    state: 'WAITING',
    version: null,
    waits: [],
    health: { level: 'down', sentence: expect.stringContaining('pool demo is not served: it waits for member 2 (storage-2)') },
  });
  expect(leg(2)).toMatchObject({
    connected: false,
    inSync: false,
    dirtyBytes: null,
    waitingFor: { what: expect.stringContaining(address(2)), remedy: expect.stringMatching(/^Start storage-2 or its host, /) },
  });
  expect(status().waitingFor?.remedy).toMatch(/^Start storage-2 or its host, /);
  expect(leg(1)?.waitingFor).toEqual(status().waitingFor);
  const text = await metrics();
  expect(text).toContain('rmr_pool_health{pool="demo",level="down"} 1');
  expect(text).toContain('rmr_leg_connected{pool="demo",member="2"} 0');
  expect(text).not.toContain('rmr_leg_dirty_bytes{');
  const read = io(MessageType.READ, 0, 4 * KIB);
  await expect.poll(() => status().oldestIoSince, WAIT).not.toBeNull();
  await start(2);
  expect(await created).toBeNull();
  expect(await read).toBe(Status.OK);
}, 120_000);

test('C0: a pool whose members have never been in service waits for the order to create it, and is down until then', async () => {
  for (const memberId of MEMBER_IDS) await start(memberId);
  await expect.poll(() => status().waitingFor?.what, WAIT).toContain('an operator to create pool demo');
  expect(status()).toMatchObject({ state: 'WAITING', version: null, health: { level: 'down' } });
  expect(status().waitingFor?.remedy).toContain('client-node create --pool demo');
}, 120_000);

test('a served pool names its version, its in-sync set and its legs', async () => {
  await serve();
  expect(status()).toMatchObject({
    state: 'SERVING',
    reason: 'served',
    version: { epoch: 1, inSync: [1, 2] },
    quorum: 'none',
    witness: null,
    versionChangePending: false,
    waits: [],
    lost: null,
    unreadable: null,
    withoutCleanCopy: null,
    owedBytes: 0,
    oldestIoSince: null,
    waitingFor: null,
    counters: { readRetries: 0, overlapHolds: 0, bounces: 0 },
    health: { sentence: 'pool demo is served by all 2 members, and all of them are in sync' },
  });
  expect(leg(2)).toMatchObject({
    addresses: [address(2)],
    state: 'NORMAL',
    connected: true,
    inSync: true,
    maintenance: false,
    dirtyBytes: 0,
    waitingFor: null,
  });
  const text = await metrics();
  expect(text).toContain('rmr_pool_in_sync_members{pool="demo"} 2');
  expect(text).toContain('rmr_pool_version_epoch{pool="demo"} 1');
  expect(text).toContain('rmr_leg_state{pool="demo",member="2",state="NORMAL"} 1');
}, 120_000);

test('every metric is described in docs/status.md', async () => {
  const all = new Metrics();
  registerProcessMetrics(all, { name: 'client-1', role: 'client-node', version: '0' });
  const names = [...`${await all.text()}${await metrics()}`.matchAll(/^# HELP (\S+)/gm)].map((match) => match[1] as string);
  const described = readFileSync(new URL('../../../docs/status.md', import.meta.url), 'utf8');
  expect(names.length).toBeGreaterThan(30);
  expect(names.filter((name) => !described.includes(`\`${name}\``))).toEqual([]);
});

test('a member that is out is named with the bytes that it has missed; back in the set, with those that it has yet to pull', async () => {
  await serve();
  await stop(2);
  await expect.poll(() => leg(2)?.state, WAIT).toBe('FAILED');
  for (let i = 0; i < 3; i++) expect(await io(MessageType.WRITE, i * MIB, MIB)).toBe(Status.OK);
  expect(leg(2)).toMatchObject({ connected: false, inSync: false, dirtyBytes: 3 * MIB });
  expect(leg(2)?.waitingFor?.what).toContain(address(2));
  expect(status().version?.inSync).toEqual([1]);
  const { health } = status();
  expect(health.level).toBe('degraded');
  expect(health.sentence).toMatch(
    /^pool demo is served by 1 of 2 members: member 2 \(storage-2\) is out of the in-sync set: FAILED \(.+\), has missed 3 MiB, and waits for a session to unix:/,
  );
  expect(await metrics()).toContain(`rmr_leg_dirty_bytes{pool="demo",member="2"} ${3 * MIB}`);

  await start(2, { rateBytes: 128 * KIB, loadedRateBytes: 128 * KIB });
  await expect.poll(() => leg(2)?.state, WAIT).toBe('NORMAL');
  expect(leg(2)).toMatchObject({ inSync: true, waitingFor: null });
  expect(status().health).toMatchObject({
    level: 'degraded',
    sentence: expect.stringMatching(/served by 2 of 2 members: member 2 \(storage-2\) is in sync and has [\d.]+ MiB left to pull$/),
  });
  (nodes.get(2) as TestingStorageNode).resync = { rateBytes: null, loadedRateBytes: null };
  await expect.poll(() => status().health.level, WAIT).toBe('healthy');
  expect(leg(2)?.dirtyBytes).toBe(0);
}, 120_000);

test('chunks whose only clean copy is away are told with the member that has it, and so is all that waits for them', async () => {
  await serve();
  await stop(2);
  await expect.poll(() => leg(2)?.state, WAIT).toBe('FAILED');
  for (let i = 0; i < 3; i++) expect(await io(MessageType.WRITE, i * MIB, MIB)).toBe(Status.OK);
  await start(2);
  (nodes.get(2) as TestingStorageNode).resyncPaused = true;
  await expect.poll(() => leg(2)?.state, WAIT).toBe('NORMAL');
  await stop(1);
  await expect.poll(() => leg(1)?.state, WAIT).toBe('FAILED');
  await expect.poll(() => status().versionChangePending, WAIT).toBe(false);
  const { withoutCleanCopy, health } = status();
  expect(withoutCleanCopy?.holders).toBe('member 1 (storage-1, FAILED)');
  expect(health.level).toBe('degraded');
  expect(health.sentence).toContain('are clean on member 1 (storage-1, FAILED) alone: IO on them waits');

  const ios = [
    io(MessageType.READ, 3 * MIB - 128 * KIB, 4 * KIB),
    io(MessageType.WRITE, 3 * MIB - 64 * KIB, 4 * KIB),
    io(MessageType.FLUSH),
  ];
  await expect
    .poll(() => status().waits, WAIT)
    .toMatchObject([
      { kind: 'CHUNK', what: expect.stringContaining('member 1 (storage-1'), requests: 2, remedy: expect.stringContaining('storage-1') },
      { kind: 'FLUSH', what: expect.stringContaining('member 1 (storage-1'), requests: 1, remedy: expect.stringContaining('storage-1') },
    ]);
  expect(status().waitingFor?.what).toBe(status().waits[0]?.what);
  const text = await metrics();
  expect(text).toContain('rmr_pool_waiting_requests{pool="demo",kind="CHUNK"} 2');
  expect(text).toContain('rmr_pool_waiting_requests{pool="demo",kind="VERSION"} 0');
  expect(text).toContain('rmr_pool_without_clean_copy{pool="demo"} 1');
  expect(text).toMatch(/rmr_pool_oldest_io_seconds\{pool="demo"\} [\d.]+/);

  await start(1);
  (nodes.get(2) as TestingStorageNode).resyncPaused = false;
  expect(await Promise.all(ios)).toEqual([Status.OK, Status.OK, Status.OK]);
  await expect.poll(() => status().health.level, WAIT).toBe('healthy');
}, 120_000);

test('what a forced start has lost is told: how much, and where; reads of it fail, and a write of it heals it (I8)', async () => {
  await serve();
  await stop(2);
  await expect.poll(() => leg(2)?.state, WAIT).toBe('FAILED');
  for (let i = 0; i < 3; i++) expect(await io(MessageType.WRITE, (1 + i) * MIB, MIB)).toBe(Status.OK);
  await start(2);
  (nodes.get(2) as TestingStorageNode).resyncPaused = true;
  await expect.poll(() => leg(2)?.state, WAIT).toBe('NORMAL');
  expect(status().lost).toBeNull();
  await stopClient();
  await stop(1);
  open();
  await expect.poll(() => status().waitingFor?.what, WAIT).toContain('member 1 (storage-1)');
  expect(status().lost).toBeNull();

  pool.force();
  await expect.poll(() => status().state, WAIT).toBe('SERVING');
  expect(status()).toMatchObject({
    lost: { bytes: 3 * MIB, ranges: [{ offsetBytes: MIB, lengthBytes: 3 * MIB }] },
    withoutCleanCopy: null,
    health: {
      level: 'degraded',
      sentence: expect.stringContaining(
        `3 MiB are LOST, the first at byte ${MIB}: no member has them, and reads fail with EIO until their chunks are written whole`,
      ),
    },
  });
  expect(await metrics()).toContain(`rmr_pool_lost_bytes{pool="demo"} ${3 * MIB}`);
  expect([await io(MessageType.READ, 2 * MIB, 4 * KIB), await io(MessageType.READ, 0, 4 * KIB)]).toEqual([Status.EIO, Status.OK]);
  expect(await io(MessageType.FLUSH)).toBe(Status.OK);

  expect(await io(MessageType.WRITE, 2 * MIB, MIB)).toBe(Status.OK);
  expect(status().lost).toEqual({
    bytes: 2 * MIB,
    ranges: [1, 3].map((at) => ({ offsetBytes: at * MIB, lengthBytes: MIB })),
  });
  for (const at of [1, 3]) expect(await io(MessageType.WRITE, at * MIB, MIB)).toBe(Status.OK);
  expect(status().lost).toBeNull();
  expect(await io(MessageType.READ, MIB, MIB)).toBe(Status.OK);
}, 120_000);
