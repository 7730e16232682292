import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, type TestCluster, WAIT_MS_MAX } from '../support/test-cluster.ts';
import { VerifiedDevice } from '../support/verified-device.ts';

let device: VerifiedDevice;
let cluster: TestCluster;

async function start(seed: number, storageNodes: number): Promise<void> {
  device = await VerifiedDevice.start({ seed, storageNodes, resyncRate: '2MiB' });
  cluster = device.cluster;
}

afterAll(async () => {
  await device.dispose();
});

/** Brings the member storage-2 into the middle of its resync. */
async function intoResync(): Promise<void> {
  await device.progress(100);
  await device.killNow('storage-2');
  await device.progress(1200);
  await device.start('storage-2');
  await device.resyncing('storage-2');
}

describe('two members', () => {
  beforeAll(() => start(111, 2));

  test('the source is killed: what only it has waits for it, and resync goes on when it is back', async () => {
    await device.progress(100);
    await device.killNow('storage-2');
    await device.progress(1200);
    // At rest, so that nothing but resync pulls, and nothing but what is asked here waits.
    await device.writer.rest(WAIT_MS_MAX);
    await device.start('storage-2');
    await device.resyncing('storage-2');
    await device.killNow('storage-1');
    const question = await device.askForWhatOnlyHas('storage-1');
    // The writer comes to wait, too.
    device.writer.write();
    await eventually(async () => expect((await cluster.poolStatus()).waits[0]?.requests).toBeGreaterThan(1));
    await device.expectWaiting(question, 'storage-1');
    const { sync } = await cluster.member('storage-2');
    expect(sync.bytesLeft).toBeGreaterThan(0);
    expect(sync.reason).toContain('storage-1');
    await device.start('storage-1');
    await eventually(() => expect(question.state).toBe(0));
    await device.progress(200);
    await device.expectConverged();
  });

  test('the target is killed: it goes on with what is left', async () => {
    await intoResync();
    await device.killNow('storage-2');
    await device.progress(200);
    await device.start('storage-2');
    await device.expectConverged();
  });

  test('the client node is killed: its successor knows what is left', async () => {
    await intoResync();
    await device.killNow('client-1');
    await device.start('client-1');
    await device.progress(200);
    await device.expectConverged();
  });

  test('the storage nodes are cut off from one another: resync stands still, says why, and goes on when they are joined', async () => {
    await intoResync();
    await device.partition('storage-1', 'storage-2');
    await eventually(async () => {
      const { sync, syncLegs } = await cluster.member('storage-2');
      expect(syncLegs.map((leg) => leg.ready)).toEqual([false]);
      expect(sync.bytesLeft).toBeGreaterThan(0);
      expect(sync.reason).toContain('storage-1');
    });
    await device.heal('storage-1', 'storage-2');
    await device.progress(200);
    await device.expectConverged();
  });
});

describe('three members', () => {
  beforeAll(async () => {
    await device.dispose();
    await start(112, 3);
  });

  test('one of two sources is killed: resync goes on from the other', async () => {
    await intoResync();
    await device.killNow('storage-1');
    await device.progress(200);
    await device.start('storage-1');
    await device.expectConverged();
  });
});
