import { type ClientNodeStatus, type ClientPoolStatus, type Health, type IoCounters, worstHealth } from '@rmr/admin-api';
import type { NbdServer } from '@rmr/nbd';
import type { PoolClient, PoolClientStatus } from '@rmr/rmr';
import type { World } from '@rmr/runtime';
import type { ClientPoolConfig } from './config.ts';

/** A pool that this node maps: its configuration and its client. */
export interface MappedPool {
  readonly config: ClientPoolConfig;
  readonly client: PoolClient;
}

/** The health of the node: the worst of its pools. */
export function nodeHealth(pools: readonly ClientPoolStatus[]): Health {
  if (pools.length === 0) return { level: 'down', sentence: 'no pool is mapped: the configuration names none' };
  return worstHealth(
    pools.map((pool) => pool.health),
    pools.length === 1 ? (pools[0] as ClientPoolStatus).health.sentence : `all ${pools.length} pools are served by all of their members`,
  );
}

/** One pool's status. */
export function poolStatus({ config, client }: MappedPool): ClientPoolStatus {
  const status = client.status();
  const { counters } = client;
  const io: IoCounters = {
    reads: counters.reads,
    writes: counters.writes,
    flushes: counters.flushes,
    trims: counters.discards,
    writeZeroes: counters.writeZeroes,
    readBytes: counters.readBytes,
    writtenBytes: counters.writtenBytes,
    errors: counters.errors,
    inFlight: status.executing,
  };
  return {
    name: status.poolName,
    uuid: status.poolUuid,
    state: status.state === 'SERVING' || status.state === 'STOPPING' ? 'SERVING' : status.state === 'RECOVERING' ? 'WAITING' : 'STOPPED',
    reason: status.waitingFor?.what ?? (status.versionChangePending ? 'a new in-sync set is being recorded' : 'served'),
    since: isoTime(status.stateSinceMs),
    epoch: status.epoch === 0 ? null : status.epoch,
    version:
      status.version === null
        ? null
        : {
            lineageUuid: status.version.lineageUuid,
            epoch: status.version.epoch,
            seq: status.version.seq,
            inSync: status.version.inSync.map((member) => member.memberId).sort((a, b) => a - b),
          },
    sizeBytes: status.geometry?.sizeBytes ?? null,
    chunkSizeBytes: status.geometry?.chunkSizeBytes ?? null,
    queueDepth: config.queueDepth,
    readPolicy: config.readPolicy,
    legs: status.legs.map((leg) => ({
      memberId: leg.memberId,
      name: leg.name,
      storeUuid: leg.storeUuid,
      state: leg.state,
      reason: leg.reason,
      since: isoTime(leg.sinceMs),
      // The maps are kept by the storage nodes, which tell them in their own status.
      dirtyBytes: null,
      inFlight: leg.inFlight,
    })),
    io,
    waitingIo: status.waiting,
    waitingFor: status.waitingFor === null ? null : { what: status.waitingFor.what, since: isoTime(status.waitingFor.sinceMs) },
    health: poolHealth(status),
  };
}

/** Whether the data is safe, and if not, what it waits for. */
function poolHealth(status: PoolClientStatus): Health {
  const normal = status.legs.filter((leg) => leg.state === 'NORMAL');
  const name = `pool ${status.poolName}`;
  if (status.state !== 'SERVING' && status.state !== 'STOPPING') {
    return { level: 'down', sentence: `${name} is not served: it waits for ${status.waitingFor?.what ?? 'its stop'}` };
  }
  if (normal.length === status.legs.length && !status.versionChangePending) {
    return { level: 'healthy', sentence: `${name} is served by all ${status.legs.length} members, and all of them are in sync` };
  }
  const failed = status.legs.filter((leg) => leg.state !== 'NORMAL').map((leg) => `member ${leg.memberId} (${leg.name}): ${leg.reason}`);
  return {
    level: 'degraded',
    sentence: `${name} is served by ${normal.length} of ${status.legs.length} members; out of sync: ${failed.join('; ')}`,
  };
}

/** The exports: one per pool, there or not. */
export function exportStatuses(world: World, pools: readonly MappedPool[], server: NbdServer): ClientNodeStatus['exports'] {
  const connections = server.connections();
  const sinceNow = world.clock.wallMs() - world.clock.nowMs();
  return pools.map(({ config, client }) => {
    const name = config.exportName ?? config.name;
    return {
      name,
      poolUuid: config.uuid,
      sizeBytes: client.geometry?.sizeBytes ?? null,
      readOnly: config.readOnly,
      connections: connections
        .filter((connection) => connection.exportName === name)
        .map((connection) => ({
          peer: connection.peer,
          since: isoTime(sinceNow + connection.connectedAtMs),
          inFlight: connection.requestsInFlight,
        })),
    };
  });
}

function isoTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
