import { clientSessionStatus, HealthLog, type StorageNodeStatus } from '@rmr/admin-api';
import { commandService, StoreKeeper, ThreadPlaces } from '@rmr/brmr';
import { StoreOpeners } from '@rmr/brmr/node';
import { type Daemon, DaemonEvents, DaemonNode, type DaemonSurroundings, type Metrics } from '@rmr/daemon';
import { MESSAGE_PAYLOAD_BYTES_MAX, type PoolStore, RmrServer, Sessions, type StoreIdentity } from '@rmr/rmr';
import { RtrsServer } from '@rmr/rtrs';
import { OperationError, SlabPool, Status, statusName } from '@rmr/runtime';
import { poolThreads } from '@rmr/runtime/node';
import type { StorageNodeConfig } from './config.ts';
import { DoubtfulStoreFile } from './doubtful-stores.ts';
import { LastCopyWait, onlyCopies, onlyCopyText } from './last-copy.ts';
import { registerStorageMetrics } from './metrics.ts';
import { NodeDisks } from './node-disks.ts';
import { attachedStores, nodeHealth, poolStatus, sessionStatus, storeStatus, watchedPool } from './status.ts';
import { StoreEvents } from './store-events.ts';

/** Permits of each session to another storage node: enough for the resync of many pools, while a hanging disk keeps some for good (I11). */
const SYNC_QUEUE_DEPTH = 512;

/** Starts the storage node: its stores, their pools, and the listeners for sessions. */
export async function startDaemon(config: StorageNodeConfig, surroundings: DaemonSurroundings): Promise<Daemon> {
  const { log, transport } = surroundings;
  const node = new DaemonNode(config, surroundings);
  const { world, host } = node;
  const events = new DaemonEvents(world, config.stateDir, { name: config.name, version: surroundings.version });
  const slabs = new SlabPool();
  const sessions = new Sessions(world, transport, slabs, {
    ...node.sessionOptions,
    queueDepth: SYNC_QUEUE_DEPTH,
    maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX,
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
      ...node.sessionOptions,
      queueDepth: config.limits.queueDepth,
      maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX,
      sessionsMax: config.limits.sessions,
    },
    rmr,
  );
  const threads = new ThreadPlaces(poolThreads());
  const disks = new NodeDisks({ world, config, hostUuid: host.hostUuid, threads });
  const storePaths = [...config.stores.map(({ path }) => path), ...disks.paths];
  const doubtful = new DoubtfulStoreFile(config.stateDir, storePaths, log);
  const keeper = new StoreKeeper(
    config.stores.map(({ path, poolUuid, ioTimeout, volatileCache }) => ({ path, poolUuid, ioTimeoutMs: ioTimeout, volatileCache })),
    { world, opener: new StoreOpeners(world, slabs, host.bootId, threads), registry: rmr, doubtful },
  );
  // `down` is only a warning here: a pool is down as long as no client uses it, which is not this node's fault. Only open stores are
  // watched: the keeper logs a store that is away.
  const health = new HealthLog(log, { degraded: 'warn', down: 'warn' }, () => attachedStores(keeper).map(watchedPool));
  world.ticker.subscribe(health);
  const storeEvents = new StoreEvents(keeper, events, config.name);
  world.ticker.subscribe(storeEvents);

  const lastCopy = new LastCopyWait({ ticker: world.ticker, log, waitMs: config.lastCopyWait, look: () => onlyCopies(keeper) });
  let stopping: Promise<void> | null = null;
  /** Ends all sessions, waits until nothing executes, then flushes the stores and marks them as shut down cleanly. */
  const stopGracefully = async (): Promise<void> => {
    node.closeListeners();
    rmr.onCommand = null;
    await disks.stop();
    world.ticker.unsubscribe(health);
    server.close('this storage node stops');
    sessions.close('this storage node stops');
    await new Promise<void>((resolve) => keeper.stop(resolve));
    await doubtful.settled();
    world.ticker.unsubscribe(storeEvents);
    await events.stop('it was asked to');
  };

  const holds = (): string | null => onlyCopyText(onlyCopies(keeper));

  try {
    rmr.resyncOrderOf = (poolUuid) => disks.resyncOrderOf(poolUuid);
    await new Promise<void>((resolve, reject) => {
      keeper.start((mistake) => (mistake === null ? resolve() : reject(mistake)));
    });
    const service = await disks.start(keeper, rmr);
    rmr.whyAbsent = (poolUuid) => keeper.whyAbsent(poolUuid) ?? service.whyAbsent(poolUuid);
    rmr.onCommand = commandService(log, service);
    transport.setAccess(config.rtrs.socket);
    await node.listen('rtrs.listen', config.rtrs.listen, (stream) => server.accept(stream));
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
        node: node.identity(),
        health: nodeHealth(pools, stores, config.disks.length),
        sessions: [...server.sessions().map(sessionStatus), ...sessions.all().map(({ rtrs }) => clientSessionStatus(rtrs))],
        rtrsAddresses: [...node.addresses],
        pools,
        stores,
      };
    },
    // A storage node that listens is ready. Whether a client uses it does not matter here.
    notReady: () => (stopping === null ? null : lastCopy.waits ? `it is stopping, and waits because it ${holds()}` : 'it is stopping'),
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
        throw new OperationError('UNAVAILABLE', `${away.spec.path} can't be flushed, because it is not open: ${away.reason}`);
    },
    disks,
    events,
    ordered: (caller, order, target, details) => events.ordered(caller, order, target, details),
    orderFailed: (caller, order, target, why) => events.orderFailed(caller, order, target, why),
    refused: (caller, procedure) => events.refused(caller, procedure),
    registerMetrics: (metrics: Metrics) => registerStorageMetrics(metrics, keeper, server, slabs),
    stop: async (graceful) => {
      // When it does not wait for an orderly stop, it just ends: accepted data is in the kernel's hands or was never acknowledged, and the
      // next start sorts it out.
      if (graceful) stopping ??= new Promise<void>((resolve) => lastCopy.begin(resolve)).then(stopGracefully);
      // A second signal ends the wait for other copies. The stores are closed in order all the same.
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
