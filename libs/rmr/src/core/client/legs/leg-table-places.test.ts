import { type VirtualHost, VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { MEMBERS_MAX } from '../../../constants.ts';
import { memberOf, POOL, probeOf, ScriptedSessions, storeOf } from '../../../testing/scripted-pool.ts';
import type { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { SessionUser } from '../../shared-session.ts';
import type { Leg, MemberAddress } from './leg.ts';
import { LegTable } from './leg-table.ts';

/** Longer than a member is looked for before it has moved, and than strays are left alone. */
const LONG_MS = 10_000;

let virtual: VirtualWorld;
let host: VirtualHost;
let sessions: ScriptedSessions;
let user: SessionUser;
let table: LegTable;

function create(members: readonly MemberAddress[], witness: MemberAddress | null = null): LegTable {
  return new LegTable(host, { members, witness, session: (addresses) => sessions.to(addresses), user });
}

const legOf = (memberId: number): Leg => table.staying.find((leg) => leg.member.memberId === memberId) as Leg;
/** The member as the pool knows it: elsewhere than the configuration. */
const elsewhere = (memberId: number, role?: 'witness') => ({ ...memberOf(memberId, role), addresses: ['memory:new'] });
const at = (address: string): ScriptedSession => sessions.at(address);
const follow = (isIt: (stray: Leg) => boolean = () => true): boolean => table.followMoved(host.clock.nowMs(), POOL, isIt);

/** The storage node that a session leads to. */
function peer(address: string, hostUuid: string, incarnation = hostUuid, hostName = 'storage'): void {
  Object.assign(at(address).rtrs, { peer: { hostUuid, hostName, bootId: 'boot', incarnation } });
}

beforeEach(() => {
  virtual = new VirtualWorld();
  host = virtual.host('client-1');
  sessions = new ScriptedSessions();
  user = { onSessionUp: () => {}, onSessionDown: () => {}, onSessionPermit: () => {} };
  table = create([memberOf(1), memberOf(2)]);
});

describe('legs lead to where the pool knows their members (L9)', () => {
  test('where that is where the configuration has them nothing changes', () => {
    const before = [...table.all];
    expect([table.learn([memberOf(1), memberOf(2)]), table.all, table.strayOf(2)]).toEqual([false, before, undefined]);
  });

  test('else another leg takes the place, and a stray leads to where the configuration has it', () => {
    const [, former] = table.all;
    const { all } = table;
    expect(table.learn([memberOf(1), elsewhere(2)])).toBe(true);
    expect([former?.state, legOf(2).index, legOf(2).member.addresses, legOf(2).state]).toEqual(['REMOVING', 1, ['memory:new'], 'CREATED']);
    expect([table.strayOf(2)?.member.addresses, table.all === all]).toEqual([['memory:2'], true]);
    expect(sessions.inUse).toEqual(['memory:1', 'memory:2', 'memory:new']);
    expect(table.learn([memberOf(1), elsewhere(2)])).toBe(false);
  });

  test('a leg that is NORMAL is never led elsewhere: the pool is served with it', () => {
    legOf(2).setState('NORMAL', 'enabled');
    expect([table.learn([elsewhere(2)]), legOf(2).member.addresses]).toEqual([false, ['memory:2']]);
  });

  test('what is told of members that have a leg, or get one, is a change; that there is no place for one more is none', () => {
    expect(table.learn([memberOf(3)])).toBe(true);
    table = create(Array.from({ length: MEMBERS_MAX }, (_, index) => memberOf(index + 1)));
    expect(table.learn([memberOf(9)])).toBe(false);
  });

  test('the witness is looked for where the pool knows it, and a witness that the configuration lacks gets a leg', () => {
    expect([table.learn([memberOf(9, 'witness')]), table.witness?.member.addresses]).toEqual([true, ['memory:9']]);
    expect([table.learn([elsewhere(9, 'witness')]), table.witness?.member.addresses]).toEqual([true, ['memory:new']]);
    expect([table.learn([elsewhere(9, 'witness')]), sessions.inUse]).toEqual([false, ['memory:1', 'memory:2', 'memory:new']]);
  });

  test('an end of the pool gives up the strays, too', () => {
    table.learn([elsewhere(2)]);
    table.close('stopped');
    expect(sessions.inUse).toEqual([]);
  });

  test('a session that a stray uses is not given up with a leg', () => {
    table.learn([elsewhere(2)]);
    legOf(1).setState('REMOVING', 'removed');
    table.learn([{ ...memberOf(1), addresses: ['memory:2'] }]);
    legOf(1).setState('REMOVING', 'removed');
    table.giveUpSession(table.all[0] as Leg);
    expect(at('memory:2').users.size).toBe(1);
  });
});

describe('a member that answers where the configuration names it, and not where the pool knew it (L9)', () => {
  /** The pool knows member 2 elsewhere, where nobody answers. */
  beforeEach(() => {
    at('memory:new').connected = false;
    table.learn([memberOf(1), elsewhere(2)]);
  });

  /** The node there is asked, and answers. */
  function answers(): void {
    follow(() => false);
    at('memory:2').next('probe').answer(probeOf(2));
  }

  test('has moved: its leg leads there, and the former place becomes the stray', () => {
    answers();
    virtual.run(LONG_MS);
    expect(follow()).toBe(true);
    expect([legOf(2).member.addresses, legOf(2).moved, legOf(2).index]).toEqual([['memory:2'], true, 1]);
    expect(table.strayOf(2)?.member.addresses).toEqual(['memory:new']);
    // The table does not lead it back until it says the same.
    expect([table.learn([elsewhere(2)]), legOf(2).moved]).toEqual([false, true]);
    expect([table.learn([memberOf(2)]), legOf(2).moved]).toEqual([false, false]);
  });

  test('is given time to answer where the pool knows it', () => {
    answers();
    expect(follow()).toBe(false);
    virtual.run(LONG_MS);
    at('memory:new').connected = true;
    expect([follow(), legOf(2).member.addresses]).toEqual([false, ['memory:new']]);
  });

  test('has not moved before it has said what it has, nor if it can not be reached there, nor if it is somebody else', () => {
    virtual.run(LONG_MS);
    expect(follow()).toBe(false);
    at('memory:2').next('probe').answer(probeOf(2));
    expect(follow(() => false)).toBe(false);
    at('memory:2').connected = false;
    expect(follow()).toBe(false);
    at('memory:2').connected = true;
    table.sessionDown(at('memory:2').shared, 'cut');
    expect([follow(), table.strayOf(2)?.probe]).toEqual([false, null]);
  });

  test('what its node refuses is no answer; it is asked every so often', () => {
    follow();
    follow();
    expect(at('memory:2').ops).toEqual(['probe']);
    at('memory:2').next('probe').refuse('UNKNOWN_POOL', 'no store of this pool');
    virtual.run(LONG_MS);
    expect([follow(), table.strayOf(2)?.problem, at('memory:2').ops]).toEqual([
      false,
      expect.stringContaining('no store of this pool'),
      ['probe'],
    ]);
  });

  test('has not moved while the pool is served with it', () => {
    answers();
    virtual.run(LONG_MS);
    at('memory:new').connected = true;
    legOf(2).setState('NORMAL', 'enabled');
    expect(follow()).toBe(false);
  });
});

describe('a store or a host is there twice (L9)', () => {
  beforeEach(() => {
    legOf(1).probe = probeOf(1);
    legOf(2).probe = probeOf(2);
    peer('memory:1', 'a');
    peer('memory:2', 'b');
  });

  test('neither, as long as each has its own', () => {
    expect([table.twice(legOf(1)), table.twice(legOf(2))]).toEqual(['', '']);
  });

  test('one store at two places: both are told, with both places', () => {
    legOf(2).probe = probeOf(2, { identity: { ...probeOf(2).identity, storeUuid: storeOf(1) } });
    const why = `store ${storeOf(1)} of member 1 (storage-1) is there twice, at memory:1 and at memory:2: one is a copy of the other`;
    expect([table.twice(legOf(1)), table.twice(legOf(2))]).toEqual([why, expect.stringContaining('at memory:2 and at memory:1')]);
  });

  test('of which one is where the configuration names the member, and the other where the pool knows it', () => {
    table.learn([elsewhere(2)]);
    legOf(2).probe = probeOf(2);
    peer('memory:new', 'c');
    const stray = table.strayOf(2) as Leg;
    stray.probe = probeOf(2);
    expect([table.twice(legOf(2)), table.twice(stray)]).toEqual([
      expect.stringContaining('is there twice, at memory:new and at memory:2'),
      expect.stringContaining('is there twice, at memory:2 and at memory:new'),
    ]);
  });

  test('what was answered where the configuration names the member is not asked for once more before it counts', () => {
    table.learn([elsewhere(2)]);
    legOf(2).probe = probeOf(2);
    peer('memory:new', 'c');
    expect(table.twice(legOf(2))).toContain('is there twice, at memory:new and at memory:2');
  });

  test('nor is it known any more once that session has ended', () => {
    at('memory:2').connected = false;
    table.learn([elsewhere(2)]);
    expect(table.strayOf(2)?.probe).toBeNull();
  });

  test('one process at two addresses is none', () => {
    table.learn([elsewhere(2)]);
    legOf(2).probe = probeOf(2);
    (table.strayOf(2) as Leg).probe = probeOf(2);
    peer('memory:new', 'b');
    expect(table.twice(legOf(2))).toBe('');
  });

  test('one host UUID in two processes, and both host names are told', () => {
    peer('memory:1', 'a', 'process 1', 'storage-1');
    peer('memory:2', 'a', 'process 2', 'storage-2');
    expect(table.twice(legOf(1))).toBe(
      'the storage nodes at memory:1 (storage-1) and at memory:2 (storage-2) have one host UUID, a: one is a clone of the other',
    );
  });

  test('nor is one that can not be reached any more, nor two members on one host', () => {
    peer('memory:1', 'a', 'process 1');
    peer('memory:2', 'a', 'process 2');
    at('memory:2').connected = false;
    expect(table.twice(legOf(1))).toBe('');
    table = create([memberOf(1), { ...memberOf(2), addresses: ['memory:1'] }]);
    expect(table.twice(legOf(1))).toBe('');
  });

  test('the witness is one of them', () => {
    table = create([memberOf(1)], memberOf(2));
    peer('memory:1', 'a', 'process 1');
    peer('memory:2', 'a', 'process 2');
    expect(table.twice(legOf(1))).toContain('one host UUID');
  });
});
