/**
 * The pools that a client node maps: each is opened, announced as an export, and taken out of service again while the daemon runs.
 */

import { PoolDevice } from '@rmr/brmr';
import type { AnnouncedExport, NbdServer } from '@rmr/nbd';
import type { HandoverWish, PoolClient, RmrClient } from '@rmr/rmr';
import { OperationError, type World } from '@rmr/runtime';
import type { ClientPoolConfig } from './config.ts';
import { poolHealth } from './status.ts';

/** Opens and closes pools. What {@link list} holds is what the node maps at the moment. */
export class MappedPools {
  readonly #world: World;
  readonly #client: RmrClient;
  readonly #server: NbdServer;
  readonly #list: MappedPool[] = [];
  /** Pools that are being taken out of service, each with whom to tell. */
  readonly #leaving = new Map<MappedPool, (() => void)[]>();

  constructor(world: World, client: RmrClient, server: NbdServer) {
    this.#world = world;
    this.#client = client;
    this.#server = server;
  }

  /** C4: another client asks for a pool that is served here. Returns why it does not get the pool; empty: it is being handed over. */
  onAsked: (pool: MappedPool, wish: HandoverWish) => string = () => 'this node is starting';

  /** Live: pools come and go. */
  get list(): readonly MappedPool[] {
    return this.#list;
  }

  /** Announces the export of a pool that is to be mapped: NBD clients that come earlier than that are told that it is not served yet. */
  announce(config: ClientPoolConfig): void {
    this.#server.announceExport(this.#announced(config));
  }

  /** Opens a pool. Its export is served as soon as the pool is. Throws ALREADY_EXISTS for a UUID, a name or an export name that is in use. */
  map(config: ClientPoolConfig, isStatic: boolean): MappedPool {
    const problem = this.conflictOf(config);
    if (problem !== null) throw problem;
    const exportName = exportNameOf(config);
    this.announce(config);
    let pool: MappedPool;
    const client = this.#client.open(
      {
        poolUuid: config.uuid,
        poolName: config.name,
        members: config.members,
        readPolicy: config.readPolicy,
        ...(config.preferredMember === undefined ? {} : { preferredMemberId: config.preferredMember }),
        queueDepth: config.queueDepth,
        ioTimeoutMs: config.ioTimeout,
        legTimeoutMs: config.legTimeout,
        legSlowFactor: config.legSlowFactor,
        legSlowForMs: config.legSlowFor,
        legReturnHoldMs: config.legReturnHold,
        legReturnDelayMsMax: config.legReturnDelayMax,
        ...(config.quorum === undefined ? {} : { quorum: config.quorum }),
        ...(config.witness === undefined ? {} : { witness: config.witness }),
        onAsked: (wish) => this.onAsked(pool, wish),
      },
      // The pool is assembled, so its size is known, and NBD clients can be told.
      (assembled) => {
        const description = `pool ${config.name} (${config.uuid})`;
        this.#server.addExport(new PoolDevice(this.#world, assembled, { name: exportName, description, readOnly: config.readOnly }));
      },
    );
    pool = { config, client, isStatic };
    this.#list.push(pool);
    return pool;
  }

  /** Why a pool can't be mapped beside those that are; null: it can. */
  conflictOf(config: ClientPoolConfig): OperationError | null {
    const exportName = exportNameOf(config);
    for (const { config: other } of this.#list) {
      if (other.uuid === config.uuid)
        return new OperationError('ALREADY_EXISTS', `pool ${other.name} (${other.uuid}) is mapped here already`);
      if (other.name === config.name)
        return new OperationError(
          'ALREADY_EXISTS',
          `another pool with the name ${config.name} is mapped here (${other.uuid}): choose another name`,
        );
      if (exportNameOf(other) === exportName)
        return new OperationError(
          'ALREADY_EXISTS',
          `pool ${other.name} is exported under the name "${exportName}" already: choose another`,
        );
    }
    return null;
  }

  /** The number of NBD clients that use the pool's export. */
  connectionsOf(pool: MappedPool): number {
    const name = exportNameOf(pool.config);
    return this.#server.exports().find(({ device }) => device.name === name)?.connections ?? 0;
  }

  /**
   * Takes a pool out of service: its export goes, what executes ends, everything is flushed, and its members are released. `done` is called
   * in every case, in bounded time (see `PoolClient.stop`).
   */
  unmap(pool: MappedPool, done: () => void): void {
    const waiting = this.#leaving.get(pool);
    if (waiting !== undefined || !this.#list.includes(pool)) {
      if (waiting === undefined) done();
      else waiting.push(done);
      return;
    }
    this.#leaving.set(pool, [done]);
    this.#server.withdrawExport(exportNameOf(pool.config), () => {
      this.#client.close(pool.client, () => {
        const told = this.#leaving.get(pool) ?? [];
        this.#leaving.delete(pool);
        this.#list.splice(this.#list.indexOf(pool), 1);
        for (const tell of told) tell();
      });
    });
  }

  /** The announcement of a pool's export. It stands for the export until the pool is served for the first time. */
  #announced(config: ClientPoolConfig): AnnouncedExport {
    return {
      name: exportNameOf(config),
      description: `pool ${config.name} (${config.uuid}), not served yet`,
      why: () => {
        const mapped = this.#list.find((pool) => pool.config === config);
        return mapped === undefined ? 'this node is starting' : poolHealth(mapped.client.status()).sentence;
      },
    };
  }
}

/** A pool that this node maps: its configuration and its client. */
export interface MappedPool {
  readonly config: ClientPoolConfig;
  readonly client: PoolClient;
  /** Whether the configuration file names it. Such a pool is changed there, and not at run time. */
  readonly isStatic: boolean;
}

/** The name under which a pool is exported. */
export function exportNameOf({ name, exportName }: ClientPoolConfig): string {
  return exportName ?? name;
}
