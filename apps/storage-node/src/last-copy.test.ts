import { type LogFields, SILENT_LOGGER, type Ticked } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { LastCopyWait, type OnlyCopy, onlyCopyText } from './last-copy.ts';

const COPY: OnlyCopy = { pool: 'demo', member: 1, bytes: 3 * 1024 * 1024 };

let copies: OnlyCopy[];
let ticked: Ticked | null;
let lines: [string, string, LogFields | undefined][];
let nowMs: number;
let ended: boolean;
let wait: LastCopyWait;

function begin(waitMs: number): void {
  wait = new LastCopyWait({
    ticker: {
      subscribe: (target) => {
        ticked = target;
      },
      unsubscribe: () => {
        ticked = null;
      },
    },
    log: {
      ...SILENT_LOGGER,
      info: (event, fields) => lines.push(['info', event, fields]),
      warn: (event, fields) => lines.push(['warn', event, fields]),
    },
    waitMs,
    look: () => copies,
  });
  wait.begin(() => {
    ended = true;
  });
}

function pass(ms: number): void {
  for (const endMs = nowMs + ms; nowMs < endMs; ) {
    nowMs += 50;
    ticked?.tick(nowMs);
  }
}

beforeEach(() => {
  copies = [COPY];
  ticked = null;
  lines = [];
  nowMs = 5_000;
  ended = false;
});

describe('the stop of a node with the only copy of something', () => {
  test('goes on at once by default, and is told with pool, member and bytes', () => {
    begin(0);
    expect([ended, ticked, wait.waits]).toEqual([true, null, false]);
    expect(lines).toMatchObject([['warn', 'the node stops although it holds the only copy of some data', COPY]]);
  });

  test('goes on without a word where others have copies', () => {
    copies = [];
    begin(60_000);
    expect([ended, lines]).toEqual([true, []]);
  });

  test('waits until others have pulled, and says both', () => {
    begin(60_000);
    pass(5_000);
    expect([ended, wait.waits]).toEqual([false, true]);
    copies = [];
    pass(1_000);
    expect([ended, wait.waits, ticked]).toEqual([true, false, null]);
    expect(lines.map(([level, event]) => [level, event])).toEqual([
      ['warn', 'the node holds the only copy of some data: its stop waits until other members have it'],
      ['info', 'other members have copies of all data by now: the node stops'],
    ]);
  });

  test('waits for as long as is configured, and no longer', () => {
    begin(60_000);
    pass(59_900);
    expect(ended).toBe(false);
    pass(500);
    expect(ended).toBe(true);
    expect(lines.at(-1)).toMatchObject([
      'warn',
      'the wait is over: the node stops although it still holds the only copy of some data',
      COPY,
    ]);
  });

  test('ends its wait when it is told to, once', () => {
    begin(60_000);
    pass(1_000);
    wait.endNow();
    expect([ended, ticked]).toEqual([true, null]);
    const told = lines.length;
    wait.endNow();
    expect(lines).toHaveLength(told);
    expect(lines.at(-1)).toMatchObject([
      'warn',
      'the node was told not to wait longer: it stops although it holds the only copy of some data',
      COPY,
    ]);
  });
});

test('in words: each pool with its bytes; nothing where there is nothing to say', () => {
  expect(onlyCopyText([])).toBeNull();
  expect(onlyCopyText([COPY, { pool: 'other', member: 2, bytes: 4096 }])).toBe(
    'holds the only copy of 3 MiB of pool demo and of 4 KiB of pool other',
  );
});
