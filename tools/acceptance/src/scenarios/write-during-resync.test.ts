import { afterAll, beforeAll, expect, test } from 'vitest';
import { VerifiedDevice } from '../support/verified-device.ts';

let device: VerifiedDevice;

beforeAll(async () => {
  device = await VerifiedDevice.start({ seed: 101, resyncRate: '2MiB' });
});

afterAll(async () => {
  await device.dispose();
});

test('IO goes on while a member that was away pulls what it has missed', async () => {
  await device.progress(100);
  await device.killNow('storage-2');
  await device.progress(1500);
  await device.start('storage-2');
  await device.resyncing('storage-2');
  const before = (await device.cluster.poolStatus()).io;
  await device.progress(500);
  const after = (await device.cluster.poolStatus()).io;
  expect(after.writes).toBeGreaterThan(before.writes);
  expect(after.reads).toBeGreaterThan(before.reads);
  expect(after.errors).toBe(0);
  await device.expectConverged();
});
