import {
  type CreateOrder,
  createOrder,
  doomedStores,
  type OperationInputs,
  type StorePlace,
  sendCommand,
  type VolumeOperation,
} from '@rmr/brmr';
import { isUnfinished, type Operation } from '@rmr/operations';
import { OperationError, Status } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { OperatedCluster } from './operated-cluster.ts';

const SIZE = 256 * 1024;
/** A generous bound for what takes seconds. */
const LONG_MS = 300_000;

let cluster: OperatedCluster;
beforeEach(() => {
  cluster = new OperatedCluster(1, 3);
});

const place = (node: number, disk = 'ssd'): StorePlace => {
  const { name, addresses } = cluster.node(node);
  return { node: name, addresses, disk };
};

function order(name: string, nodes: readonly number[]): CreateOrder {
  const wanted = { name, sizeBytes: SIZE, chunkSizeBytes: 16_384, queueDepth: 16, quorum: 'none' as const, exportName: null };
  return createOrder(
    cluster.client.volumeHost(),
    wanted,
    nodes.map((node) => place(node)),
    null,
  );
}

function submit<Kind extends VolumeOperation>(kind: Kind, poolUuid: string, input: OperationInputs[Kind], client = cluster.client): string {
  let operation: Operation | OperationError | null = null;
  client.runner.submit({ kind, target: poolUuid, targetName: 'v', requestedBy: 'a test', requestId: null, input }, (result) => {
    operation = result;
  });
  cluster.world.runUntil(() => operation !== null, LONG_MS, 'the order to be taken');
  if (operation === null || (operation as object) instanceof OperationError) throw new Error(String(operation));
  return (operation as Operation).id;
}

/** The operation once it has ended. */
function ended(id: string, client = cluster.client): Operation {
  const find = (): Operation | null => (client.running ? client.runner.get(id) : null);
  cluster.world.runUntil(() => find() !== null && !isUnfinished((find() as Operation).state), LONG_MS, 'the operation to end');
  client.runner.verify();
  return find() as Operation;
}

function create(nodes: readonly number[]): string {
  const input = order('v', nodes);
  expect(ended(submit('volume-create', input.poolUuid, input))).toMatchObject({ state: 'SUCCEEDED', error: null });
  return input.poolUuid;
}

/** The nodes whose stores hold the value at the start of the volume. */
const holders = (poolUuid: string, value: number): number[] =>
  [1, 2, 3].filter(
    (node) =>
      cluster
        .node(node)
        .dataOf(poolUuid)
        ?.subarray(0, 4096)
        .every((byte) => byte === value) === true,
  );

const legs = (poolUuid: string) =>
  cluster.client
    .pool(poolUuid)
    ?.status()
    .legs.map(({ memberId, name, state, dirtyBytes }) => ({ memberId, name, state, dirtyBytes }));

describe('operations on volumes, on production cores', () => {
  test('a volume is created, written to, and deleted with all of its stores', () => {
    const uuid = create([1, 2]);
    expect(cluster.write(uuid, 7)).toBe(Status.OK);
    expect(holders(uuid, 7)).toEqual([1, 2]);
    const stores = doomedStores(cluster.client.volumeHost(), uuid);
    const input = { poolUuid: uuid, name: 'v', evenIfConnected: false, stores };
    cluster.client.connections.set(uuid, 1);
    expect(ended(submit('volume-delete', uuid, input))).toMatchObject({ state: 'FAILED', error: { code: 'CONFLICT' } });
    expect(cluster.client.pool(uuid)?.state).toBe('SERVING');
    cluster.client.connections.clear();
    expect(ended(submit('volume-delete', uuid, input))).toMatchObject({ state: 'SUCCEEDED' });
    expect(cluster.nodes.map(({ stores: left, remembered }) => [left.size, remembered.size])).toEqual([
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
    expect([cluster.client.pool(uuid), cluster.client.mappings.size]).toEqual([null, 0]);
  });

  test('what can not be made leaves nothing behind, and says why', () => {
    cluster.node(2).diskProblems.set('ssd', 'its file system is full');
    const input = order('v', [1, 2]);
    expect(ended(submit('volume-create', input.poolUuid, input))).toMatchObject({
      state: 'FAILED',
      error: { code: 'CONFLICT', sentence: "the disk ssd of storage-2 can't be used: its file system is full" },
    });
    const wrong = { ...order('v', [1, 2]), stores: order('v', [1, 2]).stores.map((store) => ({ ...store, disk: 'tape' })) };
    expect(ended(submit('volume-create', wrong.poolUuid, wrong)).error?.sentence).toBe('storage-1 has no disk tape; it has: ssd, hdd');
    const twice = { ...order('v', [1, 1]) };
    expect(ended(submit('volume-create', twice.poolUuid, twice)).error?.sentence).toMatch(/are the same storage node/);
    expect(cluster.nodes.map(({ stores, remembered }) => stores.size + remembered.size)).toEqual([0, 0, 0]);
    expect(cluster.client.mappings.size).toBe(0);
  });

  test('a node that is away while a volume is created is waited for, and named', () => {
    const input = order('v', [1, 2]);
    const id = submit('volume-create', input.poolUuid, input);
    cluster.world.runUntil(() => (cluster.client.runner.get(id)?.step ?? 0) === 1, LONG_MS, 'the stores to be begun');
    cluster.node(2).crash();
    cluster.world.run(10_000);
    expect(cluster.client.runner.get(id)).toMatchObject({ state: 'WAITING', waitingFor: { what: expect.stringMatching(/^storage-2 /) } });
    cluster.node(2).start();
    expect(ended(id).state).toBe('SUCCEEDED');
  });

  test('a member is added, moved to another node, put into maintenance and back, and removed', () => {
    const uuid = create([1, 2]);
    expect(cluster.write(uuid, 1)).toBe(Status.OK);
    const joined = (memberId: number, node: number) => ({
      poolUuid: uuid,
      poolName: 'v',
      store: { ...place(node), memberId, storeUuid: cluster.client.volumeHost().newUuid() },
    });
    expect(ended(submit('member-add', uuid, joined(3, 3)))).toMatchObject({ state: 'SUCCEEDED' });
    expect([holders(uuid, 1), legs(uuid)?.map(({ state }) => state)]).toEqual([
      [1, 2, 3],
      ['NORMAL', 'NORMAL', 'NORMAL'],
    ]);

    expect(ended(submit('maintenance-on', uuid, { poolUuid: uuid, memberId: 2 }))).toMatchObject({ state: 'SUCCEEDED' });
    expect(cluster.write(uuid, 2)).toBe(Status.OK);
    expect(holders(uuid, 2)).toEqual([1, 3]);
    expect(ended(submit('maintenance-off', uuid, { poolUuid: uuid, memberId: 2 }))).toMatchObject({ state: 'SUCCEEDED' });
    expect(holders(uuid, 2)).toEqual([1, 2, 3]);

    const former = doomedStores(cluster.client.volumeHost(), uuid).find(({ node }) => node === 'storage-1');
    const removal = { poolUuid: uuid, memberId: 1, giveUp: false, store: former as NonNullable<typeof former> };
    expect(ended(submit('member-remove', uuid, removal))).toMatchObject({ state: 'SUCCEEDED' });
    expect([holders(uuid, 2), cluster.node(1).stores.size]).toEqual([[2, 3], 0]);

    const moved = { ...joined(4, 1), formerId: 2, giveUp: false };
    const from = doomedStores(cluster.client.volumeHost(), uuid).find(({ node }) => node === 'storage-2');
    expect(ended(submit('member-move', uuid, { ...moved, former: from as NonNullable<typeof from> }))).toMatchObject({
      state: 'SUCCEEDED',
    });
    expect([holders(uuid, 2), cluster.node(2).stores.size]).toEqual([[1, 3], 0]);
  });

  test('the store of a member is replaced by one on another disk of the same node', () => {
    const uuid = create([1, 2]);
    expect(cluster.write(uuid, 5)).toBe(Status.OK);
    expect(ended(submit('store-replace', uuid, replacement(uuid, 2, 'hdd')))).toMatchObject({ state: 'SUCCEEDED' });
    expect([...cluster.node(2).stores.keys()]).toEqual([expect.stringMatching(/^\/hdd\//)]);
    expect(cluster.write(uuid, 6)).toBe(Status.OK);
    expect(holders(uuid, 6)).toEqual([1, 2]);
  });

  test('the last good copy is not replaced, and goes on as it was', () => {
    const uuid = create([1, 2]);
    cluster.node(2).crash();
    cluster.world.runUntil(() => legs(uuid)?.[1]?.state !== 'NORMAL', LONG_MS, 'the member to leave');
    expect(cluster.write(uuid, 9)).toBe(Status.OK);
    expect(ended(submit('store-replace', uuid, replacement(uuid, 1, 'hdd')))).toMatchObject({
      state: 'FAILED',
      error: { code: 'CONFLICT' },
    });
    expect(legs(uuid)?.[0]?.state).toBe('NORMAL');
    cluster.node(2).start();
    cluster.world.runUntil(
      () => legs(uuid)?.every(({ state, dirtyBytes }) => state === 'NORMAL' && dirtyBytes === 0) === true,
      LONG_MS,
      'both',
    );
    expect([...cluster.node(1).stores.keys()]).toEqual([expect.stringMatching(/^\/ssd\//)]);
    expect(holders(uuid, 9)).toEqual([1, 2]);
  });
});

test('the quorum is changed, and what would be without it at once is refused', () => {
  const uuid = create([1, 2]);
  const quorum = (): string | undefined => cluster.client.pool(uuid)?.status().policy.quorum;
  expect(ended(submit('set-quorum', uuid, { poolUuid: uuid, quorum: 'majority' }))).toMatchObject({ state: 'SUCCEEDED' });
  expect(quorum()).toBe('majority');
  expect(ended(submit('set-quorum', uuid, { poolUuid: uuid, quorum: 'none' }))).toMatchObject({ state: 'SUCCEEDED' });
  cluster.node(2).crash();
  cluster.world.runUntil(() => legs(uuid)?.[1]?.state !== 'NORMAL', LONG_MS, 'the member to leave');
  expect(cluster.write(uuid, 3)).toBe(Status.OK);
  expect(ended(submit('set-quorum', uuid, { poolUuid: uuid, quorum: 'majority' }))).toMatchObject({
    state: 'FAILED',
    error: { code: 'CONFLICT' },
  });
  expect({ quorum: quorum(), served: cluster.write(uuid, 4) }).toEqual({ quorum: 'none', served: Status.OK });
});

test('what an operator orders of resync holds beyond a restart of the storage node, and of its store', () => {
  const uuid = create([1, 2]);
  const order = (change: { readonly paused?: boolean; readonly rateBytes?: number | null }): unknown => {
    let answer: unknown = null;
    const { name, addresses } = cluster.node(2);
    sendCommand(cluster.client.volumeHost().way, { node: name, addresses }, { do: 'resync', poolUuid: uuid, ...change }, (given) => {
      answer = given;
    });
    cluster.world.runUntil(() => answer !== null, LONG_MS, 'the answer');
    return answer;
  };
  expect(order({ paused: true })).toEqual({ paused: true, rateBytes: null });
  expect(order({ rateBytes: 8192 })).toEqual({ paused: true, rateBytes: 8192 });
  cluster.node(2).crash();
  cluster.world.runUntil(() => legs(uuid)?.[1]?.state !== 'NORMAL', LONG_MS, 'the member to leave');
  for (let i = 0; i < 8; i++) expect(cluster.write(uuid, 9, 65_536)).toBe(Status.OK);
  cluster.node(2).start();
  cluster.world.runUntil(() => legs(uuid)?.[1]?.state === 'NORMAL', LONG_MS, 'the member to return');
  cluster.world.run(30_000);
  const left = (): number => legs(uuid)?.[1]?.dirtyBytes ?? 0;
  expect(left()).toBeGreaterThan(0);
  expect(order({})).toEqual({ paused: true, rateBytes: 8192 });
  expect(order({ paused: false, rateBytes: null })).toEqual({ paused: false, rateBytes: null });
  cluster.world.runUntil(() => left() === 0, LONG_MS, 'all to be pulled');
});

describe('a volume is taken over by another client node (C4)', () => {
  let uuid: string;
  beforeEach(() => {
    uuid = create([1, 2]);
    expect(cluster.write(uuid, 7)).toBe(Status.OK);
    cluster.other.start();
  });

  test('which asks for it: the one that serves it ends in order, forgets it, and the other one serves what was written', () => {
    expect(ended(submit('volume-takeover', uuid, takeover(uuid), cluster.other), cluster.other)).toMatchObject({ state: 'SUCCEEDED' });
    expect([...cluster.client.journal.values()].find(({ kind }) => kind === 'volume-unmap')).toMatchObject({
      state: 'SUCCEEDED',
      requestedBy: 'client-2',
    });
    expect({ mapped: cluster.client.mappings.size, there: cluster.other.mappings.size }).toEqual({ mapped: 0, there: 1 });
    expect(cluster.write(uuid, 8, 4096, cluster.other)).toBe(Status.OK);
    expect(holders(uuid, 8)).toEqual([1, 2]);
  });

  test('not while NBD clients use it, which the operation says; with a word it is', () => {
    cluster.client.connections.set(uuid, 2);
    const id = submit('volume-takeover', uuid, takeover(uuid), cluster.other);
    const waits = (): string => cluster.other.runner.get(id)?.waitingFor?.what ?? '';
    cluster.world.runUntil(() => waits().includes('2 NBD clients are connected'), LONG_MS, 'the refusal to be told');
    expect(waits()).toMatch(/^client-1 to hand the pool over, which it does not do now: 2 NBD clients are connected to v/);
    cluster.other.runner.cancel(id, 'a test', () => {});
    expect(ended(id, cluster.other)).toMatchObject({ state: 'CANCELLED' });
    expect({ served: cluster.write(uuid, 8), there: cluster.other.mappings.size }).toEqual({ served: Status.OK, there: 0 });
    const input = takeover(uuid, { evenIfConnected: true });
    expect(ended(submit('volume-takeover', uuid, input, cluster.other), cluster.other)).toMatchObject({ state: 'SUCCEEDED' });
    expect(cluster.write(uuid, 9, 4096, cluster.other)).toBe(Status.OK);
  });

  test('not while an operation on it goes on: that is waited for', () => {
    cluster.node(3).crash();
    const store = { ...place(3), memberId: 3, storeUuid: cluster.client.volumeHost().newUuid() };
    const adding = submit('member-add', uuid, { poolUuid: uuid, poolName: 'v', store });
    const id = submit('volume-takeover', uuid, takeover(uuid), cluster.other);
    const waits = (): string => cluster.other.runner.get(id)?.waitingFor?.what ?? '';
    cluster.world.runUntil(() => waits().includes('the operation member-add'), LONG_MS, 'the refusal to be told');
    cluster.node(3).start();
    expect(ended(adding)).toMatchObject({ state: 'SUCCEEDED' });
    expect(ended(id, cluster.other)).toMatchObject({ state: 'SUCCEEDED' });
  });

  test('by force: the one that served it stops for good, and gets it back when it asks for it', () => {
    const input = takeover(uuid, { force: true });
    cluster.client.connections.set(uuid, 1);
    expect(ended(submit('volume-takeover', uuid, input, cluster.other), cluster.other)).toMatchObject({ state: 'SUCCEEDED' });
    cluster.world.runUntil(() => cluster.client.pool(uuid)?.state === 'FENCED', LONG_MS, 'the former client to notice');
    expect(cluster.write(uuid, 8, 4096, cluster.other)).toBe(Status.OK);
    expect(ended(submit('volume-takeover', uuid, takeover(uuid, { wasMapped: true })))).toMatchObject({ state: 'SUCCEEDED' });
    expect(cluster.write(uuid, 9)).toBe(Status.OK);
    expect(holders(uuid, 9)).toEqual([1, 2]);
  });

  test('of a client node that is dead, at once', () => {
    cluster.client.crash();
    expect(ended(submit('volume-takeover', uuid, takeover(uuid), cluster.other), cluster.other)).toMatchObject({ state: 'SUCCEEDED' });
  });
});

function takeover(uuid: string, given: Partial<OperationInputs['volume-takeover']> = {}): OperationInputs['volume-takeover'] {
  const mapping = cluster.client.mappings.get(uuid) ?? cluster.other.mappings.get(uuid);
  if (mapping === undefined) throw new Error('nobody maps the volume');
  return { mapping, force: false, evenIfConnected: false, wasMapped: false, ...given };
}

function replacement(uuid: string, memberId: number, disk: string): OperationInputs['store-replace'] {
  const host = cluster.client.volumeHost();
  const former = doomedStores(host, uuid).find(({ node }) => node === `storage-${memberId}`);
  return {
    poolUuid: uuid,
    poolName: 'v',
    store: { ...place(memberId, disk), memberId, storeUuid: host.newUuid() },
    giveUp: false,
    former: former as NonNullable<typeof former>,
  };
}

/** What may die while an operation goes on, and how it comes back. */
const CRASHES: readonly (readonly [string, () => { crash(): void; start(): void }])[] = [
  ['the client node', () => cluster.client],
  ['storage node 1', () => cluster.node(1)],
  ['storage node 2', () => cluster.node(2)],
];

describe('an operation during which somebody dies ends as it would have', () => {
  /** Goes on in steps of a few milliseconds, and kills somebody after so many of them. */
  function killed(id: string, who: { crash(): void; start(): void }, afterMs: number): Operation {
    cluster.world.run(afterMs);
    who.crash();
    cluster.world.run(50);
    who.start();
    return ended(id);
  }
  const SUCCESS = { state: 'SUCCEEDED', error: null };

  const moments = Array.from({ length: 16 }, (_, i) => i * 3);

  test.each(CRASHES)('creating a volume: %s, at every moment', (_who, who) => {
    for (const atMs of moments) {
      cluster = new OperatedCluster(100 + atMs, 3);
      cluster.world.run(100);
      const input = order('v', [1, 2]);
      expect(killed(submit('volume-create', input.poolUuid, input), who(), atMs)).toMatchObject(SUCCESS);
      expect(cluster.write(input.poolUuid, 3)).toBe(Status.OK);
      expect(cluster.nodes.map(({ stores }) => stores.size)).toEqual([1, 1, 0]);
    }
  });

  test.each(CRASHES)('replacing a store: %s, at every moment', (_who, who) => {
    for (const atMs of moments.map((ms) => ms * 10)) {
      cluster = new OperatedCluster(200 + atMs, 3);
      const uuid = create([1, 2]);
      expect(cluster.write(uuid, 4)).toBe(Status.OK);
      const operation = killed(submit('store-replace', uuid, replacement(uuid, 2, 'hdd')), who(), atMs);
      // The member must not leave while the only other one is away. Then everything stays as it was.
      const isRefused = who() === cluster.node(1) && operation.error?.code === 'CONFLICT';
      expect(operation).toMatchObject(isRefused ? { state: 'FAILED' } : SUCCESS);
      expect(cluster.write(uuid, 5)).toBe(Status.OK);
      cluster.world.runUntil(() => holders(uuid, 5).length === 2, LONG_MS, 'both members to have it');
      expect([...cluster.node(2).stores.keys()]).toEqual([expect.stringMatching(isRefused ? /^\/ssd\// : /^\/hdd\//)]);
    }
  });

  test.each([...CRASHES, ['the other client node', () => cluster.other] as const])('a takeover: %s, at every moment', (_who, who) => {
    for (const atMs of moments.map((ms) => ms * 40)) {
      cluster = new OperatedCluster(400 + atMs, 3);
      const uuid = create([1, 2]);
      expect(cluster.write(uuid, 4)).toBe(Status.OK);
      cluster.other.start();
      const id = submit('volume-takeover', uuid, takeover(uuid), cluster.other);
      cluster.world.run(atMs);
      who().crash();
      cluster.world.run(50);
      who().start();
      expect(ended(id, cluster.other)).toMatchObject(SUCCESS);
      expect(cluster.write(uuid, 5, 4096, cluster.other)).toBe(Status.OK);
      cluster.world.runUntil(() => holders(uuid, 5).length === 2, LONG_MS, 'both members to have it');
    }
  });

  test.each(CRASHES)('changing the quorum: %s, at every moment', (_who, who) => {
    for (const atMs of moments) {
      cluster = new OperatedCluster(500 + atMs, 3);
      const uuid = create([1, 2, 3]);
      expect(killed(submit('set-quorum', uuid, { poolUuid: uuid, quorum: 'majority' }), who(), atMs)).toMatchObject(SUCCESS);
      expect(cluster.write(uuid, 5)).toBe(Status.OK);
      expect(cluster.client.pool(uuid)?.status().policy.quorum).toBe('majority');
    }
  });

  test.each(CRASHES)('deleting a volume: %s, at every moment', (_who, who) => {
    for (const atMs of moments.map((ms) => ms * 4)) {
      cluster = new OperatedCluster(300 + atMs, 3);
      const uuid = create([1, 2]);
      const stores = doomedStores(cluster.client.volumeHost(), uuid);
      const input = { poolUuid: uuid, name: 'v', evenIfConnected: false, stores };
      expect(killed(submit('volume-delete', uuid, input), who(), atMs)).toMatchObject(SUCCESS);
      expect(cluster.nodes.map(({ stores: left, remembered }) => left.size + remembered.size)).toEqual([0, 0, 0]);
      expect(cluster.client.mappings.size).toBe(0);
    }
  });
});
