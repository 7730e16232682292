import { afterAll, beforeAll, expect, test } from 'vitest';
import { WAIT_MS_MAX } from '../support/test-cluster.ts';
import { VerifiedDevice } from '../support/verified-device.ts';

let device: VerifiedDevice;

beforeAll(async () => {
  // What is not asked for takes more than half a minute: resync is not over when the writes below are.
  device = await VerifiedDevice.start({ seed: 101, resyncRate: '256KiB' });
});

afterAll(async () => {
  await device.dispose();
});

test('IO goes on while a member that was away pulls what it has missed', async () => {
  await device.progress(100);
  await device.killNow('storage-2');
  await device.progress(1500);
  await device.writer.rest(WAIT_MS_MAX);
  await device.start('storage-2');
  await device.resyncing('storage-2');
  const before = (await device.cluster.poolStatus()).io;
  const { sync: syncBefore } = await device.cluster.member('storage-2');
  // Few: chunks that IO needs are pulled at once, whatever the rate.
  await device.progress(150);
  await device.writer.rest(WAIT_MS_MAX);
  const after = (await device.cluster.poolStatus()).io;
  expect(after.writes).toBeGreaterThan(before.writes);
  expect(after.reads).toBeGreaterThan(before.reads);
  expect(after.errors).toBe(0);
  // All of it has been answered, and resync was not over.
  const { state, sync } = await device.cluster.member('storage-2');
  expect([state, sync.state, sync.reason]).toEqual(['NORMAL', 'RUNNING', '']);
  expect(sync.bytesLeft).toBeGreaterThan(0);
  expect(sync.pulledBytes).toBeGreaterThan(syncBefore.pulledBytes);
  // What is left goes faster while the writer asks for it.
  device.writer.write();
  await device.expectConverged();
});
