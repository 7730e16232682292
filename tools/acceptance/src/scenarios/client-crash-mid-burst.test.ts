import { afterEach, expect, test } from 'vitest';
import { eventually } from '../support/test-cluster.ts';
import { VerifiedDevice } from '../support/verified-device.ts';

let device: VerifiedDevice;

afterEach(async () => {
  await device.dispose();
});

/** Writes are under way that storage-1 has executed and storage-2, which is paused, has not. */
async function halfWritten(): Promise<void> {
  await device.progress(200);
  await device.pause('storage-2');
  await eventually(async () => {
    const legs = new Map((await device.cluster.poolStatus()).legs.map((leg) => [leg.name, leg.inFlight]));
    expect(legs.get('storage-2')).toBeGreaterThan(0);
    expect(legs.get('storage-1')).toBe(0);
  });
}

test('the client node is killed with writes on one member only: what a reader sees of them stays', async () => {
  device = await VerifiedDevice.start({ seed: 131 });
  await halfWritten();
  await device.killNow('client-1');
  await device.resume('storage-2');
  await device.start('client-1');
  await device.progress(200);
  await device.expectConverged();
});

test('a rival takes over while one member is paused: that one returns to it', async () => {
  device = await VerifiedDevice.start({ seed: 132, clientNodes: 2, storageNodes: 3 });
  await device.start('client-2');
  await halfWritten();
  device.client = 'client-2';
  await device.killNow('client-1');
  await device.resume('storage-2');
  await device.progress(200);
  await device.expectConverged();
});

test('three crashes in a row in the middle of a burst', async () => {
  device = await VerifiedDevice.start({ seed: 133 });
  for (let crash = 0; crash < 3; crash++) {
    await device.progress(200);
    await device.killNow('client-1');
    await device.start('client-1');
  }
  await device.progress(200);
  await device.expectConverged();
});
