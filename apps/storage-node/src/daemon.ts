import { clientSessionStatus, HealthLog, type NodeIdentity, type StorageNodeStatus } from '@rmr/admin-api';
import type { Daemon, DaemonSurroundings, Metrics } from '@rmr/admin-api/node';
import { StoreKeeper, ThreadPlaces } from '@rmr/brmr';
import { FileStoreOpener } from '@rmr/brmr/node';
import { MESSAGE_PAYLOAD_BYTES_MAX, type PoolStore, RmrServer, Sessions, type StoreIdentity } from '@rmr/rmr';
import { RtrsServer } from '@rmr/rtrs';
import { OperationError, SlabPool, Status, type StreamListener, statusName } from '@rmr/runtime';
import { createSystemWorld, loadHostIdentity, poolThreads, type SocketTransport } from '@rmr/runtime/node';
import type { StorageNodeConfig } from './config.ts';
import { DoubtfulStoreFile } from './doubtful-stores.ts';
import { LastCopyWait, onlyCopies, onlyCopyText } from './last-copy.ts';
import { registerStorageMetrics } from './metrics.ts';
import { attachedStores, nodeHealth, poolStatus, sessionStatus, storeStatus, watchedPool } from './status.ts';

/** Permits of the sessions to other storage nodes: enough for the resync of many pools, with what a hanging disk never answers (I11). */
const SYNC_QUEUE_DEPTH = 512;

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
    maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX,
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
      maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX,
      payloadChecksum: config.transport.payloadChecksum,
      heartbeatIntervalMs: config.transport.heartbeatInterval,
      deadAfterMs: config.transport.deadAfter,
      sessionsMax: config.limits.sessions,
    },
    rmr,
  );
  const storePaths = config.stores.map(({ path }) => path);
  const doubtful = new DoubtfulStoreFile(config.stateDir, storePaths, log);
  const keeper = new StoreKeeper(
    config.stores.map(({ path, poolUuid, ioTimeout, volatileCache }) => ({ path, poolUuid, ioTimeoutMs: ioTimeout, volatileCache })),
    { world, opener: new FileStoreOpener(world, host.bootId, new ThreadPlaces(poolThreads())), registry: rmr, doubtful },
  );
  // A pool that no client uses is nothing that this node could be blamed for; a store that is away is told by itself.
  const health = new HealthLog(log, { degraded: 'warn', down: 'warn' }, () => attachedStores(keeper).map(watchedPool));
  world.ticker.subscribe(health);
  rmr.whyAbsent = (poolUuid) => keeper.whyAbsent(poolUuid);
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

  const lastCopy = new LastCopyWait({ ticker: world.ticker, log, waitMs: config.lastCopyWait, look: () => onlyCopies(keeper) });
  let stopping: Promise<void> | null = null;
  /** No session is left and nothing executes; then the stores are flushed and marked as shut down cleanly. */
  const stopGracefully = async (): Promise<void> => {
    for (const listener of listeners) listener.close();
    world.ticker.unsubscribe(health);
    server.close('this storage node stops');
    sessions.close('this storage node stops');
    await new Promise<void>((resolve) => keeper.stop(resolve));
    await doubtful.settled();
  };

  const holds = (): string | null => onlyCopyText(onlyCopies(keeper));

  try {
    await new Promise<void>((resolve, reject) => {
      keeper.start((mistake) => (mistake === null ? resolve() : reject(mistake)));
    });
    transport.setAccess(config.rtrs.socket);
    for (const address of config.rtrs.listen) listeners.push(await listen(transport, address, server));
  } catch (error) {
    await stopGracefully();
    throw error;
  }

  return {
    status: (): StorageNodeStatus => {
      const pools = attachedStores(keeper).map(poolStatus);
      const stores = keeper.stores.map(storeStatus);
      return {
        role: 'storage-node',
        node: identity(),
        health: nodeHealth(pools, stores),
        sessions: [...server.sessions().map(sessionStatus), ...sessions.all().map(({ rtrs }) => clientSessionStatus(rtrs))],
        rtrsAddresses: listeners.map((listener) => listener.address),
        pools,
        stores,
      };
    },
    // A storage node that listens does its work: whether a client uses it is the client's matter.
    notReady: () => (stopping === null ? null : lastCopy.waits ? `it is stopping, and waits as it ${holds()}` : 'it is stopping'),
    notice: () => {
      const text = holds();
      return text === null ? null : `this node ${text}: do not stop it before the others have it`;
    },
    flush: async (wanted) => {
      const names = (identity: StoreIdentity): boolean => identity.poolName === wanted || identity.poolUuid === wanted;
      const chosen = keeper.stores.filter(({ identity }) => wanted === null || (identity !== null && names(identity)));
      if (chosen.length === 0) throw new OperationError('NOT_FOUND', `no store of pool ${wanted ?? ''} is open here`);
      await Promise.all(chosen.flatMap(({ spec, pool }) => (pool === null ? [] : [flushStore(pool.store, spec.path)])));
      const away = chosen.find(({ pool }) => pool === null);
      if (away !== undefined)
        throw new OperationError('UNAVAILABLE', `${away.spec.path} is not open, and so can't be flushed: ${away.reason}`);
    },
    registerMetrics: (metrics: Metrics) => registerStorageMetrics(metrics, keeper, server, slabs),
    stop: async (graceful) => {
      // At once: what was accepted is in the kernel's hands or was never acknowledged, and the next start sorts it out.
      if (graceful) stopping ??= new Promise<void>((resolve) => lastCopy.begin(resolve)).then(stopGracefully);
      // What somebody does not want to wait for is the copies: the stores are closed in order all the same.
      else if (lastCopy.waits) lastCopy.endNow();
      else return;
      await stopping;
    },
  };
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
