import { OperationError, SILENT_LOGGER } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import type { MemberRecord } from '../../../pool-store.ts';
import {
  identityOf,
  LINEAGE,
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
import { type LastCopies, LastCopiesError, type OperationDone } from '../membership/membership-operations.ts';
import {
  remedyForEmptyStore,
  remedyForLastCopies,
  remedyForLineages,
  remedyForMovedBack,
  remedyForNewerLineage,
  remedyForRolledBack,
  remedyForTwins,
  remedyForUnfit,
} from '../status/remedies.ts';
import { ReturningStores, type ReturningStoresHost } from './returning-stores.ts';

const CURRENT = versionOf(4, [1], { epoch: 5 });
/** Member 2 was in sync before, with a store that showed an age of 20. */
const MEMBERS: MemberRecord[] = [memberOf(1), { ...memberOf(2), seen: seenOf(20) }];

let world: ReturnType<VirtualWorld['host']>;
let leg: Leg;
let served: Leg;
let staying: Leg[];
let twice: string;
let members: readonly MemberRecord[];
let asked: { memberId: number; lastCopies: LastCopies; done: OperationDone; isWanted: (probe: ProbeResult) => boolean }[];
let returning: ReturningStores;

function legTo(memberId: number, fields: Partial<ProbeResult> = {}): Leg {
  const made = new Leg(memberId - 1, memberOf(memberId), new ScriptedSession().shared, SILENT_LOGGER, () => 0);
  made.probe = probeOf(memberId, { version: CURRENT, ...fields });
  return made;
}

beforeEach(() => {
  world = new VirtualWorld().host('client-1');
  leg = legTo(2);
  served = legTo(1, { members: MEMBERS as ProbeResult['members'] });
  staying = [served, leg];
  twice = '';
  members = MEMBERS;
  asked = [];
  const host = {
    ...{ log: world.log, poolUuid: POOL, poolName: 'p', queueDepth: 16 },
    versions: {
      get members() {
        return members;
      },
      ...{ current: CURRENT, policy: POLICY },
      get memory() {
        return { durable: CURRENT, attempts: [], members, policy: POLICY };
      },
    },
    legs: {
      twice: () => twice,
      get staying() {
        return staying;
      },
    },
    membership: {
      copyAnew: (memberId: number, lastCopies: LastCopies, done: OperationDone, isWanted: (probe: ProbeResult) => boolean) =>
        void asked.push({ memberId, lastCopies, done, isWanted }),
    },
    geometry: () => ({ sizeBytes: 16 * 4096, chunkSizeBytes: 4096, fastPunch: true, fastZero: true }),
  };
  returning = new ReturningStores(host as unknown as ReturningStoresHost);
});

describe('a store that does not fit', () => {
  const remedy = (fields: Partial<ProbeResult>): string => {
    leg.probe = probeOf(2, { version: CURRENT, ...fields });
    expect(returning.unfit(leg, leg.probe)).not.toBe('');
    return returning.remedyForUnfit(leg);
  };
  const other = { ...identityOf(2, 16, 4096), storeUuid: storeOf(7) };
  const foreign = versionOf(9, [2], { lineageUuid: OTHER_LINEAGE });

  test('fits, with the store that the pool knows', () => {
    expect(returning.unfit(leg, leg.probe as ProbeResult)).toBe('');
  });

  test('what helps depends on what it is', () => {
    expect(remedy({ identity: other, version: null })).toBe(remedyForEmptyStore('p', 2));
    expect(remedy({ identity: other })).toBe(remedyForUnfit('storage-2'));
    expect(remedy({ version: foreign })).toBe(remedyForLineages('p', 2));
    expect(remedy({ version: foreign, policy: { ...POLICY, formerLineages: [LINEAGE] } })).toBe(remedyForNewerLineage());
  });

  test('L9: that it is there twice comes first, whatever it is', () => {
    twice = 'store is there twice';
    expect(returning.unfit(leg, leg.probe as ProbeResult)).toBe(twice);
    expect([remedy({}), remedy({ version: foreign })]).toEqual([remedyForTwins(), remedyForTwins()]);
  });
});

describe('a store that went back in time (L8)', () => {
  const old = { why: 'has a store that is older', newerAtMs: null };
  const why = 'member 2 (storage-2) has a store that is older';

  function begin(): void {
    Object.assign(leg, { rolledBack: old, problem: why });
    returning.copyAnew(leg);
  }

  test('is judged by what this client knew when it asked: as long as that is nothing, by nothing', () => {
    const store = probeOf(2, { version: CURRENT });
    expect(returning.rolledBack(leg, store, null)).toBeNull();
    const memory = { durable: CURRENT, attempts: [], members: [{ ...memberOf(2), seen: seenOf(21) }], policy: POLICY };
    expect(returning.rolledBack(leg, store, memory)?.why).toContain('older than this client knows');
    expect(returning.rolledBack(leg, store, { ...memory, members: MEMBERS })).toBeNull();
  });

  test('is copied anew, but for last copies; it is told in the log once, and by the leg', () => {
    begin();
    begin();
    expect(asked.map(({ memberId, lastCopies }) => [memberId, lastCopies])).toEqual([
      [2, 'KEEP'],
      [2, 'KEEP'],
    ]);
    expect(world.log.entries.filter(({ event }) => event === 'a store went back in time').length).toBe(1);
    expect(leg.remedy).toBe(remedyForRolledBack());
  });

  test('is not where it has moved: it may be a copy of the right one, which is for an operator to find out', () => {
    leg.moved = true;
    begin();
    expect([asked, leg.remedy]).toEqual([[], remedyForMovedBack('p', 2)]);
  });

  test('I8: only where it is refused for last copies an operator hears how these are given up', () => {
    begin();
    asked[0]?.done(new LastCopiesError('last copies'));
    expect([leg.problem, leg.remedy]).toEqual([`${why}; it can't be copied anew: last copies`, remedyForLastCopies('p', 2)]);
    for (const code of ['CONFLICT', 'UNAVAILABLE'] as const) {
      begin();
      asked.at(-1)?.done(new OperationError(code, 'wait'));
      expect([leg.problem, leg.remedy]).toEqual([`${why}; it can't be copied anew: wait`, remedyForRolledBack()]);
    }
  });

  test('what is heard of it late changes nothing: it was copied, is what it was, or is on its way out', () => {
    begin();
    asked[0]?.done(null);
    leg.rolledBack = null;
    asked[0]?.done(new LastCopiesError('last copies'));
    leg.rolledBack = old;
    leg.setState('REMOVING', 'removed');
    asked[0]?.done(new LastCopiesError('last copies'));
    expect([leg.problem, leg.remedy]).toEqual([why, remedyForRolledBack()]);
  });

  test('is not wanted any more, where by then it is what it was; where it still is old, it is', () => {
    begin();
    const isWanted = (age: number): boolean | undefined =>
      asked[0]?.isWanted(probeOf(2, { version: CURRENT, past: { ...probeOf(2).past, age } }));
    expect([isWanted(20), leg.rolledBack]).toEqual([false, null]);
    expect([isWanted(19), leg.rolledBack?.why]).toEqual([true, expect.stringContaining('older than this client knows')]);
  });
});

describe('a member that answers elsewhere than where the pool knows it (L9)', () => {
  test('has moved, where it has the store that all know, and as old as all know', () => {
    expect(returning.isMoved(legTo(2))).toBe(true);
  });

  test.each<[string, Partial<ProbeResult>]>([
    ['another store', { identity: { ...identityOf(2, 16, 4096), storeUuid: storeOf(7) } }],
    ['the store of another member', { identity: identityOf(3, 16, 4096) }],
    ['the store of another pool', { identity: { ...identityOf(2, 16, 4096), poolUuid: storeOf(8) } }],
    ['a store that is older than the pool knows', { past: { ...probeOf(2).past, age: 19 } }],
    ['a store that is older than it knows itself', { members: [{ ...memberOf(2), seen: seenOf(21) }] }],
  ])('has not with %s', (_name, fields) => {
    expect(returning.isMoved(legTo(2, fields))).toBe(false);
  });

  test('has not where another member knows better than this client, nor where it does not answer or is there twice', () => {
    const stray = legTo(2);
    members = [memberOf(1), memberOf(2)];
    expect(returning.isMoved(legTo(2, { past: { ...probeOf(2).past, age: 19 } }))).toBe(false);
    twice = 'store is there twice';
    expect(returning.isMoved(stray)).toBe(false);
    twice = '';
    expect(returning.isMoved(stray)).toBe(true);
    stray.probe = null;
    expect(returning.isMoved(stray)).toBe(false);
  });

  test('has, where a member that was away has an older table, with the store that was in its place before', () => {
    const older = legTo(3, {
      version: versionOf(2, [1, 2], { epoch: 4 }),
      members: [{ ...memberOf(2), storeUuid: storeOf(7), addresses: [] }],
    });
    const former = { identity: { ...identityOf(2, 16, 4096), storeUuid: storeOf(7) }, version: versionOf(2, [1, 2], { epoch: 4 }) };
    staying = [served, leg, older];
    expect(returning.isMoved(legTo(2))).toBe(true);
    expect(returning.isMoved(legTo(2, { ...former, members: [{ ...memberOf(2), storeUuid: storeOf(7), addresses: [] }] }))).toBe(false);
  });

  test('has, where what is known of its store is from before it was accepted anew', () => {
    members = [memberOf(1), { ...memberOf(2), anew: { epoch: 5, seq: 3 }, seen: seenOf(9) }];
    served = legTo(1, { version: versionOf(2, [1, 2], { epoch: 5 }), members: MEMBERS as ProbeResult['members'] });
    staying = [served, leg];
    expect(returning.isMoved(legTo(2, { past: { ...probeOf(2).past, age: 12 } }))).toBe(true);
    expect(returning.isMoved(legTo(2, { past: { ...probeOf(2).past, age: 8 } }))).toBe(false);
  });

  test('has not where another member knew better when it last answered, though it can not be reached any more', () => {
    members = [];
    served.probe = null;
    expect(returning.isMoved(legTo(2, { past: { ...probeOf(2).past, age: 19 } }))).toBe(false);
    expect(returning.isMoved(legTo(2))).toBe(true);
  });
});
