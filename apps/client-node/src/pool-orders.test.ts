import type { ForcePlan, OperationDone, PoolClient } from '@rmr/rmr';
import { type LogFields, type Logger, OperationError, SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, expect, test } from 'vitest';
import { ConfigDifferences } from './config-differences.ts';
import type { MappedPool } from './mapped-pools.ts';
import { poolOrders } from './pool-orders.ts';

const UUID = '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab';
const PLAN: ForcePlan = {
  refusal: null,
  members: [{ memberId: 1, name: 'storage-1', version: '3.2{1,2}', atMs: 0, missingBytes: 4096, note: '' }],
  leftBehind: [{ memberId: 2, name: 'storage-2', version: null, atMs: null, missingBytes: null, note: "can't be reached" }],
  sentence: 'Something is lost.',
};

/** What the pool's client was called with. */
let calls: unknown[][];
/** What its operations end with. */
let ends: OperationError | null;
let logged: [string, string, LogFields | undefined][];
let differences: { what: string; remedy: string }[];
let legs: { memberId: number; rolledBack: string | null }[];

beforeEach(() => {
  calls = [];
  ends = null;
  logged = [];
  differences = [];
  legs = [];
});

const log: Logger = {
  ...SILENT_LOGGER,
  info: (event, fields) => logged.push(['info', event, fields]),
  warn: (event, fields) => logged.push(['warn', event, fields]),
};

/** A pool with a client that only records the orders that it gets. */
function pools(): MappedPool[] {
  const operation =
    (name: string) =>
    (...args: unknown[]): void => {
      calls.push([name, ...args.slice(0, -1)]);
      (args.at(-1) as OperationDone)(ends);
    };
  const client = {
    create: operation('create'),
    forcePlan: () => PLAN,
    force: operation('force'),
    membership: { copyAnew: operation('copyAnew'), replaceStore: operation('replaceStore') },
    status: () => ({ differences, legs }),
  };
  return [{ config: { name: 'demo', uuid: UUID } as MappedPool['config'], client: client as unknown as PoolClient, isStatic: true }];
}

test('each order reaches the client of the pool, by name or UUID', async () => {
  const orders = poolOrders(pools(), log);
  await orders.create('demo');
  await orders.force(UUID, [2]);
  await orders.copyAnew(UUID.toUpperCase(), 2, false);
  await orders.copyAnew('demo', 3, true);
  await orders.replaceStore(UUID, 2, false);
  await orders.replaceStore('demo', 3, true);
  expect(calls).toEqual([
    ['create'],
    ['force', [2]],
    ['copyAnew', 2, 'KEEP'],
    ['copyAnew', 3, 'GIVE_UP'],
    ['replaceStore', 2, 'KEEP'],
    ['replaceStore', 3, 'GIVE_UP'],
  ]);
});

test('a plan is told with times that programs read', async () => {
  expect(await poolOrders(pools(), log).forcePlan('demo')).toEqual({
    ...PLAN,
    members: [{ memberId: 1, name: 'storage-1', version: '3.2{1,2}', at: '1970-01-01T00:00:00.000Z', missingBytes: 4096, note: '' }],
    leftBehind: [{ memberId: 2, name: 'storage-2', version: null, at: null, missingBytes: null, note: "can't be reached" }],
  });
});

test('a member whose store went back in time does not know what it has missed', async () => {
  legs = [
    { memberId: 1, rolledBack: 'member 1 (storage-1) has a store that is older than member 2 (storage-2) knows it to have been' },
    { memberId: 2, rolledBack: null },
  ];
  expect(await poolOrders(pools(), log).forcePlan('demo')).toMatchObject({ members: [{ memberId: 1, missingBytes: null }] });
  legs = [{ memberId: 1, rolledBack: null }];
  expect(await poolOrders(pools(), log).forcePlan('demo')).toMatchObject({ members: [{ memberId: 1, missingBytes: 4096 }] });
});

test('a pool that is not mapped is NOT_FOUND, with those that are', async () => {
  const orders = poolOrders(pools(), log);
  const unknown = { code: 'NOT_FOUND', message: 'pool other is not mapped here; this node maps: demo' };
  await expect(orders.create('other')).rejects.toMatchObject(unknown);
  await expect(orders.force('other', [])).rejects.toMatchObject(unknown);
  expect(() => orders.forcePlan('other')).toThrow(unknown.message);
  expect(calls).toEqual([]);
});

test('orders and their ends are logged, refusals with their reason', async () => {
  await poolOrders(pools(), log).force('demo', [2, 3]);
  ends = new OperationError('CONFLICT', 'pool demo exists already');
  await expect(poolOrders(pools(), log).create('demo')).rejects.toBe(ends);
  const forced = { pool: 'demo', order: 'force, leaving behind member 2, 3' };
  expect(logged).toEqual([
    ['info', 'an operator gives an order', forced],
    ['info', 'the order is carried out', forced],
    ['info', 'an operator gives an order', { pool: 'demo', order: 'create' }],
    ['warn', 'the order is not carried out', { pool: 'demo', order: 'create', code: 'CONFLICT', why: 'pool demo exists already' }],
  ]);
});

test('the log tells which store is replaced, and that last copies are given up', async () => {
  await poolOrders(pools(), log).replaceStore('demo', 2, true);
  expect(logged.map(([, event, fields]) => [event, fields?.['order']])).toEqual([
    ['an operator gives an order', 'replace the store of member 2, giving up last copies'],
    ['the order is carried out', 'replace the store of member 2, giving up last copies'],
  ]);
});

test('a difference of the configuration is a warning once, and again when it is another one', () => {
  const watch = new ConfigDifferences(log, pools());
  const warned = (): unknown[] => logged.splice(0).map(([level, , fields]) => [level, fields?.['what']]);
  let nowMs = 0;
  const look = (): unknown[] => {
    nowMs += 1000;
    watch.tick(nowMs);
    return warned();
  };
  expect(look()).toEqual([]);
  differences = [{ what: 'quorum is none here, majority there', remedy: 'Correct it.' }];
  expect(look()).toEqual([['warn', 'quorum is none here, majority there']]);
  expect(look()).toEqual([]);
  // Not known while the pool is assembled anew.
  const before = differences;
  differences = [];
  expect(look()).toEqual([]);
  differences = [...before, { what: 'member 2 has another address', remedy: 'Correct it.' }];
  expect(look()).toEqual([['warn', 'member 2 has another address']]);
  differences = [{ what: 'quorum is majority here, none there', remedy: 'Correct it.' }];
  expect(look()).toEqual([['warn', 'quorum is majority here, none there']]);
  differences = before;
  expect(look()).toEqual([['warn', 'quorum is none here, majority there']]);
});

test('differences are looked for once a second', () => {
  const watch = new ConfigDifferences(log, pools());
  watch.tick(1000);
  differences = [{ what: 'another size', remedy: '' }];
  watch.tick(1950);
  expect(logged).toEqual([]);
  watch.tick(2000);
  expect(logged).toHaveLength(1);
});
