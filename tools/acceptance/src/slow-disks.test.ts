import { createAdminClient, type NodeStoreStatus } from '@rmr/admin-api';
import { afterEach, beforeEach, expect } from 'vitest';
import { succeeded } from './support/command.ts';
import { nbdScript } from './support/nbd-script.ts';
import { testNeeding } from './support/requirements.ts';
import { SLOW_DISK_NEEDS, SlowDisk } from './support/slow-disk.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';

const TEST_MS = 240_000;
const MIB = 1024 * 1024;
/** Bits per second: 1 MB/s. */
const SLOW = 8_000_000;
/** MiB that such a disk writes for longer than it may be silent, 20 s. */
const OWED = 26;
/** MiB that are written once its pace is known. */
const BOUNDED = 12;
/** In which a disk that hangs is found, and its store comes back. */
const HANG_MS = 90_000;

let cluster: TestCluster;
/** What has to be undone after a test, the last first. */
const undo: (() => Promise<unknown> | unknown)[] = [];

beforeEach(async () => {
  cluster = await TestCluster.start({ size: '64MiB' });
});

afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
  await cluster.dispose();
});

async function store(index: number): Promise<NodeStoreStatus> {
  const admin = cluster.file.storageNodes[index]?.admin as string;
  const status = await createAdminClient({ url: admin }).status.query();
  if (status.role !== 'storage-node') throw new Error('a storage node says that it is none');
  return status.stores[0] as NodeStoreStatus;
}

async function unwrittenBytes(index: number): Promise<number> {
  const text = await (await fetch(`${cluster.file.storageNodes[index]?.admin}/metrics`)).text();
  const line = text.split('\n').find((each) => each.startsWith('rmr_store_unwritten_bytes{'));
  return Number(line?.split(' ').at(-1));
}

testNeeding(...SLOW_DISK_NEEDS, 'python3-libnbd')(
  'disks that are slow, all of them, keep their stores, and take in no more than they can write soon; one that hangs is found',
  async () => {
    await cluster.down();
    const disks: SlowDisk[] = [];
    for (const { store: path } of cluster.file.storageNodes) {
      const disk = await SlowDisk.under(path as string);
      undo.push(() => disk.dispose());
      disks.push(disk);
    }
    undo.push(() => cluster.down());
    await cluster.up();
    const pids = cluster.pids();
    const first = disks[0] as SlowDisk;
    undo.push(() => first.thaw());
    const write = (count: number, content: number): string =>
      `for i in range(${count}): h.pwrite(bytes([${content} + i]) * ${MIB}, i * ${MIB})\nh.flush()`;
    const expectServed = async (): Promise<void> => {
      for (const index of [0, 1]) {
        expect((await store(index)).state).toBe('MAPPED');
        expect(cluster.log(`storage-${index + 1}`)).not.toContain('a store is detached');
      }
      const pool = await cluster.poolStatus();
      expect([pool.state, pool.io.errors]).toEqual(['SERVING', 0]);
    };
    // The first write to a region waits for a flush of the write intent, and so for the disk. Later ones go to the page cache.
    succeeded(await nbdScript(cluster.nbdUri, write(OWED, 1)));
    // Now the disks get slow from one moment to the next, and owe more than they were known to need long for.
    for (const disk of disks) disk.slow(SLOW);
    succeeded(await nbdScript(cluster.nbdUri, write(OWED, 101)));
    await expectServed();

    let unwrittenMax = 0;
    let written = false;
    const writing = nbdScript(cluster.nbdUri, write(BOUNDED, 201)).finally(() => {
      written = true;
    });
    await eventually(async () => {
      for (const index of [0, 1]) unwrittenMax = Math.max(unwrittenMax, await unwrittenBytes(index));
      expect(written).toBe(true);
    }, TEST_MS);
    succeeded(await writing);
    // 4 MiB, which is the least, a write beyond it, and the metadata, which never waits.
    expect(unwrittenMax).toBeGreaterThan(MIB);
    expect(unwrittenMax).toBeLessThan(7 * MIB);
    await expectServed();

    for (const disk of disks) disk.fast();
    first.freeze();
    const more = nbdScript(cluster.nbdUri, `h.pwrite(b"\\xee" * ${MIB}, 0); h.flush()`);
    await eventually(async () => expect((await store(0)).state).toBe('DETACHED'), HANG_MS);
    expect((await store(0)).reason).toContain('has not answered within 20000 ms');
    succeeded(await more);
    first.thaw();
    await eventually(async () => expect((await store(0)).state).toBe('MAPPED'), HANG_MS);
    await eventually(async () => expect((await cluster.poolStatus()).version?.inSync).toEqual([1, 2]), HANG_MS);
    await cluster.command('wait', '--converged');
    await cluster.expectIdenticalMembers();
    cluster.expectUnharmed(pids);
  },
  TEST_MS,
);
