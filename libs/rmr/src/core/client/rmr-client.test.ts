import { randomUuid, SlabPool } from '@rmr/runtime';
import { MemoryNetwork, VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { ORDERLY_STOP_MS_MAX, SESSION_IDLE_MS } from '../../constants.ts';
import { MESSAGE_PAYLOAD_BYTES_MAX } from '../../wire/unresolved-writes.ts';
import type { PoolClient } from './pool-client.ts';
import { RmrClient } from './rmr-client.ts';

let world: VirtualWorld;
let client: RmrClient;

beforeEach(() => {
  world = new VirtualWorld(1);
  const identity = () => randomUuid(world.random);
  client = new RmrClient(world, new MemoryNetwork(world).host('client-1'), new SlabPool(), {
    instanceUuid: identity(),
    name: 'client-1',
    session: {
      local: { hostUuid: identity(), hostName: 'client-1', bootId: identity(), incarnation: identity() },
      queueDepth: 32,
      maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX,
      payloadChecksum: false,
      heartbeatIntervalMs: 1000,
      deadAfterMs: 5000,
    },
  });
});

function open(name: string, address: string): PoolClient {
  const members = [{ memberId: 1, name: 'storage-1', addresses: [address] }];
  return client.open({ poolUuid: randomUuid(world.random), poolName: name, members }, () => {});
}

describe('pools that come and go', () => {
  test('a pool that is closed is forgotten; the other pools stay, and so does a session that they use', () => {
    const [a, b] = [open('a', 'memory:shared'), open('b', 'memory:shared')];
    open('c', 'memory:other');
    let closed = 0;
    client.close(a, () => closed++);
    world.run(ORDERLY_STOP_MS_MAX + 1000);
    expect([closed, client.pools().map(({ options }) => options.poolName)]).toEqual([1, ['b', 'c']]);
    client.close(b, () => closed++);
    world.run(ORDERLY_STOP_MS_MAX + SESSION_IDLE_MS + 1000);
    expect([closed, client.sessions().map(({ addresses }) => addresses)]).toEqual([2, [['memory:other']]]);
    client.verify();
  });

  test('a pool that is closed twice, and while the client stops, is stopped once, and each is told', () => {
    const a = open('a', 'memory:a');
    open('b', 'memory:b');
    const told: string[] = [];
    client.close(a, () => told.push('first'));
    client.close(a, () => told.push('second'));
    client.stop(() => told.push('stopped'));
    world.run(ORDERLY_STOP_MS_MAX + 1000);
    expect(told).toEqual(['first', 'second', 'stopped']);
    expect([client.pools(), client.sessions()]).toEqual([[], []]);
  });
});
