import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect } from 'vitest';
import { RecordingWriter } from './support/recording-writer.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, TestCluster, WAIT_MS_MAX } from './support/test-cluster.ts';

const test = testNeeding('python3-libnbd');

/** A storage node that stutters is stopped until IO has waited for it for so long: less than what makes its session end. */
const STALL_MS = 3_000;
/** Rounds of that within which it must be out: it holds up IO for most of the time, and a third of the while that counts is enough. */
const ROUNDS_MAX = 12;
const TIMEOUT_MS = 6 * WAIT_MS_MAX;

let cluster: TestCluster;
let writer: RecordingWriter;

beforeEach(async () => {
  cluster = await TestCluster.start();
  writer = new RecordingWriter(cluster.nbdUri, join(cluster.folder, 'record'), 61);
  await writer.progress(100);
});

afterEach(async () => {
  await cluster.dispose();
});

const isOut = async (): Promise<boolean> => (await cluster.leg('storage-2')).state !== 'NORMAL';

/** The node does not run until it has held up IO for a while, or is out. Whether it is out. */
async function stall(): Promise<boolean> {
  const pid = cluster.pid('storage-2');
  process.kill(pid, 'SIGSTOP');
  try {
    return await eventually(async () => {
      const { oldestIoSince } = await cluster.poolStatus();
      const waitedMs = oldestIoSince === null ? 0 : Date.now() - Date.parse(oldestIoSince);
      const out = await isOut();
      expect(out || waitedMs >= STALL_MS, `the oldest IO has waited for ${waitedMs} ms`).toBe(true);
      return out;
    });
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

/** Something is written. */
async function moves(): Promise<void> {
  const { io } = await cluster.poolStatus();
  await eventually(async () => expect((await cluster.poolStatus()).io.writes).toBeGreaterThan(io.writes));
}

describe('a storage node that answers only now and then', () => {
  test(
    'is out, status says why and when it is tried again, and clients hardly notice it any more',
    async () => {
      process.kill(cluster.pid('storage-2'), 'SIGSTOP');
      // At once: what waits, for which member, and since when.
      const waiting = await eventually(async () => {
        const { health, waits } = await cluster.poolStatus();
        expect(waits.map(({ kind }) => kind)).toContain('LEG');
        return health;
      });
      process.kill(cluster.pid('storage-2'), 'SIGCONT');
      expect(waiting.level).toBe('degraded');
      expect(waiting.sentence).toContain('IO waits for member 2 (storage-2) to answer what was sent more than a second ago');

      const seen: string[] = [];
      for (let round = 0; round < ROUNDS_MAX && !(await isOut()); round++) {
        await stall();
        await moves();
        // Also in between, when everything flows.
        const { health, legs } = await cluster.poolStatus();
        if (legs.every((leg) => leg.state === 'NORMAL')) seen.push(`${health.level}: ${health.sentence}`);
      }
      expect(seen.length, 'it was judged by less than two stalls').toBeGreaterThan(0);
      expect(seen.at(-1)).toMatch(/^degraded: .*member 2 \(storage-2\) has held up IO for \d+ s within the last 30 s/);
      const leftFor = /it held up IO for [\d.]+ s within the last 30 s/;
      expect(cluster.log('client-1')).toMatch(leftFor);

      // It goes on like that, and comes back now and then: each time it is out again long before IO has waited for so long.
      for (let round = 0; round < 6; round++) {
        expect(await stall(), 'it is in the set, and holds up IO as before').toBe(true);
        await writer.progress(50);
      }
      // It does not run: whatever is tried, writes go on, and status says so.
      process.kill(cluster.pid('storage-2'), 'SIGSTOP');
      const out = await eventually(async () => {
        const leg = await cluster.leg('storage-2');
        expect(leg.state).not.toBe('NORMAL');
        return leg;
      });
      expect(out.waitingFor?.what).toBeTruthy();
      await writer.progress(300);
      process.kill(cluster.pid('storage-2'), 'SIGCONT');

      // It is well again, and comes back by itself.
      await cluster.command('wait', '--healthy', '--timeout', '150s');
      await writer.stop();
      await writer.check(cluster.nbdUri);
      await cluster.expectIdenticalMembers();
    },
    TIMEOUT_MS,
  );
});
