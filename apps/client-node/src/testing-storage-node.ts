import { randomUUID } from 'node:crypto';
import { createStore, openStore } from '@rmr/brmr/node';
import { MESSAGE_PAYLOAD_BYTES_MAX, type PoolServer, type ResyncOptions, RmrServer, Sessions } from '@rmr/rmr';
import { RtrsServer } from '@rmr/rtrs';
import { SILENT_LOGGER, SlabPool, type StreamListener } from '@rmr/runtime';
import { createSystemWorld, SocketTransport } from '@rmr/runtime/node';

/** A storage node inside the process of a test. It has the real classes, a real file and a real socket. */
export class TestingStorageNode {
  readonly address: string;
  readonly #server: RtrsServer;
  readonly #rmr: RmrServer;
  readonly #sessions: Sessions;
  readonly #pool: PoolServer;
  readonly #listener: StreamListener;

  private constructor(address: string, server: RtrsServer, rmr: RmrServer, sessions: Sessions, pool: PoolServer, listener: StreamListener) {
    this.address = address;
    this.#server = server;
    this.#rmr = rmr;
    this.#sessions = sessions;
    this.#pool = pool;
    this.#listener = listener;
  }

  static async format(path: string, poolUuid: string, memberId: number, sizeBytes: number): Promise<void> {
    const queueDepth = TEST_QUEUE_DEPTH;
    const uuids = { storeUuid: randomUUID(), poolUuid, lineageUuid: randomUUID() };
    await createStore({ path, ...uuids, poolName: 'demo', memberId, sizeBytes, queueDepth });
  }

  static async start(name: string, address: string, path: string, resync: ResyncOptions): Promise<TestingStorageNode> {
    const world = createSystemWorld(SILENT_LOGGER);
    const transport = new SocketTransport();
    const slabs = new SlabPool();
    const session = testSession(name);
    const sessions = new Sessions(world, transport, slabs, session);
    const rmr = new RmrServer(world, slabs, sessions, resync);
    const server = new RtrsServer(world, slabs, { ...session, sessionsMax: 8 }, rmr);
    const pool = rmr.register(await openStore({ path, world, bootId: session.local.bootId }));
    const listener = await new Promise<StreamListener>((resolve, reject) => {
      transport.listen(
        address,
        (stream) => server.accept(stream),
        resolve,
        (_code, reason) => reject(new Error(reason)),
      );
    });
    return new TestingStorageNode(address, server, rmr, sessions, pool, listener);
  }

  set resync(options: ResyncOptions) {
    this.#pool.resync.options = options;
  }

  set resyncPaused(paused: boolean) {
    this.#pool.resync.order = { paused, rateBytes: null };
  }

  async stop(): Promise<void> {
    this.#listener.close();
    this.#server.close('the test stops it');
    this.#sessions.close('the test stops it');
    await new Promise<void>((resolve) => this.#rmr.unregister(this.#pool, resolve));
    await new Promise<void>((resolve) => this.#pool.store.close(() => resolve()));
  }
}

export const TEST_QUEUE_DEPTH = 16;

/** The options of the sessions in tests. */
export function testSession(hostName: string) {
  const local = { hostUuid: randomUUID(), hostName, bootId: randomUUID(), incarnation: randomUUID() };
  return {
    local,
    queueDepth: 64,
    maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX,
    payloadChecksum: false,
    heartbeatIntervalMs: 200,
    deadAfterMs: 5_000,
  };
}
