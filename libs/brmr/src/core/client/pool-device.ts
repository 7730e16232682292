import { type BlockDevice, DeviceFlag, DeviceOperation, type DeviceRequest, NO_OFFSET } from '@rmr/nbd';
import {
  decodeExtents,
  EXTENTS_BYTES_MAX,
  IO_BYTES_MAX,
  IoFlag,
  IoRequest,
  type IoSink,
  type IoType,
  MessageType,
  type PoolClient,
  type PoolGeometry,
} from '@rmr/rmr';
import { assert, type DiskExtent, type Slab, Status, type TurnTask, type World } from '@rmr/runtime';
import { RangeQueue } from './range-queue.ts';

/** What a device is called, and how it may be used. */
export interface PoolDeviceOptions {
  readonly name: string;
  readonly description: string;
  readonly readOnly: boolean;
}

/** A device request that is being carried out: the number of its IOs that have not ended, and its first error. */
class Operation {
  request: DeviceRequest | null = null;
  /** Of a range. */
  type: IoType = MessageType.DISCARD;
  flags = 0;
  /** Pieces of the range wait for their turn. */
  queued = false;
  readonly ios: IoRequest[] = [];
  status: number = Status.OK;
  errorOffsetBytes = NO_OFFSET;
}

/**
 * BRMR-client: a pool as a block device. It splits requests into IOs that RMR takes, and puts the answers together. Reads are split at
 * multiples of `IO_BYTES_MAX`, so that neighbours never share one. Ranges are split by {@link RangeQueue}.
 */
export class PoolDevice implements BlockDevice, IoSink, TurnTask {
  turnQueued = false;
  readonly name: string;
  readonly description: string;
  readonly readOnly: boolean;
  readonly rotational = false;
  readonly blockSizeMinBytes = 1;
  readonly blockSizePreferredBytes = 4096;
  readonly #world: World;
  readonly #pool: PoolClient;
  readonly #geometry: PoolGeometry;
  readonly #ranges = new RangeQueue<Operation>((operation, offsetBytes, lengthBytes, isLast) => {
    if (isLast) operation.queued = false;
    this.#send(operation, operation.type, operation.flags, offsetBytes, lengthBytes, null);
  });
  readonly #freeRequests: IoRequest[] = [];
  readonly #freeOperations: Operation[] = [];
  /** Requests that need no IO; they end at the end of the turn, as none may end from within `submit`. */
  readonly #ended: DeviceRequest[] = [];
  /** Requests that nobody wants any more and of which nothing is under way. They end at the end of the turn, too. */
  readonly #cancelled: DeviceRequest[] = [];

  constructor(world: World, pool: PoolClient, options: PoolDeviceOptions) {
    assert(pool.geometry !== null, 'pool device: the pool has not been assembled');
    this.#world = world;
    this.#pool = pool;
    this.#geometry = pool.geometry;
    this.name = options.name;
    this.description = options.description;
    this.readOnly = options.readOnly;
  }

  get sizeBytes(): number {
    return this.#geometry.sizeBytes;
  }

  get fastZero(): boolean {
    return this.#geometry.fastPunch;
  }

  get fastZeroNoHole(): boolean {
    return this.#geometry.fastZero;
  }

  submit(request: DeviceRequest): void {
    const fua = (request.flags & DeviceFlag.FUA) !== 0 ? IoFlag.FUA : 0;
    switch (request.operation) {
      case DeviceOperation.READ:
        this.#split(request, MessageType.READ, 0, IO_BYTES_MAX);
        break;
      case DeviceOperation.WRITE:
        this.#split(request, MessageType.WRITE, fua, IO_BYTES_MAX);
        break;
      case DeviceOperation.TRIM:
        this.#change(request, MessageType.DISCARD, fua);
        break;
      case DeviceOperation.WRITE_ZEROES: {
        const noHole = (request.flags & DeviceFlag.NO_HOLE) !== 0 ? IoFlag.NO_HOLE : 0;
        this.#change(request, MessageType.WRITE_ZEROES, fua | noHole);
        break;
      }
      case DeviceOperation.FLUSH:
        this.#send(this.#begin(request), MessageType.FLUSH, 0, 0, 0, null);
        break;
      case DeviceOperation.BLOCK_STATUS:
        // A first part of the range is a full answer; the client asks for the rest.
        this.#send(
          this.#begin(request),
          MessageType.EXTENTS,
          0,
          request.offsetBytes,
          Math.min(request.lengthBytes, EXTENTS_BYTES_MAX),
          null,
        );
        break;
      case DeviceOperation.CACHE:
        // Storage nodes read through the page cache of their kernels; there is nothing to prepare here.
        this.#ended.push(request);
        this.#world.turn.defer(this);
        break;
    }
  }

  cancel(request: DeviceRequest): void {
    const operation = request.deviceContext as Operation | null;
    // The request needs no IO.
    if (operation === null) return;
    if (operation.queued) {
      this.#ranges.remove(operation);
      operation.queued = false;
      operation.status = Status.EIO;
    }
    const { ios } = operation;
    for (let i = ios.length - 1; i >= 0; i--) {
      const io = ios[i] as IoRequest;
      if (!this.#pool.cancel(io)) continue;
      operation.status = Status.EIO;
      if (io.type === MessageType.DISCARD || io.type === MessageType.WRITE_ZEROES) this.#ranges.cancelled(io.lengthBytes);
      this.#giveBack(operation, io);
    }
    // Pieces of other ranges begin at the end of the turn, as these ranges may be cancelled before that, too.
    this.#world.turn.defer(this);
    if (ios.length > 0) return;
    this.#freeOperation(operation);
    this.#cancelled.push(request);
  }

  runAtTurnEnd(): void {
    for (const request of this.#ended) request.done(Status.OK);
    this.#ended.length = 0;
    for (const request of this.#cancelled) request.done(Status.EIO);
    this.#cancelled.length = 0;
    this.#ranges.resume();
  }

  onIoDone(io: IoRequest, status: number, payload: Uint8Array | null, slab: Slab | null): void {
    const operation = io.context as Operation;
    const request = operation.request as DeviceRequest;
    let outcome = status;
    if (status === Status.OK && io.type === MessageType.READ) {
      request.part(io.offsetBytes, payload, io.lengthBytes, slab);
    } else if (status === Status.OK && io.type === MessageType.EXTENTS) {
      const extents: readonly DiskExtent[] | string = decodeExtents(payload, io.lengthBytes);
      if (typeof extents === 'string') outcome = Status.EIO;
      else request.extents(extents);
    }
    if (outcome !== Status.OK && operation.status === Status.OK) {
      operation.status = outcome;
      // A flush has no place, and so none where it failed.
      operation.errorOffsetBytes = io.type === MessageType.FLUSH ? NO_OFFSET : io.offsetBytes;
    }
    const isRange = io.type === MessageType.DISCARD || io.type === MessageType.WRITE_ZEROES;
    const { lengthBytes, submittedAtMs } = io;
    this.#giveBack(operation, io);
    // First, as the next piece to begin may be one of this operation.
    if (isRange) this.#ranges.ended(lengthBytes, this.#world.clock.nowMs() - submittedAtMs);
    if (operation.queued || operation.ios.length > 0) return;
    const ended = operation.status;
    const errorOffsetBytes = operation.errorOffsetBytes;
    this.#freeOperation(operation);
    if (ended === Status.OK) request.done(Status.OK);
    else request.done(ended, errorOffsetBytes);
  }

  /** The IO is no part of the operation any more. */
  #giveBack(operation: Operation, io: IoRequest): void {
    const { ios } = operation;
    const last = ios.pop() as IoRequest;
    if (last !== io) ios[ios.indexOf(io)] = last;
    io.context = null;
    io.payload = null;
    io.slab = null;
    this.#freeRequests.push(io);
  }

  #freeOperation(operation: Operation): void {
    (operation.request as DeviceRequest).deviceContext = null;
    operation.request = null;
    this.#freeOperations.push(operation);
  }

  /** A range that becomes zeroes. */
  #change(request: DeviceRequest, type: IoType, flags: number): void {
    const operation = this.#begin(request);
    operation.type = type;
    operation.flags = flags;
    operation.queued = true;
    this.#ranges.push(operation, request.offsetBytes, request.offsetBytes + request.lengthBytes);
  }

  #split(request: DeviceRequest, type: IoType, flags: number, stepBytes: number): void {
    const start = request.offsetBytes;
    const end = start + request.lengthBytes;
    const pieces = Math.ceil(end / stepBytes) - Math.floor(start / stepBytes);
    const operation = this.#begin(request);
    if (pieces === 1) {
      this.#send(operation, type, flags, start, request.lengthBytes, request);
      return;
    }
    assert(type !== MessageType.WRITE, 'pool device: a write crosses an IO boundary');
    for (let offset = start; offset < end; ) {
      const next = Math.min(end, (Math.floor(offset / stepBytes) + 1) * stepBytes);
      this.#send(operation, type, flags, offset, next - offset, null);
      offset = next;
    }
  }

  #begin(request: DeviceRequest): Operation {
    const operation = this.#freeOperations.pop() ?? new Operation();
    operation.request = request;
    request.deviceContext = operation;
    operation.status = Status.OK;
    operation.errorOffsetBytes = NO_OFFSET;
    return operation;
  }

  #send(operation: Operation, type: IoType, flags: number, offsetBytes: number, lengthBytes: number, source: DeviceRequest | null): void {
    const io = this.#freeRequests.pop() ?? new IoRequest(this);
    io.type = type;
    io.flags = flags;
    io.offsetBytes = offsetBytes;
    io.lengthBytes = lengthBytes;
    io.payload = type === MessageType.WRITE && source !== null ? source.payload : null;
    io.slab = type === MessageType.WRITE && source !== null ? source.slab : null;
    io.context = operation;
    operation.ios.push(io);
    this.#pool.submit(io);
  }
}
