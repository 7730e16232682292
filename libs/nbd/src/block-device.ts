import type { DeviceRequest } from './device-request.ts';

/**
 * A device that the server exports. Requests run concurrently and end in any order. The server has checked each request
 * before: its range is not empty, lies within the device, and is a multiple of the minimum block size. A read-only device
 * gets no request that changes data. A READ is at most `PAYLOAD_BYTES_MAX` long. A WRITE does not cross a multiple of
 * `WRITE_PART_BYTES`. All others can be as long as 4 GiB - 1.
 *
 * A flush covers the writes of every connection: it makes each write durable that had ended through `done` before the flush
 * was submitted (NBD_FLAG_CAN_MULTI_CONN).
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
   * The client of a request that is under way is gone. Parts of the request that have not begun must never begin. Parts that have begun
   * go on as if this had not been called. In either case the request ends through `done`, later, and never from within.
   */
  cancel(request: DeviceRequest): void;
}
