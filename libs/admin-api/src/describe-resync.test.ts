import { KIB, MIB } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { describeResync } from './describe-resync.ts';
import type { ResyncStatus } from './sync-status.ts';

const RUNNING: ResyncStatus = {
  state: 'RUNNING',
  since: '2026-01-01T00:00:00.000Z',
  bytesLeft: 12 * MIB,
  bytesPerSecond: 3 * MIB,
  etaSeconds: 4,
  sources: [{ memberId: 1, name: 'storage-1' }],
  reason: '',
  pulledBytes: 0,
  refusedBytes: 0,
  refusedRanges: [],
  paused: false,
  limitBytesPerSecond: null,
};

test.each<[string, Partial<ResyncStatus>, string]>([
  ['moves', {}, '12 MiB left, 3 MiB/s, about 4 s, from storage-1'],
  [
    'has several sources',
    {
      sources: [
        { memberId: 1, name: 'a' },
        { memberId: 3, name: 'b' },
      ],
    },
    '12 MiB left, 3 MiB/s, about 4 s, from a and b',
  ],
  ['takes minutes', { etaSeconds: 119, sources: [] }, '12 MiB left, 3 MiB/s, about 119 s'],
  ['takes an hour', { etaSeconds: 3600, sources: [] }, '12 MiB left, 3 MiB/s, about 60 min'],
  ['takes a day', { etaSeconds: 86_400, sources: [] }, '12 MiB left, 3 MiB/s, about 24 h'],
  ['has just begun', { bytesPerSecond: 0, etaSeconds: null }, '12 MiB left, at a rate that is not known yet, from storage-1'],
  [
    'stands still',
    { state: 'PAUSED', bytesLeft: 128 * KIB, bytesPerSecond: 0, etaSeconds: null, sources: [], reason: 'paused by an operator' },
    '128 KiB left, stands still: paused by an operator',
  ],
  ['has nothing to do', { state: 'IDLE', bytesLeft: 0 }, ''],
])('resync that %s reads as such', (_title, change, text) => {
  expect(describeResync({ ...RUNNING, ...change })).toBe(text);
});
