import { openStore } from '@rmr/bitmap-store';
import { PoolStoreAdapter } from '@rmr/brmr';
import {
  MESSAGE_PAYLOAD_BYTES_MAX,
  type MemberAddress,
  type PoolClient,
  type PoolPolicy,
  type ReadPolicyName,
  type ResyncOptions,
  RmrClient,
  RmrServer,
  Sessions,
  type TakeoverWay,
  type VersionRecord,
} from '@rmr/rmr';
import { RtrsServer } from '@rmr/rtrs';
import { OperationError, randomUuid, SeededRandom, SlabPool, type StreamListener } from '@rmr/runtime';
import type { DiskRequest, MemoryDisk, MemoryNetwork, VirtualHost, VirtualWorld } from '@rmr/testing';
import type { Geometry } from './geometry.ts';
import { SECTOR_BYTES } from './sector-model.ts';

/** After which a service manager starts a process again that has ended, in virtual milliseconds. */
const RESTART_MS = 500;
/** What a journal record begins with. */
const JOURNAL_MAGIC = new TextEncoder().encode('RMRJ');

/** What the nodes of a simulated pool share. */
export interface SimulatedPool {
  readonly world: VirtualWorld;
  readonly network: MemoryNetwork;
  readonly poolUuid: string;
  readonly queueDepth: number;
  readonly heartbeatIntervalMs: number;
  readonly deadAfterMs: number;
  /** L7. */
  readonly legTimeoutMs: number;
  readonly legSlowForMs: number;
  readonly legReturnDelayMsMax: number;
  readonly readPolicy: ReadPolicyName;
  /** Paths of every session. */
  readonly pathCount: number;
  /** What the pool is born with. */
  readonly quorum: PoolPolicy['quorum'];
  /** Bytes per second that each node pulls at most; null: as fast as it goes. */
  resyncRateBytes: number | null;
  /** What waits for longer fails; null: nothing does. */
  ioTimeoutMs: number | null;
}

/** A storage node: the production server cores on a disk in memory. It can crash, lose power, and start again. */
export class SimulatedStorageNode {
  readonly name: string;
  readonly memberId: number;
  /** What the host says that it is; a clone of it says the same. */
  hostUuid: string;
  /** RTRS addresses, one per path. */
  addresses: readonly string[];
  /** Those that it had before it moved; the same if it never did. */
  formerAddresses: readonly string[];
  /** A disk request takes up to this, in virtual milliseconds. */
  diskLatencyMs = 0;
  /** Sees every request that the disk gets. */
  onDiskRequest: (node: SimulatedStorageNode, request: DiskRequest) => void = () => {};
  /** Sees every request that the disk has done, before its effect. */
  onDiskEnd: (node: SimulatedStorageNode, request: DiskRequest) => void = () => {};
  /** The store has been opened. */
  onOpened: () => void = () => {};
  readonly #pool: SimulatedPool;
  readonly #random: SeededRandom;
  /** For the lives of its stores alone, so that what else a run draws does not depend on how often stores are opened. */
  readonly #lifeRandom: SeededRandom;
  #disk: MemoryDisk;
  #bootId: string;
  #host: VirtualHost | null = null;
  #server: RtrsServer | null = null;
  readonly #listeners: StreamListener[] = [];
  /** It stays down, even if a service manager or an operator wants to start it. */
  heldDown = false;
  #paused = false;
  #clockRate = 1;
  #wallSkewMs = 0;
  #moves = 0;
  /** The next write of data takes so much longer than others, which overtake it. */
  #stuck: { readonly forMs: number; readonly onStuck: () => void } | null = null;
  /** Disk requests that ended while the process was stopped by SIGSTOP. */
  #unheard: (() => void)[] = [];
  rmr: RmrServer | null = null;
  store: PoolStoreAdapter | null = null;
  /** The store of the last process that had one open; it does not change any more when that is dead. */
  lastStore: PoolStoreAdapter | null = null;

  /** `disk` has the member's store on it. `name`: of a host that is not the one that the member has otherwise. */
  constructor(pool: SimulatedPool, memberId: number, disk: MemoryDisk, name = `storage-${memberId}`) {
    this.#pool = pool;
    this.memberId = memberId;
    this.name = name;
    this.addresses = Array.from({ length: pool.pathCount }, (_, path) => `memory:${this.name}-${path}`);
    this.formerAddresses = this.addresses;
    this.#random = new SeededRandom(pool.world.random.u32());
    this.#disk = disk.copy({ schedule: this.#schedule, tearFailedWrites: this.#random });
    this.hostUuid = randomUuid(pool.world.random);
    this.#lifeRandom = new SeededRandom(Number.parseInt(this.hostUuid.slice(0, 8), 16));
    this.#bootId = randomUuid(pool.world.random);
  }

  get running(): boolean {
    return this.#host !== null;
  }

  /** The store that the node has now. */
  get storeUuid(): string {
    return (this.store ?? this.lastStore)?.identity.storeUuid ?? '';
  }

  /** A new disk is put in the place of the old one. The node is down. */
  replaceDisk(disk: MemoryDisk): void {
    this.#disk = disk.copy({ schedule: this.#schedule, tearFailedWrites: this.#random });
    this.lastStore = null;
  }

  /** It is somewhere else from now on, and nobody knows. It is down. */
  move(): void {
    this.#moves++;
    this.settle(this.addresses.map((_, path) => `memory:${this.name}-moved-${this.#moves}-${path}`));
  }

  /** It is at these addresses from now on. It is down. */
  settle(addresses: readonly string[]): void {
    this.formerAddresses = this.addresses;
    this.addresses = addresses;
  }

  get host(): VirtualHost | null {
    return this.#host;
  }

  get disk(): MemoryDisk {
    return this.#disk;
  }

  /** The version on the disk, as far as it was seen. */
  get version(): VersionRecord | null {
    return (this.store ?? this.lastStore)?.version ?? null;
  }

  /** The pool's policy as it is on the disk, as far as it was seen. */
  get policy(): PoolPolicy | null {
    return (this.store ?? this.lastStore)?.policy ?? null;
  }

  /** Whether a chunk is dirty for a member, as this node's store says, or said when it was last open. */
  isDirty(memberId: number, chunk: number): boolean {
    const map = (this.store ?? this.lastStore)?.bitmapStore.dirtyMap(memberId) ?? null;
    return map !== null && map.dirtyCount > 0 && map.test(chunk);
  }

  /** Whether the write intent of this node's store names something of the chunk: a power loss may take what was written there. */
  isSuspect(chunk: number, { chunkSizeBytes }: Geometry): boolean {
    const start = chunk * chunkSizeBytes;
    const ranges = this.store?.bitmapStore.intentRanges() ?? [];
    return ranges.some(({ offsetBytes, lengthBytes }) => offsetBytes < start + chunkSizeBytes && offsetBytes + lengthBytes > start);
  }

  /** Chunks that are dirty for a member, as this node's store says, or said when it was last open. */
  dirtyCount(memberId: number): number {
    return (this.store ?? this.lastStore)?.bitmapStore.dirtyMap(memberId)?.dirtyCount ?? 0;
  }

  /** The chunk at a place on the disk, or -1 when there is metadata. */
  chunkAt(diskOffset: number, { chunkSizeBytes, sizeBytes }: Geometry): number {
    const offsetBytes = diskOffset - (this.store?.bitmapStore.dataOffset ?? Number.POSITIVE_INFINITY);
    return offsetBytes < 0 || offsetBytes >= sizeBytes ? -1 : Math.floor(offsetBytes / chunkSizeBytes);
  }

  /** Whether the request writes a journal record that a power loss may tear: one of more than a sector. */
  writesLongRecord({ offsetBytes, bytes }: DiskRequest): boolean {
    if (bytes === null || offsetBytes >= (this.store?.bitmapStore.dataOffset ?? 0)) return false;
    const isRecord = JOURNAL_MAGIC.every((byte, at) => bytes[at] === byte);
    return isRecord && bytes.subarray(SECTOR_BYTES).some((byte) => byte !== 0);
  }

  start(): void {
    if (this.heldDown) return;
    const { world, network } = this.#pool;
    const host = world.host(this.name);
    host.setClockRate(this.#clockRate);
    host.setWallClock(this.#wallSkewMs);
    this.#host = host;
    const opening = { bootId: this.#bootId, lifeUuid: randomUuid(this.#lifeRandom), wallMs: host.clock.wallMs() };
    openStore(this.#disk, { ...opening, world: host, label: this.name }, (store) => {
      if (this.#host !== host) return;
      if (store instanceof OperationError) {
        // Only a disk error is an excuse: the process ends, and its service manager starts it again.
        if (store.code !== 'IO_ERROR' && store.code !== 'NO_SPACE')
          throw new Error(`${this.name} could not open its store: ${store.message}`);
        this.crash();
        world.after(RESTART_MS, () => {
          if (!this.running) this.start();
        });
        return;
      }
      const slabs = new SlabPool();
      const { heartbeatIntervalMs, deadAfterMs } = this.#pool;
      const local = { hostUuid: this.hostUuid, hostName: this.name, bootId: this.#bootId, incarnation: randomUuid(host.random) };
      const session = {
        local,
        queueDepth: 32,
        maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX,
        payloadChecksum: false,
        heartbeatIntervalMs,
        deadAfterMs,
      };
      const sessions = new Sessions(host, network.host(this.name), slabs, session);
      const rmr = new RmrServer(host, slabs, sessions, resyncAt(this.#pool.resyncRateBytes));
      this.store = new PoolStoreAdapter(store, this.#disk);
      this.lastStore = this.store;
      this.onOpened();
      rmr.register(this.store);
      this.rmr = rmr;
      const server = new RtrsServer(
        host,
        slabs,
        { local, queueDepth: 128, maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX, payloadChecksum: false, heartbeatIntervalMs, deadAfterMs },
        rmr,
      );
      this.#server = server;
      for (const address of this.addresses) {
        network.host(this.name).listen(
          address,
          (stream) => server.accept(stream),
          (listener) => this.#listeners.push(listener),
          (_code, reason) => {
            throw new Error(reason);
          },
        );
      }
    });
    this.#disk.submit();
  }

  /** SIGTERM: sessions end, what is executing ends, the store is closed, the process ends. Nothing says how long that takes. */
  stop(): void {
    const { rmr, store } = this;
    const host = this.#host;
    if (host === null || rmr === null || store === null || this.#server === null) {
      this.crash();
      return;
    }
    for (const listener of this.#listeners.splice(0)) listener.close();
    this.#server.close('this storage node stops');
    this.#server = null;
    this.rmr = null;
    const [pool] = rmr.pools();
    if (pool === undefined) throw new Error(`${this.name} has no pool`);
    rmr.unregister(pool, () => {
      store.close(() => {
        if (this.#host === host) this.crash();
      });
    });
  }

  /** The process dies; what it had written stays in the page cache, and of what it was writing some. */
  crash(): void {
    this.#end();
    this.#disk.kill(this.#random);
    this.#disk = this.#disk.copy();
  }

  /** The host loses power: what was not flushed survives in part. */
  losePower(): void {
    this.#end();
    this.#disk.crash(this.#random);
    this.#disk = this.#disk.copy();
    this.#bootId = randomUuid(this.#random);
  }

  /** It was stopped by {@link pause}, and not resumed since. */
  get paused(): boolean {
    return this.#paused;
  }

  /** SIGSTOP: nothing is delivered and no tick comes. */
  pause(): void {
    if (this.#host === null) return;
    this.#paused = true;
    this.#host.pause();
    this.#pool.network.freeze(this.name);
  }

  resume(): void {
    this.#paused = false;
    this.#host?.resume();
    this.#pool.network.thaw(this.name);
    for (const end of this.#unheard.splice(0)) this.#pool.world.after(0, end);
  }

  /** The disk takes so much longer for the next write of data than for others, which overtake it. `onStuck`: it has come. */
  stickNextWrite(forMs: number, onStuck: () => void): void {
    this.#stuck = { forMs, onStuck };
  }

  /** No write gets stuck any more. */
  unstick(): void {
    this.#stuck = null;
  }

  /** What the pool says about the rate of resync has changed. */
  changeResyncRate(): void {
    for (const pool of this.rmr?.pools() ?? []) pool.resync.options = resyncAt(this.#pool.resyncRateBytes);
  }

  /** An operator pauses resync here, or ends that. */
  pauseResync(paused: boolean): void {
    for (const pool of this.rmr?.pools() ?? []) pool.resync.order = { paused, rateBytes: null };
  }

  /** From now on the clocks of this host run at this rate. */
  setClockRate(rate: number): void {
    this.#clockRate = rate;
    this.#host?.setClockRate(rate);
  }

  /** The wall clock of this host is set, forward or back. */
  setWallClock(byMs: number): void {
    this.#wallSkewMs += byMs;
    this.#host?.setWallClock(byMs);
  }

  verify(): void {
    this.rmr?.verify();
    this.#server?.verify();
    this.store?.verify();
  }

  readonly #schedule = (request: DiskRequest, end: () => void): void => {
    this.onDiskRequest(this, request);
    let delayMs = this.diskLatencyMs === 0 ? 0 : (this.#random.u32() / 0x1_0000_0000) * this.diskLatencyMs;
    const stuck = this.#stuck;
    if (stuck !== null && request.kind === 'write' && request.offsetBytes >= (this.store?.bitmapStore.dataOffset ?? Number.MAX_VALUE)) {
      this.#stuck = null;
      delayMs += stuck.forMs;
      stuck.onStuck();
    }
    const ended = (): void => {
      this.onDiskEnd(this, request);
      end();
    };
    this.#pool.world.after(delayMs, () => {
      if (this.#paused) this.#unheard.push(ended);
      else ended();
    });
  };

  #end(): void {
    if (this.#host === null) return;
    this.#pool.network.thaw(this.name);
    this.#host.crash();
    this.#pool.network.crash(this.name);
    this.#host = null;
    this.#server = null;
    this.#listeners.length = 0;
    this.#paused = false;
    this.#unheard = [];
    this.rmr = null;
    this.store = null;
  }
}

function resyncAt(rateBytes: number | null): ResyncOptions {
  return { rateBytes, loadedRateBytes: rateBytes };
}

/** The node as a client's configuration names it. */
export function addressOf(node: SimulatedStorageNode): MemberAddress {
  return { memberId: node.memberId, name: node.name, addresses: node.addresses };
}

/** Whether these addresses lead to the node. */
export function isAt(node: SimulatedStorageNode, { addresses }: Pick<MemberAddress, 'addresses'>): boolean {
  return addresses.length === node.addresses.length && addresses.every((address, path) => address === node.addresses[path]);
}

/** A client node without NBD: the production client cores. */
export class SimulatedClient {
  readonly name: string;
  readonly pool: PoolClient;
  readonly host: VirtualHost;
  /** Stopped by SIGSTOP. */
  paused = false;
  /** The members that its configuration names. */
  readonly configured: ReadonlySet<number>;
  readonly #members: readonly MemberAddress[];
  readonly #network: MemoryNetwork;
  readonly #client: RmrClient;

  /** `onAsked`: another client asks for the pool (C4). */
  constructor(
    simulated: SimulatedPool,
    name: string,
    members: readonly MemberAddress[],
    witness: SimulatedStorageNode | null,
    takeover: TakeoverWay,
    onAsked: (asked: SimulatedClient) => string,
  ) {
    const { world, network, poolUuid, queueDepth, heartbeatIntervalMs, deadAfterMs, readPolicy } = simulated;
    const { legTimeoutMs, legSlowForMs, legReturnDelayMsMax } = simulated;
    this.name = name;
    this.configured = new Set(members.map((member) => member.memberId));
    this.#members = members;
    this.#network = network;
    this.host = world.host(name);
    const incarnation = randomUuid(this.host.random);
    const local = { hostUuid: randomUuid(this.host.random), hostName: name, bootId: randomUuid(this.host.random), incarnation };
    this.#client = new RmrClient(this.host, network.host(name), new SlabPool(), {
      instanceUuid: incarnation,
      name,
      session: { local, queueDepth, maxPayloadBytes: MESSAGE_PAYLOAD_BYTES_MAX, payloadChecksum: false, heartbeatIntervalMs, deadAfterMs },
    });
    this.pool = this.#client.open(
      {
        poolUuid,
        poolName: 'pool',
        queueDepth,
        readPolicy,
        legTimeoutMs,
        legSlowForMs,
        legReturnDelayMsMax,
        get ioTimeoutMs() {
          return simulated.ioTimeoutMs;
        },
        members,
        ...(witness === null ? {} : { witness: addressOf(witness) }),
        quorum: simulated.quorum,
        takeover,
        onAsked: () => onAsked(this),
      },
      () => {},
    );
  }

  /** Whether its configuration has the member where it is. */
  names(node: SimulatedStorageNode): boolean {
    const member = this.#members.find(({ memberId }) => memberId === node.memberId);
    return member !== undefined && isAt(node, member);
  }

  /** SIGTERM: IO ends, everything is flushed and the members are told, as far as that can be done in time. */
  stop(done: () => void): void {
    this.#client.stop(done);
  }

  /** The process dies. */
  crash(): void {
    this.host.crash();
    this.#network.thaw(this.name);
    this.#network.crash(this.name);
  }

  pause(): void {
    this.paused = true;
    this.host.pause();
    this.#network.freeze(this.name);
  }

  resume(): void {
    this.paused = false;
    this.host.resume();
    this.#network.thaw(this.name);
  }

  verify(): void {
    this.#client.verify();
  }
}
