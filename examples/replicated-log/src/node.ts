// A process of the log: the world that RMR's cores are given, and the two roles that a process can have in it.
import { statSync } from 'node:fs';
import type { PoolStoreAdapter } from '@rmr/brmr';
import { createStore, kernelBootId, openStore } from '@rmr/brmr/node';
import { MESSAGE_PAYLOAD_BYTES_MAX, type MemberAddress, type PoolClient, RmrClient, RmrServer, Sessions } from '@rmr/rmr';
import { type PeerIdentity, RtrsServer } from '@rmr/rtrs';
import { type Logger, OperationError, randomUuid, SlabPool, type StreamListener, type World } from '@rmr/runtime';
import { createSystemWorld, SocketTransport } from '@rmr/runtime/node';

/** IO units of the pool: how many requests may be under way. */
const QUEUE_DEPTH = 64;

/** What every process of the log has. */
class Surroundings {
  readonly world: World;
  readonly transport = new SocketTransport();
  readonly slabs = new SlabPool();
  readonly local: PeerIdentity;

  constructor(name: string, hostUuid: string, log: Logger) {
    this.world = createSystemWorld(log);
    this.local = { hostName: name, hostUuid, bootId: kernelBootId(), incarnation: randomUuid(this.world.random) };
  }

  /** How sessions are set up, as client and as server. */
  get sessionOptions() {
    return { local: this.local, queueDepth: QUEUE_DEPTH, maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX, payloadChecksum: true };
  }
}

/** A copy of the log. */
export interface LogNodeOptions {
  readonly name: string;
  /** The lasting identity of the host. Processes of one host share it. */
  readonly hostUuid: string;
  /** The file that the copy lies in. It is made if it is not there. */
  readonly file: string;
  /** Where clients and the other nodes connect to, such as `tcp://127.0.0.1:7001` or `unix:/run/log.sock`. */
  readonly listen: string;
  readonly poolUuid: string;
  readonly memberId: number;
  readonly sizeBytes: number;
  readonly log: Logger;
}

/** RMR-server with one store: keeps a copy of the log, serves it to the client, and fetches what it has missed from the other nodes. */
export class LogNode {
  readonly address: string;
  readonly #rmr: RmrServer;
  readonly #server: RtrsServer;
  readonly #sessions: Sessions;
  readonly #listener: StreamListener;
  readonly #store: PoolStoreAdapter;

  private constructor(rmr: RmrServer, server: RtrsServer, sessions: Sessions, listener: StreamListener, store: PoolStoreAdapter) {
    this.address = listener.address;
    this.#rmr = rmr;
    this.#server = server;
    this.#sessions = sessions;
    this.#listener = listener;
    this.#store = store;
  }

  /** Rejects with what opening the store or listening rejects with. */
  static async start(options: LogNodeOptions): Promise<LogNode> {
    const surroundings = new Surroundings(options.name, options.hostUuid, options.log);
    const { world, transport, slabs, sessionOptions } = surroundings;
    const store = await openOrCreate(options, world);
    const sessions = new Sessions(world, transport, slabs, sessionOptions);
    const rmr = new RmrServer(world, slabs, sessions);
    const server = new RtrsServer(world, slabs, sessionOptions, rmr);
    // RMR carries commands of the layer above and does not look at them.
    rmr.onCommand = (_client, command, done) => done(command === 'usage' ? String(usedBytes(options.file)) : `unknown command: ${command}`);
    rmr.register(store);
    const listener = await new Promise<StreamListener>((resolve, reject) => {
      const failed = (_code: string, reason: string): void => reject(new OperationError('UNAVAILABLE', reason));
      transport.listen(options.listen, (stream) => server.accept(stream), resolve, failed);
    });
    return new LogNode(rmr, server, sessions, listener, store);
  }

  /** Ends in order: what executes ends, the store is flushed and closed. */
  async stop(): Promise<void> {
    this.#listener.close();
    this.#server.close('this node stops');
    this.#sessions.close('this node stops');
    for (const pool of this.#rmr.pools()) await new Promise<void>((resolve) => this.#rmr.unregister(pool, resolve));
    await new Promise<void>((resolve) => this.#store.close(() => resolve()));
  }
}

async function openOrCreate(options: LogNodeOptions, world: World): Promise<PoolStoreAdapter> {
  const { file: path, poolUuid, memberId, sizeBytes } = options;
  try {
    return await openStore({ path, world, poolUuid });
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== 'NOT_FOUND') throw error;
  }
  const [storeUuid, lineageUuid] = [randomUuid(world.random), randomUuid(world.random)];
  await createStore({ path, storeUuid, poolUuid, lineageUuid, poolName: 'log', memberId, sizeBytes, queueDepth: QUEUE_DEPTH });
  return await openStore({ path, world, poolUuid });
}

function usedBytes(file: string): number {
  return statSync(file).blocks * 512;
}

/** RMR-client with one pool. */
export class LogClient {
  readonly pool: PoolClient;
  readonly #rmr: RmrClient;
  readonly #members: readonly MemberAddress[];

  private constructor(rmr: RmrClient, pool: PoolClient, members: readonly MemberAddress[]) {
    this.#rmr = rmr;
    this.pool = pool;
    this.#members = members;
  }

  /**
   * Takes the pool into service. `create`: it has never been in service, and begins with these members (C0). Resolves when the pool is
   * served; it waits for as long as no member can be reached.
   */
  static async open(
    options: Pick<LogNodeOptions, 'name' | 'hostUuid' | 'poolUuid' | 'log'> & { members: readonly MemberAddress[]; create: boolean },
  ): Promise<LogClient> {
    const { name, hostUuid, poolUuid, members, create, log } = options;
    const { world, transport, slabs, local, sessionOptions } = new Surroundings(name, hostUuid, log);
    const rmr = new RmrClient(world, transport, slabs, { instanceUuid: local.incarnation, name, session: sessionOptions });
    const pool = await new Promise<PoolClient>((resolve, reject) => {
      const opened = rmr.open({ poolUuid, poolName: 'log', members, queueDepth: QUEUE_DEPTH }, resolve);
      if (create) opened.create((error) => error !== null && reject(error));
    });
    return new LogClient(rmr, pool, members);
  }

  /** The bytes that each node's copy takes on its disk, asked for by a command that RMR carries. Rejects with UNAVAILABLE. */
  usage(): Promise<number[]> {
    const ask = ({ addresses, name }: MemberAddress): Promise<number> =>
      new Promise((resolve, reject) => {
        this.#rmr.command(addresses, name, 'usage', (result) => {
          if (result instanceof OperationError) reject(result);
          else resolve(Number(result));
        });
      });
    return Promise.all(this.#members.map(ask));
  }

  /** Ends in order: IO ends, the members are flushed, and whoever comes next need not compare them. */
  async stop(): Promise<void> {
    await new Promise<void>((resolve) => this.#rmr.stop(resolve));
  }
}
