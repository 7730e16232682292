/**
 * One connection of a client to an export: the handshake, then pieces of requests, answered in any order. Everything that the server
 * sends is checked. What does not fit ends the connection, and nothing that a server can send makes it hold more memory than its
 * buffers. A piece has a slot, whose number and age are the cookie, so that a reply finds it without a search.
 */
import {
  assert,
  type ByteStream,
  type ByteStreamHandler,
  type DiskExtent,
  ReceiveBuffer,
  SendQueue,
  type SlabPool,
  Status,
} from '@rmr/runtime';
import { CLIENT_EXTENTS_MAX, CLIENT_IN_FLIGHT_BYTES_MAX, CLIENT_REQUESTS_MAX, STRING_BYTES_MAX } from '../constants.ts';
import { readU16, readU32, readU64 } from '../wire/bytes.ts';
import {
  AllocationState,
  commandName,
  NbdCommand,
  NbdError,
  REPLY_FLAG_DONE,
  REPLY_TYPE_ERROR,
  ReplyType,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from '../wire/protocol.ts';
import {
  BLOCK_STATUS_PREFIX_BYTES,
  CHUNK_FLAGS_OFFSET,
  CHUNK_HEADER_BYTES,
  CHUNK_LENGTH_OFFSET,
  CHUNK_TYPE_OFFSET,
  DESCRIPTOR_BYTES,
  ERROR_OFFSET_SUFFIX_BYTES,
  ERROR_PREFIX_BYTES,
  OFFSET_DATA_PREFIX_BYTES,
  OFFSET_HOLE_BYTES,
  REPLY_COOKIE_OFFSET,
  SIMPLE_REPLY_BYTES,
  SIMPLE_REPLY_ERROR_OFFSET,
} from '../wire/reply.ts';
import { encodeRequest, REQUEST_BYTES } from '../wire/request.ts';
import { ClientNegotiation, violation } from './client-negotiation.ts';
import { CoveredRange } from './covered-range.ts';
import type { ExportFailure, RemoteExport } from './remote-export.ts';

/** See the head of this file. */
export class ClientConnection<Request extends PiecedRequest> implements ByteStreamHandler {
  readonly #owner: ConnectionOwner<Request>;
  readonly #stream: ByteStream;
  readonly #receive: ReceiveBuffer;
  readonly #send: SendQueue;
  #negotiation: ClientNegotiation | null;
  #export: RemoteExport | null = null;
  readonly #slots: Slot<Request>[] = [];
  readonly #free: Slot<Request>[] = [];
  /** Slots that are answered before the transport has taken their payload. */
  readonly #held: Slot<Request>[] = [];
  #inFlight = 0;
  #inFlightBytes = 0;
  /** WRITE, TRIM and WRITE_ZEROES in flight. */
  #changes = 0;
  #reading: Reading = Reading.HEADER;
  #readingSlot: Slot<Request> | null = null;
  #readingLast = false;
  /** Of what is being read: where the next byte belongs, and how many bytes are left. */
  #readingOffset = 0;
  #readingBytes = 0;
  #closed = false;
  #failure: ExportFailure | null = null;

  constructor(slabs: SlabPool, stream: ByteStream, exportName: string, owner: ConnectionOwner<Request>) {
    this.#owner = owner;
    this.#stream = stream;
    this.#receive = new ReceiveBuffer(slabs);
    this.#send = new SendQueue(slabs, stream);
    this.#negotiation = new ClientNegotiation(this.#receive, this.#send, exportName);
    stream.attach(this);
  }

  /** Pieces that have not ended. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Pieces that have not ended and change something. */
  get changes(): number {
    return this.#changes;
  }

  /** For how many milliseconds the server's host has been silent although it owes an answer. */
  get silentMs(): number {
    return this.#closed ? 0 : this.#stream.silentMs();
  }

  /** Whether a piece of that many bytes may be sent now. */
  hasRoom(lengthBytes: number): boolean {
    if (this.#export === null || this.#closed) return false;
    return (
      this.#inFlight === 0 || (this.#inFlight < CLIENT_REQUESTS_MAX && this.#inFlightBytes + lengthBytes <= CLIENT_IN_FLIGHT_BYTES_MAX)
    );
  }

  /** Queues a piece, for which there is room. {@link flush} sends it. */
  start(request: Request, offsetBytes: number, lengthBytes: number): void {
    assert(!this.#closed && this.#export !== null, 'nbd client: pieces go to connections that are ready');
    const slot = this.#takeSlot();
    const { command } = request;
    slot.age = (slot.age + 1) >>> 0;
    slot.request = request;
    slot.offsetBytes = offsetBytes;
    slot.lengthBytes = lengthBytes;
    slot.status = Status.OK;
    slot.answered = false;
    slot.extents = command === NbdCommand.BLOCK_STATUS ? [] : null;
    if (command === NbdCommand.READ) slot.covered.clear();
    this.#inFlight++;
    this.#inFlightBytes += payloadOf(command, lengthBytes);
    if (isChange(command)) this.#changes++;
    const at = this.#send.reserve(REQUEST_BYTES);
    encodeRequest(this.#send.bytes, at, request.flags, command, slot.age, slot.index, offsetBytes, lengthBytes);
    if (command === NbdCommand.WRITE) {
      const from = offsetBytes - request.offsetBytes;
      this.#send.appendBorrowed(lengthBytes === request.bytes.length ? request.bytes : request.bytes.subarray(from, from + lengthBytes));
    }
    slot.sentBytes = this.#send.endBytes;
  }

  /** Sends what was queued. */
  flush(): void {
    if (!this.#closed) this.#send.flush();
  }

  /** Says goodbye, and closes. Nothing is in flight. */
  end(): void {
    if (this.#closed) return;
    assert(this.#inFlight === 0, 'nbd client: it leaves in order when nothing is in flight');
    if (this.#export !== null) {
      const at = this.#send.reserve(REQUEST_BYTES);
      encodeRequest(this.#send.bytes, at, 0, NbdCommand.DISC, 0, 0, 0, 0);
      this.#send.flush();
    }
    this.#stream.end();
  }

  /** Ends the connection at once, and so all that is in flight; `onLost` follows later. */
  destroy(failure: ExportFailure): void {
    if (this.#closed) return;
    this.#failure ??= failure;
    this.#closed = true;
    this.#stream.destroy(failure.reason);
  }

  /** After {@link destroy}: tells that all pieces in flight have ended with EIO. */
  abandon(): void {
    assert(this.#closed, 'nbd client: what is abandoned is closed');
    this.#held.length = 0;
    for (const slot of this.#slots) {
      if (slot.request === null) continue;
      slot.status = Status.EIO;
      this.#end(slot);
    }
  }

  receiveTarget(): Uint8Array {
    return this.#receive.target();
  }

  onReceived(byteCount: number): void {
    this.#receive.received(byteCount);
    if (this.#closed) return;
    const failure = this.#negotiation === null ? this.#parse() : this.#negotiate(this.#negotiation);
    if (failure !== null) this.destroy(failure);
    else if (!this.#closed && this.#negotiation === null) this.#owner.onRoom();
  }

  onWritten(totalBytes: number): void {
    this.#send.written(totalBytes);
    if (this.#closed || this.#held.length === 0) return;
    let kept = 0;
    for (let i = 0; i < this.#held.length; i++) {
      const slot = this.#held[i] as Slot<Request>;
      if (slot.sentBytes <= totalBytes) this.#end(slot);
      else this.#held[kept++] = slot;
    }
    this.#held.length = kept;
    if (!this.#closed) this.#owner.onRoom();
  }

  onClosed(reason: string): void {
    this.#closed = true;
    this.#receive.dispose();
    this.#send.dispose();
    const during = this.#export === null ? 'during the handshake' : 'with the server';
    this.#owner.onLost(this, this.#failure ?? { code: 'UNAVAILABLE', reason: `the connection ${during} has ended (${reason})` });
  }

  #negotiate(negotiation: ClientNegotiation): ExportFailure | null {
    const outcome = negotiation.parse();
    this.#send.flush();
    if (outcome === null) return null;
    if ('reason' in outcome) return outcome;
    this.#negotiation = null;
    this.#export = outcome;
    this.#owner.onReady(this, outcome);
    return this.#closed ? null : this.#parse();
  }

  /** Reads replies. Returns why the connection has to end. */
  #parse(): ExportFailure | null {
    // What is told of may destroy the connection.
    while (!this.#closed) {
      if (this.#reading === Reading.DATA) {
        if (!this.#moveData()) return null;
      } else if (this.#reading === Reading.DESCRIPTORS) {
        if (!this.#receive.hasFrame(DESCRIPTOR_BYTES)) return null;
        const wrong = this.#readDescriptor();
        if (wrong !== null) return violation(wrong);
      } else {
        if (!this.#receive.hasFrame(SIMPLE_REPLY_BYTES)) return null;
        const magic = readU32(this.#receive.slab.bytes, this.#receive.start);
        const isChunk = magic === STRUCTURED_REPLY_MAGIC;
        if (!isChunk && magic !== SIMPLE_REPLY_MAGIC) return violation('a reply does not begin with its magic number');
        if (isChunk && !this.#receive.hasFrame(CHUNK_HEADER_BYTES)) return null;
        const wrong = isChunk ? this.#readChunk() : this.#readSimple();
        if (wrong === WAIT) return null;
        if (wrong !== null) return violation(wrong);
      }
    }
    return null;
  }

  /** The piece that a reply is for; null: there is none. */
  #slotOf(): Slot<Request> | null {
    const { slab, start } = this.#receive;
    const slot = this.#slots[readU32(slab.bytes, start + REPLY_COOKIE_OFFSET + 4)];
    if (slot === undefined || slot.request === null || slot.answered) return null;
    return slot.age === readU32(slab.bytes, start + REPLY_COOKIE_OFFSET) ? slot : null;
  }

  #readSimple(): string | null {
    const slot = this.#slotOf();
    if (slot === null || slot.request === null) return 'a reply is to no request that is in flight';
    const { command } = slot.request;
    if (this.#export?.structured === true && (command === NbdCommand.READ || command === NbdCommand.BLOCK_STATUS))
      return `a simple reply came to ${commandName(command)}, although structured ones were agreed on`;
    if (slot.status !== Status.OK) return 'a simple reply came after a chunk of the same reply';
    const error = readU32(this.#receive.slab.bytes, this.#receive.start + SIMPLE_REPLY_ERROR_OFFSET);
    this.#receive.consume(SIMPLE_REPLY_BYTES);
    slot.status = statusOfError(error);
    if (command === NbdCommand.READ && error === 0) this.#expectData(slot, slot.offsetBytes, slot.lengthBytes, true);
    else this.#answer(slot);
    return null;
  }

  #readChunk(): string | null {
    if (this.#export?.structured !== true) return 'a structured reply came, although none were agreed on';
    const slot = this.#slotOf();
    if (slot === null || slot.request === null) return 'a chunk is of a reply to no request that is in flight';
    const { slab, start } = this.#receive;
    const isLast = (readU16(slab.bytes, start + CHUNK_FLAGS_OFFSET) & REPLY_FLAG_DONE) !== 0;
    const type = readU16(slab.bytes, start + CHUNK_TYPE_OFFSET);
    const payloadBytes = readU32(slab.bytes, start + CHUNK_LENGTH_OFFSET);
    if ((type & REPLY_TYPE_ERROR) !== 0) return this.#readErrorChunk(slot, type, payloadBytes, isLast);
    const { command } = slot.request;
    if (type === ReplyType.NONE) {
      if (payloadBytes !== 0 || !isLast) return 'a chunk that says nothing is not empty and the last';
      this.#receive.consume(CHUNK_HEADER_BYTES);
      return this.#finishChunk(slot, true);
    }
    if (type === ReplyType.OFFSET_DATA && command === NbdCommand.READ) return this.#readDataChunk(slot, payloadBytes, isLast);
    if (type === ReplyType.OFFSET_HOLE && command === NbdCommand.READ) return this.#readHoleChunk(slot, payloadBytes, isLast);
    if (type === ReplyType.BLOCK_STATUS && command === NbdCommand.BLOCK_STATUS) return this.#readStatusChunk(slot, payloadBytes, isLast);
    return `a chunk of type ${type} came to ${commandName(command)}`;
  }

  #readErrorChunk(slot: Slot<Request>, type: number, payloadBytes: number, isLast: boolean): string | null {
    if (payloadBytes < ERROR_PREFIX_BYTES || payloadBytes > ERROR_PREFIX_BYTES + STRING_BYTES_MAX + ERROR_OFFSET_SUFFIX_BYTES)
      return `an error has ${payloadBytes} bytes`;
    if (!this.#receive.hasFrame(CHUNK_HEADER_BYTES + payloadBytes)) return WAIT;
    const at = this.#receive.start + CHUNK_HEADER_BYTES;
    const { bytes } = this.#receive.slab;
    const error = readU32(bytes, at);
    const textBytes = readU16(bytes, at + 4);
    if (error === 0) return 'an error chunk says that there is none';
    const suffixBytes = type === ReplyType.ERROR_OFFSET ? ERROR_OFFSET_SUFFIX_BYTES : 0;
    const known = type === ReplyType.ERROR || type === ReplyType.ERROR_OFFSET;
    if (known && ERROR_PREFIX_BYTES + textBytes + suffixBytes !== payloadBytes) return 'an error and its text differ in length';
    this.#receive.consume(CHUNK_HEADER_BYTES + payloadBytes);
    if (slot.status === Status.OK) slot.status = statusOfError(error);
    return this.#finishChunk(slot, isLast);
  }

  #readDataChunk(slot: Slot<Request>, payloadBytes: number, isLast: boolean): string | null {
    const dataBytes = payloadBytes - OFFSET_DATA_PREFIX_BYTES;
    if (dataBytes <= 0) return 'a chunk of data has none';
    if (!this.#receive.hasFrame(CHUNK_HEADER_BYTES + OFFSET_DATA_PREFIX_BYTES)) return WAIT;
    const offsetBytes = readU64(this.#receive.slab.bytes, this.#receive.start + CHUNK_HEADER_BYTES);
    const wrong = cover(slot, offsetBytes, dataBytes);
    if (wrong !== null) return wrong;
    this.#receive.consume(CHUNK_HEADER_BYTES + OFFSET_DATA_PREFIX_BYTES);
    this.#expectData(slot, offsetBytes, dataBytes, isLast);
    return null;
  }

  #readHoleChunk(slot: Slot<Request>, payloadBytes: number, isLast: boolean): string | null {
    if (payloadBytes !== OFFSET_HOLE_BYTES) return `a hole is told of in ${payloadBytes} bytes`;
    if (!this.#receive.hasFrame(CHUNK_HEADER_BYTES + OFFSET_HOLE_BYTES)) return WAIT;
    const at = this.#receive.start + CHUNK_HEADER_BYTES;
    const offsetBytes = readU64(this.#receive.slab.bytes, at);
    const holeBytes = readU32(this.#receive.slab.bytes, at + 8);
    if (holeBytes === 0) return 'a hole has no length';
    const wrong = cover(slot, offsetBytes, holeBytes);
    if (wrong !== null) return wrong;
    const request = slot.request as Request;
    request.bytes.fill(0, offsetBytes - request.offsetBytes, offsetBytes - request.offsetBytes + holeBytes);
    this.#receive.consume(CHUNK_HEADER_BYTES + OFFSET_HOLE_BYTES);
    return this.#finishChunk(slot, isLast);
  }

  #readStatusChunk(slot: Slot<Request>, payloadBytes: number, isLast: boolean): string | null {
    const listBytes = payloadBytes - BLOCK_STATUS_PREFIX_BYTES;
    if (listBytes <= 0 || listBytes % DESCRIPTOR_BYTES !== 0) return `a block status has ${payloadBytes} bytes`;
    if (listBytes / DESCRIPTOR_BYTES > slot.lengthBytes) return 'a block status has more runs than bytes were asked for';
    if (slot.extents !== null && slot.extents.length > 0) return 'a block status came twice';
    if (!this.#receive.hasFrame(CHUNK_HEADER_BYTES + BLOCK_STATUS_PREFIX_BYTES)) return WAIT;
    const context = readU32(this.#receive.slab.bytes, this.#receive.start + CHUNK_HEADER_BYTES);
    if (context !== this.#export?.allocationContextId) return 'a block status is of a metadata context that was not selected';
    this.#receive.consume(CHUNK_HEADER_BYTES + BLOCK_STATUS_PREFIX_BYTES);
    this.#reading = Reading.DESCRIPTORS;
    this.#readingSlot = slot;
    this.#readingLast = isLast;
    this.#readingBytes = listBytes;
    this.#readingOffset = slot.offsetBytes;
    return null;
  }

  #readDescriptor(): string | null {
    const slot = this.#readingSlot as Slot<Request>;
    const extents = slot.extents as DiskExtent[];
    const { slab, start } = this.#receive;
    const lengthBytes = readU32(slab.bytes, start);
    const flags = readU32(slab.bytes, start + 4);
    if (lengthBytes === 0) return 'a run of a block status has no length';
    this.#receive.consume(DESCRIPTOR_BYTES);
    this.#readingBytes -= DESCRIPTOR_BYTES;
    // The last run may be longer than what was asked for. Behind it there is nothing that anybody wants to know.
    const kept = Math.min(lengthBytes, slot.offsetBytes + slot.lengthBytes - this.#readingOffset);
    if (kept > 0 && extents.length < CLIENT_EXTENTS_MAX) {
      const hole = (flags & AllocationState.HOLE) !== 0 && (flags & AllocationState.ZERO) !== 0;
      extents.push({ lengthBytes: kept, hole });
      this.#readingOffset += kept;
    }
    if (this.#readingBytes > 0) return null;
    this.#reading = Reading.HEADER;
    this.#readingSlot = null;
    return this.#finishChunk(slot, this.#readingLast);
  }

  #expectData(slot: Slot<Request>, offsetBytes: number, lengthBytes: number, isLast: boolean): void {
    this.#reading = Reading.DATA;
    this.#readingSlot = slot;
    this.#readingOffset = offsetBytes;
    this.#readingBytes = lengthBytes;
    this.#readingLast = isLast;
  }

  /** Moves data that has come to where it belongs. False: more has to come. */
  #moveData(): boolean {
    const part = Math.min(this.#readingBytes, this.#receive.readableBytes);
    if (part === 0) return false;
    const slot = this.#readingSlot as Slot<Request>;
    const request = slot.request as Request;
    const { slab, start } = this.#receive;
    request.bytes.set(slab.bytes.subarray(start, start + part), this.#readingOffset - request.offsetBytes);
    this.#receive.consume(part);
    this.#readingOffset += part;
    this.#readingBytes -= part;
    if (this.#readingBytes > 0) return false;
    this.#reading = Reading.HEADER;
    this.#readingSlot = null;
    if (this.#export?.structured === true) {
      const wrong = this.#finishChunk(slot, this.#readingLast);
      if (wrong !== null) this.destroy(violation(wrong));
    } else this.#answer(slot);
    return true;
  }

  /** A chunk has been read. After the last, the reply is complete. */
  #finishChunk(slot: Slot<Request>, isLast: boolean): string | null {
    if (!isLast) return null;
    if (slot.status === Status.OK) {
      const { command } = slot.request as Request;
      if (command === NbdCommand.READ && !slot.covered.isWhole(slot.offsetBytes, slot.offsetBytes + slot.lengthBytes))
        return 'the reply to a READ ended before all of its data had come';
      if (command === NbdCommand.BLOCK_STATUS && slot.extents?.length === 0) return 'the reply to a BLOCK_STATUS says nothing';
    }
    this.#answer(slot);
    return null;
  }

  /** The reply is complete. A server that answers before the payload has left must not have the caller change it while it leaves. */
  #answer(slot: Slot<Request>): void {
    if ((slot.request as Request).command === NbdCommand.WRITE && this.#stream.takenBytes < slot.sentBytes) {
      slot.answered = true;
      this.#held.push(slot);
    } else this.#end(slot);
  }

  #end(slot: Slot<Request>): void {
    const { request, status, extents, lengthBytes } = slot;
    assert(request !== null, 'nbd client: a piece ends once');
    const { command } = request;
    slot.request = null;
    slot.extents = null;
    this.#inFlight--;
    this.#inFlightBytes -= payloadOf(command, lengthBytes);
    if (isChange(command)) this.#changes--;
    this.#free.push(slot);
    this.#owner.onPieceEnded(request, status, status === Status.OK ? extents : null);
  }

  #takeSlot(): Slot<Request> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    assert(this.#slots.length < CLIENT_REQUESTS_MAX, 'nbd client: there is room for a piece that is sent');
    const slot = new Slot<Request>(this.#slots.length);
    this.#slots.push(slot);
    return slot;
  }
}

/** More bytes have to come. */
const WAIT = '';

/** A request, of which a connection carries out a piece. */
export interface PiecedRequest {
  readonly command: number;
  readonly flags: number;
  /** READ: where data goes. WRITE: the data. It belongs to the whole request, which begins at {@link offsetBytes}. */
  readonly bytes: Uint8Array;
  readonly offsetBytes: number;
}

/** Gets what happens on a connection. */
export interface ConnectionOwner<Request extends PiecedRequest> {
  /** The handshake is over: pieces may be sent. */
  onReady(connection: ClientConnection<Request>, found: RemoteExport): void;
  /** A piece has ended with a status of `Status`. `extents`: of a BLOCK_STATUS that succeeded, the runs from the piece's offset on, cut to its length. */
  onPieceEnded(request: Request, status: number, extents: readonly DiskExtent[] | null): void;
  /** Pieces have ended, and there is room for others. */
  onRoom(): void;
  /** The connection is no more. Its pieces have not been answered, and may or may not have been carried out. Once, last, from within nothing of this connection but the stream's own calls. */
  onLost(connection: ClientConnection<Request>, failure: ExportFailure): void;
}

/** A piece under way. Used again and again. */
class Slot<Request extends PiecedRequest> {
  readonly index: number;
  /** How often it has been used: the upper half of the cookie, so that a late reply finds nobody. */
  age = 0;
  request: Request | null = null;
  offsetBytes = 0;
  lengthBytes = 0;
  /** Total of bytes sent that has its payload. */
  sentBytes = 0;
  /** What an error chunk has said. */
  status: number = Status.OK;
  /** It is answered, and waits for the transport to let go of its payload. */
  answered = false;
  readonly covered = new CoveredRange();
  extents: DiskExtent[] | null = null;

  constructor(index: number) {
    this.index = index;
  }
}

/** What of a reply is being read. */
const Reading = { HEADER: 0, DATA: 1, DESCRIPTORS: 2 } as const;
type Reading = (typeof Reading)[keyof typeof Reading];

/** Notes that a stretch of a READ comes. Returns what is wrong with it. */
function cover(slot: Slot<PiecedRequest>, offsetBytes: number, lengthBytes: number): string | null {
  if (offsetBytes < slot.offsetBytes || offsetBytes + lengthBytes > slot.offsetBytes + slot.lengthBytes)
    return 'a chunk lies outside of what was to be read';
  return slot.covered.add(offsetBytes, offsetBytes + lengthBytes) ? null : 'chunks of a READ overlap, or are in too many pieces';
}

function payloadOf(command: number, lengthBytes: number): number {
  return command === NbdCommand.READ || command === NbdCommand.WRITE ? lengthBytes : 0;
}

function isChange(command: number): boolean {
  return command === NbdCommand.WRITE || command === NbdCommand.WRITE_ZEROES || command === NbdCommand.TRIM;
}

/** The status for an error of the protocol. One that is not known counts as EIO: something went wrong. */
function statusOfError(error: number): number {
  switch (error) {
    case 0:
      return Status.OK;
    case NbdError.EPERM:
      return Status.EPERM;
    case NbdError.ENOMEM:
      return Status.ENOMEM;
    case NbdError.EINVAL:
      return Status.EINVAL;
    case NbdError.ENOSPC:
      return Status.ENOSPC;
    case NbdError.ENOTSUP:
      return Status.ENOTSUP;
    case NbdError.ESHUTDOWN:
      return Status.ESHUTDOWN;
    default:
      return Status.EIO;
  }
}
