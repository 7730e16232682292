import { getEventListeners } from 'node:events';
import type { VolumeCreateInput } from '@rmr/admin-api';
import { GIB, OperationError, TIB } from '@rmr/runtime';
import { newDisk, newMember, type SimulatedDisk, type SimulatedMember } from '@rmr/simulated-daemons';
import { describe, expect, test, vi } from 'vitest';
import type { AdvisedError } from './advice.ts';
import { follow } from './following.ts';
import { findOperation, listOperations } from './operations.ts';
import { choosePlaces, findPlace } from './placing.ts';
import * as plans from './plans.ts';
import { look, startCluster, web } from './testing-cluster.ts';
import type { VolumePicture } from './volumes.ts';

const CREATE: VolumeCreateInput = {
  ...{ name: 'x', sizeBytes: GIB, chunkSizeBytes: null, quorum: 'none', witness: null, exportName: null, requestId: null },
  members: [{ node: 'storage-1', addresses: ['tcp://storage-1:7000'], disk: 'disk-1' }],
};

function failure(action: () => unknown): AdvisedError {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(OperationError);
    return error as AdvisedError;
  }
  throw new Error('it did not fail');
}

describe('places for a new volume', () => {
  const disks = (free: number, over: Partial<SimulatedDisk> = {}) => [newDisk('a', { freeBytes: free, ...over })];

  test('different hosts, most free space first, and the names where that is equal', async () => {
    const { cluster } = await startCluster({
      storage: {
        s1: disks(TIB),
        s2: disks(3 * TIB),
        s3: disks(TIB),
        s4: [newDisk('a', { freeBytes: TIB }), newDisk('b', { freeBytes: 2 * TIB })],
      },
    });
    const seen = await look(cluster);
    const chosen = choosePlaces(seen, 4, GIB).map(({ node, disk }) => `${node}/${disk}`);
    expect(chosen).toEqual(['s2/a', 's4/b', 's1/a', 's3/a']);
    expect(choosePlaces(seen, 2, GIB).map(({ node }) => node)).toEqual(['s2', 's4']);
  });

  test('two storage nodes on one host count as one', async () => {
    const { cluster } = await startCluster({ storage: { s1: disks(TIB), s2: disks(3 * TIB) }, sameHost: { s2: 's1' } });
    const seen = await look(cluster);
    expect(failure(() => choosePlaces(seen, 2, GIB)).message).toMatch(/and 1 has one: s1: it runs on the host of s2$/);
  });

  test('where there are too few, each node says why it has none', async () => {
    const { simulated, cluster } = await startCluster({
      storage: {
        ...{ good: disks(TIB), full: disks(GIB - 1), spare: disks(TIB, { spare: true }), bare: [], silent: disks(TIB) },
        ...{
          used: disks(TIB, { kind: 'device', foreign: 'an ext4 file system' }),
          dead: disks(TIB, { health: { level: 'down', sentence: 'IO errors' } }),
        },
      },
    });
    await simulated.node('silent').stop();
    const seen = await look(cluster);
    const { code, message, advice } = failure(() => choosePlaces(seen, 2, GIB));
    expect(code).toBe('NO_SPACE');
    expect(message).toMatch(
      /^2 hosts with a disk for 1 GiB are needed, and 1 has one: full: a has 1024\.0 MiB free; spare: a is a spare; bare: it has no disk/,
    );
    expect(message).toMatch(/used: a holds an ext4 file system; dead: a can't be used \(IO errors\)/);
    expect(message).toMatch(/silent: it does not answer \(cannot reach the daemon/);
    expect(advice).toEqual([{ sentence: expect.any(String), action: { do: 'disk-list' } }]);
  });

  test.each([
    ['disk-1', 'INVALID_ARGUMENT', /write NODE\/DISK/],
    ['storage-1/a/b', 'INVALID_ARGUMENT', /write NODE\/DISK/],
    ['storage-9/disk-1', 'NOT_FOUND', /there are: storage-1, storage-2, storage-3/],
    ['storage-1/disk-9', 'NOT_FOUND', /storage-1 has no disk disk-9; it has: disk-1, disk-2/],
  ])('%s is no disk', async (text, code, message) => {
    const { cluster } = await startCluster();
    const seen = await look(cluster);
    expect(failure(() => findPlace(seen, text))).toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

describe('orders', () => {
  test('a volume is created by the client node with the fewest volumes, grows, and is deleted; each order goes to the node that serves it', async () => {
    const { simulated, cluster } = await startCluster();
    simulated.state.volumes.push(web());
    const create = plans.planCreate(await look(cluster), { name: 'db', sizeBytes: GIB, replicas: 2 });
    expect(create).toMatchObject({ node: { name: 'client-2' }, members: [{ node: 'storage-1', disk: 'disk-1' }, { node: 'storage-2' }] });
    const run = async (plan: plans.Plan) => follow(plan.node, await plans.start(plan));
    expect(await run(create)).toMatchObject({ state: 'SUCCEEDED', result: { name: 'db' } });
    const of = async () => {
      const seen = await look(cluster);
      return [seen, plans.needVolume(seen, 'db')] as const;
    };
    await run(plans.planMemberAdd(...(await of()), 'storage-3/disk-1'));
    await run(plans.planMemberReplace(...(await of()), { memberId: 1, disk: 'storage-1/disk-2', giveUp: false }));
    await run(plans.planMaintenance(...(await of()), 2, true));
    await run(plans.planMaintenance(...(await of()), 2, false));
    await run(plans.planMemberRemove(...(await of()), 3, false));
    expect((await of())[1].members.map(({ node, disk }) => `${node}/${disk}`)).toEqual(['storage-1/disk-2', 'storage-2/disk-1']);
    await run(plans.planUnmap(...(await of()), false));
    await run(plans.planMap(...(await of()), { client: 'client-1' }));
    expect((await of())[1].servedBy).toBe('client-1');
    const toOther = plans.planTakeover(...(await of()), { client: undefined, evenIfConnected: false, force: false });
    expect(toOther).toMatchObject({ from: 'client-1', node: { name: 'client-2' }, checks: [{ verdict: 'good' }] });
    expect(await run(toOther)).toMatchObject({ kind: 'volume-takeover', state: 'SUCCEEDED' });
    await run(plans.planTakeover(...(await of()), { client: 'client-1', evenIfConnected: false, force: true }));
    expect((await of())[1].servedBy).toBe('client-1');
    await run(plans.planDelete(...(await of()), false));
    expect(plans.findVolume(await look(cluster), 'db')).toBeNull();
    expect(simulated.driver('client-2').orders.map(({ order }) => order)).toEqual([
      ...['volume-create', 'member-add', 'store-replace', 'maintenance-on', 'maintenance-off', 'member-remove', 'volume-unmap'],
      'volume-takeover',
    ]);
    expect(simulated.driver('client-1').orders.map(({ order }) => order)).toEqual(['volume-map', 'volume-takeover', 'volume-delete']);
  });

  test('an order that is given twice is carried out once, and a plan alone changes nothing', async () => {
    const { simulated, cluster } = await startCluster();
    const plan = plans.planCreate(await look(cluster), { name: 'db', sizeBytes: GIB, replicas: 1, client: 'client-1' });
    expect(simulated.driver('client-1').orders).toEqual([]);
    const [one, two] = [await plans.start(plan), await plans.start(plan)];
    expect(two.id).toBe(one.id);
    expect(simulated.driver('client-1').orders).toHaveLength(1);
  });

  test('a client node that is gone when the order comes: nothing has changed', async () => {
    const { simulated, cluster } = await startCluster();
    const plan = plans.planCreate(await look(cluster), { name: 'db', sizeBytes: GIB, replicas: 1, client: 'client-1' });
    await simulated.node('client-1').stop();
    await expect(plans.start(plan)).rejects.toMatchObject({ code: 'UNAVAILABLE', changed: 'nothing' });
  });

  test('what makes no sense is refused, with what to do', async () => {
    const { simulated, cluster } = await startCluster();
    const volume = web({ peers: ['10.0.0.7:4000'] });
    simulated.state.volumes.push(volume, { ...web({ client: null }), uuid: 'ffffffff-0000-4000-8000-000000000000', name: 'idle' });
    const seen = await look(cluster);
    const [one, idle] = [plans.needVolume(seen, 'web'), plans.needVolume(seen, 'idle')];
    const takeOver = (volume: VolumePicture, order: { readonly client?: string }) =>
      plans.planTakeover(seen, volume, { evenIfConnected: false, force: false, ...order });
    const refusals: readonly [() => unknown, string, RegExp, unknown?][] = [
      [() => plans.planCreate(seen, { name: 'web', sizeBytes: GIB, replicas: 1 }), 'ALREADY_EXISTS', /there is a volume web already/],
      [
        () => plans.planCreate(seen, { name: 'x', sizeBytes: GIB, replicas: 2, disks: ['storage-1/disk-1'] }),
        'INVALID_ARGUMENT',
        /1 disks are named for 2/,
      ],
      [
        () => plans.planCreate(seen, { name: 'x', sizeBytes: GIB, replicas: 1, client: 'client-9' }),
        'NOT_FOUND',
        /there are: client-1, client-2/,
      ],
      [() => plans.needVolume(seen, 'none'), 'NOT_FOUND', /^there is no volume none$/, { do: 'volume-list' }],
      [() => plans.needMember(one, 9), 'NOT_FOUND', /web has no member 9; it has: 1, 2/],
      [
        () => plans.planDelete(seen, one, false),
        'CONFLICT',
        /1 NBD client uses web: 10\.0\.0\.7:4000/,
        { do: 'volume-delete', volume: 'web', evenIfConnected: true },
      ],
      [() => plans.planUnmap(seen, idle, false), 'UNAVAILABLE', /no client node maps idle/, { do: 'volume-map', volume: 'idle' }],
      [
        () => plans.planMap(seen, one, {}),
        'CONFLICT',
        /client-1 maps web already/,
        { do: 'volume-takeover', volume: 'web', evenIfConnected: false },
      ],
      [() => plans.planUnmap(seen, one, false, 'client-2'), 'NOT_FOUND', /client-2 does not map web; it is mapped by: client-1/],
      [
        () => plans.planDelete(seen, { ...one, standby: ['client-2'] }, true),
        'CONFLICT',
        /client-2 maps web, too/,
        { do: 'volume-unmap', volume: 'web', evenIfConnected: false, client: 'client-2' },
      ],
      [() => plans.planQuorum(seen, one, 'none'), 'CONFLICT', /the quorum of web is none already/],
      [() => takeOver(one, {}), 'CONFLICT', /1 NBD client uses web/, { do: 'volume-takeover', volume: 'web', evenIfConnected: true }],
      [() => takeOver(one, { client: 'client-1' }), 'CONFLICT', /client-1 serves web already/],
      [() => takeOver(idle, {}), 'CONFLICT', /nobody to take it over from/, { do: 'volume-map', volume: 'idle' }],
      [() => plans.planMemberAdd(seen, one, 'storage-1/disk-2'), 'CONFLICT', /storage-1 has member 1 of the volume already/],
      [
        () => plans.planMemberReplace(seen, one, { memberId: 2, disk: 'storage-1/disk-2', giveUp: false }),
        'CONFLICT',
        /storage-1 has member 1/,
      ],
    ];
    for (const [action, code, message, advised] of refusals) {
      const error = failure(action);
      expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
      if (advised !== undefined) expect(error.advice).toEqual([expect.objectContaining({ action: advised })]);
    }
    expect(plans.planTakeover(seen, one, { evenIfConnected: true, force: true }).checks).toEqual([
      { verdict: 'beware', sentence: 'its NBD clients are cut off, and have to connect to client-2: 10.0.0.7:4000' },
      { verdict: 'beware', sentence: 'what is in flight at client-1 fails there; what was acknowledged stays' },
    ]);
    expect(plans.planQuorum(seen, one, 'majority').checks).toEqual([
      { verdict: 'beware', sentence: 'web is served while 2 of its 2 members are there, so it stands still when one of them is lost' },
    ]);
    expect(plans.planDelete(seen, one, true).checks.at(-1)).toEqual({
      verdict: 'beware',
      sentence: 'its NBD clients are cut off: 10.0.0.7:4000',
    });
  });

  test('a member that alone has data is not taken away, unless that data is given up', async () => {
    const { simulated, cluster } = await startCluster();
    const volume = web();
    Object.assign(volume.members[1] as SimulatedMember, { onlyCopyBytes: 3 * GIB });
    Object.assign(volume.members[0] as SimulatedMember, { dirtyBytes: 3 * GIB });
    simulated.state.volumes.push(volume);
    const seen = await look(cluster);
    const one = plans.needVolume(seen, 'web');
    const replace = (giveUp: boolean) => plans.planMemberReplace(seen, one, { memberId: 2, disk: 'storage-3/disk-1', giveUp });
    expect(failure(() => replace(false))).toMatchObject({
      ...{ code: 'CONFLICT', changed: 'nothing' },
      message: 'member 2 alone has 3 GiB of web clean; replacing its store would lose them',
    });
    expect(failure(() => plans.planMemberRemove(seen, one, 2, false)).code).toBe('CONFLICT');
    expect(failure(() => plans.planMaintenance(seen, one, 2, true)).code).toBe('CONFLICT');
    expect(replace(true).checks[0]).toEqual({ verdict: 'beware', sentence: '3 GiB of web that only member 2 (storage-2) has are LOST' });
    expect(plans.planMemberRemove(seen, one, 1, false).checks[0]?.verdict).toBe('good');
  });

  test('the last member in sync stays in service, and the only one is not removed', async () => {
    const { simulated, cluster } = await startCluster();
    const volume = web();
    Object.assign(volume.members[1] as SimulatedMember, { inSync: false });
    const single = {
      ...web({ client: 'client-1' }),
      uuid: 'ffffffff-0000-4000-8000-000000000000',
      name: 'single',
      members: [newMember(1, 'storage-1', 'disk-2')],
    };
    simulated.state.volumes.push(volume, single);
    const seen = await look(cluster);
    expect(failure(() => plans.planMaintenance(seen, plans.needVolume(seen, 'single'), 1, true))).toMatchObject({ code: 'CONFLICT' });
    expect(failure(() => plans.planMemberRemove(seen, plans.needVolume(seen, 'single'), 1, false)).message).toBe(
      'member 1 (storage-1) is the only member of single',
    );
  });
});

describe('operations', () => {
  test('are listed over all client nodes, and found by the beginning of their ids', async () => {
    const { simulated, cluster } = await startCluster();
    simulated.state.volumes.push(web());
    await simulated.driver('client-1').maintenance({ pool: 'web', memberId: 2, on: true, requestId: null }, 'anna');
    const { id } = await simulated.driver('client-2').create(CREATE, 'bert');
    expect((await listOperations(cluster)).operations.map(({ node, kind }) => [node, kind])).toEqual([
      ['client-2', 'volume-create'],
      ['client-1', 'maintenance-on'],
    ]);
    expect((await listOperations(cluster, { target: 'web' })).operations).toHaveLength(1);
    expect(await findOperation(cluster, id.slice(0, 12))).toMatchObject({ node: { name: 'client-2' }, operation: { id } });
    expect(await findOperation(cluster, id.toUpperCase())).toMatchObject({ operation: { id } });
    await expect(findOperation(cluster, '0000')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(findOperation(cluster, 'ffff')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await simulated.node('client-1').stop();
    await expect(findOperation(cluster, 'ffff')).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('client-1 did not answer'),
    });
    expect(await listOperations(cluster)).toMatchObject({ operations: [{ node: 'client-2' }], unheard: [{ node: 'client-1' }] });
  });

  test('are followed through a restart of their daemon, and its silence is told', async () => {
    const { simulated, cluster } = await startCluster();
    const plan = plans.planCreate(await look(cluster), { name: 'db', sizeBytes: GIB, replicas: 2, client: 'client-1' });
    const operation = await plans.start(plan);
    await simulated.node('client-1').stop();
    const silences: (string | null)[] = [];
    const ended = follow(plan.node, operation, { onChange: ({ silence }) => silences.push(silence) });
    await vi.waitFor(() => expect(silences).toEqual(expect.arrayContaining([expect.stringContaining('cannot reach')])), 30_000);
    await simulated.node('client-1').start();
    expect(await ended).toMatchObject({ state: 'SUCCEEDED', stepNumber: 3 });
    expect(silences.at(-1)).toBeNull();
  });

  test('following for long leaves nothing behind on the signal that may break it off', async () => {
    const { simulated, cluster } = await startCluster();
    simulated.driver('client-1').waitsFor = { what: 'a disk', since: '2026-12-01T00:00:00.000Z' };
    const plan = plans.planCreate(await look(cluster), { name: 'db', sizeBytes: GIB, replicas: 2, client: 'client-1' });
    const stop = new AbortController();
    const listeners: number[] = [];
    const onChange = (): void => {
      if (listeners.push(getEventListeners(stop.signal, 'abort').length) === 4) stop.abort(new Error('enough'));
    };
    await expect(follow(plan.node, await plans.start(plan), { signal: stop.signal, onChange })).rejects.toThrow('enough');
    expect(listeners).toEqual([0, 0, 0, 0]);
  });

  test('one that does not end in time goes on, and the wait can be broken off', async () => {
    const { simulated, cluster } = await startCluster();
    simulated.driver('client-1').waitsFor = { what: 'a disk', since: '2026-12-01T00:00:00.000Z' };
    const plan = plans.planCreate(await look(cluster), { name: 'db', sizeBytes: GIB, replicas: 2, client: 'client-1' });
    const operation = await plans.start(plan);
    await expect(follow(plan.node, operation, { timeoutMs: 150 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    const stop = new AbortController();
    const broken = follow(plan.node, operation, { signal: stop.signal, onChange: () => stop.abort(new Error('Ctrl-C')) });
    await expect(broken).rejects.toThrow('Ctrl-C');
    await expect(follow(plan.node, { ...operation, id: 'ffffffff-0000-4000-8000-000000000000' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });
});
