import type { KeptStore } from '@rmr/brmr';
import type { PoolServer } from '@rmr/rmr';
import { expect, test } from 'vitest';
import { memberWaitsFor, resyncStatus, storeStatus } from './status.ts';

const SINCE = '2026-01-01T00:00:00.000Z';

function paused(bytesLeft: number): PoolServer {
  const status = {
    ...{ state: 'PAUSED', sinceMs: 0, bytesLeft, bytesPerSecond: 0, etaSeconds: null, sourceMemberIds: [] },
    ...{ reason: 'paused by an operator', pulledBytes: 0, refused: [] },
  };
  return {
    state: 'NORMAL',
    store: { members: [], identity: { poolName: 'demo' } },
    resync: { order: { paused: true, rateBytes: null }, status: () => status },
  } as unknown as PoolServer;
}

function member(state: string, holder: string | null, { witness = false, draining = false } = {}): PoolServer {
  return {
    executing: 3,
    describe: () => ({ state, holder, draining, reason: '', sinceMs: 0 }),
    store: { identity: { poolName: 'demo', witness } },
  } as unknown as PoolServer;
}

test('resync that an operator has paused says how that is ended, as long as something is left to pull', () => {
  expect(resyncStatus(paused(4096))).toMatchObject({ reason: 'paused by an operator', remedy: 'End the pause: rmrctl resync resume demo' });
  expect(resyncStatus(paused(0)).remedy).toBeUndefined();
});

test('a member that nobody claims needs a client node; one that a client holds waits for it', () => {
  const remedy = 'Start a client node that is configured for pool demo. If one runs already, its status says why it does not ask.';
  expect(memberWaitsFor(member('REGISTERED', null), SINCE)).toEqual({ what: 'a client to claim the pool', since: SINCE, remedy });
  expect(memberWaitsFor(member('NO_IO', 'client-1'), SINCE)).toEqual({ what: 'client-1 to bring the pool into service', since: SINCE });
  expect(memberWaitsFor(member('NORMAL', 'client-1'), SINCE)).toBeNull();
  const draining = memberWaitsFor(member('NO_IO', 'client-1', { draining: true }), SINCE);
  expect(draining?.what).toBe('3 requests of the former client to end');
});

test('a witness that votes for a client waits for nothing, though it never serves IO', () => {
  expect(memberWaitsFor(member('NO_IO', 'client-1', { witness: true }), SINCE)).toBeNull();
  expect(memberWaitsFor(member('REGISTERED', null, { witness: true }), SINCE)?.what).toBe('a client to ask for its vote');
});

test('a store that is not open hands on what helps', () => {
  const kept = {
    ...{ spec: { path: '/a' }, state: 'DETACHED', reason: 'full', sinceWallMs: 0, identity: null, pool: null },
    ...{ waitsFor: 'the next attempt', remedy: 'Free space.' },
  } as unknown as KeptStore;
  expect(storeStatus(kept).waitingFor).toMatchObject({ what: 'the next attempt', remedy: 'Free space.' });
});

test('a disk that fails to take something is named, with the place, and with what to do', () => {
  const refused = [{ offsetBytes: 8192, lengthBytes: 4096 }];
  const status = {
    ...{ state: 'RUNNING', sinceMs: 0, bytesLeft: 4096, bytesPerSecond: 0, etaSeconds: null, sourceMemberIds: [], pulledBytes: 0 },
    ...{ reason: 'the disk of this member fails to take chunk 2', refused },
  };
  const pool = {
    state: 'NORMAL',
    store: { members: [] },
    resync: { order: { paused: false, rateBytes: null }, status: () => status },
  } as unknown as PoolServer;
  expect(resyncStatus(pool)).toMatchObject({
    refusedBytes: 4096,
    refusedRanges: refused,
    remedy: expect.stringContaining('Replace the disk'),
  });
});

test('a store whose disk is slow is degraded: since when, how old requests are, what is left and at which pace', () => {
  const kept = {
    ...{ spec: { path: '/a' }, state: 'ATTACHED', reason: 'opened', sinceWallMs: 0, pool: member('NORMAL', 'client-1'), waitsFor: null },
    ...{ identity: { memberId: 2, poolName: 'demo' }, slowSinceWallMs: Date.parse(SINCE) },
    pace: { oldestMs: 12_300, unwrittenBytes: 8 * 1024 * 1024, bytesPerSecond: 1024 * 1024 },
  };
  expect(storeStatus(kept as unknown as KeptStore).health).toEqual({
    level: 'degraded',
    sentence:
      '/a (member 2 of pool demo) is open, and its disk has been slow since 2026-01-01T00:00:00.000Z. Its oldest request has been under way for 12 s; at most 8 MiB are left to write at 1 MiB/s. Check the load and the state of the disk of /a',
  });
  const answering = { ...kept, pace: { oldestMs: 0, unwrittenBytes: 0, bytesPerSecond: null } };
  expect(storeStatus(answering as unknown as KeptStore).health.sentence).toContain('It answers at the moment; at most 0');
  expect(storeStatus({ ...kept, slowSinceWallMs: null } as unknown as KeptStore).health.level).toBe('healthy');
});
