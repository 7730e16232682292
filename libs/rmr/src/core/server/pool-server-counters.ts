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
}

/** Requests that wait for dirty or locked chunks, and what for. */
export interface ChunkWait {
  /** The first chunk that the oldest of them waits for. */
  readonly chunk: number;
  readonly what: string;
  readonly requests: number;
  /** When the oldest of them came, wall clock. */
  readonly sinceMs: number;
}
