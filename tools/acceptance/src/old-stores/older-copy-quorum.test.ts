import { afterEach, test } from 'vitest';
import { OldStoresRig } from './old-stores-rig.ts';

let rig: OldStoresRig;

afterEach(async () => {
  await rig.dispose();
});

async function copyOfStoppedStore(): Promise<string> {
  rig = await OldStoresRig.start({ quorum: 'majority', witness: true });
  await rig.write(1);
  await rig.two.stop();
  const copy = await rig.two.copyStore();
  await rig.two.start();
  await rig.healthy();
  await rig.write(2);
  return copy;
}

test('with a quorum everything was stopped in order, and an older copy is put back: what was written last is served', async () => {
  const copy = await copyOfStoppedStore();
  await rig.stopAll();
  await rig.two.putBack(copy);
  await rig.startAll();
  await rig.toldOld(2);
  await rig.recovered(2);
});

test('with a quorum everything was killed, and an older copy is put back: what was written last is served', async () => {
  const copy = await copyOfStoppedStore();
  await rig.killAll();
  await rig.two.putBack(copy);
  await rig.startAll();
  await rig.toldOld(2);
  await rig.recovered(2);
});
