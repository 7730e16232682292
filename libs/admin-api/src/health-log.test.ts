import { type LogFields, SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { HealthLog, START_MS, type Watched } from './health-log.ts';
import type { HealthLevel } from './status-common.ts';

let watched: Watched[];
let lines: [string, LogFields | undefined][];
let health: HealthLog;
let nowMs: number;

function is(level: HealthLevel, sentence: string, remedy?: string): void {
  watched = [{ pool: 'p', health: { level, sentence }, remedy }];
}

function run(ms: number): void {
  for (const endMs = nowMs + ms; nowMs < endMs; nowMs += 50) health.tick(nowMs);
}

beforeEach(() => {
  watched = [];
  lines = [];
  nowMs = 1_000;
  const add = (level: string) => (event: string, fields?: LogFields) => {
    expect(event).toBe('pool health');
    lines.push([level, JSON.parse(JSON.stringify(fields)) as LogFields]);
  };
  const log = { ...SILENT_LOGGER, info: add('info'), warn: add('warn'), error: add('error') };
  health = new HealthLog(log, { degraded: 'warn', down: 'error' }, () => watched);
});

describe('health in the log', () => {
  test('each change of level is one line, with the sentence, the remedy, and a level of its own', () => {
    is('healthy', 'all is well');
    run(3_000);
    is('degraded', 'member 2 (b) is out', 'Start b.');
    run(3_000);
    is('down', 'pool p is not served: it waits for a');
    run(3_000);
    is('healthy', 'all is well');
    run(3_000);
    expect(lines).toEqual([
      ['info', { pool: 'p', to: 'healthy', why: 'all is well' }],
      ['warn', { pool: 'p', from: 'healthy', to: 'degraded', why: 'member 2 (b) is out', remedy: 'Start b.' }],
      ['error', { pool: 'p', from: 'degraded', to: 'down', why: 'pool p is not served: it waits for a' }],
      ['info', { pool: 'p', from: 'down', to: 'healthy', why: 'all is well' }],
    ]);
  });

  test('what becomes wrong besides is told, progress is not', () => {
    for (const left of ['1.5 GiB', '900 MiB', '512 B', '3 KiB']) {
      is('degraded', `member 2 (b) has ${left} left to pull`);
      run(2_000);
    }
    is('degraded', 'member 2 (b) has 3 KiB left to pull; IO waits for member 3');
    run(START_MS);
    expect(lines.map(([, fields]) => fields?.['why'])).toEqual([
      expect.stringMatching(/^member 2 \(b\) has \d+ \w+ left to pull$/),
      'member 2 (b) has 3 KiB left to pull; IO waits for member 3',
    ]);
  });

  test('a node that starts gets time to find the others; what is wrong after that is told', () => {
    is('down', 'it waits for the storage nodes to answer');
    run(START_MS - 1_000);
    expect(lines).toEqual([]);
    run(2_000);
    expect(lines).toEqual([['error', { pool: 'p', to: 'down', why: 'it waits for the storage nodes to answer' }]]);
  });

  test('a pool that was well and is worse soon after the start is told at once', () => {
    is('healthy', 'x');
    run(1_000);
    is('degraded', 'y');
    run(1_050);
    expect(lines.map(([level]) => level)).toEqual(['info', 'warn']);
  });

  test('members of one pool are told apart', () => {
    watched = [
      { pool: 'p', member: 1, health: { level: 'healthy', sentence: 'x' } },
      { pool: 'p', member: 2, health: { level: 'degraded', sentence: 'x' } },
    ];
    run(START_MS + 1_000);
    expect(lines.map(([level, fields]) => [level, fields?.['member']])).toEqual([
      ['info', 1],
      ['warn', 2],
    ]);
  });
});
