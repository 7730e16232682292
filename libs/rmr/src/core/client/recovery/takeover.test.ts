import { beforeEach, describe, expect, test } from 'vitest';
import { RECOVERY_RETRY_MS } from '../../../constants.ts';
import { RecoveryRig } from '../../../testing/recovery-rig.ts';
import { CLIENT, RIVAL } from '../../../testing/scripted-pool.ts';

let rig: RecoveryRig;
beforeEach(() => {
  rig = new RecoveryRig();
  // Members 1 and 2 serve another client.
  for (const memberId of [1, 2])
    rig.stores.set(memberId, { state: 'NORMAL', promise: { epoch: 5, clientInstance: RIVAL, clientName: 'client-2' } });
});

/** Each member that serves the other client is asked, and answers. */
function answer(refusal: string): void {
  for (const memberId of [1, 2]) rig.session(memberId).next('ask-handover').answer({ refusal });
}

/** The next attempt is due: all say what they have. */
function again(): void {
  rig.virtual.run(RECOVERY_RETRY_MS);
  rig.recovery.tick(rig.world.clock.nowMs());
  rig.probe();
}

describe('a pool that another client serves (C4)', () => {
  test('is waited for, and nobody is asked, unless that is wanted', () => {
    rig.begin();
    expect(rig.waiting.what).toMatch(/^client-2, which the pool is served to, to leave it/);
    expect(rig.open).toEqual([]);
  });

  test('is asked for through every member that serves the other client, and is not claimed before that has left it', () => {
    rig.begin();
    rig.recovery.takeOver('ASK');
    rig.probe();
    expect(rig.waiting.what).toBe('client-2 to hand the pool over, which it was asked to');
    expect(rig.open).toEqual(['ask-handover 1', 'ask-handover 2']);
    expect(rig.session(1).calls[0]?.request).toMatchObject({ clientInstance: CLIENT, clientName: 'client-1', evenIfInUse: false });
    answer('');
    for (const memberId of [1, 2]) rig.stores.set(memberId, { ...rig.stores.get(memberId), state: 'REGISTERED' });
    again();
    expect(rig.open).toEqual(['claim 1', 'claim 2', 'claim 3']);
    expect(rig.session(1).calls[0]?.request).toMatchObject({ takeover: false });
  });

  test('says why it is not handed over, and goes on asking', () => {
    rig.begin();
    rig.recovery.takeOver('ASK_EVEN_IN_USE');
    rig.probe();
    expect(rig.session(1).calls[0]?.request).toMatchObject({ evenIfInUse: true });
    answer('2 NBD clients are connected to it there');
    again();
    expect(rig.waiting.what).toBe('client-2 to hand the pool over, which it does not do now: 2 NBD clients are connected to it there');
    expect(rig.open).toEqual(['ask-handover 1', 'ask-handover 2']);
    answer('');
    again();
    expect(rig.waiting.what).toBe('client-2 to hand the pool over, which it was asked to');
  });

  test('is taken from a client that is alive by force alone, and once', () => {
    rig.begin();
    rig.recovery.takeOver('FORCE');
    rig.probe();
    expect(rig.session(1).next('claim').request).toMatchObject({ takeover: true });
  });

  test('is not asked for any more when that is taken back', () => {
    rig.begin();
    rig.recovery.takeOver('ASK');
    rig.probe();
    answer('');
    rig.recovery.takeOver('NO');
    rig.probe();
    expect({ open: rig.open, waiting: rig.waiting.what }).toMatchObject({ open: [], waiting: expect.stringMatching(/to leave it/) });
  });
});
