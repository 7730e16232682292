import type { ResyncStatus } from '@rmr/admin-api';
import type { StoreKeeper } from '@rmr/brmr';
import type { Metrics } from '@rmr/daemon';
import type { PoolServer } from '@rmr/rmr';
import { attachedStores, resyncStatus } from './status.ts';

const STATES: readonly ResyncStatus['state'][] = ['IDLE', 'RUNNING', 'PAUSED', 'FAILED'];

/** Adds the metrics of resync, of sync legs, and of the waits of IO, for every open store. */
export function registerResyncMetrics(metrics: Metrics, keeper: StoreKeeper): void {
  type Visit = (pool: PoolServer, sync: ResyncStatus, labels: readonly [string, number]) => void;
  const each = (visit: Visit): void => {
    for (const { pool } of attachedStores(keeper)) {
      const { poolName, memberId } = pool.store.identity;
      visit(pool, resyncStatus(pool), [poolName, memberId]);
    }
  };
  const gauge = (name: string, help: string, read: (sync: ResyncStatus, pool: PoolServer) => number | null): void =>
    metrics.gauge({
      name,
      help,
      labels: ['pool', 'member'],
      read: (observe) =>
        each((pool, sync, labels) => {
          const value = read(sync, pool);
          if (value !== null) observe(value, ...labels);
        }),
    });

  metrics.gauge({
    name: 'rmr_resync_state',
    help: '1 for the state that resync of the member is in, 0 for the others',
    labels: ['pool', 'member', 'state'],
    read: (observe) =>
      each((_pool, sync, labels) => {
        for (const state of STATES) observe(sync.state === state ? 1 : 0, ...labels, state);
      }),
  });
  gauge('rmr_resync_left_bytes', 'Bytes in chunks that the member has missed and not pulled yet', (sync) => sync.bytesLeft);
  gauge('rmr_resync_bytes_per_second', 'Bytes pulled per second, over the last seconds', (sync) => sync.bytesPerSecond);
  gauge('rmr_resync_eta_seconds', 'Seconds until nothing is left to pull; absent while that is not known', (sync) => sync.etaSeconds);
  gauge('rmr_resync_stalled', '1 while bytes are left and resync stands still', (sync) => (sync.reason === '' ? 0 : 1));
  gauge(
    'rmr_resync_refused_bytes',
    'Bytes that the member has missed and that its disk failed to take; only other members have them',
    (sync) => sync.refusedBytes,
  );
  gauge(
    'rmr_resync_limit_bytes_per_second',
    "The volume's own limit for its resync; absent while there is none",
    (sync) => sync.limitBytesPerSecond,
  );
  gauge('rmr_resync_paused', '1 while an operator has paused resync', (sync) => (sync.paused ? 1 : 0));
  metrics.counter({
    name: 'rmr_resync_pulled_bytes_total',
    help: 'Bytes pulled from other members',
    labels: ['pool', 'member'],
    read: (observe) => each((_pool, sync, labels) => observe(sync.pulledBytes, ...labels)),
  });
  metrics.gauge({
    name: 'rmr_sync_leg_ready',
    help: '1 while reads can be sent to the other member',
    labels: ['pool', 'member', 'peer'],
    read: (observe) =>
      each((pool, _sync, labels) => {
        for (const { memberId, ready } of pool.peers()) observe(ready ? 1 : 0, ...labels, memberId);
      }),
  });
  metrics.gauge({
    name: 'rmr_sync_leg_in_flight',
    help: 'Reads that are under way to the other member',
    labels: ['pool', 'member', 'peer'],
    read: (observe) =>
      each((pool, _sync, labels) => {
        for (const { memberId, inFlight } of pool.peers()) observe(inFlight, ...labels, memberId);
      }),
  });
  gauge('rmr_store_waiting_requests', 'Requests that wait for chunks which are dirty for this member', (_sync, pool) =>
    pool.waits().reduce((sum, wait) => sum + wait.requests, 0),
  );
  gauge('rmr_store_oldest_wait_seconds', 'How long the oldest of these requests has waited; 0 while none waits', (_sync, pool) => {
    const [oldest] = pool.waits();
    return oldest === undefined ? 0 : Math.max(0, Date.now() - oldest.sinceMs) / 1000;
  });
}
