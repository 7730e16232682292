import type { DiskPace, StoreKeeper } from '@rmr/brmr';
import type { Metrics } from '@rmr/daemon';
import { onlyCopyBytes, type PoolServer, type PoolServerCounters } from '@rmr/rmr';
import type { RtrsServer } from '@rmr/rtrs';
import type { SlabPool } from '@rmr/runtime';
import { registerResyncMetrics } from './resync-metrics.ts';
import { attachedStores } from './status.ts';

const COUNTERS: readonly { name: string; help: string; read: (counters: PoolServerCounters) => number }[] = [
  { name: 'rmr_store_reads_total', help: 'Reads received', read: (counters) => counters.reads },
  { name: 'rmr_store_read_bytes_total', help: 'Bytes asked for by reads', read: (counters) => counters.readBytes },
  { name: 'rmr_store_writes_total', help: 'Writes received', read: (counters) => counters.writes },
  { name: 'rmr_store_written_bytes_total', help: 'Bytes of the writes received', read: (counters) => counters.writtenBytes },
  { name: 'rmr_store_discards_total', help: 'Discards received', read: (counters) => counters.discards },
  { name: 'rmr_store_write_zeroes_total', help: 'Write-zeroes received', read: (counters) => counters.writeZeroes },
  { name: 'rmr_store_flushes_total', help: 'Flushes received', read: (counters) => counters.flushes },
  { name: 'rmr_store_errors_total', help: 'Requests that ended with an error', read: (counters) => counters.errors },
  {
    name: 'rmr_store_rejected_total',
    help: 'Requests that were refused, for a stale epoch, a wrong state or a bad range',
    read: (counters) => counters.rejected,
  },
  { name: 'rmr_store_chunk_waits_total', help: 'Requests that waited for a dirty chunk', read: (counters) => counters.chunkWaits },
  {
    name: 'rmr_store_bounces_total',
    help: 'Requests given back to the client: for a map update, or after a long wait for a chunk',
    read: (counters) => counters.bounces,
  },
  {
    name: 'rmr_store_passed_writes_total',
    help: 'Writes that passed by dirty chunks, which this member can not take and others have',
    read: (counters) => counters.passedWrites,
  },
  {
    name: 'rmr_store_sync_reads_total',
    help: 'Reads that other storage nodes sent for their resync',
    read: (counters) => counters.syncReads,
  },
  {
    name: 'rmr_store_sync_read_bytes_total',
    help: 'Bytes of data in the answers to these reads; zeroes are left out',
    read: (counters) => counters.syncReadBytes,
  },
];

/** Adds the metrics of the storage node. Their values are read at each scrape. */
export function registerStorageMetrics(metrics: Metrics, keeper: StoreKeeper, server: RtrsServer, slabs: SlabPool): void {
  for (const { name, help, read } of COUNTERS) {
    metrics.counter({
      name,
      help,
      labels: ['pool', 'member'],
      read: (observe) => {
        for (const { pool } of attachedStores(keeper))
          observe(read(pool.counters), pool.store.identity.poolName, pool.store.identity.memberId);
      },
    });
  }
  const gauge = (name: string, help: string, read: (pool: PoolServer) => number): void =>
    metrics.gauge({
      name,
      help,
      labels: ['pool', 'member'],
      read: (observe) => {
        for (const { pool } of attachedStores(keeper)) observe(read(pool), pool.store.identity.poolName, pool.store.identity.memberId);
      },
    });
  gauge('rmr_store_normal', '1 while the member is in sync and serves IO', (pool) => (pool.state === 'NORMAL' ? 1 : 0));
  gauge('rmr_store_executing', 'Requests accepted and not answered yet', (pool) => pool.executing);
  gauge('rmr_store_intent_bytes', 'Bytes in regions that may differ between members after a power loss', (pool) =>
    pool.store.intentRanges().reduce((sum, range) => sum + range.lengthBytes, 0),
  );
  gauge('rmr_store_only_copy_bytes', 'Bytes that only this store has: every other member with data has missed them', ({ store }) =>
    onlyCopyBytes(store),
  );
  registerResyncMetrics(metrics, keeper);
  metrics.gauge({
    name: 'rmr_store_up',
    help: '1 while the store is open, 0 while it is not, because its disk failed, hangs or is away',
    labels: ['store'],
    read: (observe) => {
      for (const { spec, pool } of keeper.stores) observe(pool === null ? 0 : 1, spec.path);
    },
  });
  registerPaceMetrics(metrics, keeper);
  metrics.gauge({
    name: 'rmr_store_free_bytes',
    help: 'Free space of the file system of an open store',
    labels: ['store'],
    read: (observe) => {
      for (const { spec, pool } of keeper.stores)
        if (pool !== null && pool.store.space !== null) observe(pool.store.space.freeBytes, spec.path);
    },
  });
  metrics.gauge({
    name: 'rmr_store_wanted_bytes',
    help: 'Bytes that an open store would still take from its file system if all of it was written',
    labels: ['store'],
    read: (observe) => {
      for (const { spec, pool } of keeper.stores)
        if (pool !== null && pool.store.space !== null) observe(pool.store.space.wantedBytes, spec.path);
    },
  });
  metrics.gauge({
    name: 'rmr_store_full',
    help: '1 while an open store refuses writes for lack of space',
    labels: ['store'],
    read: (observe) => {
      for (const { spec, pool } of keeper.stores) if (pool !== null) observe(pool.fullSinceMs === null ? 0 : 1, spec.path);
    },
  });
  metrics.gauge({
    name: 'rmr_store_dirty_bytes',
    help: 'Bytes in chunks that a member has missed, as far as this store knows',
    labels: ['pool', 'member', 'missing_member'],
    read: (observe) => {
      for (const { pool } of attachedStores(keeper)) {
        const { identity, members } = pool.store;
        for (const { memberId } of members) observe(pool.store.dirtyBytes(memberId), identity.poolName, identity.memberId, memberId);
      }
    },
  });
  metrics.gauge({
    name: 'rmr_rtrs_sessions',
    help: 'Sessions of clients, by state',
    labels: ['state'],
    read: (observe) => {
      const counts = new Map<string, number>();
      for (const session of server.sessions()) counts.set(session.state, (counts.get(session.state) ?? 0) + 1);
      for (const [state, count] of counts) observe(count, state);
    },
  });
  metrics.gauge({
    name: 'rmr_buffer_held_bytes',
    help: 'Bytes in receive and send buffers that are in use',
    read: (observe) => observe(slabs.heldBytes),
  });
}

/** Adds the metrics of the disks' pace. The store of a slow disk stays open, so a person has to be able to see that the disk is slow. */
function registerPaceMetrics(metrics: Metrics, keeper: StoreKeeper): void {
  const gauge = (name: string, help: string, read: (pace: DiskPace) => number | null): void =>
    metrics.gauge({
      name,
      help,
      labels: ['store'],
      read: (observe) => {
        for (const { spec, pace } of keeper.stores) {
          const value = pace === null ? null : read(pace);
          if (value !== null) observe(value, spec.path);
        }
      },
    });
  gauge(
    'rmr_store_waiting_seconds',
    'Age of the oldest request to the disk that has not ended; it may be older',
    (pace) => pace.oldestMs / 1000,
  );
  gauge(
    'rmr_store_unwritten_bytes',
    'Bytes that were written and are not on the disk yet; there may be fewer',
    (pace) => pace.unwrittenBytes,
  );
  gauge(
    'rmr_store_write_back_bytes_per_second',
    'The pace of the disk, as it was measured when the disk last wrote much',
    (pace) => pace.bytesPerSecond,
  );
}
