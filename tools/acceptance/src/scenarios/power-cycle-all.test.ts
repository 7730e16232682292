import { afterEach, expect, test } from 'vitest';
import { VerifiedDevice } from '../support/verified-device.ts';

let device: VerifiedDevice;

afterEach(async () => {
  await device.dispose();
});

test('every process is killed at one moment while a member is behind: it catches up after the restart', async () => {
  device = await VerifiedDevice.start({ seed: 151, resyncRate: '2MiB' });
  await device.progress(200);
  await device.killNow('storage-2');
  await device.progress(1200);
  await device.start('storage-2');
  await device.resyncing('storage-2');
  await device.killNow('storage-1', 'storage-2', 'client-1');
  await device.cluster.up();
  await device.progress(200);
  await device.expectConverged();
});

test('all hosts restart at one moment, with nothing lost: the members agree on what was in flight', async () => {
  device = await VerifiedDevice.start({ seed: 152, mayFailFlush: true });
  await device.progress(400);
  await device.powerCycle('all');
  await device.progress(200);
  await device.expectConverged();
});

test('all hosts lose power, and with it what was not flushed: what was flushed is there, and the members agree', async () => {
  device = await VerifiedDevice.start({ seed: 153, volatileCache: true, mayFailFlush: true });
  for (let loss = 0; loss < 3; loss++) {
    await device.progress(400);
    await device.killNow('storage-1', 'storage-2', 'client-1');
    device.writer.record.volatileLost();
    await device.powerCycle('storage-1', 'storage-2', 'client-1');
  }
  await device.progress(400);
  expect(device.writer.record.counters.flushes).toBeGreaterThan(0);
  await device.expectConverged();
});

test('one host after the other loses power, each after the former has caught up: nothing is lost', async () => {
  device = await VerifiedDevice.start({ seed: 154, volatileCache: true });
  for (const name of ['storage-1', 'storage-2', 'client-1', 'storage-1']) {
    await device.progress(200);
    await device.powerCycle(name);
    await device.converged();
  }
  await device.expectConverged();
});
