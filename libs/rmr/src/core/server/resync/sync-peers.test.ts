import { CHUNKS_PER_LEAF, DirtyMap } from '@rmr/dirty-map';
import { Status } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { CLEARED_RUNS_MAX, LEAVES_PER_MESSAGE, MAP_CHECK_MS, MAP_CHECK_URGENT_MS, RESYNC_RETRY_MS } from '../../../constants.ts';
import type { VersionRecord } from '../../../pool-store.ts';
import { identityOf, memberOf, POOL, ScriptedSessions, storeOf, versionOf } from '../../../testing/scripted-pool.ts';
import type { ScriptedCall, ScriptedSession } from '../../../testing/scripted-session.ts';
import { ScriptedStore } from '../../../testing/scripted-store.ts';
import type { MapReadResult } from '../../../wire/control-message.ts';
import { readLeaves } from '../../map-leaves.ts';
import { type SyncPeer, SyncPeers } from './sync-peers.ts';

const CHUNK = 4096;

let world: VirtualWorld;
let store: ScriptedStore;
let sessions: ScriptedSessions;
let peers: SyncPeers;
let changes: number;

const session = (memberId: number): ScriptedSession => sessions.of({ memberId });
/** Version 3.`seq`. */
const version = (seq: number, memberIds: readonly number[]): VersionRecord => versionOf(seq, memberIds, { epoch: 3 });
const peer = (memberId: number): SyncPeer => peers.all().find((one) => one.member.memberId === memberId) as SyncPeer;
const opened = (): string[] => sessions.inUse;

/** Member 1's storage node, in a pool with members 2 and 3. */
function setUp(chunkCount: number): void {
  world = new VirtualWorld();
  changes = 0;
  sessions = new ScriptedSessions();
  store = new ScriptedStore(identityOf(1, chunkCount, CHUNK));
  store.members = [1, 2, 3].map((memberId) => memberOf(memberId));
  peers = new SyncPeers(world, store, sessions, () => void changes++);
}

/** Lets the sync legs connect and join. */
function join(...memberIds: number[]): void {
  world.run(50);
  for (const memberId of memberIds)
    session(memberId)
      .next('sync-join')
      .answer({ poolHandle: 40 + memberId, memberId, storeUuid: storeOf(memberId) });
}

/** What member `memberId` answers to a map check when its own map is this one. */
function answerOf(map: DirtyMap, fromLeaf: number, stamp: MapReadResult['stamp'] = { epoch: 3, seq: 5 }): MapReadResult {
  return { stamp, ...readLeaves(map, fromLeaf) };
}

/** The next map check of this member, once it has been sent. */
function check(memberId: number): ScriptedCall & { readonly request: { readonly fromLeaf: number } } {
  world.runUntil(() => session(memberId).ops.includes('map-check'), 10 * MAP_CHECK_MS, `a map check of member ${memberId}`);
  return session(memberId).next('map-check');
}

beforeEach(() => setUp(64));

describe('sync legs', () => {
  test('no session is opened while nothing is dirty', () => {
    peers.start(version(5, [1, 2, 3]));
    world.run(5000);
    expect(opened()).toEqual([]);
  });

  test('with something to pull, sessions to all other in-sync members are opened, and to no others', () => {
    store.mapOf(1).set(3, 1);
    peers.start(version(5, [1, 2]));
    world.run(50);
    expect([opened(), session(2).ops]).toEqual([['memory:2'], ['sync-join']]);
  });

  test('with something to clear, one to the member that it belongs to', () => {
    store.mapOf(3).set(3, 1);
    peers.start(version(5, [1, 2, 3]));
    world.run(50);
    expect(opened()).toEqual(['memory:3']);
  });

  test('a witness has nothing to read', () => {
    store.members = [...store.members, memberOf(4, 'witness')];
    store.mapOf(1).set(3, 1);
    peers.start(version(5, [1, 2, 3]));
    world.run(50);
    expect(peers.all().map(({ member: { memberId } }) => memberId)).toEqual([2, 3]);
  });

  test('reads can be sent once the member has said what handle its pool has', () => {
    store.mapOf(1).set(3, 1);
    peers.start(version(5, [1, 2]));
    world.run(50);
    expect([peer(2).ready, peer(2).problem]).toEqual([false, 'not connected yet']);
    join(2);
    expect([peer(2).ready, peer(2).problem, changes]).toEqual([true, '', 1]);
    world.run(1000);
    expect(session(2).ops).toEqual([]);
  });

  test('a member that has another store now is not read from', () => {
    store.mapOf(1).set(3, 1);
    peers.start(version(5, [1, 2]));
    world.run(50);
    session(2)
      .next('sync-join')
      .answer({ poolHandle: 42, memberId: 2, storeUuid: storeOf(9) });
    expect([peer(2).ready, peer(2).problem]).toEqual([false, expect.stringContaining('another store')]);
    world.run(RESYNC_RETRY_MS);
    session(2)
      .next('sync-join')
      .answer({ poolHandle: 42, memberId: 3, storeUuid: storeOf(2) });
    expect(peer(2).ready).toBe(false);
  });

  test('I11: a refused join is tried again after a while, with the reason at hand', () => {
    store.mapOf(1).set(3, 1);
    peers.start(version(5, [1, 2]));
    world.run(50);
    session(2).next('sync-join').refuse('UNKNOWN_POOL', 'no such pool');
    expect(peer(2).problem).toBe('member 2 (storage-2): no such pool');
    world.run(RESYNC_RETRY_MS - 100);
    expect(session(2).ops).toEqual([]);
    world.run(100);
    expect(session(2).ops).toEqual(['sync-join']);
  });

  test('I11: a session that is lost is used again once it is back, with a new handle', () => {
    store.mapOf(1).set(3, 1);
    peers.start(version(5, [1, 2]));
    join(2);
    session(2).cut('cable');
    expect([peer(2).ready, peer(2).problem]).toEqual([false, 'no session: cable']);
    world.run(1000);
    expect(session(2).ops).toEqual([]);
    session(2).reconnect();
    expect(session(2).ops).toEqual(['sync-join']);
    join(2);
    expect(peer(2).ready).toBe(true);
  });

  test('a join that the end of the session has overtaken counts for nothing', () => {
    store.mapOf(1).set(3, 1);
    peers.start(version(5, [1, 2]));
    world.run(50);
    const call = session(2).next('sync-join');
    session(2).cut();
    call.answer({ poolHandle: 42, memberId: 2, storeUuid: storeOf(2) });
    expect(peer(2).ready).toBe(false);
  });

  test('a member that moved, and one that left the pool, are let go', () => {
    store.mapOf(1).set(3, 1);
    peers.start(version(5, [1, 2, 3]));
    join(2, 3);
    store.members = [memberOf(1), { ...memberOf(2), addresses: ['memory:new'] }];
    peers.start(version(6, [1, 2]));
    expect(opened()).toEqual([]);
    world.run(50);
    expect(opened()).toEqual(['memory:new']);
  });

  test('closed, every session is let go; stopped, sessions stay and nobody is asked', () => {
    store.mapOf(1).set(3, 1);
    store.mapOf(2).set(3, 1);
    peers.start(version(5, [1, 2]));
    join(2);
    check(2).drop();
    peers.stop();
    world.run(5000);
    expect([opened(), session(2).ops, peers.inSync()]).toEqual([['memory:2'], [], []]);
    peers.close();
    expect([opened(), peers.all()]).toEqual([[], []]);
  });
});

describe('map checks (R3)', () => {
  test('what an in-sync member has clean by now is cleared here, durably, and no more than that', () => {
    store.mapOf(2).set(3, 4);
    peers.start(version(5, [1, 2, 3]));
    join(2);
    const owner = new DirtyMap(64);
    owner.set(4, 1);
    owner.set(20, 1);
    const asked = check(2);
    expect(asked.request).toEqual({ op: 'map-check', poolUuid: POOL, fromLeaf: 0 });
    asked.answer(answerOf(owner, 0));
    expect(store.held.map(({ what }) => what)).toEqual(['commit clear 2:3,5-6']);
    expect(changes).toBe(1);
    store.endAll();
    expect([store.mapOf(2).runs(9), changes]).toEqual([[{ first: 4, count: 1 }], 2]);
  });

  test.each<[string, MapReadResult['stamp']]>([
    ['of an older version', { epoch: 3, seq: 4 }],
    ['of a newer version', { epoch: 3, seq: 6 }],
    ['of another epoch', { epoch: 2, seq: 5 }],
    ['of a member that is not NORMAL', null],
  ])('◆22: a clear is dropped whose stamp is %s', (_name, stamp) => {
    store.mapOf(2).set(3, 4);
    peers.start(version(5, [1, 2]));
    join(2);
    check(2).answer(answerOf(new DirtyMap(64), 0, stamp));
    expect(store.held).toEqual([]);
    check(2);
  });

  test('◆22: an answer that a new version has overtaken is dropped, whatever its stamp', () => {
    store.mapOf(2).set(3, 4);
    for (const seq of [5, 6]) {
      peers.start(version(5, [1, 2]));
      if (!peer(2).ready) join(2);
      const asked = check(2);
      peers.start(version(6, [1, 2]));
      asked.answer(answerOf(new DirtyMap(64), 0, { epoch: 3, seq }));
      expect(store.held).toEqual([]);
    }
  });

  test('◆22: so is one that comes after the pool has left NORMAL', () => {
    store.mapOf(2).set(3, 4);
    peers.start(version(5, [1, 2]));
    join(2);
    const asked = check(2);
    peers.stop();
    asked.answer(answerOf(new DirtyMap(64), 0));
    expect(store.held).toEqual([]);
  });

  test('◆23: an owner is asked until nothing is left, also when an answer or a commit got lost', () => {
    store.mapOf(2).set(3, 4);
    peers.start(version(5, [1, 2]));
    join(2);
    check(2).drop();
    check(2).garble();
    check(2).answer(answerOf(new DirtyMap(64), 0));
    store.end('commit clear 2:3-6', Status.EIO);
    check(2).answer(answerOf(new DirtyMap(64), 0));
    store.end('commit clear 2:3-6');
    world.run(10 * MAP_CHECK_MS);
    expect(session(2).ops).toEqual([]);
  });

  test('◆23: a change of version begins anew with all that is left', () => {
    setUp((LEAVES_PER_MESSAGE + 2) * CHUNKS_PER_LEAF);
    const owner = new DirtyMap(store.chunkCount);
    for (let leaf = 0; leaf < owner.leafCount; leaf++) owner.set(leaf * CHUNKS_PER_LEAF, 1);
    store.mapOf(2).mergeFrom(owner);
    peers.start(version(5, [1, 2]));
    join(2);
    check(2).answer(answerOf(owner, 0));
    expect(peer(2).nextLeaf).toBe(LEAVES_PER_MESSAGE);
    peers.start(version(6, [1, 2]));
    expect(check(2).request.fromLeaf).toBe(0);
  });

  test('members out of the in-sync set are not asked: their bits stay (I9)', () => {
    store.mapOf(3).set(3, 4);
    store.mapOf(1).set(9, 1);
    peers.start(version(5, [1, 2]));
    join(2);
    world.run(5 * MAP_CHECK_MS);
    expect([opened(), session(2).ops]).toEqual([['memory:2'], []]);
  });

  test('one check at a time, every so often, and more often while IO waits', () => {
    store.mapOf(2).set(3, 4);
    peers.start(version(5, [1, 2]));
    join(2);
    world.run(5 * MAP_CHECK_MS);
    expect(session(2).ops).toEqual(['map-check']);
    const owner = new DirtyMap(64);
    owner.set(3, 4);
    const askedWithin = (durationMs: number): number => {
      let asked = 0;
      for (let ms = 0; ms < durationMs; ms += 50) {
        while (session(2).calls.length > 0) {
          session(2).next('map-check').answer(answerOf(owner, 0));
          asked++;
        }
        world.run(50);
      }
      return asked;
    };
    expect(askedWithin(10 * MAP_CHECK_MS)).toBeLessThanOrEqual(11);
    peers.urgent = true;
    expect(askedWithin(10 * MAP_CHECK_URGENT_MS)).toBeGreaterThanOrEqual(9);
    expect(store.held).toEqual([]);
  });

  test('a large map is asked for page by page; a whole round counts from its beginning', () => {
    setUp((LEAVES_PER_MESSAGE + 2) * CHUNKS_PER_LEAF);
    const owner = new DirtyMap(store.chunkCount);
    for (let leaf = 0; leaf < owner.leafCount; leaf++) owner.set(leaf * CHUNKS_PER_LEAF, 1);
    store.mapOf(2).mergeFrom(owner);
    peers.start(version(5, [1, 2]));
    join(2);
    const first = check(2);
    const beganMs = world.clock.nowMs();
    first.answer(answerOf(owner, 0));
    expect(peer(2).wholeRoundBeganMs).toBe(Number.NEGATIVE_INFINITY);
    const second = check(2);
    expect(second.request.fromLeaf).toBe(LEAVES_PER_MESSAGE);
    second.answer(answerOf(owner, LEAVES_PER_MESSAGE));
    expect([peer(2).wholeRoundBeganMs, peer(2).nextLeaf]).toEqual([beganMs, 0]);
  });

  test('I12: more runs than fit one commit: the same part is asked for again', () => {
    setUp(3 * CLEARED_RUNS_MAX);
    for (let chunk = 0; chunk < 2 * CLEARED_RUNS_MAX + 10; chunk += 2) store.mapOf(2).set(chunk, 1);
    peers.start(version(5, [1, 2]));
    join(2);
    check(2).answer(answerOf(new DirtyMap(store.chunkCount), 0));
    store.endAll();
    expect([store.mapOf(2).dirtyCount, peer(2).wholeRoundBeganMs]).toEqual([5, Number.NEGATIVE_INFINITY]);
    check(2).answer(answerOf(new DirtyMap(store.chunkCount), 0));
    store.endAll();
    expect(store.mapOf(2).dirtyCount).toBe(0);
  });

  test('an answer with a malformed leaf changes nothing, and is asked for again', () => {
    store.mapOf(2).set(3, 4);
    peers.start(version(5, [1, 2]));
    join(2);
    check(2).answer({ stamp: { epoch: 3, seq: 5 }, leaves: [[0, 'nonsense']], nextLeaf: null });
    expect([store.held, changes]).toEqual([[], 1]);
    expect(world.log.text()).toContain('nonsense');
    check(2);
  });
});
