import { type IoMessage, MessageType } from '../../wire/io-message.ts';

/** Counters of one pool, for status and metrics. */
export class PoolServerCounters {
  reads = 0;
  readBytes = 0;
  writes = 0;
  writtenBytes = 0;
  discards = 0;
  writeZeroes = 0;
  flushes = 0;
  errors = 0;
  rejected = 0;
  /** Reads of other storage nodes for their resync. */
  syncReads = 0;
  syncReadBytes = 0;
  /** Requests that waited for a dirty chunk; and that were given back. */
  chunkWaits = 0;
  bounces = 0;
  /** Writes that left dirty chunks as they were (W10). */
  passedWrites = 0;

  /** Counts a request of a client that was accepted. Called for every request. */
  count(message: IoMessage): void {
    if (message.type === MessageType.READ) {
      this.reads++;
      this.readBytes += message.lengthBytes;
    } else if (message.type === MessageType.WRITE) {
      this.writes++;
      this.writtenBytes += message.lengthBytes;
    } else if (message.type === MessageType.FLUSH) {
      this.flushes++;
    } else if (message.type === MessageType.DISCARD) {
      this.discards++;
    } else if (message.type === MessageType.WRITE_ZEROES) {
      this.writeZeroes++;
    }
  }
}

/** Requests that wait for dirty or locked chunks, and what for. */
export interface ChunkWait {
  /** The first chunk that the oldest of them waits for, and can't pass by (W10). */
  readonly chunk: number;
  readonly what: string;
  /** What a person can do about it; absent: nothing, as far as is known. */
  readonly remedy?: string | undefined;
  readonly requests: number;
  /** When the oldest of them came, wall clock. */
  readonly sinceMs: number;
}

/** One entry for all that wait for the same, the one that has waited longest first. */
export function sumUpWaits(waits: readonly ChunkWait[]): ChunkWait[] {
  const sums = new Map<string, ChunkWait>();
  for (const wait of waits) {
    const known = sums.get(wait.what);
    if (known === undefined) sums.set(wait.what, wait);
    else sums.set(wait.what, { ...(known.sinceMs <= wait.sinceMs ? known : wait), requests: known.requests + wait.requests });
  }
  return [...sums.values()].sort((a, b) => a.sinceMs - b.sinceMs);
}
