import { INTERNAL_STATUS_MIN, type Slab } from '@rmr/runtime';
import { isWriteType, MessageType } from '../../../wire/io-message.ts';

/** One IO on a pool. The submitter owns the object, fills in the upper fields, and can use the object again when the IO has ended. */
export class IoRequest {
  type: IoType = MessageType.READ;
  /** FUA and NO_HOLE of `IoFlag`. */
  flags = 0;
  offsetBytes = 0;
  /** READ and WRITE: at most `IO_BYTES_MAX`; FLUSH: 0; others: at most `RANGE_BYTES_MAX`. */
  lengthBytes = 0;
  /** WRITE: the data. The submitter does not change it, and holds its slab, until the IO has ended. */
  payload: Uint8Array | null = null;
  slab: Slab | null = null;
  /** For the submitter's own use. */
  context: object | null = null;
  tag = 0;

  /** It is a piece of another request. Only that request is counted. */
  isPart = false;

  readonly sink: IoSink;

  /** For the engine: its number in the order of submission. */
  ticket = 0;
  /** For the engine: the legs that have failed this read, or do not have what it asks for. */
  triedMask = 0;
  /** For the engine: the legs whose disks have failed this read. */
  failedMask = 0;
  /** For the engine: the legs that have left as they failed this write, and that others had passed some of by (W10). */
  leftMask = 0;
  /** For the engine: the round in which it bounced. */
  round = 0;
  /** For the engine: when it was submitted, in clock milliseconds. */
  submittedAtMs = 0;
  /** For the engine: whether it has been sent to a member as a write or flush since it was submitted. */
  begun = false;
  /** For the engine: whether it is in the waiting list, and its neighbours there. */
  waits = false;
  next: IoRequest | null = null;
  previous: IoRequest | null = null;

  constructor(sink: IoSink) {
    this.sink = sink;
  }
}

/** The type of an IO request: an IO message's type. */
export type IoType = Exclude<MessageType, typeof MessageType.CONTROL>;

/** Is told how IO requests end. */
export interface IoSink {
  /**
   * The request has ended. It is the submitter's again. `status`: 0, or an errno of `Status`. READ: `payload` is the data, `lengthBytes`
   * long. EXTENTS: `payload` has the runs (see wire/extents.ts). Payload and slab are valid during the call. A sink that keeps the
   * payload retains `slab`. Never called from within `submit`.
   */
  onIoDone(request: IoRequest, status: number, payload: Uint8Array | null, slab: Slab | null): void;
}

/** Whether the request goes to every leg (writes and flushes) and not to one. */
export function isLegWide(request: IoRequest): boolean {
  return request.type === MessageType.FLUSH || isWriteType(request.type);
}

/** Whether the status says that the member is in no state to serve, and not that its disk failed. */
export function isMemberOut(status: number): boolean {
  return status >= INTERNAL_STATUS_MIN;
}
