import { afterEach, expect, test } from 'vitest';
import { VerifiedDevice } from '../support/verified-device.ts';

let device: VerifiedDevice;

afterEach(async () => {
  await device.dispose();
});

test('a member is away for longer than any queue holds: it misses chunks, not requests, and catches up', async () => {
  device = await VerifiedDevice.start({ seed: 161, storageNodes: 3 });
  await device.progress(100);
  await device.killNow('storage-3');
  // The pool has 128 IO units, and so has the session.
  await device.progress(4000);
  // However much was written: what it has missed is counted in chunks of the device.
  const { dirtyBytes } = await device.cluster.leg('storage-3');
  expect(dirtyBytes).toBeGreaterThan(0);
  expect(dirtyBytes).toBeLessThanOrEqual(device.cluster.sizeBytes);
  await device.start('storage-3');
  await device.expectConverged();
});

test('a member that is cut off for long knows nothing of it, and is not believed until it has caught up', async () => {
  device = await VerifiedDevice.start({ seed: 162 });
  await device.progress(100);
  await device.partition('client-1', 'storage-2');
  await device.progress(2000);
  await device.heal('client-1', 'storage-2');
  await device.expectConverged();
});
