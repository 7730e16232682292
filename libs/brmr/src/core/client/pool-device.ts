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
import { RangeQueue, type WaitingRest } from './range-queue.ts';

/**
 * BRMR-client: a pool as a block device. It splits requests into IOs that RMR takes, and puts the answers together. Reads are split at
 * multiples of `IO_BYTES_MAX`, so that neighbours never share one. Ranges are split by {@link RangeQueue}.
 *
 * RMR keeps what overlaps in its order (W1). Pieces of a range that wait for their turn are not with RMR yet. So what comes later and
 * overlaps them waits here, and so does what overlaps that.
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
    if (this.#held.length > 0) this.#world.turn.defer(this);
    this.#send(operation, operation.type, operation.flags, offsetBytes, lengthBytes, null);
  });
  /** Operations that wait for what came before and overlaps them, in order. */
  readonly #held: Operation[] = [];
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
    if (this.#ranges.queued > 0 || this.#held.length > 0) {
      const before = this.#before(request, this.#held.length);
      if (before !== null) {
        const operation = this.#begin(request);
        operation.held = true;
        operation.waitsFor = before;
        this.#held.push(operation);
        return;
      }
    }
    this.#start(request);
  }

  /** Carries out a request. What came before and overlaps it is with RMR. */
  #start(request: DeviceRequest): void {
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
    if (operation.held) {
      operation.held = false;
      this.#held.splice(this.#held.indexOf(operation), 1);
      // It may be used again for a request that comes after those.
      for (const other of this.#held) if (other.waitsFor === operation) other.waitsFor = null;
    }
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
    this.#startHeld();
  }

  /** Begins what has waited for nothing but what is with RMR now, or is cancelled. */
  #startHeld(): void {
    let kept = 0;
    for (let i = 0; i < this.#held.length; i++) {
      const operation = this.#held[i] as Operation;
      const request = operation.request as DeviceRequest;
      // Those in front of it have been looked at: what has begun of them is in front of this one.
      if (stillWaits(operation, request)) {
        this.#held[kept++] = operation;
        continue;
      }
      operation.waitsFor = this.#before(request, kept);
      if (operation.waitsFor !== null) {
        this.#held[kept++] = operation;
        continue;
      }
      operation.held = false;
      this.#start(request);
    }
    this.#held.length = kept;
  }

  /** What came before the request, waits, and overlaps it; null: nothing does. Of those that are held, it looks at so many. */
  #before(request: DeviceRequest, heldCount: number): WaitingRest | Operation | null {
    if (!hasPlace(request)) return null;
    const range = this.#ranges.overlapping(request.offsetBytes, request.offsetBytes + request.lengthBytes);
    if (range !== null) return range;
    for (let i = 0; i < heldCount; i++) {
      const held = this.#held[i] as Operation;
      if (mustKeepOrder(held.request as DeviceRequest, request)) return held;
    }
    return null;
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

  /** The operation of a request, which it has already if it was held. */
  #begin(request: DeviceRequest): Operation {
    if (request.deviceContext !== null) return request.deviceContext as Operation;
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
  /** It waits here for what came before and overlaps it. */
  held = false;
  /** The first such thing that was found; null: it is to be looked for anew. */
  waitsFor: WaitingRest | Operation | null = null;
  readonly ios: IoRequest[] = [];
  status: number = Status.OK;
  errorOffsetBytes = NO_OFFSET;
}

/** Whether the request reads or changes what it covers. A flush covers nothing. Extents and hints may be of any moment. */
function hasPlace({ operation }: DeviceRequest): boolean {
  return operation === DeviceOperation.READ || isChange(operation);
}

function isChange(operation: DeviceOperation): boolean {
  return operation === DeviceOperation.WRITE || operation === DeviceOperation.TRIM || operation === DeviceOperation.WRITE_ZEROES;
}

/** Whether two requests that have a place overlap, and one of them changes data (W1). */
function mustKeepOrder(a: DeviceRequest, b: DeviceRequest): boolean {
  if (!isChange(a.operation) && !isChange(b.operation)) return false;
  return a.offsetBytes < b.offsetBytes + b.lengthBytes && b.offsetBytes < a.offsetBytes + a.lengthBytes;
}

/** Whether what an operation was found to wait for is still in front of it. It may wait for something else besides. */
function stillWaits({ waitsFor }: Operation, { offsetBytes, lengthBytes }: DeviceRequest): boolean {
  if (waitsFor instanceof Operation) return waitsFor.held;
  if (waitsFor === null || waitsFor.nextBytes === waitsFor.endBytes) return false;
  return waitsFor.nextBytes < offsetBytes + lengthBytes && offsetBytes < waitsFor.endBytes;
}
