import type { DeviceRequest } from './device-request.ts';

/** What a device is asked to do. The numbers are those of the NBD commands. */
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

/** How it is asked. The bits are those of the NBD command flags. */
export const DeviceFlag = {
  /** WRITE, TRIM, WRITE_ZEROES: not done before the effect is durable. */
  FUA: 1 << 0,
  /** WRITE_ZEROES: the range has to be allocated afterwards. */
  NO_HOLE: 1 << 1,
  /** BLOCK_STATUS: one run is enough. */
  ONE_EXTENT: 1 << 3,
  /** WRITE_ZEROES: the client wants it only if it is faster than writing. The server has checked {@link BlockDevice.fastZero}. */
  FAST_ZERO: 1 << 4,
} as const;

/**
 * A device that the server exports. Requests run concurrently and end in any order. What they ask has been validated:
 * ranges are not empty, lie within the device and are multiples of the minimum block size; no request that changes
 * data comes to a read-only device. READ is at most `PAYLOAD_BYTES_MAX` long; a WRITE does not cross a multiple of
 * `WRITE_PART_BYTES`; the others can be as long as 4 GiB - 1.
 *
 * One flush covers every connection: it makes every write durable whose `done` was called before the flush was
 * submitted, whoever wrote it (NBD_FLAG_CAN_MULTI_CONN).
 */
export interface BlockDevice {
  /** The export's name: at most `STRING_BYTES_MAX` bytes of UTF-8 without NUL. */
  readonly name: string;
  /** For people; may be empty. The same limits. */
  readonly description: string;
  /** Read again for every negotiation and request: a device may grow. A multiple of {@link blockSizeMinBytes}. */
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly rotational: boolean;
  /** A power of two from 1 to 65,536: smaller or unaligned requests are refused. */
  readonly blockSizeMinBytes: number;
  /** A power of two, at least 512 and at least the minimum. */
  readonly blockSizePreferredBytes: number;
  /** WRITE_ZEROES that may leave a hole is faster than writing zeroes. */
  readonly fastZero: boolean;
  /** The same for WRITE_ZEROES with {@link DeviceFlag.NO_HOLE}. */
  readonly fastZeroNoHole: boolean;
  /** Takes a request. Its methods are called later, never from within. The device batches by itself, per turn. */
  submit(request: DeviceRequest): void;
  /**
   * Nobody wants a request any more that is under way: its client is gone. What has not begun of it must never begin. What has
   * begun goes on as if nobody had asked. It ends through `done` in either case, later, and never from within.
   */
  cancel(request: DeviceRequest): void;
}
