import { join } from 'node:path';
import { MIB } from '@rmr/runtime';
import { afterEach, beforeEach, expect } from 'vitest';
import { type Running, startProgram, succeeded } from './support/command.ts';
import { RecordingWriter } from './support/recording-writer.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await TestCluster.start({ size: '128MiB', transport: 'tcp' });
});

afterEach(async () => {
  await cluster.dispose();
});

/** fio with verification on four connections, for as long as it takes to lose a node under it. */
function verifyingFio(): Running {
  const part = 32 * MIB;
  return startProgram('fio', [
    '--name=verify',
    '--ioengine=nbd',
    `--uri=${cluster.nbdUri}`,
    '--rw=randrw',
    '--bs=4k',
    '--iodepth=8',
    '--numjobs=4',
    `--size=${part}`,
    `--offset_increment=${part}`,
    '--time_based',
    '--runtime=6',
    '--verify=crc32c',
    '--verify_fatal=1',
    '--verify_backlog=1024',
    '--group_reporting',
    `--aux-path=${cluster.folder}`,
    `--output=${join(cluster.folder, 'fio.txt')}`,
  ]);
}

/** Waits until the client node has completed `count` more writes than now. */
async function expectWrites(count: number, load: Running): Promise<void> {
  const from = (await cluster.poolStatus()).io.writes;
  await eventually(async () => expect((await cluster.poolStatus()).io.writes, load.stderr()).toBeGreaterThan(from + count));
}

/** The device serves, and says that it lost `name`. */
async function expectDegraded(name: string): Promise<void> {
  await eventually(async () => {
    const pool = await cluster.poolStatus();
    expect(pool.state).toBe('SERVING');
    expect(pool.health.level).toBe('degraded');
    expect(pool.health.sentence).toContain(name);
    const leg = pool.legs.find((each) => each.name === name);
    expect(leg?.state).not.toBe('NORMAL');
    expect(leg?.reason).not.toBe('');
    expect(pool.version?.inSync).not.toContain(leg?.memberId);
  });
}

testNeeding('fio', 'fio nbd engine')('a storage node is killed under fio: no IO error, IO goes on, status names the lost leg', async () => {
  const load = verifyingFio();
  await expectWrites(2000, load);
  await cluster.command('kill', 'storage-2');
  await expectWrites(2000, load);
  await expectDegraded('storage-2');
  succeeded(await load.ended);
  expect((await cluster.poolStatus()).io.errors).toBe(0);
});

testNeeding('python3-libnbd')('a storage node that was killed and started again never serves what it missed', async () => {
  const writer = new RecordingWriter(cluster.nbdUri, join(cluster.folder, 'record'), 21);
  await writer.progress(500);
  await cluster.command('kill', 'storage-1');
  await writer.progress(500);
  await cluster.command('start', 'storage-1');
  await writer.progress(500);
  await writer.stop();
  await writer.check(cluster.nbdUri);
  // The one that stayed is the authority after a restart of everything, too.
  await cluster.down();
  await cluster.up();
  await writer.check(cluster.nbdUri);
});

testNeeding('python3-libnbd')(
  'one storage node after the other: the survivor alone is not served by the one that fell behind',
  async () => {
    const writer = new RecordingWriter(cluster.nbdUri, join(cluster.folder, 'record'), 22);
    await writer.progress(300);
    await cluster.command('kill', 'storage-2');
    await writer.progress(300);
    await writer.stop();
    await cluster.command('kill', 'storage-1');
    await cluster.command('start', 'storage-2');
    // Only the member that fell behind is there. The device waits, and says for which member.
    await eventually(async () => {
      const { pools, sessions } = await cluster.clientStatus();
      expect(sessions.find((session) => session.peerName === 'storage-2')?.state).toBe('CONNECTED');
      expect(pools[0]?.state).toBe('WAITING');
      expect(pools[0]?.waitingFor?.what).toContain('storage-1');
      expect(pools[0]?.waitingFor?.what).toContain('in-sync set');
      // It is still a member of that set: nothing keeps it out once it is back.
      expect(pools[0]?.waitingFor?.what).not.toContain('stays out');
    });
    await cluster.command('start', 'storage-1');
    await eventually(async () => expect((await cluster.poolStatus()).state).toBe('SERVING'));
    await writer.check(cluster.nbdUri);
  },
);

testNeeding('python3-libnbd')(
  'a storage node that is cut off leaves, IO goes on, and what it missed is not read after the cut heals',
  async () => {
    const writer = new RecordingWriter(cluster.nbdUri, join(cluster.folder, 'record'), 23);
    await writer.progress(300);
    await cluster.command('partition', 'client-1', 'storage-2');
    await writer.progress(300);
    await expectDegraded('storage-2');
    await cluster.command('heal', 'client-1', 'storage-2');
    await writer.progress(300);
    await writer.stop();
    await writer.check(cluster.nbdUri);
  },
);
