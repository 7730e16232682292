import { createAdminClient, type ServerPoolStatus } from '@rmr/admin-api';
import { dataAreas } from '@rmr/cluster';
import { MIB } from '@rmr/runtime';
import { afterAll, beforeAll, expect } from 'vitest';
import { FAILING_DISK_NEEDS } from '../support/failing-disk.ts';
import { available, testNeeding } from '../support/requirements.ts';
import { eventually } from '../support/test-cluster.ts';
import { VerifiedDevice } from '../support/verified-device.ts';
import { WornDisk } from '../support/worn-disk.ts';

/** The members' disks wear out in different places of the device, in the part that is written to. */
const WORN_BYTES = MIB;
const WORN_FROM = [2 * MIB, 9 * MIB];

let device: VerifiedDevice;
let disks: WornDisk[] = [];

beforeAll(async () => {
  if (!FAILING_DISK_NEEDS.every(available)) return;
  device = await VerifiedDevice.start({ seed: 516 });
  const areas = await dataAreas(device.cluster.folder);
  await device.cluster.down();
  for (const [index, { store }] of device.cluster.file.storageNodes.entries()) {
    const firstByte = (areas[index]?.offsetBytes as number) + (WORN_FROM[index] as number);
    disks.push(await WornDisk.under(store as string, { firstByte, lengthBytes: WORN_BYTES }));
  }
  await device.cluster.up();
});

afterAll(async () => {
  if (device === undefined) return;
  device.writer.stop();
  await device.cluster.down();
  for (const disk of disks) await disk.dispose();
  disks = [];
  await device.dispose();
});

/** What a storage node says of its member. */
async function member(index: number): Promise<ServerPoolStatus> {
  const node = device.cluster.file.storageNodes[index];
  const status = await createAdminClient({ url: node?.admin as string }).status.query();
  if (status.role !== 'storage-node' || status.pools[0] === undefined) throw new Error(`${node?.name} serves no pool`);
  return status.pools[0];
}

testNeeding(...FAILING_DISK_NEEDS)(
  'W10: two disks that take nothing in a place of their own each hold nobody up; what one lacks the other has; status says which disk, and where',
  async () => {
    await device.progress(100);
    for (const [index, disk] of disks.entries()) {
      disk.wearOut();
      // Its member leaves with the first write that fails, and comes back without what the disk does not take.
      await eventually(async () => {
        await device.progress(50);
        const { sync, health, state } = await member(index);
        expect([state, sync.refusedBytes > 0]).toEqual(['NORMAL', true]);
        for (const { offsetBytes, lengthBytes } of sync.refusedRanges) {
          expect(offsetBytes).toBeGreaterThanOrEqual(WORN_FROM[index] as number);
          expect(offsetBytes + lengthBytes).toBeLessThanOrEqual((WORN_FROM[index] as number) + WORN_BYTES);
        }
        expect(health).toMatchObject({ level: 'degraded', sentence: expect.stringContaining('Replace the disk') });
      });
    }
    // Reads and writes of everything, also across what each of them lacks.
    await device.progress(500);
    await device.writer.rest(60_000);
    await device.writer.readBack(1, 60_000);
    device.writer.check();
    for (const disk of disks) disk.recover();
    await device.expectConverged();
    for (const index of disks.keys()) expect((await member(index)).sync.refusedBytes).toBe(0);
  },
  240_000,
);
