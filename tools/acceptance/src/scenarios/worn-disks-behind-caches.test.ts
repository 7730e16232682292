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
const NEEDS = [...FAILING_DISK_NEEDS, 'losetup', 'loop devices'] as const;
/** A member leaves for each place that a flush has failed for, and waits longer each time. */
const TEST_MS = 360_000;
const WAIT_MS = 240_000;

let device: VerifiedDevice;
let disks: WornDisk[] = [];

beforeAll(async () => {
  if (!NEEDS.every(available)) return;
  device = await VerifiedDevice.start({ seed: 517, mayFailFlush: true });
  const areas = await dataAreas(device.cluster.folder);
  await device.cluster.down();
  for (const [index, { store }] of device.cluster.file.storageNodes.entries()) {
    const firstByte = (areas[index]?.offsetBytes as number) + (WORN_FROM[index] as number);
    disks.push(await WornDisk.under(store as string, { firstByte, lengthBytes: WORN_BYTES }, { behindCache: true }));
  }
  await device.cluster.up();
}, 120_000);

afterAll(async () => {
  if (device === undefined) return;
  device.writer.stop();
  await device.cluster.down();
  for (const disk of disks) await disk.dispose();
  disks = [];
  await device.dispose();
}, 120_000);

/** What a storage node says of its member. */
async function member(index: number): Promise<ServerPoolStatus> {
  const node = device.cluster.file.storageNodes[index];
  const status = await createAdminClient({ url: node?.admin as string }).status.query();
  if (status.role !== 'storage-node' || status.pools[0] === undefined) throw new Error(`${node?.name} serves no pool`);
  return status.pools[0];
}

/** The member serves, its health says what to do, and every place that it names lies where its disk has worn out. */
async function expectRefused(index: number): Promise<void> {
  const { sync, health, state } = await member(index);
  expect([state, sync.refusedBytes > 0], JSON.stringify(health)).toEqual(['NORMAL', true]);
  for (const { offsetBytes, lengthBytes } of sync.refusedRanges) {
    expect(offsetBytes).toBeGreaterThanOrEqual(WORN_FROM[index] as number);
    expect(offsetBytes + lengthBytes).toBeLessThanOrEqual((WORN_FROM[index] as number) + WORN_BYTES);
  }
  expect(health).toMatchObject({ level: 'degraded', sentence: expect.stringContaining('Replace the disk') });
}

testNeeding(...NEEDS)(
  'W10: two disks behind page caches that fail flushes for a place of their own each: what one lacks the other has; status says which disk, and where',
  async () => {
    await device.progress(100);
    for (const [index, disk] of disks.entries()) {
      disk.wearOut();
      await eventually(async () => {
        await device.progress(50);
        await expectRefused(index);
      }, WAIT_MS);
    }
    // Reads and writes of everything, also across what each of them lacks, with both in the set.
    await eventually(async () => {
      await device.progress(200);
      for (const index of disks.keys()) await expectRefused(index);
      expect((await device.cluster.poolStatus()).version?.inSync).toEqual([1, 2]);
    }, WAIT_MS);
    await device.writer.rest(60_000);
    await device.writer.readBack(1, 60_000);
    device.writer.check();
    for (const disk of disks) disk.recover();
    await device.expectConverged();
    for (const index of disks.keys()) expect((await member(index)).sync.refusedBytes).toBe(0);
  },
  TEST_MS,
);
