import { afterEach, expect, test } from 'vitest';
import { OldStoresRig } from './old-stores-rig.ts';

let rig: OldStoresRig;

afterEach(async () => {
  await rig.dispose();
});

test('everything was stopped, and one member is lost for good: an operator forces the pool; if that member comes back, it is copied anew', async () => {
  rig = await OldStoresRig.start();
  await rig.write(1);
  await rig.stopAll();
  await rig.one.start();
  await rig.startClient();
  await rig.waitsFor(/member 2 \(storage-2\).*in-sync set of version/);
  expect(await rig.exported()).toBe(false);
  const plan = await rig.order('force');
  expect(plan.code, plan.stderr).toBe(2);
  expect(plan.stdout).toContain('--yes-lose storage-2');
  expect(plan.stdout).toMatch(/Nothing has been changed/);
  for (const wrong of ['storage-1', 'storage-1,storage-2', 'none', '3']) {
    const refused = await rig.order('force', '--yes-lose', wrong);
    expect(refused.code, wrong).not.toBe(0);
    expect(refused.stderr).toMatch(/is not forced/);
    expect((await rig.pool()).state).toBe('WAITING');
  }
  const forced = await rig.order('force', '--yes-lose', 'storage-2');
  expect(forced.code, forced.stderr).toBe(0);
  await rig.served();
  await rig.reads(1);
  await rig.write(2);
  await rig.two.start();
  await rig.recovered(2);
});

test('a member that was left behind is back at the next start, with all that it had: the forced pool counts', async () => {
  rig = await OldStoresRig.start();
  await rig.write(1);
  await rig.stopAll();
  await rig.one.start();
  await rig.startClient();
  await rig.waitsFor(/member 2 \(storage-2\).*in-sync set of version/);
  const forced = await rig.order('force', '--yes-lose', '2');
  expect(forced.code, forced.stderr).toBe(0);
  await rig.write(2);
  await rig.killAll();
  await rig.startAll();
  await rig.recovered(2);
});

test('a member that nobody trusts is copied anew while the pool is served', async () => {
  rig = await OldStoresRig.start();
  await rig.write(1);
  const unknown = await rig.order('copy-anew', '--member', '7');
  expect(unknown.code, unknown.stdout).not.toBe(0);
  const ordered = await rig.order('copy-anew', '--member', '2');
  expect(ordered.code, ordered.stderr).toBe(0);
  await rig.reads(1);
  await rig.write(2);
  await rig.recovered(2);
  // The last one in sync has the only copy.
  await rig.one.kill();
  const refused = await rig.order('copy-anew', '--member', '2');
  expect(refused.code, refused.stdout).not.toBe(0);
  await rig.reads(2);
  await rig.one.start();
  await rig.recovered(2);
});

test('a member that was left behind could serve alone, and is there as soon as the others at the next start: the forced pool counts', async () => {
  rig = await OldStoresRig.start();
  await rig.one.stop();
  await rig.write(1);
  await rig.killAll();
  await rig.one.start();
  await rig.startClient();
  await rig.waitsFor(/member 2 \(storage-2\).*in-sync set of version/);
  const forced = await rig.order('force', '--yes-lose', '2');
  expect(forced.code, forced.stderr).toBe(0);
  await rig.write(2);
  await rig.client.stop();
  await rig.two.start();
  // It is the first that can be asked, and needs nobody else.
  rig.one.signal('SIGSTOP');
  await rig.startClient({ members: [rig.two.member(), rig.one.member()] });
  await rig.waitsFor(/member 1 \(storage-1\) to be reached/);
  rig.one.signal('SIGCONT');
  await rig.recovered(2);
});
