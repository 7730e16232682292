import { assert, COPY_BYTES_MAX, type DiskExtent, type Slab, type SlabPool, Status } from '@rmr/runtime';
import { IN_FLIGHT_REQUESTS_MAX, PAYLOAD_BYTES_MAX, WRITE_PART_BYTES } from '../constants.ts';
import { DeviceFlag, type DeviceOperation } from '../device-request.ts';
import { nbdErrorOf } from '../nbd-error.ts';
import { readU16, readU32, readU64 } from '../wire/bytes.ts';
import { CommandFlag, NbdCommand } from '../wire/protocol.ts';
import {
  REQUEST_BYTES,
  REQUEST_COMMAND_OFFSET,
  REQUEST_COOKIE_OFFSET,
  REQUEST_FLAGS_OFFSET,
  REQUEST_LENGTH_OFFSET,
  REQUEST_OFFSET_OFFSET,
  requestInvalid,
} from '../wire/request.ts';
import type { NbdCounters } from './counters.ts';
import type { ExportEntry } from './export-entry.ts';
import type { Link } from './link.ts';
import { ReplyWriter } from './reply-writer.ts';
import type { Transaction, TransactionOwner, TransactionPool } from './transaction.ts';
import { REJECTIONS, type Rejection, requestRejection } from './validate.ts';

/**
 * The transmission phase of one connection: requests in, device requests down, replies out. All bytes of a read from the
 * socket are parsed at once. Requests run concurrently. Replies leave in the order in which they are ready, once per turn.
 * A client can have a limited number of requests and of bytes in flight. When it reaches a limit, parsing waits, and then
 * reading waits too.
 */
export class Transmission implements TransactionOwner {
  readonly entry: ExportEntry;
  readonly structured: boolean;
  /** Parsing waits until something that is in flight ends. */
  stalled = false;

  readonly #link: Link;
  readonly #slabs: SlabPool;
  readonly #pool: TransactionPool;
  readonly #counters: NbdCounters;
  readonly #replies: ReplyWriter;
  readonly #blockStatus: boolean;
  /** Requests whose reply has not been queued, in no order. */
  readonly #live: Transaction[] = [];
  #inFlightBytes = 0;
  /** The WRITE whose payload is arriving, and how much of it is still to be handled. */
  #incoming: Transaction | null = null;
  #incomingBytes = 0;
  #incomingOffset = 0;
  /** After DISC nothing is listened to. */
  #disconnecting = false;
  /** The client has said DISC. Its earlier requests are finished, whether it waits for them or not. */
  #saidGoodbye = false;
  /** During shutdown requests are refused. */
  #refusing = false;

  constructor(
    link: Link,
    entry: ExportEntry,
    structured: boolean,
    blockStatus: boolean,
    counters: NbdCounters,
    slabs: SlabPool,
    zeroes: Slab,
    pool: TransactionPool,
  ) {
    this.#link = link;
    this.entry = entry;
    this.structured = structured;
    this.#blockStatus = blockStatus;
    this.#counters = counters;
    this.#slabs = slabs;
    this.#pool = pool;
    this.#replies = new ReplyWriter(link.send, zeroes);
  }

  get requestsInFlight(): number {
    return this.#live.length;
  }

  get bytesInFlight(): number {
    return this.#inFlightBytes;
  }

  /** The client has said that it leaves. */
  get disconnecting(): boolean {
    return this.#disconnecting;
  }

  /** What comes next is the client's DISC: all that it wanted has been begun. */
  get saysGoodbye(): boolean {
    const { receive } = this.#link;
    if (this.#incoming !== null || receive.readableBytes < REQUEST_BYTES) return false;
    return readU16(receive.slab.bytes, receive.start + REQUEST_COMMAND_OFFSET) === NbdCommand.DISC;
  }

  /** Handles what has been received, as far as limits allow. */
  run(): void {
    this.stalled = false;
    const receive = this.#link.receive;
    for (;;) {
      if (this.#disconnecting) {
        receive.consume(receive.readableBytes);
        return;
      }
      if (this.#incoming !== null) {
        if (!this.#receivePayload(this.#incoming)) return;
        continue;
      }
      if (!receive.hasFrame(REQUEST_BYTES)) return;
      const bytes = receive.slab.bytes;
      const at = receive.start;
      const invalid = requestInvalid(bytes, at);
      if (invalid !== null) {
        this.#link.fail(invalid);
        return;
      }
      const command = readU16(bytes, at + REQUEST_COMMAND_OFFSET);
      const lengthBytes = readU32(bytes, at + REQUEST_LENGTH_OFFSET);
      const readBytes = command === NbdCommand.READ && lengthBytes <= PAYLOAD_BYTES_MAX ? lengthBytes : 0;
      if (!this.#refusing && (this.#live.length >= IN_FLIGHT_REQUESTS_MAX || !this.#hasRoom(readBytes))) {
        this.stalled = true;
        return;
      }
      receive.consume(REQUEST_BYTES);
      if (command === NbdCommand.DISC) {
        this.#disconnecting = true;
        this.#saidGoodbye = true;
        this.#link.wake();
        continue;
      }
      if (command === NbdCommand.WRITE && lengthBytes > PAYLOAD_BYTES_MAX) {
        this.#link.fail('a write is longer than the maximum block size');
        return;
      }
      this.#begin(
        command,
        readU16(bytes, at + REQUEST_FLAGS_OFFSET),
        readU32(bytes, at + REQUEST_COOKIE_OFFSET),
        readU32(bytes, at + REQUEST_COOKIE_OFFSET + 4),
        readU64(bytes, at + REQUEST_OFFSET_OFFSET),
        lengthBytes,
      );
    }
  }

  /** From now on requests are refused with ESHUTDOWN; those under way go on. */
  refuse(): void {
    this.#refusing = true;
  }

  /**
   * The connection is gone. Requests in flight are dropped, and parts of them that have not begun never will. A client that has left in order
   * is the exception: its requests are finished.
   */
  abandon(): void {
    this.#disconnecting = true;
    this.#incoming = null;
    this.#inFlightBytes = 0;
    for (let i = this.#live.length - 1; i >= 0; i--) {
      const transaction = this.#live[i] as Transaction;
      if (this.#saidGoodbye) transaction.leave();
      else transaction.abandon(this.entry.device);
    }
    this.#live.length = 0;
  }

  onPart(transaction: Transaction, offsetBytes: number, data: Uint8Array | null, lengthBytes: number, slab: Slab | null): void {
    if (transaction.collecting) {
      transaction.keepPart(offsetBytes, data, lengthBytes, slab, this.#slabs);
      return;
    }
    // One part is always kept back, so that the last one can say that it is the last.
    if (transaction.partCount > 0) this.#sendKept(transaction, false);
    if (data !== null && slab === null && lengthBytes > COPY_BYTES_MAX) {
      this.#replies.content(transaction, offsetBytes, data, lengthBytes, null, false);
      this.#discharge(transaction, lengthBytes);
    } else {
      transaction.keepPart(offsetBytes, data, lengthBytes, slab, this.#slabs);
    }
    this.#link.wake();
  }

  onExtents(transaction: Transaction, extents: readonly DiskExtent[]): void {
    assert(transaction.coveredBytes === 0, 'transmission: extents given twice');
    transaction.coveredBytes = transaction.lengthBytes;
    const oneExtent = (transaction.flags & CommandFlag.REQ_ONE) !== 0;
    this.#replies.allocation(transaction, extents, this.entry.device.blockSizeMinBytes, oneExtent);
    this.#link.wake();
  }

  onRequestDone(transaction: Transaction, operationBytes: number, status: number, errorOffsetBytes: number): void {
    if (status !== Status.OK && transaction.error === 0) {
      transaction.error = nbdErrorOf(status, transaction.flags);
      transaction.errorOffsetBytes = errorOffsetBytes;
    }
    if (transaction.command === NbdCommand.WRITE) this.#discharge(transaction, operationBytes);
    if (transaction.outstanding === 0 && !transaction.payloadIncomplete) this.#complete(transaction);
    this.#link.wake();
  }

  /** Rechecks what must hold between events. */
  verify(): void {
    let charged = 0;
    for (let i = 0; i < this.#live.length; i++) {
      const transaction = this.#live[i] as Transaction;
      assert(transaction.liveIndex === i, 'transmission: a transaction does not know its place');
      assert(transaction.owner === this, 'transmission: a transaction belongs to somebody else');
      assert(transaction.outstanding > 0 || transaction.payloadIncomplete, 'transmission: a finished transaction is still listed');
      transaction.verify();
      charged += transaction.chargedBytes;
    }
    assert(charged === this.#inFlightBytes, 'transmission: bytes in flight are miscounted');
    assert(this.#live.length <= IN_FLIGHT_REQUESTS_MAX, 'transmission: more requests in flight than allowed');
    assert(this.#incoming === null || this.#incoming.payloadIncomplete, 'transmission: the incoming write is complete');
  }

  #begin(command: number, flags: number, cookieHigh: number, cookieLow: number, offsetBytes: number, lengthBytes: number): void {
    const device = this.entry.device;
    const rejection = this.#refusing
      ? REJECTIONS.SHUTDOWN
      : requestRejection(device, command, flags, offsetBytes, lengthBytes, this.structured, this.#blockStatus);
    if (rejection !== null && (command !== NbdCommand.WRITE || lengthBytes === 0)) {
      this.#reject(command, cookieHigh, cookieLow, rejection);
      return;
    }
    const transaction = this.#pool.take(this);
    transaction.command = command;
    transaction.flags = flags;
    transaction.cookieHigh = cookieHigh;
    transaction.cookieLow = cookieLow;
    transaction.offsetBytes = offsetBytes;
    transaction.lengthBytes = lengthBytes;
    transaction.liveIndex = this.#live.length;
    this.#live.push(transaction);
    if (command === NbdCommand.WRITE) {
      transaction.payloadIncomplete = true;
      if (rejection !== null) {
        transaction.error = rejection.error;
        transaction.errorMessage = rejection.message;
      }
      this.#incoming = transaction;
      this.#incomingBytes = lengthBytes;
      this.#incomingOffset = offsetBytes;
      return;
    }
    if (command === NbdCommand.READ) {
      transaction.collecting = !this.structured || (flags & CommandFlag.DF) !== 0;
      this.#charge(transaction, lengthBytes);
    }
    this.#submit(transaction, offsetBytes, lengthBytes, null, null);
  }

  /** Takes the next part of a WRITE's payload. False when there is nothing more to do now. */
  #receivePayload(transaction: Transaction): boolean {
    const receive = this.#link.receive;
    if (transaction.error !== 0) {
      // The outcome is known: the rest only has to be got out of the way.
      const skipped = Math.min(this.#incomingBytes, receive.readableBytes);
      receive.consume(skipped);
      this.#incomingBytes -= skipped;
      if (this.#incomingBytes > 0) return false;
      this.#endPayload(transaction);
      return true;
    }
    const partBytes = Math.min(this.#incomingBytes, WRITE_PART_BYTES - (this.#incomingOffset % WRITE_PART_BYTES));
    if (!this.#hasRoom(partBytes)) {
      this.stalled = true;
      return false;
    }
    if (!receive.hasFrame(partBytes)) return false;
    const slab = receive.slab;
    const payload = slab.bytes.subarray(receive.start, receive.start + partBytes);
    slab.retain();
    receive.consume(partBytes);
    const partOffset = this.#incomingOffset;
    this.#incomingBytes -= partBytes;
    this.#incomingOffset += partBytes;
    this.#charge(transaction, partBytes);
    this.#submit(transaction, partOffset, partBytes, payload, slab);
    if (this.#incomingBytes === 0) this.#endPayload(transaction);
    return true;
  }

  #endPayload(transaction: Transaction): void {
    this.#incoming = null;
    transaction.payloadIncomplete = false;
    if (transaction.outstanding === 0) this.#complete(transaction);
  }

  #submit(transaction: Transaction, offsetBytes: number, lengthBytes: number, payload: Uint8Array | null, slab: Slab | null): void {
    const request = transaction.takeRequest();
    request.operation = transaction.command as DeviceOperation;
    request.flags = transaction.flags & (INHERITED_FLAGS[transaction.command] as number);
    request.offsetBytes = offsetBytes;
    request.lengthBytes = lengthBytes;
    request.payload = payload;
    request.slab = slab;
    request.begin();
    this.entry.device.submit(request);
  }

  #complete(transaction: Transaction): void {
    const failed = transaction.error !== 0;
    const { cookieHigh, cookieLow } = transaction;
    if (failed) {
      if (this.structured)
        this.#replies.error(cookieHigh, cookieLow, transaction.error, transaction.errorMessage, transaction.errorOffsetBytes);
      else this.#replies.simple(cookieHigh, cookieLow, transaction.error);
    } else if (transaction.command === NbdCommand.READ) {
      assert(transaction.coveredBytes === transaction.lengthBytes, 'transmission: a read ended well with bytes missing');
      if (transaction.collecting) this.#replies.collected(transaction, this.structured);
      else if (transaction.partCount > 0) this.#sendKept(transaction, true);
      else this.#replies.none(transaction);
    } else if (transaction.command === NbdCommand.BLOCK_STATUS) {
      assert(transaction.coveredBytes > 0, 'transmission: a block status ended well without extents');
      this.#replies.none(transaction);
    } else {
      // Shorter than a structured reply, and allowed wherever there is no payload.
      this.#replies.simple(cookieHigh, cookieLow, 0);
    }
    this.#count(transaction.command, transaction.lengthBytes, failed);
    this.#discharge(transaction, transaction.chargedBytes);
    const last = this.#live.pop() as Transaction;
    if (last !== transaction) {
      this.#live[transaction.liveIndex] = last;
      last.liveIndex = transaction.liveIndex;
    }
    transaction.liveIndex = -1;
    transaction.leave();
    this.#link.wake();
  }

  /** Answers a request that never became a transaction. */
  #reject(command: number, cookieHigh: number, cookieLow: number, rejection: Rejection): void {
    if (this.structured) this.#replies.error(cookieHigh, cookieLow, rejection.error, rejection.message, -1);
    else this.#replies.simple(cookieHigh, cookieLow, rejection.error);
    this.#count(command, 0, true);
    this.#link.wake();
  }

  /** Sends the part that was kept back. */
  #sendKept(transaction: Transaction, last: boolean): void {
    const lengthBytes = transaction.partLengths[0] as number;
    const data = transaction.partData[0] as Uint8Array | null;
    this.#replies.content(
      transaction,
      transaction.partOffsets[0] as number,
      data,
      lengthBytes,
      transaction.partSlabs[0] as Slab | null,
      last,
    );
    transaction.dropParts();
    this.#discharge(transaction, lengthBytes);
  }

  /** Whether `byteCount` more may be in flight. One request is always let through, however large. */
  #hasRoom(byteCount: number): boolean {
    const used = this.#inFlightBytes + this.#link.send.pendingBytes;
    return used === 0 || used + byteCount <= this.#link.inFlightBytesMax();
  }

  #charge(transaction: Transaction, byteCount: number): void {
    transaction.chargedBytes += byteCount;
    this.#inFlightBytes += byteCount;
  }

  #discharge(transaction: Transaction, byteCount: number): void {
    transaction.chargedBytes -= byteCount;
    this.#inFlightBytes -= byteCount;
  }

  #count(command: number, lengthBytes: number, failed: boolean): void {
    this.#counters.count(command, lengthBytes, failed);
    this.entry.counters.count(command, lengthBytes, failed);
  }
}

/** Flags that a device request inherits from its command, by command. */
const INHERITED_FLAGS: readonly number[] = (() => {
  const inherited: number[] = new Array(8).fill(0);
  inherited[NbdCommand.WRITE] = DeviceFlag.FUA;
  inherited[NbdCommand.TRIM] = DeviceFlag.FUA;
  inherited[NbdCommand.WRITE_ZEROES] = DeviceFlag.FUA | DeviceFlag.NO_HOLE | DeviceFlag.FAST_ZERO;
  inherited[NbdCommand.BLOCK_STATUS] = DeviceFlag.ONE_EXTENT;
  return inherited;
})();
