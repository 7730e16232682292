import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createAdminClient, type NodeStoreStatus } from '@rmr/admin-api';
import { afterEach, beforeEach, expect } from 'vitest';
import { run, succeeded } from './support/command.ts';
import { nbdScript } from './support/nbd-script.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';

const TEST_MS = 240_000;

let cluster: TestCluster;
/** What has to be undone after a test, the last first. */
const undo: (() => Promise<unknown> | unknown)[] = [];

beforeEach(async () => {
  cluster = await TestCluster.start({ size: '256MiB' });
});

afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
  await cluster.dispose();
});

/** Puts the stores of these nodes, by index, on file systems of their own of 80 MiB. Returns where these are. */
async function onSmall(kind: 'tmpfs' | 'ext4', indexes: readonly number[]): Promise<string[]> {
  await cluster.down();
  const mounts: string[] = [];
  for (const index of indexes) {
    const mount = join(cluster.folder, `small-${index}`);
    mkdirSync(mount);
    if (kind === 'tmpfs') {
      await run('mount', '-t', 'tmpfs', '-o', 'size=80m', 'tmpfs', mount);
    } else {
      const image = `${mount}.image`;
      await run('truncate', '--size=80M', image);
      await run('mkfs.ext4', '-q', image);
      await run('mount', '-o', 'loop', image, mount);
    }
    undo.push(() => run('umount', mount));
    const path = cluster.file.storageNodes[index]?.store as string;
    // Sparsely: its dirty maps have no space of their own then, as in stores of older programs.
    await run('cp', '--sparse=always', path, join(mount, 'store'));
    rmSync(path);
    symlinkSync(join(mount, 'store'), path);
    mounts.push(mount);
  }
  undo.push(() => cluster.down());
  await cluster.up();
  return mounts;
}

async function store(index: number): Promise<NodeStoreStatus> {
  const status = await createAdminClient({ url: cluster.file.storageNodes[index]?.admin as string }).status.query();
  if (status.role !== 'storage-node') throw new Error(`storage-${index + 1} says that it is a ${status.role}`);
  return status.stores[0] as NodeStoreStatus;
}

async function script(code: string): Promise<string> {
  return succeeded(await nbdScript(cluster.nbdUri, `${HELPERS}\n${code}`)).stdout;
}

/** `fill(first, depth)`: writes every MiB from the first on, so many at a time; what it returns are the numbers of those that found space. */
const HELPERS = `
MIB = 1 << 20

def block(number, round=1):
    return bytes([number, round]) * (MIB // 2)

def fill(first, depth, count=256):
    written, left = set(), list(range(first, count))
    in_flight = {}
    while left or in_flight:
        while left and len(in_flight) < depth:
            number = left.pop(0)
            buffer = nbd.Buffer.from_bytearray(bytearray(block(number)))
            in_flight[h.aio_pwrite(buffer, number * MIB)] = (number, buffer)
        h.poll(-1)
        for cookie in list(in_flight):
            try:
                if h.aio_command_completed(cookie):
                    written.add(in_flight.pop(cookie)[0])
            except nbd.Error as error:
                assert error.errno == "ENOSPC", error.string
                del in_flight[cookie]
    return written

def check(numbers, round=1):
    for number in numbers:
        assert h.pread(MIB, number * MIB) == block(number, round), f"block {number} is wrong"
`;

const NEEDS = ['python3-libnbd', 'mount', 'permission to mount'] as const;

for (const kind of ['tmpfs', 'ext4'] as const) {
  const needs = kind === 'tmpfs' ? NEEDS : ([...NEEDS, 'mkfs.ext4', 'losetup', 'loop devices', 'ext4 in the kernel'] as const);
  testNeeding(...needs)(
    `all members are full (${kind}): writes that need space fail with ENOSPC, everything else goes on, and what a trim frees is used again`,
    async () => {
      await onSmall(kind, [0, 1]);
      const pids = cluster.pids();
      const output = await script(`
written = fill(0, 1)
assert 50 <= len(written) < 80, len(written)
h.flush()
check(written)
expect_error({"ENOSPC"}, h.pwrite, block(200), 200 * MIB)
# Places that have space are written as before, and reads of others give what they gave.
h.pwrite(block(3, 2), 3 * MIB)
h.pwrite(block(4, 2)[:4096], 4 * MIB + 4096, nbd.CMD_FLAG_FUA)
assert h.pread(MIB, 200 * MIB) == bytes(MIB)
h.flush()
# Zeroes without space find none, and holes need none.
expect_error({"ENOSPC"}, h.zero, MIB, 210 * MIB, nbd.CMD_FLAG_NO_HOLE)
h.zero(MIB, 211 * MIB)
check([3], 2)
print(len(written))
`);
      const count = Number(output);
      const pool = await cluster.poolStatus();
      expect(pool.version?.inSync, JSON.stringify(pool.legs)).toEqual([1, 2]);
      expect(pool.legs.map(({ state }) => state)).toEqual(['NORMAL', 'NORMAL']);
      for (const index of [0, 1]) {
        const { health, space, state } = await store(index);
        expect([state, health.level]).toEqual(['MAPPED', 'degraded']);
        expect(health.sentence).toMatch(/is full since .*: its file system has .* free; writes that need space are refused/);
        expect(space?.fullSince).not.toBeNull();
      }
      // The client node's sentence has the cause, which only the storage nodes know.
      await eventually(async () => {
        const { health } = await cluster.poolStatus();
        expect(health.level).toBe('degraded');
        expect(health.sentence).toMatch(
          /member 1 \(storage-1\) has refused writes for lack of space since .*: its disk is full \(.* free\)/,
        );
        expect(health.sentence).toContain('member 2 (storage-2) has refused writes for lack of space');
      });
      await cluster.expectIdenticalMembers();
      await script(`
h.trim(10 * MIB, 10 * MIB)
h.pwrite(block(200), 200 * MIB)
h.pwrite(block(201), 201 * MIB)
check([200, 201])
check([3], 2)
check(set(range(5, ${count})) - set(range(10, 20)))
h.flush()
`);
      await eventually(async () => {
        for (const index of [0, 1]) expect((await store(index)).space?.fullSince).toBeNull();
      });
      expect((await cluster.poolStatus()).version).toEqual(pool.version);
      cluster.expectUnharmed(pids);
      await cluster.expectIdenticalMembers();
    },
    TEST_MS,
  );
}

testNeeding(...NEEDS)(
  'all members are full, with many writes at a time: equal members refuse the same ones, and stay in sync',
  async () => {
    await onSmall('tmpfs', [0, 1]);
    const { version } = await cluster.poolStatus();
    await script(`
written = fill(0, 16)
assert 50 <= len(written) < 80, len(written)
h.flush()
check(written)
`);
    const pool = await cluster.poolStatus();
    expect(pool.version, JSON.stringify(pool.legs)).toEqual(version);
    await cluster.expectIdenticalMembers();
  },
  TEST_MS,
);

testNeeding(...NEEDS)(
  'one member is full: it leaves, and does not come back before it has space; writes see no error',
  async () => {
    const [mount] = await onSmall('tmpfs', [0]);
    const pids = cluster.pids();
    await script(`
written = fill(0, 4, 160)
assert len(written) == 160, len(written)
h.flush()
check(written)
`);
    await eventually(async () => {
      // Now and then it comes back without space, as it frees some by itself: it leaves with the next write that finds none.
      await script('h.pwrite(block(159), 159 * MIB)');
      expect((await cluster.poolStatus()).version?.inSync).toEqual([2]);
      const leg = await cluster.leg('storage-1');
      expect(`${leg.reason} ${leg.waitingFor?.what}`).toMatch(/full disk \(.* free\) and has missed/);
      expect(leg.waitingFor?.remedy).toContain('Free space on the file system of the store on storage-1');
    });
    const before = (await cluster.poolStatus()).version;
    await script(`
for i in range(200):
    h.pwrite(block(i % 160), (i % 160) * MIB)
h.flush()
`);
    expect((await cluster.poolStatus()).version).toEqual(before);
    await run('mount', '-o', 'remount,size=400m', mount as string);
    await eventually(async () => expect((await cluster.poolStatus()).version?.inSync).toEqual([1, 2]), TEST_MS);
    await cluster.command('wait', '--converged');
    await cluster.expectIdenticalMembers();
    cluster.expectUnharmed(pids);
  },
  TEST_MS,
);
