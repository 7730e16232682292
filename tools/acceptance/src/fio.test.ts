import { join } from 'node:path';
import { MIB } from '@rmr/runtime';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { run } from './support/command.ts';
import { testNeeding } from './support/requirements.ts';
import { TestCluster } from './support/test-cluster.ts';

const test = testNeeding('fio', 'fio nbd engine');

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({ size: '128MiB' });
});

afterEach(async () => {
  await cluster.expectIdenticalMembers();
});

afterAll(async () => {
  await cluster.dispose();
});

/** Runs fio on the device, each connection on its own part: what one writes, no other changes before it is verified. */
async function fio(connections: number, ...options: readonly string[]): Promise<void> {
  const part = Math.floor(cluster.sizeBytes / connections / MIB) * MIB;
  await run(
    'fio',
    '--name=verify',
    '--ioengine=nbd',
    `--uri=${cluster.nbdUri}`,
    `--numjobs=${connections}`,
    `--size=${part}`,
    `--offset_increment=${part}`,
    '--verify_fatal=1',
    '--verify_dump=0',
    '--randrepeat=1',
    '--group_reporting',
    `--aux-path=${cluster.folder}`,
    `--output=${join(cluster.folder, 'fio.txt')}`,
    ...options,
  );
}

test('fio: random reads and writes over four connections verify', async () => {
  await fio(4, '--rw=randrw', '--bs=4k', '--iodepth=16', '--io_size=24M', '--verify=crc32c');
});

test('fio: requests of every size from 512 bytes to 1 MiB verify', async () => {
  await fio(2, '--rw=randwrite', '--bsrange=512-1M', '--bs_unaligned=1', '--iodepth=8', '--io_size=48M', '--verify=crc32c');
});

test('fio: sequential requests of 8 MiB verify', async () => {
  await fio(1, '--rw=write', '--bs=8M', '--iodepth=4', '--verify=crc32c');
});

test('fio: writes with a flush after every eighth verify', async () => {
  await fio(2, '--rw=randwrite', '--bs=16k', '--iodepth=8', '--fsync=8', '--io_size=8M', '--verify=crc32c');
});

test('fio: trims mixed with writes verify', async () => {
  await fio(2, '--rw=randtrimwrite', '--bs=64k', '--iodepth=4', '--io_size=16M');
  await fio(
    2,
    '--rw=randwrite',
    '--bs=16k',
    '--iodepth=8',
    '--io_size=16M',
    '--verify=crc32c',
    '--trim_percentage=20',
    '--trim_verify_zero=1',
  );
});

test('fio: eight connections on the same blocks leave the members identical', async () => {
  await fio(1, '--rw=randwrite', '--bs=4k', '--iodepth=8', '--numjobs=8', '--offset_increment=0', '--size=1M', '--io_size=4M');
});
