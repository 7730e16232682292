import { SINCE, type SimulatedMember, type SimulatedVolume } from '@rmr/simulated-daemons';
import { expect, test } from 'vitest';
import { type Overview, overviewOf } from './overview.ts';
import { big } from './testing-big-cluster.ts';
import { look, startCluster, web } from './testing-cluster.ts';

/** The overview of a cluster with the volume `web`, after `change`. */
async function overview(change: (volume: SimulatedVolume, second: SimulatedMember) => void): Promise<Overview> {
  const { simulated, cluster } = await startCluster();
  const volume = web();
  change(volume, volume.members[1] as SimulatedMember);
  simulated.state.volumes.push(volume);
  return overviewOf(await look(cluster));
}

test('a cluster where all is well says so, and counts', async () => {
  expect(await overview(() => {})).toMatchObject({
    ...{ level: 'healthy', sentence: 'Healthy. The volume is served, and every member is in sync.', needed: [], moving: [] },
    ...{ volumes: { healthy: 1, degraded: 0, down: 0 }, members: { inSync: 2, all: 2 }, nodes: { answer: 5, all: 5 } },
    capacity: { usedBytes: 6 * 2 * 1024 ** 4, totalBytes: 6 * 8 * 1024 ** 4 },
  });
});

const OUT = { inSync: false, connected: false, state: 'FAILED', reason: 'no session to storage-2', dirtyBytes: 2048 } as const;

test.each<[string, (volume: SimulatedVolume, second: SimulatedMember) => void, object]>([
  [
    'a member that pulls moves by itself',
    (_, second) => Object.assign(second, { dirtyBytes: 4096, resync: { bytesPerSecond: 1024, etaSeconds: 400 } }),
    {
      ...{ level: 'degraded', needed: [] },
      moving: [{ about: 'web', sentence: 'member 2 (storage-2) pulls 4 KiB from member 1, 1 KiB/s, about 7 min' }],
    },
  ],
  [
    'a paused resync waits for a person, who resumes it',
    (_, second) => Object.assign(second, { dirtyBytes: 4096, resync: { paused: true, state: 'PAUSED' } }),
    {
      ...{ level: 'degraded', moving: [] },
      needed: [
        { mark: 'idle', sentence: 'resync of member 2 (storage-2) is paused, 4 KiB left', action: { do: 'resync-resume', volume: 'web' } },
      ],
    },
  ],
  [
    'a resync that stands still says why',
    (_, second) => Object.assign(second, { dirtyBytes: 4096, resync: { reason: 'the disk fails', remedy: 'replace it' } }),
    {
      needed: [
        { mark: 'waits', sentence: 'resync of member 2 (storage-2) stands still, 4 KiB left: the disk fails', remedy: 'replace it' },
      ],
    },
  ],
  [
    'a member that is out needs a look, with what it has missed',
    (_, second) => Object.assign(second, OUT),
    {
      ...{ level: 'degraded', moving: [] },
      needed: [{ sentence: 'member 2 (storage-2) is out: no session to storage-2, and has missed 2 KiB', since: SINCE }],
    },
  ],
  [
    'a store that is not open is replaced by the best other disk of its node',
    (_, second) => Object.assign(second, OUT, { attached: false, reason: 'the disk is gone' }),
    {
      needed: [
        {
          mark: 'failed',
          sentence: 'the store of member 2 (storage-2) is not open: the disk is gone',
          action: { do: 'member-replace', memberId: 2, disk: 'storage-2/disk-2' },
        },
      ],
    },
  ],
  [
    'a member that returns moves by itself',
    (_, second) => Object.assign(second, { inSync: false, state: 'FAILED', reason: 'returning: gets the dirty maps' }),
    {
      ...{ needed: [], moving: [{ sentence: 'member 2 (storage-2) is out: returning: gets the dirty maps' }] },
    },
  ],
  [
    'maintenance is ended by a person',
    (_, second) => Object.assign(second, { inSync: false, maintenance: true }),
    {
      needed: [{ mark: 'idle', sentence: 'member 2 (storage-2) is in maintenance', action: { do: 'maintenance-off', memberId: 2 } }],
    },
  ],
  [
    'a failing disk is told while its member still serves',
    (_, second) => Object.assign(second, { diskTrouble: 'writes fail' }),
    {
      ...{
        level: 'degraded',
        needed: [{ sentence: 'the disk of member 2 (storage-2): writes fail', action: { do: 'member-replace', disk: 'storage-2/disk-2' } }],
      },
    },
  ],
  [
    'IO that waits is in the first line',
    (volume) => volume.waits.push({ kind: 'CHUNK', what: 'member 2 (storage-2)', since: SINCE, requests: 3, remedy: 'bring it back' }),
    {
      sentence: 'Degraded. No data is lost. The volume is served, but IO of web waits for member 2 (storage-2).',
      needed: [{ mark: 'waits', sentence: 'IO waits for member 2 (storage-2)', since: SINCE, remedy: 'bring it back' }],
    },
  ],
  [
    'a volume that is not served makes the cluster down',
    (volume) => Object.assign(volume, { state: 'WAITING', waitingFor: { what: 'member 1', since: SINCE } }),
    {
      ...{ level: 'down', sentence: 'Down. No data is known to be lost. web is not served.', volumes: { down: 1 } },
      needed: [{ sentence: 'not served: it waits for member 1', action: { do: 'volume-show', volume: 'web' } }],
    },
  ],
  [
    'lost data comes first',
    (volume) => Object.assign(volume, { lost: { bytes: 4096, ranges: [] }, health: { level: 'degraded', sentence: 'x' } }),
    {
      sentence: 'Degraded. 4 KiB of web are LOST. The volume is served; 1 has less redundancy than wanted.',
      needed: [{ mark: 'failed', sentence: '4 KiB are LOST: no member has them any more' }],
    },
  ],
  [
    'what only the volume knows is told in its words',
    (volume) => Object.assign(volume, { health: { level: 'degraded', sentence: 'the witness is away' } }),
    {
      needed: [{ mark: 'degraded', about: 'web', sentence: 'the witness is away' }],
    },
  ],
])('%s', async (_, change, expected) => {
  expect(await overview(change)).toMatchObject(expected);
});

test('an operation moves by itself, and one that waits with a remedy needs a person', async () => {
  const { simulated, cluster } = await startCluster();
  simulated.state.volumes.push(web());
  const driver = simulated.driver('client-1');
  const { id } = await driver.maintenance({ pool: 'web', memberId: 2, on: true, requestId: null }, 'anna');
  expect(overviewOf(await look(cluster))).toMatchObject({
    level: 'healthy',
    moving: [{ about: 'web', action: { do: 'operation-wait', id } }],
  });
  driver.waitsFor = { what: 'storage-2', since: SINCE, remedy: 'start it' };
  driver.show(id);
  expect(overviewOf(await look(cluster))).toMatchObject({ level: 'degraded', moving: [], needed: [{ mark: 'waits', remedy: 'start it' }] });
});

test('members that are out because their node is silent are told once, with the node', async () => {
  const { simulated, cluster } = await startCluster();
  const volume = web();
  Object.assign(volume.members[1] as SimulatedMember, OUT);
  simulated.state.volumes.push(volume);
  await simulated.node('storage-2').stop();
  expect(overviewOf(await look(cluster)).needed).toMatchObject([
    { mark: 'unknown', about: 'storage-2', sentence: 'does not answer; its member is out of web', since: SINCE },
  ]);
});

test('a volume that is being deleted is no volume to be mapped', async () => {
  const { simulated, cluster } = await startCluster();
  const volume = web();
  simulated.state.volumes.push(volume);
  const { id } = await simulated
    .driver('client-1')
    .delete({ pool: 'web', confirm: 'web', evenIfConnected: false, requestId: null }, 'anna');
  volume.client = null;
  expect(overviewOf(await look(cluster))).toMatchObject({ needed: [], moving: [{ about: 'web', action: { do: 'operation-wait', id } }] });
});

test('a disk that is not well is told', async () => {
  const { simulated, cluster } = await startCluster();
  const [disk] = simulated.state.disks.get('storage-3') ?? [];
  if (disk !== undefined) disk.health = { level: 'down', sentence: 'it does not answer' };
  expect(overviewOf(await look(cluster))).toMatchObject({
    needed: [{ mark: 'failed', about: 'storage-3/disk-1', sentence: 'it does not answer' }],
  });
});

test('1,000 volumes on 20 nodes are each counted once', async () => {
  const { simulated, cluster } = await startCluster(big.options);
  simulated.state.volumes.push(...big.volumes());
  const seen = overviewOf(await look(cluster));
  expect(seen).toMatchObject({
    volumes: { healthy: 990, degraded: 10, down: 0 },
    members: { inSync: 1990, all: 2000 },
    nodes: { answer: 20, all: 20 },
  });
  expect(seen.needed.map(({ about }) => about)).toEqual(
    Array.from({ length: 10 }, (_, index) => `volume-${String(index * 100).padStart(4, '0')}`),
  );
});
