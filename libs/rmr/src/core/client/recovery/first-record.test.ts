import { SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { claimOf, LINEAGE, MARK, memberOf, POLICY, POOL, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ClaimResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';
import { PoolMaps } from '../pool-maps.ts';
import { FirstRecord } from './first-record.ts';
import type { FirstVersion } from './first-version.ts';

const CHUNK = 4096;
const VERSION = versionOf(1, [1, 2], { epoch: 6 });

let sessions: Map<number, ScriptedSession>;
let maps: PoolMaps;
let claims: Map<Leg, ClaimResult>;
let first: FirstVersion;
/** What the host was told, in order. */
let told: string[];
/** What it waited for, in order. */
let steps: string[];
let record: FirstRecord;

const session = (memberId: number): ScriptedSession => sessions.get(memberId) as ScriptedSession;
/** All requests without an answer. */
const open = (): string[] => [...sessions].flatMap(([memberId, { ops }]) => ops.map((op) => `${op} ${memberId}`));

function legTo(memberId: number): Leg {
  const scripted = new ScriptedSession();
  sessions.set(memberId, scripted);
  return new Leg(memberId - 1, memberOf(memberId), scripted.shared, SILENT_LOGGER, () => 0);
}

function start(fields: Partial<FirstVersion> = {}): void {
  first = { ...first, ...fields };
  const host = {
    poolUuid: POOL,
    onAttempt: () => void told.push('attempt'),
    onEnabled: (witnessRecorded: boolean) => void told.push(witnessRecorded ? 'enabled, witness too' : 'enabled'),
    onFailed: (why: string, remedy?: string) => void told.push(`failed: ${why}${remedy === undefined ? '' : `. ${remedy}`}`),
    onStep: (what: string) => void steps.push(what),
  };
  record = new FirstRecord(SILENT_LOGGER, host, first, claims);
  record.start();
}

beforeEach(() => {
  sessions = new Map();
  told = [];
  steps = [];
  maps = new PoolMaps(8 * CHUNK, CHUNK);
  const legs = [legTo(1), legTo(2)];
  claims = new Map(legs.map((leg) => [leg, claimOf()]));
  const members = [memberOf(1), memberOf(2)];
  first = {
    ...{ version: VERSION, legs, witness: null, members, policy: POLICY, maps },
    ...{ foreign: [], erase: [], allVolatileLost: false },
  };
});

describe('the first version of an epoch', () => {
  test('each step begins when all members have made the one before', () => {
    maps.of(2).set(0, 1);
    start();
    expect([open(), told]).toEqual([['map-stage 1', 'map-stage 2'], []]);
    session(1).next('map-stage').answer();
    expect(open()).toEqual(['map-stage 2']);
    session(2).next('map-stage').answer();
    expect([open(), told]).toEqual([['record-version 1', 'record-version 2'], ['attempt']]);
    session(2).next('record-version').answer({ owed: [], mark: MARK });
    expect(open()).toEqual(['record-version 1']);
    session(1).next('record-version').answer({ owed: [], mark: MARK });
    expect(open()).toEqual(['enable 1', 'enable 2']);
    for (const memberId of [1, 2]) session(memberId).next('enable').answer();
    expect([open(), told]).toEqual([[], ['attempt', 'enabled']]);
  });

  test('only columns in which a member differs are staged there', () => {
    maps.of(2).set(0, 1);
    const column = { memberId: 2, dirtyChunks: 1, digest: maps.of(2).digest() };
    claims.set(first.legs[0] as Leg, { ...(claims.get(first.legs[0] as Leg) as ClaimResult), columns: [column] });
    start();
    expect(open()).toEqual(['map-stage 2']);
    // Columns of which a member has none are clean there.
    expect(session(2).next('map-stage').request.memberId).toBe(2);
  });

  test('a member of another lineage is told that this one follows it, and no other member is', () => {
    start({ foreign: first.legs.slice(1) });
    const requests = [1, 2].map((memberId) => session(memberId).next('record-version').request);
    expect(requests.map(({ newLineage }) => newLineage)).toEqual([false, true]);
    expect(requests[0]?.version).toMatchObject({ lineageUuid: LINEAGE, epoch: 6, seq: 1 });
  });

  test.each([['answer'], ['refuse']] as const)('the witness records last, without maps; that it does is not needed: %s', (end) => {
    start({ witness: legTo(9), erase: [7] });
    for (const memberId of [1, 2]) {
      expect(open()).not.toContain('record-version 9');
      session(memberId).next('record-version').answer({ owed: [], mark: MARK });
    }
    const call = session(9).next('record-version');
    expect(call.request).toMatchObject({ newLineage: true, maps: [], mapErase: [] });
    expect(open()).toEqual([]);
    if (end === 'answer') call.answer({ owed: [], mark: MARK });
    else call.refuse('BAD_STATE', 'no room');
    expect(open()).toEqual(['enable 1', 'enable 2']);
    for (const memberId of [1, 2]) session(memberId).next('enable').answer();
    expect(told).toEqual(['attempt', end === 'answer' ? 'enabled, witness too' : 'enabled']);
  });
});

test('each step names the members that have not made it yet', () => {
  maps.of(2).set(0, 1);
  start({ witness: legTo(9) });
  session(1).next('map-stage').answer();
  session(2).next('map-stage').answer();
  for (const memberId of [2, 1, 9]) session(memberId).next('record-version').answer({ owed: [], mark: MARK });
  for (const memberId of [1, 2]) session(memberId).next('enable').answer();
  const [one, two] = ['member 1 (storage-1)', 'member 2 (storage-2)'];
  expect(steps).toEqual([
    `the dirty maps to be taken over by ${one} and ${two}`,
    `the dirty maps to be taken over by ${two}`,
    `version 6.1{1,2} to be recorded by ${one} and ${two}`,
    `version 6.1{1,2} to be recorded by ${one}`,
    'version 6.1{1,2} to be recorded by member 9 (storage-9)',
    `${one} and ${two} to be enabled`,
    `${two} to be enabled`,
  ]);
});

test('members that have all maps already are not waited for to take them over', () => {
  start();
  expect(steps).toEqual(['version 6.1{1,2} to be recorded by member 1 (storage-1) and member 2 (storage-2)']);
});

describe('a failure, once, and nothing after it', () => {
  test('while maps are staged: no version may exist', () => {
    maps.of(2).set(0, 1);
    start();
    session(1).next('map-stage').refuse('BAD_MAP', 'no room');
    session(2).next('map-stage').refuse('BAD_MAP', 'no room here either');
    expect([open(), told]).toEqual([[], ['failed: member 1 (storage-1): no room']]);
  });

  test('while the version is recorded', () => {
    start();
    session(2).next('record-version').refuse('STALE_EPOCH', 'epoch 7 is promised');
    session(1).next('record-version').answer({ owed: [], mark: MARK });
    expect([open(), told]).toEqual([[], ['attempt', 'failed: member 2 (storage-2): epoch 7 is promised']]);
  });

  test('that a disk has caused says where to look', () => {
    start();
    session(2).next('record-version').refuse('STORE_ERROR', 'no space');
    expect(told.slice(1)).toEqual([
      'failed: member 2 (storage-2): no space. Check the disk of the store on storage-2, its space and the kernel log.',
    ]);
  });

  test('while members are enabled', () => {
    start();
    for (const memberId of [1, 2]) session(memberId).next('record-version').answer({ owed: [], mark: MARK });
    session(1).next('enable').refuse('BAD_STATE', 'NO_IO');
    session(2).next('enable').answer();
    expect(told).toEqual(['attempt', 'failed: member 1 (storage-1): NO_IO']);
  });

  test('cancelled, it says and sends nothing more, at whatever step', () => {
    maps.of(2).set(0, 1);
    for (const steps of [0, 1, 2]) {
      told = [];
      start();
      const ops = ['map-stage', 'record-version', 'enable'] as const;
      const answer = (op: (typeof ops)[number]): void => {
        for (const memberId of [1, 2])
          session(memberId)
            .next(op)
            .answer(op === 'record-version' ? { owed: [], mark: MARK } : {});
      };
      for (const op of ops.slice(0, steps)) answer(op);
      const before = [...told];
      record.cancel();
      answer(ops[steps] as (typeof ops)[number]);
      expect([open(), told]).toEqual([[], before]);
    }
  });
});
