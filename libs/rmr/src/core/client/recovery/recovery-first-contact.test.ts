import { SILENT_LOGGER } from '@rmr/runtime';
import { type VirtualHost, VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { FIRST_CONTACT_MS } from '../../../constants.ts';
import type { MemberRecord } from '../../../pool-store.ts';
import { CLIENT, identityOf, LINEAGE, memberOf, OTHER_LINEAGE, POLICY, POOL, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';
import type { VersionMemory } from '../versions/versions.ts';
import { Recovery } from './recovery.ts';

let virtual: VirtualWorld;
let world: VirtualHost;
let sessions: readonly ScriptedSession[];
let memory: VersionMemory | null;
let waiting: string;
let learned: (readonly MemberRecord[])[];
let recovery: Recovery;

const session = (memberId: number): ScriptedSession => sessions[memberId - 1] as ScriptedSession;

/** The member answers with a store that needs nobody else; without a version if `lineageUuid` is null. */
function answer(memberId: number, lineageUuid: string | null, epoch = 5): void {
  const probe: ProbeResult = {
    ...{ poolHandle: 1, state: 'REGISTERED', identity: identityOf(memberId, 16, 4096), promise: null, policy: POLICY },
    ...{ features: { fastPunch: true, fastZero: true, extents: true }, volatileLost: false, released: false, missedBytes: 0 },
    version: lineageUuid === null ? null : versionOf(4, [memberId], { epoch, lineageUuid }),
    members: lineageUuid === null ? [] : [memberOf(memberId)],
    past: { age: 1, lives: [{ lifeUuid: '00000000-0000-4000-8000-0000000000f1', firstAge: 1, lastAge: null, openedAtMs: 0 }] },
  };
  session(memberId).next('probe').answer(probe);
}

beforeEach(() => {
  virtual = new VirtualWorld();
  world = virtual.host('client-1');
  sessions = [new ScriptedSession(), new ScriptedSession()];
  const legs = sessions.map(({ shared }, index) => new Leg(index, memberOf(index + 1), shared, SILENT_LOGGER, () => 0));
  memory = null;
  waiting = '';
  learned = [];
  recovery = new Recovery(world, legs, {
    ...{ poolUuid: POOL, poolName: 'p', queueDepth: 16, clientInstance: CLIENT, clientName: 'client-1', quorum: 'none', takeover: 'NO' },
    witness: () => null,
    onMembers: (members) => {
      learned.push(members);
      return false;
    },
    twice: () => '',
    strays: () => [],
    memory: () => memory,
    onAttempt: () => {},
    onWaiting: ({ what }) => {
      waiting = what;
    },
    onStep: () => {},
    onFenced: () => {},
    onAssembled: () => {},
  });
});

describe('a client that has just started', () => {
  beforeEach(() => {
    session(1).connected = false;
    session(1).isFirstAttempt = true;
    recovery.begin();
  });

  test('asks members that were reached while others answered, before it decides', () => {
    session(1).isFirstAttempt = false;
    session(1).reconnect();
    recovery.poke();
    answer(2, OTHER_LINEAGE);
    expect(waiting).toBe('member 1 (storage-1) to be reached for the first time');
    recovery.tick(world.clock.nowMs());
    answer(1, LINEAGE);
    answer(2, OTHER_LINEAGE);
    expect(waiting).toContain('different lineages');
  });

  test('waits for a member that it is about to reach: that one may be of another lineage', () => {
    answer(2, OTHER_LINEAGE);
    expect([waiting, session(2).ops]).toEqual(['member 1 (storage-1) to be reached for the first time', []]);
    session(1).isFirstAttempt = false;
    session(1).reconnect();
    recovery.poke();
    answer(1, LINEAGE);
    answer(2, OTHER_LINEAGE);
    expect(waiting).toContain('different lineages');
    expect([...session(1).ops, ...session(2).ops]).toEqual([]);
  });

  test('follows no table before: whoever has answered may know less of where members are than that one (L9)', () => {
    answer(2, LINEAGE);
    expect(learned).toEqual([]);
    session(1).isFirstAttempt = false;
    session(1).reconnect();
    recovery.poke();
    answer(2, LINEAGE);
    answer(1, LINEAGE, 6);
    expect(learned).toEqual([[memberOf(1)]]);
  });

  test('goes on at once when that attempt has failed', () => {
    answer(2, OTHER_LINEAGE);
    session(1).isFirstAttempt = false;
    virtual.run(FIRST_CONTACT_MS);
    recovery.tick(world.clock.nowMs());
    answer(2, OTHER_LINEAGE);
    expect(session(2).ops).toEqual(['claim']);
  });
});

test('a client that has served the pool does not wait for members that it has never reached', () => {
  memory = { durable: versionOf(4, [2], { epoch: 5 }), attempts: [], members: [memberOf(2)], policy: POLICY };
  session(1).connected = false;
  session(1).isFirstAttempt = true;
  recovery.begin();
  answer(2, LINEAGE);
  expect(session(2).ops).toEqual(['claim']);
});

test('C0: an order to create is refused at once where the members belong to two lineages', () => {
  recovery.begin();
  let why = '';
  recovery.create((error) => {
    why = `${error?.code} ${error?.message}`;
  });
  answer(1, LINEAGE);
  answer(2, OTHER_LINEAGE);
  expect(why).toMatch(/^CONFLICT pool p exists already: lineage .* of member 1 .*; lineage .* of member 2 /);
});
