import { type OperationError, SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { FORMER_LINEAGES_MAX, MEMBER_ANSWER_MS } from '../../../constants.ts';
import type { InSyncMember, MemberRecord, PoolPolicy } from '../../../pool-store.ts';
import {
  identityOf,
  LINEAGE,
  lifeOf,
  memberOf,
  OTHER_LINEAGE,
  POLICY,
  POOL,
  probeOf,
  seenOf,
  storeOf,
  versionOf,
} from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';
import { type LastCopies, LastCopiesError, type MembershipHost, MembershipOperations } from '../membership/membership-operations.ts';
import { PoolMaps } from '../pool-maps.ts';

let sessions: ScriptedSession[];
let legs: Leg[];
let maps: PoolMaps;
let versions: {
  members: readonly MemberRecord[];
  current: { readonly inSync: readonly InSyncMember[] } | null;
  policy: PoolPolicy;
  paused: boolean;
  witnessReady: boolean;
};
let changes: Parameters<MembershipHost['change']>[0][];
/** How what was asked for has ended: the code, or `made`; and what else the host was told. */
let told: string[];
let errors: (OperationError | null)[];
let serving: boolean;
let membership: MembershipOperations;

const leg = (memberId: number): Leg => legs[memberId - 1] as Leg;
const session = (memberId: number): ScriptedSession => sessions[memberId - 1] as ScriptedSession;

/** An operator asks for it; the member answers with this. */
function copyAnew(memberId: number, fields: Partial<ProbeResult> = {}, lastCopies: LastCopies = 'KEEP'): void {
  ask(memberId, lastCopies);
  membership.tick(0);
  session(memberId)
    .next('probe')
    .answer(probeOf(memberId, { version: versionOf(4, [1, 2, 3]), ...fields }));
  membership.startNext();
}

function ask(memberId: number, lastCopies: LastCopies = 'KEEP'): void {
  membership.copyAnew(memberId, lastCopies, (error) => {
    errors.push(error);
    told.push(error?.code ?? 'made');
  });
}

/** Three members; 1 and 2 are in sync, 3 is out. */
beforeEach(() => {
  sessions = [1, 2, 3].map(() => new ScriptedSession());
  legs = sessions.map(({ shared }, index) => new Leg(index, memberOf(index + 1), shared, SILENT_LOGGER, () => 0));
  for (const each of legs) each.setState('RECONNECTING', 'asked');
  for (const memberId of [1, 2]) leg(memberId).setState('NORMAL', 'enabled');
  leg(3).setState('FAILED', 'cut');
  maps = new PoolMaps(16 * 4096, 4096);
  const members = [memberOf(1), { ...memberOf(2), joined: { epoch: 1, seq: 1 } }, { ...memberOf(3), seen: seenOf(90, 5) }];
  versions = { members, current: null, policy: POLICY, paused: false, witnessReady: false };
  changes = [];
  told = [];
  errors = [];
  serving = true;
  const host: Partial<MembershipHost> = {
    ...{ poolUuid: POOL, queueDepth: 16, log: SILENT_LOGGER, versions: versions as unknown as MembershipHost['versions'] },
    nowMs: () => 0,
    epoch: () => 1,
    serving: () => serving,
    answeredSeqs: new Float64Array(8),
    lineageUuid: () => LINEAGE,
    maps: () => maps,
    legs: () => legs,
    takeOut: (gone, to, why) => {
      told.push(`out: member ${gone.member.memberId}`);
      gone.setState(to, why);
    },
    disable: (gone) => void told.push(`disabled: member ${gone.member.memberId}`),
    change: (change) => void changes.push(change),
    goOn: () => {},
  };
  membership = new MembershipOperations(host as MembershipHost);
});

describe('a member is copied anew', () => {
  test('all of it is dirty, what was seen of it before says nothing more, and it returns when that is durable', () => {
    Object.assign(leg(3), { rolledBack: { why: 'is older', newerAtMs: null }, returnAtMs: 5_000, problem: 'is older' });
    copyAnew(3);
    expect(changes).toMatchObject([{ allDirty: [3], anew: [3], givenUp: null }]);
    expect(changes[0]?.members?.map(({ memberId, seen }) => [memberId, seen])).toEqual([1, 2, 3].map((id) => [id, undefined]));
    expect([changes[0]?.policy, told, leg(3).rolledBack]).toEqual([undefined, [], expect.anything()]);
    changes[0]?.onDurable();
    // That its store went back in time is told until it is back.
    expect([told, leg(3).rolledBack, leg(3).problem, leg(3).returnAtMs]).toEqual([['made'], expect.anything(), '', 0]);
  });

  test('one that is in sync leaves the set first, with the version that says so', () => {
    copyAnew(2);
    expect([told, leg(2).state]).toEqual([['out: member 2', 'disabled: member 2'], 'RECONNECTING']);
    expect(changes).toMatchObject([{ allDirty: [2], anew: [2] }]);
  });

  test('what it has of another lineage is left behind with that, once', () => {
    copyAnew(3, { version: versionOf(7, [3], { lineageUuid: OTHER_LINEAGE }) });
    expect(changes[0]?.policy?.formerLineages).toEqual([OTHER_LINEAGE]);
    changes[0]?.onDurable();
    versions.policy = { ...POLICY, formerLineages: [OTHER_LINEAGE] };
    copyAnew(3, { version: versionOf(7, [3], { lineageUuid: OTHER_LINEAGE }) });
    expect(changes[1]?.policy).toBeUndefined();
  });

  test('former lineages are kept bounded: the oldest is forgotten', () => {
    const formerLineages = Array.from({ length: FORMER_LINEAGES_MAX }, (_, index) => lifeOf(index));
    versions.policy = { ...POLICY, formerLineages };
    copyAnew(3, { version: versionOf(7, [3], { lineageUuid: OTHER_LINEAGE }) });
    expect(changes[0]?.policy?.formerLineages).toEqual([...formerLineages.slice(1), OTHER_LINEAGE]);
  });

  test('one that has no version has nothing to leave behind', () => {
    copyAnew(3, { version: null });
    expect([changes.length, changes[0]?.policy]).toEqual([1, undefined]);
  });

  test('a failure meanwhile is told, and it may be asked for again', () => {
    copyAnew(3);
    membership.interrupted('member 2 left');
    expect(told).toEqual(['UNAVAILABLE']);
    copyAnew(3);
    changes[1]?.onDurable();
    expect(told).toEqual(['UNAVAILABLE', 'made']);
  });
});

describe('it is refused', () => {
  /** Nothing was changed, and this is why. */
  function refused(code: OperationError['code'], why: string): void {
    expect([changes, told]).toEqual([[], [code]]);
    expect(errors[0]?.message).toContain(why);
  }

  test('for a member that the pool has not, and one that this node has no leg to', () => {
    ask(7);
    refused('NOT_FOUND', 'the pool has no member 7');
  });

  test('for a member that is no member of the table any more', () => {
    versions.members = [memberOf(1), memberOf(2)];
    copyAnew(3);
    refused('NOT_FOUND', 'the pool has no member 3');
  });

  test('with another store than the pool knows: that is to be replaced', () => {
    copyAnew(3, { identity: { ...identityOf(3, 16, 4096), storeUuid: storeOf(7) } });
    refused('CONFLICT', `member 3 (storage-3) has store ${storeOf(7)}, and not ${storeOf(3)}, which the pool knows`);
  });

  test('with the store of another pool or member', () => {
    copyAnew(3, { identity: identityOf(2, 16, 4096) });
    refused('CONFLICT', 'of member 2, where member 3 (storage-3) is expected');
  });

  test('where it belongs to a newer lineage: it is what is served here that was left behind', () => {
    copyAnew(3, { policy: { ...POLICY, formerLineages: [LINEAGE] }, version: versionOf(1, [3], { lineageUuid: OTHER_LINEAGE }) });
    refused('CONFLICT', 'belongs to a newer lineage');
  });

  test('where whoever asked for it wants it no more, by what the member says: it has the right store again', () => {
    const error: (OperationError | null)[] = [];
    membership.copyAnew(
      3,
      'KEEP',
      (ended) => error.push(ended),
      ({ past }) => past.age < 20,
    );
    membership.tick(0);
    session(3).next('probe').answer(probeOf(3));
    membership.startNext();
    expect([changes, error[0]?.code]).toEqual([[], 'CONFLICT']);
  });

  test('for the last member in sync, and one that alone of those in sync has a chunk', () => {
    maps.of(1).set(3, 1);
    copyAnew(2);
    refused('CONFLICT', 'has the only clean copy in sync of chunk 3');
    maps.of(1).clear(3, 1);
    leg(1).setState('FAILED', 'cut');
    copyAnew(2);
    expect([changes, errors[1]?.message]).toEqual([[], expect.stringContaining('is the last member in sync')]);
    expect(leg(2).state).toBe('NORMAL');
  });

  test('where a majority of those that are left could not record it', () => {
    versions.policy = { ...POLICY, quorum: 'majority' };
    copyAnew(2);
    refused('CONFLICT', 'a majority of the 3 members has to record this');
    expect(leg(2).state).toBe('NORMAL');
  });

  test('I8: where it has the last clean copy of a chunk among all, unless that is given up', () => {
    for (const memberId of [1, 2]) maps.of(memberId).set(3, 2);
    copyAnew(3);
    refused('CONFLICT', 'member 3 has the last clean copy of 2 chunks, the first of which is 3');
    expect(errors[0]).toBeInstanceOf(LastCopiesError);
    copyAnew(3, {}, 'GIVE_UP');
    expect(changes[0]?.givenUp?.runs(9)).toEqual([{ first: 3, count: 2 }]);
  });

  test('I8, I1: where only a member that is out of the set has it clean, too, which may not have flushed it', () => {
    versions.current = { inSync: [memberOf(2), memberOf(3)] };
    maps.of(2).set(3, 1);
    copyAnew(3);
    refused('CONFLICT', 'no other member in sync has 1 chunk, the first of which is 3, clean');
    expect(errors[0]).toBeInstanceOf(LastCopiesError);
    // It counts for no more than that: the chunk is not lost as long as the other may come back.
    copyAnew(3, {}, 'GIVE_UP');
    expect(changes[0]?.givenUp).toBeNull();
  });

  test('as long as the member is asked for a change that came before', () => {
    ask(3);
    ask(3);
    refused('CONFLICT', 'wait for its end');
  });

  test('where the member does not answer in time, or refuses to', () => {
    session(3).cut();
    ask(3);
    membership.tick(MEMBER_ANSWER_MS);
    refused('UNAVAILABLE', "member 3 (storage-3) can't be reached at memory:3: cut");
    session(3).reconnect();
    ask(3);
    membership.tick(0);
    session(3).next('probe').refuse('UNKNOWN_POOL', 'no store of this pool');
    expect([changes, told]).toEqual([[], ['UNAVAILABLE', 'CONFLICT']]);
  });

  test('while the pool is not served', () => {
    serving = false;
    copyAnew(3);
    refused('UNAVAILABLE', 'the pool is not served now');
  });
});
