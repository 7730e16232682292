import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { describe } from './support/command.ts';
import { isAlive } from './support/processes.ts';
import { RecordingWriter } from './support/recording-writer.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';

const test = testNeeding('python3-libnbd');

/** What the writer ends with when its server goes away, and no IO error came before. */
const EXIT_SERVER_GONE = 4;

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await TestCluster.start();
});

afterEach(async () => {
  await cluster.dispose();
});

function newWriter(seed: number): RecordingWriter {
  return new RecordingWriter(cluster.nbdUri, join(cluster.folder, `record-${seed}`), seed);
}

/** The writer saw its server go, and nothing worse. */
async function expectServerLoss(writer: RecordingWriter): Promise<void> {
  const outcome = await writer.ended;
  expect(outcome.code, describe(outcome)).toBe(EXIT_SERVER_GONE);
}

/** All data is there, and the members agree on what was in flight. */
async function expectRecovered(writer: RecordingWriter): Promise<void> {
  await cluster.command('wait', '--healthy');
  await writer.check(cluster.nbdUri);
  await cluster.expectIdenticalMembers();
}

test('all daemons are killed under a writer, client node first: acknowledged data is there, the members are identical', async () => {
  const writer = newWriter(31);
  await writer.progress(1000);
  await cluster.command('kill', 'client-1');
  await expectServerLoss(writer);
  await cluster.command('kill', 'storage-1');
  await cluster.command('kill', 'storage-2');
  for (const name of ['storage-1', 'storage-2', 'client-1']) await cluster.command('start', name);
  await expectRecovered(writer);
});

test('all daemons are killed at one moment under a writer: acknowledged data is there, the members are identical', async () => {
  const writer = newWriter(32);
  await writer.progress(1000);
  const pids = cluster.pids();
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await expectServerLoss(writer);
  for (const pid of pids) await eventually(() => expect(isAlive(pid)).toBe(false));
  expect(cluster.pids().filter(isAlive)).toEqual([]);
  await cluster.up();
  await expectRecovered(writer);
});

test('writes that reached one member only when everything was killed: the members differ, and agree after the restart', async () => {
  const writer = newWriter(37);
  await writer.progress(300);
  // What is sent to a stopped process waits in its socket, and dies with it.
  for (let isWrite = false; !isWrite; ) {
    await cluster.command('pause', 'storage-2');
    await eventually(async () => {
      const legs = new Map((await cluster.poolStatus()).legs.map((leg) => [leg.name, leg.inFlight]));
      expect(legs.get('storage-2')).toBeGreaterThan(0);
      expect(legs.get('storage-1')).toBe(0);
      // A flush goes alone, and makes no difference.
      isWrite = (legs.get('storage-2') as number) > 1;
    });
    if (isWrite) break;
    await cluster.command('resume', 'storage-2');
    await writer.progress(50);
  }
  for (const pid of cluster.pids()) process.kill(pid, 'SIGKILL');
  await expectServerLoss(writer);
  expect((await cluster.checksum()).code).toBe(1);
  await cluster.up();
  await expectRecovered(writer);
});

test('the client node is killed under a writer and started again: the export is back, acknowledged data too, the members are identical', async () => {
  const before = cluster.nbdUri;
  const first = newWriter(33);
  await first.progress(500);
  await cluster.command('kill', 'client-1');
  await expectServerLoss(first);
  await cluster.command('start', 'client-1');
  expect(cluster.nbdUri).toBe(before);
  await expectRecovered(first);
});

test('three crashes in a row: what was acknowledged before the first is there after the last', async () => {
  const record = join(cluster.folder, 'record');
  for (const seed of [34, 35, 36]) {
    const writer = new RecordingWriter(cluster.nbdUri, record, seed);
    await writer.progress(200);
    for (const pid of cluster.pids()) process.kill(pid, 'SIGKILL');
    await expectServerLoss(writer);
    await cluster.up();
    // The record is continued from run to run, so this compares with all of them.
    await expectRecovered(writer);
  }
});
