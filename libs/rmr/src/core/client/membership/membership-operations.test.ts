import type { OperationError } from '@rmr/runtime';
import { SILENT_LOGGER } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { MEMBER_ANSWER_MS } from '../../../constants.ts';
import type { MemberRecord } from '../../../pool-store.ts';
import { identityOf, memberOf, POLICY, POOL, probeOf, storeOf, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';
import { PoolMaps } from '../pool-maps.ts';
import { type LastCopies, type MembershipHost, MembershipOperations } from './membership-operations.ts';

const PROBE = probeOf(4, { poolHandle: 9, identity: { ...identityOf(4, 8, 4096), witness: false } });

test.each([
  ['its node answers', (session: ScriptedSession) => session.next('probe').answer(PROBE)],
  ['its node does not answer in time', (_session: ScriptedSession, membership: MembershipOperations) => membership.tick(MEMBER_ANSWER_MS)],
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
    goOn: () => {},
  };
  const membership = new MembershipOperations(host as MembershipHost);
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

describe('the new store of a member that can not be reached where the pool looks for it', () => {
  const CUT = "member 2 (storage-2) can't be reached at memory:2: cut";

  /** What an operator is told whose order to replace the store of member 2 ends in vain, with this store at another place. */
  function told(elsewhere: Partial<ProbeResult> | null): string | undefined {
    const session = new ScriptedSession();
    const leg = new Leg(0, memberOf(2), session.shared, SILENT_LOGGER, () => 0);
    const stray = new Leg(1, { ...memberOf(2), addresses: ['memory:7'] }, new ScriptedSession().shared, SILENT_LOGGER, () => 0);
    if (elsewhere !== null) stray.probe = probeOf(2, elsewhere);
    session.cut();
    const host: Partial<MembershipHost> = { nowMs: () => 0, legs: () => [leg], strayOf: () => (elsewhere === null ? undefined : stray) };
    const membership = new MembershipOperations(host as MembershipHost);
    let error: OperationError | null = null;
    membership.replaceStore(2, 'KEEP', (ended) => {
      error = ended;
    });
    membership.tick(MEMBER_ANSWER_MS);
    return (error as OperationError | null)?.message;
  }

  test('an empty one that answers elsewhere is not followed (L9), but it is named, with where it has to be', () => {
    expect(told({ version: null, identity: { ...identityOf(2, 8, 4096), storeUuid: storeOf(7) } })).toBe(
      `${CUT}. Store ${storeOf(7)} of this member, which was never in service, answers at memory:7, where the pool does not look: bring it to a storage node that answers at memory:2, and ask again`,
    );
  });

  test.each([
    ['nobody is elsewhere', null],
    ['the store there was in service', { version: versionOf(1, [1, 2]) }],
    ["the store there is another member's", { version: null, identity: identityOf(3, 8, 4096) }],
  ])('nothing else is said where %s', (_what, elsewhere) => {
    expect(told(elsewhere)).toBe(CUT);
  });
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
    const membership = new MembershipOperations(host as MembershipHost);
    const errors: (OperationError | null)[] = [];
    const operations = {
      replace: (lastCopies: LastCopies, identity = identityOf(2, 8, 4096)) => {
        membership.replaceStore(2, lastCopies, (error) => errors.push(error));
        membership.tick(0);
        session.next('probe').answer({ ...PROBE, identity: { ...identity, storeUuid: storeOf(7), witness: false } });
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

  test.each([
    [identityOf(2, 16, 4096), '64 KiB (65536 bytes) in chunks of 4 KiB'],
    [identityOf(2, 4, 8192), '32 KiB (32768 bytes) in chunks of 8 KiB'],
  ])('a new store of another size or chunk size is refused, with what it has and what it should have: %#', (identity, what) => {
    const { operations, errors } = twoMembers();
    operations.replace('GIVE_UP', identity);
    expect(errors[0]?.message).toBe(
      `the new store of member 2 (storage-2) is for ${what}, and the pool has 32 KiB (32768 bytes) in chunks of 4 KiB: create the store anew with the size and the chunk size of the pool, and ask again`,
    );
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
      expect(changes[0]?.givenUp?.runs(9)).toEqual([
        { first: 3, count: 1 },
        { first: 5, count: 1 },
      ]);
      maps.giveUp(changes[0]?.givenUp ?? null);
      expect(maps.heldElsewhere([1])).toBe(-1);
    },
  );
});

describe('a member that is removed', () => {
  /** Members 1 and 2; 2 is connected, and out of the set. */
  function twoMembers() {
    const session = new ScriptedSession();
    const leg = new Leg(0, memberOf(2), session.shared, SILENT_LOGGER, () => 0);
    leg.setState('FAILED', 'cut');
    const maps = new PoolMaps(8 * 4096, 4096);
    maps.of(2).set(3, 1);
    const changes: Parameters<MembershipHost['change']>[0][] = [];
    const members: readonly MemberRecord[] = [memberOf(1), memberOf(2)];
    const versions = { members, policy: { ...POLICY, highestMemberId: 2 }, paused: false };
    let serving = true;
    const told: string[] = [];
    const legs = [leg];
    const host: Partial<MembershipHost> = {
      poolUuid: POOL,
      log: SILENT_LOGGER,
      versions: versions as unknown as MembershipHost['versions'],
      epoch: () => 1,
      serving: () => serving,
      maps: () => maps,
      legs: () => legs,
      takeOut: (gone, to, why) => gone.setState(to, why),
      dropLeg: (gone) => {
        legs.splice(legs.indexOf(gone), 1);
        told.push('leg dropped');
      },
      change: (change) => void changes.push(change),
      goOn: () => {},
    };
    const membership = new MembershipOperations(host as MembershipHost);
    const remove = (): void => {
      membership.remove(2, 'KEEP', (error) => told.push(error?.code ?? 'made'));
      membership.startNext();
    };
    const durable = (): void => {
      const change = changes.shift();
      if (change?.members !== undefined) versions.members = change.members;
      change?.onDurable();
    };
    return { membership, remove, durable, changes, told, maps, session, stopServing: () => (serving = false) };
  }

  test('I3: leaves the table first, then its map goes, then it is told', () => {
    const { remove, durable, changes, told, maps, session } = twoMembers();
    remove();
    expect(changes).toMatchObject([{ members: [{ memberId: 1 }] }]);
    expect(changes[0]?.erase).toBeUndefined();
    durable();
    expect([changes[0]?.erase, told, maps.dirtyBytes(2)]).toEqual([[2], [], 4096]);
    durable();
    expect([told, maps.dirtyBytes(2)]).toEqual([['leg dropped', 'made'], 0]);
    session.next('leave');
  });

  test('is removed as soon as that is durable: what a failure interrupts then is done afterwards, by itself', () => {
    const { membership, remove, durable, changes, told } = twoMembers();
    remove();
    durable();
    membership.interrupted('member 1 left');
    changes.length = 0;
    expect(told).toEqual(['made']);
    for (const _attempt of [1, 2]) {
      expect(membership.startNext()).toBe(true);
      expect(changes.splice(0)).toMatchObject([{ erase: [2] }]);
      membership.interrupted('member 1 left once more');
    }
    membership.startNext();
    durable();
    expect([told, membership.startNext()]).toEqual([['made', 'leg dropped'], false]);
  });

  test('where the failure came before, it is a member still, and may be asked for again', () => {
    const { membership, remove, changes, told } = twoMembers();
    remove();
    membership.interrupted('member 1 left');
    expect([told, membership.startNext()]).toEqual([['UNAVAILABLE'], false]);
    expect(changes.length).toBe(1);
  });

  test('to ask for it again does no harm, also when nothing is left to do; of a member that never was one it is refused', () => {
    const { membership, remove, durable, changes, told } = twoMembers();
    remove();
    durable();
    membership.interrupted('member 1 left');
    changes.length = 0;
    remove();
    expect(changes).toMatchObject([{ erase: [2] }]);
    durable();
    remove();
    membership.remove(3, 'KEEP', (error) => told.push(error?.code ?? 'made'));
    membership.startNext();
    expect([told, changes]).toEqual([['made', 'leg dropped', 'made', 'made', 'NOT_FOUND'], []]);
  });

  test('an assembly erases what is left, too: nothing is done a second time', () => {
    const { membership, remove, durable, stopServing } = twoMembers();
    remove();
    durable();
    stopServing();
    membership.interrupted('no member is left');
    expect(membership.startNext()).toBe(false);
  });
});

describe('several requests for one member', () => {
  /** A pool of member 1, to which member 4 is added over and over again. */
  function adding() {
    const session = new ScriptedSession();
    const leg = new Leg(0, memberOf(4), session.shared, SILENT_LOGGER, () => 0);
    const versions = { members: [memberOf(1)] as readonly MemberRecord[], policy: POLICY, paused: false };
    const legs: Leg[] = [];
    const changes: Parameters<MembershipHost['change']>[0][] = [];
    let serving = true;
    const host: Partial<MembershipHost> = {
      poolUuid: POOL,
      queueDepth: 16,
      log: SILENT_LOGGER,
      versions: versions as unknown as MembershipHost['versions'],
      nowMs: () => 0,
      idle: () => serving,
      serving: () => serving,
      geometry: () => ({ sizeBytes: 8 * 4096, chunkSizeBytes: 4096 }) as ReturnType<MembershipHost['geometry']>,
      legs: () => legs,
      addLeg: () => {
        legs.push(leg);
        return leg;
      },
      takeOut: (gone, to, why) => gone.setState(to, why),
      dropLeg: () => {},
      change: (change) => void changes.push(change),
      goOn: () => {},
    };
    const membership = new MembershipOperations(host as MembershipHost);
    const errors: (OperationError | null)[] = [];
    const add = (): void => membership.add(memberOf(4), (error) => errors.push(error));
    return { membership, session, versions, leg, changes, errors, add, end: () => (serving = false) };
  }

  test('while a member is asked what it is, another one is refused, and the first goes on', () => {
    const { membership, session, changes, errors, leg, add } = adding();
    add();
    add();
    membership.verify();
    expect(errors).toMatchObject([{ code: 'CONFLICT', message: expect.stringContaining('is being asked what it is') }]);
    expect(leg.state).toBe('CREATED');
    membership.tick(0);
    session.next('probe').answer(PROBE);
    membership.startNext();
    expect(changes.length).toBe(1);
  });

  test('a member that was added by the first of two requests is not made all-dirty once more', () => {
    const { membership, session, versions, changes, errors, add } = adding();
    for (let times = 0; times < 2; times++) {
      add();
      membership.tick(0);
      session.next('probe').answer(PROBE);
    }
    membership.startNext();
    versions.members = [memberOf(1), memberOf(4)];
    changes[0]?.onDurable();
    membership.startNext();
    expect(changes.length).toBe(1);
    expect(errors).toMatchObject([null, { code: 'CONFLICT', message: 'member 4 is a member already' }]);
  });

  test('the next change does not begin before the one under way has ended', () => {
    const { membership, changes } = adding();
    const done: string[] = [];
    membership.setMaintenance(9, true, () => done.push('first'));
    membership.setQuorum('majority', () => done.push('second'));
    membership.setQuorum('none', () => done.push('third'));
    expect([membership.startNext(), done]).toEqual([false, ['first']]);
    expect([membership.startNext(), done]).toEqual([false, ['first', 'second']]);
    expect([membership.startNext(), done, changes]).toEqual([false, ['first', 'second', 'third'], []]);
    expect(membership.startNext()).toBe(false);
  });

  test('when this client stops serving the pool, whoever waits for a change is told', () => {
    const { membership, errors, add, end } = adding();
    const others: (OperationError | null)[] = [];
    add();
    membership.setQuorum('majority', (error) => others.push(error));
    end();
    membership.close('the pool is stopped');
    expect([errors, others]).toMatchObject([[{ code: 'UNAVAILABLE' }], [{ code: 'UNAVAILABLE' }]]);
    membership.verify();
  });
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
    const membership = new MembershipOperations(host as MembershipHost);
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
