import { afterEach, expect, test } from 'vitest';
import { nameDoubtful, OldStoresRig } from './old-stores-rig.ts';

let rig: OldStoresRig;

afterEach(async () => {
  await rig.dispose();
});

/** Pattern 1 is on both members; the copy of member 2's store is of that time; pattern 2 is on both members, and flushed. */
async function copyOfStoppedStore(): Promise<string> {
  await rig.write(1);
  await rig.two.stop();
  const copy = await rig.two.copyStore();
  await rig.two.start();
  await rig.healthy();
  await rig.write(2);
  return copy;
}

test('an older copy of a store comes back while the client lives: it is found, and copied anew', async () => {
  rig = await OldStoresRig.start();
  const copy = await copyOfStoppedStore();
  await rig.two.stop();
  await rig.two.putBack(copy);
  await rig.two.start();
  await rig.toldOld(2);
  await rig.recovered(2);
});

test('the same, with the store named as doubtful', async () => {
  rig = await OldStoresRig.start();
  const copy = await copyOfStoppedStore();
  await rig.two.stop();
  await rig.two.putBack(copy);
  nameDoubtful(rig.two);
  await rig.two.start();
  await rig.toldOld(2);
  await rig.recovered(2);
});

test('everything was stopped in order, and an older copy is put back: the other member serves, and the copy is copied anew', async () => {
  rig = await OldStoresRig.start();
  const copy = await copyOfStoppedStore();
  await rig.stopAll();
  await rig.two.putBack(copy);
  await rig.startAll();
  await rig.toldOld(2);
  await rig.recovered(2);
});

test('everything was killed, and an older copy is put back: the pool waits, says why, and an operator may force it', async () => {
  rig = await OldStoresRig.start();
  const copy = await copyOfStoppedStore();
  await rig.killAll();
  await rig.two.putBack(copy);
  await rig.startAll();
  await rig.toldOld(2);
  const pool = await rig.waitsFor(/member 2 \(storage-2\) has a store that/);
  expect(pool.health.level).toBe('down');
  expect(pool.waitingFor?.remedy).toMatch(/client-node force/);
  expect(await rig.exported()).toBe(false);
  const plan = await rig.order('force');
  expect(plan.code, plan.stderr).toBe(2);
  expect(plan.stdout).toMatch(/It would be served by:\n.*\n\s+1\s+storage-1/);
  expect(plan.stdout).toMatch(/It would leave behind:\n.*\n\s+2\s+storage-2/);
  expect(plan.stdout).toContain('--yes-lose storage-2');
  expect((await rig.pool()).state).toBe('WAITING');
  const forced = await rig.order('force', '--yes-lose', 'storage-2');
  expect(forced.code, forced.stderr).toBe(0);
  await rig.recovered(2);
});

test('the stores of all members are put back on purpose, from one moment: what was there then is served', async () => {
  rig = await OldStoresRig.start();
  await rig.write(1);
  await rig.stopAll();
  const copies = [await rig.one.copyStore(), await rig.two.copyStore()] as const;
  await rig.startAll();
  await rig.healthy();
  await rig.write(2);
  await rig.stopAll();
  await rig.one.putBack(copies[0]);
  await rig.two.putBack(copies[1]);
  await rig.startAll();
  await rig.recovered(1);
  await rig.write(3);
  await rig.recovered(3);
});
