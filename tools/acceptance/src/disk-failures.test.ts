import { closeSync, mkdirSync, openSync, renameSync, rmSync, symlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createAdminClient, type NodeStoreStatus } from '@rmr/admin-api';
import { afterEach, beforeEach, expect } from 'vitest';
import { run } from './support/command.ts';
import { RecordingWriter } from './support/recording-writer.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';

/** A disk that hangs is given up after 20 s, and its leg after 30 s. */
const HANG_TEST_MS = 240_000;
/** In which a store whose disk hangs is taken away; less than the test has, so that it says what was seen instead. */
const DETACHED_MS = 120_000;

let cluster: TestCluster;
/** What has to be undone after a test, the last first. */
const undo: (() => Promise<unknown> | unknown)[] = [];

beforeEach(async () => {
  cluster = await TestCluster.start({ size: '32MiB' });
});

afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
  await cluster.dispose();
});

function storePath(): string {
  return cluster.file.storageNodes[0]?.store as string;
}

/** What storage-1 says of its store. */
async function store(): Promise<NodeStoreStatus> {
  const admin = cluster.file.storageNodes[0]?.admin as string;
  const status = await createAdminClient({ url: admin }).status.query();
  if (status.role !== 'storage-node') throw new Error(`storage-1 says that it is a ${status.role}`);
  return status.stores[0] as NodeStoreStatus;
}

async function expectServing(inSync: readonly number[]): Promise<void> {
  await eventually(async () => {
    const pool = await cluster.poolStatus();
    expect(pool.state).toBe('SERVING');
    expect(pool.version?.inSync, JSON.stringify(pool.legs)).toEqual(inSync);
  }, HANG_TEST_MS);
}

/** storage-1 is a member again, in the same process, and every member has the same bytes. */
async function expectReturn(writer: RecordingWriter, pids: readonly number[]): Promise<void> {
  await eventually(async () => expect((await store()).state).toBe('MAPPED'), HANG_TEST_MS);
  await expectServing([1, 2]);
  await writer.progress(200);
  await writer.stop();
  await writer.check(cluster.nbdUri);
  await cluster.command('wait', '--converged');
  await cluster.expectIdenticalMembers();
  cluster.expectUnharmed(pids);
  expect((await cluster.poolStatus()).io.errors).toBe(0);
}

/** Puts storage-1's store somewhere else, while nothing runs. */
async function moveStore(to: string): Promise<void> {
  await run('cp', storePath(), to);
  rmSync(storePath());
  symlinkSync(to, storePath());
}

function fill(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (const block of [new Uint8Array(1 << 20), new Uint8Array(4096)]) while (writeSync(file, block) === block.length);
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  } finally {
    closeSync(file);
  }
}

testNeeding('python3-libnbd')('the file of a store is removed under a writer: IO goes on, and put back it is a member again', async () => {
  const pids = cluster.pids();
  const writer = new RecordingWriter(cluster.nbdUri, join(cluster.folder, 'record'), 31);
  await writer.progress(200);
  renameSync(storePath(), `${storePath()}.away`);
  await eventually(async () => expect((await store()).state).toBe('DETACHED'));
  expect((await store()).reason).toMatch(/was removed|does not exist/);
  // The client node says why, too, and not only that there is no store.
  await eventually(async () =>
    expect((await cluster.poolStatus()).health.sentence).toMatch(/its store is not open: \S*store\S* (was removed|does not exist)/),
  );
  await expectServing([2]);
  await writer.progress(200);
  renameSync(`${storePath()}.away`, storePath());
  await expectReturn(writer, pids);
});

testNeeding(
  'python3-libnbd',
  'mount',
  'permission to mount',
)('the file system of a store is full: IO goes on, and with space it is a member again', async () => {
  await cluster.down();
  const small = join(cluster.folder, 'small');
  mkdirSync(small);
  await run('mount', '-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', small);
  undo.push(() => run('umount', small));
  undo.push(() => cluster.down());
  await moveStore(join(small, 'store'));
  // Sparse, as a store is that was never written.
  await run('fallocate', '--dig-holes', join(small, 'store'));
  await cluster.up();
  const pids = cluster.pids();
  fill(join(small, 'full'));
  const writer = new RecordingWriter(cluster.nbdUri, join(cluster.folder, 'record'), 32);
  await writer.progress(200);
  await expectServing([2]);
  rmSync(join(small, 'full'));
  await expectReturn(writer, pids);
});

testNeeding(
  'python3-libnbd',
  'mkfs.ext4',
  'fsfreeze',
  'losetup',
  'loop devices',
  'mount',
  'permission to mount',
  'ext4 in the kernel',
)(
  'the disk of a store hangs: IO goes on without it, status says what it waits for, and once it answers it is a member again',
  async () => {
    await cluster.down();
    const frozen = join(cluster.folder, 'frozen');
    const image = join(cluster.folder, 'image');
    mkdirSync(frozen);
    await run('truncate', '--size=128M', image);
    await run('mkfs.ext4', '-q', image);
    await run('mount', '-o', 'loop', image, frozen);
    undo.push(() => run('umount', frozen));
    const backing = join(frozen, 'backing');
    await run('truncate', '--size=48M', backing);
    const device = (await run('losetup', '--find', '--show', backing)).trim();
    undo.push(() => run('losetup', '--detach', device));
    undo.push(() => cluster.down());
    await moveStore(device);
    await cluster.up();
    const pids = cluster.pids();
    const writer = new RecordingWriter(cluster.nbdUri, join(cluster.folder, 'record'), 33);
    await writer.progress(200);
    await run('fsfreeze', '--freeze', frozen);
    let thawed = false;
    const thaw = async (): Promise<void> => {
      if (!thawed) await run('fsfreeze', '--unfreeze', frozen);
      thawed = true;
    };
    undo.push(thaw);
    await eventually(async () => expect((await store()).state).toBe('DETACHED'), DETACHED_MS);
    expect((await store()).reason).toContain('has not answered within 20000 ms');
    expect((await store()).waitingFor?.what).toMatch(/requests that do not end on the disk|the store to be closed/);
    await expectServing([2]);
    await writer.progress(200);
    await thaw();
    await expectReturn(writer, pids);
  },
  HANG_TEST_MS,
);
