import { beforeEach, describe, expect, test } from 'vitest';
import { RESYNC_UNREADABLE_MS } from '../../../constants.ts';
import { ResyncRig } from '../../../testing/resync-rig.ts';
import { memberOf } from '../../../testing/scripted-pool.ts';
import { PullSources } from './pull-sources.ts';
import { UnreadableSources } from './unreadable-sources.ts';

let rig: ResyncRig;
let unreadable: UnreadableSources;
let sources: PullSources;

/** Member 1 misses everything, and pulls nothing by itself. Of the others, those that joined can be read from. */
function start(joined: readonly number[], inSync: readonly number[] = [1, 2, 3]): void {
  rig = new ResyncRig();
  unreadable = new UnreadableSources();
  sources = new PullSources(rig.world.clock, rig.store, rig.peers, unreadable);
  rig.store.mapOf(1).set(0, 64);
  rig.resync.order = { paused: true, rateBytes: null };
  rig.start(joined, rig.version(5, inSync));
}

const best = (chunk: number): number | undefined => sources.best(chunk)?.member.memberId;

beforeEach(() => start([2, 3]));

describe('pull sources: whom to ask (R1)', () => {
  test('the member with the fewest reads under way; the first one of equals', () => {
    expect(best(4)).toBe(2);
    rig.peer(2).inFlight = 2;
    rig.peer(3).inFlight = 1;
    expect(best(4)).toBe(3);
  });

  test('nobody who has the chunk dirty himself, and none at all if all have', () => {
    rig.store.mapOf(2).set(4, 1);
    expect([best(4), best(5)]).toEqual([3, 2]);
    rig.store.mapOf(3).set(4, 1);
    expect(best(4)).toBeUndefined();
  });

  test('where nobody can be asked, status says what helps: the network to the members that serve, or the return of those that are away', () => {
    expect(sources.remedy(4)).toBeUndefined();
    start([]);
    rig.session(3).cut();
    expect(sources.remedy(4)).toBe('Mend the network between this node and storage-3, unless that happens by itself.');
    rig.store.mapOf(2).set(4, 1);
    rig.store.mapOf(3).set(4, 1);
    expect(sources.remedy(4)).toBeUndefined();
    start([3], [1, 3]);
    rig.store.mapOf(3).set(4, 1);
    expect(sources.remedy(4)).toMatch(/^Bring storage-2 back, unless that happens by itself: /);
  });

  test('nobody who can not be asked now', () => {
    start([3]);
    expect(best(4)).toBe(3);
    start([]);
    expect(best(4)).toBeUndefined();
  });

  test('nobody out of the in-sync set, though he has joined', () => {
    start([2, 3]);
    rig.peers.start(rig.version(6, [1, 3]));
    expect([rig.peer(2).ready, best(4)]).toEqual([true, 3]);
  });

  test('nobody whose disk failed at the chunk a moment ago; later he is asked again', () => {
    unreadable.note(4, 1, 2, rig.world.clock.nowMs());
    expect([best(4), best(5)]).toEqual([3, 2]);
    rig.world.run(RESYNC_UNREADABLE_MS);
    expect(best(4)).toBe(2);
  });
});

describe('pull sources: the next chunk that can be read', () => {
  test('the first one that any member has clean', () => {
    rig.store.mapOf(2).set(0, 20);
    rig.store.mapOf(3).set(5, 20);
    expect([sources.nextReadable(0, 64), sources.nextReadable(5, 64), sources.nextReadable(5, 20)]).toEqual([0, 20, 20]);
  });

  test('a member without a map has it clean; one that can not be asked does not count', () => {
    rig.store.mapOf(2).set(0, 20);
    expect(sources.nextReadable(5, 64)).toBe(5);
    start([2]);
    rig.store.mapOf(2).set(0, 20);
    expect(sources.nextReadable(5, 64)).toBe(20);
    start([]);
    expect(sources.nextReadable(5, 64)).toBe(64);
  });
});

describe('pull sources: what is lost (I8)', () => {
  /** These members have gone through all of their maps, and began to at that time. */
  function confirm(atMs: number, ...memberIds: number[]): void {
    for (const memberId of memberIds) rig.peer(memberId).wholeRoundBeganMs = atMs;
  }

  beforeEach(() => {
    rig.world.run(150);
    for (const memberId of [2, 3]) rig.store.mapOf(memberId).set(4, 1);
    confirm(101, 2, 3);
  });

  test('a chunk that is dirty for all, when every member has confirmed that since', () => {
    expect(sources.isLost(4, 100)).toBe(true);
    expect(sources.isLost(4, 101)).toBe(false);
    confirm(101, 2);
    confirm(100, 3);
    expect(sources.isLost(4, 100)).toBe(false);
  });

  test('a chunk that somebody has clean is not, be he in the set or not', () => {
    rig.store.mapOf(3).clear(4, 1);
    expect(sources.isLost(4, 100)).toBe(false);
    rig.peers.start(rig.version(6, [1, 2]));
    confirm(101, 2);
    expect(sources.isLost(4, 100)).toBe(false);
  });

  test('a witness, which has no map, has nothing clean', () => {
    rig.store.members = [1, 2, 3].map((memberId) => memberOf(memberId)).concat(memberOf(4, 'witness'));
    expect(sources.isLost(4, 100)).toBe(true);
  });

  test('a clean copy that its disk can not read counts as none, and needs no confirmation, as long as that is remembered', () => {
    rig.store.mapOf(3).clear(4, 1);
    confirm(Number.NEGATIVE_INFINITY, 3);
    unreadable.note(4, 1, 3, rig.world.clock.nowMs());
    expect(sources.isLost(4, 100)).toBe(true);
    rig.world.run(RESYNC_UNREADABLE_MS);
    confirm(101, 2, 3);
    expect(sources.isLost(4, 100)).toBe(false);
  });
});

describe('pull sources: for people', () => {
  test('status says which members have the chunk clean, and why they are not read from', () => {
    start([2], [1, 2]);
    expect(sources.describe(4)).toMatch(/member 2.* or .*member 3.*\(out of the in-sync set\)$/);
    unreadable.note(4, 1, 2, rig.world.clock.nowMs());
    expect(sources.describe(4)).toContain("(its disk can't read the chunk) or ");
    start([2]);
    rig.store.mapOf(2).set(4, 1);
    expect(sources.describe(4)).toMatch(/^[^()]*member 3[^()]*\(.+\)$/);
    rig.store.mapOf(3).set(4, 1);
    expect(sources.describe(4)).toBe('the in-sync members to say which of them has it clean');
  });
});
