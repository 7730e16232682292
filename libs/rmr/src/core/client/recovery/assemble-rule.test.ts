import { SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { LINEAGE, memberOf, probeOf, RIVAL, storeOf, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';
import { remedyForRolledBack } from '../status/remedies.ts';
import { type AssemblyView, chooseLegs, chooseVoters, servedByAnother } from './assemble-rule.ts';

const HIGHEST = versionOf(4, [1, 2, 3], { epoch: 5 });
const CLIENT_GONE = 'the network is down';

let sessions: ScriptedSession[];
let legs: Leg[];
let rolledBack: Map<Leg, ProbeResult>;
let view: AssemblyView;

const leg = (memberId: number): Leg => legs[memberId - 1] as Leg;
const session = (memberId: number): ScriptedSession => sessions[memberId - 1] as ScriptedSession;

/** The member answers with a store that went back in time: it has no probe. */
function goBack(memberId: number, fields: Partial<ProbeResult> = {}): void {
  rolledBack.set(leg(memberId), probeOf(memberId, { version: versionOf(1, [1, 2, 3], { epoch: 4 }), ...fields }));
  leg(memberId).probe = null;
  leg(memberId).problem = `member ${memberId} (storage-${memberId}) has a store that is older`;
  leg(memberId).remedy = remedyForRolledBack();
}

function leave(memberId: number): void {
  session(memberId).cut(CLIENT_GONE);
  leg(memberId).probe = null;
}

function choose(fields: Partial<AssemblyView> = {}) {
  const holders = legs.filter(({ probe }) => probe?.version?.lineageUuid === LINEAGE);
  return chooseLegs({ ...view, holders, ...fields });
}

const released = (memberId: number): void => {
  leg(memberId).probe = probeOf(memberId, { version: HIGHEST, released: true });
};

beforeEach(() => {
  sessions = [1, 2, 3].map(() => new ScriptedSession());
  legs = sessions.map(({ shared }, index) => new Leg(index, memberOf(index + 1), shared, SILENT_LOGGER, () => 0));
  for (const each of legs) each.probe = probeOf(each.member.memberId, { version: HIGHEST });
  rolledBack = new Map();
  view = {
    ...{ legs, witness: null, holders: legs, highest: HIGHEST, members: [1, 2, 3].map((memberId) => memberOf(memberId)) },
    ...{ quorum: 'none', memory: null, inGrace: false, rolledBack },
  };
});

describe('a member of the highest set went back in time (L8)', () => {
  test('it is missing as if it were away, and named with the reason and what to do', () => {
    goBack(2);
    expect(choose()).toEqual({
      what: 'member 2 (storage-2) has a store that is older (in-sync set of version 5.4{1,2,3})',
      remedy: remedyForRolledBack(),
    });
  });

  test('it is not missing where another member of the set was released: no later version can exist on it alone', () => {
    goBack(2);
    released(3);
    expect(choose()).toEqual({ legs: [leg(1), leg(3)], excused: [{ memberId: 2, storeUuid: storeOf(2) }] });
    goBack(1);
    expect(choose()).toMatchObject({ legs: [leg(3)], excused: [{ memberId: 1 }, { memberId: 2 }] });
  });

  test('a member that is away is not excused by that: it may have been served without the others', () => {
    goBack(2);
    leave(1);
    released(3);
    expect(choose()).toMatchObject({ what: expect.stringMatching(/^member 1 \(storage-1\): the network is down; member 2 /) });
    rolledBack.clear();
    expect(choose()).toHaveProperty('what');
  });

  test('nor is one that has another store now than that of the set', () => {
    goBack(2, { identity: { ...probeOf(2).identity, storeUuid: storeOf(7) } });
    released(3);
    expect(choose()).toHaveProperty('what');
  });

  test('a release of an older version says nothing', () => {
    goBack(2);
    leg(3).probe = probeOf(3, { version: versionOf(3, [1, 2, 3], { epoch: 5 }), released: true });
    expect(choose()).toHaveProperty('what');
  });

  test('with a quorum a majority decides, and nobody is excused', () => {
    goBack(2);
    released(3);
    expect(choose({ quorum: 'majority' })).toEqual({ legs: [leg(1), leg(3)], excused: [] });
    expect(choose({ quorum: 'majority', inGrace: true })).toHaveProperty('what');
  });

  test('a client that goes on with what it remembers needs no release', () => {
    goBack(2);
    const memory = { durable: HIGHEST, attempts: [], members: view.members, policy: probeOf(1).policy };
    expect(choose({ memory, inGrace: true })).toHaveProperty('what');
    expect(choose({ memory })).toEqual({ legs: [leg(1), leg(3)], excused: [] });
  });
});

describe('members that are missing are named', () => {
  test('with a member that nobody knows the way to, one with another store, and one that can not be reached', () => {
    leave(1);
    leg(2).probe = probeOf(2, { version: null, identity: { ...probeOf(2).identity, storeUuid: storeOf(7) } });
    const wanted = choose({ legs: [leg(1), leg(2)], holders: [] });
    expect(wanted).toMatchObject({
      what: [
        'member 1 (storage-1): the network is down; ',
        `member 2 (storage-2) with its former store ${storeOf(2)} (it has ${storeOf(7)} now); `,
        "member 3, which neither this node's configuration nor the pool's table has (in-sync set of version 5.4{1,2,3})",
      ].join(''),
      remedy: expect.stringMatching(/^Start storage-1 .+ Look which disk and which store are meant to be on storage-2: /),
    });
  });

  test('a majority that is missing names all that lack for it, and why those that answer do not count', () => {
    goBack(2);
    leave(3);
    expect(chooseVoters({ ...view, quorum: 'majority' }, [leg(1)], [leg(1)])).toEqual({
      what: 'a majority: 1 of 3 members are there, 2 are needed; missing: member 2 (storage-2), member 3 (storage-3) (member 2 (storage-2) has a store that is older)',
      remedy: expect.stringContaining('Start storage-3'),
    });
  });

  test('that is so, too, where others answer in the place of those that are missing', () => {
    for (const memberId of [2, 3]) Object.assign(leg(memberId), { probe: null, problem: `where member ${memberId} is expected` });
    expect(chooseVoters({ ...view, quorum: 'majority' }, [leg(1)], [leg(1)])).toMatchObject({
      what: expect.stringContaining('(where member 2 is expected; where member 3 is expected)'),
    });
  });
});

describe('the members that are asked to grant', () => {
  test('without a quorum those that the pool is served with; with one all that are there and in the table with their stores', () => {
    expect(chooseVoters(view, [leg(1)], legs)).toEqual([leg(1)]);
    leg(3).probe = probeOf(3, { version: HIGHEST, identity: { ...probeOf(3).identity, storeUuid: storeOf(7) } });
    expect(chooseVoters({ ...view, quorum: 'majority' }, [leg(1)], legs)).toEqual([leg(1), leg(2)]);
  });

  test('the witness counts for the majority if it has answered, and not if it went back in time', () => {
    const witness = new Leg(8, memberOf(9), new ScriptedSession().shared, SILENT_LOGGER, () => 0);
    const members = [memberOf(1), memberOf(2), memberOf(9, 'witness')];
    const asked = { ...view, members, witness, quorum: 'majority' as const };
    expect(chooseVoters(asked, [leg(1)], [leg(1)])).toMatchObject({ what: expect.stringContaining('member 9 (storage-9)') });
    witness.probe = probeOf(9, { version: HIGHEST });
    expect(chooseVoters(asked, [leg(1)], [leg(1)])).toEqual([leg(1), witness]);
  });

  test('C4: another client that a member serves is named; this client is none', () => {
    leg(2).probe = probeOf(2, { state: 'NORMAL', promise: { epoch: 3, clientInstance: RIVAL, clientName: 'client-2' } });
    expect(servedByAnother(legs, storeOf(1))).toMatchObject({
      what: expect.stringContaining('client-2'),
      remedy: expect.stringMatching(/^Stop client-2 /),
    });
    expect(servedByAnother(legs, RIVAL)).toBeNull();
  });
});
