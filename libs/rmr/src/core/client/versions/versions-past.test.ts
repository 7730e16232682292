import { SILENT_LOGGER } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { RETURN_RETRY_MS_MAX } from '../../../constants.ts';
import type { MemberRecord } from '../../../pool-store.ts';
import {
  CLIENT,
  claimOf,
  lifeOf,
  MARK,
  memberOf,
  PAST,
  POLICY,
  POOL,
  probeOf,
  seenOf,
  storeOf,
  versionOf,
} from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import { Leg } from '../legs/leg.ts';
import { PoolMaps } from '../pool-maps.ts';
import { datedTable } from './member-records.ts';
import { Versions } from './versions.ts';

const VERSION = versionOf(1, [1, 2]);

let sessions: ScriptedSession[];
let legs: Leg[];
let witness: Leg;
let arbiter: ScriptedSession;
let world: VirtualWorld;
let durable: number[];
let versions: Versions;

const session = (memberId: number): ScriptedSession => sessions[memberId - 1] as ScriptedSession;
const leg = (memberId: number): Leg => legs[memberId - 1] as Leg;
const seen = (memberId: number) => versions.members.find((member) => member.memberId === memberId)?.seen;

/** The version of these legs is begun; returns the tables that are sent, by member. */
function change(fields: Partial<Parameters<Versions['change']>[0]> = {}): readonly MemberRecord[] {
  versions.change({ ...fields, onDurable: ({ seq }) => void durable.push(seq) });
  return (session(1).calls[0]?.request as { members: readonly MemberRecord[] } | undefined)?.members ?? [];
}

function recorded(age = MARK.age): void {
  for (const each of sessions)
    if (each.ops.includes('record-version')) each.next('record-version').answer({ owed: [], mark: { ...MARK, age } });
}

/** The witness grants, and shows this. */
function greet(past = PAST, version = versionOf(1, [1, 2])): void {
  versions.tick(RETURN_RETRY_MS_MAX);
  if (arbiter.ops[0] === 'probe') {
    arbiter.next('probe').answer(probeOf(9));
    world.run(RETURN_RETRY_MS_MAX);
    versions.tick(2 * RETURN_RETRY_MS_MAX);
  }
  arbiter.next('claim').answer(claimOf({ past, version }));
}

beforeEach(() => {
  world = new VirtualWorld();
  sessions = [1, 2].map(() => new ScriptedSession());
  legs = sessions.map(({ shared }, index) => new Leg(index, memberOf(index + 1), shared, SILENT_LOGGER, () => 0));
  for (const each of legs) each.probe = probeOf(each.member.memberId);
  arbiter = new ScriptedSession();
  witness = new Leg(8, memberOf(9), arbiter.shared, SILENT_LOGGER, () => 0);
  durable = [];
  versions = new Versions(world.host('client-1'), {
    ...{ poolUuid: POOL, clientInstance: CLIENT, clientName: 'client-1', epoch: 1, maps: new PoolMaps(16 * 4096, 4096), writeSeq: 5 },
    normalLegs: () => legs,
    witnessLeg: () => witness,
    awaitVersion: () => {},
    incompleteWriteRanges: () => [],
    onFenced: (by) => expect.fail(by),
    onNotRecorded: (_leg, reason) => expect.fail(reason),
    onPaused: () => {},
    onOwedChanged: () => {},
  });
  versions.adopt(VERSION, datedTable([memberOf(1), memberOf(2), memberOf(9, 'witness')], VERSION), POLICY, false);
});

describe('how old stores are, is remembered with the table (L8)', () => {
  test('the newest in one life; in another life whatever is told', () => {
    for (const [mark, age] of [
      [{ lifeUuid: lifeOf(2), age: 20 }, 20],
      [{ lifeUuid: lifeOf(2), age: 19 }, 20],
      [{ lifeUuid: lifeOf(3), age: 5 }, 5],
    ] as const) {
      versions.heard(leg(1), mark);
      expect(seen(1)?.age).toBe(age);
    }
    expect(versions.marks()).toMatchObject([{ memberId: 1, storeUuid: storeOf(1), seen: { lifeUuid: lifeOf(3), age: 5 } }]);
  });

  test('not of a member that is none, nor of another store than that of the table', () => {
    versions.heard(new Leg(3, memberOf(4), new ScriptedSession().shared, SILENT_LOGGER, () => 0), MARK);
    leg(2).probe = probeOf(2, { identity: { ...probeOf(2).identity, storeUuid: storeOf(7) } });
    versions.heard(leg(2), MARK);
    expect(versions.marks()).toEqual([]);
  });

  test('what is heard while a version is being recorded is not forgotten with it', () => {
    change();
    versions.heard(leg(1), { ...MARK, age: 33 });
    recorded(22);
    expect([durable, seen(1)?.age, seen(2)?.age]).toEqual([[2], 33, 22]);
  });

  test('the next version tells all members of it', () => {
    versions.heard(leg(2), MARK);
    expect(change().map((member) => member.seen?.age)).toEqual([undefined, 20, undefined]);
  });
});

describe('a member is accepted anew (L8)', () => {
  test('that is in the table with the version, and what was heard of it before is not taken over, not even in the same life', () => {
    versions.heard(leg(2), { ...MARK, age: 90 });
    legs = legs.slice(0, 1);
    const members = versions.members.map((member) => (member.memberId === 2 ? { ...member, seen: seenOf(15) } : member));
    const [, sent] = change({ members, allDirty: [2], anew: [2] });
    expect(sent).toMatchObject({ anew: { epoch: 1, seq: 2 }, seen: { age: 15 } });
    recorded();
    expect([durable, seen(2)?.age]).toEqual([[2], 15]);
  });

  test('what is heard of it afterwards counts', () => {
    const members = versions.members.map((member) => (member.memberId === 2 ? { ...member, seen: seenOf(15) } : member));
    change({ members, anew: [2] });
    recorded();
    versions.heard(leg(2), { ...MARK, age: 16 });
    change();
    recorded(17);
    expect(seen(2)?.age).toBe(17);
  });
});

describe('the witness went back in time (L8)', () => {
  test('one that shows what is known of it is heard, and takes part', () => {
    versions.heard(witness, MARK);
    greet({ ...PAST, age: 25 });
    expect([versions.witnessReady, versions.witnessAnew, witness.rolledBack, seen(9)?.age]).toEqual([true, false, null, 25]);
  });

  test('else it has to record the version before it counts: what it has recorded says nothing', () => {
    greet();
    versions.adopt(VERSION, versions.members, POLICY, true);
    versions.witnessLost();
    witness.probe = null;
    greet({ ...PAST, age: 3 });
    expect([versions.witnessAnew, versions.witnessRecorded, witness.rolledBack?.why]).toEqual([
      ...[true, false],
      expect.stringContaining('older than this client knows'),
    ]);
    const sent = change().find(({ role }) => role === 'witness');
    expect(sent).toMatchObject({ anew: { epoch: 1, seq: 2 }, seen: { age: 3 } });
    recorded();
    arbiter.next('record-version').answer({ owed: [], mark: { ...MARK, age: 4 } });
    versions.heard(witness, { ...MARK, age: 5 });
    expect([durable, versions.witnessAnew, versions.witnessRecorded, seen(9)?.age]).toEqual([[2], false, true, 5]);
  });

  test('as long as it has not, that goes on', () => {
    greet();
    versions.witnessLost();
    witness.probe = null;
    greet({ ...PAST, age: 3 });
    change();
    recorded();
    arbiter.next('record-version').refuse('STORE_ERROR', 'its disk');
    expect([durable, versions.witnessAnew, versions.witnessReady]).toEqual([[2], true, false]);
  });
});
