import type { PoolClient, PoolClientStatus } from '@rmr/rmr';
import { beforeEach, expect, test } from 'vitest';
import type { ClientPoolConfig } from './config.ts';
import type { MappedPool } from './mapped-pools.ts';
import { PoolEvents } from './pool-events.ts';

const UUID = '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab';
type Member = PoolClientStatus['members'][number];

let told: string[];
let status: { state: string; members: Partial<Member>[]; legs: { memberId: number; state: string }[] };
let pools: MappedPool[];
let events: PoolEvents;
let nowMs: number;

beforeEach(() => {
  told = [];
  nowMs = 0;
  status = { state: 'RECOVERING', members: [], legs: [{ memberId: 1, state: 'CREATED' }] };
  const client = {
    status: () => ({
      poolName: 'demo',
      waitingFor: null,
      ...status,
      legs: status.legs.map((leg) => ({ name: 'storage-1', reason: 'why', ...leg })),
    }),
  };
  pools = [{ config: { uuid: UUID } as ClientPoolConfig, client: client as unknown as PoolClient, isStatic: false }];
  events = new PoolEvents(pools, {
    record: (kind, _target, fields) => told.push(`${kind} ${JSON.stringify(fields)}`),
  });
});

/** The kinds of the events of one look. */
function look(): string[] {
  told = [];
  nowMs += 1_000;
  events.tick(nowMs);
  return told.map((line) => line.split(' ')[0] as string);
}

const member = (memberId: number, storeUuid = `store-${memberId}`): Partial<Member> => ({
  memberId,
  name: `storage-${memberId}`,
  storeUuid,
});

test('what changes is told once: states of the pool and its legs, members that join, leave, get another store or go into maintenance', () => {
  expect(look()).toEqual(['pool-state', 'leg-state']);
  expect(look()).toEqual([]);
  status = { state: 'SERVING', members: [member(1), member(2)], legs: [{ memberId: 1, state: 'NORMAL' }] };
  expect(look()).toEqual(['pool-state', 'leg-state']);
  status.members = [{ ...member(1), maintenance: true }, member(2, 'new'), member(3)];
  expect(look()).toEqual(['member-maintenance', 'member-store-replaced', 'member-joined']);
  status.members = [member(1), member(3)];
  expect(look()).toEqual(['member-maintenance', 'member-removed']);
  expect(look()).toEqual([]);
});

test('a table that is not known for a while removes nobody, and a pool that is mapped again begins anew', () => {
  status.members = [member(1)];
  look();
  status.members = [];
  expect(look()).toEqual([]);
  status.members = [member(1), member(2)];
  expect(look()).toEqual([]);
  const [pool] = pools.splice(0);
  expect(look()).toEqual([]);
  pools.push(pool as MappedPool);
  expect(look()).toEqual(['pool-state', 'leg-state']);
});
