import type { OperationError } from '@rmr/runtime';
import { SILENT_LOGGER } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { MEMBER_ANSWER_MS } from '../../constants.ts';
import type { MemberRecord } from '../../pool-store.ts';
import { identityOf, memberOf, POLICY, POOL, storeOf, versionOf } from '../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../testing/scripted-session.ts';
import type { ProbeResult } from '../../wire/control-message.ts';
import { Leg } from './leg.ts';
import { type LastCopies, Membership, type MembershipHost } from './membership-operations.ts';
import { PoolMaps } from './pool-maps.ts';

const PROBE: ProbeResult = {
  poolHandle: 9,
  state: 'REGISTERED',
  identity: { ...identityOf(4, 8, 4096), witness: false },
  features: { fastPunch: true, fastZero: true, extents: true },
  promise: null,
  version: null,
  members: [],
  policy: POLICY,
  volatileLost: false,
};

test.each([
  ['its node answers', (session: ScriptedSession) => session.next('probe').answer(PROBE)],
  ['its node does not answer in time', (_session: ScriptedSession, membership: Membership) => membership.tick(MEMBER_ANSWER_MS)],
])('a leg that an assembly has dropped while its member was being added is dropped no second time: %s', (_name, then) => {
  const session = new ScriptedSession();
  const leg = new Leg(0, memberOf(4), session.shared, SILENT_LOGGER, () => 0);
  const changes: string[] = [];
  const host: Partial<MembershipHost> = {
    poolUuid: POOL,
    versions: { members: [memberOf(1)], policy: POLICY } as unknown as MembershipHost['versions'],
    nowMs: () => 0,
    serving: () => false,
    legs: () => [],
    addLeg: () => leg,
    // The table of leg states refuses a second removal.
    takeOut: (_leg, to, why) => leg.setState(to, why),
    dropLeg: () => {},
    change: () => void changes.push('change'),
  };
  const membership = new Membership(host as MembershipHost);
  let error: OperationError | null = null;
  membership.add(memberOf(4), (ended) => {
    error = ended;
  });
  membership.tick(0);
  leg.setState('REMOVING', 'the pool was assembled anew');
  then(session, membership);
  expect(error).toMatchObject({ code: 'UNAVAILABLE' });
  expect(changes).toEqual([]);
});

describe('the last clean copy of a chunk (I8)', () => {
  /** Member 2 alone has chunks 3 and 5 clean. It is away, and `replace` finds an empty store in its place. */
  function twoMembers() {
    const session = new ScriptedSession();
    const leg = new Leg(0, memberOf(2), session.shared, SILENT_LOGGER, () => 0);
    leg.setState('FAILED', 'its host is down');
    const maps = new PoolMaps(8 * 4096, 4096);
    maps.of(1).set(3, 1);
    maps.of(1).set(5, 1);
    const changes: Parameters<MembershipHost['change']>[0][] = [];
    const versions = { members: [memberOf(1), memberOf(2)], policy: POLICY };
    const host: Partial<MembershipHost> = {
      poolUuid: POOL,
      queueDepth: 16,
      log: SILENT_LOGGER,
      versions: versions as unknown as MembershipHost['versions'],
      nowMs: () => 0,
      epoch: () => 1,
      serving: () => true,
      geometry: () => ({ sizeBytes: 8 * 4096, chunkSizeBytes: 4096 }) as ReturnType<MembershipHost['geometry']>,
      maps: () => maps,
      legs: () => [leg],
      takeOut: (gone, to, why) => gone.setState(to, why),
      change: (change) => void changes.push(change),
      goOn: () => {},
    };
    const membership = new Membership(host as MembershipHost);
    const errors: (OperationError | null)[] = [];
    const operations = {
      replace: (lastCopies: LastCopies) => {
        membership.replaceStore(2, lastCopies, (error) => errors.push(error));
        membership.tick(0);
        session.next('probe').answer({ ...PROBE, identity: { ...identityOf(2, 8, 4096), storeUuid: storeOf(7), witness: false } });
        membership.startNext();
      },
      remove: (lastCopies: LastCopies) => {
        membership.remove(2, lastCopies, (error) => errors.push(error));
        membership.startNext();
      },
    };
    return { operations, maps, changes, errors };
  }

  test.each(['replace', 'remove'] as const)('%s is refused, and says how many chunks there are', (name) => {
    const { operations, changes, errors } = twoMembers();
    operations[name]('KEEP');
    expect(changes).toEqual([]);
    expect(errors).toMatchObject([{ code: 'CONFLICT' }]);
    expect(errors[0]?.message).toContain('member 2 has the last clean copy of 2 chunks, the first of which is 3');
  });

  test.each(['replace', 'remove'] as const)(
    '%s is made when an operator gives it up, and flushes wait (◆8) until that is durable',
    (name) => {
      const { operations, maps, changes, errors } = twoMembers();
      operations[name]('GIVE_UP');
      expect([changes.length, errors]).toEqual([1, []]);
      expect(maps.heldElsewhere([1])).toBe(3);
      // What the version with its map adds makes of it.
      maps.of(2).set(0, 8);
      changes[0]?.onDurable();
      expect(maps.heldElsewhere([1])).toBe(-1);
    },
  );
});

describe('quorum: what too few have recorded does not count yet', () => {
  /** A pool that is paused or not as `versions.paused` says. */
  function pool(paused: boolean) {
    const session = new ScriptedSession();
    const leg = new Leg(0, memberOf(4), session.shared, SILENT_LOGGER, () => 0);
    const versions = { members: [memberOf(1), memberOf(2)] as readonly MemberRecord[], policy: POLICY, paused };
    const removed: Leg[] = [];
    const host: Partial<MembershipHost> = {
      poolUuid: POOL,
      queueDepth: 16,
      log: SILENT_LOGGER,
      versions: versions as unknown as MembershipHost['versions'],
      nowMs: () => 0,
      serving: () => true,
      geometry: () => ({ sizeBytes: 8 * 4096, chunkSizeBytes: 4096 }) as ReturnType<MembershipHost['geometry']>,
      legs: () => [],
      addLeg: () => leg,
      takeOut: () => {},
      dropLeg: (gone) => void removed.push(gone),
      change: ({ members, onDurable }) => {
        versions.members = members ?? [];
        onDurable();
      },
      goOn: () => {},
    };
    const membership = new Membership(host as MembershipHost);
    const ended: (OperationError | null)[] = [];
    const add = (probe: Partial<ProbeResult> = {}): void => {
      membership.add(memberOf(4), (error) => ended.push(error));
      membership.tick(0);
      session.next('probe').answer({ ...PROBE, ...probe });
      membership.startNext();
    };
    return { add, ended, removed };
  }

  test('a change that counts is reported as made', () => {
    const { add, ended, removed } = pool(false);
    add();
    expect([ended, removed]).toEqual([[null], []]);
  });

  test('one that does not count yet is reported so, and the new member keeps its leg: it may be needed for the majority', () => {
    const { add, ended, removed } = pool(true);
    add();
    expect([ended[0]?.code, removed]).toEqual(['UNAVAILABLE', []]);
    expect(ended[0]?.message).toContain('only when a majority has');
  });

  test('where the pool went on without, the store has a version that never counted: it has to be made anew, and the error says so', () => {
    const { add, ended, removed } = pool(false);
    add({ version: versionOf(5, [1, 4]) });
    expect([ended[0]?.code, removed.length]).toEqual(['CONFLICT', 1]);
    expect(ended[0]?.message).toContain('(version 1.5{1,4})');
    expect(ended[0]?.message).toContain('create it anew');
  });
});
