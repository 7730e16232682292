import { type ClientPoolStatus, clientPoolStatusSchema } from '@rmr/admin-api';
import { Metrics } from '@rmr/daemon';
import { NbdServer } from '@rmr/nbd';
import { type PoolClient, PoolClientCounters, type PoolClientStatus, type RmrClient } from '@rmr/rmr';
import { SILENT_LOGGER, SlabPool } from '@rmr/runtime';
import { createSystemWorld } from '@rmr/runtime/node';
import { expect, test } from 'vitest';
import type { ClientNodeConfig, ClientPoolConfig } from './config.ts';
import type { MappedPool } from './mapped-pools.ts';
import { registerClientMetrics } from './metrics.ts';
import { nodeHealth, poolStatus } from './status.ts';

type Leg = PoolClientStatus['legs'][number];

/** As the client says it: it begins with the member. */
const OLDER = 'member 2 (storage-2) has a store that is older than member 1 (storage-1) knows it to have been';
const DIFFERENCE = { what: 'quorum is none here, and majority in the pool', remedy: 'Write quorum: majority.' };

function leg(memberId: number, more: Partial<Leg> = {}): Leg {
  return {
    memberId,
    name: `storage-${memberId}`,
    addresses: [`tcp://10.0.0.${memberId}:4810`],
    storeUuid: null,
    state: 'NORMAL',
    reason: '',
    sinceMs: 0,
    connected: true,
    inSync: true,
    maintenance: false,
    rolledBack: null,
    diskTrouble: null,
    inFlight: 0,
    heldUp: null,
    dirtyBytes: 0,
    waitingFor: null,
    ...more,
  };
}

/** A pool that is in the given situation: served by two members unless it says otherwise. */
function pool(situation: Partial<PoolClientStatus> = {}): MappedPool {
  const status: PoolClientStatus = {
    poolUuid: '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab',
    poolName: 'demo',
    state: 'SERVING',
    stateSinceMs: 1000,
    epoch: 1,
    version: null,
    versionChangePending: false,
    policy: { quorum: 'none', highestMemberId: 2, formerLineages: [] },
    witness: null,
    owedBytes: 0,
    geometry: null,
    waitingFor: null,
    waits: [],
    lost: null,
    unreadable: null,
    withoutCleanCopy: null,
    differences: [],
    members: [],
    born: true,
    executing: 0,
    waiting: 0,
    oldestIoSinceMs: null,
    legs: [leg(1), leg(2)],
    ...situation,
  };
  const client = { state: status.state, status: () => status, counters: new PoolClientCounters(), geometry: null };
  const config = { name: 'demo', queueDepth: 16, readPolicy: 'round-robin' } as ClientPoolConfig;
  return { config, client: client as unknown as PoolClient, isStatic: true };
}

/** The pool's status, held to the contract of the admin interface. */
function statusOf(mapped: MappedPool, admin: ClientNodeConfig['admin'] = { listen: 'http://127.0.0.1:4812' }): ClientPoolStatus {
  return clientPoolStatusSchema.parse(poolStatus(mapped, admin));
}

async function metricsOf(mapped: MappedPool): Promise<string> {
  const all = new Metrics();
  const client = { sessions: () => [] } as unknown as RmrClient;
  registerClientMetrics(all, [mapped], client, new NbdServer(createSystemWorld(SILENT_LOGGER), new SlabPool(), {}), new SlabPool());
  return await all.text();
}

const WARNING = 'If it has had data, do not: the stores that have it are elsewhere.';
const unborn = {
  state: 'RECOVERING',
  born: false,
  waitingFor: {
    what: 'an operator to create pool demo: no member that answers (member 1 (storage-1)) has ever been in service',
    sinceMs: 500,
    remedy: `If this pool is new, create it: client-node create --pool demo. ${WARNING}`,
  },
} as const;

test('a pool whose members have never been in service is down, and says with which command it is created, and when not to', async () => {
  const status = statusOf(pool(unborn));
  const sentence = 'pool demo: no member that answers has ever been in service';
  expect(status).toMatchObject({
    state: 'WAITING',
    born: false,
    reason: 'no member that answers has ever been in service',
    waitingFor: {
      what: unborn.waitingFor.what,
      since: '1970-01-01T00:00:00.500Z',
      remedy: `If this pool is new, create it: "client-node create --pool demo --admin tcp://127.0.0.1:4812". ${WARNING}`,
    },
    health: { level: 'down', sentence },
  });
  expect(nodeHealth([status])).toEqual({ level: 'down', sentence });
});

test.each([undefined, 'Look for the stores.'])('another remedy than that command (%s) is left as it is', (remedy) => {
  const what = 'an operator';
  const status = statusOf(pool({ ...unborn, waitingFor: { what, sinceMs: 0, ...(remedy === undefined ? {} : { remedy }) } }));
  expect(status.waitingFor).toEqual({ what, since: '1970-01-01T00:00:00.000Z', remedy });
});

test.each([
  [{ listen: 'http://0.0.0.0:80' }, '--admin tcp://127.0.0.1:80'],
  [{ listen: 'http://[::]:80' }, "--admin 'tcp://[::1]:80'"],
  [{ listen: 'http://10.0.0.1:80', tokenFile: '/etc/rmr/token' }, '--admin tcp://10.0.0.1:80 --token-file /etc/rmr/token'],
  [{ listen: 'http://10.0.0.1:80', tokenFile: "/etc/it's here" }, "--admin tcp://10.0.0.1:80 --token-file '/etc/it'\\''s here'"],
  [{ listen: 'http://127.0.0.1:0' }, '--admin tcp://HOST:PORT'],
])('the command finds a daemon with the admin interface %j', (admin, flags) => {
  const remedy = statusOf(pool(unborn), admin).waitingFor?.remedy ?? '';
  expect(remedy).toBe(`If this pool is new, create it: "client-node create --pool demo ${flags}". ${WARNING}`);
});

test('what the node of a member that serves knows of its disk is said with the member, and the pool is degraded', async () => {
  const trouble = 'has refused writes for lack of space since 2026-01-31 09:30:00Z: its disk is full (0 B of 80 MiB free)';
  const status = statusOf(pool({ legs: [leg(1), leg(2, { diskTrouble: trouble })] }));
  expect(status.legs[1]?.diskTrouble).toBe(trouble);
  expect(status.health).toEqual({ level: 'degraded', sentence: `pool demo is served by 2 of 2 members: member 2 (storage-2) ${trouble}` });
  const behind = statusOf(pool({ legs: [leg(1), leg(2, { diskTrouble: 'waits for its disk', dirtyBytes: 4096 })] }));
  expect(behind.health.sentence).toContain('member 2 (storage-2) is in sync and has 4 KiB left to pull, and waits for its disk');
});

test('as long as it is not known whether a pool was created, it waits for what its client says', () => {
  const status = statusOf(pool({ ...unborn, born: null, waitingFor: { what: 'storage nodes', sinceMs: 500 } }));
  expect(status).toMatchObject({
    born: null,
    waitingFor: { what: 'storage nodes' },
    health: { level: 'down', sentence: 'pool demo is not served: it waits for storage nodes' },
  });
  expect(status.waitingFor).not.toHaveProperty('remedy', expect.anything());
});

test('a member whose store is not what it was is named, and the pool is degraded, also while the member is in sync', async () => {
  const mapped = pool({ legs: [leg(1), leg(2, { rolledBack: OLDER })] });
  expect(statusOf(mapped)).toMatchObject({
    legs: [{ rolledBack: null }, { rolledBack: OLDER }],
    health: {
      level: 'degraded',
      sentence: `pool demo is served by 2 of 2 members: ${OLDER}`,
    },
  });
  const text = await metricsOf(mapped);
  expect(text).toContain('rmr_leg_rolled_back{pool="demo",member="1"} 0');
  expect(text).toContain('rmr_leg_rolled_back{pool="demo",member="2"} 1');
  expect(text).toContain('rmr_pool_health{pool="demo",level="degraded"} 1');
});

test.each([
  [{ dirtyBytes: 4096 }, '(it is in sync and has 4 KiB left to pull)'],
  [{ state: 'FAILED', reason: 'refused' }, '(it is out of the in-sync set: FAILED (refused))'],
  // The reason is no other one.
  [{ state: 'FAILED', reason: OLDER }, '(it is out of the in-sync set: FAILED)'],
] as const)('what else is wrong with such a member is said too: %j', (more, clause) => {
  const { health } = statusOf(pool({ legs: [leg(1), leg(2, { rolledBack: OLDER, ...more })] }));
  expect(health.sentence).toMatch(/^pool demo is served by \d of 2 members: member 2 /);
  expect(health.sentence.endsWith(`: ${OLDER} ${clause}`)).toBe(true);
});

test.each([
  ['member 1 (storage-1)', `member 1 (storage-1); ${OLDER} (on 2026-01-31 09:30:00Z)`],
  [`a member whose store is what it was: ${OLDER}`, `a member whose store is what it was: ${OLDER}`],
])('a pool that is not served, and waits for %s, names such a member once', (what, named) => {
  const legs = [leg(1), leg(2, { rolledBack: `${OLDER} (on 2026-01-31 09:30:00Z)`, reason: OLDER, state: 'CREATED' })];
  const { health } = statusOf(pool({ state: 'RECOVERING', waitingFor: { what, sinceMs: 0 }, legs }));
  expect(health).toEqual({ level: 'down', sentence: `pool demo is not served: it waits for ${named}` });
});

test('differences of the configuration are shown and counted, and leave the health as it is', async () => {
  const mapped = pool({ differences: [DIFFERENCE] });
  expect(statusOf(mapped)).toMatchObject({ differences: [DIFFERENCE], health: { level: 'healthy' } });
  expect(await metricsOf(mapped)).toContain('rmr_pool_config_differences{pool="demo"} 1');
  expect(await metricsOf(pool())).toContain('rmr_pool_config_differences{pool="demo"} 0');
});

test('a member that has held up IO lately makes the pool degraded, also while nothing waits', async () => {
  const mapped = pool({ legs: [leg(1), leg(2, { heldUp: { ms: 8_200, withinMs: 30_000 }, dirtyBytes: 4096 })] });
  expect(statusOf(mapped)).toMatchObject({
    legs: [{ heldUp: null }, { heldUp: { seconds: 8.2, withinSeconds: 30 } }],
    health: {
      level: 'degraded',
      sentence:
        'pool demo is served by 2 of 2 members: member 2 (storage-2) is in sync and has 4 KiB left to pull, and has held up IO for 8 s within the last 30 s',
    },
  });
  const text = await metricsOf(mapped);
  expect(text).toContain('rmr_leg_held_up_seconds{pool="demo",member="1"} 0');
  expect(text).toContain('rmr_leg_held_up_seconds{pool="demo",member="2"} 8.2');
});
