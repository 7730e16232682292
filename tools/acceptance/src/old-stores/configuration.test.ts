import { afterEach, expect, test } from 'vitest';
import { eventually } from '../support/test-cluster.ts';
import { OldStoresRig } from './old-stores-rig.ts';

let rig: OldStoresRig;

afterEach(async () => {
  await rig.dispose();
});

/** Each of these differences is in the status, with what to do, in the log as a warning, and counted. */
async function expectDifferences(...patterns: readonly RegExp[]): Promise<void> {
  await eventually(async () => {
    const { differences } = await rig.pool();
    for (const pattern of patterns) expect(differences.map(({ what }) => what)).toContainEqual(expect.stringMatching(pattern));
    expect(differences.every(({ remedy }) => remedy !== '')).toBe(true);
    const told = rig.client.lines().filter(({ level, event }) => level === 'warn' && event.startsWith('the configuration differs'));
    for (const pattern of patterns) expect(told.map(({ what }) => what)).toContainEqual(expect.stringMatching(pattern));
    expect(await rig.metric('rmr_pool_config_differences')).toBe(differences.length);
  });
}

test('the addresses of two members are swapped in the configuration: it is served as the pool knows them, and the difference is named', async () => {
  rig = await OldStoresRig.start();
  await rig.write(1);
  await rig.client.stop();
  const [one, two] = [rig.one.member(), rig.two.member()];
  await rig.startClient({
    members: [
      { ...one, addresses: two.addresses },
      { ...two, addresses: one.addresses },
    ],
  });
  await rig.healthy();
  await rig.reads(1);
  await expectDifferences(
    new RegExp(`names member 1 at ${rig.two.address}, and the pool knows it at ${rig.one.address}, which counts`),
    new RegExp(`names member 2 at ${rig.one.address}, and the pool knows it at ${rig.two.address}, which counts`),
  );
  await rig.write(2);
  await rig.recovered(2);
});

test('another quorum, another name and a stale address are named, and what the pool has recorded counts', async () => {
  rig = await OldStoresRig.start();
  await rig.write(1);
  await rig.client.stop();
  const stale = `unix:${rig.folder}/nowhere.sock`;
  await rig.startClient({
    name: 'other',
    quorum: 'majority',
    members: [rig.one.member(), { ...rig.two.member(), addresses: [stale] }],
  });
  await rig.healthy();
  await rig.reads(1);
  await expectDifferences(
    /says quorum majority, and the pool has quorum none, which counts/,
    /calls the pool "other", and the store of member 1 \(storage-1\) "demo"/,
    new RegExp(`names member 2 at ${stale}, and the pool knows it at ${rig.two.address}, which counts`),
  );
  expect((await rig.pool()).quorum).toBe('none');
  // Quorum none: one member is enough.
  await rig.two.kill();
  await rig.write(2);
  await rig.two.start();
  await rig.recovered(2);
});
