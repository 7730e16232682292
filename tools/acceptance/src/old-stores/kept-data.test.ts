import { randomFillSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { MIB } from '@rmr/runtime';
import { afterEach, expect, test } from 'vitest';
import { DEVICE_BYTES, OldStoresRig, type StorageDaemon } from './old-stores-rig.ts';

let rig: OldStoresRig;

afterEach(async () => {
  await rig.dispose();
});

/** A store around data that was there; returns the digest of that. */
async function keepData(node: StorageDaemon): Promise<string> {
  writeFileSync(node.store, randomFillSync(Buffer.alloc(DEVICE_BYTES + 8 * MIB)));
  expect(await node.createStore('--keep-data', '--force')).toMatch(/all other members are copied from it/);
  return await node.digest();
}

test('two members were created with --keep-data: the pool is not created, and both keep what they have', async () => {
  rig = await OldStoresRig.prepare();
  const digests = [await keepData(rig.one), await keepData(rig.two)];
  await rig.startAll();
  const created = await rig.order('create');
  expect(created.code).not.toBe(0);
  expect(created.stderr).toMatch(/member 1 \(storage-1\) and member 2 \(storage-2\) were created with --keep-data/);
  expect((await rig.pool()).born).toBe(false);
  expect(await rig.exported()).toBe(false);
  await rig.stopAll();
  expect([await rig.one.digest(), await rig.two.digest()]).toEqual(digests);
});

test.each([
  ['first', 1],
  ['last', 2],
] as const)('the %s member was created with --keep-data: the other is copied from it', async (_name, memberId) => {
  rig = await OldStoresRig.prepare();
  const [keeper, other] = memberId === 1 ? [rig.one, rig.two] : [rig.two, rig.one];
  const digest = await keepData(keeper);
  await other.createStore();
  await rig.startAll();
  const created = await rig.order('create');
  expect(created.code, created.stderr).toBe(0);
  await rig.healthy();
  expect(await rig.identical()).toBe(digest);
});
