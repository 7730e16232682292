import { openStore } from '@rmr/bitmap-store';
import { PoolStoreAdapter } from '@rmr/brmr';
import { IO_BYTES_MAX, type PoolClient, RmrClient, RmrServer, Sessions, type VersionRecord } from '@rmr/rmr';
import { RtrsServer } from '@rmr/rtrs';
import { OperationError, randomUuid, SlabPool } from '@rmr/runtime';
import type { MemoryDisk } from '../memory-disk.ts';
import type { MemoryNetwork } from '../memory-network.ts';
import type { VirtualHost, VirtualWorld } from '../virtual-world.ts';

/** After which a service manager starts a process again that has ended, in virtual milliseconds. */
const RESTART_MS = 500;

/** What the nodes of a simulated pool share. */
export interface SimulatedPool {
  readonly world: VirtualWorld;
  readonly network: MemoryNetwork;
  readonly poolUuid: string;
  readonly queueDepth: number;
  readonly heartbeatIntervalMs: number;
  readonly deadAfterMs: number;
}

/** A storage node: the production server cores on a disk in memory. It can crash, lose power, and start again. */
export class SimulatedStorageNode {
  readonly name: string;
  readonly memberId: number;
  readonly hostUuid: string;
  readonly #pool: SimulatedPool;
  #disk: MemoryDisk;
  #bootId: string;
  #host: VirtualHost | null = null;
  #server: RtrsServer | null = null;
  rmr: RmrServer | null = null;
  store: PoolStoreAdapter | null = null;
  /** The version that the store had when it was last open. */
  lastVersion: VersionRecord | null = null;

  constructor(pool: SimulatedPool, memberId: number, disk: MemoryDisk) {
    this.#pool = pool;
    this.memberId = memberId;
    this.name = `storage-${memberId}`;
    this.#disk = disk;
    this.hostUuid = randomUuid(pool.world.random);
    this.#bootId = randomUuid(pool.world.random);
  }

  get running(): boolean {
    return this.#host !== null;
  }

  get disk(): MemoryDisk {
    return this.#disk;
  }

  get address(): string {
    return `memory:${this.name}`;
  }

  start(): void {
    const { world, network } = this.#pool;
    const host = world.host(this.name);
    this.#host = host;
    openStore(this.#disk, { world: host, bootId: this.#bootId, label: this.name }, (store) => {
      if (this.#host !== host) return;
      if (store instanceof OperationError) {
        // Only a disk error is an excuse: the process ends, and its service manager starts it again.
        if (store.code !== 'IO_ERROR') throw new Error(`${this.name} could not open its store: ${store.message}`);
        this.crash();
        world.after(RESTART_MS, () => {
          if (!this.running) this.start();
        });
        return;
      }
      const slabs = new SlabPool();
      const { heartbeatIntervalMs, deadAfterMs } = this.#pool;
      const local = { hostUuid: this.hostUuid, hostName: this.name, bootId: this.#bootId, incarnation: randomUuid(host.random) };
      const session = { local, queueDepth: 32, maxPayloadBytes: IO_BYTES_MAX, payloadChecksum: false, heartbeatIntervalMs, deadAfterMs };
      const rmr = new RmrServer(host, slabs, new Sessions(host, network.host(this.name), slabs, session));
      this.store = new PoolStoreAdapter(store, this.#disk);
      rmr.register(this.store);
      this.rmr = rmr;
      const server = new RtrsServer(
        host,
        slabs,
        { local, queueDepth: 128, maxPayloadBytes: IO_BYTES_MAX, payloadChecksum: false, heartbeatIntervalMs, deadAfterMs },
        rmr,
      );
      this.#server = server;
      network.host(this.name).listen(
        this.address,
        (stream) => server.accept(stream),
        () => {},
        (_code, reason) => {
          throw new Error(reason);
        },
      );
    });
    this.#disk.submit();
  }

  /** The process dies; what it had written stays in the page cache. */
  crash(): void {
    this.#stop();
    this.#disk.abandon();
    this.#disk = this.#disk.copy();
  }

  /** The host loses power: what was not flushed survives in part. */
  losePower(): void {
    this.#stop();
    this.#disk.crash(this.#pool.world.random);
    this.#disk = this.#disk.copy();
    this.#bootId = randomUuid(this.#pool.world.random);
  }

  /** SIGSTOP: nothing is delivered and no tick comes. */
  pause(): void {
    this.#host?.pause();
    this.#pool.network.freeze(this.name);
  }

  resume(): void {
    this.#host?.resume();
    this.#pool.network.thaw(this.name);
  }

  verify(): void {
    this.rmr?.verify();
    this.#server?.verify();
    this.store?.verify();
  }

  #stop(): void {
    if (this.#host === null) return;
    this.#pool.network.thaw(this.name);
    this.#host.crash();
    this.#pool.network.crash(this.name);
    this.#host = null;
    this.#server = null;
    this.rmr = null;
    this.lastVersion = this.store?.version ?? this.lastVersion;
    this.store = null;
  }
}

/** A client node without NBD: the production client cores. */
export class SimulatedClient {
  readonly name: string;
  readonly pool: PoolClient;
  readonly host: VirtualHost;
  readonly #network: MemoryNetwork;

  constructor(simulated: SimulatedPool, name: string, nodes: readonly SimulatedStorageNode[]) {
    const { world, network, poolUuid, queueDepth, heartbeatIntervalMs, deadAfterMs } = simulated;
    this.name = name;
    this.#network = network;
    this.host = world.host(name);
    const incarnation = randomUuid(this.host.random);
    const local = { hostUuid: randomUuid(this.host.random), hostName: name, bootId: randomUuid(this.host.random), incarnation };
    const client = new RmrClient(this.host, network.host(name), new SlabPool(), {
      instanceUuid: incarnation,
      name,
      session: { local, queueDepth, maxPayloadBytes: IO_BYTES_MAX, payloadChecksum: false, heartbeatIntervalMs, deadAfterMs },
    });
    this.pool = client.open(
      {
        poolUuid,
        poolName: 'pool',
        queueDepth,
        readPolicy: 'round-robin',
        members: nodes.map((node) => ({ memberId: node.memberId, name: node.name, addresses: [node.address] })),
      },
      () => {},
    );
  }

  /** The process dies. */
  crash(): void {
    this.host.crash();
    this.#network.thaw(this.name);
    this.#network.crash(this.name);
  }

  pause(): void {
    this.host.pause();
    this.#network.freeze(this.name);
  }

  resume(): void {
    this.host.resume();
    this.#network.thaw(this.name);
  }

  verify(): void {
    this.pool.verify();
  }
}
