import { assert, type ByteStream, OperationError, type Slab, SlabPool, type Ticked, type World } from '@rmr/runtime';
import type { BlockDevice } from '../block-device.ts';
import {
  CONNECTIONS_MAX,
  EXPORTS_MAX,
  IN_FLIGHT_BYTES_MAX,
  IN_FLIGHT_BYTES_MIN,
  IN_FLIGHT_BYTES_SERVER_MAX,
  MADE_WAY_LOG_MS,
  NEGOTIATIONS_MAX,
  STRING_BYTES_MAX,
} from '../constants.ts';
import { decodeText, encodeText } from '../wire/bytes.ts';
import { Connection } from './connection.ts';
import type { ConnectionState } from './connection-state.ts';
import type { NbdCounters } from './counters.ts';
import { ExportEntry } from './export-entry.ts';
import type { AnnouncedExport, ExportDirectory } from './negotiation.ts';
import { TransactionPool } from './transaction.ts';

/**
 * An NBD server: exports block devices to the clients on the streams that it is given. It listens to nothing itself;
 * the application passes what its listeners accept to {@link accept}.
 */
export class NbdServer implements ConnectionHost, Ticked {
  readonly world: World;
  readonly slabs: SlabPool;
  readonly zeroes: Slab;
  readonly transactions = new TransactionPool();

  readonly #exports = new Map<string, ExportEntry>();
  readonly #announced = new Map<string, AnnouncedExport>();
  readonly exportWaitMs: number;
  readonly #connections = new Set<Connection>();
  /** Those of them that have not chosen an export. */
  readonly #negotiating = new Set<Connection>();
  /** Connections that made way for others, and whose streams have not closed yet. */
  readonly #leaving = new Set<Connection>();
  /** How many connections made way since the log last said so. */
  #madeWay = 0;
  #madeWayLoggedMs = Number.NEGATIVE_INFINITY;
  readonly #defaultExportName: string | null;
  readonly #connectionsMax: number;
  readonly #inFlightBytesServerMax: number;
  readonly #listener: NbdServerListener;
  /** Waits for connections to be gone: all of them, or those of one export. */
  readonly #drains: { entry: ExportEntry | null; onDone: () => void }[] = [];
  #inFlightBytesMax = IN_FLIGHT_BYTES_MAX;
  #nextId = 1;
  #shuttingDown = false;

  constructor(world: World, slabs: SlabPool, options: NbdServerOptions = {}) {
    this.world = world;
    this.slabs = slabs;
    // From a pool of its own: it is never given back, and is no part of what connections hold.
    this.zeroes = new SlabPool().take();
    this.#defaultExportName = options.defaultExportName ?? null;
    this.#connectionsMax = options.connectionsMax ?? CONNECTIONS_MAX;
    this.#inFlightBytesServerMax = options.inFlightBytesMax ?? IN_FLIGHT_BYTES_SERVER_MAX;
    this.#listener = options.listener ?? {};
    this.exportWaitMs = options.exportWaitMs ?? 0;
  }

  get inFlightBytesMax(): number {
    return this.#inFlightBytesMax;
  }

  /** Requests of dead connections that their device still has. */
  get orphanedRequests(): number {
    return this.transactions.orphans;
  }

  /**
   * Announces an export: it is listed before it is served. Until {@link addExport} is called with a device of that name, clients that ask for it
   * wait (`exportWaitMs`), or are told why it is not served. Throws UNAVAILABLE when there are too many.
   */
  announceExport(announced: AnnouncedExport): void {
    if (this.#announced.size >= EXPORTS_MAX)
      throw new OperationError('UNAVAILABLE', `cannot announce "${announced.name}": a server has ${EXPORTS_MAX} exports at most`);
    this.#announced.set(announced.name, announced);
  }

  /** Exports `device` under its name. Throws ALREADY_EXISTS, INVALID_ARGUMENT or UNAVAILABLE. */
  addExport(device: BlockDevice): void {
    const problem = deviceProblem(device);
    if (problem !== null) throw new OperationError('INVALID_ARGUMENT', `cannot export "${device.name}": ${problem}`);
    if (this.#exports.has(device.name)) throw new OperationError('ALREADY_EXISTS', `there is an export named "${device.name}" already`);
    if (this.#exports.size >= EXPORTS_MAX) {
      throw new OperationError('UNAVAILABLE', `cannot export "${device.name}": the server has ${EXPORTS_MAX} exports, which is its limit`);
    }
    if (this.#shuttingDown) throw new OperationError('UNAVAILABLE', `cannot export "${device.name}": the server is shutting down`);
    this.#exports.set(device.name, new ExportEntry(device));
    for (const connection of this.#connections) connection.exportsChanged();
    this.world.log.info('nbd export added', { export: device.name, sizeBytes: device.sizeBytes, readOnly: device.readOnly });
  }

  /**
   * Removes an export. Clients can't find it any more. Its connections finish the requests that execute, refuse others with
   * ESHUTDOWN, and close. Then `onRemoved` is called. Throws NOT_FOUND.
   */
  removeExport(name: string, onRemoved?: () => void): void {
    const entry = this.#exports.get(name);
    if (entry === undefined) throw new OperationError('NOT_FOUND', `there is no export named "${name}"`);
    this.#exports.delete(name);
    this.world.log.info('nbd export removed', { export: name, connections: entry.connectionCount });
    this.#drains.push({ entry, onDone: onRemoved ?? (() => {}) });
    for (const connection of this.#connections) {
      if (connection.transmission?.entry === entry) connection.shutDown('the export was removed');
    }
    this.#checkDrains();
  }

  /**
   * Takes an announcement back, and removes the export if it is served ({@link removeExport}). Clients that wait for it are told that there
   * is no export of that name. `onRemoved` is called when no connection uses it any more.
   */
  withdrawExport(name: string, onRemoved: () => void): void {
    this.#announced.delete(name);
    if (this.#exports.has(name)) this.removeExport(name, onRemoved);
    else onRemoved();
    for (const connection of this.#connections) connection.exportsChanged();
  }

  /** Serves a client on `stream`. */
  accept(stream: ByteStream): void {
    if (this.#negotiating.size >= NEGOTIATIONS_MAX || this.#connections.size >= this.#connectionsMax) this.#makeWay();
    if (this.#shuttingDown || this.#connections.size >= this.#connectionsMax) {
      const reason = this.#shuttingDown ? 'the server is shutting down' : 'the server has as many connections as it may';
      this.world.log.warn('nbd connection refused', { peer: stream.peerDescription, reason });
      stream.destroy(reason);
      return;
    }
    const connection = new Connection(this, stream, this.#nextId++);
    this.#connections.add(connection);
    this.#negotiating.add(connection);
    if (this.#connections.size + this.#leaving.size === 1) this.world.ticker.subscribe(this);
    this.world.log.debug('nbd client connected', { connection: connection.id, peer: connection.peerDescription });
    this.#listener.onConnected?.(infoOf(connection));
    connection.start();
  }

  /** Every connection, for status. */
  connections(): NbdConnectionInfo[] {
    return Array.from(this.#connections, infoOf);
  }

  /** Every export, for status. */
  exports(): NbdExportInfo[] {
    return Array.from(this.#exports.values(), (entry) => ({
      device: entry.device,
      connections: entry.connectionCount,
      counters: entry.counters,
    }));
  }

  /**
   * Ends all connections, and takes no more. Gracefully: executing requests finish, waiting and new ones get
   * ESHUTDOWN; after `SHUTDOWN_MS_MAX` the rest is dropped. `onDone` is called when all connections are gone.
   */
  shutdown(graceful: boolean, onDone: () => void): void {
    this.#shuttingDown = true;
    this.world.log.info('nbd server shuts down', { graceful, connections: this.#connections.size });
    this.#drains.push({ entry: null, onDone });
    for (const connection of this.#connections) {
      if (graceful) connection.shutDown('the server is shutting down');
      else connection.destroy('the server is shutting down');
    }
    this.#checkDrains();
  }

  findExport(name: string): ExportEntry | null {
    if (name === '' && this.#defaultExportName !== null) {
      const chosen = this.#exports.get(this.#defaultExportName);
      if (chosen !== undefined) return chosen;
    }
    const entry = this.#exports.get(name);
    if (entry !== undefined) return entry;
    if (name !== '' || this.#exports.size !== 1) return null;
    // Which one is the default must not depend on which of them is served first.
    for (const _announced of this.listAnnounced()) return null;
    const [only] = this.#exports.values();
    return only ?? null;
  }

  findAnnounced(name: string): AnnouncedExport | null {
    const wanted = name === '' && this.#defaultExportName !== null ? this.#defaultExportName : name;
    if (this.#exports.has(wanted)) return null;
    const announced = this.#announced.get(wanted);
    if (announced !== undefined || name !== '' || this.#exports.size > 0 || this.#announced.size !== 1) return announced ?? null;
    const [only] = this.#announced.values();
    return only ?? null;
  }

  *listAnnounced(): Iterable<AnnouncedExport> {
    for (const announced of this.#announced.values()) if (!this.#exports.has(announced.name)) yield announced;
  }

  listExports(): Iterable<ExportEntry> {
    return this.#exports.values();
  }

  onNegotiated(connection: Connection): void {
    this.#negotiating.delete(connection);
    this.#shareInFlightBytes();
    const info = infoOf(connection);
    (connection.transmission?.entry as ExportEntry).connectionCount++;
    this.world.log.info('nbd client attached', {
      connection: info.id,
      peer: info.peer,
      export: info.exportName,
      structuredReplies: info.structuredReplies,
    });
    this.#listener.onNegotiated?.(info);
  }

  onClosed(connection: Connection, reason: string, violation: boolean): void {
    this.#connections.delete(connection);
    this.#negotiating.delete(connection);
    this.#leaving.delete(connection);
    if (this.#connections.size + this.#leaving.size === 0) this.world.ticker.unsubscribe(this);
    this.#shareInFlightBytes();
    const entry = connection.transmission?.entry ?? null;
    if (entry !== null) entry.connectionCount--;
    const info = infoOf(connection);
    const fields = { connection: info.id, peer: info.peer, export: info.exportName, reason };
    if (violation) this.world.log.warn('nbd connection closed: the client broke the protocol', fields);
    else if (entry !== null) this.world.log.info('nbd client detached', fields);
    else this.world.log.debug('nbd connection closed', fields);
    this.#listener.onClosed?.(info, reason);
    this.#checkDrains();
  }

  tick(nowMs: number): void {
    for (const connection of this.#connections) connection.tick(nowMs);
    for (const connection of this.#leaving) connection.tick(nowMs);
    this.#tellMadeWay(nowMs);
  }

  /** Rechecks what must hold between events. */
  verify(): void {
    assert(this.#connections.size <= this.#connectionsMax, 'nbd server: more connections than allowed');
    for (const connection of this.#connections) {
      assert(connection.state !== 'CLOSED', 'nbd server: a closed connection is still listed');
      connection.verify();
      const negotiates = connection.state !== 'CLOSING' && connection.transmission === null;
      assert(!negotiates || this.#negotiating.has(connection), 'nbd server: a connection that negotiates is not listed as such');
    }
    for (const connection of this.#negotiating) {
      assert(connection.transmission === null && this.#connections.has(connection), 'nbd server: listed as negotiating by mistake');
    }
    assert(this.#negotiating.size <= NEGOTIATIONS_MAX, 'nbd server: more connections negotiate than may');
    for (const connection of this.#leaving) assert(connection.state === 'CLOSING', 'nbd server: a connection made way and goes on');
    for (const entry of this.#exports.values()) {
      let count = 0;
      for (const connection of this.#connections) if (connection.transmission?.entry === entry) count++;
      assert(count === entry.connectionCount, 'nbd server: connections of an export are miscounted');
    }
    assert(this.transactions.orphans >= 0, 'nbd server: orphaned requests are miscounted');
  }

  /** Closes one connection that negotiates: the one that has been silent for the longest time. */
  #makeWay(): void {
    let silent: Connection | null = null;
    for (const connection of this.#negotiating) if (silent === null || connection.heardMs < silent.heardMs) silent = connection;
    if (silent === null) return;
    this.#negotiating.delete(silent);
    this.#connections.delete(silent);
    this.#leaving.add(silent);
    this.#madeWay++;
    silent.destroy('it had chosen no export, and others needed its place');
    this.#tellMadeWay(this.world.clock.nowMs());
  }

  #tellMadeWay(nowMs: number): void {
    if (this.#madeWay === 0 || nowMs - this.#madeWayLoggedMs < MADE_WAY_LOG_MS) return;
    this.#madeWayLoggedMs = nowMs;
    this.world.log.warn('nbd connections that had chosen no export made way for others', { connections: this.#madeWay });
    this.#madeWay = 0;
  }

  #shareInFlightBytes(): void {
    // Those that negotiate have nothing in flight, and take nothing from the others.
    const attached = this.#connections.size - this.#negotiating.size;
    const share = Math.floor(this.#inFlightBytesServerMax / Math.max(1, attached));
    this.#inFlightBytesMax = Math.min(IN_FLIGHT_BYTES_MAX, Math.max(IN_FLIGHT_BYTES_MIN, share));
  }

  #checkDrains(): void {
    for (let i = this.#drains.length - 1; i >= 0; i--) {
      const drain = this.#drains[i] as { entry: ExportEntry | null; onDone: () => void };
      const left = drain.entry === null ? this.#connections.size + this.#leaving.size : drain.entry.connectionCount;
      if (left > 0) continue;
      this.#drains.splice(i, 1);
      drain.onDone();
    }
  }
}

/** What a server can be told. */
export interface NbdServerOptions {
  /**
   * The export for clients that name none. When this is not given, or there is no such export, such a client gets the export
   * with the empty name. If there is none either, it gets the only export, if there is only one.
   */
  readonly defaultExportName?: string;
  /**
   * Connections at the same time. A further one takes the place of a connection that negotiates: of these, the one that has been silent for
   * longest. When none negotiates, the new connection is closed at once.
   */
  readonly connectionsMax?: number;
  /**
   * How long a client waits for an announced export, in milliseconds. It may be infinite. 0 is the default: the client is told at once why
   * the export is not served.
   */
  readonly exportWaitMs?: number;
  /** Bytes in flight on all connections together. */
  readonly inFlightBytesMax?: number;
  readonly listener?: NbdServerListener;
}

/** Told about connections, besides the log. */
export interface NbdServerListener {
  onConnected?(connection: NbdConnectionInfo): void;
  /** The client chose an export. */
  onNegotiated?(connection: NbdConnectionInfo): void;
  onClosed?(connection: NbdConnectionInfo, reason: string): void;
}

/** A connection, for status. */
export interface NbdConnectionInfo {
  readonly id: number;
  readonly peer: string;
  readonly state: ConnectionState;
  /** Null before an export is chosen. */
  readonly exportName: string | null;
  readonly structuredReplies: boolean;
  readonly requestsInFlight: number;
  readonly bytesInFlight: number;
  /** Bytes of replies that the client has not taken. */
  readonly pendingReplyBytes: number;
  /** True while the client is not read from. That ends when some of its requests end, or when it reads its replies. */
  readonly readingPaused: boolean;
  /** `Clock.nowMs` at the time of the connection. */
  readonly connectedAtMs: number;
  /** Live: goes on counting. */
  readonly counters: NbdCounters;
}

/** An export, for status. */
export interface NbdExportInfo {
  readonly device: BlockDevice;
  readonly connections: number;
  /** Live: goes on counting. */
  readonly counters: NbdCounters;
}

/** What a connection sees of its server. */
export interface ConnectionHost extends ExportDirectory {
  readonly world: World;
  readonly slabs: SlabPool;
  /** A slab of zeroes. */
  readonly zeroes: Slab;
  readonly transactions: TransactionPool;
  /** Bytes that each connection may have in flight at the moment. */
  readonly inFlightBytesMax: number;
  readonly exportWaitMs: number;
  onNegotiated(connection: Connection): void;
  onClosed(connection: Connection, reason: string, violation: boolean): void;
}

function infoOf(connection: Connection): NbdConnectionInfo {
  const transmission = connection.transmission;
  return {
    id: connection.id,
    peer: connection.peerDescription,
    state: connection.state,
    exportName: transmission?.entry.device.name ?? null,
    structuredReplies: transmission?.structured ?? false,
    requestsInFlight: transmission?.requestsInFlight ?? 0,
    bytesInFlight: transmission?.bytesInFlight ?? 0,
    pendingReplyBytes: connection.send.pendingBytes,
    readingPaused: connection.readingPaused,
    connectedAtMs: connection.connectedAtMs,
    counters: connection.counters,
  };
}

/** Null when `device` can be exported, else why not. */
function deviceProblem(device: BlockDevice): string | null {
  const { name, description, sizeBytes, blockSizeMinBytes: minimum, blockSizePreferredBytes: preferred } = device;
  for (const text of [name, description]) {
    const encoded = encodeText(text);
    if (encoded.length > STRING_BYTES_MAX) return `name and description can have at most ${STRING_BYTES_MAX} bytes`;
    if (decodeText(encoded) !== text) return 'name and description must be valid Unicode without NUL';
  }
  if (!isPowerOfTwo(minimum) || minimum > 65_536) return 'the minimum block size must be a power of two of at most 65536';
  if (!isPowerOfTwo(preferred) || preferred < Math.max(512, minimum)) {
    return 'the preferred block size must be a power of two, at least 512 and at least the minimum';
  }
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes % minimum !== 0) {
    return 'the size must be a multiple of the minimum block size';
  }
  return null;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && Math.log2(value) % 1 === 0;
}
