import { createStore, storeBytes } from '@rmr/bitmap-store';
import { IoRequest, type MemberAddress, MessageType, type PoolClientStatus, type PoolPolicy } from '@rmr/rmr';
import { randomUuid, Status } from '@rmr/runtime';
import { MemoryDisk, MemoryNetwork, VirtualWorld } from '@rmr/testing';
import { SECTOR_BYTES, SectorModel } from './sector-model.ts';
import { addressOf, SimulatedClient, type SimulatedPool, SimulatedStorageNode } from './simulated-nodes.ts';

/**
 * A small pool whose member 2 can be given any disk: storage nodes with real stores, a real client, and a model that knows what
 * every sector of the device may read as. Sectors are read all the time. A wrong read throws, and so does a version of a lineage that
 * nobody has ordered.
 */
export class WrongDiskPool {
  readonly world: VirtualWorld;
  readonly network: MemoryNetwork;
  readonly nodes: readonly SimulatedStorageNode[];
  readonly witness: SimulatedStorageNode | null;
  /** Another host, with whatever disk it is given. It is down until it is started. */
  readonly elsewhere: SimulatedStorageNode;
  readonly poolUuid: string;
  /** The members as the configuration of the next client names them. */
  configured: readonly MemberAddress[];
  /** The disks as they were created, by member id. */
  readonly newborn: ReadonlyMap<number, MemoryDisk>;
  /** Lineages that stores from elsewhere have brought. */
  readonly foreign = new Set<string>();
  client: SimulatedClient | null = null;
  /** Reads that have been answered. */
  readCount = 0;
  readonly #simulated: SimulatedPool;
  readonly #model = new SectorModel(SECTOR_COUNT);
  readonly #operations = new Set<Operation>();
  #lineageUuid = '';
  #clientCount = 0;
  #isStopping = false;
  #nextStamp = 1;
  #nextRead = 0;

  constructor({ memberCount, witness, quorum, seed, poolUuid, disks }: WrongDiskPoolOptions) {
    const world = new VirtualWorld(seed);
    this.world = world;
    this.network = new MemoryNetwork(world, { delayMsMin: 0.05, delayMsMax: 0.5 });
    this.poolUuid = poolUuid ?? randomUuid(world.random);
    this.#simulated = {
      ...{ world, network: this.network, poolUuid: this.poolUuid },
      ...{
        queueDepth: QUEUE_DEPTH,
        heartbeatIntervalMs: 500,
        deadAfterMs: 2_000,
        legTimeoutMs: 30_000,
        legSlowForMs: 30_000,
        legReturnDelayMsMax: 30_000,
      },
      ...{ readPolicy: 'round-robin', pathCount: 1, quorum, resyncRateBytes: null, ioTimeoutMs: null },
    };
    const ids = Array.from({ length: memberCount }, (_, index) => index + 1);
    this.newborn = new Map(ids.map((memberId) => [memberId, disks?.get(memberId) ?? this.emptyDisk(memberId)]));
    this.nodes = ids.map((memberId) => this.#makeNode(memberId, this.newborn.get(memberId) as MemoryDisk));
    const witnessId = memberCount + 1;
    this.witness = witness ? this.#makeNode(witnessId, this.emptyDisk(witnessId, true)) : null;
    this.elsewhere = this.#makeNode(2, this.emptyDisk(2), 'storage-9');
    this.configured = this.nodes.map(addressOf);
  }

  // The members that are there.

  /** The members with data, and the witness. */
  get all(): readonly SimulatedStorageNode[] {
    return this.witness === null ? this.nodes : [...this.nodes, this.witness];
  }

  node(memberId: number): SimulatedStorageNode {
    return this.nodes[memberId - 1] as SimulatedStorageNode;
  }

  get status(): PoolClientStatus {
    if (this.client === null) throw new Error('no client is there');
    return this.client.pool.status();
  }

  leg(memberId: number): PoolClientStatus['legs'][number] {
    const leg = this.status.legs.find((each) => each.memberId === memberId);
    if (leg === undefined) throw new Error(`member ${memberId} has no leg`);
    return leg;
  }

  /** Whether the member is in the set and lacks nothing. */
  isWhole(memberId: number): boolean {
    const { state, inSync, dirtyBytes } = this.leg(memberId);
    return state === 'NORMAL' && inSync && dirtyBytes === 0;
  }

  /** Whether the pool is served by all of its members, each of which lacks nothing, and nothing is changing. */
  get isAllWhole(): boolean {
    const { state, versionChangePending, waitingFor } = this.status;
    const settled = state === 'SERVING' && !versionChangePending && waitingFor === null && this.status.witness?.ready !== false;
    return settled && this.nodes.every(({ memberId }) => this.isWhole(memberId));
  }

  /** Whether the store of the member was accepted anew (L8), as member 1 has recorded. */
  isAcceptedAnew(memberId: number): boolean {
    return this.node(1).store?.members.find((member) => member.memberId === memberId)?.anew !== undefined;
  }

  /** A disk with an empty store of the pool. */
  emptyDisk(memberId: number, witness = false): MemoryDisk {
    const { random } = this.world;
    const disk = new MemoryDisk({ sizeBytes: storeBytes(DEVICE_BYTES, CHUNK_BYTES, QUEUE_DEPTH, { witness }) });
    createStore(
      disk,
      {
        ...{ label: `store ${memberId}`, storeUuid: randomUuid(random), poolUuid: this.poolUuid, lineageUuid: randomUuid(random) },
        ...{ poolName: 'pool', memberId, sizeBytes: DEVICE_BYTES, chunkSizeBytes: CHUNK_BYTES, queueDepth: QUEUE_DEPTH },
        ...{ data: 'known', force: true, ...(witness ? { witness } : {}) },
      },
      (error) => {
        if (error !== null) throw error;
      },
    );
    return disk;
  }

  // What happens to it.

  /** Everything starts, and an operator orders the pool to be created (C0). */
  beBorn(): void {
    this.startNodes();
    this.startClient();
    // Its legs have to be there before the order is given.
    this.run(LOOK_MS);
    this.client?.pool.create((error) => {
      if (error !== null) throw error;
    });
    this.until('the pool to be born', () => this.isAllWhole);
    this.#lineageUuid = this.status.version?.lineageUuid ?? '';
  }

  startNodes(nodes: readonly SimulatedStorageNode[] = this.all): void {
    for (const node of nodes) if (!node.running) node.start();
  }

  /** A client starts, with the configuration that there is. */
  startClient(): void {
    this.client = new SimulatedClient(this.#simulated, `client-${++this.#clientCount}`, this.configured, this.witness, 'NO', () => '');
  }

  /** The client dies. What it had under way has happened by then, or not. */
  killClient(): void {
    this.client?.crash();
    this.client = null;
    this.#forget();
  }

  /** The client ends in order: every member is released. */
  stopClient(): void {
    const stop = { isOver: false };
    // Once it is asked to end, nothing is handed in any more.
    this.#isStopping = true;
    this.client?.stop(() => {
      stop.isOver = true;
    });
    this.until('the client to end', () => stop.isOver);
    this.killClient();
    this.#isStopping = false;
  }

  /** The storage nodes end in order. */
  stopNodes(nodes: readonly SimulatedStorageNode[]): void {
    for (const node of nodes) node.stop();
    this.until('the storage nodes to end', () => nodes.every((node) => !node.running));
  }

  /** A write of these sectors begins. */
  write(first: number, count: number): void {
    this.#submit(MessageType.WRITE, first, count);
  }

  /** Writes all over the device begin, and go on for so long; then each has ended, and everything was flushed. */
  writeFor(durationMs: number): void {
    const untilMs = this.world.scheduler.nowMs + durationMs;
    for (let at = 0; this.world.scheduler.nowMs < untilMs; at++) {
      this.write((at * 11) % (SECTOR_COUNT - 5), 1 + (at % 5));
      if (at % 8 === 0) this.#submit(MessageType.FLUSH, 0, 0);
      this.run(LOOK_MS);
    }
    this.#submit(MessageType.FLUSH, 0, 0);
    this.untilQuiet();
  }

  /** Every sector is written. */
  writeAll(): void {
    for (let first = 0; first < SECTOR_COUNT; first += 16) this.write(first, 16);
    this.untilQuiet();
  }

  /** A copy of the member's store, made while its storage node runs and writes are under way. */
  copyWhileWriting(memberId: number): MemoryDisk {
    for (let first = 0; first < 64; first += 8) this.write(first, 4);
    this.world.run(1);
    if (this.#operations.size === 0) throw new Error('no write is under way');
    return this.node(memberId).disk.copy();
  }

  /** Time passes. Whatever goes on is looked at. */
  run(durationMs: number): void {
    for (let leftMs = durationMs; leftMs > 0; leftMs -= LOOK_MS) {
      this.#readSomewhere();
      this.world.run(Math.min(LOOK_MS, leftMs));
      this.#look();
    }
  }

  /** Time passes until this is so. */
  until(what: string, isSo: () => boolean): void {
    for (let leftMs = PATIENCE_MS; leftMs > 0; leftMs -= LOOK_MS) {
      if (isSo()) return;
      this.run(LOOK_MS);
    }
    throw new Error(`waited for ${what} in vain; ${this.describe()}`);
  }

  untilQuiet(): void {
    this.until('IO to end', () => ![...this.#operations].some(({ request }) => request.type !== MessageType.READ));
  }

  // What has to be so.

  /**
   * Everything is read through the client, more than once, so that every member answers. Then every member of the set has to have what was
   * read in each chunk that it counts as clean.
   */
  readEverything(): void {
    const found = new Map<number, number>();
    for (let round = 0; round < 2 * this.nodes.length + 1; round++) {
      let left = 0;
      for (let first = 0; first < SECTOR_COUNT; first += READ_SECTORS) {
        left++;
        this.#submit(MessageType.READ, first, READ_SECTORS, (stamps) => {
          left--;
          stamps.forEach((stamp, index) => {
            found.set(first + index, stamp);
          });
        });
        // Each round begins with another member.
        if (round > 0 && first === 0) this.#submit(MessageType.READ, 0, 1);
      }
      this.until('everything to be read', () => left === 0);
    }
    for (const { state, addresses } of this.status.legs) {
      const node = [...this.nodes, this.elsewhere].find((each) => each.addresses[0] === addresses[0]);
      const store = node?.store ?? null;
      if (state !== 'NORMAL' || node === undefined || store === null) continue;
      for (let sector = 0; sector < SECTOR_COUNT; sector++) {
        if (node.isDirty(store.identity.memberId, Math.floor((sector * SECTOR_BYTES) / CHUNK_BYTES))) continue;
        const data = node.disk.peek(store.bitmapStore.dataOffset + sector * SECTOR_BYTES, SECTOR_BYTES);
        const stamp = stampOf(new Float64Array(data.buffer), 0);
        if (stamp !== found.get(sector))
          throw new Error(`I5: ${node.name} has ${stamp} in sector ${sector}, which reads as ${found.get(sector)}`);
      }
    }
  }

  /** How things stand, for people. */
  describe(): string {
    const stores = [...this.all, this.elsewhere].map(({ name, version, running }) => `${name} ${running} ${JSON.stringify(version)}`);
    const status = this.client === null ? 'no client' : JSON.stringify(this.status);
    const log = this.world.log.entries.filter(({ level }) => level !== 'debug').slice(-20);
    return `${stores.join('; ')}; ${status}; ${log.map((entry) => `\n${entry.level} ${entry.event} ${JSON.stringify(entry.fields)}`).join('')}`;
  }

  /** Nothing is wrong as it is now, and no second lineage is born. */
  #look(): void {
    for (const node of [...this.all, this.elsewhere]) {
      node.verify();
      const lineage = node.store?.version?.lineageUuid;
      if (this.#lineageUuid !== '' && lineage !== undefined && lineage !== this.#lineageUuid && !this.foreign.has(lineage))
        throw new Error(`C0: ${node.name} has a lineage that nobody has ordered`);
    }
    if (this.client === null) return;
    this.client.verify();
    const { version } = this.status;
    if (this.#lineageUuid !== '' && version !== null && version.lineageUuid !== this.#lineageUuid)
      throw new Error('C0: another lineage than that of the pool is served');
  }

  #readSomewhere(): void {
    if (this.client === null || this.#isStopping || this.#lineageUuid === '') return;
    if ([...this.#operations].filter(({ request }) => request.type === MessageType.READ).length >= READS_MAX) return;
    this.#nextRead = (this.#nextRead + 3 * READ_SECTORS + 1) % (SECTOR_COUNT - READ_SECTORS);
    this.#submit(MessageType.READ, this.#nextRead, READ_SECTORS);
  }

  #submit(
    type: typeof MessageType.READ | typeof MessageType.WRITE | typeof MessageType.FLUSH,
    first: number,
    count: number,
    onRead: (stamps: readonly number[]) => void = () => {},
  ): void {
    const beganMs = this.world.scheduler.nowMs;
    const stamp = type === MessageType.WRITE ? this.#nextStamp++ : 0;
    const request = new IoRequest({ onIoDone: (_request, status, payload) => this.#ended(operation, status, payload, onRead) });
    const operation = { request, first, count, stamp, beganMs };
    request.type = type;
    request.offsetBytes = first * SECTOR_BYTES;
    request.lengthBytes = count * SECTOR_BYTES;
    if (type === MessageType.WRITE) {
      request.payload = new Uint8Array(request.lengthBytes);
      new Float64Array(request.payload.buffer).fill(stamp);
      this.#model.writeBegins(first, count, stamp, beganMs);
    }
    this.#operations.add(operation);
    this.client?.pool.submit(request);
  }

  #ended(operation: Operation, status: number, payload: Uint8Array | null, onRead: (stamps: readonly number[]) => void): void {
    // A client that is dead tells nobody.
    if (!this.#operations.delete(operation)) return;
    const { request, first, count, stamp, beganMs } = operation;
    const { nowMs } = this.world.scheduler;
    if (status !== Status.OK) throw new Error(`IO of type ${request.type} has failed with status ${status}`);
    if (request.type === MessageType.WRITE) this.#model.writeEnds(first, count, stamp, beganMs, nowMs, false);
    if (request.type === MessageType.FLUSH) this.#model.flushEnds(beganMs);
    if (request.type === MessageType.READ && payload !== null) {
      const words = new Float64Array(payload.slice().buffer);
      const stamps = Array.from({ length: count }, (_, index) => stampOf(words, index));
      stamps.forEach((each, index) => {
        this.#model.read(first + index, each, beganMs, nowMs);
      });
      this.readCount++;
      onRead(stamps);
    }
    if (this.#model.violation !== null) throw new Error(this.#model.violation);
  }

  /** Nobody hears of what was under way. */
  #forget(): void {
    const { nowMs } = this.world.scheduler;
    for (const { request, first, count, stamp, beganMs } of this.#operations)
      if (request.type === MessageType.WRITE) this.#model.writeFails(first, count, stamp, beganMs, nowMs);
    this.#operations.clear();
  }

  #makeNode(memberId: number, disk: MemoryDisk, name?: string): SimulatedStorageNode {
    const node = new SimulatedStorageNode(this.#simulated, memberId, disk, name);
    node.diskLatencyMs = DISK_MS;
    return node;
  }
}

const CHUNK_BYTES = 4096;
const CHUNK_COUNT = 16;
const DEVICE_BYTES = CHUNK_BYTES * CHUNK_COUNT;
const SECTOR_COUNT = DEVICE_BYTES / SECTOR_BYTES;
const WORDS_PER_SECTOR = SECTOR_BYTES / Float64Array.BYTES_PER_ELEMENT;
const QUEUE_DEPTH = 8;
/** A disk request takes up to this, in virtual milliseconds: long enough for writes to be under way when a copy is made. */
const DISK_MS = 2;
/** How often the pool is looked at, in virtual milliseconds. */
const LOOK_MS = 50;
/** In which whatever is waited for has to come about, in virtual milliseconds. */
const PATIENCE_MS = 40_000;
/** Reads under way at a time, of those that go on all the time. */
const READS_MAX = 3;
/** Sectors of such a read. */
const READ_SECTORS = 8;

export interface WrongDiskPoolOptions {
  readonly memberCount: number;
  readonly witness: boolean;
  readonly quorum: PoolPolicy['quorum'];
  readonly seed: number;
  /** Of a pool that has no right to be called so; absent: one of its own. */
  readonly poolUuid?: string;
  /** The stores that the members begin with, by member id; absent: new ones. */
  readonly disks?: ReadonlyMap<number, MemoryDisk>;
}

/** A write or a read that has not ended. */
interface Operation {
  readonly request: IoRequest;
  readonly first: number;
  readonly count: number;
  readonly stamp: number;
  readonly beganMs: number;
}

/** What was written to a sector; it has to be one thing. */
function stampOf(words: Float64Array, sector: number): number {
  const from = sector * WORDS_PER_SECTOR;
  const first = words[from] as number;
  for (let word = from + 1; word < from + WORDS_PER_SECTOR; word++)
    if (words[word] !== first) throw new Error(`I2: a sector reads as a mix of ${first} and ${words[word]}`);
  return first;
}
