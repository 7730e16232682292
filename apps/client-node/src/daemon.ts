import type { ClientNodeStatus, Health, NodeIdentity } from '@rmr/admin-api';
import type { Daemon, Metrics } from '@rmr/admin-api/node';
import { type Logger, OperationError } from '@rmr/runtime';
import { createSystemWorld, loadHostIdentity } from '@rmr/runtime/node';
import type { ClientNodeConfig } from './config.ts';

/** What the process gives to the daemon. */
export interface DaemonSurroundings {
  readonly log: Logger;
  readonly version: string;
}

/** Brings the client node up: sessions to the members of every pool, the pools, and their NBD exports. */
export async function startDaemon(config: ClientNodeConfig, surroundings: DaemonSurroundings): Promise<Daemon> {
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
  const health = (): Health => ({ level: 'down', sentence: 'no pool is mapped' });

  return {
    status: (): ClientNodeStatus => ({
      role: 'client-node',
      node: identity(),
      health: health(),
      sessions: [],
      nbdAddresses: [],
      pools: [],
      exports: [],
    }),
    notReady: () => health().sentence,
    async flush(pool) {
      throw new OperationError('NOT_FOUND', `pool ${pool ?? ''} is not mapped here; no pool is`);
    },
    registerMetrics(_metrics: Metrics) {},
    async stop(_graceful) {},
  };
}
