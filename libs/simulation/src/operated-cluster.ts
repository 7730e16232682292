/**
 * For tests: a client node and storage nodes in a virtual world, made of the production cores, that volumes are operated on. Their
 * disks, and what they remember, survive their crashes.
 */
import { createStore, openStore } from '@rmr/bitmap-store';
import {
  commandService,
  handOver,
  type Mapping,
  NodeStoreService,
  PoolStoreAdapter,
  type RememberedStore,
  type StoreDisks,
  StoreKeeper,
  type StoreOpener,
  type StoreOrder,
  type StoreSpec,
  type VolumeHost,
  volumeOperationKinds,
} from '@rmr/brmr';
import { type OperationRecord, OperationRunner } from '@rmr/operations';
import {
  type HandoverWish,
  IoRequest,
  MESSAGE_PAYLOAD_BYTES_MAX,
  MessageType,
  NO_RESYNC_ORDER,
  type PoolClient,
  type ResyncOrder,
  RmrClient,
  RmrServer,
  Sessions,
} from '@rmr/rmr';
import { RtrsServer } from '@rmr/rtrs';
import { OperationError, randomUuid, SlabPool, Status } from '@rmr/runtime';
import { MemoryDisk, MemoryNetwork, type VirtualHost, VirtualWorld } from '@rmr/testing';

export class OperatedCluster {
  readonly world: VirtualWorld;
  readonly network: MemoryNetwork;
  readonly nodes: readonly OperatedNode[];
  readonly client: OperatedClient;
  /** Another client node. It is not running at first. */
  readonly other: OperatedClient;

  constructor(seed: number, nodes: number) {
    this.world = new VirtualWorld(seed);
    this.network = new MemoryNetwork(this.world);
    this.nodes = Array.from({ length: nodes }, (_, index) => new OperatedNode(this, `storage-${index + 1}`));
    this.client = new OperatedClient(this, 'client-1');
    this.other = new OperatedClient(this, 'client-2');
    for (const node of this.nodes) node.start();
    this.client.start();
  }

  node(number: number): OperatedNode {
    return this.nodes[number - 1] as OperatedNode;
  }

  /** Writes bytes of one value to the start of a pool, and returns how that ended. */
  write(uuid: string, value: number, lengthBytes = 4096, client = this.client): number {
    let status: number | null = null;
    const slab = new SlabPool().take();
    slab.bytes.fill(value, 0, lengthBytes);
    const request = new IoRequest({
      onIoDone: (_request, result) => {
        status = result;
      },
    });
    request.type = MessageType.WRITE;
    request.offsetBytes = 0;
    request.lengthBytes = lengthBytes;
    request.payload = slab.bytes.subarray(0, lengthBytes);
    const pool = client.pool(uuid);
    if (pool === null) return Status.ENOPOOL;
    pool.submit(request);
    this.world.runUntil(() => status !== null, 60_000, 'the write to end');
    return status ?? Status.EIO;
  }
}

const HEARTBEAT_MS = 500;
const DEAD_AFTER_MS = 2_000;
const SESSION = {
  queueDepth: 64,
  maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX,
  payloadChecksum: false,
  heartbeatIntervalMs: HEARTBEAT_MS,
  deadAfterMs: DEAD_AFTER_MS,
};
/** Names of the disks of each node. Both are large enough for the stores of tests. */
export const DISK_NAMES = ['ssd', 'hdd'];
const DISK_BYTES = 4 * 1024 * 1024;

export class OperatedNode {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly #cluster: OperatedCluster;
  readonly #hostUuid: string;
  readonly #bootId: string;
  /** By path. */
  readonly stores = new Map<string, MemoryDisk>();
  readonly remembered = new Map<string, RememberedStore>();
  readonly resyncOrders = new Map<string, ResyncOrder>();
  /** Where the data of each store begins on its disk, by path. */
  readonly #dataOffsets = new Map<string, number>();
  /** Disks on which no store can be made, each with the reason. */
  readonly diskProblems = new Map<string, string>();
  #host: VirtualHost | null = null;

  constructor(cluster: OperatedCluster, name: string) {
    this.#cluster = cluster;
    this.name = name;
    this.addresses = [`memory:${name}`];
    this.#hostUuid = randomUuid(cluster.world.random);
    this.#bootId = randomUuid(cluster.world.random);
  }

  get running(): boolean {
    return this.#host !== null;
  }

  start(): void {
    const { world, network } = this.#cluster;
    const host = world.host(this.name);
    this.#host = host;
    const transport = network.host(this.name);
    const slabs = new SlabPool();
    const local = { hostUuid: this.#hostUuid, hostName: this.name, bootId: this.#bootId, incarnation: randomUuid(host.random) };
    const rmr = new RmrServer(host, slabs, new Sessions(host, transport, slabs, { ...SESSION, local }));
    const doubtful = new Set<string>();
    const keeper = new StoreKeeper<StoreSpec>([], { world: host, opener: this.#opener(host), registry: rmr, doubtful });
    const service = new NodeStoreService({
      log: host.log,
      keeper,
      memory: {
        entries: () => [...this.remembered.values()],
        put: (store, done) =>
          this.#later(host, () => {
            this.remembered.set(store.order.storeUuid, store);
            done(null);
          }),
        delete: (storeUuid, done) =>
          this.#later(host, () => {
            this.remembered.delete(storeUuid);
            done(null);
          }),
      },
      disks: this.#disks(host),
      resync: {
        of: (poolUuid) => rmr.pools().find(({ store }) => store.identity.poolUuid === poolUuid)?.resync ?? null,
        remember: (poolUuid, resyncOrder, done) =>
          this.#later(host, () => {
            this.resyncOrders.set(poolUuid, resyncOrder);
            done(null);
          }),
      },
    });
    rmr.onCommand = commandService(host.log, service);
    rmr.resyncOrderOf = (poolUuid) => this.resyncOrders.get(poolUuid) ?? NO_RESYNC_ORDER;
    rmr.whyAbsent = (poolUuid) => keeper.whyAbsent(poolUuid);
    keeper.start(() => service.start());
    const server = new RtrsServer(host, slabs, { ...SESSION, local }, rmr);
    transport.listen(
      this.addresses[0] as string,
      (stream) => server.accept(stream),
      () => {},
      (_code, reason) => {
        throw new Error(reason);
      },
    );
  }

  /** The process dies. Its disks keep what was written. */
  crash(): void {
    this.#host?.crash();
    this.#host = null;
    this.#cluster.network.crash(this.name);
  }

  /** The data of the node's store of a pool, or null. */
  dataOf(poolUuid: string): Uint8Array | null {
    const store = [...this.remembered.values()].find(({ order }) => order.poolUuid === poolUuid && order.witness === false);
    if (store === undefined) return null;
    const path = pathOf(store.order);
    return this.stores.get(path)?.peek(this.#dataOffsets.get(path) ?? 0, store.order.sizeBytes) ?? null;
  }

  /** Does something a moment later, unless the process has died by then. */
  #later(host: VirtualHost, work: () => void): void {
    this.#cluster.world.after(1, () => {
      if (this.#host === host) work();
    });
  }

  #opener(host: VirtualHost): StoreOpener {
    return {
      forget: () => {},
      open: ({ path }, isDoubtful, done) => {
        const disk = this.stores.get(path);
        if (disk === undefined) {
          this.#later(host, () => done(new OperationError('NOT_FOUND', `${path} is not there`)));
          return;
        }
        disk.abandon();
        const opening = { bootId: this.#bootId, lifeUuid: randomUuid(host.random), wallMs: host.clock.wallMs(), doubtful: isDoubtful };
        openStore(disk, { label: path, world: host, ...opening }, (store) => {
          if (store instanceof OperationError) disk.close(() => done(store));
          else {
            this.#dataOffsets.set(path, store.dataOffset);
            done({
              store: new PoolStoreAdapter(store, disk),
              waitingMs: () => 0,
              pace: () => ({ oldestMs: 0, unwrittenBytes: 0, bytesPerSecond: null }),
              checkPresence: (known) => this.#later(host, () => known(this.stores.get(path) === disk ? null : `${path} was removed`)),
            });
          }
        });
        disk.submit();
      },
    };
  }

  #disks(host: VirtualHost): StoreDisks<StoreSpec> {
    return {
      look: (done) =>
        this.#later(host, () =>
          done({
            hostName: this.name,
            hostUuid: this.#hostUuid,
            disks: DISK_NAMES.map((name) => ({
              name,
              kind: 'directory' as const,
              capacityBytes: DISK_BYTES,
              freeBytes: DISK_BYTES,
              problem: this.diskProblems.get(name) ?? '',
            })),
          }),
        ),
      make: (order, done) =>
        this.#later(host, () => {
          const problem = this.diskProblems.get(order.disk);
          if (problem !== undefined) done(new OperationError('IO_ERROR', problem));
          else this.#make(order, done);
        }),
      destroy: (order, done) =>
        this.#later(host, () => {
          this.stores.delete(pathOf(order));
          done(null);
        }),
      specOf: (order) => ({ path: pathOf(order), poolUuid: order.poolUuid, ioTimeoutMs: 20_000 }),
    };
  }

  #make(order: StoreOrder, done: (error: OperationError | null) => void): void {
    const path = pathOf(order);
    const { storeUuid, poolUuid, poolName, memberId, lineageUuid, sizeBytes, chunkSizeBytes, queueDepth, witness } = order;
    // What was made in part is made anew.
    const disk = new MemoryDisk({ sizeBytes: DISK_BYTES });
    createStore(
      disk,
      {
        ...{ label: path, data: 'known', force: false, storeUuid, poolUuid, poolName, memberId, lineageUuid },
        ...{ sizeBytes, chunkSizeBytes, queueDepth, witness },
      },
      (error) => {
        if (error === null && !this.stores.has(path)) this.stores.set(path, disk);
        done(error);
      },
    );
    disk.submit();
  }
}

function pathOf({ disk, storeUuid }: StoreOrder): string {
  return `/${disk}/${storeUuid}`;
}

/** A client node: its pools, and what it remembers of them. */
export class OperatedClient {
  readonly name: string;
  readonly mappings = new Map<string, Mapping>();
  /** NBD clients of each pool, as a test says. */
  readonly connections = new Map<string, number>();
  readonly #cluster: OperatedCluster;
  readonly #hostUuid: string;
  readonly journal = new Map<string, OperationRecord>();
  readonly #pools = new Map<string, PoolClient>();
  #host: VirtualHost | null = null;
  #runner: OperationRunner | null = null;
  #client: RmrClient | null = null;

  constructor(cluster: OperatedCluster, name: string) {
    this.#cluster = cluster;
    this.name = name;
    this.#hostUuid = randomUuid(cluster.world.random);
  }

  get host(): VirtualHost {
    return this.#host as VirtualHost;
  }

  get running(): boolean {
    return this.#host !== null;
  }

  start(): void {
    const { world, network } = this.#cluster;
    const host = world.host(this.name);
    this.#host = host;
    const incarnation = randomUuid(host.random);
    const local = { hostUuid: this.#hostUuid, hostName: this.name, bootId: this.#hostUuid, incarnation };
    this.#client = new RmrClient(host, network.host(this.name), new SlabPool(), {
      instanceUuid: incarnation,
      name: this.name,
      session: { ...SESSION, local },
    });
    for (const mapping of this.mappings.values()) this.#map(mapping);
    this.#runner = new OperationRunner({
      world: host,
      kinds: volumeOperationKinds(this.volumeHost()),
      journal: {
        entries: [...this.journal.values()],
        record: (record, done) =>
          this.#later(host, () => {
            this.journal.set(record.id, record);
            done(null);
          }),
        forget: (id, done) =>
          this.#later(host, () => {
            this.journal.delete(id);
            done(null);
          }),
      },
    });
    this.#runner.start();
  }

  get runner(): OperationRunner {
    return this.#runner as OperationRunner;
  }

  crash(): void {
    this.#host?.crash();
    this.#host = null;
    this.#client = null;
    this.#runner = null;
    this.#pools.clear();
    this.#cluster.network.crash(this.name);
  }

  pool(uuid: string): PoolClient | null {
    return this.#pools.get(uuid) ?? null;
  }

  /** What operations see of this process. */
  volumeHost(): VolumeHost {
    const host = this.host;
    const client = this.#client as RmrClient;
    return {
      way: client,
      pool: (uuid) => this.pool(uuid),
      conflictOf: ({ uuid, name }) => {
        for (const mapping of this.mappings.values())
          if (mapping.uuid !== uuid && mapping.name === name)
            return new OperationError('ALREADY_EXISTS', `another pool with the name ${name} is mapped`);
        return null;
      },
      map: (mapping) => this.#map(mapping),
      unmap: (uuid, done) => {
        const pool = this.pool(uuid);
        if (pool === null) done();
        else
          client.close(pool, () => {
            this.#pools.delete(uuid);
            done();
          });
      },
      queueDepthOf: () => 16,
      connectionsOf: (uuid) => this.connections.get(uuid) ?? 0,
      remember: (mapping, done) =>
        this.#later(host, () => {
          this.mappings.set(mapping.uuid, mapping);
          done(null);
        }),
      forget: (uuid, done) =>
        this.#later(host, () => {
          this.mappings.delete(uuid);
          done(null);
        }),
      newUuid: () => randomUuid(host.random),
    };
  }

  /** Does something a moment later, unless the process has died by then. */
  #later(host: VirtualHost, work: () => void): void {
    this.#cluster.world.after(1, () => {
      if (this.#host === host) work();
    });
  }

  #map({ uuid, name, members, witness, quorum, queueDepth }: Mapping): void {
    if (this.#pools.has(uuid) || this.#client === null) return;
    const { host } = this;
    const options = {
      ...{ poolUuid: uuid, poolName: name, members, quorum, queueDepth, ...(witness === null ? {} : { witness }) },
      onAsked: (wish: HandoverWish) => handOver({ host: this.volumeHost(), runner: this.runner, log: host.log }, { uuid, name }, wish),
    };
    this.#pools.set(
      uuid,
      this.#client.open(options, () => {}),
    );
  }
}
