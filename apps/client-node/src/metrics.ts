import type { Metrics } from '@rmr/daemon';
import type { NbdServer } from '@rmr/nbd';
import type { LegState, PoolClientCounters, PoolClientStatus, PoolWaitKind, RmrClient } from '@rmr/rmr';
import type { SlabPool } from '@rmr/runtime';
import type { MappedPool } from './mapped-pools.ts';
import { poolHealth } from './status.ts';

const COUNTERS: readonly { name: string; help: string; read: (counters: PoolClientCounters) => number }[] = [
  { name: 'rmr_pool_reads_total', help: 'Reads completed', read: (counters) => counters.reads },
  { name: 'rmr_pool_read_bytes_total', help: 'Bytes read', read: (counters) => counters.readBytes },
  { name: 'rmr_pool_writes_total', help: 'Writes completed on every in-sync leg', read: (counters) => counters.writes },
  { name: 'rmr_pool_written_bytes_total', help: 'Bytes written', read: (counters) => counters.writtenBytes },
  { name: 'rmr_pool_discards_total', help: 'Discards completed', read: (counters) => counters.discards },
  { name: 'rmr_pool_write_zeroes_total', help: 'Write-zeroes completed', read: (counters) => counters.writeZeroes },
  { name: 'rmr_pool_flushes_total', help: 'Flushes completed', read: (counters) => counters.flushes },
  { name: 'rmr_pool_io_errors_total', help: 'IOs that ended with an error', read: (counters) => counters.errors },
  { name: 'rmr_pool_read_retries_total', help: 'Reads sent to another leg after one failed', read: (counters) => counters.readRetries },
  { name: 'rmr_pool_overlap_holds_total', help: 'IOs that waited for an overlapping write', read: (counters) => counters.overlapHolds },
  {
    name: 'rmr_pool_bounces_total',
    help: 'Requests that a member gave back and that were sent again: for a map update, or after a long wait for a chunk',
    read: (counters) => counters.bounces,
  },
  {
    name: 'rmr_pool_cancelled_total',
    help: 'IOs that never began, because the NBD client that asked for them was gone',
    read: (counters) => counters.cancelled,
  },
];

const LEVELS = ['healthy', 'degraded', 'down'] as const;
const WAIT_KINDS: readonly PoolWaitKind[] = ['VERSION', 'QUORUM', 'MAP_UPDATE', 'CHUNK', 'FLUSH', 'OWED', 'SESSION', 'LEG'];
const LEG_STATES: readonly LegState[] = ['CREATED', 'NORMAL', 'FAILED', 'RECONNECTING', 'REMOVING'];

/** Adds the metrics of the client node. Their values are read at each scrape. */
export function registerClientMetrics(
  metrics: Metrics,
  pools: readonly MappedPool[],
  client: RmrClient,
  server: NbdServer,
  slabs: SlabPool,
): void {
  for (const { name, help, read } of COUNTERS) {
    metrics.counter({
      name,
      help,
      labels: ['pool'],
      read: (observe) => {
        for (const pool of pools) observe(read(pool.client.counters), pool.config.name);
      },
    });
  }
  metrics.gauge({
    name: 'rmr_pool_serving',
    help: '1 while the pool serves IO, 0 while IO waits or is refused',
    labels: ['pool'],
    read: (observe) => {
      for (const pool of pools) observe(pool.client.state === 'SERVING' ? 1 : 0, pool.config.name);
    },
  });
  metrics.gauge({
    name: 'rmr_pool_io_in_flight',
    help: 'IOs that are executing or waiting',
    labels: ['pool', 'state'],
    read: (observe) => {
      for (const pool of pools) {
        const status = pool.client.status();
        observe(status.executing, pool.config.name, 'executing');
        observe(status.waiting, pool.config.name, 'waiting');
      }
    },
  });
  registerPoolMetrics(metrics, pools);
  registerLegMetrics(metrics, pools);
  metrics.gauge({
    name: 'rmr_session_paths_up',
    help: 'Paths of the session to a storage node that are up',
    labels: ['address'],
    read: (observe) => {
      for (const session of client.sessions()) {
        observe(session.rtrs.paths().filter((path) => path.state === 'UP').length, session.addresses[0] as string);
      }
    },
  });
  metrics.gauge({
    name: 'rmr_nbd_connections',
    help: 'NBD connections, by export; the label is empty for connections that have not chosen an export yet',
    labels: ['export'],
    read: (observe) => {
      const counts = new Map<string, number>();
      for (const connection of server.connections())
        counts.set(connection.exportName ?? '', (counts.get(connection.exportName ?? '') ?? 0) + 1);
      for (const [name, count] of counts) observe(count, name);
    },
  });
  metrics.gauge({
    name: 'rmr_buffer_held_bytes',
    help: 'Bytes in receive and send buffers that are in use',
    read: (observe) => observe(slabs.heldBytes),
  });
}

/** Adds the metrics of each pool: its health, its waits, its version. */
function registerPoolMetrics(metrics: Metrics, pools: readonly MappedPool[]): void {
  metrics.gauge({
    name: 'rmr_pool_health',
    help: '1 for the level of health that the pool has, 0 for the others',
    labels: ['pool', 'level'],
    read: (observe) => {
      for (const { config, client } of pools) {
        const health = poolHealth(client.status());
        for (const level of LEVELS) observe(health.level === level ? 1 : 0, config.name, level);
      }
    },
  });
  metrics.gauge({
    name: 'rmr_pool_waiting_requests',
    help: 'Requests of a served pool that wait for more than their turn, by what they wait for',
    labels: ['pool', 'kind'],
    read: (observe) => {
      for (const { config, client } of pools) {
        const { waits } = client.status();
        for (const kind of WAIT_KINDS) {
          const requests = waits.reduce((sum, wait) => sum + (wait.kind === kind ? wait.requests : 0), 0);
          observe(requests, config.name, kind);
        }
      }
    },
  });
  const gauge = (name: string, help: string, read: (status: PoolClientStatus) => number | null): void =>
    metrics.gauge({
      name,
      help,
      labels: ['pool'],
      read: (observe) => {
        for (const { config, client } of pools) {
          const value = read(client.status());
          if (value !== null) observe(value, config.name);
        }
      },
    });
  gauge('rmr_pool_oldest_io_seconds', 'Age of the oldest IO that has not ended; 0 while there is none', ({ oldestIoSinceMs }) =>
    oldestIoSinceMs === null ? 0 : Math.max(0, Date.now() - oldestIoSinceMs) / 1000,
  );
  gauge('rmr_pool_members', 'Members that hold data', ({ legs }) => legs.length);
  gauge('rmr_pool_in_sync_members', 'Members in the in-sync set', ({ legs }) => legs.filter((leg) => leg.inSync).length);
  gauge('rmr_pool_version_epoch', 'Client epoch of the version; absent before the first', ({ version }) => version?.epoch ?? null);
  gauge('rmr_pool_version_seq', 'Sequence number of the version within its epoch', ({ version }) => version?.seq ?? null);
  gauge(
    'rmr_pool_version_change_pending',
    '1 while a version is being recorded, or is about to be; writes and flushes wait meanwhile',
    (status) => (status.versionChangePending ? 1 : 0),
  );
  gauge(
    'rmr_pool_lost_bytes',
    'Bytes that are LOST: no member has them any more, and reads fail until their chunks are written whole',
    ({ lost }) => lost?.bytes ?? 0,
  );
  gauge(
    'rmr_pool_unreadable_bytes',
    'Bytes of chunks that no member could read; reads fail until the chunks are written whole',
    ({ unreadable }) => unreadable?.bytes ?? 0,
  );
  gauge(
    'rmr_pool_without_clean_copy',
    '1 while there is a chunk that only members out of the in-sync set have clean; IO on it waits',
    (status) => (status.withoutCleanCopy === null ? 0 : 1),
  );
  gauge(
    'rmr_pool_config_differences',
    "Number of differences between this node's configuration and the pool's own records",
    ({ differences }) => differences.length,
  );
  gauge('rmr_pool_owed_bytes', 'Bytes of map adds that would take the last clean copy; writes there wait', ({ owedBytes }) => owedBytes);
}

/** Adds the metrics of each leg of each pool. */
function registerLegMetrics(metrics: Metrics, pools: readonly MappedPool[]): void {
  type LegPicture = PoolClientStatus['legs'][number];
  const gauge = (name: string, help: string, read: (leg: LegPicture) => number | null): void =>
    metrics.gauge({
      name,
      help,
      labels: ['pool', 'member'],
      read: (observe) => {
        for (const { config, client } of pools) {
          for (const leg of client.status().legs) {
            const value = read(leg);
            if (value !== null) observe(value, config.name, leg.memberId);
          }
        }
      },
    });
  gauge('rmr_leg_normal', '1 while the leg is NORMAL, so that it gets every write', (leg) => (leg.state === 'NORMAL' ? 1 : 0));
  metrics.gauge({
    name: 'rmr_leg_state',
    help: '1 for the state that the leg is in, 0 for the others',
    labels: ['pool', 'member', 'state'],
    read: (observe) => {
      for (const { config, client } of pools) {
        for (const leg of client.status().legs) {
          for (const state of LEG_STATES) observe(leg.state === state ? 1 : 0, config.name, leg.memberId, state);
        }
      }
    },
  });
  gauge('rmr_leg_rolled_back', "1 while the member's store is known to be rolled back: it lacks what others remember of it", (leg) =>
    leg.rolledBack === null ? 0 : 1,
  );
  gauge('rmr_leg_connected', '1 while there is a session to the storage node', (leg) => (leg.connected ? 1 : 0));
  gauge(
    'rmr_leg_dirty_bytes',
    "Bytes in chunks that the member has missed and not pulled yet; absent before the pool was served, and while the store there is not the member's own",
    (leg) => leg.dirtyBytes,
  );
  gauge('rmr_leg_in_flight', 'Requests sent on the leg and not answered', (leg) => leg.inFlight);
  gauge(
    'rmr_leg_held_up_seconds',
    'Seconds of the last legSlowFor in which the leg has held up IO that others had answered; 0: too short to count',
    (leg) => (leg.heldUp?.ms ?? 0) / 1_000,
  );
}
