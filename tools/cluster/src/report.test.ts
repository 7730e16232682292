import type { Health } from '@rmr/admin-api';
import { describe, expect, test } from 'vitest';
import { type ConvergenceView, unconverged } from './report.ts';

const HEALTHY: Health = { level: 'healthy', sentence: 'all is well' };
const UUID = '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab';

type Client = NonNullable<ConvergenceView['client']>;

interface Situation {
  readonly state?: Client['pools'][number]['state'];
  readonly leg?: Partial<Client['pools'][number]['legs'][number]>;
  readonly member?: Partial<ConvergenceView['storage'][number]['pools'][number]>;
  readonly silent?: boolean;
}

/** Two members that have converged, but for what `situation` says of the second. */
function report({ state = 'SERVING', leg = {}, member = {}, silent = false }: Situation): ConvergenceView {
  const legs = [1, 2].map((memberId) => ({
    name: `storage-${memberId}`,
    state: 'NORMAL' as const,
    reason: '',
    dirtyBytes: 0,
    ...(memberId === 2 ? leg : {}),
  }));
  const storage = [1, 2].map((memberId) => ({
    node: { name: `storage-${memberId}` },
    pools: [
      {
        uuid: UUID,
        state: 'NORMAL' as const,
        reason: '',
        dirty: [1, 2].map((each) => ({ memberId: each, dirtyBytes: 0 })),
        ...(memberId === 2 ? member : {}),
      },
    ],
  }));
  return {
    health: state === 'SERVING' ? HEALTHY : { level: 'down', sentence: 'the pool waits for member 2' },
    client: { node: { name: 'client-1' }, pools: [{ uuid: UUID, state, legs }] },
    storage: silent ? storage.slice(0, 1) : storage,
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
