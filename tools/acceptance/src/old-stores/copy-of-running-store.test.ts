import { afterEach, expect, test } from 'vitest';
import { nameDoubtful, OldStoresRig } from './old-stores-rig.ts';

let rig: OldStoresRig;

afterEach(async () => {
  await rig.dispose();
});

/**
 * Pattern 1 is on both members; the copy is of member 2's store while it ran; pattern 2 is on both members, and flushed. A store
 * becomes older every now and then (AGE_FLUSHED_MS), and what was written since the last time is not what these tests are about.
 */
async function copyOfRunningStore(options: { readonly quorum?: 'majority'; readonly witness?: true } = {}): Promise<string> {
  rig = await OldStoresRig.start(options);
  await rig.write(1);
  const copy = await rig.two.copyStore();
  await rig.write(2);
  await rig.heardOlder(rig.two, copy);
  return copy;
}

test('a copy of a running store comes back while the client lives: it is found, and copied anew', async () => {
  const copy = await copyOfRunningStore();
  await rig.two.kill();
  await rig.two.putBack(copy);
  await rig.two.start();
  await rig.toldOld(2);
  await rig.recovered(2);
});

test('the same, with the store named as doubtful', async () => {
  const copy = await copyOfRunningStore();
  await rig.two.kill();
  await rig.two.putBack(copy);
  nameDoubtful(rig.two);
  await rig.two.start();
  await rig.toldOld(2);
  await rig.recovered(2);
});

test('everything was stopped in order, and a copy of a running store is put back: it is found, and copied anew', async () => {
  const copy = await copyOfRunningStore();
  await rig.stopAll();
  await rig.two.putBack(copy);
  await rig.startAll();
  await rig.toldOld(2);
  await rig.recovered(2);
});

test('everything was killed, and a copy of a running store is put back: the pool waits, and an operator may force it', async () => {
  const copy = await copyOfRunningStore();
  await rig.killAll();
  await rig.two.putBack(copy);
  await rig.startAll();
  await rig.waitsFor(/member 2 \(storage-2\) has a store that/);
  const forced = await rig.order('force', '--yes-lose', 'storage-2');
  expect(forced.code, forced.stderr).toBe(0);
  await rig.recovered(2);
});

test('with a quorum everything was killed, and a copy of a running store is put back: what was written last is served', async () => {
  const copy = await copyOfRunningStore({ quorum: 'majority', witness: true });
  await rig.killAll();
  await rig.two.putBack(copy);
  await rig.startAll();
  await rig.toldOld(2);
  await rig.recovered(2);
});

test('copies of both running stores are put back: the pool is not served as if nothing had happened', async () => {
  rig = await OldStoresRig.start();
  await rig.write(1);
  const copies = [await rig.one.copyStore(), await rig.two.copyStore()] as const;
  await rig.write(2);
  await rig.heardOlder(rig.two, copies[1]);
  await rig.two.kill();
  await rig.one.kill();
  await rig.one.putBack(copies[0]);
  await rig.two.putBack(copies[1]);
  await rig.one.start();
  await rig.two.start();
  await rig.toldOld(1);
  await rig.toldOld(2);
  await rig.waitsFor(/a store that/);
  const plan = await rig.order('force');
  expect(plan.code, plan.stderr).toBe(2);
  expect(plan.stdout).toMatch(/went back in\s+time/);
});
