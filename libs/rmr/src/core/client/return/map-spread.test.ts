import { CHUNKS_PER_LEAF, DirtyMap } from '@rmr/dirty-map';
import { randomBelow, SeededRandom, SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { LEAVES_PER_MESSAGE } from '../../../constants.ts';
import { POOL } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import { applyLeaf } from '../../map-leaves.ts';
import { Leg } from '../legs/leg.ts';
import { PoolMaps } from '../pool-maps.ts';
import { MapSpread } from './map-spread.ts';

const CHUNK = 4096;

let session: ScriptedSession;
let leg: Leg;
let maps: PoolMaps;
/** What the member has staged, by whose column it is. */
let staged: Map<number, DirtyMap>;
let outcomes: (string | null)[];

const done = (failure: string | null): void => void outcomes.push(failure);

/** The member takes over the oldest message, and what it was. */
function stage(): { memberId: number; reset: boolean; leaves: (readonly [leaf: number, kind: string])[] } {
  const call = session.next('map-stage');
  const { memberId, reset, leaves, poolUuid, epoch } = call.request;
  expect([poolUuid, epoch]).toEqual([POOL, 7]);
  let map = staged.get(memberId);
  expect(map === undefined && !reset).toBe(false);
  if (map === undefined || reset) map = new DirtyMap(maps.chunkCount);
  staged.set(memberId, map);
  for (const leaf of leaves) expect(applyLeaf(map, leaf)).toBeNull();
  call.answer();
  return { memberId, reset, leaves: leaves.map(([leaf, text]) => [leaf, text.length > 5 ? 'bits' : text]) };
}

function stageAll(): ReturnType<typeof stage>[] {
  const messages: ReturnType<typeof stage>[] = [];
  while (session.calls.length > 0) messages.push(stage());
  return messages;
}

function setUp(leafCount: number): void {
  maps = new PoolMaps(leafCount * CHUNKS_PER_LEAF * CHUNK, CHUNK);
}

const spreadOf = (...memberIds: number[]): MapSpread => new MapSpread(leg, POOL, 7, maps, memberIds);

beforeEach(() => {
  session = new ScriptedSession();
  leg = new Leg(0, { memberId: 1, name: 'storage-1', addresses: ['memory:1'] }, session.shared, SILENT_LOGGER, () => 0);
  staged = new Map();
  outcomes = [];
  setUp(3);
});

describe('map spread', () => {
  test('one column after the other, each begun anew, also one that is clean', () => {
    maps.of(1).set(5, 3);
    maps.of(3).set(CHUNKS_PER_LEAF, CHUNKS_PER_LEAF);
    spreadOf(1, 2, 3).run(done);
    expect(session.calls.length).toBe(1);
    expect(stageAll()).toEqual([
      { memberId: 1, reset: true, leaves: [[0, 'bits']] },
      { memberId: 2, reset: true, leaves: [] },
      { memberId: 3, reset: true, leaves: [[1, 'full']] },
    ]);
    expect(outcomes).toEqual([null]);
  });

  test('without columns there is nothing to do', () => {
    spreadOf().run(done);
    expect([outcomes, session.calls]).toEqual([[null], []]);
  });

  test('L4: the second time only what has changed is sent, sets and clears', () => {
    const spread = spreadOf(1, 2);
    maps.of(1).set(0, 3 * CHUNKS_PER_LEAF);
    maps.of(2).set(9, 1);
    spread.run(done);
    stageAll();
    maps.of(1).clear(CHUNKS_PER_LEAF, CHUNKS_PER_LEAF);
    maps.of(1).clear(2 * CHUNKS_PER_LEAF, 1);
    spread.run(done);
    const messages = stageAll();
    expect(messages).toEqual([
      {
        memberId: 1,
        reset: false,
        leaves: [
          [1, 'empty'],
          [2, 'bits'],
        ],
      },
    ]);
    expect(outcomes).toEqual([null, null]);
    expect(staged.get(1)?.equals(maps.of(1))).toBe(true);
  });

  test('L4: when nothing has changed nothing is sent', () => {
    const spread = spreadOf(1, 2);
    maps.of(1).set(3, 1);
    spread.run(done);
    stageAll();
    spread.run(done);
    expect([session.calls, outcomes]).toEqual([[], [null, null]]);
  });

  test('I12: a large column goes page by page, one page at a time', () => {
    setUp(2 * LEAVES_PER_MESSAGE + 5);
    maps.of(1).set(0, maps.chunkCount);
    // An empty leaf costs no place on a page.
    maps.of(1).clear(0, CHUNKS_PER_LEAF);
    spreadOf(1).run(done);
    expect(session.calls.length).toBe(1);
    const messages = stageAll();
    expect(messages.map(({ reset, leaves }) => [reset, leaves.length, leaves[0]?.[0]])).toEqual([
      [true, LEAVES_PER_MESSAGE, 1],
      [false, LEAVES_PER_MESSAGE, LEAVES_PER_MESSAGE + 1],
      [false, 4, 2 * LEAVES_PER_MESSAGE + 1],
    ]);
    expect(outcomes).toEqual([null]);
    expect(staged.get(1)?.equals(maps.of(1))).toBe(true);
  });

  test('V3: what is staged has the digest that the version record names', () => {
    maps.of(1).set(7, 100);
    maps.of(2).set(CHUNKS_PER_LEAF - 1, 2);
    const spread = spreadOf(1, 2, 3);
    spread.run(done);
    stageAll();
    expect(spread.digests()).toEqual([1, 2, 3].map((memberId) => ({ memberId, digest: staged.get(memberId)?.digest() })));
  });

  test('it is known how many leaves differ from what is staged', () => {
    const spread = spreadOf(1, 2);
    expect(spread.differing()).toBe(0);
    maps.of(1).set(0, CHUNKS_PER_LEAF + 1);
    expect(spread.differing()).toBe(2);
    spread.run(done);
    stageAll();
    expect(spread.differing()).toBe(0);
    maps.of(1).clear(CHUNKS_PER_LEAF, 1);
    maps.of(2).set(0, 3 * CHUNKS_PER_LEAF);
    expect(spread.differing()).toBe(4);
  });

  test('what changes on a page that is under way is found by the next run', () => {
    const spread = spreadOf(1);
    maps.of(1).set(0, 10);
    spread.run(done);
    maps.of(1).set(100, 1);
    stageAll();
    expect([outcomes, spread.differing()]).toEqual([[null], 1]);
    spread.run(done);
    stageAll();
    expect(spread.differing()).toBe(0);
    expect(staged.get(1)?.equals(maps.of(1))).toBe(true);
  });

  test('a member that refuses ends it, once, with its reason', () => {
    spreadOf(1, 2).run(done);
    session.next('map-stage').refuse('BAD_MAP', 'no room');
    expect([outcomes, session.calls]).toEqual([['member 1 (storage-1): no room'], []]);
  });

  test('no answer, and nonsense as an answer, end it', () => {
    spreadOf(1, 2).run(done);
    session.next('map-stage').drop();
    spreadOf(1, 2).run(done);
    session.next('map-stage').garble();
    expect(outcomes).toEqual([expect.stringContaining('did not answer map-stage'), expect.stringContaining('malformed')]);
    expect(session.calls).toEqual([]);
  });

  test('a failure in the middle of a column ends it', () => {
    setUp(LEAVES_PER_MESSAGE + 5);
    maps.of(1).set(0, maps.chunkCount);
    spreadOf(1, 2).run(done);
    stage();
    session.next('map-stage').refuse('STALE_EPOCH');
    expect([outcomes.length, session.calls]).toEqual([1, []]);
  });

  test('cancelled, it says and sends nothing more, however the answer turns out', () => {
    for (const end of ['answer', 'refuse', 'drop'] as const) {
      const spread = spreadOf(1, 2);
      spread.run(done);
      spread.cancel();
      const call = session.next('map-stage');
      if (end === 'refuse') call.refuse('BAD_MAP');
      else call[end]();
    }
    expect([outcomes, session.calls]).toEqual([[], []]);
  });

  test('random changes between and during the runs: a last run in quiet leaves the member with the very maps', () => {
    setUp(LEAVES_PER_MESSAGE + 3);
    const random = new SeededRandom(4);
    const change = (): void => {
      const map = maps.of(1 + randomBelow(random, 2));
      const first = randomBelow(random, map.chunkCount);
      const count = Math.min(randomBelow(random, 5) === 0 ? randomBelow(random, map.chunkCount) : 40, map.chunkCount - first);
      if (randomBelow(random, 2) === 0) map.set(first, count);
      else map.clear(first, count);
    };
    const spread = spreadOf(1, 2);
    for (let round = 0; round < 20; round++) {
      spread.run(done);
      while (session.calls.length > 0) {
        for (let i = randomBelow(random, 3); i > 0; i--) change();
        stage();
      }
    }
    spread.run(done);
    stageAll();
    expect(spread.differing()).toBe(0);
    expect(spread.digests().map(({ memberId }) => staged.get(memberId)?.equals(maps.of(memberId)))).toEqual([true, true]);
    expect(outcomes).toEqual(Array(21).fill(null));
  });
});
