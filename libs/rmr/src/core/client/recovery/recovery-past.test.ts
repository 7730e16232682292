import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { MemberRecord } from '../../../pool-store.ts';
import { RecoveryRig } from '../../../testing/recovery-rig.ts';
import {
  identityOf,
  LINEAGE,
  lifeOf,
  memberOf,
  OTHER_LINEAGE,
  PAST,
  POLICY,
  probeOf,
  seenOf,
  storeOf,
  versionOf,
} from '../../../testing/scripted-pool.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import { remedyForLineages, remedyForRolledBack, remedyForTwins } from '../status/remedies.ts';

const { CURRENT, MEMBERS } = RecoveryRig;

let rig: RecoveryRig;

beforeEach(() => {
  rig = new RecoveryRig();
});

/** Member 1 remembers more of this member than it can show. */
function knows(memberId: number, fields: Partial<ProbeResult> = {}, entry: Partial<MemberRecord> = {}): void {
  rig.stores.set(1, { ...rig.stores.get(1), members: rig.table(memberId, { seen: seenOf(21, 2, 7_000), ...entry }) });
  rig.stores.set(memberId, fields);
}

describe('a member went back in time (L8)', () => {
  test('it takes no part, and the pool waits for its store as it was; nobody is asked to grant', () => {
    knows(2);
    rig.begin();
    expect(rig.open).toEqual([]);
    expect(rig.waiting).toEqual({
      what: 'member 2 (storage-2) has a store that is older than member 1 (storage-1) knows it to have been (in-sync set of version 5.4{1,2,3})',
      remedy: remedyForRolledBack(),
    });
    expect(rig.leg(2)).toMatchObject({ probe: null, rolledBack: { newerAtMs: 7_000 } });
  });

  test('as soon as it is what it was, all goes on', () => {
    knows(2);
    rig.begin();
    rig.stores.set(2, { past: { ...PAST, age: 21 } });
    rig.again();
    expect([rig.open, rig.leg(2).rolledBack]).toEqual([['claim 1', 'claim 2', 'claim 3'], null]);
  });

  test('one that answered before it was told what the others know of it is asked once more, and no word is lost about it', () => {
    rig.recovery.begin();
    for (const memberId of [2, 3])
      rig
        .session(memberId)
        .next('probe')
        .answer(probeOf(memberId, rig.store(memberId)));
    knows(2, { past: { ...PAST, age: 21 } });
    rig
      .session(1)
      .next('probe')
      .answer(probeOf(1, rig.store(1)));
    expect(rig.open).toEqual(['probe 2']);
    rig
      .session(2)
      .next('probe')
      .answer(probeOf(2, rig.store(2)));
    expect([rig.open, rig.leg(2).rolledBack]).toEqual([['claim 1', 'claim 2', 'claim 3'], null]);
    expect(rig.world.log.entries.filter(({ event }) => event === 'a store went back in time')).toEqual([]);
  });

  test('it takes no part either when the one that knows better is gone meanwhile', () => {
    const served = { version: versionOf(3, [2], { epoch: 5 }) };
    knows(2, served);
    rig.cut(2, 3);
    rig.begin();
    rig.cut(1);
    rig.session(2).reconnect();
    rig.again();
    expect(rig.open).toEqual([]);
    expect(rig.leg(2)).toMatchObject({ probe: null, rolledBack: { newerAtMs: 7_000 } });
  });

  test('it is told in the log once, however often it is tried', () => {
    knows(2);
    rig.begin();
    rig.again();
    rig.again();
    expect(rig.world.log.entries.filter(({ event }) => event === 'a store went back in time').length).toBe(1);
  });

  test('it is not waited for where another member of the set was released; it is out of the first version', () => {
    knows(2);
    rig.stores.set(3, { released: true });
    rig.begin();
    expect(rig.open).toEqual(['claim 1', 'claim 3']);
    rig.grant([1, 3]);
    const [recorded] = rig.serve([1, 3]);
    expect(recorded?.version).toMatchObject({ lineageUuid: LINEAGE, inSync: [{ memberId: 1 }, { memberId: 3 }] });
    expect(recorded?.members[1]).toMatchObject({ left: { epoch: 6, seq: 1 }, seen: { age: 21 } });
  });

  test('where nobody is what it was, the pool waits for one that is', () => {
    const table = (memberId: number, entry: Partial<MemberRecord>) => rig.table(memberId, { seen: seenOf(21), ...entry });
    rig.cut(3);
    rig.stores.set(1, { members: table(2, {}) });
    rig.stores.set(2, { members: table(1, {}) });
    rig.begin();
    expect(rig.open).toEqual([]);
    expect(rig.waiting.what).toBe(
      'a member whose store is what it was: member 1 (storage-1) has a store that is older than member 2 (storage-2) knows it to have been; ' +
        'member 2 (storage-2) has a store that is older than member 1 (storage-1) knows it to have been',
    );
    expect(rig.waiting.remedy).toBe(remedyForRolledBack());
  });

  test('it knows of a version that nobody else has: a copy of it was in service, and an operator has to choose', () => {
    knows(3, { version: versionOf(9, [3], { epoch: 5 }) });
    rig.begin();
    expect(rig.open).toEqual([]);
    expect(rig.waiting).toEqual({
      what: expect.stringMatching(
        /^an operator: member 3 \(storage-3\) has a store that is older .+, and has version 5\.9\{3\}, of which no other member knows: /,
      ),
      remedy: remedyForLineages(),
    });
  });

  test('a store of a former lineage is in the set that it has joined since: it was put back from before the pool was forced', () => {
    const policy = { ...POLICY, formerLineages: [OTHER_LINEAGE] };
    rig.stores.set(1, { policy, members: rig.table(2, { joined: { epoch: 5, seq: 2 } }) });
    rig.stores.set(3, { policy });
    rig.stores.set(2, { version: versionOf(7, [1, 2], { epoch: 3, lineageUuid: OTHER_LINEAGE }) });
    rig.begin();
    expect([rig.open, rig.waiting.what]).toEqual([[], expect.stringMatching(/^member 2 \(storage-2\) has a store that lacks versions /)]);
  });

  test('a grant that shows less than the probe ends the attempt: nothing is recorded', () => {
    rig.stores.set(1, { members: rig.table(2, { seen: seenOf() }) });
    rig.begin();
    rig.grant([1, 2, 3], (memberId) => (memberId === 2 ? { past: { ...PAST, age: 19 } } : {}));
    expect(rig.open).toEqual([]);
    expect(rig.waiting.what).toBe(
      'member 2 (storage-2), which has a store that is older than member 1 (storage-1) knows it to have been: it turned out while the pool was being claimed',
    );
  });

  test('a version that was recorded meanwhile tells of it, too', () => {
    rig.begin();
    const members = rig.table(3, { joined: { epoch: 5, seq: 5 } });
    rig.grant([1, 2, 3], (memberId) => (memberId < 3 ? { version: versionOf(6, [1, 2, 3], { epoch: 5 }), members } : {}));
    expect([rig.open, rig.waiting.what]).toEqual([[], expect.stringContaining('lacks versions which it had recorded')]);
  });

  test('L5: a client that has served the pool goes on with those that are what they were, by what it has heard itself', () => {
    rig.memory = { durable: CURRENT, attempts: [], members: rig.table(2, { seen: seenOf(21) }), policy: POLICY };
    rig.begin();
    expect(rig.waiting.what).toContain('older than this client knows it to have been');
    rig.pass();
    rig.probe();
    expect(rig.open).toEqual(['claim 1', 'claim 3']);
  });
});

describe('two lineages that know nothing of one another', () => {
  test('are named with their members, versions and dates, and with what to do', () => {
    rig.stores.set(1, { members: rig.table(1, { seen: seenOf(20, 2, 9_000) }) });
    rig.stores.set(2, { version: versionOf(1, [2], { epoch: 9, lineageUuid: OTHER_LINEAGE }) });
    rig.begin();
    expect(rig.open).toEqual([]);
    expect(rig.waiting).toEqual({
      what:
        'an operator: the members belong to different lineages of this pool, and none knows of the others: ' +
        `lineage ${LINEAGE} of member 1 (storage-1), version 5.4{1,2,3}, last heard of on 1970-01-01 00:00:09Z and member 3 (storage-3), version 5.4{1,2,3}; ` +
        `lineage ${OTHER_LINEAGE} of member 2 (storage-2), version 9.1{2}`,
      remedy: remedyForLineages(),
    });
    expect(rig.recovery.forcePlan().refusal).toContain('different lineages');
  });
});

describe("the pool's own table (L9)", () => {
  test('what it says of other members leads their legs; earlier answers count for nothing, and the next attempt begins at once', () => {
    const onMembers = vi.fn(() => true);
    rig.onMembers = onMembers;
    rig.stores.set(3, { version: versionOf(5, [1, 2, 3], { epoch: 5 }), members: rig.table(1, { name: 'moved' }) });
    rig.begin();
    expect([rig.open, rig.waiting.what]).toEqual([[], "the members to answer at the addresses that the pool's own table has"]);
    expect(onMembers).toHaveBeenCalledExactlyOnceWith(expect.arrayContaining([expect.objectContaining({ name: 'moved' })]));
    rig.onMembers = () => false;
    rig.recovery.tick(rig.world.clock.nowMs());
    rig.probe();
    expect(rig.open).toEqual(['claim 1', 'claim 2', 'claim 3']);
  });

  test('the table of a store counts that answers where another member is expected, too; that of another pool does not', () => {
    const onMembers = vi.fn(() => false);
    rig.onMembers = onMembers;
    const moved = rig.table(1, { name: 'moved' });
    const later = versionOf(5, [1, 2, 3], { epoch: 5 });
    rig.stores.set(1, { version: later, members: moved, identity: identityOf(2, 16, 4096) });
    rig.begin();
    expect(onMembers).toHaveBeenLastCalledWith(moved);
    rig.stores.set(1, { version: later, members: moved, identity: { ...identityOf(1, 16, 4096), poolUuid: storeOf(8) } });
    rig.again();
    expect(onMembers).toHaveBeenLastCalledWith(MEMBERS);
  });

  const foreign = { version: versionOf(1, [2, 3], { epoch: 9, lineageUuid: OTHER_LINEAGE }), members: [memberOf(7)] };

  test('a lineage that was left behind says nothing, however far it has come', () => {
    const onMembers = vi.fn(() => false);
    rig.onMembers = onMembers;
    rig.stores.set(1, { policy: { ...POLICY, formerLineages: [OTHER_LINEAGE] } });
    rig.stores.set(2, foreign);
    rig.begin();
    expect(onMembers.mock.calls).toEqual([[MEMBERS]]);
  });

  test('of two lineages that know nothing of one another neither says anything', () => {
    const onMembers = vi.fn(() => false);
    rig.onMembers = onMembers;
    rig.stores.set(2, foreign);
    rig.begin();
    expect(onMembers).not.toHaveBeenCalled();
  });

  test('a client that has served the pool goes by its own', () => {
    const onMembers = vi.fn(() => false);
    rig.onMembers = onMembers;
    rig.memory = { durable: CURRENT, attempts: [], members: [memberOf(1)], policy: POLICY };
    rig.begin();
    expect(onMembers).toHaveBeenCalledWith([memberOf(1)]);
  });

  test('a store or a host that is there twice is not believed: the pool waits for an operator', () => {
    rig.twice = (leg) => (leg.member.memberId === 2 ? 'store of member 2 is there twice' : '');
    rig.begin();
    expect([rig.open, rig.leg(2).probe]).toEqual([[], null]);
    expect(rig.waiting).toEqual({ what: expect.stringContaining('store of member 2 is there twice'), remedy: remedyForTwins() });
  });
});

describe('force', () => {
  /** Member 3 is away. */
  beforeEach(() => {
    rig.cut(3);
  });

  test('is carried out where exactly those are left behind that the operator was told of', () => {
    rig.begin();
    expect(rig.recovery.forcePlan().leftBehind.map(({ memberId }) => memberId)).toEqual([3]);
    rig.recovery.force([3], rig.done);
    rig.probe();
    rig.grant([1, 2]);
    const [recorded] = rig.serve([1, 2]);
    expect([recorded?.version.lineageUuid === LINEAGE, rig.ended]).toEqual([false, ['done']]);
  });

  test.each([
    ['somebody else would be', [2]],
    ['more would be', []],
    ['fewer would be', [2, 3]],
  ])('is refused where %s, and names the members', (_name, leftBehind) => {
    rig.begin();
    rig.recovery.force(leftBehind, rig.done);
    rig.probe();
    expect([rig.open, rig.ended]).toEqual([[], ['UNAVAILABLE']]);
    expect(rig.errors[0]).toMatch(/other members would be left behind than was said: member 3 \(storage-3\)$/);
  });

  test('is tried once: another attempt leaves behind no member that the order named', () => {
    rig.begin();
    rig.recovery.force([2], rig.done);
    rig.probe();
    rig.again();
    expect([rig.open, rig.ended]).toEqual([[], ['UNAVAILABLE']]);
  });

  test('is nothing to do while the pool is served, or nobody can be reached', () => {
    rig.cut(1, 2);
    rig.recovery.begin();
    rig.recovery.force(null, rig.done);
    expect(rig.errors).toEqual(['no member can be reached']);
    rig.recovery.end();
    rig.recovery.force(null, rig.done);
    expect(rig.ended).toEqual(['UNAVAILABLE', 'CONFLICT']);
    expect(rig.recovery.forcePlan().refusal).toBe('the pool is served');
  });

  test('leaves behind a member whose store went back in time, even if it is ahead of all', () => {
    knows(2, { version: versionOf(9, [2], { epoch: 5 }) });
    rig.begin();
    rig.recovery.force([2, 3], rig.done);
    rig.probe();
    rig.grant([1]);
    const [recorded] = rig.serve([1]);
    expect([recorded?.version.inSync, recorded?.policy.formerLineages]).toEqual([[{ memberId: 1, storeUuid: storeOf(1) }], [LINEAGE]]);
  });

  test('serves the pool with stores that went back in time where no member is left that knows better, as a new lineage', () => {
    rig.stores.set(1, { members: rig.table(2, { seen: seenOf(21) }) });
    rig.stores.set(2, { members: rig.table(1, { seen: seenOf(21) }) });
    rig.begin();
    expect(rig.recovery.forcePlan()).toMatchObject({ refusal: null, members: [{ memberId: 1 }, { memberId: 2 }] });
    rig.recovery.force([3], rig.done);
    rig.probe();
    rig.grant([1, 2]);
    const [recorded] = rig.serve([1, 2]);
    expect([recorded?.version.lineageUuid === LINEAGE, rig.ended]).toEqual([false, ['done']]);
  });

  test('does so also where these are the whole set, as this client alone knows', () => {
    rig.session(3).reconnect();
    const members = MEMBERS.map((member) => ({ ...member, seen: seenOf(5, 9) }));
    rig.memory = { durable: CURRENT, attempts: [], members, policy: POLICY };
    rig.begin();
    expect([rig.open, rig.recovery.forcePlan().refusal]).toEqual([[], null]);
    rig.recovery.force([], rig.done);
    rig.probe();
    rig.grant([1, 2, 3]);
    const [recorded] = rig.serve([1, 2, 3]);
    expect([recorded?.version.lineageUuid === LINEAGE, rig.ended]).toEqual([false, ['done']]);
    expect(recorded?.members.map(({ seen }) => seen)).toEqual(MEMBERS.map(() => expect.objectContaining({ lifeUuid: lifeOf(2), age: 20 })));
  });
});

test('L8: what members have become by the grant is in the first table', () => {
  rig.begin();
  rig.grant([1, 2, 3], (memberId) => ({ past: { ...PAST, age: 20 + memberId } }));
  const [recorded] = rig.serve([1, 2, 3]);
  expect(recorded?.members.map(({ seen }) => seen?.age)).toEqual([21, 22, 23]);
  expect(probeOf(1).past.age).toBe(20);
});
