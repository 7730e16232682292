/**
 * The client's side of an export: reads, writes and the rest, split as the server wants them, over one connection or several. If the server
 * says that a flush on one connection covers all of them (CAN_MULTI_CONN), there are up to four.
 *
 * All connections of a client are one attachment. When one of them is lost, nobody knows what became of its requests, or whether the server was
 * started anew. So all of them end, and everything fails from then on. A client never connects again: that is for its owner, who
 * knows what may have been lost.
 */
import {
  assert,
  type ConnectAttempt,
  type DiskExtent,
  type DiskSink,
  type SlabPool,
  Status,
  type Ticked,
  type Transport,
  type World,
} from '@rmr/runtime';
import {
  CLIENT_CONNECTIONS_MAX,
  CLIENT_EXTENTS_MAX,
  CLIENT_HANDSHAKE_MS_MAX,
  CLIENT_PAYLOAD_BYTES_MAX,
  CLIENT_SILENT_CHECK_MS,
  CLIENT_SILENT_MS_MAX,
  CLIENT_STATUS_BYTES_MAX,
  CLIENT_ZEROES_BYTES_MAX,
  CLOSING_MS_MAX,
} from '../constants.ts';
import { CommandFlag, NbdCommand, TransmissionFlag } from '../wire/protocol.ts';
import { ClientConnection, type ConnectionOwner, type PiecedRequest } from './client-connection.ts';
import type { NbdUri } from './nbd-uri.ts';
import { type ExportFailure, type RemoteExport, sameExport } from './remote-export.ts';

/** See the head of this file. Offsets and lengths are in bytes. Outcomes come through a {@link DiskSink} with a status of `Status`. */
export class NbdClient implements Ticked, ConnectionOwner<Request> {
  readonly #parts: NbdClientParts;
  readonly #target: NbdUri;
  readonly #listener: NbdClientListener;
  readonly #connectionsMax: number;
  #export: RemoteExport | null = null;
  /** Those that take pieces. */
  readonly #connections: ClientConnection<Request>[] = [];
  /** Those that do not yet: being made, or in their handshake. */
  readonly #attempts = new Set<ConnectAttempt>();
  readonly #newcomers = new Set<ClientConnection<Request>>();
  #handshakeSinceMs: number;
  readonly #free: Request[] = [];
  /** Given, and not submitted yet. */
  #given: Request[] = [];
  /** Empty lists to give into. What ends within `submit` may give and submit more. */
  readonly #spareLists: Request[][] = [];
  /** Submitted, with pieces left to send. */
  #queue: Request[] = [];
  #queueHead = 0;
  #unended = 0;
  #failure: ExportFailure | null = null;
  /** It was lost with changes in flight; see {@link lostChanges}. */
  #lostChanges = false;
  #closing: ((status: number) => void) | null = null;
  /** It has taken leave of the server, and waits for its connections to close. */
  #ended = false;
  #endedSinceMs = 0;
  #lookedAtMs: number;
  /** At the last look, a host had been silent for too long. */
  #wasSilent = false;

  /** Connects. `connectionsMax`: at most so many, from 1 on. */
  constructor(parts: NbdClientParts, target: NbdUri, listener: NbdClientListener, connectionsMax = CLIENT_CONNECTIONS_MAX) {
    this.#parts = parts;
    this.#target = target;
    this.#listener = listener;
    this.#connectionsMax = connectionsMax;
    this.#handshakeSinceMs = parts.world.clock.nowMs();
    this.#lookedAtMs = this.#handshakeSinceMs;
    parts.world.ticker.subscribe(this);
    this.#connect();
  }

  /** As the server describes it; null: it has not yet. */
  get export(): RemoteExport | null {
    return this.#export;
  }

  /** Why the export was lost, or can't be had; null: it is there, or may be soon. */
  get failure(): ExportFailure | null {
    return this.#failure;
  }

  /**
   * Whether writes, trims or zeroes were in flight when the attachment was lost. The server may still carry them out, after what is sent on a
   * new one.
   */
  get lostChanges(): boolean {
    return this.#lostChanges;
  }

  /** Connections that take requests. */
  get connections(): number {
    return this.#connections.length;
  }

  /** Requests that have not ended. */
  get inFlight(): number {
    return this.#unended;
  }

  /** Fills `target` from `offsetBytes`. */
  read(offsetBytes: number, target: Uint8Array, tag: number, sink: DiskSink): void {
    this.#give(NbdCommand.READ, 0, offsetBytes, target.length, target, tag, sink);
  }

  /** Writes `source`, which stays unchanged until the request has ended. With `fua` it is durable then. */
  write(offsetBytes: number, source: Uint8Array, fua: boolean, tag: number, sink: DiskSink): void {
    this.#give(NbdCommand.WRITE, fua ? CommandFlag.FUA : 0, offsetBytes, source.length, source, tag, sink);
  }

  /** Makes every write, trim and zero durable that has ended. ENOTSUP: the export knows no flush. */
  flush(tag: number, sink: DiskSink): void {
    this.#give(NbdCommand.FLUSH, 0, 0, 0, NO_BYTES, tag, sink);
  }

  /** The range is no longer needed: it may read as anything afterwards. */
  trim(offsetBytes: number, lengthBytes: number, fua: boolean, tag: number, sink: DiskSink): void {
    this.#give(NbdCommand.TRIM, fua ? CommandFlag.FUA : 0, offsetBytes, lengthBytes, NO_BYTES, tag, sink);
  }

  /**
   * The range reads as zeroes afterwards. `flags`: FUA; NO_HOLE, if it has to stay allocated; FAST_ZERO, if it is to end with ENOTSUP, and nothing
   * changed in the piece that ended so, where it would be no faster than writing.
   */
  writeZeroes(offsetBytes: number, lengthBytes: number, flags: number, tag: number, sink: DiskSink): void {
    this.#give(NbdCommand.WRITE_ZEROES, flags, offsetBytes, lengthBytes, NO_BYTES, tag, sink);
  }

  /** Starts what has been given. */
  submit(): void {
    const given = this.#given;
    if (given.length > 0) {
      this.#given = this.#spareLists.pop() ?? [];
      for (let i = 0; i < given.length; i++) {
        const request = given[i] as Request;
        request.status = this.#refusalOf(request);
        if (request.status === Status.OK && (request.lengthBytes > 0 || request.command === NbdCommand.FLUSH)) this.#enqueue(request);
        else this.#end(request);
      }
      given.length = 0;
      this.#spareLists.push(given);
    }
    this.#pump();
  }

  /**
   * Tells which parts of a range are holes, as adjoining runs, at least one, which cover the first part of the range at least. Without
   * `base:allocation` it ends with ENOTSUP. Control path.
   */
  extents(offsetBytes: number, lengthBytes: number, done: (status: number, extents: readonly DiskExtent[]) => void): void {
    const request = this.#take(NbdCommand.BLOCK_STATUS, 0, offsetBytes, lengthBytes, NO_BYTES);
    request.extents = [];
    request.onExtents = done;
    this.#given.push(request);
    this.submit();
  }

  /**
   * Leaves in order: waits until nothing is in flight, takes leave of the server and closes. Status: EIO if the attachment was lost, so that what
   * was not flushed may be, too.
   */
  close(done: (status: number) => void): void {
    assert(this.#closing === null && !this.#ended, 'nbd client: closed once');
    this.#closing = done;
    this.submit();
    this.#checkEnd();
  }

  /** Ends the attachment at once. */
  giveUp(reason: string): void {
    this.#lose({ code: 'UNAVAILABLE', reason });
  }

  tick(nowMs: number): void {
    if (this.#ended && nowMs - this.#endedSinceMs > CLOSING_MS_MAX) {
      for (const connection of [...this.#connections]) connection.destroy({ code: 'TIMEOUT', reason: 'the server does not take leave' });
      return;
    }
    if (nowMs - this.#lookedAtMs > CLIENT_SILENT_CHECK_MS) this.#lookForSilence(nowMs);
    if (nowMs - this.#handshakeSinceMs <= CLIENT_HANDSHAKE_MS_MAX || this.#attempts.size + this.#newcomers.size === 0) return;
    const failure: ExportFailure = {
      code: 'TIMEOUT',
      reason: `the server at ${this.#target.address} has not answered within ${CLIENT_HANDSHAKE_MS_MAX / 1000} s`,
    };
    if (this.#export === null) {
      this.#lose(failure);
      return;
    }
    // It goes on with the connections that it has.
    for (const attempt of this.#attempts) attempt.cancel();
    this.#attempts.clear();
    for (const newcomer of this.#newcomers) newcomer.destroy(failure);
  }

  onReady(connection: ClientConnection<Request>, found: RemoteExport): void {
    if (this.#failure !== null) return;
    if (this.#export === null) {
      this.#newcomers.delete(connection);
      this.#export = found;
      this.#connections.push(connection);
      this.#listener.onReady(found);
      if ((found.transmissionFlags & TransmissionFlag.CAN_MULTI_CONN) === 0 || this.#failure !== null || this.#closing !== null) return;
      this.#handshakeSinceMs = this.#parts.world.clock.nowMs();
      for (let count = 1; count < this.#connectionsMax; count++) this.#connect();
    } else if (sameExport(this.#export, found)) {
      this.#newcomers.delete(connection);
      this.#connections.push(connection);
    } else {
      connection.destroy({ code: 'UNAVAILABLE', reason: 'the server describes the export differently on another connection' });
    }
  }

  onPieceEnded(request: Request, status: number, extents: readonly DiskExtent[] | null): void {
    request.pieces--;
    if (status !== Status.OK && request.status === Status.OK) request.status = status;
    if (extents !== null) this.#onExtents(request, extents);
    this.#listener.onAnswer(request.command);
    if (request.pieces === 0 && request.isSent && !request.queued) this.#end(request);
  }

  onRoom(): void {
    this.#pump();
    this.#checkEnd();
  }

  onLost(connection: ClientConnection<Request>, failure: ExportFailure): void {
    if (this.#newcomers.delete(connection) && this.#export !== null) this.#furtherFailed(failure.reason);
    else if (this.#ended) this.#connections.splice(this.#connections.indexOf(connection), 1);
    else this.#lose(failure);
    this.#checkEnd();
  }

  /** Rechecks the invariants. */
  verify(): void {
    let pieces = 0;
    for (const connection of this.#connections) pieces += connection.inFlight;
    assert(pieces === 0 || this.#unended > 0, 'nbd client: pieces are of requests');
    assert(this.#failure === null || (pieces === 0 && this.#queue.length === 0), 'nbd client: nothing is left of what was lost');
    assert(!this.#ended || this.#unended === 0, 'nbd client: it takes leave when nothing is in flight');
  }

  /** A kernel goes on for a quarter of an hour with what a host does not acknowledge. Twice in a row, as after a stop of this process one look may be too early. */
  #lookForSilence(nowMs: number): void {
    this.#lookedAtMs = nowMs;
    const isSilent = this.#connections.some(({ silentMs }) => silentMs > CLIENT_SILENT_MS_MAX);
    if (isSilent && this.#wasSilent)
      this.#lose({ code: 'TIMEOUT', reason: `the host of the server has been silent for ${CLIENT_SILENT_MS_MAX / 1000} s` });
    this.#wasSilent = isSilent;
  }

  #connect(): void {
    const attempt: ConnectAttempt = this.#parts.transport.connect(
      this.#target.address,
      (stream) => {
        this.#attempts.delete(attempt);
        if (this.#failure !== null || this.#ended) {
          stream.destroy('nobody needs it any more');
          return;
        }
        this.#newcomers.add(new ClientConnection<Request>(this.#parts.slabs, stream, this.#target.exportName, this));
      },
      (reason) => {
        this.#attempts.delete(attempt);
        if (this.#export === null) this.#lose({ code: 'UNAVAILABLE', reason: `no connection to ${this.#target.address} (${reason})` });
        else this.#furtherFailed(reason);
      },
    );
    this.#attempts.add(attempt);
  }

  #furtherFailed(why: string): void {
    if (this.#failure !== null || this.#closing !== null) return;
    const { address, exportName } = this.#target;
    this.#parts.world.log.info('a further connection to an NBD export could not be made; those that there are do', {
      address,
      export: exportName,
      why,
    });
  }

  #take(command: number, flags: number, offsetBytes: number, lengthBytes: number, bytes: Uint8Array): Request {
    assert(this.#closing === null, 'nbd client: not used after close');
    const request = this.#free.pop() ?? new Request();
    request.command = command;
    request.flags = flags;
    request.offsetBytes = offsetBytes;
    request.lengthBytes = lengthBytes;
    request.bytes = bytes;
    request.sentBytes = 0;
    request.begun = false;
    request.pieces = 0;
    request.status = Status.OK;
    this.#unended++;
    return request;
  }

  #enqueue(request: Request): void {
    request.queued = true;
    this.#queue.push(request);
  }

  #give(command: number, flags: number, offset: number, length: number, bytes: Uint8Array, tag: number, sink: DiskSink): void {
    const request = this.#take(command, flags, offset, length, bytes);
    request.tag = tag;
    request.sink = sink;
    this.#given.push(request);
  }

  /** The status of a request that must not be sent; OK: it may be. */
  #refusalOf({ command, flags, offsetBytes, lengthBytes }: Request): number {
    if (this.#failure !== null || this.#export === null) return Status.EIO;
    const { sizeBytes, transmissionFlags, blockSizes, allocationContextId } = this.#export;
    if (offsetBytes < 0 || lengthBytes < 0 || offsetBytes + lengthBytes > sizeBytes) return Status.EINVAL;
    if (offsetBytes % blockSizes.minBytes !== 0 || lengthBytes % blockSizes.minBytes !== 0) return Status.EINVAL;
    const isChange = command === NbdCommand.WRITE || command === NbdCommand.TRIM || command === NbdCommand.WRITE_ZEROES;
    if (isChange && (transmissionFlags & TransmissionFlag.READ_ONLY) !== 0) return Status.EPERM;
    if (command === NbdCommand.BLOCK_STATUS && allocationContextId === null) return Status.ENOTSUP;
    return (transmissionFlags & neededFlags(command, flags)) === neededFlags(command, flags) ? Status.OK : Status.ENOTSUP;
  }

  /** Sends pieces as long as there is room. */
  #pump(): void {
    if (this.#failure !== null || this.#export === null) return;
    let sent = false;
    while (this.#queueHead < this.#queue.length) {
      const request = this.#queue[this.#queueHead] as Request;
      if (!request.isSent) {
        const pieceBytes = Math.min(this.#pieceMax(request.command), request.lengthBytes - request.sentBytes);
        const connection = this.#roomiest(pieceBytes);
        if (connection === null) break;
        request.begun = true;
        request.pieces++;
        connection.start(request, request.offsetBytes + request.sentBytes, pieceBytes);
        request.sentBytes += pieceBytes;
        sent = true;
      }
      if (!request.isSent && request.command !== NbdCommand.BLOCK_STATUS) continue;
      this.#queueHead++;
      request.queued = false;
      // A piece has failed while others of it waited for room. What is called may pump as well.
      if (request.pieces === 0) this.#end(request);
    }
    if (this.#queueHead === this.#queue.length) {
      this.#queue.length = 0;
      this.#queueHead = 0;
    } else if (this.#queueHead > 1024) {
      this.#queue = this.#queue.slice(this.#queueHead);
      this.#queueHead = 0;
    }
    if (sent) for (let i = 0; i < this.#connections.length; i++) (this.#connections[i] as ClientConnection<Request>).flush();
  }

  #pieceMax(command: number): number {
    const { minBytes, maxBytes } = (this.#export as RemoteExport).blockSizes;
    if (command === NbdCommand.BLOCK_STATUS) return CLIENT_STATUS_BYTES_MAX;
    const ownMax = command === NbdCommand.READ || command === NbdCommand.WRITE ? CLIENT_PAYLOAD_BYTES_MAX : CLIENT_ZEROES_BYTES_MAX;
    // Both are multiples of the minimum, unless the server has no limit.
    return Math.max(minBytes, Math.min(ownMax, maxBytes));
  }

  /** The connection with the fewest pieces that has room for one more. */
  #roomiest(pieceBytes: number): ClientConnection<Request> | null {
    let best: ClientConnection<Request> | null = null;
    for (let i = 0; i < this.#connections.length; i++) {
      const connection = this.#connections[i] as ClientConnection<Request>;
      if ((best === null || connection.inFlight < best.inFlight) && connection.hasRoom(pieceBytes)) best = connection;
    }
    return best;
  }

  /** A server may tell less than it was asked. Then it is asked on from there. */
  #onExtents(request: Request, extents: readonly DiskExtent[]): void {
    const known = request.extents as DiskExtent[];
    let coveredBytes = 0;
    for (const each of known) coveredBytes += each.lengthBytes;
    for (const { lengthBytes, hole } of extents) {
      const last = known.at(-1);
      if (last !== undefined && last.hole === hole) known[known.length - 1] = { lengthBytes: last.lengthBytes + lengthBytes, hole };
      else known.push({ lengthBytes, hole });
      coveredBytes += lengthBytes;
    }
    const { minBytes } = (this.#export as RemoteExport).blockSizes;
    if (coveredBytes % minBytes !== 0 || known.length >= CLIENT_EXTENTS_MAX) request.lengthBytes = coveredBytes;
    request.sentBytes = coveredBytes;
    if (request.sentBytes < request.lengthBytes) this.#enqueue(request);
  }

  #end(request: Request): void {
    const { sink, tag, status, extents, onExtents } = request;
    request.sink = null;
    request.extents = null;
    request.onExtents = null;
    request.bytes = NO_BYTES;
    this.#unended--;
    this.#free.push(request);
    if (onExtents !== null) onExtents(status, extents ?? []);
    else sink?.onDiskDone(tag, status);
  }

  /** Everything ends: connections, what is in flight, and what waits. */
  #lose(failure: ExportFailure): void {
    if (this.#failure !== null || this.#ended) return;
    this.#failure = failure;
    for (const attempt of this.#attempts) attempt.cancel();
    this.#attempts.clear();
    for (const newcomer of this.#newcomers) newcomer.destroy(failure);
    const lost = this.#connections.splice(0);
    for (const connection of lost) {
      this.#lostChanges ||= connection.changes > 0;
      // First of all: no memory of a request is read from or written to any more.
      connection.destroy(failure);
    }
    const waiting = this.#queue.slice(this.#queueHead);
    this.#queue.length = 0;
    this.#queueHead = 0;
    for (const request of waiting) request.queued = false;
    const unsent = waiting.filter(({ pieces }) => pieces === 0);
    for (const connection of lost) connection.abandon();
    for (const request of unsent) {
      request.status = Status.EIO;
      this.#end(request);
    }
    this.#listener.onLost(failure);
    this.#checkEnd();
  }

  /** What is left to do once nothing is in flight. */
  #checkEnd(): void {
    if (this.#failure !== null) {
      this.#parts.world.ticker.unsubscribe(this);
      this.#tellClosed(Status.EIO);
    } else if (this.#ended) {
      if (this.#connections.length > 0) return;
      this.#parts.world.ticker.unsubscribe(this);
      this.#tellClosed(Status.OK);
    } else if (this.#closing !== null && this.#unended === 0) {
      this.#ended = true;
      this.#endedSinceMs = this.#parts.world.clock.nowMs();
      for (const attempt of this.#attempts) attempt.cancel();
      this.#attempts.clear();
      for (const newcomer of this.#newcomers) newcomer.destroy({ code: 'UNAVAILABLE', reason: 'closed here' });
      for (const connection of [...this.#connections]) connection.end();
      this.#checkEnd();
    }
  }

  #tellClosed(status: number): void {
    const done = this.#closing;
    this.#closing = null;
    done?.(status);
  }
}

const NO_BYTES = new Uint8Array(0);

/** What a client works with. */
export interface NbdClientParts {
  readonly world: Pick<World, 'clock' | 'ticker' | 'log'>;
  readonly transport: Transport;
  readonly slabs: SlabPool;
}

/** Gets what becomes of a client. */
export interface NbdClientListener {
  /** The export is there: requests are taken. Once, unless {@link onLost} comes first. */
  onReady(found: RemoteExport): void;
  /** The export can't be had, or the attachment is lost. Once, and last. What is in flight has ended with EIO before, what comes later ends so. */
  onLost(failure: ExportFailure): void;
  /** The server has answered (a part of) a request with this command of the protocol. Often. */
  onAnswer(command: number): void;
}

/** A request on its way. Used again and again. */
class Request implements PiecedRequest {
  command = 0;
  flags = 0;
  bytes: Uint8Array = NO_BYTES;
  offsetBytes = 0;
  lengthBytes = 0;
  /** Bytes for which pieces were sent. */
  sentBytes = 0;
  /** A piece has been sent. */
  begun = false;
  /** It is in the queue. It does not end before it has left it. */
  queued = false;
  pieces = 0;
  status: number = Status.OK;
  tag = 0;
  sink: DiskSink | null = null;
  /** BLOCK_STATUS. */
  extents: DiskExtent[] | null = null;
  onExtents: ((status: number, extents: readonly DiskExtent[]) => void) | null = null;

  /** Whether all pieces were sent, or no other is to be. */
  get isSent(): boolean {
    return this.status !== Status.OK || (this.begun && this.sentBytes === this.lengthBytes);
  }
}

/** The transmission flags without which a request can't be sent. */
function neededFlags(command: number, flags: number): number {
  let needed = (flags & CommandFlag.FUA) === 0 ? 0 : TransmissionFlag.SEND_FUA;
  if (command === NbdCommand.FLUSH) needed |= TransmissionFlag.SEND_FLUSH;
  if (command === NbdCommand.TRIM) needed |= TransmissionFlag.SEND_TRIM;
  if (command === NbdCommand.WRITE_ZEROES) needed |= TransmissionFlag.SEND_WRITE_ZEROES;
  if (command === NbdCommand.WRITE_ZEROES && (flags & CommandFlag.FAST_ZERO) !== 0) needed |= TransmissionFlag.SEND_FAST_ZERO;
  return needed;
}
