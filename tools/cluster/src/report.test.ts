import type { ClientNodeStatus, ClientPoolStatus, Health, StorageNodeStatus } from '@rmr/admin-api';
import { describe, expect, test } from 'vitest';
import { type ClusterReport, unconverged } from './report.ts';

const HEALTHY: Health = { level: 'healthy', sentence: 'all is well' };
const NO_IO = { reads: 0, writes: 0, flushes: 0, trims: 0, writeZeroes: 0, readBytes: 0, writtenBytes: 0, errors: 0, inFlight: 0 };
const POOL = { name: 'pool-1', uuid: '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab', since: '', version: null, queueDepth: 1, io: NO_IO };

interface Situation {
  readonly state?: ClientPoolStatus['state'];
  readonly leg?: Partial<ClientPoolStatus['legs'][number]>;
  readonly member?: Partial<StorageNodeStatus['pools'][number]>;
  readonly silent?: boolean;
}

function node(name: string) {
  return { name, hostUuid: '', bootId: '', incarnation: '', version: '', pid: 1, startedAt: '', uptimeSeconds: 1 };
}

/** Two members that have converged, but for what `situation` says of the second. */
function report({ state = 'SERVING', leg = {}, member = {}, silent = false }: Situation): ClusterReport {
  const legs = [1, 2].map((memberId) => ({
    memberId,
    name: `storage-${memberId}`,
    storeUuid: null,
    state: 'NORMAL' as const,
    reason: '',
    since: '',
    dirtyBytes: 0,
    inFlight: 0,
    ...(memberId === 2 ? leg : {}),
  }));
  const client: ClientNodeStatus = {
    role: 'client-node',
    node: node('client-1'),
    health: HEALTHY,
    sessions: [],
    nbdAddresses: [],
    pools: [
      {
        ...POOL,
        state,
        reason: '',
        epoch: 1,
        sizeBytes: 1,
        chunkSizeBytes: 1,
        readPolicy: 'round-robin',
        legs,
        waitingIo: 0,
        waitingFor: null,
        health: HEALTHY,
      },
    ],
    exports: [],
  };
  const storage = [1, 2].map(
    (memberId): StorageNodeStatus => ({
      role: 'storage-node',
      node: node(`storage-${memberId}`),
      health: HEALTHY,
      sessions: [],
      rtrsAddresses: [],
      pools: [
        {
          ...POOL,
          memberId,
          state: 'NORMAL',
          reason: '',
          promised: null,
          chunkSizeBytes: 1,
          store: null,
          dirty: [1, 2].map((each) => ({ memberId: each, dirtyBytes: 0 })),
          waitingFor: null,
          health: HEALTHY,
          ...(memberId === 2 ? member : {}),
        },
      ],
    }),
  );
  return {
    health: state === 'SERVING' ? HEALTHY : { level: 'down', sentence: 'the pool waits for member 2' },
    nodes: [],
    partitions: [],
    client,
    clients: [client],
    storage: silent ? storage.slice(0, 1) : storage,
    exitCode: 0,
  };
}

describe('convergence', () => {
  test('members that are in sync and have missed nothing have converged', () => {
    expect(unconverged(report({}))).toBeNull();
    // A client node that keeps no maps leaves the question to the storage nodes.
    expect(unconverged(report({ leg: { dirtyBytes: null } }))).toBeNull();
  });

  test.each<[string, Situation, string]>([
    ['the pool is not served', { state: 'WAITING' }, 'the pool waits for member 2'],
    ['a leg is out', { leg: { state: 'FAILED', reason: 'its session is gone' } }, 'client-1 to storage-2 is FAILED: its session is gone'],
    ['the client knows of dirty chunks', { leg: { dirtyBytes: 131_072 } }, 'client-1 knows 128 KiB that storage-2 has missed'],
    [
      'a storage node knows of some',
      { member: { dirty: [{ memberId: 1, dirtyBytes: 4096 }] } },
      'storage-2 knows 4 KiB that member 1 has missed',
    ],
    ['a member is not in sync', { member: { state: 'NO_IO', reason: 'it restarted' } }, 'storage-2 is NO_IO: it restarted'],
    ['a storage node is silent', { silent: true }, 'storage-2 does not answer'],
    ['its store is gone', { member: { uuid: 'another' } }, 'storage-2 does not answer'],
  ])('not yet when %s', (_title, situation, why) => {
    expect(unconverged(report(situation))).toContain(why);
  });

  test('not when no client node answers', () => {
    expect(unconverged({ ...report({}), client: null, health: { level: 'down', sentence: 'client-1 is not running' } })).toBe(
      'client-1 is not running',
    );
  });
});
