import { CHUNKS_PER_LEAF } from '@rmr/dirty-map';
import { SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { SPREAD_REST_LEAVES, SPREAD_ROUNDS_MAX } from '../../../constants.ts';
import type { VersionRecord } from '../../../pool-store.ts';
import { CLIENT, claimOf, identityOf, LINEAGE, OTHER_LINEAGE, POLICY, POOL, probeOf, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ClaimResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';
import { PoolMaps } from '../pool-maps.ts';
import type { VersionMemory } from '../versions/versions.ts';
import { LegReturn, type ReturnHost } from './leg-return.ts';
import type { ColumnDigest } from './map-spread.ts';
import type { RolledBack } from './rolled-back.ts';

const CHUNK = 4096;
const LEAVES = 2 * SPREAD_REST_LEAVES;
const version = (seq: number, memberIds: readonly number[], lineageUuid = LINEAGE): NonNullable<ClaimResult['version']> =>
  versionOf(seq, memberIds, { epoch: 7, lineageUuid });

const PROBE = probeOf(3, { poolHandle: 9, identity: { ...identityOf(3, LEAVES * CHUNKS_PER_LEAF, CHUNK), witness: false } });
const CLAIM = claimOf();

let sessions: ScriptedSession[];
let legs: Leg[];
let maps: PoolMaps;
/** What the host was told, in order. */
let told: string[];
/** The members of which it was judged what is owed for them. */
let owedJudged: number[];
let unfit: string;
/** L8: what members have told of the age of their stores, and what is known better. */
let heard: string[];
let rolledBack: RolledBack | null;
/** Whether members answer at once that a map update is ahead. */
let takePart: boolean;
let quiet: (() => void) | null;
let grown: {
  columns: ReadonlyMap<Leg, readonly ColumnDigest[]>;
  newLineage: boolean;
  erase: readonly number[];
  durable: (version: VersionRecord) => void;
} | null;
let refreshMaps: ReturnHost['refreshMaps'];
/** The legs that have not recorded the version yet. */
let recording: Set<Leg>;
let host: ReturnHost;
let returning: LegReturn;

const session = (memberId: number): ScriptedSession => sessions[memberId - 1] as ScriptedSession;
const member3 = (): ScriptedSession => session(3);
/** All requests without an answer. */
const open = (): string[] => sessions.flatMap(({ ops }, index) => ops.map((op) => `${op} ${index + 1}`));

/** Answers all staging that is under way, and what follows of it; returns what it was. */
function stageAll(): string[] {
  const staged: string[] = [];
  for (let again = true; again; ) {
    again = false;
    for (const [index, { calls }] of sessions.entries()) {
      if (calls[0]?.request.op !== 'map-stage') continue;
      const call = session(index + 1).next('map-stage');
      staged.push(`${index + 1} gets column ${call.request.memberId}: ${call.request.leaves.length}`);
      call.answer();
      again = true;
    }
  }
  return staged;
}

/** The steps of a return, each up to what comes next. */
const STEPS: Record<string, () => void> = {
  probe: () => returning.start(),
  claim: () => member3().next('probe').answer(PROBE),
  stage: () => member3().next('claim').answer(CLAIM),
  quiesce: () => void stageAll(),
  'rest of stage': () => {
    maps.of(1).set(0, 1);
    quiet?.();
  },
  record: () => void stageAll(),
  enable: () => grown?.durable(version(5, [1, 2, 3])),
};

/** Goes on until `step` is under way. */
function upTo(step: string): void {
  for (const [name, run] of Object.entries(STEPS)) {
    run();
    if (name === step) return;
  }
}

beforeEach(() => {
  sessions = [new ScriptedSession(), new ScriptedSession(), new ScriptedSession()];
  legs = sessions.map(({ shared }, index) => {
    const member = { memberId: index + 1, name: `storage-${index + 1}`, addresses: [`memory:${index + 1}`] };
    return new Leg(index, member, shared, SILENT_LOGGER, () => 0);
  });
  for (const leg of legs.slice(0, 2)) leg.setState('NORMAL', 'enabled');
  legs[2]?.setState('FAILED', 'cut');
  maps = new PoolMaps(LEAVES * CHUNKS_PER_LEAF * CHUNK, CHUNK);
  told = [];
  owedJudged = [];
  unfit = '';
  heard = [];
  rolledBack = null;
  takePart = true;
  recording = new Set();
  quiet = null;
  grown = null;
  refreshMaps = (done) => done(true);
  host = {
    poolUuid: POOL,
    epoch: 7,
    maps,
    memberIds: [1, 2, 3],
    lineageUuid: LINEAGE,
    clientInstance: CLIENT,
    clientName: 'client-1',
    inSyncLegs: () => legs.slice(0, 2),
    leftBefore: () => [],
    markOwed: (memberId) => void owedJudged.push(memberId),
    heard: (leg, { age }) => void heard.push(`${leg.member.memberId}: ${age}`),
    knowledge: () => null,
    answeredSeqs: new Float64Array(8),
    rolledBack: () => rolledBack,
    unfit: () => unfit,
    refreshMaps: (done) => refreshMaps(done),
    onMapsChanged: () => void told.push('maps changed'),
    quiesce: (onQuiet) => {
      told.push('quiesce');
      quiet = onQuiet;
      if (takePart) for (const member of [1, 2]) session(member).next('freeze').answer();
    },
    grow: (leg, columns, newLineage, erase, durable) => {
      told.push(`grow ${leg.member.memberId}`);
      grown = { columns, newLineage, erase, durable };
    },
    joined: (leg, version) => void told.push(`joined ${leg.member.memberId} ${version.seq}`),
    recording: () => recording,
    holdMsMax: 600,
    gaveUp: (_leg, reason, failure, isOld, heldUp) => {
      const how = `gave up${returning.updatesMaps ? ', held' : ''}${isOld ? ', old' : ''}${heldUp ? ', held up' : ''}`;
      told.push(`${how}: ${failure?.code ?? 'no code'}: ${reason}`);
    },
  };
  returning = new LegReturn(host, legs[2] as Leg);
});

describe('leg return (L3): the order', () => {
  test('probe, claim, copy the maps, hold, copy the rest, record, enable; and then it is back', () => {
    maps.of(1).set(5, 1);
    returning.start();
    expect([open(), legs[2]?.state]).toEqual([['probe 3'], 'FAILED']);
    member3().next('probe').answer(PROBE);
    expect([open(), legs[2]?.state, legs[2]?.poolHandle]).toEqual([['claim 3'], 'RECONNECTING', 9]);
    expect(member3().calls[0]?.request).toMatchObject({ epoch: 7, clientInstance: CLIENT, takeover: false });
    member3().next('claim').answer(CLAIM);
    expect(open()).toEqual(['map-stage 1', 'map-stage 2', 'map-stage 3']);
    expect(told).toEqual(['maps changed']);
    expect(stageAll().sort()).toEqual([
      '1 gets column 2: 0',
      '1 gets column 3: 0',
      '2 gets column 1: 1',
      '2 gets column 3: 0',
      '3 gets column 1: 1',
      '3 gets column 2: 0',
      '3 gets column 3: 0',
    ]);
    expect([told, open(), returning.updatesMaps]).toEqual([['maps changed', 'quiesce'], [], true]);
    // A write that was in flight has ended meanwhile: the returning member misses it.
    maps.of(3).set(8, 2);
    quiet?.();
    expect(stageAll().sort()).toEqual(['1 gets column 3: 1', '2 gets column 3: 1', '3 gets column 3: 1']);
    expect([told.at(-1), open()]).toEqual(['grow 3', []]);
    grown?.durable(version(5, [1, 2, 3]));
    expect([open(), told.at(-1)]).toEqual([['enable 3'], 'grow 3']);
    const enable = member3().next('enable');
    expect(enable.request).toMatchObject({ epoch: 7, versionSeq: 5 });
    enable.answer();
    expect(told).toEqual(['maps changed', 'quiesce', 'grow 3', 'joined 3 5']);
  });

  test('V3, I8: the record brings all columns into use on the member, and all but theirs on the others, by their digests', () => {
    maps.of(1).set(1, 1);
    maps.of(3).set(9, 1);
    upTo('record');
    const digest = (memberId: number) => ({ memberId, digest: maps.of(memberId).digest() });
    expect(legs.map((leg) => grown?.columns.get(leg))).toEqual([
      [digest(2), digest(3)],
      [digest(1), digest(3)],
      [digest(1), digest(2), digest(3)],
    ]);
    expect(grown?.newLineage).toBe(false);
  });

  test('the map of a member that was removed meanwhile goes from it with the record', () => {
    upTo('claim');
    const columns = [2, 5, 3].map((memberId) => ({ memberId, dirtyChunks: 3, digest: '3-0' }));
    member3()
      .next('claim')
      .answer({ ...CLAIM, columns });
    stageAll();
    quiet?.();
    stageAll();
    expect(grown?.erase).toEqual([5]);
  });

  test('V3: what changes while the last of the maps is handed over is handed over before the record', () => {
    upTo('rest of stage');
    expect(open()).toEqual(['map-stage 2', 'map-stage 3']);
    session(2).next('map-stage').answer();
    // An owed add is made while the other members have got the column already, and a map check clears a chunk.
    maps.of(3).set(70, 1);
    member3().next('map-stage').answer();
    maps.of(1).clear(0, 1);
    expect(open()).toEqual(['map-stage 3']);
    member3().next('map-stage').answer();
    expect([told.includes('grow 3'), open()]).toEqual([false, ['map-stage 1', 'map-stage 2', 'map-stage 3']]);
    stageAll();
    expect(told.at(-1)).toBe('grow 3');
    expect(grown?.columns.get(legs[0] as Leg)?.at(-1)).toEqual({ memberId: 3, digest: maps.of(3).digest() });
  });

  test('L4: the version waits until every in-sync member has heard of the map update that it ends', () => {
    takePart = false;
    upTo('quiesce');
    quiet?.();
    session(1).next('freeze').answer();
    expect([told.at(-1), open()]).toEqual(['quiesce', ['freeze 2']]);
    session(2).next('freeze').answer();
    expect(told.at(-1)).toBe('grow 3');
  });

  test('L4: a member that does not take part in the map update ends the return', () => {
    takePart = false;
    upTo('quiesce');
    session(1).next('freeze').refuse('STORE_ERROR');
    session(2).next('freeze').answer();
    quiet?.();
    expect(told.slice(-2)).toEqual(['quiesce', expect.stringContaining('gave up, held')]);
  });

  test('I12, L4: maps that change all the time do not hold IO for ever', () => {
    upTo('rest of stage');
    for (let i = 1; i < 100 && !told.some((line) => line.startsWith('gave up')); i++) {
      session(2).next('map-stage').answer();
      maps.of(1).set(i * 2, 1);
      member3().next('map-stage').answer();
    }
    expect(told.slice(-2)).toEqual(['quiesce', expect.stringContaining('gave up, held')]);
  });

  test('◆14: the member’s own maps are not asked for', () => {
    returning.start();
    STEPS['claim']?.();
    const columns = [{ memberId: 1, dirtyChunks: 3, digest: '3-0' }];
    member3()
      .next('claim')
      .answer({ ...CLAIM, version: version(1, [1, 2, 3]), columns });
    expect(open()).toEqual(['map-stage 1', 'map-stage 2', 'map-stage 3']);
  });

  test('◆18, ◆19: what it may lack is dirty for it before the maps are copied', () => {
    upTo('claim');
    const lastIo = [{ offsetBytes: 2 * CHUNK, lengthBytes: 1 }];
    const intent = [{ offsetBytes: 4 * CHUNK, lengthBytes: CHUNK }];
    member3()
      .next('claim')
      .answer({ ...CLAIM, lastIo, intent, volatileLost: true });
    expect(maps.of(3).runs(9)).toEqual([
      { first: 2, count: 1 },
      { first: 4, count: 1 },
    ]);
    expect(told).toEqual(['maps changed']);
    expect(stageAll()).toContain('1 gets column 3: 1');
  });

  test.each([
    ['in this epoch, I8: what it has of this client was marked when it left, or is owed', 7, []],
    ['in a former one, ◆18: it may have something of a client that is gone', 6, [{ first: 2, count: 1 }]],
  ])('a member that was enabled %s', (_why, epoch, marked) => {
    const leg = legs[2] as Leg;
    leg.setState('RECONNECTING', 'claimed');
    leg.enabled({ ...version(4, [1, 2, 3]), epoch });
    leg.setState('FAILED', 'cut');
    upTo('claim');
    member3()
      .next('claim')
      .answer({ ...CLAIM, lastIo: [{ offsetBytes: 2 * CHUNK, lengthBytes: 1 }] });
    expect(maps.of(3).runs(9)).toEqual(marked);
  });

  test('I2: what it has of this client, and nobody in sync has, is marked for the others that are away', () => {
    takePart = false;
    legs[1]?.setState('FAILED', 'cut');
    host = { ...host, inSyncLegs: () => legs.slice(0, 1) };
    const leg = legs[2] as Leg;
    leg.setState('RECONNECTING', 'claimed');
    leg.enabled(version(4, [1, 2, 3]));
    leg.setState('FAILED', 'cut');
    // Member 1 lacks one of the two.
    maps.of(1).set(2, 1);
    returning = new LegReturn(host, leg);
    upTo('claim');
    member3()
      .next('claim')
      .answer({ ...CLAIM, lastIo: [{ offsetBytes: 2 * CHUNK, lengthBytes: 2 * CHUNK }] });
    stageAll();
    quiet?.();
    session(1).next('freeze').answer();
    expect([maps.of(2).runs(9), maps.of(3).dirtyCount]).toEqual([[{ first: 2, count: 1 }], 0]);
  });

  test('◆18, V5: what it may lack, and is owed, is judged by maps that the others have brought to the truth, and after its grant', () => {
    let refreshed: (known: boolean) => void = () => {};
    refreshMaps = (done) => {
      told.push('refresh');
      refreshed = done;
    };
    maps.of(1).set(2, 1);
    maps.of(2).set(2, 1);
    upTo('claim');
    expect(told).toEqual([]);
    member3()
      .next('claim')
      .answer({ ...CLAIM, lastIo: [{ offsetBytes: 2 * CHUNK, lengthBytes: 1 }] });
    expect([told, open(), owedJudged]).toEqual([['refresh'], [], []]);
    // Member 1 has pulled the chunk meanwhile, and says so.
    maps.of(1).clear(2, 1);
    refreshed(true);
    expect([maps.of(3).test(2), told, open().length, owedJudged]).toEqual([true, ['refresh', 'maps changed'], 3, [3]]);
  });

  test('a store of a lineage that was left behind has nothing that counts: all of it is dirty', () => {
    upTo('claim');
    const former = version(9, [1, 2, 3], OTHER_LINEAGE);
    member3()
      .next('claim')
      .answer({ ...CLAIM, version: former });
    expect(maps.of(3).dirtyCount).toBe(maps.chunkCount);
    stageAll();
    quiet?.();
    stageAll();
    expect(grown?.newLineage).toBe(true);
  });

  /** Ends a round of copying; so many leaves change while its last message is on its way. */
  function endRound(round: number, changedLeaves: number): void {
    for (const memberId of [1, 2]) while (session(memberId).calls.length > 0) session(memberId).next('map-stage').answer();
    for (let column = round === 1 ? 2 : 0; column > 0; column--) member3().next('map-stage').answer();
    for (let leaf = 0; leaf < changedLeaves; leaf++) maps.of(1).set(leaf * CHUNKS_PER_LEAF + round, 1);
    member3().next('map-stage').answer();
  }

  test('L4: IO is held when little is left to copy', () => {
    upTo('stage');
    endRound(1, SPREAD_REST_LEAVES + 1);
    expect([told.includes('quiesce'), open()]).toEqual([false, ['map-stage 2', 'map-stage 3']]);
    // Two of the members get what has changed.
    endRound(2, SPREAD_REST_LEAVES / 2);
    expect([told.at(-1), open()]).toEqual(['quiesce', []]);
  });

  test('L4, I12: however much changes, IO is held after so many rounds', () => {
    upTo('stage');
    for (let round = 1; round <= SPREAD_ROUNDS_MAX; round++) {
      expect(told.includes('quiesce')).toBe(false);
      endRound(round, SPREAD_REST_LEAVES + 1);
    }
    expect(told.at(-1)).toBe('quiesce');
  });
});

describe('leg return: every failure ends it once', () => {
  const refuse = (op: 'probe' | 'claim' | 'map-stage' | 'enable', memberId = 3): void =>
    session(memberId).next(op).refuse('BAD_STATE', 'no');

  test.each<[string, string, () => void, string]>([
    ['no answer to the probe', 'probe', () => member3().next('probe').drop(), 'gave up: no code: member 3'],
    ['a refused probe', 'probe', () => refuse('probe'), 'gave up: BAD_STATE: member 3 (storage-3): no'],
    ['a garbled probe', 'probe', () => member3().next('probe').garble(), 'gave up: no code: '],
    ['a refused claim', 'claim', () => refuse('claim'), 'gave up: BAD_STATE: '],
    ['no answer to the claim', 'claim', () => member3().next('claim').drop(), 'gave up: no code: '],
    ['a newer client, at the claim', 'claim', () => member3().next('claim').refuse('STALE_EPOCH'), 'gave up: STALE_EPOCH: '],
    ['a map that the member refuses', 'stage', () => refuse('map-stage'), 'gave up: no code: member 3 (storage-3) did not take over'],
    [
      'a map that another member refuses',
      'stage',
      () => refuse('map-stage', 1),
      'gave up: no code: member 1 (storage-1) did not take over',
    ],
    [
      'the rest of a map refused',
      'rest of stage',
      () => refuse('map-stage'),
      'gave up, held: no code: member 3 (storage-3) did not take over',
    ],
    ['a refused enable', 'enable', () => refuse('enable'), 'gave up, held: BAD_STATE: version 7.5{1,2,3}: member 3'],
    ['no answer to the enable', 'enable', () => member3().next('enable').drop(), 'gave up, held: no code: version 7.5'],
  ])('%s', (_name, step, fail, said) => {
    upTo(step);
    fail();
    const gaveUp = told.filter((line) => line.startsWith('gave up'));
    expect(gaveUp).toEqual([expect.stringContaining(said)]);
    expect(returning.updatesMaps).toBe(said.includes('held'));
    // What comes later changes nothing, and nothing more is sent.
    const before = told.length;
    for (const { calls } of sessions) for (const call of calls.splice(0)) call.refuse('BAD_MAP');
    if (step === 'stage') quiet?.();
    grown?.durable(version(6, [1, 2, 3]));
    expect([told.length, open()]).toEqual([before, []]);
  });

  test('maps that the others did not bring to the truth', () => {
    refreshMaps = (done) => done(false);
    upTo('stage');
    expect([told, open(), returning.updatesMaps]).toEqual([
      ['gave up: no code: the other members did not say what they have clean'],
      [],
      false,
    ]);
  });

  test('a member that is not fit does not get as far as a claim', () => {
    unfit = 'it has another store';
    upTo('claim');
    expect([told, open()]).toEqual([['gave up: no code: it has another store'], []]);
    expect(legs[2]?.state).toBe('FAILED');
  });

  test('one that refuses beside one that answers: it gives up once', () => {
    upTo('stage');
    session(1).next('map-stage').refuse('BAD_MAP');
    session(2).next('map-stage').refuse('BAD_MAP');
    member3().next('map-stage').answer();
    expect(told.filter((line) => line.startsWith('gave up')).length).toBe(1);
    expect(open()).toEqual([]);
  });
});

describe('leg return (L4): a member that does not answer while IO is held', () => {
  /** So many milliseconds pass, in ticks. */
  const pass = (ms: number): void => {
    for (const endMs = nowMs + ms; nowMs < endMs; returning.tick(nowMs)) nowMs += 50;
  };
  const gaveUp = () => told.filter((line) => line.startsWith('gave up'));
  let nowMs: number;

  beforeEach(() => {
    nowMs = 1_000;
  });

  const onlyThe3rdIsAwaited = (step: string): void => {
    upTo(step);
    if (step === 'rest of stage')
      for (const memberId of [1, 2]) while (session(memberId).calls.length > 0) session(memberId).next('map-stage').answer();
    if (step === 'record') recording = new Set([legs[2] as Leg]);
  };

  test.each(['rest of stage', 'record', 'enable'])('costs clients no more than its time, then the return is given up: %s', (step) => {
    onlyThe3rdIsAwaited(step);
    pass(600);
    expect([gaveUp(), open().length > 0 || step === 'record']).toEqual([[], true]);
    pass(100);
    expect(gaveUp()).toEqual([expect.stringMatching(/^gave up, held, held up: no code: its return held up IO for 600 ms/)]);
    // What comes late changes nothing.
    for (const { calls } of sessions) for (const call of calls.splice(0)) call.answer();
    grown?.durable(version(6, [1, 2, 3]));
    pass(5_000);
    expect([gaveUp().length, told.some((line) => line.startsWith('joined')), open()]).toEqual([1, false, []]);
  });

  test.each(['probe', 'claim', 'stage'])('has all the time while IO goes on: %s', (step) => {
    upTo(step);
    pass(10_000);
    expect(gaveUp()).toEqual([]);
  });

  test.each(['quiesce', 'rest of stage', 'record'])('is not blamed for what members in sync take: %s', (step) => {
    upTo(step);
    if (step === 'record') recording = new Set(legs.slice(0, 1));
    pass(10_000);
    if (step === 'record') recording = new Set([legs[0] as Leg, legs[2] as Leg]);
    pass(10_000);
    expect(gaveUp()).toEqual([]);
  });

  test('is not blamed for the time in which this process did not run', () => {
    onlyThe3rdIsAwaited('enable');
    pass(300);
    for (let pause = 0; pause < 10; pause++) {
      nowMs += 5_000;
      returning.tick(nowMs);
    }
    expect(gaveUp()).toEqual([]);
    pass(350);
    expect(gaveUp().length).toBe(1);
  });
});

describe('leg return: the store went back in time (L8)', () => {
  const older: RolledBack = { why: 'has a store that is older', newerAtMs: null };

  const gaveUp = 'gave up, old: no code: member 3 (storage-3) has a store that is older';

  test('what the answer to the probe shows: nothing is claimed', () => {
    rolledBack = older;
    upTo('claim');
    expect([told, open(), heard]).toEqual([[gaveUp], [], []]);
    expect([legs[2]?.rolledBack, legs[2]?.state]).toEqual([older, 'FAILED']);
  });

  test('what the grant shows counts: the return ends, and nothing is marked or copied', () => {
    upTo('claim');
    rolledBack = older;
    member3().next('claim').answer(CLAIM);
    expect([told, open(), heard, maps.of(3).dirtyCount]).toEqual([[gaveUp], [], [], 0]);
    expect(legs[2]?.rolledBack).toBe(older);
  });

  test('what is known when the member is asked counts, for each of its answers: what is heard meanwhile may be younger', () => {
    const judgedBy: (VersionMemory | null)[] = [];
    const memoryOf = (seq: number): VersionMemory => ({ durable: version(seq, [1, 2]), attempts: [], members: [], policy: POLICY });
    const memories = [1, 2, 3].map(memoryOf);
    let known: VersionMemory | null = null;
    host = Object.assign(host, {
      knowledge: () => known,
      rolledBack: (_leg: Leg, _store: unknown, by: VersionMemory | null) => {
        judgedBy.push(by);
        return null;
      },
    });
    const steps = [() => returning.start(), () => member3().next('probe').answer(PROBE), () => member3().next('claim').answer(CLAIM)];
    for (const [index, step] of steps.entries()) {
      known = memories[index] as VersionMemory;
      step();
    }
    expect(judgedBy).toEqual(memories.slice(0, 2));
  });

  test('that it was old is told until it is back, though it is what it was again', () => {
    Object.assign(legs[2] as Leg, { probe: PROBE, rolledBack: older });
    upTo('stage');
    expect([told, legs[2]?.rolledBack]).toEqual([['maps changed'], older]);
  });

  test('how old it is by the grant is remembered, where nobody knows better', () => {
    upTo('stage');
    expect([heard, legs[2]?.rolledBack]).toEqual([['3: 20'], null]);
  });

  test.each([
    ['it does not answer', () => member3().next('probe').drop()],
    ['its store is not open', () => member3().next('probe').refuse('UNKNOWN_POOL')],
  ])('what was found before says nothing of what is there now: %s', (_name, fail) => {
    Object.assign(legs[2] as Leg, { rolledBack: older });
    returning.start();
    fail();
    expect([told.length, legs[2]?.rolledBack]).toEqual([1, null]);
  });
});

describe('leg return: a chunk that nobody in sync has (I2)', () => {
  const lastIo = [{ offsetBytes: 2 * CHUNK, lengthBytes: 2 * CHUNK }];
  const marked = () => [2, 3].filter((chunk) => maps.of(4).test(chunk));

  beforeEach(() => {
    // Chunk 2 is dirty for both that are in sync; member 4 is away too, and has it as member 3 has.
    host = Object.assign(host, { memberIds: [1, 2, 3, 4] });
    for (const memberId of [1, 2]) maps.of(memberId).set(2, 1);
    returning.start();
    member3().next('probe').answer(PROBE);
    member3()
      .next('claim')
      .answer({ ...CLAIM, lastIo });
    stageAll();
  });

  test('the others that are away may lack a write there: they are marked with the version of the return, not before', () => {
    expect([maps.of(3).test(2), maps.of(3).test(3), marked()]).toEqual([false, true, []]);
    quiet?.();
    expect(marked()).toEqual([2]);
    expect(stageAll()).toContain('1 gets column 4: 1');
    grown?.durable(version(5, [1, 2, 3]));
    returning.cancel();
    expect(marked()).toEqual([2]);
  });

  test('a return that is broken off before its version is durable leaves no marks on them: they may have the last clean copy', () => {
    quiet?.();
    stageAll();
    returning.cancel();
    expect(marked()).toEqual([]);
  });

  test('what was overwritten since is no matter of the member any more', () => {
    maps.of(1).clear(2, 1);
    maps.of(3).set(2, 1);
    quiet?.();
    expect(marked()).toEqual([]);
  });
});

describe('leg return: cancelled', () => {
  test.each(Object.keys(STEPS))('during %s: nothing more is said or sent', (step) => {
    upTo(step);
    returning.cancel();
    const before = told.length;
    for (const { calls } of sessions) {
      for (const call of calls.splice(0)) {
        if (call.request.op === 'probe') call.answer(PROBE);
        else if (call.request.op === 'claim') call.answer(CLAIM);
        else call.answer();
      }
    }
    if (step === 'quiesce') quiet?.();
    if (step === 'record') grown?.durable(version(5, [1, 2, 3]));
    expect([told.length, open()]).toEqual([before, []]);
  });

  test('while the others are asked what they have clean: nothing more is said or sent', () => {
    let refreshed: (known: boolean) => void = () => {};
    refreshMaps = (done) => {
      refreshed = done;
    };
    upTo('stage');
    returning.cancel();
    refreshed(true);
    refreshed(false);
    expect([told, open()]).toEqual([[], []]);
  });

  test('what it has begun only a version ends: that is told by `held`', () => {
    const held: boolean[] = [];
    for (const step of Object.keys(STEPS)) {
      STEPS[step]?.();
      held.push(returning.updatesMaps);
    }
    returning.cancel();
    expect([held, returning.updatesMaps]).toEqual([[false, false, false, true, true, true, true], true]);
  });
});
