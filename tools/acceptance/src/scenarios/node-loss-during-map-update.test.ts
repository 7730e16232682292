import type { ClientPoolStatus } from '@rmr/admin-api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Gate } from '../support/gate.ts';
import { eventually } from '../support/test-cluster.ts';
import { VerifiedDevice } from '../support/verified-device.ts';

let device: VerifiedDevice;
let gate: Gate | null = null;

beforeAll(async () => {
  device = await VerifiedDevice.start({ seed: 121, storageNodes: 3, resyncRate: '8MiB', returnHold: '120s' });
});

afterAll(async () => {
  await device.dispose();
  await gate?.dispose();
});

type Leg = ClientPoolStatus['legs'][number];

/** Moments of a member's return, from its session to its first pull, as status shows them. */
const MOMENTS = {
  'its session is back': { state: /FAILED|RECONNECTING/, reason: '' },
  'its map is being updated': { state: /RECONNECTING/, reason: 'returning: copying the dirty maps' },
  'IO waits for the rest of its map': {
    state: /RECONNECTING/,
    reason: 'returning: handing over the last of the dirty maps',
    wait: 'MAP_UPDATE',
  },
  'the version with it is being recorded': { state: /RECONNECTING/, reason: 'returning: recording the new version', wait: 'VERSION' },
  'it is back in the set': { state: /NORMAL/, reason: '' },
} as const;
type Moment = keyof typeof MOMENTS;

/** Whether this is the moment, in which the member stays as long as nothing of what it says gets through. */
function isMoment(moment: Moment, leg: Leg): boolean {
  const { state, reason } = MOMENTS[moment];
  return leg.connected && state.test(leg.state) && leg.reason.startsWith(reason);
}

/**
 * Loses storage-2, lets writes miss it, starts it again, and holds its return at a moment: its messages and those to it
 * get through one by one, and none after the moment has come.
 */
async function returning(moment: Moment): Promise<void> {
  await device.progress(100);
  await device.killNow('storage-2');
  await gate?.dispose();
  gate = await device.gate('storage-2');
  await device.progress(300);
  gate.close();
  await device.start('storage-2');
  await eventually(async () => {
    const leg = await device.cluster.leg('storage-2');
    if (!isMoment(moment, leg)) {
      // Chunks that are dirtied while the maps are copied have to be handed over under the freeze.
      if (isMoment('its map is being updated', leg)) await device.writeAside();
      gate?.step();
    }
    await expectMoment(moment);
  });
}

/** The return of storage-2 is under way, as far as the moment says; the version does not name it before it is back. */
async function expectMoment(moment: Moment): Promise<void> {
  const { legs, version, waits } = await device.cluster.poolStatus();
  const leg = legs.find((each) => each.name === 'storage-2') as Leg;
  const inSync = moment === 'it is back in the set';
  expect({ moment: isMoment(moment, leg), inSync: leg.inSync }, `${leg.state} ${leg.reason}`).toEqual({ moment: true, inSync });
  expect(version?.inSync.includes(leg.memberId)).toBe(inSync);
  const expected = MOMENTS[moment];
  if (!('wait' in expected)) return;
  const wait = waits.find(({ kind }) => kind === expected.wait);
  expect(wait?.what, JSON.stringify(waits)).toContain('storage-2');
  expect(wait?.requests).toBeGreaterThan(0);
}

test.each(Object.keys(MOMENTS) as Moment[])('the returning member is killed when %s: it returns the next time', async (moment) => {
  await returning(moment);
  await device.killNow('storage-2');
  gate?.open();
  await device.progress(200);
  await device.start('storage-2');
  await device.expectConverged();
});

const UPDATES = ['its map is being updated', 'IO waits for the rest of its map', 'the version with it is being recorded'] as const;

test.each(UPDATES)('the members that stayed are killed, one after the other, when %s', async (moment) => {
  for (const name of ['storage-1', 'storage-3']) {
    await returning(moment);
    await device.killNow(name);
    await expectNotBack();
    gate?.open();
    await device.start(name);
    await device.progress(200);
    await device.converged();
  }
  await device.expectConverged();
});

/** The kill came before the member was back. */
async function expectNotBack(): Promise<void> {
  expect((await device.cluster.leg('storage-2')).inSync).toBe(false);
}

test.each(UPDATES)('the client node is killed when %s: the member returns to its successor', async (moment) => {
  await returning(moment);
  await device.killNow('client-1');
  gate?.open();
  await device.start('client-1');
  await device.progress(200);
  await device.expectConverged();
});
