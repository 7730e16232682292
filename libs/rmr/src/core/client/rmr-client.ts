import { OperationError, type SlabPool, type Transport, type World } from '@rmr/runtime';
import { commandResultSchema } from '../../wire/control-message.ts';
import { controlCall } from '../control-call.ts';
import { Sessions } from '../sessions.ts';
import type { SessionOptions, SharedSession } from '../shared-session.ts';
import { PoolClient } from './pool-client.ts';
import type { PoolClientOptions } from './pool-client-types.ts';

/** RMR-client: the pools of one compute client and the sessions that they share. */
export class RmrClient {
  readonly instanceUuid: string;
  readonly name: string;
  readonly #world: World;
  readonly #sessions: Sessions;
  readonly #pools = new Set<PoolClient>();
  /** Pools that are being taken out of service, each with whom to tell. */
  readonly #closing = new Map<PoolClient, (() => void)[]>();

  constructor(world: World, transport: Transport, slabs: SlabPool, options: RmrClientOptions) {
    this.#world = world;
    this.#sessions = new Sessions(world, transport, slabs, options.session);
    this.instanceUuid = options.instanceUuid;
    this.name = options.name;
  }

  /** Starts to serve a pool. `onGeometry` is called once, when its size is known. */
  open(options: PoolClientOptions, onGeometry: (pool: PoolClient) => void): PoolClient {
    const pool = new PoolClient(this.#world, this, options, onGeometry);
    this.#pools.add(pool);
    return pool;
  }

  pools(): readonly PoolClient[] {
    return [...this.#pools];
  }

  sessions(): readonly SharedSession[] {
    return this.#sessions.all();
  }

  /** The session to the host with these addresses; pools with the same addresses share it. */
  session(addresses: readonly string[]): SharedSession {
    return this.#sessions.to(addresses);
  }

  /**
   * Sends a command of the layer above to a storage node, which need not have a store of any pool. `whom` names the node in messages.
   * `done` is called once, never from within this call: with the answer, or with UNAVAILABLE when none came. The command may have been
   * carried out then; so it has to be one that can be sent again.
   */
  command(addresses: readonly string[], whom: string, command: string, done: (result: string | OperationError) => void): void {
    controlCall(this.#sessions.to(addresses), whom, { op: 'command', command }, commandResultSchema, (result, failure) => {
      done(result === null ? new OperationError('UNAVAILABLE', failure?.message ?? `${whom} did not answer`) : result.answer);
    });
  }

  /**
   * Takes a pool out of service, in order, and forgets it. Others may map it from then on. `done` is called in every case, as that of
   * {@link PoolClient.stop}; at once for a pool that was closed before.
   */
  close(pool: PoolClient, done: () => void): void {
    if (!this.#pools.has(pool)) {
      done();
      return;
    }
    const told = this.#closing.get(pool);
    if (told !== undefined) {
      told.push(done);
      return;
    }
    this.#closing.set(pool, [done]);
    pool.stop(() => {
      const waiting = this.#closing.get(pool) ?? [];
      this.#pools.delete(pool);
      this.#closing.delete(pool);
      for (const tell of waiting) tell();
    });
  }

  /** Rechecks the invariants of all pools and sessions. */
  verify(): void {
    for (const pool of this.#pools) pool.verify();
    for (const session of this.#sessions.all()) session.rtrs.verify();
  }

  /** Stops every pool in order, then closes the sessions. `done` is called in every case. */
  stop(done: () => void): void {
    let left = this.#pools.size;
    const finish = (): void => {
      this.#sessions.close('this node stops');
      done();
    };
    if (left === 0) {
      finish();
      return;
    }
    for (const pool of [...this.#pools]) {
      this.close(pool, () => {
        if (--left === 0) finish();
      });
    }
  }
}

/** The identity of the client. */
export interface RmrClientOptions {
  /** UUID of this process: drawn anew at every start. It is what epochs are granted to. */
  readonly instanceUuid: string;
  /** Host name, for people. */
  readonly name: string;
  readonly session: SessionOptions;
}
