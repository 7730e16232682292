import { afterEach, expect, test } from 'vitest';
import { OldStoresRig } from './old-stores-rig.ts';

let rig: OldStoresRig;

afterEach(async () => {
  await rig.dispose();
});

test('a store was created anew under the UUID of a pool that exists: no pool is born by itself, and of two none is served', async () => {
  rig = await OldStoresRig.start();
  await rig.write(1);
  await rig.two.stop();
  await rig.write(2);
  await rig.client.stop();
  await rig.one.stop();
  const first = await rig.one.digest();
  await rig.two.createStore();
  await rig.two.start();
  await rig.startClient({ members: [rig.two.member()] });
  await rig.waitsFor(/an operator to create pool demo/);
  const unborn = await rig.pool();
  expect([unborn.born, unborn.health.level]).toEqual([false, 'down']);
  expect(unborn.health.sentence).toMatch(/no member that answers has ever been in service/);
  expect(await rig.exported()).toBe(false);
  // The wrong order, and the right configuration afterwards.
  expect((await rig.order('create')).code).toBe(0);
  await rig.served();
  await rig.write(3);
  await rig.client.stop();
  await rig.one.start();
  await rig.startClient();
  const pool = await rig.waitsFor(/different lineages/);
  expect(pool.waitingFor?.what).toMatch(/lineage [0-9a-f-]{36} of member 1 \(storage-1\), version/);
  expect(pool.waitingFor?.what).toMatch(/lineage [0-9a-f-]{36} of member 2 \(storage-2\), version/);
  expect(pool.waitingFor?.remedy).toMatch(/Find out which members have the data that counts/);
  expect(await rig.exported()).toBe(false);
  const force = await rig.order('force');
  expect(force.code).not.toBe(0);
  expect(force.stderr).toMatch(/different lineages/);
  const create = await rig.order('create');
  expect(create.code, create.stdout).not.toBe(0);
  // The operator has found out: the first pool is what counts.
  await rig.two.stop();
  await rig.client.stop();
  expect(await rig.one.digest()).toBe(first);
  await rig.startClient();
  await rig.served();
  await rig.reads(2);
  await rig.two.start();
  await rig.reads(2);
  expect((await rig.leg(2)).inSync).toBe(false);
});

test('both stores were created anew under a running client: neither it nor its next start serves them', async () => {
  rig = await OldStoresRig.start();
  await rig.write(1);
  await rig.one.stop();
  await rig.two.stop();
  await rig.one.createStore();
  await rig.two.createStore();
  await rig.one.start();
  await rig.two.start();
  const pool = await rig.waitsFor(/empty stores|never been in service|former store/);
  expect(pool.state).toBe('WAITING');
  const create = await rig.order('create');
  expect(create.code, create.stdout).not.toBe(0);
  await rig.client.stop();
  await rig.startClient();
  await rig.waitsFor(/an operator to create pool demo/);
  expect((await rig.pool()).born).toBe(false);
  expect(await rig.exported()).toBe(false);
});
