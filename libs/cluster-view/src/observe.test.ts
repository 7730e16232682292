import { SINCE } from '@rmr/simulated-daemons';
import { expect, test } from 'vitest';
import { disksOf, nodesOf, storesOf } from './catalogue.ts';
import { ANSWER_MS, Observer, observe } from './observe.ts';
import { overviewOf } from './overview.ts';
import { look, startCluster, web } from './testing-cluster.ts';
import { volumesOf } from './volumes.ts';

test('what client nodes and storage nodes say of a volume is joined: its disks, its resync, its URI', async () => {
  const { simulated, cluster } = await startCluster();
  const volume = web({ peers: ['10.0.0.7:4000'] });
  Object.assign(volume.members[1] as object, { dirtyBytes: 4096, resync: { bytesLeft: 1024, bytesPerSecond: 100, etaSeconds: 10 } });
  simulated.state.volumes.push(volume);
  const [picture, ...others] = volumesOf(await look(cluster));
  expect(others).toEqual([]);
  expect(picture).toMatchObject({
    name: 'web',
    state: 'degraded',
    servedBy: 'client-1',
    nbdUri: 'nbd://client-1:10809/web',
    connections: 1,
  });
  expect(picture?.members).toMatchObject([
    { memberId: 1, node: 'storage-1', disk: 'disk-1', store: volume.members[0]?.storeUuid, inSync: true, dirtyBytes: 0, resync: null },
    {
      memberId: 2,
      disk: 'disk-1',
      dirtyBytes: 1024,
      resync: { bytesPerSecond: 100, etaSeconds: 10, sources: [{ memberId: 1, name: 'storage-1' }] },
    },
  ]);
});

test('a node that refuses connections, and one that hangs, hide nothing of the others', async () => {
  const { simulated, cluster } = await startCluster();
  simulated.state.volumes.push(web());
  await simulated.node('storage-2').stop();
  const release = simulated.node('client-2').hang();
  const seen = await look(cluster, ANSWER_MS);
  release();
  expect(nodesOf(seen).map(({ name, answers }) => [name, answers])).toEqual([
    ['storage-1', true],
    ['storage-2', false],
    ['storage-3', true],
    ['client-1', true],
    ['client-2', false],
  ]);
  expect(volumesOf(seen)).toMatchObject([
    { name: 'web', members: [{ disk: 'disk-1' }, { node: 'storage-2', disk: null, dirtyBytes: 0, inSync: true }] },
  ]);
  expect(overviewOf(seen)).toMatchObject({ level: 'degraded', nodes: { answer: 3, all: 5 } });
  expect(overviewOf(seen).needed.map(({ about, sentence }) => [about, sentence])).toEqual([
    ['storage-2', 'does not answer'],
    ['client-2', 'does not answer'],
  ]);
});

test('an observer remembers since when a node has not answered, and a client node may know it for longer', async () => {
  const { simulated, cluster } = await startCluster();
  let now = Date.parse('2026-12-01T03:00:00.000Z');
  const observer = new Observer(cluster, { now: () => now, answerMs: 60_000 });
  await simulated.node('client-2').stop();
  const silentSince = async (name: string) => nodesOf(await observer.observe()).find((node) => node.name === name)?.silentSince;
  expect(await silentSince('client-2')).toBe('2026-12-01T03:00:00.000Z');
  now += 60_000;
  expect(await silentSince('client-2')).toBe('2026-12-01T03:00:00.000Z');
  await simulated.node('client-2').start();
  expect(await silentSince('client-2')).toBe(null);
  const volume = web();
  Object.assign(volume.members[1] as object, { connected: false, inSync: false, state: 'RECONNECTING' });
  simulated.state.volumes.push(volume);
  await simulated.node('storage-2').stop();
  expect(await silentSince('storage-2')).toBe(SINCE);
});

test('a daemon of another role than the cluster file says is told, and its answer is not used', async () => {
  const { cluster } = await startCluster();
  const nodes = cluster.nodes.map((node) => (node.name === 'client-2' ? { ...node, role: 'storage-node' as const } : node));
  const seen = await observe({ ...cluster, nodes });
  expect(nodesOf(seen).at(-1)).toMatchObject({
    name: 'client-2',
    answers: false,
    problem: expect.stringContaining('says that client-2 is a storage-node'),
  });
});

test('a volume that nobody maps is seen through the stores of it, open or closed, and is not taken for a failed one', async () => {
  const { simulated, cluster } = await startCluster();
  const volume = web({ client: null });
  Object.assign(volume.members[1] as object, { attached: false, reason: 'the disk is gone' });
  simulated.state.volumes.push(volume);
  const seen = await look(cluster);
  expect(volumesOf(seen)).toMatchObject([
    {
      name: 'web',
      state: 'unmapped',
      servedBy: null,
      promisedTo: 'client-1',
      members: [
        { memberId: 1, storeProblem: null },
        { memberId: 2, storeProblem: 'the disk is gone' },
      ],
    },
  ]);
  expect(overviewOf(seen)).toMatchObject({
    level: 'degraded',
    needed: [{ mark: 'idle', about: 'web', action: { do: 'volume-map', volume: 'web' } }],
  });
  expect(storesOf(seen).map(({ node, disk, attached, reason }) => [node, disk, attached, reason])).toEqual([
    ['storage-1', 'disk-1', true, ''],
    ['storage-2', 'disk-1', false, 'the disk is gone'],
  ]);
});

test('whether a volume is served is not known while its client node is silent, and is never shown as down or healthy', async () => {
  const { simulated, cluster } = await startCluster();
  simulated.state.volumes.push(web());
  await simulated.node('client-1').stop();
  const seen = await look(cluster);
  expect(volumesOf(seen)).toMatchObject([
    { state: 'unknown', health: { sentence: 'whether web is served is not known: client-1, which served it last, does not answer' } },
  ]);
  expect(overviewOf(seen)).toMatchObject({ level: 'degraded', volumes: { unknown: 1, healthy: 0, down: 0 } });
  expect(overviewOf(seen).sentence).toContain('No data is known to be lost. Whether 1 volume is served is not known.');
});

test('with no answer at all nothing is claimed', async () => {
  const { simulated, cluster } = await startCluster();
  await simulated.stop();
  expect(overviewOf(await look(cluster))).toMatchObject({
    level: 'unknown',
    sentence: expect.stringMatching(/^Not known\. None of the 5 nodes answers/),
  });
});

test('of two client nodes that map a volume, the one that serves it is believed', async () => {
  const { simulated, cluster } = await startCluster();
  simulated.state.volumes.push(
    web({ client: 'client-1', state: 'STOPPED', reason: 'another client has taken over' }),
    web({ client: 'client-2' }),
  );
  expect(volumesOf(await look(cluster))).toMatchObject([{ name: 'web', servedBy: 'client-2', state: 'healthy' }]);
});

test('disks are listed by node and name', async () => {
  const { cluster } = await startCluster();
  expect(disksOf(await look(cluster)).map(({ node, name }) => `${node}/${name}`)).toEqual(
    ['storage-1', 'storage-2', 'storage-3'].flatMap((node) => [`${node}/disk-1`, `${node}/disk-2`]),
  );
});
