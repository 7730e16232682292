import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/test-cluster.ts';
import { VerifiedDevice } from '../support/verified-device.ts';

let device: VerifiedDevice;

beforeAll(async () => {
  device = await VerifiedDevice.start({ seed: 121, storageNodes: 3, resyncRate: '8MiB' });
});

afterAll(async () => {
  await device.dispose();
});

/** Moments of a member's return, from its session to its first pull. */
const MOMENTS = {
  'its session is back': async () => {
    const { sessions } = await device.cluster.clientStatus();
    expect(sessions.find((session) => session.peerName === 'storage-2')?.state).toBe('CONNECTED');
  },
  'its map is being updated': async () => expect((await device.cluster.leg('storage-2')).state).not.toBe('FAILED'),
  'it is back in the set': async () => expect((await device.cluster.leg('storage-2')).state).toBe('NORMAL'),
} as const;

/** Loses storage-2, lets writes miss it, starts it again, and waits for a moment of its return. */
async function returning(moment: keyof typeof MOMENTS): Promise<void> {
  await device.progress(100);
  await device.killNow('storage-2');
  await device.progress(300);
  await device.start('storage-2');
  await eventually(MOMENTS[moment]);
}

test.each(Object.keys(MOMENTS) as (keyof typeof MOMENTS)[])(
  'the returning member is killed when %s: it returns the next time',
  async (moment) => {
    await returning(moment);
    await device.killNow('storage-2');
    await device.progress(200);
    await device.start('storage-2');
    await device.expectConverged();
  },
);

test('the members that stayed are killed, one after the other, when the map is being updated', async () => {
  for (const name of ['storage-1', 'storage-3']) {
    await returning('its map is being updated');
    await device.killNow(name);
    await device.start(name);
    await device.progress(200);
    await device.converged();
  }
  await device.expectConverged();
});

test('the client node is killed when the map is being updated: the member returns to its successor', async () => {
  await returning('its map is being updated');
  await device.killNow('client-1');
  await device.start('client-1');
  await device.progress(200);
  await device.expectConverged();
});
