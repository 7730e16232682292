import type { Health, IoWait, ResyncStatus } from '@rmr/admin-api';
import { MIB } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { type StatusView, statusTable } from './status-table.ts';

const UUID = '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab';
const HEALTHY: Health = { level: 'healthy', sentence: 'all is well' };
const SINCE = '2026-01-01T00:00:00.000Z';

const IDLE: ResyncStatus = {
  state: 'IDLE',
  since: SINCE,
  bytesLeft: 0,
  bytesPerSecond: 0,
  etaSeconds: null,
  sources: [],
  reason: '',
  pulledBytes: 0,
  refusedBytes: 0,
  refusedRanges: [],
  paused: false,
  limitBytesPerSecond: null,
};

function store(name: string, memberId: number, sync: ResyncStatus = IDLE, waits: IoWait[] = []): StatusView['storage'][number] {
  return { node: { name }, pools: [{ uuid: UUID, memberId, state: 'NORMAL', sync, waits }] };
}

function view(change: Partial<StatusView> = {}): StatusView {
  return {
    health: HEALTHY,
    nodes: ['storage-1', 'storage-2', 'client-1'].map((name) => ({ name, state: 'running', pid: 7, health: HEALTHY })),
    partitions: [],
    client: {
      pools: [{ uuid: UUID, legs: [1, 2].map((memberId) => ({ memberId, name: `storage-${memberId}`, state: 'NORMAL', dirtyBytes: 0 })) }],
    },
    clients: [],
    storage: [store('storage-1', 1), store('storage-2', 2)],
    ...change,
  };
}

test('the verdict comes first, then the nodes, then the members', () => {
  expect(statusTable(view())).toBe(
    [
      'healthy: all is well',
      '',
      'storage-1  running        7  all is well',
      'storage-2  running        7  all is well',
      'client-1   running        7  all is well',
      '',
      'MEMBER  NODE       LEG     STORE   MISSED  RESYNC',
      '1       storage-1  NORMAL  NORMAL  0 B     -',
      '2       storage-2  NORMAL  NORMAL  0 B     -',
      '',
    ].join('\n'),
  );
});

test('a member that pulls shows how much is left, how fast, until when and from whom', () => {
  const sync: ResyncStatus = {
    ...IDLE,
    state: 'RUNNING',
    bytesLeft: 12 * MIB,
    bytesPerSecond: 3 * MIB,
    etaSeconds: 4,
    sources: [{ memberId: 1, name: 'storage-1' }],
  };
  const text = statusTable(view({ storage: [store('storage-1', 1), store('storage-2', 2, sync)] }));
  expect(text).toContain('2       storage-2  NORMAL  NORMAL  0 B     12 MiB left, 3 MiB/s, about 4 s, from storage-1\n');
});

test('what is not known is not made up: no client node, and a storage node that does not answer', () => {
  expect(statusTable(view({ client: null, storage: [store('storage-2', 2)] }))).toContain(
    'MEMBER  NODE       LEG  STORE   MISSED  RESYNC\n2       storage-2  -    NORMAL  0 B     -\n',
  );
  expect(statusTable(view({ storage: [store('storage-2', 2)] }))).toContain('1       storage-1  NORMAL  -       0 B     -\n');
  expect(statusTable(view({ client: null, storage: [] }))).not.toContain('MEMBER');
});

test('what IO waits for is told by the nodes that hold it, with what can be done, and cut connections with their remedy', () => {
  const wait: IoWait = { kind: 'CHUNK', what: 'chunks that only member 1 has clean', since: SINCE, requests: 1 };
  const remedy = 'Start storage-1.';
  const text = statusTable(
    view({
      clients: [{ node: { name: 'client-1' }, pools: [{ waits: [{ ...wait, requests: 2 }], differences: [], legs: [] }] }],
      storage: [store('storage-2', 2, IDLE, [{ ...wait, remedy }])],
      partitions: [['storage-1', 'storage-2']],
    }),
  );
  expect(text.split('\n').slice(-4)).toEqual([
    `client-1: 2 requests wait since ${SINCE} for chunks that only member 1 has clean`,
    `storage-2: 1 request waits since ${SINCE} for chunks that only member 1 has clean. ${remedy}`,
    'storage-1 and storage-2 are cut off from one another; "cluster heal storage-1 storage-2" lets them connect',
    '',
  ]);
});

test('members whose stores went back in time, and differences of the configuration, are told by the client nodes that know of them', () => {
  const rolledBack = 'member 2 (storage-2) has a store that is older than member 1 (storage-1) knows it to have been';
  const differences = [{ what: 'quorum is none here, and majority in the pool', remedy: 'Write quorum: majority.' }];
  const pools = [{ waits: [], differences, legs: [{ rolledBack: null }, { rolledBack }] }];
  expect(
    statusTable(view({ clients: [{ node: { name: 'client-1' }, pools }] }))
      .split('\n')
      .slice(-4),
  ).toEqual([
    '',
    `client-1: ${rolledBack}`,
    'client-1: the configuration differs from what the pool has recorded: quorum is none here, and majority in the pool. Write quorum: majority.',
    '',
  ]);
});
