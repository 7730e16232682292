import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, WAIT_MS_MAX } from '../support/test-cluster.ts';
import { VerifiedDevice } from '../support/verified-device.ts';

let device: VerifiedDevice;

beforeAll(async () => {
  device = await VerifiedDevice.start({ seed: 141, storageNodes: 3, resyncRate: '2MiB' });
});

afterAll(async () => {
  await device.dispose();
});

test('two of three members are lost one after the other: the third serves alone, and both return', async () => {
  await device.progress(100);
  await device.killNow('storage-2');
  await device.progress(300);
  await device.killNow('storage-3');
  await device.progress(300);
  await device.start('storage-2', 'storage-3');
  await device.expectConverged();
});

test('the only member that has everything is lost while another one pulls from it: what is left waits for it, whoever else returns', async () => {
  await device.progress(100);
  await device.killNow('storage-2', 'storage-3');
  await device.progress(1200);
  // At rest, so that nothing but resync pulls, and nothing but what is asked here waits.
  await device.writer.rest(WAIT_MS_MAX);
  await device.start('storage-2');
  await device.resyncing('storage-2');
  await device.killNow('storage-1');
  // What storage-2 has not pulled yet waits; storage-3 is further behind and no help.
  const question = await device.askForWhatOnlyHas('storage-1');
  await device.start('storage-3');
  await eventually(async () => expect((await device.cluster.leg('storage-3')).state).toBe('NORMAL'));
  await device.expectWaiting(question, 'storage-1');
  await device.start('storage-1');
  await eventually(() => expect(question.state).toBe(0));
  await device.progress(200);
  await device.expectConverged();
});

test('a member and the client node are lost at one moment: the next client node waits for that member, and says so', async () => {
  await device.progress(100);
  // The client node goes first: in the moment between the two it could record a version without storage-3.
  await device.killNow('client-1', 'storage-3');
  await device.start('client-1');
  // Another version might be recorded there: no client node can know.
  await eventually(async () => {
    const { state, waitingFor } = await device.cluster.poolStatus();
    expect(state).toBe('WAITING');
    expect(waitingFor?.what).toContain('storage-3');
  });
  await device.start('storage-3');
  await device.progress(200);
  await device.expectConverged();
});
