import { SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { RENEW_MS } from '../../constants.ts';
import { CLIENT, memberOf, POOL } from '../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../testing/scripted-session.ts';
import { Leg } from './leg.ts';
import { Renewal } from './renewal.ts';

let session: ScriptedSession;
let leg: Leg;
let epoch: number;
let wallMs: number;
let heard: string[];
let renewal: Renewal;

beforeEach(() => {
  session = new ScriptedSession();
  wallMs = 0;
  leg = new Leg(0, memberOf(1), session.shared, SILENT_LOGGER, () => ++wallMs);
  leg.setState('NORMAL', 'enabled');
  epoch = 1;
  heard = [];
  renewal = new Renewal({
    poolUuid: POOL,
    clientInstance: CLIENT,
    epoch: () => epoch,
    inSyncLegs: () => [leg],
    onFenced: () => void heard.push('fenced'),
    onRefused: () => void heard.push('refused'),
  });
});

const promiseOf = (clientInstance: string) => ({ epoch: 2, clientInstance, clientName: 'client' });

describe('renewal (C3)', () => {
  test('members are asked every so often, and an answer that all is well changes nothing', () => {
    renewal.tick(RENEW_MS);
    renewal.tick(RENEW_MS + 1);
    expect(session.ops).toEqual(['renew']);
    session.next('renew').answer({});
    renewal.tick(2 * RENEW_MS);
    expect([session.ops, heard]).toEqual([['renew'], []]);
  });

  test('a member that has promised itself to somebody else fences the client; one that is out of service is a leg failure', () => {
    renewal.tick(RENEW_MS);
    session.next('renew').refuse('STALE_EPOCH', 'epoch 2 is promised', promiseOf('00000000-0000-4000-8000-00000000ffff'));
    renewal.tick(2 * RENEW_MS);
    session.next('renew').refuse('BAD_STATE', 'NO_IO');
    expect(heard).toEqual(['fenced', 'refused']);
  });

  test("a refusal because of this client's own newer claim is late, and nothing else", () => {
    renewal.tick(RENEW_MS);
    epoch = 2;
    session.next('renew').refuse('STALE_EPOCH', 'epoch 2 is promised', promiseOf(CLIENT));
    renewal.tick(2 * RENEW_MS);
    leg.setState('FAILED', 'cut');
    leg.setState('RECONNECTING', 'back');
    leg.setState('NORMAL', 'enabled');
    session.next('renew').refuse('BAD_STATE', 'NO_IO');
    expect(heard).toEqual([]);
  });
});
