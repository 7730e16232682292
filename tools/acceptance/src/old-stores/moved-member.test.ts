import { afterEach, expect, test } from 'vitest';
import { eventually } from '../support/test-cluster.ts';
import { OldStoresRig } from './old-stores-rig.ts';

let rig: OldStoresRig;

afterEach(async () => {
  await rig.dispose();
});

/** Pattern 1 is on both members; everything is stopped, and storage-3 has a copy of member 2's store. */
async function copyOnThird(): Promise<void> {
  rig = await OldStoresRig.start();
  await rig.write(1);
  await rig.stopAll();
  await rig.three.putBack(await rig.two.copyStore());
  rig.three.memberId = 2;
}

/** The configuration after the move: member 2 is on storage-3. */
function afterTheMove(): Promise<void> {
  return rig.startClient({ members: [rig.one.member(), rig.three.member()] });
}

/** Nothing but pattern 2 was ever read or copied: neither served wrongly, nor from the store that was left behind. */
async function expectRightOrRefused(): Promise<void> {
  const pool = await rig.pool();
  if (pool.state === 'SERVING') await rig.reads(2);
  else expect(pool.waitingFor?.what).not.toBe('');
}

test('a member that moved with its store, and the old configuration with the old store: what counts is where the pool knows it', async () => {
  await copyOnThird();
  await rig.one.start();
  await rig.three.start();
  await afterTheMove();
  await rig.healthy();
  await rig.write(2);
  const forsaken = await rig.two.digest();
  await rig.client.stop();
  await rig.two.start();
  await rig.startClient();
  await eventually(async () => {
    const { differences } = await rig.pool();
    expect(differences.map(({ what }) => what).join('\n')).toMatch(
      new RegExp(`names member 2 at ${rig.two.address}, and the pool knows it at ${rig.three.address}, which counts`),
    );
  });
  await expectRightOrRefused();
  await rig.two.stop();
  await rig.healthy();
  await rig.reads(2);
  expect(await rig.three.digest()).toBe(await rig.one.digest());
  expect(await rig.two.digest(), 'the store that was left behind was written to').toBe(forsaken);
  expect(forsaken).not.toBe(await rig.one.digest());
});

test('the store of a member that moved comes up where it was while the pool is served: it never takes part', async () => {
  await copyOnThird();
  await rig.one.start();
  await rig.three.start();
  await afterTheMove();
  await rig.healthy();
  await rig.write(2);
  await rig.two.start();
  await rig.reads(2);
  await rig.three.kill();
  await rig.served();
  await rig.reads(2);
  await rig.write(3);
  expect((await rig.leg(2)).inSync).toBe(false);
  await rig.three.start();
  // The right one may be used, or none as long as both are there; the other one never.
  await eventually(async () => {
    const { inSync, addresses, reason, waitingFor } = await rig.leg(2);
    expect(addresses).toEqual([rig.three.address]);
    if (!inSync) expect(`${reason} ${waitingFor?.what}`).toMatch(/is there twice/);
  });
  await rig.reads(3);
  await rig.two.stop();
  await rig.healthy();
  await rig.reads(3);
  expect(await rig.three.digest()).toBe(await rig.one.digest());
});

test('one store is there twice before the client starts: the configured place is used, or none; never wrong data', async () => {
  await copyOnThird();
  await rig.one.start();
  await rig.two.start();
  await rig.three.start();
  await afterTheMove();
  await eventually(async () => {
    const pool = await rig.pool();
    expect(`${pool.state} ${pool.waitingFor?.what ?? ''}`).toMatch(/^SERVING|is there twice/);
  });
  if ((await rig.pool()).state === 'SERVING') {
    await rig.reads(1);
    await rig.write(2);
    await rig.reads(2);
    await rig.client.stop();
  } else {
    expect(await rig.exported()).toBe(false);
    await rig.client.kill();
  }
  const expected = (await rig.one.digest()) === (await rig.two.digest()) ? rig.two : rig.three;
  // The operator stops the one that was not in service.
  await (expected === rig.two ? rig.three : rig.two).stop();
  if (expected === rig.two) await rig.startClient();
  else await afterTheMove();
  await rig.healthy();
  expect(await expected.digest()).toBe(await rig.one.digest());
});
