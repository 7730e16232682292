import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ServerPoolStatus, storageNodeStatusSchema } from '@rmr/admin-api';
import { createStore } from '@rmr/brmr/node';
import { type Daemon, loadConfig, Metrics } from '@rmr/daemon';
import { IoRequest, type IoType, MESSAGE_PAYLOAD_BYTES_MAX, MessageType, type PoolClient, RmrClient } from '@rmr/rmr';
import { KIB, MIB, SILENT_LOGGER, SlabPool, Status } from '@rmr/runtime';
import { createSystemWorld, SocketTransport } from '@rmr/runtime/node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { storageNodeConfigSchema } from './config.ts';
import { startDaemon } from './daemon.ts';

/** Bound of waiting for a condition. */
const WAIT = { timeout: 60_000, interval: 20 };
const POOL_UUID = '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab';
const MEMBER_IDS = [1, 2];

let folder: string;
let daemons: Map<number, Daemon>;
let client: RmrClient;
let pool: PoolClient;

const address = (memberId: number): string => `unix:${join(folder, `rtrs-${memberId}.sock`)}`;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rmr-resync-'));
  daemons = new Map();
  for (const memberId of MEMBER_IDS) {
    await createStore({
      path: join(folder, `${memberId}.store`),
      storeUuid: randomUUID(),
      poolUuid: POOL_UUID,
      lineageUuid: randomUUID(),
      poolName: 'demo',
      memberId,
      sizeBytes: 8 * MIB,
      queueDepth: 16,
    });
    await start(memberId, '64MiB');
  }
  const local = { hostUuid: randomUUID(), hostName: 'client-1', bootId: randomUUID(), incarnation: randomUUID() };
  client = new RmrClient(createSystemWorld(SILENT_LOGGER), new SocketTransport(), new SlabPool(), {
    instanceUuid: local.incarnation,
    name: 'client-1',
    session: {
      local,
      queueDepth: 16,
      maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX,
      payloadChecksum: false,
      heartbeatIntervalMs: 200,
      deadAfterMs: 5_000,
    },
  });
  pool = client.open(
    {
      poolUuid: POOL_UUID,
      poolName: 'demo',
      queueDepth: 16,
      members: MEMBER_IDS.map((memberId) => ({ memberId, name: `storage-${memberId}`, addresses: [address(memberId)] })),
    },
    () => {},
  );
  expect(await new Promise((resolve) => pool.create(resolve))).toBeNull();
  expect(pool.state).toBe('SERVING');
});

afterEach(async () => {
  await new Promise<void>((resolve) => client.stop(resolve));
  for (const daemon of daemons.values()) await daemon.stop(true);
  rmSync(folder, { recursive: true });
});

async function start(memberId: number, rate: string, transport = new SocketTransport(), more: Record<string, string> = {}): Promise<void> {
  const environment = {
    RMR_NAME: `storage-${memberId}`,
    RMR_STATE_DIR: join(folder, `state-${memberId}`),
    RMR_RTRS_LISTEN: address(memberId),
    RMR_STORES: JSON.stringify([{ path: join(folder, `${memberId}.store`) }]),
    RMR_RESYNC_RATE: rate,
    RMR_RESYNC_RATE_UNDER_LOAD: rate,
    ...more,
  };
  const config = loadConfig(storageNodeConfigSchema, { environment, flags: new Map() });
  daemons.set(memberId, await startDaemon(config, { log: SILENT_LOGGER, version: '0', transport }));
}

async function stop(memberId: number): Promise<void> {
  await daemons.get(memberId)?.stop(true);
  daemons.delete(memberId);
}

function io(type: IoType, offsetBytes: number, lengthBytes: number): Promise<number> {
  return new Promise((resolve) => {
    const request = new IoRequest({ onIoDone: (_request, status) => resolve(status) });
    request.type = type;
    request.offsetBytes = offsetBytes;
    request.lengthBytes = lengthBytes;
    if (type === MessageType.WRITE) request.payload = new Uint8Array(lengthBytes).fill(7);
    pool.submit(request);
  });
}

/** Writes 3 MiB that member 2 misses, as it is stopped meanwhile, and starts it again with that resync rate; with a transport, cut off from member 1. */
async function missed(rate: string, transport?: SocketTransport): Promise<void> {
  await stop(2);
  await expect.poll(inSync, WAIT).toEqual([1]);
  for (let i = 0; i < 3; i++) expect(await io(MessageType.WRITE, i * MIB, MIB)).toBe(Status.OK);
  transport?.setRoutes(new Map([[address(1), `unix:${join(folder, 'nowhere.sock')}`]]));
  await start(2, rate, transport);
}

const inSync = (): number[] =>
  pool
    .status()
    .legs.filter((leg) => leg.state === 'NORMAL')
    .map((leg) => leg.memberId);

/** What a daemon says of its pool, held to the contract of the admin interface. */
async function status(memberId: number): Promise<ServerPoolStatus> {
  const { pools } = storageNodeStatusSchema.parse(await daemons.get(memberId)?.status());
  return pools[0] as ServerPoolStatus;
}

async function metrics(memberId: number): Promise<string> {
  const all = new Metrics();
  daemons.get(memberId)?.registerMetrics(all);
  return await all.text();
}

test('a member that is in sync and pulls what it missed is degraded, and says how much is left, how fast, until when and from whom', async () => {
  expect(await status(1)).toMatchObject({
    health: { level: 'healthy', sentence: 'member 1 of pool demo is in sync and serves IO' },
    sync: { state: 'IDLE', bytesLeft: 0, bytesPerSecond: 0, etaSeconds: null, sources: [], reason: '', pulledBytes: 0, paused: false },
    syncLegs: [{ memberId: 2, name: 'storage-2', addresses: [address(2)], inSync: true, connected: false, ready: false }],
  });
  await missed('1MiB');
  await expect.poll(async () => (await status(2)).sync.etaSeconds, WAIT).toBeGreaterThan(0);
  const busy = await status(2);
  expect(busy.state).toBe('NORMAL');
  expect(busy.sync).toMatchObject({ state: 'RUNNING', reason: '' });
  expect(busy.sync.bytesLeft).toBeGreaterThan(0);
  expect(busy.sync.bytesPerSecond).toBeGreaterThan(0);
  expect(busy.syncLegs).toMatchObject([{ memberId: 1, inSync: true, connected: true, ready: true, reason: '' }]);
  expect(busy.health.level).toBe('degraded');
  expect(busy.health.sentence).toMatch(
    /^member 2 of pool demo is in sync and pulls what it missed: [\d.]+ MiB left, [\d.]+ [KM]iB\/s, about \d+ s/,
  );
  const text = await metrics(2);
  expect(text).toContain('rmr_resync_state{pool="demo",member="2",state="RUNNING"} 1');
  expect(text).toContain('rmr_resync_state{pool="demo",member="2",state="IDLE"} 0');
  expect(text).toMatch(/rmr_resync_left_bytes\{pool="demo",member="2"\} [1-9]/);
  expect(text).toMatch(/rmr_resync_eta_seconds\{pool="demo",member="2"\} [1-9]/);
  expect(text).toContain('rmr_sync_leg_ready{pool="demo",member="2",peer="1"} 1');
  // Both ends of the sync leg's session are listed.
  const sides = [];
  for (const memberId of MEMBER_IDS) {
    const { sessions } = storageNodeStatusSchema.parse(await daemons.get(memberId)?.status());
    sides.push(sessions.filter((session) => session.peerName !== 'client-1').map((session) => [session.peerName, session.side]));
  }
  expect(sides).toEqual([expect.arrayContaining([['storage-2', 'server']]), expect.arrayContaining([['storage-1', 'client']])]);

  await expect.poll(async () => (await status(2)).health.level, WAIT).toBe('healthy');
  expect((await status(2)).sync).toMatchObject({ state: 'IDLE', bytesLeft: 0, etaSeconds: null, pulledBytes: 3 * MIB });
  expect((await status(1)).counters).toMatchObject({ syncReads: expect.any(Number), syncReadBytes: 3 * MIB });
  const idle = await metrics(2);
  expect(idle).toContain(`rmr_resync_pulled_bytes_total{pool="demo",member="2"} ${3 * MIB}`);
  expect(idle).not.toContain('rmr_resync_eta_seconds{');
}, 120_000);

test('a member that cannot reach the one to pull from says what the last attempt to connect ended with', async () => {
  const transport = new SocketTransport();
  await missed('64MiB', transport);
  await expect.poll(inSync, WAIT).toEqual([1, 2]);
  await expect.poll(async () => (await status(2)).sync.reason, WAIT).toContain('member 1 (storage-1) (no session: cannot connect');
  expect((await status(2)).syncLegs).toMatchObject([
    { inSync: true, connected: false, ready: false, reason: expect.stringContaining('cannot connect') },
  ]);
  expect((await status(2)).health.sentence).toContain('3 MiB left, stands still: ');
  transport.setRoutes(new Map());
  await expect.poll(async () => (await status(2)).health.level, WAIT).toBe('healthy');
}, 120_000);

test('every metric is described in docs/status.md', async () => {
  const names = [...(await metrics(1)).matchAll(/^# HELP (\S+)/gm)].map((match) => match[1] as string);
  const described = readFileSync(new URL('../../../docs/status.md', import.meta.url), 'utf8');
  expect(names.length).toBeGreaterThan(25);
  expect(names.filter((name) => !described.includes(`\`${name}\``))).toEqual([]);
});

test('resync that stands still names the member that alone has the data, and so do the requests that wait for it', async () => {
  await missed('128KiB');
  await expect.poll(async () => (await status(2)).sync.pulledBytes, WAIT).toBeGreaterThan(0);
  await stop(1);
  await expect.poll(inSync, WAIT).toEqual([2]);
  await expect.poll(async () => (await status(2)).sync.reason, WAIT).toContain('member 1 (storage-1) (out of the in-sync set)');
  const still = await status(2);
  expect(still.sync).toMatchObject({ bytesPerSecond: 0, etaSeconds: null, sources: [] });
  expect(still.health).toMatchObject({ level: 'degraded', sentence: expect.stringContaining('stands still: ') });
  expect(still.syncLegs).toMatchObject([{ memberId: 1, inSync: false, reason: 'it is out of the in-sync set' }]);
  expect(await metrics(2)).toContain('rmr_resync_stalled{pool="demo",member="2"} 1');

  // The last chunk of what was missed is the last to be pulled.
  const read = io(MessageType.READ, 3 * MIB - 128 * KIB, 4 * KIB);
  await expect
    .poll(async () => (await status(2)).waits, WAIT)
    .toMatchObject([
      {
        ...{ kind: 'CHUNK', what: expect.stringContaining('member 1 (storage-1)'), requests: 1 },
        remedy: expect.stringContaining('Bring storage-1 back'),
      },
    ]);
  expect(await metrics(2)).toContain('rmr_store_waiting_requests{pool="demo",member="2"} 1');

  await start(1, '64MiB');
  expect(await read).toBe(Status.OK);
  expect((await status(2)).waits).toEqual([]);
  expect((await status(2)).counters.chunkWaits).toBeGreaterThan(0);
}, 120_000);

test('a node with the only copy of data says so in status, readiness and metrics, and its stop waits until another member has pulled it', async () => {
  await stop(1);
  await expect.poll(inSync, WAIT).toEqual([2]);
  await start(1, '64MiB', new SocketTransport(), { RMR_LAST_COPY_WAIT: '10m' });
  await expect.poll(inSync, WAIT).toEqual([1, 2]);
  expect(await status(1)).toMatchObject({ onlyCopyBytes: 0, health: { level: 'healthy' } });
  expect(daemons.get(1)?.notice?.()).toBeNull();

  await missed('1MiB');
  await expect.poll(inSync, WAIT).toEqual([1, 2]);
  const { onlyCopyBytes, health } = await status(1);
  expect(onlyCopyBytes).toBeGreaterThan(0);
  expect(health).toMatchObject({
    level: 'degraded',
    sentence: expect.stringMatching(/is in sync and serves IO; it holds the only copy of [\d.]+ [KM]iB of pool demo$/),
  });
  expect(daemons.get(1)?.notice?.()).toMatch(/^this node holds the only copy of [\d.]+ [KM]iB of pool demo: do not stop it/);
  expect(await metrics(1)).toMatch(/rmr_store_only_copy_bytes\{pool="demo",member="1"\} [1-9]/);
  expect(await status(2)).toMatchObject({ onlyCopyBytes: 0 });

  const stopped = stop(1);
  expect(daemons.get(1)?.notReady()).toMatch(/^it is stopping, and waits because it holds the only copy of [\d.]+ [KM]iB of pool demo$/);
  await stopped;
  // It has served on, and what member 2 lacked has arrived there.
  expect((await status(2)).sync).toMatchObject({ bytesLeft: 0, pulledBytes: 3 * MIB });
}, 120_000);
