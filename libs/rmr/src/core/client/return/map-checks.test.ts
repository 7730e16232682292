import { CHUNKS_PER_LEAF, DirtyMap } from '@rmr/dirty-map';
import { SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { CLEARED_RUNS_MAX, LEAVES_PER_MESSAGE } from '../../../constants.ts';
import type { VersionRecord } from '../../../pool-store.ts';
import { memberOf, POOL, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { MapReadResult } from '../../../wire/control-message.ts';
import { readLeaves } from '../../map-leaves.ts';
import { Leg } from '../legs/leg.ts';
import { PoolMaps } from '../pool-maps.ts';
import { MapChecks } from './map-checks.ts';

const CHUNK = 4096;

let session: ScriptedSession;
let leg: Leg;
let maps: PoolMaps;
let stamp: VersionRecord | null;
let cleared: number;
let malformed: string[];
let checks: MapChecks;
let outcomes: boolean[];

const done = (known: boolean): void => void outcomes.push(known);

function setUp(leafCount: number): void {
  maps = new PoolMaps(leafCount * CHUNKS_PER_LEAF * CHUNK, CHUNK);
}

/** The member answers the oldest question as if its own map were this one. */
function answer(owner: DirtyMap = new DirtyMap(maps.chunkCount), as: MapReadResult['stamp'] = { epoch: 1, seq: 5 }): void {
  const call = session.next('map-check');
  call.answer({ stamp: as, ...readLeaves(owner, call.request.fromLeaf) });
}

beforeEach(() => {
  session = new ScriptedSession();
  leg = new Leg(0, memberOf(1), session.shared, SILENT_LOGGER, () => 0);
  leg.setState('NORMAL', 'enabled');
  stamp = versionOf(5, [1, 2]);
  cleared = 0;
  malformed = [];
  outcomes = [];
  setUp(2);
  checks = new MapChecks({
    poolUuid: POOL,
    maps: () => maps,
    stamp: () => stamp,
    onCleared: () => void cleared++,
    onMalformed: (_leg, reason) => void malformed.push(reason),
  });
});

describe('map checks of the client (R3)', () => {
  test('what the member has clean by now is cleared here, and no more than that', () => {
    maps.of(1).set(3, 4);
    const owner = new DirtyMap(maps.chunkCount);
    owner.set(4, 1);
    owner.set(900, 1);
    checks.ask(leg);
    answer(owner);
    expect([maps.of(1).runs(9), cleared]).toEqual([[{ first: 4, count: 1 }], 1]);
    checks.ask(leg);
    answer(owner);
    expect(cleared).toBe(1);
  });

  test.each<[string, () => void, MapReadResult['stamp']]>([
    ['an older version', () => {}, { epoch: 1, seq: 4 }],
    ['another epoch', () => {}, { epoch: 2, seq: 5 }],
    ['no version, as the member is not NORMAL', () => {}, null],
    ['the version before, as a new one is durable by now', () => (stamp = versionOf(6, [1, 2])), { epoch: 1, seq: 5 }],
    ['any version, as a change is pending', () => (stamp = null), { epoch: 1, seq: 5 }],
    ['this version, but the leg has left', () => leg.setState('FAILED', 'cut'), { epoch: 1, seq: 5 }],
    ['this version, but the maps were assembled anew', () => setUp(2), { epoch: 1, seq: 5 }],
  ])('◆22: an answer is dropped whose stamp is %s', (_name, change, as) => {
    const before = maps;
    before.of(1).set(3, 4);
    checks.askAll(leg, done);
    change();
    answer(new DirtyMap(maps.chunkCount), as);
    expect([before.of(1).dirtyCount, cleared, outcomes]).toEqual([4, 0, [false]]);
  });

  test('each question goes on where the last one ended, and begins anew after the end', () => {
    setUp(LEAVES_PER_MESSAGE + 2);
    const owner = new DirtyMap(maps.chunkCount);
    for (let leaf = 0; leaf < owner.leafCount; leaf++) owner.set(leaf * CHUNKS_PER_LEAF, 1);
    maps.of(1).mergeFrom(owner);
    const asked: number[] = [];
    for (let i = 0; i < 3; i++) {
      checks.ask(leg);
      asked.push(session.calls[0]?.request.op === 'map-check' ? session.calls[0].request.fromLeaf : -1);
      answer(owner);
    }
    expect(asked).toEqual([0, LEAVES_PER_MESSAGE, 0]);
  });

  test('◆23: a question without an answer is asked again from where it was', () => {
    leg.nextLeaf = 1;
    maps.of(1).set(CHUNKS_PER_LEAF, 4);
    checks.ask(leg);
    session.next('map-check').drop();
    checks.ask(leg);
    expect(session.next('map-check').request.fromLeaf).toBe(1);
  });

  test('asked for all, it asks page by page until the whole map is known', () => {
    setUp(2 * LEAVES_PER_MESSAGE + 2);
    const owner = new DirtyMap(maps.chunkCount);
    for (let leaf = 0; leaf < owner.leafCount; leaf++) owner.set(leaf * CHUNKS_PER_LEAF, 1);
    maps.of(1).set(0, maps.chunkCount);
    checks.askAll(leg, done);
    for (let page = 0; page < 3; page++) {
      expect([outcomes, session.calls.length]).toEqual([[], 1]);
      answer(owner);
    }
    expect([outcomes, session.calls, maps.of(1).equals(owner)]).toEqual([[true], [], true]);
  });

  test('I12: more runs than are taken at once: the same part is asked for again', () => {
    for (let chunk = 0; chunk < 2 * CLEARED_RUNS_MAX + 10; chunk += 2) maps.of(1).set(chunk, 1);
    checks.askAll(leg, done);
    answer();
    expect([maps.of(1).dirtyCount, outcomes]).toEqual([5, []]);
    answer();
    expect([maps.of(1).dirtyCount, outcomes]).toEqual([0, [true]]);
  });

  test('no answer on the way: the map is not known, which is said once', () => {
    setUp(LEAVES_PER_MESSAGE + 2);
    maps.of(1).set(0, maps.chunkCount);
    checks.askAll(leg, done);
    answer(maps.of(1).clone());
    session.next('map-check').drop();
    expect([outcomes, session.calls]).toEqual([[false], []]);
  });

  test('a malformed answer is told, and clears nothing', () => {
    maps.of(1).set(3, 4);
    checks.askAll(leg, done);
    session.next('map-check').answer({ stamp: { epoch: 1, seq: 5 }, leaves: [[0, 'nonsense']], nextLeaf: null });
    expect([malformed, maps.of(1).dirtyCount, outcomes]).toEqual([['leaf 0 is malformed'], 4, [false]]);
  });
});
