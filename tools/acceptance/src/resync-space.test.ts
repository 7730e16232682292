import { statSync } from 'node:fs';
import { layout, start, waitUntilConverged } from '@rmr/cluster';
import { MIB } from '@rmr/runtime';
import { afterEach, expect } from 'vitest';
import { runProgram, succeeded } from './support/command.ts';
import { nbdScript } from './support/nbd-script.ts';
import { CLIENT_NODE } from './support/paths.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';

const test = testNeeding('python3-libnbd');

/** Copying takes as long as the machine likes. */
const CONVERGE_MS_MAX = 300_000;
/** By how much members may differ that hold the same. */
const DIFFERENCE_MAX = 0.02;
const BLOCK_BYTES = 512;

let cluster: TestCluster;

afterEach(async () => {
  await cluster.dispose();
});

/** Bytes that each member's store has allocated, as `stat` says, after what is in the page cache was written. */
function allocatedBytes(): number[] {
  return cluster.file.storageNodes.map(({ store }) => statSync(store ?? '').blocks * BLOCK_BYTES);
}

/** Members that hold the same take the same space, up to a fiftieth. */
function expectEqualSpace(): number[] {
  const allocated = allocatedBytes();
  const [least, most] = [Math.min(...allocated), Math.max(...allocated)];
  expect(most - least, `members take ${allocated.join(' and ')} bytes`).toBeLessThanOrEqual(most * DIFFERENCE_MAX);
  return allocated;
}

/** What all storage nodes have sent to one another for resync, in reads and bytes. */
async function sent(): Promise<{ reads: number; bytes: number }> {
  const counters = await Promise.all(cluster.file.storageNodes.map(async ({ name }) => (await cluster.member(name)).counters));
  return {
    reads: counters.reduce((sum, { syncReads }) => sum + syncReads, 0),
    bytes: counters.reduce((sum, { syncReadBytes }) => sum + syncReadBytes, 0),
  };
}

async function run(code: string): Promise<void> {
  succeeded(await nbdScript(cluster.nbdUri, code));
}

/** A block of 4 KiB in every 128 KiB. */
const SPREAD = (value: string): string => `
for at in range(0, size, 128 * 1024):
    h.pwrite(${value} * 4096, at)
h.flush()
`;

test('what was written block by block while a member was away takes no more space on it than elsewhere', async () => {
  cluster = await TestCluster.start({ size: '256MiB' });
  await run(SPREAD('b"a"'));
  const before = expectEqualSpace();
  await cluster.killNow('storage-2');
  await run(SPREAD('b"b"'));
  await start(cluster.folder, ['storage-2']);
  await waitUntilConverged(cluster.folder, CONVERGE_MS_MAX);
  const after = expectEqualSpace();
  expect(after[1]).toBeLessThanOrEqual((before[1] as number) * (1 + DIFFERENCE_MAX));
  // A thirty-second of the device is data.
  expect((await sent()).bytes).toBeLessThan((256 * MIB) / 8);
  await cluster.expectIdenticalMembers();
});

test('64 GiB that were trimmed while a member was away cost a few reads, and the member gives its space back', async () => {
  cluster = await TestCluster.start({ size: '64GiB' });
  await run('for at in range(0, size, 1 << 30): h.pwrite(b"x" * (1 << 20), at)\nh.flush()\n');
  const [full] = expectEqualSpace();
  expect(full).toBeGreaterThan(64 * MIB);
  await cluster.killNow('storage-2');
  await run('for at in range(0, size, 1 << 30): h.trim(1 << 30, at)\nh.flush()\n');
  await start(cluster.folder, ['storage-2']);
  await waitUntilConverged(cluster.folder, CONVERGE_MS_MAX);
  const [first, second] = expectEqualSpace();
  expect([first, second].every((bytes) => (bytes as number) < (full as number) - 60 * MIB)).toBe(true);
  // 64 GiB in reads of 64 MiB, and some to find out that there is nothing but holes.
  const { reads, bytes } = await sent();
  expect(reads).toBeLessThan(3 * 1024);
  expect(bytes).toBeLessThan(MIB);
});

test('a full copy of a member carries data, and not what is free', async () => {
  cluster = await TestCluster.start({ size: '8GiB' });
  await run('for at in range(0, size, 1 << 27): h.pwrite(b"x" * 4096, at + 12288)\nh.flush()\n');
  const before = expectEqualSpace();
  const config = layout.config(cluster.folder, 'client-1');
  succeeded(
    await runProgram(process.execPath, [CLIENT_NODE, 'copy-anew', '--pool', cluster.file.pool.name, '--config', config, '--member', '2']),
  );
  await waitUntilConverged(cluster.folder, CONVERGE_MS_MAX);
  await eventually(async () => expect((await cluster.member('storage-2')).sync.pulledBytes).toBe(cluster.sizeBytes));
  const after = expectEqualSpace();
  expect(after[1]).toBeLessThanOrEqual((before[1] as number) * (1 + DIFFERENCE_MAX));
  expect((await sent()).bytes).toBeLessThan(8 * MIB);
});
