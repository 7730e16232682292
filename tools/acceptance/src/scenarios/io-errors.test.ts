import { afterAll, beforeAll, describe, expect } from 'vitest';
import { FAILING_DISK_NEEDS, FailingDisk } from '../support/failing-disk.ts';
import { available, testNeeding } from '../support/requirements.ts';
import { eventually } from '../support/test-cluster.ts';
import { VerifiedDevice } from '../support/verified-device.ts';

const test = testNeeding(...FAILING_DISK_NEEDS);

let device: VerifiedDevice;
let disk: FailingDisk;

/** Before the tests of a group: a cluster whose storage-2 has a disk that fails `percent` of its requests when told to. */
function withDisk(seed: number, percent: number): void {
  if (!FAILING_DISK_NEEDS.every(available)) return;
  beforeAll(async () => {
    device = await VerifiedDevice.start({ seed });
    await device.cluster.down();
    disk = await FailingDisk.under(device.cluster.file.storageNodes[1]?.store as string, percent);
    await device.cluster.up();
  });
  afterAll(async () => {
    device.writer.stop();
    await device.cluster.down();
    await disk.dispose();
    await device.dispose();
  });
}

describe('a disk that fails every request', () => {
  withDisk(171, 100);

  test('its member leaves, IO goes on without an error, and it returns when the disk is well', async () => {
    await device.progress(100);
    await disk.fail();
    await device.progress(300);
    await eventually(async () => expect((await device.cluster.leg('storage-2')).state).not.toBe('NORMAL'));
    disk.recover();
    await device.progress(200);
    await device.expectConverged();
  });

  test('where it fails reads alone, other members answer them', async () => {
    await device.progress(100);
    const { readRetries } = (await device.cluster.poolStatus()).counters;
    await disk.failReads();
    await device.progress(500);
    expect((await device.cluster.poolStatus()).counters.readRetries).toBeGreaterThan(readRetries);
    disk.recover();
    await device.expectConverged();
  });
});

describe('a disk that fails one request in twenty', () => {
  withDisk(172, 5);

  test('whatever its member makes of that, nobody reads anything wrong', async () => {
    await device.progress(100);
    await disk.fail();
    await device.progress(1000);
    disk.recover();
    await device.progress(200);
    await device.expectConverged();
  });
});
