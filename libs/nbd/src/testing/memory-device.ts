import { type DiskExtent, Status, type TurnTask, type World } from '@rmr/runtime';
import type { BlockDevice } from '../block-device.ts';
import type { DeviceRequest } from '../device-request.ts';
import { DeviceFlag, DeviceOperation } from '../device-request.ts';

/**
 * A device in memory, as a double for tests and for real clients. Requests are executed at the end of the turn, or,
 * while it is held, when the test says so and in the order that the test chooses.
 */
export class MemoryDevice implements BlockDevice, TurnTask {
  turnQueued = false;
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly rotational: boolean;
  readonly blockSizeMinBytes: number;
  readonly blockSizePreferredBytes = 4096;
  readonly fastZero: boolean;
  readonly fastZeroNoHole: boolean;
  readonly bytes: Uint8Array;
  /** Executed requests, oldest first, while `recording`. */
  readonly executed: ExecutedRequest[] = [];
  recording = false;
  /** While true, requests wait in {@link waiting}. */
  held = false;
  readonly waiting: DeviceRequest[] = [];
  /** Requests whose client is gone, and which go on: here all count as begun. */
  readonly cancelled: DeviceRequest[] = [];
  /** Decides the status of a request; set by tests that want errors. */
  fault: ((request: DeviceRequest) => number) | null = null;

  readonly #world: World;
  readonly #readPartBytes: number;
  readonly #sparse: boolean;
  readonly #allocated: Uint8Array;

  constructor(world: World, sizeBytes: number, options: MemoryDeviceOptions = {}) {
    this.#world = world;
    this.sizeBytes = sizeBytes;
    this.name = options.name ?? '';
    this.description = options.description ?? '';
    this.readOnly = options.readOnly ?? false;
    this.rotational = options.rotational ?? false;
    this.blockSizeMinBytes = options.blockSizeMinBytes ?? 1;
    this.fastZero = options.fastZero ?? true;
    this.fastZeroNoHole = options.fastZeroNoHole ?? false;
    this.bytes = new Uint8Array(sizeBytes);
    this.#readPartBytes = options.readPartBytes ?? Number.POSITIVE_INFINITY;
    this.#sparse = options.sparse ?? true;
    this.#allocated = new Uint8Array(Math.ceil(sizeBytes / HOLE_BYTES));
  }

  submit(request: DeviceRequest): void {
    this.waiting.push(request);
    if (!this.held) this.#world.turn.defer(this);
  }

  cancel(request: DeviceRequest): void {
    this.cancelled.push(request);
  }

  runAtTurnEnd(): void {
    if (this.held) return;
    const requests = this.waiting.splice(0);
    for (const request of requests) this.execute(request);
  }

  /** Executes all that waits, in the order that `order` puts it into. */
  release(order: (requests: DeviceRequest[]) => DeviceRequest[] = (requests) => requests): void {
    for (const request of order(this.waiting.splice(0))) this.execute(request);
  }

  execute(request: DeviceRequest): void {
    const { operation, flags, offsetBytes, lengthBytes } = request;
    if (this.recording) this.executed.push({ operation, flags, offsetBytes, lengthBytes });
    const status = this.fault?.(request) ?? Status.OK;
    if (status !== Status.OK) {
      request.done(status);
      return;
    }
    const end = offsetBytes + lengthBytes;
    switch (operation) {
      case DeviceOperation.READ:
        this.#read(request);
        break;
      case DeviceOperation.WRITE:
        this.bytes.set(request.payload as Uint8Array, offsetBytes);
        this.#allocated.fill(1, Math.floor(offsetBytes / HOLE_BYTES), Math.ceil(end / HOLE_BYTES));
        break;
      case DeviceOperation.TRIM:
      case DeviceOperation.WRITE_ZEROES: {
        this.bytes.fill(0, offsetBytes, end);
        const hole = (flags & DeviceFlag.NO_HOLE) === 0;
        if (hole) this.#allocated.fill(0, Math.ceil(offsetBytes / HOLE_BYTES), Math.floor(end / HOLE_BYTES));
        else this.#allocated.fill(1, Math.floor(offsetBytes / HOLE_BYTES), Math.ceil(end / HOLE_BYTES));
        break;
      }
      case DeviceOperation.BLOCK_STATUS:
        request.extents(this.#extents(offsetBytes, end));
        break;
      case DeviceOperation.FLUSH:
      case DeviceOperation.CACHE:
        break;
    }
    request.done(Status.OK);
  }

  #read(request: DeviceRequest): void {
    const end = request.offsetBytes + request.lengthBytes;
    for (let from = request.offsetBytes; from < end; ) {
      const to = Math.min(end, (Math.floor(from / this.#readPartBytes) + 1) * this.#readPartBytes || end);
      const hole = this.#sparse && this.#extents(from, to).every((extent) => extent.hole);
      request.part(from, hole ? null : this.bytes.subarray(from, to), to - from, null);
      from = to;
    }
  }

  #extents(from: number, to: number): DiskExtent[] {
    const extents: DiskExtent[] = [];
    for (let at = from; at < to; ) {
      const hole = this.#isHole(at);
      let end = at;
      while (end < to && this.#isHole(end) === hole) end = Math.min(to, (Math.floor(end / HOLE_BYTES) + 1) * HOLE_BYTES);
      extents.push({ lengthBytes: end - at, hole });
      at = end;
    }
    return extents;
  }

  #isHole(offsetBytes: number): boolean {
    return this.#sparse && this.#allocated[Math.floor(offsetBytes / HOLE_BYTES)] === 0;
  }
}

/** Granularity in which a {@link MemoryDevice} knows holes. */
export const HOLE_BYTES = 4096;

export interface MemoryDeviceOptions {
  readonly name?: string;
  readonly description?: string;
  readonly readOnly?: boolean;
  readonly rotational?: boolean;
  readonly blockSizeMinBytes?: number;
  readonly fastZero?: boolean;
  readonly fastZeroNoHole?: boolean;
  /** Reads come in parts that end at multiples of this. */
  readonly readPartBytes?: number;
  /** Holes are told as such: in parts of reads, and in block status. */
  readonly sparse?: boolean;
}

/** What a test can see of a request that the device has executed. */
export interface ExecutedRequest {
  readonly operation: DeviceOperation;
  readonly flags: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}
