import { createStore, storeBytes } from '@rmr/bitmap-store';
import { compareVersions, IoFlag, IoRequest, type IoType, MessageType, type VersionRecord } from '@rmr/rmr';
import { errorMessage, randomBelow, randomUuid, SeededRandom, Status } from '@rmr/runtime';
import { MemoryDisk } from '../memory-disk.ts';
import { MemoryNetwork } from '../memory-network.ts';
import { VirtualWorld } from '../virtual-world.ts';
import { SECTOR_BYTES, SectorModel } from './sector-model.ts';
import { SimulatedClient, type SimulatedPool, SimulatedStorageNode } from './simulated-nodes.ts';

/** The device: small, so that operations meet. */
const DEVICE_BYTES = 1024 * 1024;
const CHUNK_BYTES = 16 * 1024;
const QUEUE_DEPTH = 16;
/** Sectors that the workload uses, in two regions far apart. */
const HOT_SECTORS = 64;
const FAR_SECTOR = DEVICE_BYTES / SECTOR_BYTES - HOT_SECTORS;
/** Operations under way at a time. */
const CONCURRENCY_MAX = 10;
/** Virtual time in which a healed cluster must serve again (I11). */
const LIVENESS_MS = 180_000;

/** Between two checks of every class's invariants: they cost more than the events. */
const VERIFY_EVENTS = 50;

/** What a run did. */
export interface SimulationResult {
  readonly seed: number;
  /** Null: everything held. */
  readonly failure: string | null;
  readonly operations: number;
  readonly faults: number;
  readonly events: number;
  readonly virtualMs: number;
  /** The last log lines of a failed run. */
  readonly log: string;
}

/** An operation under way. */
interface Operation {
  readonly client: SimulatedClient;
  readonly request: IoRequest;
  readonly stamp: number;
  readonly beganMs: number;
  readonly firstSector: number;
  readonly sectorCount: number;
}

/**
 * A whole pool in one process on virtual time, running the production cores, from one seed: first operations under
 * faults (safety), then no faults (liveness), then every member's bytes are compared.
 */
export class Simulation {
  readonly #seed: number;
  readonly #random: SeededRandom;
  readonly #world: VirtualWorld;
  readonly #network: MemoryNetwork;
  readonly #pool: SimulatedPool;
  readonly #nodes: SimulatedStorageNode[] = [];
  /** Members that may have lost what was not flushed since the pool was last assembled. */
  readonly #lost = new Set<number>();
  readonly #model = new SectorModel(HOT_SECTORS * 2);
  readonly #operations = new Set<Operation>();
  #client: SimulatedClient | null = null;
  #rival: SimulatedClient | null = null;
  #servedEpoch = 0;
  #nextStamp = 1;
  #clientCount = 0;
  #operationCount = 0;
  #faultCount = 0;
  #faultsOn = true;
  #issuing = true;
  #failure: string | null = null;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = new SeededRandom(seed ^ 0x5eed);
    this.#world = new VirtualWorld(seed);
    const slow = this.#chance(30);
    this.#network = new MemoryNetwork(this.#world, {
      delayMsMin: 0.05,
      delayMsMax: slow ? 20 : 1,
      runBytesMax: this.#chance(30) ? 700 : 64 * 1024,
    });
    this.#pool = {
      world: this.#world,
      network: this.#network,
      poolUuid: randomUuid(this.#random),
      queueDepth: QUEUE_DEPTH,
      heartbeatIntervalMs: 500,
      deadAfterMs: 2000,
    };
    const nodeCount = this.#chance(15) ? 1 : this.#chance(50) ? 2 : 3;
    for (let memberId = 1; memberId <= nodeCount; memberId++) this.#nodes.push(this.#newNode(memberId));
    let events = 0;
    this.#world.check(() => {
      if (++events % VERIFY_EVENTS !== 0) return;
      this.#client?.verify();
      this.#rival?.verify();
      for (const node of this.#nodes) node.verify();
      this.#noteAssembly();
    });
  }

  run(): SimulationResult {
    try {
      for (const node of this.#nodes) node.start();
      this.#startClient();
      this.#issueLater();
      this.#faultLater();
      this.#world.run(5_000 + randomBelow(this.#random, 30_000));
      this.#healEverything();
      this.#until(() => this.#served(), 'I11: the pool to be served again');
      this.#world.run(1_000);
      this.#issuing = false;
      this.#until(() => this.#operations.size === 0, 'I11: every operation to end');
      this.#readEverything();
      this.#compareMembers();
    } catch (error) {
      this.#failure ??= errorMessage(error);
    }
    this.#failure ??= this.#model.violation;
    return {
      seed: this.#seed,
      failure: this.#failure,
      operations: this.#operationCount,
      faults: this.#faultCount,
      events: this.#world.scheduler.eventCount,
      virtualMs: this.#world.scheduler.nowMs,
      log: this.#failure === null ? '' : this.#world.log.text(),
    };
  }

  #newNode(memberId: number): SimulatedStorageNode {
    const latencyMs = this.#chance(50) ? 0 : 4;
    const schedule = (_request: unknown, end: () => void): void => {
      const delayMs = latencyMs === 0 ? 0 : (this.#random.u32() / 0x1_0000_0000) * latencyMs;
      this.#world.after(delayMs, end);
    };
    const disk = new MemoryDisk({ sizeBytes: storeBytes(DEVICE_BYTES, CHUNK_BYTES, QUEUE_DEPTH) });
    createStore(
      disk,
      {
        label: `store ${memberId}`,
        storeUuid: randomUuid(this.#random),
        poolUuid: this.#pool.poolUuid,
        lineageUuid: randomUuid(this.#random),
        poolName: 'pool',
        memberId,
        deviceBytes: DEVICE_BYTES,
        chunkBytes: CHUNK_BYTES,
        queueDepth: QUEUE_DEPTH,
        data: 'known',
        force: false,
      },
      (error) => {
        if (error !== null) throw error;
      },
    );
    return new SimulatedStorageNode(this.#pool, memberId, disk.copy({ schedule }));
  }

  // Workload.

  #issueLater(): void {
    this.#world.after(this.#random.u32() % 4, () => {
      if (!this.#issuing) return;
      if (this.#client !== null && this.#operations.size < CONCURRENCY_MAX) this.#issue(this.#client);
      this.#issueLater();
    });
  }

  #issue(client: SimulatedClient): void {
    const kind = randomBelow(this.#random, 100);
    let type: IoType = MessageType.READ;
    let flags = 0;
    if (kind < 45) type = MessageType.WRITE;
    else if (kind < 55) {
      type = MessageType.WRITE;
      flags = IoFlag.FUA;
    } else if (kind < 60) type = MessageType.DISCARD;
    else if (kind < 64) {
      type = MessageType.WRITE_ZEROES;
      flags = this.#chance(50) ? IoFlag.NO_HOLE : 0;
    } else if (kind < 72) type = MessageType.FLUSH;
    const sectorCount = type === MessageType.FLUSH ? 0 : 1 + randomBelow(this.#random, this.#chance(20) ? HOT_SECTORS : 4);
    const firstSector = randomBelow(this.#random, HOT_SECTORS - sectorCount + 1) + (this.#chance(30) ? HOT_SECTORS : 0);
    this.#start(client, type, flags, firstSector, sectorCount);
  }

  #start(client: SimulatedClient, type: IoType, flags: number, firstSector: number, sectorCount: number): void {
    const request = new IoRequest({ onIoDone: (_request, status, payload) => this.#ended(operation, status, payload) });
    const writes = type === MessageType.WRITE || type === MessageType.DISCARD || type === MessageType.WRITE_ZEROES;
    const stamp = type === MessageType.WRITE ? this.#nextStamp++ : 0;
    const beganMs = this.#world.scheduler.nowMs;
    const operation: Operation = { client, request, stamp, beganMs, firstSector, sectorCount };
    request.type = type;
    request.flags = flags;
    request.offsetBytes = type === MessageType.FLUSH ? 0 : offsetOf(firstSector);
    request.lengthBytes = sectorCount * SECTOR_BYTES;
    if (type === MessageType.WRITE) {
      request.payload = new Uint8Array(request.lengthBytes);
      new Float64Array(request.payload.buffer).fill(stamp);
    }
    if (writes) this.#model.writeBegins(firstSector, sectorCount, stamp, beganMs);
    this.#operations.add(operation);
    this.#operationCount++;
    client.pool.submit(request);
  }

  #ended(operation: Operation, status: number, payload: Uint8Array | null): void {
    // A client that is dead tells nobody.
    if (!this.#operations.delete(operation)) return;
    const { request, stamp, beganMs, firstSector, sectorCount } = operation;
    const nowMs = this.#world.scheduler.nowMs;
    let oldestMs = beganMs;
    for (const other of this.#operations) oldestMs = Math.min(oldestMs, other.beganMs);
    this.#model.oldestOperationMs = oldestMs;
    if (request.type === MessageType.FLUSH) {
      if (status === Status.OK) this.#model.flushEnds(beganMs);
    } else if (request.type === MessageType.READ) {
      if (status !== Status.OK || payload === null) return;
      const copy = payload.slice();
      const words = new Float64Array(copy.buffer);
      for (let i = 0; i < sectorCount; i++) {
        const first = words[(i * SECTOR_BYTES) / 8] as number;
        for (let word = 1; word < SECTOR_BYTES / 8; word++) {
          if (words[(i * SECTOR_BYTES) / 8 + word] !== first) this.#fail(`sector ${firstSector + i}: a read returned a torn sector`);
        }
        this.#model.read(firstSector + i, first, beganMs, nowMs);
      }
    } else if (status === Status.OK) {
      this.#model.writeEnds(firstSector, sectorCount, stamp, beganMs, nowMs, (request.flags & IoFlag.FUA) !== 0);
    } else {
      this.#model.writeFails(firstSector, sectorCount, stamp, beganMs, nowMs);
    }
    if (this.#model.violation !== null) this.#fail(this.#model.violation);
  }

  // Faults.

  #faultLater(): void {
    this.#world.after(200 + randomBelow(this.#random, 2500), () => {
      if (!this.#faultsOn) return;
      this.#faultCount++;
      this.#fault();
      this.#faultLater();
    });
  }

  #fault(): void {
    const node = this.#nodes[randomBelow(this.#random, this.#nodes.length)] as SimulatedStorageNode;
    const client = this.#client;
    const laterMs = randomBelow(this.#random, this.#chance(70) ? 500 : 8000);
    switch (randomBelow(this.#random, 12)) {
      case 0:
      case 1:
      case 2:
        if (client === null) return;
        this.#crashClient();
        this.#world.after(laterMs, () => this.#startClient());
        break;
      case 3:
        if (!node.running) return;
        node.crash();
        this.#world.after(laterMs, () => this.#startNode(node));
        break;
      case 4:
        this.#losePower([node]);
        break;
      case 5:
        if (this.#chance(30)) this.#losePower(this.#nodes);
        break;
      case 6:
        if (client !== null) this.#network.cut(client.name, node.name);
        break;
      case 7: {
        if (client === null) return;
        const { name } = client;
        const direction = randomBelow(this.#random, 4);
        if (direction < 2) this.#network.partition(name, node.name);
        else if (direction === 2) this.#network.partitionOneWay(name, node.name);
        else this.#network.partitionOneWay(node.name, name);
        this.#world.after(laterMs, () => this.#network.heal(name, node.name));
        break;
      }
      case 8:
        if (!node.running) return;
        node.pause();
        this.#world.after(laterMs, () => node.resume());
        break;
      case 9:
        if (client === null) return;
        client.pause();
        this.#world.after(laterMs, () => client.resume());
        break;
      case 10:
        // Only where another member keeps what this one loses.
        if (this.#inSync().length < 2 || this.#lost.size > 0 || !this.#inSync().includes(node.memberId)) return;
        if (this.#chance(50)) {
          node.disk.fail('flush', Status.EIO);
          this.#lost.add(node.memberId);
        } else {
          node.disk.fail('write', this.#chance(50) ? Status.EIO : Status.ENOSPC);
        }
        break;
      case 11:
        this.#takeOver();
        break;
    }
  }

  #startNode(node: SimulatedStorageNode): void {
    if (!node.running) node.start();
  }

  #losePower(nodes: readonly SimulatedStorageNode[]): void {
    for (const node of nodes) {
      node.losePower();
      this.#lost.add(node.memberId);
      this.#world.after(randomBelow(this.#random, 4000), () => this.#startNode(node));
    }
    const inSync = this.#inSync();
    if (inSync.length > 0 && inSync.every((memberId) => this.#lost.has(memberId))) this.#model.volatileLost(this.#world.scheduler.nowMs);
  }

  #startClient(): void {
    if (this.#client !== null) return;
    this.#client = new SimulatedClient(this.#pool, `client-${++this.#clientCount}`, this.#nodes);
  }

  #crashClient(): void {
    if (this.#client === null) return;
    this.#client.crash();
    this.#abandon(this.#client);
    this.#client = null;
  }

  /** A second client wants the pool while the first is cut off: it must wait, then get it, and the first must not serve again. */
  #takeOver(): void {
    const old = this.#client;
    if (old === null || this.#rival !== null || old.pool.state !== 'SERVING') return;
    for (const node of this.#nodes) this.#network.partition(old.name, node.name);
    this.#rival = new SimulatedClient(this.#pool, `client-${++this.#clientCount}`, this.#nodes);
    const look = (): void => {
      if (this.#rival === null) return;
      if (this.#rival.pool.state !== 'SERVING' && this.#faultsOn) {
        this.#world.after(100, look);
        return;
      }
      this.#endTakeOver(old);
    };
    this.#world.after(100, look);
  }

  /** From here on the rival is the client; the old one stays around, healed, and must notice. */
  #endTakeOver(old: SimulatedClient): void {
    if (this.#client === old) {
      this.#abandon(old);
      this.#client = this.#rival;
      this.#rival = null;
      for (const node of this.#nodes) this.#network.heal(old.name, node.name);
      this.#world.after(10_000, () => {
        if (old.pool.state === 'SERVING' && this.#client?.pool.state === 'SERVING') this.#fail('I7: two clients serve the pool');
        old.crash();
      });
    } else {
      this.#rival?.crash();
      this.#rival = null;
    }
  }

  /** Nobody waits for this client's operations any more: each has taken effect by now, or never will. */
  #abandon(client: SimulatedClient): void {
    const nowMs = this.#world.scheduler.nowMs;
    for (const operation of this.#operations) {
      if (operation.client !== client) continue;
      this.#operations.delete(operation);
      const { request, stamp, beganMs, firstSector, sectorCount } = operation;
      if (request.type !== MessageType.READ && request.type !== MessageType.FLUSH) {
        this.#model.writeFails(firstSector, sectorCount, stamp, beganMs, nowMs);
      }
    }
  }

  #healEverything(): void {
    this.#faultsOn = false;
    if (this.#rival !== null && this.#client !== null) {
      if (this.#rival.pool.state !== 'SERVING') this.#client.crash();
      this.#endTakeOver(this.#client);
    }
    this.#network.healAll();
    this.#client?.resume();
    for (const node of this.#nodes) {
      node.resume();
      this.#startNode(node);
    }
    this.#startClient();
  }

  /** Whether IO is served. Does what a service manager would: starts again what can't go on by itself. */
  #served(): boolean {
    for (const node of this.#nodes) {
      // A store that failed a write refuses everything until it is opened again.
      if (node.store?.bitmapStore.failed !== true) continue;
      node.crash();
      this.#startNode(node);
    }
    if (this.#client?.pool.state === 'FENCED') this.#crashClient();
    this.#startClient();
    return this.#client?.pool.state === 'SERVING';
  }

  // Checks.

  /** The in-sync set of the highest version on any disk. */
  #inSync(): readonly number[] {
    let highest: VersionRecord | null = null;
    for (const node of this.#nodes) {
      const version = node.store?.version ?? node.lastVersion;
      if (version !== null && (highest === null || compareVersions(version, highest) > 0)) highest = version;
    }
    return highest?.inSync.map((member) => member.memberId) ?? [];
  }

  /** The pool was assembled anew: reconciliation has made everything equal and durable on the members of its set. */
  #noteAssembly(): void {
    for (const client of [this.#client, this.#rival]) {
      const status = client?.pool.status();
      if (status === undefined || status.state !== 'SERVING' || status.epoch <= this.#servedEpoch || status.version === null) continue;
      this.#servedEpoch = status.epoch;
      for (const member of status.version.inSync) this.#lost.delete(member.memberId);
    }
  }

  #until(condition: () => boolean, what: string): void {
    this.#world.runUntil(condition, LIVENESS_MS, what);
  }

  /** Several times, so that every leg answers: a block reads the same from all of them (I2). */
  #readEverything(): void {
    const client = this.#client as SimulatedClient;
    for (let round = 0; round < 2 * this.#nodes.length; round++) {
      for (const first of [0, HOT_SECTORS]) {
        this.#start(client, MessageType.READ, 0, first, HOT_SECTORS);
        this.#until(() => this.#operations.size === 0, 'a read to end');
      }
    }
  }

  /** I5: the members of the in-sync set have the same bytes. */
  #compareMembers(): void {
    const inSync = this.#inSync();
    const nodes = this.#nodes.filter((node) => inSync.includes(node.memberId));
    const data = nodes.map((node) => node.disk.peek(node.store?.bitmapStore.dataOffset ?? 0, DEVICE_BYTES));
    for (let i = 1; i < data.length; i++) {
      const at = (data[0] as Uint8Array).findIndex((byte, offset) => byte !== (data[i] as Uint8Array)[offset]);
      if (at >= 0) this.#fail(`I5: ${nodes[0]?.name} and ${nodes[i]?.name} differ at byte ${at}`);
    }
  }

  #chance(percent: number): boolean {
    return randomBelow(this.#random, 100) < percent;
  }

  #fail(what: string): void {
    if (this.#failure !== null) return;
    this.#failure = what;
    this.#world.log.error('violation', { what, atMs: this.#world.scheduler.nowMs });
    throw new Error(what);
  }
}

function offsetOf(sector: number): number {
  return (sector < HOT_SECTORS ? sector : FAR_SECTOR + sector - HOT_SECTORS) * SECTOR_BYTES;
}

/** Runs one seed. The same seed always does the same. */
export function simulate(seed: number): SimulationResult {
  return new Simulation(seed).run();
}
