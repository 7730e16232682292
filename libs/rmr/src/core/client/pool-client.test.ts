import { type OperationError, Status } from '@rmr/runtime';
import { type VirtualHost, VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import type { ByteRange } from '../../pool-store.ts';
import {
  CLIENT,
  claimOf,
  LINEAGE,
  lifeOf,
  memberOf,
  OTHER_LINEAGE,
  POLICY,
  POOL,
  probeOf,
  ScriptedSessions,
  seenOf,
  storeOf,
  versionOf,
} from '../../testing/scripted-pool.ts';
import type { ScriptedCall } from '../../testing/scripted-session.ts';
import type { ControlResult, ProbeResult } from '../../wire/control-message.ts';
import { PoolClient } from './pool-client.ts';
import type { PoolClientOptions } from './pool-client-types.ts';
import type { RmrClient } from './rmr-client.ts';
import {
  remedyForEmptyStore,
  remedyForLastCopies,
  remedyForLineages,
  remedyForMovedBack,
  remedyForNewerLineage,
} from './status/remedies.ts';

const LONG_MS = 10_000;

/** A member as it is on its storage node: it records what it is told, and grants everything. */
class Member {
  readonly memberId: number;
  readonly address: string;
  shows: ProbeResult;
  /** The requests that it has had, in order. */
  readonly ops: string[] = [];
  /** What its disk could not read. */
  unreadable: ByteRange[] = [];

  constructor(memberId: number, address = `memory:${memberId}`) {
    this.memberId = memberId;
    this.address = address;
    const members = [1, 2].map((each) => memberOf(each));
    this.shows = probeOf(memberId, { version: versionOf(4, [1, 2], { epoch: 5 }), members, policy: { ...POLICY, highestMemberId: 2 } });
  }

  answer(call: ScriptedCall): void {
    const { request } = call;
    this.ops.push(request.op);
    call.answer(this.#result(request));
  }

  #result(request: ScriptedCall['request']): ControlResult {
    const { past, version, members, policy } = this.shows;
    const life = past.lives[past.lives.length - 1];
    const mark = { lifeUuid: life?.lifeUuid ?? '', age: past.age };
    switch (request.op) {
      case 'probe':
        return this.shows;
      case 'claim':
        return claimOf({ version, members, policy, past, unreadable: this.unreadable });
      case 'record-version': {
        const older = { ...past, age: past.age + 1 };
        this.shows = { ...this.shows, version: request.version, members: request.members, policy: request.policy, past: older };
        return { owed: [], mark: { ...mark, age: older.age } };
      }
      case 'renew':
      case 'age':
        return { mark };
      case 'map-check':
        // It has pulled nothing yet.
        return { stamp: null, leaves: [], nextLeaf: null };
      default:
        return {};
    }
  }
}

let virtual: VirtualWorld;
let host: VirtualHost;
let sessions: ScriptedSessions;
let members: Member[];
let pool: PoolClient;

const member = (memberId: number): Member => members.find((each) => each.memberId === memberId) as Member;
const leg = (memberId: number) => pool.status().legs.find((each) => each.memberId === memberId);
const inSync = (): (number[] | undefined)[] => [pool.status().version?.inSync.map(({ memberId }) => memberId)];
const errors = (): string[] => host.log.entries.filter(({ level }) => level === 'error').map(({ event }) => event);

/** Every request is answered, until there is none. */
function settle(): void {
  for (let again = true; again; ) {
    again = false;
    for (const each of members) {
      const session = sessions.at(each.address);
      for (const call of session.calls.splice(0)) {
        again = true;
        each.answer(call);
      }
    }
  }
  pool.verify();
}

/** Each member answers one request. */
function step(): void {
  virtual.run(10);
  for (const each of members) {
    const call = sessions.at(each.address).calls.shift();
    if (call !== undefined) each.answer(call);
  }
  pool.verify();
}

function pass(ms = LONG_MS): void {
  for (let left = ms; left > 0; left -= 250) {
    virtual.run(250);
    settle();
  }
}

function open(fields: Partial<PoolClientOptions> = {}): void {
  const client = { instanceUuid: CLIENT, name: 'client-1', session: (addresses: readonly string[]) => sessions.to(addresses) };
  const options = { poolUuid: POOL, poolName: 'p', queueDepth: 16, members: [memberOf(1), memberOf(2)], ...fields };
  pool = new PoolClient(host, client as unknown as RmrClient, options, () => {});
  settle();
}

/** Member 2 is lost, changes, and is back. */
function comesBack(shows: Partial<ProbeResult> = {}): void {
  sessions.at('memory:2').cut();
  settle();
  const { shows: before } = member(2);
  member(2).shows = { ...before, ...shows };
  member(2).ops.length = 0;
  sessions.at('memory:2').reconnect();
  settle();
}

beforeEach(() => {
  virtual = new VirtualWorld();
  host = virtual.host('client-1');
  sessions = new ScriptedSessions();
  members = [new Member(1), new Member(2)];
});

describe('a member returns to a pool that is served', () => {
  beforeEach(() => {
    open();
    pass(2_000);
  });

  test('and is in sync again, if its store is what it was', () => {
    expect(inSync()).toEqual([[1, 2]]);
    comesBack();
    expect([inSync(), leg(2)?.rolledBack, leg(2)?.dirtyBytes]).toEqual([[[1, 2]], null, 0]);
  });

  test('L8: with a store that went back in time it is copied anew by itself: all of it is dirty, and it is back', () => {
    const { past } = probeOf(2);
    comesBack({ past: { ...past, age: past.age - 5 } });
    expect(member(2).ops).not.toContain('claim');
    expect(errors()).toEqual(['a store went back in time']);
    expect(leg(2)).toMatchObject({ rolledBack: expect.stringContaining('older than this client knows it to have been') });
    pass();
    expect([inSync(), leg(2)?.rolledBack, leg(2)?.dirtyBytes]).toEqual([[[1, 2]], null, 16 * 4096]);
    const [, entry] = member(1).shows.members;
    expect(entry?.anew).toBeDefined();
    expect(entry?.seen?.age).toBeLessThan(past.age + 5);
  });

  test('L8: so it is with a copy that was opened since: its last life is another one', () => {
    const { past } = member(2).shows;
    const [first, second] = past.lives as [(typeof past.lives)[number], (typeof past.lives)[number]];
    const reopened = { lifeUuid: lifeOf(9), firstAge: 16, lastAge: null, openedAtMs: 0 };
    comesBack({ past: { age: 90, lives: [first, { ...second, lastAge: 15 }, reopened] } });
    pass();
    expect([inSync(), leg(2)?.rolledBack, leg(2)?.dirtyBytes, errors()]).toEqual([
      [[1, 2]],
      null,
      16 * 4096,
      ['a store went back in time'],
    ]);
    expect(member(1).shows.members[1]?.seen?.lifeUuid).toBe(lifeOf(9));
  });

  test('L8, I8: not where it has the last clean copy of a chunk: it waits for an operator, and status says what to do', () => {
    // What the disk of member 1 can't read is dirty for it from its return on.
    member(1).unreadable = [{ offsetBytes: 4096, lengthBytes: 4096 }];
    sessions.at('memory:1').cut();
    settle();
    sessions.at('memory:1').reconnect();
    pass();
    expect([leg(1)?.dirtyBytes, inSync()]).toEqual([4096, [[1, 2]]]);
    const { past } = member(2).shows;
    comesBack({ past: { ...past, age: 3 } });
    pass();
    expect([inSync(), leg(2)?.dirtyBytes]).toEqual([[[1]], 0]);
    expect(leg(2)?.waitingFor).toMatchObject({
      what: expect.stringMatching(
        /older than this client knows .+; it can't be copied anew: member 2 has the last clean copy of 1 chunk, /,
      ),
      remedy: remedyForLastCopies('p', 2),
    });
  });

  test('L8: it is what it was again before it is copied: then it returns with what it has', () => {
    const { past } = member(2).shows;
    const { shows } = member(2);
    comesBack({ past: { ...past, age: 3 } });
    // The right store is put back, and the node starts anew with it.
    sessions.at('memory:2').cut();
    settle();
    member(2).shows = { ...shows, past: { ...shows.past, age: shows.past.age + 1 } };
    sessions.at('memory:2').reconnect();
    pass();
    expect([inSync(), leg(2)?.rolledBack, leg(2)?.dirtyBytes]).toEqual([[[1, 2]], null, 0]);
  });

  test('W4, I8: what has been written is clean at once for all that were in the set, and not when the members are asked', () => {
    const { past } = member(2).shows;
    comesBack({ past: { ...past, age: past.age - 5 } });
    pass();
    expect([inSync(), leg(2)?.dirtyBytes]).toEqual([[[1, 2]], 16 * 4096]);
    pool.onWriteEnded({ offsetBytes: 4096 + 512, lengthBytes: 2 * 4096 }, Status.OK, 0b11, false);
    expect(leg(2)?.dirtyBytes).toBe(13 * 4096);
    // What has failed says nothing.
    pool.onWriteEnded({ offsetBytes: 8 * 4096, lengthBytes: 4096 }, Status.EIO, 0, false);
    // What has passed it by still lacks it (W10).
    pool.onWriteEnded({ offsetBytes: 8 * 4096, lengthBytes: 4096 }, Status.OK, 0b01, false);
    expect(leg(2)?.dirtyBytes).toBe(13 * 4096);
  });

  test('a foreign lineage is refused, and an operator is told what to do', () => {
    comesBack({ version: versionOf(9, [2], { epoch: 9, lineageUuid: OTHER_LINEAGE }) });
    pass();
    expect(inSync()).toEqual([[1]]);
    expect(leg(2)?.waitingFor).toMatchObject({
      what: expect.stringContaining(`another lineage of this pool (${OTHER_LINEAGE})`),
      remedy: remedyForLineages('p', 2),
    });
    expect(member(2).ops).not.toContain('claim');
  });

  test('a foreign lineage is left behind when an operator has its member copied anew, and it returns', () => {
    comesBack({
      version: versionOf(9, [2], { epoch: 9, lineageUuid: OTHER_LINEAGE }),
      past: { age: 50, lives: [{ ...probeOf(2).past.lives[0], lifeUuid: lifeOf(9), firstAge: 1, lastAge: null, openedAtMs: 0 }] },
    });
    const ended: (OperationError | null)[] = [];
    pool.membership.copyAnew(2, 'KEEP', (error) => ended.push(error));
    pass();
    expect([ended, inSync(), leg(2)?.dirtyBytes]).toEqual([[null], [[1, 2]], 16 * 4096]);
    expect(member(1).shows.policy.formerLineages).toEqual([OTHER_LINEAGE]);
  });

  test('a newer lineage is refused: this pool is what was left behind', () => {
    const policy = { ...POLICY, formerLineages: [LINEAGE] };
    comesBack({ version: versionOf(9, [2], { epoch: 9, lineageUuid: OTHER_LINEAGE }), policy });
    pass();
    expect([inSync(), leg(2)?.waitingFor]).toMatchObject([
      [[1]],
      { what: expect.stringContaining('belongs to a newer lineage'), remedy: remedyForNewerLineage() },
    ]);
  });

  test('another store is refused', () => {
    comesBack({ version: null, identity: { ...probeOf(2).identity, storeUuid: storeOf(7) } });
    pass();
    expect([inSync(), leg(2)?.waitingFor]).toMatchObject([
      [[1]],
      { what: expect.stringContaining('an empty store that was never in service'), remedy: remedyForEmptyStore('p', 2) },
    ]);
    // What the member has missed says nothing of this store, which has none of its data.
    expect(leg(2)?.dirtyBytes).toBeNull();
  });

  test('a loss is a warning that names pool, member and node', () => {
    sessions.at('memory:2').cut();
    settle();
    const lost = host.log.entries.filter(({ event, fields }) => event === 'leg state' && fields['to'] === 'FAILED');
    expect(lost).toMatchObject([{ level: 'warn', fields: { pool: 'p', member: 2, node: memberOf(2).name } }]);
  });
});

test('a store that the configuration names and the pool does not know has missed nothing and has nothing: null, not 0', () => {
  members.push(new Member(3));
  member(3).shows = { ...member(3).shows, version: null, members: [] };
  open({ members: [memberOf(1), memberOf(2), memberOf(3)] });
  pass();
  expect([inSync(), leg(3)?.dirtyBytes, leg(2)?.dirtyBytes]).toEqual([[[1, 2]], null, 0]);
});

describe('a member that has moved (L9)', () => {
  /** The pool knows member 2 elsewhere than the configuration: there nobody answers. */
  beforeEach(() => {
    for (const each of members)
      each.shows = {
        ...each.shows,
        version: versionOf(4, [1], { epoch: 5 }),
        members: [memberOf(1), { ...memberOf(2), addresses: ['memory:former'], left: { epoch: 5, seq: 4 }, seen: seenOf(20) }],
      };
    sessions.at('memory:former').connected = false;
  });

  test('returns from where it is now, and the pool knows it there from then on', () => {
    open();
    pass();
    expect([inSync(), leg(2)?.addresses]).toEqual([[[1, 2]], ['memory:2']]);
    expect(member(1).shows.members[1]?.addresses).toEqual(['memory:2']);
    expect(pool.status().differences).toEqual([]);
  });

  test('is no such member where its store went back in time: it may be a copy, and an operator has to look', () => {
    member(2).shows = { ...member(2).shows, past: { ...member(2).shows.past, age: 15 } };
    open();
    pass();
    expect([inSync(), leg(2)?.addresses, member(2).ops.includes('claim')]).toEqual([[[1]], ['memory:former'], false]);
    expect(pool.status().differences.map(({ what }) => what)).toEqual([
      expect.stringContaining(
        'the configuration names member 2 at memory:2, and the pool knows it at memory:former, which counts, and a copy of its store, ',
      ),
    ]);
  });

  test('is not copied anew by itself when it went back in time after it had moved', () => {
    open();
    virtual.run(3_000);
    settle();
    // It has moved, and before it has returned its store is exchanged.
    const grant = member(2);
    const original = grant.shows;
    grant.shows = { ...original, past: { ...original.past, age: 15 } };
    pass(1_000);
    if (inSync()[0]?.includes(2) === true) return expect.fail('it has returned already');
    pass();
    expect([inSync(), leg(2)?.addresses]).toEqual([[[1]], ['memory:2']]);
    expect(leg(2)?.waitingFor?.remedy).toBe(remedyForMovedBack('p', 2));
    expect(member(1).shows.members[1]?.anew).toBeUndefined();
  });

  test('is recorded where it has answered, although the table that counts has it elsewhere: the version with its new place had no majority', () => {
    const table = [memberOf(1), memberOf(2), { ...memberOf(3), addresses: ['memory:former'] }];
    const policy = { ...POLICY, quorum: 'majority' as const };
    members.push(new Member(3));
    for (const [index, each] of members.entries()) {
      const version = index === 0 ? versionOf(3, [1, 2, 3], { epoch: 5 }) : versionOf(4, [2, 3], { epoch: 5 });
      each.shows = { ...each.shows, version, members: table, policy };
    }
    for (const memberId of [1, 2]) sessions.at(`memory:${memberId}`).connected = false;
    open({ members: [1, 2, 3].map((memberId) => memberOf(memberId)) });
    // Member 3 alone can be reached, and the client follows it.
    pass();
    expect([leg(3)?.addresses, inSync()]).toEqual([['memory:3'], [undefined]]);
    // Members 1 and 2 have granted, and member 2 alone has recorded the version: the pool is paused.
    sessions.at('memory:3').cut();
    sessions.at('memory:1').reconnect();
    sessions.at('memory:2').reconnect();
    for (let steps = 0; steps < 1000 && inSync()[0] === undefined; steps++) step();
    expect(inSync()).toEqual([[2]]);
    // That version has no majority. Members 1 and 3 go on by the one before, whose table has member 3 where it was.
    sessions.at('memory:2').cut();
    sessions.at('memory:3').reconnect();
    pass();
    expect([pool.state, leg(3)?.state, leg(3)?.addresses]).toEqual(['SERVING', 'NORMAL', ['memory:3']]);
    expect([member(1), member(3)].map(({ shows }) => shows.members[2]?.addresses)).toEqual([['memory:3'], ['memory:3']]);
  });
});

describe('an orderly stop (L8)', () => {
  test('each store becomes older before, and each hears of the others with the release', () => {
    open();
    pass(2_000);
    for (const { ops } of members) ops.length = 0;
    let stopped = false;
    pool.stop(() => {
      stopped = true;
    });
    // The flush reaches all members.
    for (const each of members) for (const io of sessions.at(each.address).ios.splice(0)) io.answer(0);
    settle();
    expect(stopped).toBe(true);
    for (const { ops } of members) expect(ops.slice(-2)).toEqual(['age', 'release']);
  });
});

describe('an order to create a pool that exists (C0)', () => {
  test('is refused while it is served', () => {
    open();
    const ended: (string | undefined)[] = [];
    pool.create((error) => ended.push(error?.code));
    expect([ended, pool.status().born]).toEqual([['CONFLICT'], true]);
  });
});
