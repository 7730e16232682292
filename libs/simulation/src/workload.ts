import { type ByteRange, IoFlag, IoRequest, type IoType, MessageType } from '@rmr/rmr';
import { type LogFields, randomBelow, SeededRandom, Status, statusName } from '@rmr/runtime';
import type { SimulatedCluster } from './cluster.ts';
import type { Area } from './geometry.ts';
import { SECTOR_BYTES, type SectorModel } from './sector-model.ts';
import type { SimulatedClient } from './simulated-nodes.ts';

/** Uses the device through the cluster's client, and tells the model what was asked and answered. */
export class Workload {
  readonly operations = new Set<Operation>();
  operationCount = 0;
  /** Told of every answer, before the model is. */
  onAnswer: () => void = () => {};
  /** Whether a read that fails is a violation: nothing is broken any more. */
  readsSucceed = false;
  /** False: no flush and no FUA write is asked for. */
  mayBeDurable = true;
  /** False: nothing but reads is asked for. */
  mayChange = true;
  /** Told of every change that was acknowledged, at that moment. */
  onAcknowledged: (operation: Operation) => void = () => {};
  /** Told of every change that was refused for lack of space, at that moment. */
  onRefused: (operation: Operation) => void = () => {};
  /** Told of every flush that was acknowledged, and of every change that is durable with its acknowledgement, at that moment. */
  onDurable: (operation: Operation) => void = () => {};
  readonly #cluster: SimulatedCluster;
  readonly #model: SectorModel;
  readonly #random: SeededRandom;
  /** A generator of its own: what else is drawn does not change because a connection is gone. */
  readonly #connectionRandom: SeededRandom;
  readonly #trace: boolean;
  #nextStamp = 1;
  #issuing = false;
  #style: Style = STYLES[0] as Style;
  #styleUntilMs = 0;
  /** The area of the current style, or null for all of them. */
  #area: Area | null = null;

  /** `trace`: every operation is logged. */
  constructor(cluster: SimulatedCluster, model: SectorModel, seed: number, trace: boolean) {
    this.#cluster = cluster;
    this.#model = model;
    this.#random = new SeededRandom(seed ^ 0x307e);
    this.#connectionRandom = new SeededRandom(seed ^ 0xc099);
    this.#trace = trace;
  }

  /** Begins to issue operations. */
  start(): void {
    this.#issuing = true;
    this.#issueLater();
  }

  /** Issues no more. */
  stop(): void {
    this.#issuing = false;
  }

  /** Asks for a flush, and calls `done` with how it ended. */
  flush(done: (status: number) => void): void {
    this.#submit(this.#cluster.client as SimulatedClient, MessageType.FLUSH, 0, 0, 0, { onEnd: done });
  }

  /** Reads everything. */
  readAll(): void {
    const client = this.#cluster.client as SimulatedClient;
    for (const area of this.#cluster.geometry.areas) this.#submit(client, MessageType.READ, 0, area.firstSector, area.sectorCount);
  }

  /** Replaces chunks whole: one with hot sectors, or a run without. */
  overwrite(firstChunk: number, chunkCount: number): void {
    const client = this.#cluster.client as SimulatedClient;
    const { geometry } = this.#cluster;
    const { firstSector, sectorCount } = geometry.sectorsOf(firstChunk);
    const offsetBytes = firstChunk * geometry.chunkSizeBytes;
    const lengthBytes = (chunkCount - 1) * geometry.chunkSizeBytes + geometry.bytesOf(firstChunk + chunkCount - 1);
    const type = chunkCount === 1 && this.#chance(50) ? MessageType.WRITE : MessageType.WRITE_ZEROES;
    this.#submit(client, type, 0, firstSector, sectorCount, { range: { offsetBytes, lengthBytes } });
  }

  /** Writes one sector of a chunk with hot sectors. */
  overwritePart(chunk: number): void {
    const { firstSector, sectorCount } = this.#cluster.geometry.sectorsOf(chunk);
    const client = this.#cluster.client as SimulatedClient;
    this.#submit(client, MessageType.WRITE, 0, firstSector + randomBelow(this.#random, sectorCount), 1);
  }

  /** None of the client's operations is under way. */
  idle(client: SimulatedClient): boolean {
    for (const operation of this.operations) if (operation.client === client) return false;
    return true;
  }

  /** Chunks that an operation under way may change. */
  busyChunks(): ReadonlySet<number> {
    const { geometry } = this.#cluster;
    const busy = new Set<number>();
    for (const operation of this.operations) {
      if (!isChange(operation) || operation.sectorCount === 0) continue;
      const last = geometry.chunkOf(operation.firstSector + operation.sectorCount - 1);
      for (let chunk = geometry.chunkOf(operation.firstSector); chunk <= last; chunk++) busy.add(chunk);
    }
    return busy;
  }

  /** Nobody waits for this client's operations any more: each has taken effect by now, or never will. */
  abandon(client: SimulatedClient): void {
    const { nowMs } = this.#cluster.world.scheduler;
    for (const operation of this.operations) {
      if (operation.client !== client) continue;
      this.operations.delete(operation);
      const { stamp, beganMs, firstSector, sectorCount } = operation;
      if (isChange(operation)) this.#model.writeFails(firstSector, sectorCount, stamp, beganMs, nowMs);
    }
  }

  #issueLater(): void {
    const { world } = this.#cluster;
    world.after(1 + randomBelow(this.#random, this.#style.pauseMsMax), () => {
      if (!this.#issuing) return;
      if (world.scheduler.nowMs >= this.#styleUntilMs) this.#chooseStyle();
      this.#useRobbed();
      if (randomBelow(this.#connectionRandom, 100) < CONNECTION_GONE_PERCENT) this.#connectionGone();
      const { client } = this.#cluster;
      if (client !== null && !this.#cluster.draining && this.operations.size < this.#style.concurrency) this.#issue(client);
      this.#issueLater();
    });
  }

  /** W9: what had not begun when its connection was lost never does. The rest goes on, and nobody is the wiser. */
  #connectionGone(): void {
    const gone = randomBelow(this.#connectionRandom, CONNECTIONS);
    for (const operation of this.operations) {
      const { client, request, connection, stamp, beganMs, firstSector, sectorCount } = operation;
      if (connection !== gone || !client.pool.cancel(request)) continue;
      this.operations.delete(operation);
      if (this.#trace) this.#log('operation is dropped', operation, { connection });
      if (isChange(operation)) this.#model.writeDropped(firstSector, sectorCount, stamp, beganMs, this.#cluster.world.scheduler.nowMs);
    }
  }

  #chooseStyle(): void {
    const { areas } = this.#cluster.geometry;
    this.#style = STYLES[randomBelow(this.#random, STYLES.length)] as Style;
    this.#styleUntilMs = this.#cluster.world.scheduler.nowMs + randomBelow(this.#random, this.#style.forMsMax);
    this.#area = this.#chance(50) ? null : (areas[randomBelow(this.#random, areas.length)] as Area);
  }

  #issue(client: SimulatedClient): void {
    const { geometry } = this.#cluster;
    const style = this.#style;
    let share = randomBelow(this.#random, 100);
    const falls = (percent: number): boolean => {
      share -= percent;
      return share < 0;
    };
    const connection = this.operationCount % CONNECTIONS;
    let type: IoType = MessageType.READ;
    let flags = 0;
    if (!this.mayChange) share = 100;
    if (falls(style.write)) type = MessageType.WRITE;
    else if (falls(style.fua)) {
      type = MessageType.WRITE;
      flags = IoFlag.FUA;
    } else if (falls(style.discard)) type = MessageType.DISCARD;
    else if (falls(style.zeroes)) {
      type = MessageType.WRITE_ZEROES;
      flags = this.#chance(50) ? IoFlag.NO_HOLE : 0;
    } else if (falls(style.flush)) type = MessageType.FLUSH;
    if (type === MessageType.FLUSH) {
      if (this.mayBeDurable) this.#submit(client, type, flags, 0, 0, { connection });
      return;
    }
    if (!this.mayBeDurable) flags &= ~IoFlag.FUA;
    const behind = style.aimsAtDirty === true ? this.#dirtyChunk() : null;
    if (behind !== null) {
      const { firstSector, sectorCount } = geometry.sectorsOf(behind);
      const count = this.#chance(60) ? sectorCount : 1 + randomBelow(this.#random, sectorCount);
      this.#submit(client, type, flags, firstSector + randomBelow(this.#random, sectorCount - count + 1), count, { connection });
      return;
    }
    const area = this.#area ?? (geometry.areas[randomBelow(this.#random, geometry.areas.length)] as Area);
    const { first, count } = style.range(this.#random, area, geometry.chunkSizeBytes / SECTOR_BYTES);
    this.#submit(client, type, flags, area.firstSector + first, count, { connection });
  }

  /**
   * I7: an NBD client of a client that was robbed of the pool does not know that yet. It must be served nothing, neither a read nor a
   * write. The model is not told of the write, so a read that sees it is a violation.
   */
  #useRobbed(): void {
    const { robbed, geometry } = this.#cluster;
    if (robbed === null || !this.#chance(ROBBED_PERCENT)) return;
    const request = new IoRequest({
      onIoDone: (_request, status) => {
        if (status === Status.OK) throw new Error(`I7: ${robbed.name} was served after another client had taken the pool over`);
      },
    });
    const sector = randomBelow(this.#random, geometry.hotSectorCount);
    request.type = this.#chance(50) ? MessageType.READ : MessageType.WRITE;
    request.offsetBytes = geometry.offsetOf(sector);
    request.lengthBytes = SECTOR_BYTES;
    if (request.type === MessageType.WRITE) {
      request.payload = new Uint8Array(SECTOR_BYTES);
      new Float64Array(request.payload.buffer).fill(this.#nextStamp++);
    }
    robbed.pool.submit(request);
  }

  /** A hot chunk that is dirty for a member by its own map, or null. */
  #dirtyChunk(): number | null {
    const { geometry, nodes } = this.#cluster;
    const { hotChunks } = geometry;
    const from = randomBelow(this.#random, hotChunks.length);
    for (let i = 0; i < hotChunks.length; i++) {
      const chunk = hotChunks[(from + i) % hotChunks.length] as number;
      if (nodes.some((node) => node.isDirty(node.memberId, chunk))) return chunk;
    }
    return null;
  }

  /** `range`: what is asked for on the device, where it is more than the hot sectors. */
  #submit(
    client: SimulatedClient,
    type: IoType,
    flags: number,
    firstSector: number,
    sectorCount: number,
    { range, onEnd, connection = -1 }: SubmitOptions = {},
  ): void {
    const { geometry, world } = this.#cluster;
    const request = new IoRequest({ onIoDone: (_request, status, payload) => this.#ended(operation, status, payload) });
    const stamp = type === MessageType.WRITE ? this.#nextStamp++ : 0;
    const beganMs = world.scheduler.nowMs;
    const told = onEnd === undefined ? {} : { onEnd };
    const operation: Operation = { client, request, stamp, beganMs, firstSector, sectorCount, connection, ...told };
    request.type = type;
    request.flags = flags;
    request.offsetBytes = range?.offsetBytes ?? (type === MessageType.FLUSH ? 0 : geometry.offsetOf(firstSector));
    request.lengthBytes = range?.lengthBytes ?? sectorCount * SECTOR_BYTES;
    if (type === MessageType.WRITE) {
      request.payload = new Uint8Array(request.lengthBytes);
      new Float64Array(request.payload.buffer).fill(stamp);
    }
    if (isChange(operation)) this.#model.writeBegins(firstSector, sectorCount, stamp, beganMs);
    this.operations.add(operation);
    this.operationCount++;
    if (this.#trace) this.#log('operation begins', operation, {});
    client.pool.submit(request);
  }

  #ended(operation: Operation, status: number, payload: Uint8Array | null): void {
    // A client that is dead tells nobody.
    if (!this.operations.delete(operation)) return;
    const { request, stamp, beganMs, firstSector, sectorCount } = operation;
    if (this.#trace) this.#log('operation ends', operation, { status: statusName(status) });
    const model = this.#model;
    const { nowMs } = this.#cluster.world.scheduler;
    let oldestMs = beganMs;
    for (const other of this.operations) oldestMs = Math.min(oldestMs, other.beganMs);
    model.oldestOperationMs = oldestMs;
    this.onAnswer();
    const durable = request.type === MessageType.FLUSH || (request.flags & IoFlag.FUA) !== 0;
    if (durable && status !== Status.OK && status !== Status.ESHUTDOWN) model.flushFails(nowMs);
    if (request.type === MessageType.FLUSH) {
      if (status === Status.OK) {
        model.flushEnds(beganMs);
        this.onDurable(operation);
      }
      operation.onEnd?.(status);
    } else if (request.type === MessageType.READ) {
      if (status === Status.OK && payload !== null) this.#read(operation, payload, nowMs);
      else if (this.readsSucceed && status === Status.EIO && !this.#touchesLost(operation))
        throw new Error('I8: a read failed, and none of its chunks is lost');
    } else if (status === Status.OK) {
      model.writeEnds(firstSector, sectorCount, stamp, beganMs, nowMs, durable);
      if (sectorCount > 0) this.onAcknowledged(operation);
      if (durable) this.onDurable(operation);
    } else {
      model.writeFails(firstSector, sectorCount, stamp, beganMs, nowMs);
      if (status === Status.ENOSPC && sectorCount > 0) this.onRefused(operation);
    }
    if (model.violation !== null) throw new Error(model.violation);
  }

  #read(operation: Operation, payload: Uint8Array, nowMs: number): void {
    const { beganMs, firstSector, sectorCount } = operation;
    const words = new Float64Array(payload.slice().buffer);
    for (let i = 0; i < sectorCount; i++) {
      const from = i * WORDS_PER_SECTOR;
      const first = words[from] as number;
      for (let word = from + 1; word < from + WORDS_PER_SECTOR; word++) {
        if (words[word] !== first) throw new Error(`I2: sector ${firstSector + i}: a read returned a torn sector`);
      }
      this.#model.read(firstSector + i, first, beganMs, nowMs);
    }
  }

  /** I8: reads and partial writes of a chunk without a clean copy fail. */
  #touchesLost({ firstSector, sectorCount }: Operation): boolean {
    const { geometry, lost } = this.#cluster;
    const last = geometry.chunkOf(firstSector + sectorCount - 1);
    for (let chunk = geometry.chunkOf(firstSector); chunk <= last; chunk++) if (lost.has(chunk)) return true;
    return false;
  }

  #log(event: string, operation: Operation, more: LogFields): void {
    const { client, request, stamp, firstSector, sectorCount } = operation;
    const { geometry, world } = this.#cluster;
    const [offset, chunk] = sectorCount === 0 ? [0, -1] : [geometry.offsetOf(firstSector), geometry.chunkOf(firstSector)];
    const fua = (request.flags & IoFlag.FUA) !== 0;
    world.log.debug(event, {
      client: client.name,
      type: TYPE_NAMES.get(request.type) ?? request.type,
      ...(fua ? { fua } : {}),
      firstSector,
      sectorCount,
      offset,
      chunk,
      stamp,
      ...more,
    });
  }

  #chance(percent: number): boolean {
    return randomBelow(this.#random, 100) < percent;
  }
}

const WORDS_PER_SECTOR = SECTOR_BYTES / Float64Array.BYTES_PER_ELEMENT;

/** For the log. */
const TYPE_NAMES = new Map<number, string>(Object.entries(MessageType).map(([name, type]) => [type, name]));

/** Operations under way at a time, at most. */
export const CONCURRENCY_MAX = 24;
/** Connections that operations come in on, and the percentage of moments at which one of them is gone. */
const CONNECTIONS = 3;
const CONNECTION_GONE_PERCENT = 3;
/** Percentage of moments at which a client that was robbed of the pool is used too. */
const ROBBED_PERCENT = 30;

/** How the device is used for a while. */
interface Style {
  readonly name: string;
  /** Share of each operation, in percent; the rest are reads. */
  readonly write: number;
  readonly fua: number;
  readonly discard: number;
  readonly zeroes: number;
  readonly flush: number;
  /** Milliseconds between two operations, at most. */
  readonly pauseMsMax: number;
  readonly concurrency: number;
  /** How long it goes on, at most. */
  readonly forMsMax: number;
  /** The sectors of the next operation, within an area and relative to it. */
  readonly range: (random: SeededRandom, area: Area, chunkSectors: number) => { readonly first: number; readonly count: number };
  /** Instead of these, chunks that a member lacks, whole or in part, while there are any. */
  readonly aimsAtDirty?: true;
}

function anywhere(random: SeededRandom, area: Area): { first: number; count: number } {
  const count = 1 + randomBelow(random, randomBelow(random, 100) < 15 ? area.sectorCount : 4);
  return { first: randomBelow(random, area.sectorCount - count + 1), count };
}

/** Whole chunks, and now and then some sectors more or less: what heals a chunk, and what just does not. */
function wholeChunks(random: SeededRandom, area: Area, chunkSectors: number): { first: number; count: number } {
  const shift = (area.offsetBytes / SECTOR_BYTES) % chunkSectors;
  const chunks = 1 + randomBelow(random, 2);
  const start = randomBelow(random, Math.max(1, Math.floor(area.sectorCount / chunkSectors))) * chunkSectors;
  const crooked = randomBelow(random, 4) === 0 ? 1 : 0;
  const first = Math.max(0, start - shift + crooked);
  return { first, count: Math.max(1, Math.min(chunks * chunkSectors, area.sectorCount - first)) };
}

const STYLES: readonly Style[] = [
  { name: 'mixed', write: 45, fua: 10, discard: 5, zeroes: 4, flush: 8, pauseMsMax: 8, concurrency: 10, forMsMax: 6_000, range: anywhere },
  {
    name: 'hammer',
    write: 50,
    fua: 5,
    discard: 5,
    zeroes: 5,
    flush: 3,
    pauseMsMax: 4,
    concurrency: CONCURRENCY_MAX,
    forMsMax: 2_000,
    range: (random) => ({ first: randomBelow(random, 6), count: 1 + randomBelow(random, 3) }),
  },
  {
    name: 'adjacent',
    write: 60,
    fua: 5,
    discard: 0,
    zeroes: 5,
    flush: 5,
    pauseMsMax: 6,
    concurrency: 16,
    forMsMax: 4_000,
    range: (random, area) => ({ first: randomBelow(random, area.sectorCount / 2) * 2, count: 1 + randomBelow(random, 2) }),
  },
  {
    name: 'chunks',
    write: 50,
    fua: 5,
    discard: 10,
    zeroes: 5,
    flush: 8,
    pauseMsMax: 12,
    concurrency: 8,
    forMsMax: 5_000,
    range: wholeChunks,
  },
  {
    name: 'behind',
    write: 45,
    fua: 5,
    discard: 10,
    zeroes: 5,
    flush: 10,
    pauseMsMax: 12,
    concurrency: 8,
    forMsMax: 5_000,
    range: wholeChunks,
    aimsAtDirty: true,
  },
  { name: 'reads', write: 8, fua: 2, discard: 1, zeroes: 0, flush: 2, pauseMsMax: 6, concurrency: 8, forMsMax: 3_000, range: anywhere },
  {
    name: 'flushes',
    write: 40,
    fua: 15,
    discard: 2,
    zeroes: 2,
    flush: 25,
    pauseMsMax: 12,
    concurrency: 6,
    forMsMax: 3_000,
    range: anywhere,
  },
  // Little is durable, and no more in flight than a few: a crash finds what a flush or another write would have covered.
  {
    name: 'unflushed',
    write: 60,
    fua: 0,
    discard: 4,
    zeroes: 4,
    flush: 2,
    pauseMsMax: 12,
    concurrency: 3,
    forMsMax: 6_000,
    range: anywhere,
  },
  // Long enough for regions to leave the write intent by themselves.
  {
    name: 'idle',
    write: 50,
    fua: 0,
    discard: 0,
    zeroes: 0,
    flush: 20,
    pauseMsMax: 4_000,
    concurrency: 2,
    forMsMax: 25_000,
    range: anywhere,
  },
];

/** An operation under way. */
export interface Operation {
  readonly client: SimulatedClient;
  readonly request: IoRequest;
  /** What it writes: every word of it. 0 for what writes zeroes, and for reads and flushes. */
  readonly stamp: number;
  readonly beganMs: number;
  readonly firstSector: number;
  readonly sectorCount: number;
  /** Which connection it has come in on; negative: none that ever goes away. */
  readonly connection: number;
  /** Wants to know how a flush has ended. */
  readonly onEnd?: (status: number) => void;
}

/** What is not the rule for an operation. */
interface SubmitOptions {
  /** Instead of the place of its sectors. */
  readonly range?: ByteRange;
  readonly onEnd?: (status: number) => void;
  readonly connection?: number;
}

/** Whether the operation changes data. */
export function isChange(operation: Operation): boolean {
  const { type } = operation.request;
  return type === MessageType.WRITE || type === MessageType.DISCARD || type === MessageType.WRITE_ZEROES;
}
