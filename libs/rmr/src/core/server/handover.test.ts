import { beforeEach, describe, expect, test } from 'vitest';
import { HANDOVER_ASKED_MS } from '../../constants.ts';
import { claim, PoolServerRig, type RigOutcome } from '../../testing/pool-server-rig.ts';
import { CLIENT, POOL, RIVAL } from '../../testing/scripted-pool.ts';
import type { ControlRequest, HandoverResult, MarkResult } from '../../wire/control-message.ts';

type ClaimRequest = ControlRequest & { readonly op: 'claim' };

const THIRD = '00000000-0000-4000-8000-00000000ffff';

let rig: PoolServerRig;
beforeEach(() => {
  rig = new PoolServerRig();
  rig.serve();
});

const renew = (handoverRefusal?: string): RigOutcome =>
  rig.control({
    ...{ op: 'renew', poolUuid: POOL, epoch: 1, completedThrough: 0, marks: [] },
    ...(handoverRefusal === undefined ? {} : { handoverRefusal }),
  });
const told = (outcome: RigOutcome) => (outcome.result as MarkResult).asked;
/** Asks for the pool; returns why it is not handed over. */
function ask(clientInstance = RIVAL, clientName = 'client-2', evenIfInUse = false): string {
  const outcome = rig.control({ op: 'ask-handover', poolUuid: POOL, clientInstance, clientName, evenIfInUse }, rig.rival);
  return (outcome.result as HandoverResult).refusal;
}

describe('a member carries the question for its pool to the client that it serves (C4)', () => {
  test('with each renewal, as long as it is asked', () => {
    expect(told(renew())).toBeUndefined();
    expect(ask()).toBe('');
    expect(told(renew())).toEqual({ clientName: 'client-2', evenIfInUse: false });
    rig.world.run(HANDOVER_ASKED_MS - 1);
    expect(told(renew())).toEqual({ clientName: 'client-2', evenIfInUse: false });
    rig.world.run(1);
    expect(told(renew())).toBeUndefined();
  });

  test('and what that client refuses with to the one that asks', () => {
    ask();
    renew('an NBD client is connected to it');
    expect(ask()).toBe('an NBD client is connected to it');
    renew();
    expect(ask()).toBe('');
  });

  test('a refusal is of one question: to the next one it is no answer', () => {
    ask();
    renew('an NBD client is connected to it');
    expect(ask(RIVAL, 'client-2', true)).toBe('');
    expect(told(renew())).toEqual({ clientName: 'client-2', evenIfInUse: true });
  });

  test('the first client that asks has its turn, and another one is told of it', () => {
    ask();
    expect(ask(THIRD, 'client-3')).toBe('client-2 has asked for it first');
    rig.world.run(HANDOVER_ASKED_MS);
    expect(ask(THIRD, 'client-3')).toBe('');
  });

  test('a client is not asked for its own pool', () => {
    ask(CLIENT, 'client-1');
    expect(told(renew())).toBeUndefined();
  });

  test('once the pool is granted to a client, what was asked is settled', () => {
    ask();
    rig.control({ ...(claim(2, RIVAL) as ClaimRequest), takeover: true }, rig.rival);
    rig.store.endAll();
    expect(ask(THIRD, 'client-3')).toBe('');
  });

  test('a question claims nothing, and needs no epoch', () => {
    ask();
    expect({ held: rig.held(), served: renew().failure }).toEqual({ held: [], served: null });
  });
});
