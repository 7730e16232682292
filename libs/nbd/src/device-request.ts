import { assert, type DiskExtent, type Slab } from '@rmr/runtime';

/**
 * One request to a device. Objects are used again: after `done` the device forgets the request.
 *
 * The submitter fills the upper fields before `submit` and leaves them alone until `done`.
 */
export class DeviceRequest {
  operation: DeviceOperation = DeviceOperation.READ;
  /** Bits of `DeviceFlag`. */
  flags = 0;
  offsetBytes = 0;
  lengthBytes = 0;
  /** WRITE: the data, `lengthBytes` long, else null. Stays unchanged until `done`. */
  payload: Uint8Array | null = null;
  /** WRITE: where the data lies; the submitter keeps it retained until `done`. Null when the memory is not a slab's. */
  slab: Slab | null = null;

  /** The device's own: a slot number. */
  deviceSlot = -1;
  /** The device's own: anything else. Null when a request begins. */
  deviceContext: object | null = null;

  readonly #sink: DeviceRequestSink;
  #underWay = false;

  constructor(sink: DeviceRequestSink) {
    this.#sink = sink;
  }

  /** True from {@link begin} to {@link done}. */
  get underWay(): boolean {
    return this.#underWay;
  }

  /** The submitter's: called right before `submit`. */
  begin(): void {
    assert(!this.#underWay, 'device request: begun twice');
    this.#underWay = true;
    this.deviceSlot = -1;
    this.deviceContext = null;
  }

  /**
   * READ: bytes from `offsetBytes` (of the device) on are `data`, or zeroes when `data` is null. Parts come in any
   * order, do not overlap, and cover the request before `done(Status.OK)`. `data` lies in `slab`, which is retained
   * by the receiver as long as it needs it; with no slab it is copied at once.
   */
  part(offsetBytes: number, data: Uint8Array | null, lengthBytes: number, slab: Slab | null): void {
    assert(this.#underWay, 'device request: a part after its end');
    assert(this.operation === DeviceOperation.READ, 'device request: only reads have parts');
    assert(lengthBytes > 0, 'device request: empty part');
    assert(data === null || data.length === lengthBytes, 'device request: part and its data differ in length');
    assert(
      offsetBytes >= this.offsetBytes && offsetBytes + lengthBytes <= this.offsetBytes + this.lengthBytes,
      'device request: part outside of the request',
    );
    this.#sink.onPart(this, offsetBytes, data, lengthBytes, slab);
  }

  /** BLOCK_STATUS: runs from the request's offset on, at least one; they may cover less or more than was asked. Once. */
  extents(extents: readonly DiskExtent[]): void {
    assert(this.#underWay, 'device request: extents after its end');
    assert(this.operation === DeviceOperation.BLOCK_STATUS, 'device request: only block status has extents');
    assert(extents.length > 0, 'device request: no extents');
    this.#sink.onExtents(this, extents);
  }

  /**
   * The end. `status` is 0 or an errno of `Status`; `errorOffsetBytes` says where the error is if that is known.
   * Nothing is called after.
   */
  done(status: number, errorOffsetBytes: number = NO_OFFSET): void {
    assert(this.#underWay, 'device request: ended twice');
    assert(
      errorOffsetBytes === NO_OFFSET || (errorOffsetBytes >= this.offsetBytes && errorOffsetBytes < this.offsetBytes + this.lengthBytes),
      'device request: an error outside of the request',
    );
    this.#underWay = false;
    this.deviceContext = null;
    this.#sink.onDone(this, status, errorOffsetBytes);
  }
}

/** What a request asks of a device. The numbers are those of the NBD protocol, so that requests pass from the wire as they are. */
export const DeviceOperation = {
  READ: 0,
  WRITE: 1,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

export type DeviceOperation = (typeof DeviceOperation)[keyof typeof DeviceOperation];

/** The flags of a request to a device. The bits are those of the NBD command flags. */
export const DeviceFlag = {
  /** WRITE, TRIM, WRITE_ZEROES: the request ends only after its effect is durable. */
  FUA: 1 << 0,
  /** WRITE_ZEROES: the range has to be allocated afterwards. */
  NO_HOLE: 1 << 1,
  /** BLOCK_STATUS: one run is enough. */
  ONE_EXTENT: 1 << 3,
  /** WRITE_ZEROES: the client wants it only if it is faster than writing. The server has checked {@link BlockDevice.fastZero}. */
  FAST_ZERO: 1 << 4,
} as const;

/** Gets what a device says about its requests. */
export interface DeviceRequestSink {
  onPart(request: DeviceRequest, offsetBytes: number, data: Uint8Array | null, lengthBytes: number, slab: Slab | null): void;
  onExtents(request: DeviceRequest, extents: readonly DiskExtent[]): void;
  onDone(request: DeviceRequest, status: number, errorOffsetBytes: number): void;
}

/** {@link DeviceRequest.done} without a known place of the error. */
export const NO_OFFSET = -1;
