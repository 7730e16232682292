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

/** A return of member 3 to a pool that members 1 and 2 serve, and what the test has its host say. */
class ReturnRig {
  readonly sessions = [new ScriptedSession(), new ScriptedSession(), new ScriptedSession()];
  readonly legs = this.sessions.map(({ shared }, index) => {
    const member = { memberId: index + 1, name: `storage-${index + 1}`, addresses: [`memory:${index + 1}`] };
    return new Leg(index, member, shared, SILENT_LOGGER, () => 0);
  });
  readonly maps = new PoolMaps(LEAVES * CHUNKS_PER_LEAF * CHUNK, CHUNK);
  /** What the host was told, in order. */
  told: string[] = [];
  /** The members of which it was judged what is owed for them. */
  readonly owedJudged: number[] = [];
  unfit = '';
  /** L8: what members have told of the age of their stores, and what is known better. */
  readonly heard: string[] = [];
  rolledBack: RolledBack | null = null;
  /** Whether members answer at once that a map update is ahead. */
  takePart = true;
  quiet: (() => void) | null = null;
  grown: {
    columns: ReadonlyMap<Leg, readonly ColumnDigest[]>;
    newLineage: boolean;
    erase: readonly number[];
    durable: (version: VersionRecord) => void;
  } | null = null;
  refreshMaps: ReturnHost['refreshMaps'] = (done) => done(true);
  /** The legs that have not recorded the version yet. */
  recording = new Set<Leg>();
  host: ReturnHost;
  returning: LegReturn;

  constructor() {
    for (const leg of this.legs.slice(0, 2)) leg.setState('NORMAL', 'enabled');
    this.legs[2]?.setState('FAILED', 'cut');
    this.host = {
      poolUuid: POOL,
      epoch: 7,
      maps: this.maps,
      memberIds: [1, 2, 3],
      lineageUuid: LINEAGE,
      clientInstance: CLIENT,
      clientName: 'client-1',
      inSyncLegs: () => this.legs.slice(0, 2),
      leftBefore: () => [],
      markOwed: (memberId) => void this.owedJudged.push(memberId),
      heard: (leg, { age }) => void this.heard.push(`${leg.member.memberId}: ${age}`),
      knowledge: () => null,
      answeredSeqs: new Float64Array(8),
      rolledBack: () => this.rolledBack,
      unfit: () => this.unfit,
      refreshMaps: (done) => this.refreshMaps(done),
      onMapsChanged: () => void this.told.push('maps changed'),
      quiesce: (onQuiet) => {
        this.told.push('quiesce');
        this.quiet = onQuiet;
        if (this.takePart) for (const member of [1, 2]) this.sessions[member - 1]?.next('freeze').answer();
      },
      grow: (leg, columns, newLineage, erase, durable) => {
        this.told.push(`grow ${leg.member.memberId}`);
        this.grown = { columns, newLineage, erase, durable };
      },
      joined: (leg, version) => void this.told.push(`joined ${leg.member.memberId} ${version.seq}`),
      recording: () => this.recording,
      holdMsMax: 600,
      gaveUp: (_leg, reason, failure, isOld, heldUp) => {
        const how = `gave up${this.returning.updatesMaps ? ', held' : ''}${isOld ? ', old' : ''}${heldUp ? ', held up' : ''}`;
        this.told.push(`${how}: ${failure?.code ?? 'no code'}: ${reason}`);
      },
    };
    this.returning = new LegReturn(this.host, this.legs[2] as Leg);
  }
}

let rig: ReturnRig;

const session = (memberId: number): ScriptedSession => rig.sessions[memberId - 1] as ScriptedSession;
const member3 = (): ScriptedSession => session(3);
/** All requests without an answer. */
const open = (): string[] => rig.sessions.flatMap(({ ops }, index) => ops.map((op) => `${op} ${index + 1}`));

/** Answers all staging that is under way, and what follows of it; returns what it was. */
function stageAll(): string[] {
  const staged: string[] = [];
  for (let again = true; again; ) {
    again = false;
    for (const [index, { calls }] of rig.sessions.entries()) {
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
  probe: () => rig.returning.start(),
  claim: () => member3().next('probe').answer(PROBE),
  stage: () => member3().next('claim').answer(CLAIM),
  quiesce: () => void stageAll(),
  'rest of stage': () => {
    rig.maps.of(1).set(0, 1);
    rig.quiet?.();
  },
  record: () => void stageAll(),
  enable: () => rig.grown?.durable(version(5, [1, 2, 3])),
};

/** Goes on until `step` is under way. */
function upTo(step: string): void {
  for (const [name, run] of Object.entries(STEPS)) {
    run();
    if (name === step) return;
  }
}

beforeEach(() => {
  rig = new ReturnRig();
});

describe('leg return (L3): the order', () => {
  test('probe, claim, copy the maps, hold, copy the rest, record, enable; and then it is back', () => {
    rig.maps.of(1).set(5, 1);
    rig.returning.start();
    expect([open(), rig.legs[2]?.state]).toEqual([['probe 3'], 'FAILED']);
    member3().next('probe').answer(PROBE);
    expect([open(), rig.legs[2]?.state, rig.legs[2]?.poolHandle]).toEqual([['claim 3'], 'RECONNECTING', 9]);
    expect(member3().calls[0]?.request).toMatchObject({ epoch: 7, clientInstance: CLIENT, takeover: false });
    member3().next('claim').answer(CLAIM);
    expect(open()).toEqual(['map-stage 1', 'map-stage 2', 'map-stage 3']);
    expect(rig.told).toEqual(['maps changed']);
    expect(stageAll().sort()).toEqual([
      '1 gets column 2: 0',
      '1 gets column 3: 0',
      '2 gets column 1: 1',
      '2 gets column 3: 0',
      '3 gets column 1: 1',
      '3 gets column 2: 0',
      '3 gets column 3: 0',
    ]);
    expect([rig.told, open(), rig.returning.updatesMaps]).toEqual([['maps changed', 'quiesce'], [], true]);
    // A write that was in flight has ended meanwhile: the returning member misses it.
    rig.maps.of(3).set(8, 2);
    rig.quiet?.();
    expect(stageAll().sort()).toEqual(['1 gets column 3: 1', '2 gets column 3: 1', '3 gets column 3: 1']);
    expect([rig.told.at(-1), open()]).toEqual(['grow 3', []]);
    rig.grown?.durable(version(5, [1, 2, 3]));
    expect([open(), rig.told.at(-1)]).toEqual([['enable 3'], 'grow 3']);
    const enable = member3().next('enable');
    expect(enable.request).toMatchObject({ epoch: 7, versionSeq: 5 });
    enable.answer();
    expect(rig.told).toEqual(['maps changed', 'quiesce', 'grow 3', 'joined 3 5']);
  });

  test('V3, I8: the record brings all columns into use on the member, and all but theirs on the others, by their digests', () => {
    rig.maps.of(1).set(1, 1);
    rig.maps.of(3).set(9, 1);
    upTo('record');
    const digest = (memberId: number) => ({ memberId, digest: rig.maps.of(memberId).digest() });
    expect(rig.legs.map((leg) => rig.grown?.columns.get(leg))).toEqual([
      [digest(2), digest(3)],
      [digest(1), digest(3)],
      [digest(1), digest(2), digest(3)],
    ]);
    expect(rig.grown?.newLineage).toBe(false);
  });

  test('the map of a member that was removed meanwhile goes from it with the record', () => {
    upTo('claim');
    const columns = [2, 5, 3].map((memberId) => ({ memberId, dirtyChunks: 3, digest: '3-0' }));
    member3()
      .next('claim')
      .answer({ ...CLAIM, columns });
    stageAll();
    rig.quiet?.();
    stageAll();
    expect(rig.grown?.erase).toEqual([5]);
  });

  test('V3: what changes while the last of the maps is handed over is handed over before the record', () => {
    upTo('rest of stage');
    expect(open()).toEqual(['map-stage 2', 'map-stage 3']);
    session(2).next('map-stage').answer();
    // An owed add is made while the other members have got the column already, and a map check clears a chunk.
    rig.maps.of(3).set(70, 1);
    member3().next('map-stage').answer();
    rig.maps.of(1).clear(0, 1);
    expect(open()).toEqual(['map-stage 3']);
    member3().next('map-stage').answer();
    expect([rig.told.includes('grow 3'), open()]).toEqual([false, ['map-stage 1', 'map-stage 2', 'map-stage 3']]);
    stageAll();
    expect(rig.told.at(-1)).toBe('grow 3');
    expect(rig.grown?.columns.get(rig.legs[0] as Leg)?.at(-1)).toEqual({ memberId: 3, digest: rig.maps.of(3).digest() });
  });

  test('L4: the version waits until every in-sync member has heard of the map update that it ends', () => {
    rig.takePart = false;
    upTo('quiesce');
    rig.quiet?.();
    session(1).next('freeze').answer();
    expect([rig.told.at(-1), open()]).toEqual(['quiesce', ['freeze 2']]);
    session(2).next('freeze').answer();
    expect(rig.told.at(-1)).toBe('grow 3');
  });

  test('L4: a member that does not take part in the map update ends the return', () => {
    rig.takePart = false;
    upTo('quiesce');
    session(1).next('freeze').refuse('STORE_ERROR');
    session(2).next('freeze').answer();
    rig.quiet?.();
    expect(rig.told.slice(-2)).toEqual(['quiesce', expect.stringContaining('gave up, held')]);
  });

  test('I12, L4: maps that change all the time do not hold IO for ever', () => {
    upTo('rest of stage');
    for (let i = 1; i < 100 && !rig.told.some((line) => line.startsWith('gave up')); i++) {
      session(2).next('map-stage').answer();
      rig.maps.of(1).set(i * 2, 1);
      member3().next('map-stage').answer();
    }
    expect(rig.told.slice(-2)).toEqual(['quiesce', expect.stringContaining('gave up, held')]);
  });

  test('◆14: the member’s own maps are not asked for', () => {
    rig.returning.start();
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
    expect(rig.maps.of(3).runs(9)).toEqual([
      { first: 2, count: 1 },
      { first: 4, count: 1 },
    ]);
    expect(rig.told).toEqual(['maps changed']);
    expect(stageAll()).toContain('1 gets column 3: 1');
  });

  test.each([
    ['in this epoch, I8: what it has of this client was marked when it left, or is owed', 7, []],
    ['in a former one, ◆18: it may have something of a client that is gone', 6, [{ first: 2, count: 1 }]],
  ])('a member that was enabled %s', (_why, epoch, marked) => {
    const leg = rig.legs[2] as Leg;
    leg.setState('RECONNECTING', 'claimed');
    leg.enabled({ ...version(4, [1, 2, 3]), epoch });
    leg.setState('FAILED', 'cut');
    upTo('claim');
    member3()
      .next('claim')
      .answer({ ...CLAIM, lastIo: [{ offsetBytes: 2 * CHUNK, lengthBytes: 1 }] });
    expect(rig.maps.of(3).runs(9)).toEqual(marked);
  });

  test('I2: what it has of this client, and nobody in sync has, is marked for the others that are away', () => {
    rig.takePart = false;
    rig.legs[1]?.setState('FAILED', 'cut');
    rig.host = { ...rig.host, inSyncLegs: () => rig.legs.slice(0, 1) };
    const leg = rig.legs[2] as Leg;
    leg.setState('RECONNECTING', 'claimed');
    leg.enabled(version(4, [1, 2, 3]));
    leg.setState('FAILED', 'cut');
    // Member 1 lacks one of the two.
    rig.maps.of(1).set(2, 1);
    rig.returning = new LegReturn(rig.host, leg);
    upTo('claim');
    member3()
      .next('claim')
      .answer({ ...CLAIM, lastIo: [{ offsetBytes: 2 * CHUNK, lengthBytes: 2 * CHUNK }] });
    stageAll();
    rig.quiet?.();
    session(1).next('freeze').answer();
    expect([rig.maps.of(2).runs(9), rig.maps.of(3).dirtyCount]).toEqual([[{ first: 2, count: 1 }], 0]);
  });

  test('◆18, V5: what it may lack, and is owed, is judged by maps that the others have brought to the truth, and after its grant', () => {
    let refreshed: (known: boolean) => void = () => {};
    rig.refreshMaps = (done) => {
      rig.told.push('refresh');
      refreshed = done;
    };
    rig.maps.of(1).set(2, 1);
    rig.maps.of(2).set(2, 1);
    upTo('claim');
    expect(rig.told).toEqual([]);
    member3()
      .next('claim')
      .answer({ ...CLAIM, lastIo: [{ offsetBytes: 2 * CHUNK, lengthBytes: 1 }] });
    expect([rig.told, open(), rig.owedJudged]).toEqual([['refresh'], [], []]);
    // Member 1 has pulled the chunk meanwhile, and says so.
    rig.maps.of(1).clear(2, 1);
    refreshed(true);
    expect([rig.maps.of(3).test(2), rig.told, open().length, rig.owedJudged]).toEqual([true, ['refresh', 'maps changed'], 3, [3]]);
  });

  test('a store of a lineage that was left behind has nothing that counts: all of it is dirty', () => {
    upTo('claim');
    const former = version(9, [1, 2, 3], OTHER_LINEAGE);
    member3()
      .next('claim')
      .answer({ ...CLAIM, version: former });
    expect(rig.maps.of(3).dirtyCount).toBe(rig.maps.chunkCount);
    stageAll();
    rig.quiet?.();
    stageAll();
    expect(rig.grown?.newLineage).toBe(true);
  });

  /** Ends a round of copying; so many leaves change while its last message is on its way. */
  function endRound(round: number, changedLeaves: number): void {
    for (const memberId of [1, 2]) while (session(memberId).calls.length > 0) session(memberId).next('map-stage').answer();
    for (let column = round === 1 ? 2 : 0; column > 0; column--) member3().next('map-stage').answer();
    for (let leaf = 0; leaf < changedLeaves; leaf++) rig.maps.of(1).set(leaf * CHUNKS_PER_LEAF + round, 1);
    member3().next('map-stage').answer();
  }

  test('L4: IO is held when little is left to copy', () => {
    upTo('stage');
    endRound(1, SPREAD_REST_LEAVES + 1);
    expect([rig.told.includes('quiesce'), open()]).toEqual([false, ['map-stage 2', 'map-stage 3']]);
    // Two of the members get what has changed.
    endRound(2, SPREAD_REST_LEAVES / 2);
    expect([rig.told.at(-1), open()]).toEqual(['quiesce', []]);
  });

  test('L4, I12: however much changes, IO is held after so many rounds', () => {
    upTo('stage');
    for (let round = 1; round <= SPREAD_ROUNDS_MAX; round++) {
      expect(rig.told.includes('quiesce')).toBe(false);
      endRound(round, SPREAD_REST_LEAVES + 1);
    }
    expect(rig.told.at(-1)).toBe('quiesce');
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
    const gaveUp = rig.told.filter((line) => line.startsWith('gave up'));
    expect(gaveUp).toEqual([expect.stringContaining(said)]);
    expect(rig.returning.updatesMaps).toBe(said.includes('held'));
    // What comes later changes nothing, and nothing more is sent.
    const before = rig.told.length;
    for (const { calls } of rig.sessions) for (const call of calls.splice(0)) call.refuse('BAD_MAP');
    if (step === 'stage') rig.quiet?.();
    rig.grown?.durable(version(6, [1, 2, 3]));
    expect([rig.told.length, open()]).toEqual([before, []]);
  });

  test('maps that the others did not bring to the truth', () => {
    rig.refreshMaps = (done) => done(false);
    upTo('stage');
    expect([rig.told, open(), rig.returning.updatesMaps]).toEqual([
      ['gave up: no code: the other members did not say what they have clean'],
      [],
      false,
    ]);
  });

  test('a member that is not fit does not get as far as a claim', () => {
    rig.unfit = 'it has another store';
    upTo('claim');
    expect([rig.told, open()]).toEqual([['gave up: no code: it has another store'], []]);
    expect(rig.legs[2]?.state).toBe('FAILED');
  });

  test('one that refuses beside one that answers: it gives up once', () => {
    upTo('stage');
    session(1).next('map-stage').refuse('BAD_MAP');
    session(2).next('map-stage').refuse('BAD_MAP');
    member3().next('map-stage').answer();
    expect(rig.told.filter((line) => line.startsWith('gave up')).length).toBe(1);
    expect(open()).toEqual([]);
  });
});

describe('leg return (L4): a member that does not answer while IO is held', () => {
  /** So many milliseconds pass, in ticks. */
  const pass = (ms: number): void => {
    for (const endMs = nowMs + ms; nowMs < endMs; rig.returning.tick(nowMs)) nowMs += 50;
  };
  const gaveUp = () => rig.told.filter((line) => line.startsWith('gave up'));
  let nowMs: number;

  beforeEach(() => {
    nowMs = 1_000;
  });

  const onlyThe3rdIsAwaited = (step: string): void => {
    upTo(step);
    if (step === 'rest of stage')
      for (const memberId of [1, 2]) while (session(memberId).calls.length > 0) session(memberId).next('map-stage').answer();
    if (step === 'record') rig.recording = new Set([rig.legs[2] as Leg]);
  };

  test.each(['rest of stage', 'record', 'enable'])('costs clients no more than its time, then the return is given up: %s', (step) => {
    onlyThe3rdIsAwaited(step);
    pass(600);
    expect([gaveUp(), open().length > 0 || step === 'record']).toEqual([[], true]);
    pass(100);
    expect(gaveUp()).toEqual([expect.stringMatching(/^gave up, held, held up: no code: its return held up IO for 600 ms/)]);
    // What comes late changes nothing.
    for (const { calls } of rig.sessions) for (const call of calls.splice(0)) call.answer();
    rig.grown?.durable(version(6, [1, 2, 3]));
    pass(5_000);
    expect([gaveUp().length, rig.told.some((line) => line.startsWith('joined')), open()]).toEqual([1, false, []]);
  });

  test.each(['probe', 'claim', 'stage'])('has all the time while IO goes on: %s', (step) => {
    upTo(step);
    pass(10_000);
    expect(gaveUp()).toEqual([]);
  });

  test.each(['quiesce', 'rest of stage', 'record'])('is not blamed for what members in sync take: %s', (step) => {
    upTo(step);
    if (step === 'record') rig.recording = new Set(rig.legs.slice(0, 1));
    pass(10_000);
    if (step === 'record') rig.recording = new Set([rig.legs[0] as Leg, rig.legs[2] as Leg]);
    pass(10_000);
    expect(gaveUp()).toEqual([]);
  });

  test('is not blamed for the time in which this process did not run', () => {
    onlyThe3rdIsAwaited('enable');
    pass(300);
    for (let pause = 0; pause < 10; pause++) {
      nowMs += 5_000;
      rig.returning.tick(nowMs);
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
    rig.rolledBack = older;
    upTo('claim');
    expect([rig.told, open(), rig.heard]).toEqual([[gaveUp], [], []]);
    expect([rig.legs[2]?.rolledBack, rig.legs[2]?.state]).toEqual([older, 'FAILED']);
  });

  test('what the grant shows counts: the return ends, and nothing is marked or copied', () => {
    upTo('claim');
    rig.rolledBack = older;
    member3().next('claim').answer(CLAIM);
    expect([rig.told, open(), rig.heard, rig.maps.of(3).dirtyCount]).toEqual([[gaveUp], [], [], 0]);
    expect(rig.legs[2]?.rolledBack).toBe(older);
  });

  test('what is known when the member is asked counts, for each of its answers: what is heard meanwhile may be younger', () => {
    const judgedBy: (VersionMemory | null)[] = [];
    const memoryOf = (seq: number): VersionMemory => ({ durable: version(seq, [1, 2]), attempts: [], members: [], policy: POLICY });
    const memories = [1, 2, 3].map(memoryOf);
    let known: VersionMemory | null = null;
    rig.host = Object.assign(rig.host, {
      knowledge: () => known,
      rolledBack: (_leg: Leg, _store: unknown, by: VersionMemory | null) => {
        judgedBy.push(by);
        return null;
      },
    });
    const steps = [() => rig.returning.start(), () => member3().next('probe').answer(PROBE), () => member3().next('claim').answer(CLAIM)];
    for (const [index, step] of steps.entries()) {
      known = memories[index] as VersionMemory;
      step();
    }
    expect(judgedBy).toEqual(memories.slice(0, 2));
  });

  test('that it was old is told until it is back, though it is what it was again', () => {
    Object.assign(rig.legs[2] as Leg, { probe: PROBE, rolledBack: older });
    upTo('stage');
    expect([rig.told, rig.legs[2]?.rolledBack]).toEqual([['maps changed'], older]);
  });

  test('how old it is by the grant is remembered, where nobody knows better', () => {
    upTo('stage');
    expect([rig.heard, rig.legs[2]?.rolledBack]).toEqual([['3: 20'], null]);
  });

  test.each([
    ['it does not answer', () => member3().next('probe').drop()],
    ['its store is not open', () => member3().next('probe').refuse('UNKNOWN_POOL')],
  ])('what was found before says nothing of what is there now: %s', (_name, fail) => {
    Object.assign(rig.legs[2] as Leg, { rolledBack: older });
    rig.returning.start();
    fail();
    expect([rig.told.length, rig.legs[2]?.rolledBack]).toEqual([1, null]);
  });
});

describe('leg return: a chunk that nobody in sync has (I2)', () => {
  const lastIo = [{ offsetBytes: 2 * CHUNK, lengthBytes: 2 * CHUNK }];
  const marked = () => [2, 3].filter((chunk) => rig.maps.of(4).test(chunk));

  beforeEach(() => {
    // Chunk 2 is dirty for both that are in sync; member 4 is away too, and has it as member 3 has.
    rig.host = Object.assign(rig.host, { memberIds: [1, 2, 3, 4] });
    for (const memberId of [1, 2]) rig.maps.of(memberId).set(2, 1);
    rig.returning.start();
    member3().next('probe').answer(PROBE);
    member3()
      .next('claim')
      .answer({ ...CLAIM, lastIo });
    stageAll();
  });

  test('the others that are away may lack a write there: they are marked with the version of the return, not before', () => {
    expect([rig.maps.of(3).test(2), rig.maps.of(3).test(3), marked()]).toEqual([false, true, []]);
    rig.quiet?.();
    expect(marked()).toEqual([2]);
    expect(stageAll()).toContain('1 gets column 4: 1');
    rig.grown?.durable(version(5, [1, 2, 3]));
    rig.returning.cancel();
    expect(marked()).toEqual([2]);
  });

  test('a return that is broken off before its version is durable leaves no marks on them: they may have the last clean copy', () => {
    rig.quiet?.();
    stageAll();
    rig.returning.cancel();
    expect(marked()).toEqual([]);
  });

  test('what was overwritten since is no matter of the member any more', () => {
    rig.maps.of(1).clear(2, 1);
    rig.maps.of(3).set(2, 1);
    rig.quiet?.();
    expect(marked()).toEqual([]);
  });
});

describe('leg return: cancelled', () => {
  test.each(Object.keys(STEPS))('during %s: nothing more is said or sent', (step) => {
    upTo(step);
    rig.returning.cancel();
    const before = rig.told.length;
    for (const { calls } of rig.sessions) {
      for (const call of calls.splice(0)) {
        if (call.request.op === 'probe') call.answer(PROBE);
        else if (call.request.op === 'claim') call.answer(CLAIM);
        else call.answer();
      }
    }
    if (step === 'quiesce') rig.quiet?.();
    if (step === 'record') rig.grown?.durable(version(5, [1, 2, 3]));
    expect([rig.told.length, open()]).toEqual([before, []]);
  });

  test('while the others are asked what they have clean: nothing more is said or sent', () => {
    let refreshed: (known: boolean) => void = () => {};
    rig.refreshMaps = (done) => {
      refreshed = done;
    };
    upTo('stage');
    rig.returning.cancel();
    refreshed(true);
    refreshed(false);
    expect([rig.told, open()]).toEqual([[], []]);
  });

  test('what it has begun only a version ends: that is told by `held`', () => {
    const held: boolean[] = [];
    for (const step of Object.keys(STEPS)) {
      STEPS[step]?.();
      held.push(rig.returning.updatesMaps);
    }
    rig.returning.cancel();
    expect([held, rig.returning.updatesMaps]).toEqual([[false, false, false, true, true, true, true], true]);
  });
});
