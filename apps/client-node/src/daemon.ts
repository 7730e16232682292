import { type ClientNodeStatus, clientSessionStatus, HealthLog } from '@rmr/admin-api';
import { PoolDevice } from '@rmr/brmr';
import { type Daemon, DaemonNode, type DaemonSurroundings, type Metrics } from '@rmr/daemon';
import { type AnnouncedExport, NbdServer } from '@rmr/nbd';
import { IoRequest, MESSAGE_PAYLOAD_BYTES_MAX, MessageType, type PoolClient, RmrClient } from '@rmr/rmr';
import { QUEUE_DEPTH_MAX } from '@rmr/rtrs';
import { OperationError, SlabPool, Status, statusName } from '@rmr/runtime';
import type { ClientNodeConfig, ClientPoolConfig } from './config.ts';
import { ConfigDifferences } from './config-differences.ts';
import { registerClientMetrics } from './metrics.ts';
import { findPool, poolOrders } from './pool-orders.ts';
import { exportStatuses, type MappedPool, nodeHealth, poolHealth, poolStatus, watchedPool } from './status.ts';

/** Starts the client node: NBD listeners, sessions to the members of every pool, the pools, and their exports. */
export async function startDaemon(config: ClientNodeConfig, surroundings: DaemonSurroundings): Promise<Daemon> {
  const { log, transport } = surroundings;
  const node = new DaemonNode(config, surroundings);
  const { world, host } = node;
  const slabs = new SlabPool();
  const server = new NbdServer(world, slabs, {
    connectionsMax: config.nbd.connections,
    exportWaitMs: config.nbd.exportWait ?? Number.POSITIVE_INFINITY,
  });
  const pools: MappedPool[] = [];
  for (const pool of config.pools) server.announceExport(announced(pool, () => pools.find((mapped) => mapped.config === pool)));
  transport.setAccess(config.nbd.socket);
  await node.listen('nbd.listen', config.nbd.listen, (stream) => server.accept(stream));

  const client = new RmrClient(world, transport, slabs, {
    instanceUuid: host.incarnation,
    name: config.name,
    session: {
      ...node.sessionOptions,
      pathPolicy: config.transport.pathPolicy,
      // All pools share a session, so it has places for all of them. Requests that a hanging disk never answers take places of
      // their own pool, and leave those of the others (I11).
      queueDepth: Math.min(QUEUE_DEPTH_MAX, config.pools.reduce((sum, pool) => sum + pool.queueDepth, 0) || 1),
      maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX,
    },
  });
  for (const pool of config.pools) pools.push({ config: pool, client: open(pool) });

  const differences = new ConfigDifferences(log, pools);
  world.ticker.subscribe(differences);
  const health = new HealthLog(log, { degraded: 'warn', down: 'error' }, () => pools.map((pool) => watchedPool(pool, config.admin)));
  world.ticker.subscribe(health);
  const statuses = () => pools.map((pool) => poolStatus(pool, config.admin));

  function open(pool: ClientPoolConfig): PoolClient {
    return client.open(
      {
        poolUuid: pool.uuid,
        poolName: pool.name,
        members: pool.members,
        readPolicy: pool.readPolicy,
        ...(pool.preferredMember === undefined ? {} : { preferredMemberId: pool.preferredMember }),
        queueDepth: pool.queueDepth,
        ioTimeoutMs: pool.ioTimeout,
        legTimeoutMs: pool.legTimeout,
        legSlowFactor: pool.legSlowFactor,
        legSlowForMs: pool.legSlowFor,
        legReturnHoldMs: pool.legReturnHold,
        legReturnDelayMsMax: pool.legReturnDelayMax,
        ...(pool.quorum === undefined ? {} : { quorum: pool.quorum }),
        ...(pool.witness === undefined ? {} : { witness: pool.witness }),
      },
      // The pool is assembled, so its size is known, and NBD clients can be told.
      (assembled) => {
        const name = pool.exportName ?? pool.name;
        server.addExport(
          new PoolDevice(world, assembled, { name, description: `pool ${pool.name} (${pool.uuid})`, readOnly: pool.readOnly }),
        );
      },
    );
  }

  let stopping: Promise<void> | null = null;
  const stopGracefully = async (): Promise<void> => {
    node.closeListeners();
    await new Promise<void>((resolve) => server.shutdown(true, resolve));
    world.ticker.unsubscribe(differences);
    world.ticker.unsubscribe(health);
    await new Promise<void>((resolve) => client.stop(resolve));
  };

  return {
    status: (): ClientNodeStatus => {
      const mapped = statuses();
      return {
        role: 'client-node',
        node: node.identity(),
        health: nodeHealth(mapped),
        sessions: client.sessions().map(({ rtrs }) => clientSessionStatus(rtrs)),
        nbdAddresses: [...node.addresses],
        pools: mapped,
        exports: exportStatuses(world, pools, server),
      };
    },
    notReady: () => {
      const waiting = statuses().find((pool) => pool.health.level === 'down');
      return waiting?.health.sentence ?? (pools.length === 0 ? 'no pool is mapped' : null);
    },
    flush: async (wanted) => {
      const chosen = wanted === null && pools.length > 0 ? pools : [findPool(pools, wanted ?? '')];
      await Promise.all(chosen.map(flushPool));
    },
    pools: poolOrders(pools, log),
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

/** The announcement of a pool's export. It stands for the export until the pool is served for the first time. */
function announced(pool: ClientPoolConfig, mapped: () => MappedPool | undefined): AnnouncedExport {
  return {
    name: pool.exportName ?? pool.name,
    description: `pool ${pool.name} (${pool.uuid}), not served yet`,
    why: () => {
      const client = mapped()?.client;
      return client === undefined ? 'this node is starting' : poolHealth(client.status()).sentence;
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
