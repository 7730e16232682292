import { afterEach, expect, test } from 'vitest';
import { eventually } from '../support/test-cluster.ts';
import { VerifiedDevice } from '../support/verified-device.ts';

let device: VerifiedDevice;

afterEach(async () => {
  await device.dispose();
});

/** The pool waits, and names the majority that it waits for. */
async function expectPaused(): Promise<void> {
  await eventually(async () => {
    const { state, waitingFor } = await device.cluster.poolStatus();
    expect(state).toBe('WAITING');
    expect(waitingFor?.what).toContain('a majority');
  });
}

test('two members and a witness: one of them may be lost, and then the next; with two lost at a time IO waits until one is back', async () => {
  device = await VerifiedDevice.start({ seed: 151, storageNodes: 2, quorum: 'majority', witness: true });
  await device.progress(100);
  await device.killNow('storage-2');
  await device.progress(200);
  // Both have recorded that storage-1 has everything: without it nobody can go on, so it may.
  await device.killNow('witness');
  await device.progress(200);
  await device.start('storage-2', 'witness');
  await device.expectConverged();
  // The node is lost before the witness can hear of it.
  await device.killNow('witness', 'storage-1');
  await expectPaused();
  await device.start('witness');
  await device.progress(200);
  await device.start('storage-1');
  await device.expectConverged();
});

test('three members with a majority: a new client node goes on with two, and the third returns', async () => {
  device = await VerifiedDevice.start({ seed: 152, storageNodes: 3, quorum: 'majority' });
  await device.progress(200);
  await device.killNow('storage-3', 'client-1');
  await device.start('client-1');
  await device.progress(200);
  await device.killNow('storage-2');
  await expectPaused();
  await device.start('storage-2', 'storage-3');
  await device.progress(200);
  await device.expectConverged();
});
