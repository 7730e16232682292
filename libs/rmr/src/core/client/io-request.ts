import type { Slab } from '@rmr/runtime';
import { isWriteType, MessageType } from '../../wire/io-message.ts';

/** The type of an IO request: an IO message's type. */
export type IoType = Exclude<MessageType, 64>;

/** Gets the end of IO requests. */
export interface IoSink {
  /**
   * The request has ended; it is the submitter's again. `status` is 0 or an errno of `Status`. READ: `payload` is the
   * data, `lengthBytes` long; EXTENTS: the runs (see wire/extents.ts). Both are valid during the call; who wants to
   * keep them retains `slab`. Never called from within `submit`.
   */
  onIoDone(request: IoRequest, status: number, payload: Uint8Array | null, slab: Slab | null): void;
}

/** One IO on a pool. The submitter owns the object, fills the upper fields, and uses it again after its end. */
export class IoRequest {
  type: IoType = 1;
  /** FUA and NO_HOLE of `IoFlag`. */
  flags = 0;
  offsetBytes = 0;
  /** READ and WRITE: at most `IO_BYTES_MAX`; FLUSH: 0; others: at most `RANGE_BYTES_MAX`. */
  lengthBytes = 0;
  /** WRITE: the data, unchanged until the end; its slab is held by the submitter until then. */
  payload: Uint8Array | null = null;
  slab: Slab | null = null;
  /** The submitter's own. */
  context: object | null = null;
  tag = 0;

  /** A piece of another request, which is counted as a whole. */
  isPart = false;

  readonly sink: IoSink;

  /** The engine's: order of submission. */
  ticket = 0;
  /** The engine's: legs that have failed this read, or that do not have what it asks for. */
  triedMask = 0;
  /** The engine's: legs whose disks have failed this read. */
  failedMask = 0;
  /** The engine's: the round in which it bounced. */
  round = 0;
  /** The engine's: when it was submitted, in clock milliseconds. */
  submittedAtMs = 0;
  /** The engine's: it has been sent to a member since it was submitted, as a write or flush. */
  begun = false;
  /** The engine's: the waiting list, and whether it is in there. */
  waits = false;
  next: IoRequest | null = null;
  previous: IoRequest | null = null;

  constructor(sink: IoSink) {
    this.sink = sink;
  }
}

/** Whether the request goes to every leg (writes and flushes) and not to one. */
export function isLegWide(request: IoRequest): boolean {
  return request.type === MessageType.FLUSH || isWriteType(request.type);
}

/** Whether the status says that the member is not in a state to serve at all, in contrast to an error of its disk. */
export function isMemberOut(status: number): boolean {
  return status >= 1000;
}
