import type { ByteRange } from '../../../pool-store.ts';
import type { IoRequest } from './io-request.ts';

/** What the engine tells the pool client. */
export interface IoEngineHost {
  /** Another client was granted the pool (C3). */
  onFenced(): void;
  /** These legs must leave the in-sync set before anything that waits for them is acknowledged. */
  onLegsFailed(mask: number, reason: string): void;
  /** The legs in `candidates` that have the whole range clean. `candidates` itself if none has. */
  cleanLegs(offsetBytes: number, lengthBytes: number, candidates: number): number;
  /** Whether a member outside of the in-sync set has a part of the range clean, and no part of it is LOST (I8). */
  absentMayHave(offsetBytes: number, lengthBytes: number): boolean;
  /** W10: whether each chunk of the range is clean for one of the legs in the mask. */
  eachChunkClean(offsetBytes: number, lengthBytes: number, mask: number): boolean;
  /**
   * Reads chunk by chunk what no member could answer as a whole, and ends the read with the engine's `finish`. False: the read is of one
   * chunk.
   */
  readByChunks(request: IoRequest): boolean;
  /** I8: a read ends with an error, as the disks of all members that have the range failed to read it. */
  onUnreadable(offsetBytes: number, lengthBytes: number): void;
  /** A read has succeeded. */
  onRead(offsetBytes: number, lengthBytes: number): void;
  /**
   * A write has ended. `carriedOut`: the legs that have carried out all of it, as a mask. `missed`: a member has applied it, and the
   * members outside of the in-sync set lack it.
   */
  onWriteEnded(range: ByteRange, status: number, carriedOut: number, missed: boolean): void;
  /** Asks a member back at once that is out of the set and can be reached. False if there is none. */
  hastenReturn(): boolean;
  /** ◆8: whether a chunk that is not LOST is dirty for every in-sync member: its only clean copy may not be flushed. */
  flushMustWait(): boolean;
}
