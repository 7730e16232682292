import { SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { LINEAGE, memberOf, OTHER_LINEAGE, POLICY, probeOf, seenOf, storeOf, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';
import { forcePlan, refusal } from './force-plan.ts';

const HIGHEST = versionOf(4, [1, 2], { epoch: 5 });
/** Member 3 has left the set before. */
const MEMBERS = [{ ...memberOf(1), seen: seenOf(20, 2, 9_000) }, memberOf(2), memberOf(3)];

let sessions: ScriptedSession[];
let legs: Leg[];
let rolledBack: Map<Leg, ProbeResult>;

const leg = (memberId: number): Leg => legs[memberId - 1] as Leg;
const plan = () => forcePlan(legs, rolledBack);
const ids = (members: readonly { readonly memberId: number }[]): number[] => members.map(({ memberId }) => memberId);

function answer(memberId: number, fields: Partial<ProbeResult> = {}): ProbeResult {
  return probeOf(memberId, { version: HIGHEST, members: MEMBERS, ...fields });
}

function goBack(memberId: number, fields: Partial<ProbeResult> = {}): void {
  rolledBack.set(leg(memberId), answer(memberId, fields));
  leg(memberId).probe = null;
  leg(memberId).problem = `member ${memberId} (storage-${memberId}) has a store that is older`;
}

/** Member 1 alone answers. */
beforeEach(() => {
  sessions = [1, 2, 3].map(() => new ScriptedSession());
  legs = sessions.map(({ shared }, index) => new Leg(index, memberOf(index + 1), shared, SILENT_LOGGER, () => 0));
  rolledBack = new Map();
  leg(1).probe = answer(1, { missedBytes: 8192 });
  for (const each of sessions.slice(1)) each.cut('the network is down');
});

describe('there is nothing to force', () => {
  test('where no member answers, or none that was ever in service', () => {
    leg(1).probe = null;
    expect(plan()).toEqual(refusal('no member that has ever been in service can be reached'));
    leg(1).probe = answer(1, { version: null });
    goBack(2, { version: null });
    expect(plan()).toEqual({
      ...{ refusal: 'no member that has ever been in service can be reached', sentence: '' },
      ...{ members: [], leftBehind: [] },
    });
  });

  test('where lineages know nothing of one another: they are named with members and dates, and what to do first', () => {
    leg(2).probe = answer(2, { version: versionOf(1, [2], { epoch: 9, lineageUuid: OTHER_LINEAGE }) });
    expect(plan().refusal).toBe(
      [
        'the members belong to different lineages: ',
        `lineage ${LINEAGE} of member 1 (storage-1), version 5.4{1,2}, last heard of on 1970-01-01 00:00:09Z; `,
        `lineage ${OTHER_LINEAGE} of member 2 (storage-2), version 9.1{2}. `,
        'Stop the storage nodes whose data is to be left behind',
      ].join(''),
    );
  });
});

describe('what would be done', () => {
  test('whoever is in the highest set and there is served, all other members with data are left behind, and what that costs is said', () => {
    const { members, leftBehind, sentence, refusal: why } = plan();
    expect([why, ids(members), ids(leftBehind)]).toEqual([null, [1], [2, 3]]);
    expect(sentence).toBe(
      'The pool would be served with the data of member 1 (storage-1). Writes that only member 2 (storage-2) and member 3 (storage-3) got are lost for good: ' +
        'when these members come back, they take over the data of the pool as it is then. Keep them down until the pool is served, as nobody tells them before. ' +
        'A member whose store is gone stays out.',
    );
  });

  test('each member is shown with its version, when that was made, what it misses, and what is wrong with it', () => {
    leg(2).probe = answer(2, { version: versionOf(3, [1, 2], { epoch: 5 }) });
    goBack(3, { version: versionOf(1, [3], { epoch: 2 }), missedBytes: 4096 });
    expect(plan().members[0]).toEqual({
      ...{ memberId: 1, name: 'storage-1', version: '5.4{1,2}', atMs: 9_000 },
      ...{ missingBytes: 8192, note: '' },
    });
    expect(plan().members[1]).toMatchObject({ memberId: 2, version: '5.3{1,2}', atMs: null });
    expect(plan().leftBehind).toEqual([
      {
        ...{ memberId: 3, name: 'storage-3', version: '2.1{3}', atMs: null },
        ...{ missingBytes: 4096, note: 'member 3 (storage-3) has a store that is older' },
      },
    ]);
  });

  test('of a member that does not answer nothing is known but why; of one that has no leg, that', () => {
    legs = legs.slice(0, 2);
    const nothing = { version: null, atMs: null, missingBytes: null };
    expect(plan().leftBehind).toEqual([
      { memberId: 2, name: 'storage-2', ...nothing, note: "it can't be reached: the network is down" },
      { memberId: 3, name: 'storage-3', ...nothing, note: 'this node has no leg to it' },
    ]);
  });

  test('a member with another store than that of the set is left behind, and so is one without a version', () => {
    leg(2).probe = answer(2, { version: null, identity: { ...probeOf(2).identity, storeUuid: storeOf(7) } });
    const { members, leftBehind } = plan();
    expect([ids(members), ids(leftBehind)]).toEqual([[1], [2, 3]]);
    expect(leftBehind[0]).toMatchObject({ version: null, missingBytes: null });
  });

  test('a witness is not left behind: it has nothing', () => {
    leg(1).probe = answer(1, { members: [...MEMBERS, memberOf(9, 'witness')] });
    expect(ids(plan().leftBehind)).toEqual([2, 3]);
  });

  test('where nobody is left behind, that is said', () => {
    leg(1).probe = answer(1, { members: MEMBERS.slice(0, 1) });
    expect(plan().sentence).toBe('The pool would be served with the data of member 1 (storage-1). No other member is left behind.');
  });

  test('the newer of two lineages counts, whatever the older one has come to', () => {
    leg(2).probe = answer(2, { version: versionOf(1, [2], { epoch: 9, lineageUuid: OTHER_LINEAGE }) });
    leg(1).probe = answer(1, { version: versionOf(4, [1], { epoch: 5 }), policy: { ...POLICY, formerLineages: [OTHER_LINEAGE] } });
    expect(ids(plan().members)).toEqual([1]);
  });
});

describe('stores that went back in time (L8)', () => {
  test('are left behind where somebody is what it was, whatever version they show', () => {
    goBack(2, { version: versionOf(9, [2], { epoch: 5 }) });
    const { members, leftBehind, sentence } = plan();
    expect([ids(members), ids(leftBehind)]).toEqual([[1], [2, 3]]);
    expect(sentence).not.toContain('went back in time');
  });

  test('are all that there is where nobody is; then it is said that what was written since is lost', () => {
    goBack(1);
    goBack(2, { version: versionOf(3, [1, 2], { epoch: 5 }) });
    const { members, leftBehind, sentence } = plan();
    expect([ids(members), ids(leftBehind)]).toEqual([[1, 2], [3]]);
    expect(sentence).toMatch(
      /All that answer have stores that went back in time: what was written since those copies were made is lost\.$/,
    );
  });

  test('a leg that is on its way out is none of them', () => {
    goBack(1);
    expect(forcePlan(legs.slice(1), rolledBack).refusal).toContain('no member that has ever been in service');
  });
});
