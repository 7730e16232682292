import type { Metrics } from '@rmr/admin-api/node';
import type { NbdServer } from '@rmr/nbd';
import type { PoolClientCounters, RmrClient } from '@rmr/rmr';
import type { SlabPool } from '@rmr/runtime';
import type { MappedPool } from './status.ts';

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
];

/** The metrics of the client node: what the counters say at the time of the scrape. */
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
  metrics.gauge({
    name: 'rmr_leg_normal',
    help: '1 while the leg is NORMAL: it receives every write',
    labels: ['pool', 'member'],
    read: (observe) => {
      for (const pool of pools)
        for (const leg of pool.client.status().legs) observe(leg.state === 'NORMAL' ? 1 : 0, pool.config.name, leg.memberId);
    },
  });
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
    help: 'NBD connections, by export; those that are still negotiating have an empty one',
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
