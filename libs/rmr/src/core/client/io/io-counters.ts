import { Status } from '@rmr/runtime';
import { MessageType } from '../../../wire/io-message.ts';
import type { IoRequest } from './io-request.ts';

/** Counters of a pool on the client, for status and metrics. */
export class PoolClientCounters {
  reads = 0;
  readBytes = 0;
  writes = 0;
  writtenBytes = 0;
  discards = 0;
  writeZeroes = 0;
  flushes = 0;
  errors = 0;
  /** Reads that were sent to another leg after one failed. */
  readRetries = 0;
  /** Requests that waited for an overlapping one. */
  overlapHolds = 0;
  /** Requests that a member gave back for a map update (L4). */
  bounces = 0;
  /** Requests that never began, as nobody wanted them any more. */
  cancelled = 0;

  /** A request has ended. */
  count({ type, lengthBytes }: IoRequest, status: number): void {
    if (status !== Status.OK) {
      this.errors++;
    } else if (type === MessageType.READ) {
      this.reads++;
      this.readBytes += lengthBytes;
    } else if (type === MessageType.WRITE) {
      this.writes++;
      this.writtenBytes += lengthBytes;
    } else if (type === MessageType.FLUSH) {
      this.flushes++;
    } else if (type === MessageType.DISCARD) {
      this.discards++;
    } else if (type === MessageType.WRITE_ZEROES) {
      this.writeZeroes++;
    }
  }
}
