import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { EXCUSED_MS } from '../../../constants.ts';
import { memberOf, ScriptedSessions } from '../../../testing/scripted-pool.ts';
import type { IoEngine } from '../io/io-engine.ts';
import { PoolMaps } from '../pool-maps.ts';
import type { Leg } from './leg.ts';
import type { LegFault } from './leg-faults.ts';
import { type Excuse, LegHoldUps } from './leg-hold-ups.ts';
import { LegTable } from './leg-table.ts';
import { SlowLegs } from './slow-legs.ts';

const CHUNK = 4096;
const SLOW_FOR_MS = 30_000;
const TICK_MS = 50;

let table: LegTable;
let maps: PoolMaps;
let slowLegs: SlowLegs;
let nowMs: number;
/** What the engine says at the next tick, as masks; and what it was asked. */
let unanswered: number;
let laggard: number;
let asked: { waitingBeforeMs: number; sentBeforeMs: number; excuse: Excuse; probation: number };
let told: [number, string, LegFault][];

const leg = (memberId: number): Leg => table.all[memberId - 1] as Leg;

beforeEach(() => {
  const sessions = new ScriptedSessions();
  const user = { onSessionUp: () => {}, onSessionDown: () => {}, onSessionPermit: () => {} };
  table = new LegTable(new VirtualWorld().host('client-1'), {
    ...{ members: [1, 2].map((memberId) => memberOf(memberId)), witness: null, session: (addresses) => sessions.to(addresses), user },
  });
  for (const each of table.all) each.setState('NORMAL', 'enabled');
  maps = new PoolMaps(64 * CHUNK, CHUNK);
  nowMs = 1_000;
  [unanswered, laggard, told] = [0, 0, []];
  const holdUps = new LegHoldUps({ slowFactor: 20, slowForMs: SLOW_FOR_MS });
  const engine = {
    ...{ routeMask: 0b11, holdUps },
    expire: (waitingBeforeMs: number, sentBeforeMs: number) => {
      asked = { ...asked, waitingBeforeMs, sentBeforeMs };
      return unanswered;
    },
    laggard: (_nowMs: number, excuse: Excuse) => {
      asked = { ...asked, excuse, probation: holdUps.probation };
      return laggard;
    },
  } as unknown as IoEngine;
  slowLegs = new SlowLegs({
    ...{ options: { ioTimeoutMs: 7_000, legTimeoutMs: 5_000 }, engine, legs: table, maps: () => maps },
    onSlow: (...slow) => void told.push(slow),
  });
  slowLegs.tick(nowMs);
});

/** Time goes on in ticks. */
function pass(ms: number): void {
  for (const endMs = nowMs + ms; nowMs < endMs; slowLegs.tick(nowMs)) nowMs += TICK_MS;
}

describe('L7: the leg that leaves', () => {
  test('a leg that does not answer, and says for how long; never all of them', () => {
    unanswered = 0b11;
    pass(TICK_MS);
    expect([told, asked]).toMatchObject([[], { waitingBeforeMs: nowMs - 7_000, sentBeforeMs: nowMs - 5_000 }]);
    unanswered = 0b10;
    pass(TICK_MS);
    expect(told).toEqual([[0b10, 'an IO was not answered for 5000 ms', 'STALL']]);
  });

  test('nobody right after this process has stood still: the answers have not been read yet', () => {
    unanswered = 0b10;
    nowMs += 60_000;
    slowLegs.tick(nowMs);
    expect(told).toEqual([]);
    pass(TICK_MS);
    expect(told.length).toBe(1);
  });

  test('a leg that holds up IO, and says what was seen; sooner while it is on probation, which it is told of', () => {
    laggard = 0b10;
    pass(TICK_MS);
    leg(2).faults.left('STALL', nowMs, 10_000);
    leg(2).faults.back(nowMs);
    pass(TICK_MS);
    expect([told, asked.probation]).toEqual([
      [
        [0b10, 'it held up IO for 0 s within the last 30 s', 'STALL'],
        [0b10, 'it held up IO and answered nothing for 0.6 s, soon after it had left for that', 'STALL'],
      ],
      0b10,
    ]);
  });
});

describe('L7: a leg that has to pull first is excused', () => {
  const isExcused = (chunk: number): boolean => asked.excuse(1, chunk * CHUNK, CHUNK, false);

  test('for what it misses, and for nothing else', () => {
    maps.of(2).set(4, 2);
    pass(TICK_MS);
    expect([3, 4, 5, 6].map(isExcused)).toEqual([false, true, true, false]);
    expect(asked.excuse(0, 4 * CHUNK, CHUNK, false)).toBe(false);
  });

  test('as long as it pulls, and not for ever', () => {
    maps.of(2).set(0, 3);
    pass(EXCUSED_MS - TICK_MS);
    expect(isExcused(2)).toBe(true);
    maps.of(2).clear(0, 1);
    pass(EXCUSED_MS - TICK_MS);
    expect(isExcused(2)).toBe(true);
    pass(2 * TICK_MS);
    expect(isExcused(2)).toBe(false);
    maps.of(2).clear(1, 1);
    pass(TICK_MS);
    expect(isExcused(2)).toBe(true);
  });

  test('unless it has just come back from holding up IO, and answers nothing at all', () => {
    maps.of(2).set(0, 3);
    leg(2).faults.left('STALL', nowMs, 10_000);
    leg(2).faults.back(nowMs);
    pass(TICK_MS);
    expect([asked.excuse(1, 0, CHUNK, false), asked.excuse(1, 0, CHUNK, true)]).toEqual([true, false]);
  });
});
