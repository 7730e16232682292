import { afterEach, test } from 'vitest';
import { OldStoresRig } from './old-stores-rig.ts';

let rig: OldStoresRig;

afterEach(async () => {
  await rig.dispose();
});

test('a copy from just before the last flush comes back while the client lives: what was flushed is read', async () => {
  rig = await OldStoresRig.start();
  await rig.write(1);
  const copy = await rig.two.copyStore();
  // As in copy-of-running-store, but that the store dies in the moment in which the flush is answered: no mark says so yet.
  await rig.write(2);
  await rig.two.kill();
  await rig.two.putBack(copy);
  await rig.two.start();
  await rig.recovered(2);
});
