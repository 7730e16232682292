import type { NodeIdentity, StorageNodeStatus } from '@rmr/admin-api';
import type { Daemon, DaemonSurroundings, Metrics } from '@rmr/admin-api/node';
import { openStore } from '@rmr/brmr/node';
import { IO_BYTES_MAX, type PoolStore, RmrServer, Sessions } from '@rmr/rmr';
import { RtrsServer } from '@rmr/rtrs';
import { type Logger, OperationError, SlabPool, Status, type StreamListener, statusName } from '@rmr/runtime';
import { createSystemWorld, loadHostIdentity, type SocketTransport } from '@rmr/runtime/node';
import type { StorageNodeConfig } from './config.ts';
import { registerStorageMetrics } from './metrics.ts';
import { type AttachedStore, nodeHealth, poolStatus, sessionStatus } from './status.ts';

/** Permits of the sessions to other storage nodes: enough for several pools' resync. */
const SYNC_QUEUE_DEPTH = 128;

/** Brings the storage node up: its stores, their pools, and the listeners for sessions. */
export async function startDaemon(config: StorageNodeConfig, surroundings: DaemonSurroundings): Promise<Daemon> {
  const { log, version, transport } = surroundings;
  const world = createSystemWorld(log);
  const host = loadHostIdentity(config);
  const startedMs = world.clock.nowMs();
  const startedAt = new Date(world.clock.wallMs()).toISOString();
  const slabs = new SlabPool();
  const sessions = new Sessions(world, transport, slabs, {
    local: host,
    queueDepth: SYNC_QUEUE_DEPTH,
    maxPayloadBytes: IO_BYTES_MAX,
    payloadChecksum: config.transport.payloadChecksum,
    heartbeatIntervalMs: config.transport.heartbeatInterval,
    deadAfterMs: config.transport.deadAfter,
  });
  const rmr = new RmrServer(world, slabs, sessions, {
    depth: config.resync.depth,
    rateBytes: config.resync.rate,
    loadedRateBytes: config.resync.rateUnderLoad,
  });
  const server = new RtrsServer(
    world,
    slabs,
    {
      local: host,
      queueDepth: config.limits.queueDepth,
      maxPayloadBytes: IO_BYTES_MAX,
      payloadChecksum: config.transport.payloadChecksum,
      heartbeatIntervalMs: config.transport.heartbeatInterval,
      deadAfterMs: config.transport.deadAfter,
      sessionsMax: config.limits.sessions,
    },
    rmr,
  );
  const stores: AttachedStore[] = [];
  const listeners: StreamListener[] = [];

  const identity = (): NodeIdentity => ({
    name: config.name,
    hostUuid: host.hostUuid,
    bootId: host.bootId,
    incarnation: host.incarnation,
    version,
    pid: process.pid,
    startedAt,
    uptimeSeconds: (world.clock.nowMs() - startedMs) / 1000,
  });

  let stopping: Promise<void> | null = null;
  /** No session is left and nothing executes; then the stores are flushed and marked as shut down cleanly. */
  const stopGracefully = async (): Promise<void> => {
    for (const listener of listeners) listener.close();
    server.close('this storage node stops');
    sessions.close('this storage node stops');
    await Promise.all(
      stores.map(async ({ path, pool }) => {
        await new Promise<void>((resolve) => rmr.unregister(pool, resolve));
        await closeStore(pool.store, path, log);
      }),
    );
  };

  try {
    for (const { path, poolUuid } of config.stores) {
      const store = await openStore({ path, world, bootId: host.bootId, ...(poolUuid === undefined ? {} : { poolUuid }) });
      const other = stores.find(({ pool }) => pool.store.identity.poolUuid === store.identity.poolUuid);
      if (other !== undefined) {
        await closeStore(store, path, log);
        throw new OperationError(
          'CONFLICT',
          `stores: ${path} and ${other.path} are both of pool ${store.identity.poolName} (${store.identity.poolUuid}); a node has one store of a pool`,
        );
      }
      stores.push({ path, pool: rmr.register(store) });
    }
    for (const address of config.rtrs.listen) listeners.push(await listen(transport, address, server));
  } catch (error) {
    await stopGracefully();
    throw error;
  }

  return {
    status: (): StorageNodeStatus => {
      const pools = stores.map(poolStatus);
      return {
        role: 'storage-node',
        node: identity(),
        health: nodeHealth(pools),
        sessions: server.sessions().map(sessionStatus),
        rtrsAddresses: listeners.map((listener) => listener.address),
        pools,
      };
    },
    // A storage node that listens does its work: whether a client uses it is the client's matter.
    notReady: () => (stopping === null ? null : 'it is stopping'),
    flush: async (wanted) => {
      const chosen = stores.filter(
        ({ pool }) => wanted === null || pool.store.identity.poolName === wanted || pool.store.identity.poolUuid === wanted,
      );
      if (chosen.length === 0) throw new OperationError('NOT_FOUND', `no store of pool ${wanted ?? ''} is open here`);
      await Promise.all(chosen.map(({ path, pool }) => flushStore(pool.store, path)));
    },
    registerMetrics: (metrics: Metrics) => registerStorageMetrics(metrics, stores, server, slabs),
    stop: async (graceful) => {
      // At once: what was accepted is in the kernel's hands or was never acknowledged, and the next start sorts it out.
      if (!graceful) return;
      stopping ??= stopGracefully();
      await stopping;
    },
  };
}

function closeStore(store: PoolStore, path: string, log: Logger): Promise<void> {
  return new Promise((resolve) => {
    store.close((status) => {
      if (status !== Status.OK)
        log.error('a store could not be shut down cleanly; its next start recovers', { path, why: statusName(status) });
      resolve();
    });
  });
}

function flushStore(store: PoolStore, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    store.flush(0, {
      onDiskDone: (_tag, status) => {
        if (status === Status.OK) resolve();
        else reject(new OperationError('IO_ERROR', `${path} could not be flushed: ${statusName(status)}`));
      },
    });
    store.submit();
  });
}

function listen(transport: SocketTransport, address: string, server: RtrsServer): Promise<StreamListener> {
  return new Promise((resolve, reject) => {
    transport.listen(
      address,
      (stream) => server.accept(stream),
      resolve,
      (code, reason) => reject(new OperationError(code === 'EADDRINUSE' ? 'ADDRESS_IN_USE' : 'INVALID_CONFIG', `rtrs.listen: ${reason}`)),
    );
  });
}
