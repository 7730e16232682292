import { join } from 'node:path';
import { VerifiedWriter } from '@rmr/chaos';
import { parseNbdUri, start } from '@rmr/cluster';
import { MIB } from '@rmr/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Outcome, runProgram, succeeded } from './support/command.ts';
import { RMRCTL, STORAGE_NODE } from './support/paths.ts';
import { eventually, TestCluster, WAIT_MS_MAX } from './support/test-cluster.ts';

interface Member {
  readonly memberId: number;
  readonly node: string;
  readonly disk: string;
  readonly store: string;
  readonly state: string;
  readonly inSync: boolean;
  readonly dirtyBytes: number;
}
interface Volume {
  readonly uuid: string;
  readonly nbdUri: string;
  readonly health: { readonly level: string; readonly sentence: string };
  readonly members: readonly Member[];
}
interface Operation {
  readonly id: string;
  readonly state: string;
  readonly error: { readonly code: string; readonly sentence: string } | null;
}

let cluster: TestCluster;
let writer: VerifiedWriter | null;

beforeEach(async () => {
  writer = null;
  cluster = await TestCluster.start({ storageNodes: 3 });
});

afterEach(async () => {
  writer?.stop();
  await cluster.dispose();
});

function rmrctl(...args: readonly string[]): Promise<Outcome> {
  return runProgram(process.execPath, [RMRCTL, '--cluster', join(cluster.folder, 'rmr.yaml'), '--output', 'json', ...args]);
}

/** The one JSON document that a command prints. */
async function answer<T>(...args: readonly string[]): Promise<T> {
  return JSON.parse(succeeded(await rmrctl(...args)).stdout) as T;
}

const show = (name = 'web'): Promise<Volume> => answer<Volume>('volume', 'show', name);

/** The stores on disks. Those of the fixed pool stand in the configuration of the storage nodes. */
async function storesOnDisks(): Promise<readonly unknown[]> {
  const stores = await answer<{ readonly disk: string | null }[]>('store', 'list');
  return stores.filter(({ disk }) => disk !== null);
}

/** A client that knows what it wrote to the volume, whatever happens. */
function writeTo({ nbdUri }: Volume): VerifiedWriter {
  writer = new VerifiedWriter({
    seed: 1,
    firstByte: 0,
    lengthBytes: 16 * MIB,
    endpoint: () => {
      const node = cluster.file.clientNode;
      return node.pid === null ? null : { address: parseNbdUri(nbdUri), instance: `${node.name} ${node.pid}` };
    },
    mayFailFlush: () => false,
  });
  writer.write();
  return writer;
}

/** Everything that was written is read back from every member, and all stores hold the same bytes. */
async function expectAllRight(verified: VerifiedWriter, members: number): Promise<void> {
  await verified.progress(50, WAIT_MS_MAX);
  await verified.rest(WAIT_MS_MAX);
  await verified.flush(WAIT_MS_MAX);
  await verified.readBack(2, WAIT_MS_MAX);
  verified.check();
  const volume = await eventually(async () => {
    const now = await show();
    expect(now.members.map(({ state, inSync, dirtyBytes }) => [state, inSync, dirtyBytes])).toEqual(
      now.members.map(() => ['NORMAL', true, 0]),
    );
    return now;
  });
  expect(volume.members).toHaveLength(members);
  const digests = await Promise.all(
    volume.members.map(async ({ node, disk, store }) => {
      const path = join(cluster.folder, node, disk, `${store}.store`);
      const { stdout } = succeeded(await runProgram(process.execPath, [STORAGE_NODE, 'store', 'checksum', '--path', path]));
      return stdout.split(' ')[0];
    }),
  );
  expect(new Set(digests).size, `members differ: ${digests.join(' ')}`).toBe(1);
}

test('a volume is made, written to, grows to three copies, has a store replaced and a member moved, and is deleted', async () => {
  const volume = await answer<Volume>(
    'volume',
    'create',
    'web',
    '--size',
    '64MiB',
    '--replicas',
    '2',
    '--disk',
    'storage-1/disk-1',
    'storage-2/disk-1',
  );
  expect(volume.members.map(({ node, disk, inSync }) => [node, disk, inSync])).toEqual([
    ['storage-1', 'disk-1', true],
    ['storage-2', 'disk-1', true],
  ]);
  const verified = writeTo(volume);
  await verified.progress(100, WAIT_MS_MAX);

  await answer('member', 'add', 'web', '--disk', 'storage-3/disk-1');
  await answer('member', 'replace', 'web', '2', '--disk', 'storage-2/disk-2', '--yes');
  await answer('member', 'maintenance', 'on', 'web', '1');
  await verified.progress(100, WAIT_MS_MAX);
  await answer('member', 'maintenance', 'off', 'web', '1');
  await answer('member', 'remove', 'web', '3', '--yes');
  await answer('member', 'replace', 'web', '1', '--disk', 'storage-3/disk-2', '--yes');
  await expectAllRight(verified, 2);
  expect((await show()).members.map(({ node, disk }) => `${node}/${disk}`).sort()).toEqual(['storage-2/disk-2', 'storage-3/disk-2']);

  // A client is connected: that is said, and nothing happens.
  const refused = await rmrctl('volume', 'delete', 'web', '--yes');
  expect(refused).toMatchObject({ code: 5, stderr: expect.stringContaining('NBD client') });
  verified.stop();
  await eventually(async () => succeeded(await rmrctl('volume', 'delete', 'web', '--yes')));
  expect(await storesOnDisks()).toEqual([]);
  expect((await rmrctl('volume', 'show', 'web')).code).toBe(4);
});

test('a volume is taken over under a client that writes: asked for, by force, and from a client node that is killed', async () => {
  await cluster.dispose();
  cluster = await TestCluster.start({ storageNodes: 3, clientNodes: 2 });
  let volume = await answer<Volume>('volume', 'create', 'web', '--size', '64MiB', '--disk', 'storage-1/disk-1', 'storage-2/disk-1');
  let server: string | null = 'client-1';
  writer = new VerifiedWriter({
    ...{ seed: 2, firstByte: 0, lengthBytes: 16 * MIB, mayFailFlush: () => false },
    // The client looks for the volume where it is served now, again and again.
    endpoint: () => (server === null ? null : { address: parseNbdUri(volume.nbdUri), instance: server }),
  });
  writer.write();
  const verified = writer;
  const takeOver = async (to: string, ...flags: readonly string[]): Promise<void> => {
    // What is in flight is left to itself: it may be carried out, but not after the other client node serves.
    server = null;
    verified.abandonConnection();
    await answer('volume', 'takeover', 'web', '--client', to, '--even-if-connected', ...flags);
    volume = await eventually(async () => {
      const now = await answer<Volume & { readonly servedBy: string }>('volume', 'show', 'web');
      expect(now).toMatchObject({ servedBy: to, health: { level: 'healthy' } });
      return now;
    });
    server = to;
    await verified.progress(100, WAIT_MS_MAX);
  };
  await verified.progress(100, WAIT_MS_MAX);
  await cluster.command('start', 'client-2');
  await eventually(() => answer('node', 'show', 'client-2'));

  // Its NBD client is in the way, and that is said.
  const refused = await rmrctl('volume', 'takeover', 'web', '--client', 'client-2');
  expect(refused).toMatchObject({ code: 5, stderr: expect.stringContaining('1 NBD client uses web') });
  await takeOver('client-2');
  await takeOver('client-1', '--force', '--yes');
  await takeOver('client-2');
  await cluster.command('kill', 'client-2');
  await takeOver('client-1');
  await expectAllRight(verified, 2);
});

test('a replacement goes on when the storage node and then the client node are killed in it, under a client that writes', async () => {
  const volume = await answer<Volume>('volume', 'create', 'web', '--size', '64MiB', '--disk', 'storage-1/disk-1', 'storage-2/disk-1');
  const verified = writeTo(volume);
  await verified.progress(100, WAIT_MS_MAX);
  await answer('resync', 'pause', 'web');
  const { operation } = await answer<{ operation: Operation }>(
    'member',
    'replace',
    'web',
    '2',
    '--disk',
    'storage-2/disk-2',
    '--yes',
    '--no-wait',
  );
  await cluster.killNow('storage-2');
  await verified.progress(50, WAIT_MS_MAX);
  await start(cluster.folder, ['storage-2']);
  await cluster.killNow('client-1');
  await start(cluster.folder, ['client-1']);
  // The pause holds beyond the death of the storage node.
  await eventually(async () => expect((await show()).members[1]).toMatchObject({ inSync: true, resync: { paused: true } }));
  await answer('resync', 'limit', 'web', '1GiB');
  await answer('resync', 'resume', 'web');
  const ended = await answer<Operation>('operation', 'wait', operation.id, '--timeout', '60s');
  expect(ended).toMatchObject({ state: 'SUCCEEDED', error: null });
  await expectAllRight(verified, 2);
  expect((await show()).members[1]?.disk).toBe('disk-2');
});

test('everything is killed at once: volumes, and the operations that had not ended, are there again', async () => {
  await answer('volume', 'create', 'web', '--size', '64MiB', '--disk', 'storage-1/disk-1', 'storage-2/disk-1');
  await answer('volume', 'create', 'db', '--size', '32MiB', '--replicas', '3');
  const verified = writeTo(await show());
  await verified.progress(100, WAIT_MS_MAX);
  const added = await answer<{ operation: Operation }>('member', 'add', 'web', '--disk', 'storage-3/disk-2', '--no-wait');
  await cluster.killNow('client-1', 'storage-1', 'storage-2', 'storage-3');
  await start(cluster.folder, ['storage-1', 'storage-2', 'storage-3', 'client-1']);
  expect(await answer<Operation>('operation', 'wait', added.operation.id, '--timeout', '60s')).toMatchObject({ state: 'SUCCEEDED' });
  await expectAllRight(verified, 3);
  await eventually(async () => expect((await show('db')).health.level).toBe('healthy'));
});

test('what can not be done is refused with the reason, and changes nothing', async () => {
  const { name: fixed } = cluster.file.pool;
  const refusals: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['volume', 'create', 'web', '--size', '100PiB'], 2, /volume\.create|size|Too big/i],
    [['volume', 'create', 'web', '--size', '1GiB', '--replicas', '4'], 9, /there are only 3 storage nodes/],
    [
      ['volume', 'create', 'web', '--size', '64MiB', '--disk', 'storage-1/disk-9', 'storage-2/disk-1'],
      4,
      /storage-1 has no disk disk-9; it has: disk-1, disk-2/,
    ],
    [['volume', 'create', 'web', '--size', '64MiB', '--disk', 'storage-1/disk-1', 'storage-1/disk-2'], 2, /named for two stores/],
    [['volume', 'delete', fixed, '--yes'], 5, /stands under "pools" in the configuration file/],
    [['volume', 'show', 'nobody'], 4, /there is no volume nobody/],
    [['member', 'remove', fixed, '9', '--yes'], 4, /has no member 9; it has: 1, 2, 3/],
    [['member', 'add', fixed, '--disk', 'storage-1/disk-1'], 5, /storage-1 has member 1 of the volume already/],
    [['operation', 'show', 'ffffffff'], 4, /operation ffffffff/],
  ];
  for (const [args, code, why] of refusals) {
    const outcome = await rmrctl(...args);
    expect([args, outcome.code, outcome.stderr]).toEqual([args, code, expect.stringMatching(why)]);
    expect(outcome.stdout).toBe('');
  }
  expect(await storesOnDisks()).toEqual([]);
  expect((await rmrctl('status')).code).toBe(0);
});
