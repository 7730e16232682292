import { type ClientNodeStatus, clientSessionStatus, HealthLog } from '@rmr/admin-api';
import { type Daemon, DaemonEvents, DaemonNode, type DaemonSurroundings, type Metrics } from '@rmr/daemon';
import { NbdServer } from '@rmr/nbd';
import { openOperationJournal } from '@rmr/operations/node';
import { IoRequest, MESSAGE_PAYLOAD_BYTES_MAX, MessageType, RmrClient } from '@rmr/rmr';
import { QUEUE_DEPTH_MAX } from '@rmr/rtrs';
import { OperationError, SlabPool, Status, statusName } from '@rmr/runtime';
import type { ClientNodeConfig } from './config.ts';
import { ConfigDifferences } from './config-differences.ts';
import { type MappedPool, MappedPools } from './mapped-pools.ts';
import { openMappings } from './mappings.ts';
import { registerClientMetrics } from './metrics.ts';
import { PoolEvents } from './pool-events.ts';
import { findPool, poolOrders } from './pool-orders.ts';
import { exportStatuses, nodeHealth, poolStatus, watchedPool } from './status.ts';
import { VolumeDriver } from './volume-driver.ts';

/** Starts the client node: NBD listeners, sessions to the members of every pool, the pools, and their exports. */
export async function startDaemon(config: ClientNodeConfig, surroundings: DaemonSurroundings): Promise<Daemon> {
  const { log, transport } = surroundings;
  const node = new DaemonNode(config, surroundings);
  const { world, host } = node;
  // What can't be understood is told before anything is opened.
  const mappings = openMappings(config.stateDir);
  const journal = openOperationJournal(config.stateDir);
  const events = new DaemonEvents(world, config.stateDir, { name: config.name, version: surroundings.version });
  const slabs = new SlabPool();
  const server = new NbdServer(world, slabs, {
    connectionsMax: config.nbd.connections,
    exportWaitMs: config.nbd.exportWait ?? Number.POSITIVE_INFINITY,
  });
  const client = new RmrClient(world, transport, slabs, {
    instanceUuid: host.incarnation,
    name: config.name,
    session: {
      ...node.sessionOptions,
      pathPolicy: config.transport.pathPolicy,
      // All pools share a session, those that are mapped later too, so it has as many places as there can be. Requests that a hanging
      // disk never answers take places of their own pool, and leave those of the others (I11).
      queueDepth: QUEUE_DEPTH_MAX,
      maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX,
    },
  });
  const mapped = new MappedPools(world, client, server);
  const pools = mapped.list;
  for (const pool of config.pools) mapped.announce(pool);
  transport.setAccess(config.nbd.socket);
  await node.listen('nbd.listen', config.nbd.listen, (stream) => server.accept(stream));
  for (const pool of config.pools) mapped.map(pool, true);
  const volumes = new VolumeDriver({ world, client, mapped, mappings, journal, events });
  volumes.start();

  const differences = new ConfigDifferences(log, pools);
  world.ticker.subscribe(differences);
  const health = new HealthLog(
    log,
    { degraded: 'warn', down: 'error' },
    () => pools.map((pool) => watchedPool(pool, config.admin)),
    (change) => {
      const uuid = pools.find((pool) => pool.config.name === change.pool)?.config.uuid ?? '';
      const { pool, from, to, why } = change;
      events.record('pool-health', uuid, { pool, from, to, why });
    },
  );
  world.ticker.subscribe(health);
  const poolEvents = new PoolEvents(pools, events);
  world.ticker.subscribe(poolEvents);
  const statuses = () => pools.map((pool) => poolStatus(pool, config.admin));

  let stopping: Promise<void> | null = null;
  const stopGracefully = async (): Promise<void> => {
    node.closeListeners();
    await volumes.stop();
    await new Promise<void>((resolve) => server.shutdown(true, resolve));
    world.ticker.unsubscribe(differences);
    world.ticker.unsubscribe(health);
    await new Promise<void>((resolve) => client.stop(resolve));
    world.ticker.unsubscribe(poolEvents);
    await events.stop('it was asked to');
  };

  return {
    status: (): ClientNodeStatus => {
      const all = statuses();
      return {
        role: 'client-node',
        node: node.identity(),
        health: nodeHealth(all),
        sessions: client.sessions().map(({ rtrs }) => clientSessionStatus(rtrs)),
        nbdAddresses: [...node.addresses],
        pools: all,
        exports: exportStatuses(world, pools, server),
      };
    },
    notReady: () => {
      const waiting = statuses().find((pool) => pool.health.level === 'down');
      return waiting?.health.sentence ?? null;
    },
    flush: async (wanted) => {
      const chosen = wanted === null && pools.length > 0 ? pools : [findPool(pools, wanted ?? '')];
      await Promise.all(chosen.map(flushPool));
    },
    pools: poolOrders(pools, log),
    volumes,
    operations: volumes,
    events,
    ordered: (caller, order, target, details) => events.ordered(caller, order, target, details),
    orderFailed: (caller, order, target, why) => events.orderFailed(caller, order, target, why),
    refused: (caller, procedure) => events.refused(caller, procedure),
    registerMetrics: (metrics: Metrics) => registerClientMetrics(metrics, pools, client, server, slabs),
    stop: async (graceful) => {
      if (graceful) {
        stopping ??= stopGracefully();
        await stopping;
        return;
      }
      await new Promise<void>((resolve) => server.shutdown(false, resolve));
    },
  };
}

/** Flushes the pool, as a user of its device would. */
function flushPool({ config, client }: MappedPool): Promise<void> {
  if (client.state !== 'SERVING') {
    return Promise.reject(
      new OperationError('UNAVAILABLE', `pool ${config.name} is not served: ${client.status().waitingFor?.what ?? client.state}`),
    );
  }
  return new Promise((resolve, reject) => {
    const flush = new IoRequest({
      onIoDone: (_request, status) => {
        if (status === Status.OK) resolve();
        else reject(new OperationError('IO_ERROR', `pool ${config.name} could not be flushed: ${statusName(status)}`));
      },
    });
    flush.type = MessageType.FLUSH;
    client.submit(flush);
  });
}
