import { assert, COPY_BYTES_MAX, type DiskExtent, type Slab, type SlabPool } from '@rmr/runtime';
import type { BlockDevice } from '../block-device.ts';
import { DeviceRequest, type DeviceRequestSink } from '../device-request.ts';
import { NbdCommand } from '../wire/protocol.ts';

/**
 * One request of a client, from its header to its reply, with the device requests that serve it: one, or several for
 * a large WRITE. A transaction outlives its connection until the device is done with it; what the device then says
 * is dropped here.
 */
export class Transaction implements DeviceRequestSink {
  /** Null once the connection is gone. */
  owner: TransactionOwner | null = null;
  /** Place in the connection's list of live transactions. */
  liveIndex = -1;
  command: number = NbdCommand.READ;
  flags = 0;
  cookieHigh = 0;
  cookieLow = 0;
  offsetBytes = 0;
  lengthBytes = 0;
  /** Device requests under way. */
  outstanding = 0;
  /** WRITE: not all of the payload has been handed to the device. */
  payloadIncomplete = false;
  /** The NBD error of the reply; the first one wins. */
  error = 0;
  errorOffsetBytes = -1;
  errorMessage: Uint8Array | null = null;
  /** READ: the whole reply is put together before any of it is sent (simple replies, DF). */
  collecting = false;
  /** READ: bytes of which the device has given parts. */
  coveredBytes = 0;
  /** Bytes counted as in flight on the connection. */
  chargedBytes = 0;

  /** READ: parts that are kept until they can be sent, in order of their offsets. */
  partCount = 0;
  readonly partOffsets: number[] = [];
  readonly partLengths: number[] = [];
  readonly partData: (Uint8Array | null)[] = [];
  readonly partSlabs: (Slab | null)[] = [];

  readonly #pool: TransactionPool;
  /** All that it has ever used; at most as many as the parts of the longest WRITE. */
  readonly #requests: DeviceRequest[] = [];
  readonly #idleRequests: DeviceRequest[] = [];

  constructor(pool: TransactionPool) {
    this.#pool = pool;
  }

  /** A device request whose events come here, to be filled in, begun and submitted. */
  takeRequest(): DeviceRequest {
    this.outstanding++;
    const idle = this.#idleRequests.pop();
    if (idle !== undefined) return idle;
    const request = new DeviceRequest(this);
    this.#requests.push(request);
    return request;
  }

  /** Keeps a part of a READ. */
  keepPart(offsetBytes: number, data: Uint8Array | null, lengthBytes: number, slab: Slab | null, slabs: SlabPool): void {
    let keptData = data;
    let keptSlab = slab;
    if (slab !== null) {
      slab.retain();
    } else if (data !== null && lengthBytes <= COPY_BYTES_MAX) {
      keptData = data.slice();
    } else if (data !== null) {
      keptSlab = slabs.take(lengthBytes);
      keptData = keptSlab.bytes.subarray(0, lengthBytes);
      keptData.set(data);
    }
    let at = this.partCount++;
    for (; at > 0 && (this.partOffsets[at - 1] as number) > offsetBytes; at--) {
      this.partOffsets[at] = this.partOffsets[at - 1] as number;
      this.partLengths[at] = this.partLengths[at - 1] as number;
      this.partData[at] = this.partData[at - 1] as Uint8Array | null;
      this.partSlabs[at] = this.partSlabs[at - 1] as Slab | null;
    }
    this.partOffsets[at] = offsetBytes;
    this.partLengths[at] = lengthBytes;
    this.partData[at] = keptData;
    this.partSlabs[at] = keptSlab;
  }

  /** Forgets the kept parts. */
  dropParts(): void {
    for (let i = 0; i < this.partCount; i++) {
      this.partSlabs[i]?.release();
      this.partSlabs[i] = null;
      this.partData[i] = null;
    }
    this.partCount = 0;
  }

  /** The connection is dead. Parts of the request that have not begun never will. */
  abandon(device: BlockDevice): void {
    this.leave();
    for (let i = 0; i < this.#requests.length; i++) {
      const request = this.#requests[i] as DeviceRequest;
      if (request.underWay) device.cancel(request);
    }
  }

  /** The connection is done with it: replied, or dead. */
  leave(): void {
    this.dropParts();
    this.owner = null;
    if (this.outstanding === 0) this.#pool.giveBack(this);
    else this.#pool.orphans++;
  }

  onPart(_request: DeviceRequest, offsetBytes: number, data: Uint8Array | null, lengthBytes: number, slab: Slab | null): void {
    this.coveredBytes += lengthBytes;
    this.owner?.onPart(this, offsetBytes, data, lengthBytes, slab);
  }

  onExtents(_request: DeviceRequest, extents: readonly DiskExtent[]): void {
    this.owner?.onExtents(this, extents);
  }

  onDone(request: DeviceRequest, status: number, errorOffsetBytes: number): void {
    const lengthBytes = request.lengthBytes;
    request.slab?.release();
    request.slab = null;
    request.payload = null;
    this.#idleRequests.push(request);
    this.outstanding--;
    if (this.owner !== null) {
      this.owner.onRequestDone(this, lengthBytes, status, errorOffsetBytes);
    } else if (this.outstanding === 0) {
      this.#pool.orphans--;
      this.#pool.giveBack(this);
    }
  }

  /** Rechecks what must hold between events. */
  verify(): void {
    assert(this.outstanding >= 0, 'transaction: more requests ended than began');
    assert(this.coveredBytes <= this.lengthBytes, 'transaction: the device gave more bytes than were asked for');
    assert(this.owner === null || this.liveIndex >= 0, 'transaction: owned but not listed');
    assert(this.partCount === 0 || this.command === NbdCommand.READ, 'transaction: only reads keep parts');
    for (let i = 1; i < this.partCount; i++) {
      const end = (this.partOffsets[i - 1] as number) + (this.partLengths[i - 1] as number);
      assert(end <= (this.partOffsets[i] as number), 'transaction: parts overlap');
    }
  }
}

/** What a transaction tells the connection that it belongs to. */
export interface TransactionOwner {
  onPart(transaction: Transaction, offsetBytes: number, data: Uint8Array | null, lengthBytes: number, slab: Slab | null): void;
  onExtents(transaction: Transaction, extents: readonly DiskExtent[]): void;
  /** One of the transaction's device requests has ended. */
  onRequestDone(transaction: Transaction, operationBytes: number, status: number, errorOffsetBytes: number): void;
}

/** Free transactions kept for later; more go to the garbage collector. */
const FREE_MAX = 1024;

/** The transactions of a server: used again, so that a request allocates nothing. */
export class TransactionPool {
  readonly #free: Transaction[] = [];
  /** Transactions whose connection is gone and whose device is not done yet. */
  orphans = 0;

  take(owner: TransactionOwner): Transaction {
    const transaction = this.#free.pop() ?? new Transaction(this);
    transaction.owner = owner;
    transaction.payloadIncomplete = false;
    transaction.error = 0;
    transaction.errorOffsetBytes = -1;
    transaction.errorMessage = null;
    transaction.collecting = false;
    transaction.coveredBytes = 0;
    transaction.chargedBytes = 0;
    return transaction;
  }

  /** For {@link Transaction} alone. */
  giveBack(transaction: Transaction): void {
    assert(transaction.owner === null && transaction.outstanding === 0, 'transaction pool: given back while in use');
    if (this.#free.length < FREE_MAX) this.#free.push(transaction);
  }
}
