import { type VirtualHost, VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { AWAITED_MS, MEMBERS_MAX, RETURN_DELAY_MS_MAX_DEFAULT, RETURN_RETRY_MS, RETURN_RETRY_MS_MAX } from '../../../constants.ts';
import type { MemberRecord } from '../../../pool-store.ts';
import { identityOf, memberOf, POLICY, POOL, ScriptedSessions } from '../../../testing/scripted-pool.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import { MessageType } from '../../../wire/io-message.ts';
import type { SessionUser } from '../../shared-session.ts';
import type { IoEngine } from '../io/io-engine.ts';
import { IoRequest } from '../io/io-request.ts';
import { PoolMaps } from '../pool-maps.ts';
import type { Leg, MemberAddress } from './leg.ts';
import type { LegFault } from './leg-faults.ts';
import { LegTable } from './leg-table.ts';

/** More than a member is looked for where the pool knows it. */
const MOVED_MS = 5_000;

/** What member 2 answers. */
const PROBE: ProbeResult = {
  ...{
    poolHandle: 1,
    state: 'REGISTERED',
    identity: identityOf(2, 4, 65_536),
    features: { fastPunch: true, fastZero: true, extents: true },
  },
  ...{ promise: null, version: null, members: [], policy: POLICY, volatileLost: false, released: false, missedBytes: 0 },
  past: { age: 1, lives: [{ lifeUuid: '00000000-0000-4000-8000-0000000000f1', firstAge: 1, lastAge: null, openedAtMs: 0 }] },
};

let virtual: VirtualWorld;
let host: VirtualHost;
let sessions: ScriptedSessions;
let user: SessionUser;
let table: LegTable;

function create(members: readonly MemberAddress[], witness: MemberAddress | null = null, returnDelayMsMax?: number): LegTable {
  return new LegTable(host, { members, witness, session: (addresses) => sessions.to(addresses), user, returnDelayMsMax });
}

const legOf = (memberId: number): Leg => table.all.findLast((leg) => leg.member.memberId === memberId) as Leg;
const ids = (legs: readonly Leg[]): number[] => legs.map((leg) => leg.member.memberId);
const states = (): string[] => table.all.map((leg) => leg.state);

function normal(...memberIds: number[]): void {
  for (const memberId of memberIds) {
    if (legOf(memberId).state === 'FAILED') legOf(memberId).setState('RECONNECTING', 'returns');
    legOf(memberId).setState('NORMAL', 'enabled');
  }
}

beforeEach(() => {
  virtual = new VirtualWorld();
  host = virtual.host('client-1');
  sessions = new ScriptedSessions();
  user = { onSessionUp: () => {}, onSessionDown: () => {}, onSessionPermit: () => {} };
  table = create([1, 2, 3].map((memberId) => memberOf(memberId)));
});

describe('places', () => {
  test('every leg has its own, and uses the session to its member', () => {
    expect(table.all.map(({ index, bit }) => [index, bit])).toEqual([
      [0, 1],
      [1, 2],
      [2, 4],
    ]);
    expect([table.witness, sessions.inUse]).toEqual([null, ['memory:1', 'memory:2', 'memory:3']]);
  });

  test('the place of a leg that was removed is used again, and whoever has the legs sees the new one', () => {
    const { all } = table;
    legOf(2).setState('REMOVING', 'removed');
    const added = table.add(memberOf(4));
    expect([added?.index, ids(all), table.all === all]).toEqual([1, [1, 4, 3], true]);
    expect([table.add(memberOf(5))?.index, ids(all)]).toEqual([3, [1, 4, 3, 5]]);
  });

  test('when there are too many, there is no leg, and no session is used for one', () => {
    table = create(Array.from({ length: MEMBERS_MAX }, (_, index) => memberOf(index + 1)));
    const before = sessions.inUse;
    expect([table.add(memberOf(9)), sessions.inUse]).toEqual([null, before]);
    legOf(8).setState('REMOVING', 'removed');
    expect(table.add(memberOf(9))?.index).toBe(7);
    const members = Array.from({ length: MEMBERS_MAX + 1 }, (_, index) => memberOf(index + 1));
    expect(() => create(members)).toThrow('too many members');
  });

  test('the witness has none among the others, but its session is used', () => {
    table = create([memberOf(1)], memberOf(9));
    expect([ids(table.all), table.witness?.member.memberId, table.witness?.index]).toEqual([[1], 9, MEMBERS_MAX]);
    expect(sessions.inUse).toContain('memory:9');
  });
});

describe('members that the pool has', () => {
  test('get a leg if they have none; those that have one keep it', () => {
    const before = [...table.all];
    table.learn([memberOf(2), memberOf(4)]);
    expect([table.all.slice(0, 3), ids(table.all)]).toEqual([before, [1, 2, 3, 4]]);
  });

  test('get another leg where theirs was removed: the removal was superseded', () => {
    legOf(2).setState('REMOVING', 'removed');
    table.learn([memberOf(2)]);
    expect([ids(table.all), states()]).toEqual([
      [1, 2, 3],
      ['CREATED', 'CREATED', 'CREATED'],
    ]);
  });

  test('a witness is learnt once, and takes no place', () => {
    table.learn([memberOf(9, 'witness')]);
    const { witness } = table;
    table.learn([memberOf(9, 'witness')]);
    expect([witness?.member.memberId, table.witness === witness, ids(table.all)]).toEqual([9, true, [1, 2, 3]]);
  });

  test('a leg is dropped if neither the table nor the configuration names its member', () => {
    table.learn([memberOf(4), memberOf(5)]);
    table.dropStrangers([memberOf(1), memberOf(4)]);
    expect(states()).toEqual(['CREATED', 'CREATED', 'CREATED', 'CREATED', 'REMOVING']);
    // A second time there is nothing to do: the table of states would refuse it.
    table.dropStrangers([memberOf(1), memberOf(4)]);
    expect(ids(table.staying)).toEqual([1, 2, 3, 4]);
  });
});

describe('members that the configuration names elsewhere (L9)', () => {
  const at = (memberId: number, address: string): MemberRecord => ({ ...memberOf(memberId), addresses: [address] });

  beforeEach(() => {
    sessions = new ScriptedSessions();
  });

  test('one that has moved is heard of where it is now: the session there is that of its leg', () => {
    table = create([memberOf(1), at(2, 'memory:7')]);
    expect(table.learn([memberOf(1), memberOf(2)])).toBe(true);
    expect(sessions.inUse).toEqual(['memory:1', 'memory:7', 'memory:2']);
    sessions.of(memberOf(2)).connected = false;
    const isIt = (stray: Leg): boolean => stray.probe?.identity.memberId === 2;
    expect(table.followMoved(host.clock.nowMs(), POOL, isIt)).toBe(false);
    sessions.at('memory:7').calls[0]?.answer(PROBE);
    virtual.run(MOVED_MS);
    expect(table.followMoved(host.clock.nowMs(), POOL, isIt)).toBe(true);
    expect(legOf(2).session).toBe(sessions.at('memory:7').shared);
    expect(sessions.inUse).toContain('memory:7');
  });

  test('one that has moved twice is looked for where the configuration names it, whichever tables are heard of', () => {
    table = create([memberOf(1), at(2, 'memory:7')]);
    table.learn([memberOf(1), at(2, 'memory:5')]);
    table.learn([memberOf(1), memberOf(2)]);
    expect([legOf(2).session, table.strayOf(2)?.session]).toEqual([sessions.at('memory:2').shared, sessions.at('memory:7').shared]);
    expect(sessions.inUse.sort()).toEqual(['memory:1', 'memory:2', 'memory:7']);
    // And where the table names that place, too, there is no other one.
    table.learn([memberOf(1), at(2, 'memory:7')]);
    expect([legOf(2).session, table.strayOf(2)]).toEqual([sessions.at('memory:7').shared, undefined]);
    expect(sessions.inUse.sort()).toEqual(['memory:1', 'memory:7']);
  });

  test('those whose addresses are swapped lead to each other; a third place takes no session from them', () => {
    table = create([at(1, 'memory:2'), at(2, 'memory:1')]);
    table.learn([memberOf(1), memberOf(2)]);
    expect([legOf(1).session, legOf(2).session]).toEqual([sessions.at('memory:1').shared, sessions.at('memory:2').shared]);
    table.learn([memberOf(1), at(2, 'memory:8')]);
    expect(sessions.inUse.sort()).toEqual(['memory:1', 'memory:2', 'memory:8']);
  });

  test('a witness whose place another member was thought to have takes no session from that', () => {
    table = create([memberOf(1), at(2, 'memory:9')], at(9, 'memory:2'));
    table.learn([memberOf(1), memberOf(2), memberOf(9, 'witness')]);
    expect([legOf(2).session, table.witness?.session]).toEqual([sessions.at('memory:2').shared, sessions.at('memory:9').shared]);
    expect(sessions.inUse.sort()).toEqual(['memory:1', 'memory:2', 'memory:9']);
  });
});

describe('legs that leave (L7)', () => {
  test('only those that are NORMAL, and asked for', () => {
    normal(1, 2);
    expect([table.inSyncIds, table.inSyncMask]).toEqual([[1, 2], 3]);
    expect(table.fail(0b101, 'disk')).toBe(0b001);
    expect([states(), table.inSyncIds, legOf(1).reason]).toEqual([['FAILED', 'NORMAL', 'CREATED'], [2], 'disk']);
  });

  test('with each fault the return is twice as far, up to a bound that can be chosen', () => {
    table = create([memberOf(1)], null, 6_000);
    const delays = Array.from({ length: 7 }, () => {
      normal(1);
      table.hasReturned(legOf(1));
      table.fail(1, 'it held up IO', 'STALL');
      return legOf(1).returnAtMs - host.clock.nowMs();
    });
    expect(delays).toEqual([500, 1_000, 2_000, 4_000, 6_000, 6_000, 6_000]);
    expect([legOf(1).leftFor, legOf(1).remedy]).toEqual(['it held up IO', expect.stringContaining('storage-1')]);
  });

  test('a leg that has lost its session may return as soon as there is one', () => {
    normal(1);
    sessions.of(memberOf(1)).connected = false;
    table.fail(1, 'path set lost');
    expect([legOf(1).faults.count, legOf(1).returnAtMs]).toEqual([0, host.clock.nowMs()]);
  });

  test('a session that is lost takes its legs along; how those leave that are NORMAL is said elsewhere', () => {
    table = create([memberOf(1), { ...memberOf(2), addresses: ['memory:1'] }, memberOf(3)]);
    normal(1, 3);
    expect(table.sessionDown(sessions.of(memberOf(1)).shared, 'cut')).toBe(0b001);
    expect(states()).toEqual(['NORMAL', 'FAILED', 'NORMAL']);
    expect([legOf(2).reason, table.sessionDown(sessions.of(memberOf(9)).shared, 'cut')]).toEqual(['path set lost: cut', 0]);
  });
});

describe('legs that return', () => {
  const next = (nowMs: number, maintained: number[] = []): number | undefined =>
    table.nextToReturn(nowMs, (memberId) => maintained.includes(memberId))?.member.memberId;

  test('one after the other: connected, out of the set, not on purpose, and when its time has come', () => {
    normal(1);
    legOf(2).returnAtMs = 1_000;
    sessions.of(memberOf(3)).connected = false;
    expect([next(999), next(1_000), next(1_000, [2])]).toEqual([undefined, 2, undefined]);
    sessions.of(memberOf(3)).connected = true;
    expect(next(999)).toBe(3);
    legOf(3).setState('REMOVING', 'removed');
    expect(next(999)).toBeUndefined();
  });

  test('a session that is up again lets its leg return at once, unless that has left for its own fault', () => {
    for (const memberId of [1, 2]) legOf(memberId).returnAtMs = 1_000;
    legOf(2).faults.left('STALL', 500, 10_000);
    for (const memberId of [1, 2]) table.sessionUp(sessions.of(memberOf(memberId)).shared);
    expect([legOf(1).returnAtMs, legOf(2).returnAtMs]).toEqual([0, 1_000]);
    legOf(2).returnAtMs = 20_000;
    table.sessionUp(sessions.of(memberOf(2)).shared);
    expect(legOf(2).returnAtMs).toBe(1_000);
  });

  test('each failed return makes the next try later, up to a bound; one that succeeds starts that anew', () => {
    const leg = legOf(1);
    leg.setState('RECONNECTING', 'returns');
    const delays = Array.from({ length: 9 }, () => {
      table.hasNotReturned(leg, 'no room');
      return leg.returnAtMs - host.clock.nowMs();
    });
    expect([leg.state, leg.problem, delays[0], delays[1], delays[8]]).toEqual([
      'FAILED',
      'no room',
      RETURN_RETRY_MS,
      2 * RETURN_RETRY_MS,
      RETURN_RETRY_MS_MAX,
    ]);
    table.hasReturned(leg);
    expect([leg.problem, leg.returnDelayMs]).toEqual(['', RETURN_RETRY_MS]);
  });

  test('one that has held up IO with its return waits as for a fault, however seldom it failed before', () => {
    const leg = legOf(1);
    const delays = Array.from({ length: 12 }, () => {
      table.hasNotReturned(leg, 'its return held up IO', true);
      return leg.returnAtMs - host.clock.nowMs();
    });
    expect(delays.slice(0, 3)).toEqual([2, 4, 8].map((factor) => factor * RETURN_RETRY_MS));
    expect([delays.at(-1), leg.remedy]).toEqual([RETURN_DELAY_MS_MAX_DEFAULT, expect.stringContaining('storage-1')]);
  });
});

describe('L7: legs that IO waits for', () => {
  const maps = new PoolMaps(4 * 65_536, 65_536);
  const versions = { dataMemberIds: () => [1, 2, 3], owedIds: [] };
  /** A read of chunk 2, which member 2 alone has, came so long ago. */
  const engine = (agoMs: number): IoEngine => {
    const request = Object.assign(new IoRequest({ onIoDone: () => {} }), {
      type: MessageType.READ,
      offsetBytes: 2 * 65_536,
      lengthBytes: 512,
    });
    request.submittedAtMs = host.clock.nowMs() - agoMs;
    const forEachRequest: IoEngine['forEachRequest'] = (visit) => visit(request, false, 0);
    return { owed: [], forEachRequest } as unknown as IoEngine;
  };
  const delayMs = (memberId: number): number => legOf(memberId).returnAtMs - host.clock.nowMs();

  /** Members 2 and 3 have left four times. */
  function leave(fault: LegFault): void {
    maps.of(1).set(2, 1);
    maps.of(3).set(2, 1);
    normal(1);
    for (let times = 0; times < 4; times++) {
      normal(2, 3);
      table.fail(0b110, 'write failed: EIO', fault);
    }
  }

  test('do not wait longer because of faults of their disks; others do', () => {
    leave('OTHER');
    table.hastenAwaited(engine(AWAITED_MS - 1), maps, versions);
    expect([delayMs(2), delayMs(3)]).toEqual([16 * RETURN_RETRY_MS, 16 * RETURN_RETRY_MS]);
    table.hastenAwaited(engine(AWAITED_MS), maps, versions);
    expect([delayMs(2), delayMs(3)]).toEqual([2 * RETURN_RETRY_MS, 16 * RETURN_RETRY_MS]);
    table.hasNotReturned(legOf(2), 'the in-sync set shrinks');
    expect(delayMs(2)).toBe(16 * RETURN_RETRY_MS);
    table.hastenAwaited(engine(AWAITED_MS), maps, versions);
    expect(delayMs(2)).toBe(RETURN_RETRY_MS);
  });

  test('wait as long as ever if they have held up IO', () => {
    leave('STALL');
    table.hastenAwaited(engine(AWAITED_MS), maps, versions);
    expect(delayMs(2)).toBe(16 * RETURN_RETRY_MS);
  });
});

describe('sessions', () => {
  test('one that two legs share is used until both are gone', () => {
    table = create([memberOf(5), { ...memberOf(6), addresses: ['memory:5'] }]);
    const shared = sessions.of(memberOf(5));
    table.giveUpSession(legOf(6));
    expect(shared.users.has(user)).toBe(true);
    legOf(6).setState('REMOVING', 'removed');
    legOf(5).setState('REMOVING', 'removed');
    table.giveUpSession(legOf(5));
    expect(shared.users.size).toBe(0);
  });

  test('that of a leg whose place is used again is given up, unless the new one needs it', () => {
    const former = sessions.of(memberOf(2));
    legOf(2).setState('REMOVING', 'removed');
    table.add(memberOf(4));
    expect([former.users.size, sessions.of(memberOf(4)).users.has(user)]).toEqual([0, true]);
    legOf(4).setState('REMOVING', 'its removal was superseded');
    table.add(memberOf(4));
    expect(sessions.of(memberOf(4)).users.has(user)).toBe(true);
  });

  test('the witness goes on hearing of the session that it shares with a member that was removed', () => {
    table = create([memberOf(5), memberOf(6)], { ...memberOf(9), addresses: ['memory:6'] });
    table.giveUpSession(legOf(6));
    expect(sessions.of(memberOf(6)).users.has(user)).toBe(true);
  });

  test('when the pool is stopped none is used, and all legs are removed', () => {
    table.learn([memberOf(9, 'witness')]);
    normal(1);
    legOf(2).setState('REMOVING', 'removed');
    table.close('the pool is stopped');
    expect([sessions.inUse, new Set(states())]).toEqual([[], new Set(['REMOVING'])]);
  });
});
