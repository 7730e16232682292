import { SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import type { MemberRecord, VersionRecord } from '../../../pool-store.ts';
import { memberOf, OTHER_LINEAGE, PAST, probeOf, seenOf, storeOf, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import { Leg } from '../legs/leg.ts';
import type { VersionMemory } from '../versions/versions.ts';
import { findRolledBack, type Rememberer, rolledBack, type ShownStore } from './rolled-back.ts';

const at = (epoch: number, seq: number) => ({ epoch, seq });
const of = (epoch: number, seq: number, memberIds: readonly number[] = [1, 2]): VersionRecord => versionOf(seq, memberIds, { epoch });

/** The store of member 2, which shows {@link PAST}. */
function store(fields: Partial<ShownStore> = {}): ShownStore {
  return { memberId: 2, storeUuid: storeOf(2), version: of(5, 4), past: PAST, members: [], ...fields };
}

/** Member 1, which holds this version, and has this of member 2 in its table. */
function by(version: VersionRecord, entry: Partial<MemberRecord>, fields: Partial<Rememberer> = {}): Rememberer {
  return { who: 'member 1 (storage-1)', version, members: [memberOf(1), { ...memberOf(2), ...entry }], durable: false, ...fields };
}

describe('a store went back in time (L8)', () => {
  test('where somebody remembers it older than it is; and since when is told', () => {
    const why = rolledBack(store(), [by(of(5, 4), { seen: seenOf(21, 2, 7_000) })]);
    expect(why).toEqual({ why: 'has a store that is older than member 1 (storage-1) knows it to have been', newerAtMs: 7_000 });
    expect(rolledBack(store(), [by(of(5, 4), { seen: seenOf() })])).toBeNull();
  });

  test('one that knows suffices, whatever the others remember', () => {
    const rememberers = [by(of(5, 4), {}), by(of(5, 4), { seen: seenOf(3, 1) }), by(of(5, 4), { seen: seenOf(11, 1) })];
    expect(rolledBack(store(), rememberers)).not.toBeNull();
    expect(rolledBack(store(), rememberers.slice(0, 2))).toBeNull();
    expect(rolledBack(store(), [])).toBeNull();
  });

  test.each<[string, VersionRecord | null, boolean]>([
    ['an older one', of(5, 2), true],
    ['none at all', null, true],
    ['that very one', of(5, 3), false],
    ['a later one', of(5, 7), false],
  ])('where a version was made after that with which it has joined, and it has %s', (_name, version, isOld) => {
    const found = rolledBack(store({ version }), [by(of(5, 4), { joined: at(5, 3) })]);
    const why = 'has a store that lacks versions which it had recorded, as member 1 (storage-1) knows';
    expect(found).toEqual(isOld ? { why, newerAtMs: null } : null);
  });

  test('when it was newer is told of a store that lacks versions, too, where that is known', () => {
    expect(rolledBack(store({ version: of(5, 2) }), [by(of(5, 4), { joined: at(5, 3), seen: seenOf(20, 2, 9_000) })])).toMatchObject({
      newerAtMs: 9_000,
    });
  });

  test('halfway joined is no accusation: the version with which it joins is the highest, and may not have reached it', () => {
    expect(rolledBack(store({ version: of(5, 2) }), [by(of(5, 3), { joined: at(5, 3) })])).toBeNull();
    expect(rolledBack(store({ version: null }), [by(of(6, 1), { joined: at(6, 1) })])).toBeNull();
  });

  test('before marks were kept: out of the set, and with a version of an epoch before that in which it was in it', () => {
    expect(rolledBack(store({ version: of(4, 9) }), [by(of(5, 4, [1]), { left: at(5, 3) })])).not.toBeNull();
    expect(rolledBack(store({ version: of(5, 2) }), [by(of(5, 4, [1]), { left: at(5, 3) })])).toBeNull();
    // It was out of the first version of the epoch already.
    expect(rolledBack(store({ version: of(4, 9) }), [by(of(5, 4, [1]), { left: at(5, 1) })])).toBeNull();
    // Marks say more.
    expect(rolledBack(store({ version: of(4, 9) }), [by(of(5, 4, [1]), { left: at(5, 3), seen: seenOf() })])).toBeNull();
    // It was never in the set: it was added just now.
    expect(rolledBack(store({ version: null }), [by(of(5, 4, [1]), { left: at(5, 3) })])).toBeNull();
  });

  test('a client knows that its version is durable on the whole set: a member of the set that lacks it went back', () => {
    const knows = { who: 'this client', durable: true };
    expect(rolledBack(store({ version: of(5, 3) }), [by(of(5, 4), {}, knows)])).toMatchObject({
      why: expect.stringMatching(/as this client knows$/),
    });
    expect(rolledBack(store({ version: null }), [by(of(5, 4), {}, knows)])).not.toBeNull();
    expect(rolledBack(store({ version: of(5, 4) }), [by(of(5, 4), {}, knows)])).toBeNull();
    expect(rolledBack(store({ version: of(5, 3) }), [by(of(5, 4), {})])).toBeNull();
    expect(rolledBack(store({ version: of(5, 3) }), [by(of(5, 4, [1]), { left: at(5, 4) }, knows)])).toBeNull();
  });
});

describe('nobody knows better', () => {
  test('where the table has another store of the member, or no such member', () => {
    expect(rolledBack(store(), [by(of(5, 4), { storeUuid: storeOf(7), seen: seenOf(21) })])).toBeNull();
    expect(rolledBack(store({ memberId: 4 }), [by(of(5, 4), { seen: seenOf(21) })])).toBeNull();
  });

  test('where the table is older than the acceptance of the store as it is, as somebody knows', () => {
    const former = by(of(5, 4), { seen: seenOf(90), joined: at(5, 3) });
    const accepted = by(of(5, 6, [1]), { anew: at(5, 6), seen: seenOf(20), left: at(5, 6) });
    expect(rolledBack(store({ version: of(5, 2) }), [former, accepted])).toBeNull();
    expect(rolledBack(store({ version: of(5, 2) }), [former])).not.toBeNull();
  });

  test('after that it is what it was again, and can go back once more', () => {
    const accepted = by(of(5, 8), { anew: at(5, 6), seen: seenOf(21), joined: at(5, 7) });
    expect(rolledBack(store({ version: of(5, 8) }), [accepted])).not.toBeNull();
  });
});

describe('among members that have answered', () => {
  let legs: Leg[];
  let [one, two, three] = [] as unknown as [Leg, Leg, Leg];
  beforeEach(() => {
    legs = [1, 2, 3].map((memberId) => new Leg(memberId - 1, memberOf(memberId), new ScriptedSession().shared, SILENT_LOGGER, () => 0));
    [one, two, three] = legs as [Leg, Leg, Leg];
  });
  const table = (entry: Partial<MemberRecord>) => [memberOf(1), { ...memberOf(2), ...entry }, memberOf(3)] as ReturnType<typeof memberOf>[];

  function find(answers: [Leg, Parameters<typeof probeOf>[1]][], memory: VersionMemory | null = null): number[] {
    const all = new Map(answers.map(([leg, fields]) => [leg, probeOf(leg.member.memberId, fields)]));
    for (const [leg, probe] of all) leg.probe = probe;
    return [...findRolledBack(all, versionOf(1, [1]).lineageUuid, memory, legs).keys()].map(({ member }) => member.memberId);
  }
  const version = versionOf(4, [1, 2, 3], { epoch: 5 });

  test('nobody is accused by itself, and everybody by anybody else', () => {
    const members = table({ seen: seenOf(21) });
    expect(find([[two, { version, members }]])).toEqual([]);
    expect(
      find([
        [one, { version }],
        [two, { version, members }],
      ]),
    ).toEqual([]);
    expect(
      find([
        [three, { version, members }],
        [two, { version }],
      ]),
    ).toEqual([2]);
  });

  test('a member of another lineage remembers nothing, nor does a member without a version', () => {
    const members = table({ seen: seenOf(21) });
    const foreign = { ...version, lineageUuid: OTHER_LINEAGE };
    expect(
      find([
        [one, { version: foreign, members }],
        [two, { version }],
      ]),
    ).toEqual([]);
    expect(
      find([
        [one, { version: null, members }],
        [two, { version }],
      ]),
    ).toEqual([]);
  });

  test('what a member has told counts when it does not answer any more, unless it was of another lineage', () => {
    const members = table({ seen: seenOf(21) });
    one.probe = probeOf(1, { version: { ...version, lineageUuid: OTHER_LINEAGE }, members });
    one.probe = null;
    expect(find([[two, { version }]])).toEqual([]);
    one.probe = probeOf(1, { version, members });
    one.probe = null;
    expect(find([[two, { version }]])).toEqual([2]);
  });

  test('a member without a version is accused where it has joined before', () => {
    const members = table({ joined: at(5, 3) });
    expect(
      find([
        [one, { version, members }],
        [two, { version: null }],
      ]),
    ).toEqual([2]);
  });

  test('a member that was left behind, and has a version of another lineage, is accused where it has joined this one before', () => {
    const foreign = { ...version, lineageUuid: OTHER_LINEAGE };
    const accused = (entry: Partial<MemberRecord>): number[] =>
      find([
        [one, { version, members: table(entry) }],
        [two, { version: foreign }],
      ]);
    expect([accused({ joined: at(5, 3) }), accused({ seen: seenOf(21) })]).toEqual([[2], [2]]);
    // It is about to return, or was left behind and is to.
    expect([accused({ joined: at(5, 4) }), accused({ left: at(5, 3) }), accused({ left: at(5, 3), seen: seenOf() })]).toEqual([[], [], []]);
  });

  test('this client remembers, too: its durable version, and the marks that it has heard; not of another lineage', () => {
    const memory: VersionMemory = { durable: version, attempts: [], members: table({ seen: seenOf(21) }), policy: probeOf(1).policy };
    expect(find([[two, { version }]], memory)).toEqual([2]);
    expect(find([[one, { version: versionOf(3, [1, 2, 3], { epoch: 5 }) }]], memory)).toEqual([1]);
    expect(find([[two, { version }]], { ...memory, durable: { ...version, lineageUuid: OTHER_LINEAGE } })).toEqual([]);
  });
});
