import type { Health, NodeIdentity, StorageNodeStatus } from '@rmr/admin-api';
import type { Daemon, Metrics } from '@rmr/admin-api/node';
import { type Logger, OperationError } from '@rmr/runtime';
import { createSystemWorld, loadHostIdentity, type SocketTransport } from '@rmr/runtime/node';
import type { StorageNodeConfig } from './config.ts';

/** What the process gives to the daemon. */
export interface DaemonSurroundings {
  readonly log: Logger;
  readonly version: string;
  /** For every connection to and from other nodes: it knows the configured routes. */
  readonly transport: SocketTransport;
}

/** Brings the storage node up: its stores, their pools, and the listeners for sessions. */
export async function startDaemon(config: StorageNodeConfig, surroundings: DaemonSurroundings): Promise<Daemon> {
  const world = createSystemWorld(surroundings.log);
  const host = loadHostIdentity(config);
  const startedMs = world.clock.nowMs();
  const startedAt = new Date(world.clock.wallMs()).toISOString();

  const identity = (): NodeIdentity => ({
    name: config.name,
    hostUuid: host.hostUuid,
    bootId: host.bootId,
    incarnation: host.incarnation,
    version: surroundings.version,
    pid: process.pid,
    startedAt,
    uptimeSeconds: (world.clock.nowMs() - startedMs) / 1000,
  });
  const health = (): Health => ({ level: 'down', sentence: 'no store is open' });

  return {
    status: (): StorageNodeStatus => ({
      role: 'storage-node',
      node: identity(),
      health: health(),
      sessions: [],
      rtrsAddresses: [],
      pools: [],
    }),
    notReady: () => health().sentence,
    async flush(pool) {
      throw new OperationError('NOT_FOUND', `pool ${pool ?? ''} has no store here; no store is open`);
    },
    registerMetrics(_metrics: Metrics) {},
    async stop(_graceful) {},
  };
}
