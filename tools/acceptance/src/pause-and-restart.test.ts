import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { succeeded } from './support/command.ts';
import { nbdScript } from './support/nbd-script.ts';
import { RecordingWriter } from './support/recording-writer.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';

const test = testNeeding('python3-libnbd');

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await TestCluster.start();
});

afterEach(async () => {
  await cluster.dispose();
});

test('a storage node that is paused for a moment stays in the set: IO waits, then goes on without an error', async () => {
  const writer = new RecordingWriter(cluster.nbdUri, join(cluster.folder, 'record'), 41);
  await writer.progress(300);
  await cluster.command('pause', 'storage-2');
  // Every write needs both members, so nothing is completed any more.
  await eventually(async () => {
    const first = await cluster.poolStatus();
    const second = await cluster.poolStatus();
    expect(second.io.writes).toBe(first.io.writes);
    expect(second.legs.some((leg) => leg.inFlight > 0)).toBe(true);
  });
  await cluster.command('resume', 'storage-2');
  await writer.progress(300);
  await writer.stop();
  await cluster.command('wait', '--healthy');
  await writer.check(cluster.nbdUri);
  await cluster.expectIdenticalMembers();
});

test('a graceful stop of everything under a writer loses nothing, and the members are identical', async () => {
  const writer = new RecordingWriter(cluster.nbdUri, join(cluster.folder, 'record'), 42);
  await writer.progress(500);
  await cluster.down();
  await writer.ended;
  await cluster.expectIdenticalMembers();
  await cluster.up();
  await cluster.command('wait', '--healthy');
  await writer.check(cluster.nbdUri);
  await cluster.expectIdenticalMembers();
});

test('a restarted client node has the same export, at the same size, with no manual step', async () => {
  const before = await cluster.clientStatus();
  succeeded(await nbdScript(cluster.nbdUri, 'h.pwrite(b"\\x42" * 4096, 12345)'));
  await cluster.command('kill', 'client-1');
  expect(cluster.file.clientNode.pid).toBeNull();
  await cluster.command('start', 'client-1');
  const after = await cluster.clientStatus();
  expect(after.node.incarnation).not.toBe(before.node.incarnation);
  expect(after.exports.map(({ name, poolUuid, sizeBytes }) => ({ name, poolUuid, sizeBytes }))).toEqual(
    before.exports.map(({ name, poolUuid, sizeBytes }) => ({ name, poolUuid, sizeBytes })),
  );
  succeeded(await nbdScript(cluster.nbdUri, 'assert h.pread(4096, 12345) == b"\\x42" * 4096'));
  await cluster.expectIdenticalMembers();
});
