import type { ByteRange } from '../../pool-store.ts';
import type { IoRequest } from './io-request.ts';

/** What the engine tells the pool client. */
export interface IoEngineHost {
  /** A newer client was granted the pool (C3). */
  onFenced(): void;
  /** These legs must leave the in-sync set before anything that waits for them is acknowledged. */
  onLegsFailed(mask: number, reason: string): void;
  /** Of the legs in `candidates`, those that have the whole range clean; `candidates` itself when none has. */
  cleanLegs(offsetBytes: number, lengthBytes: number, candidates: number): number;
  /** Whether a member that is out of the in-sync set has something of the range clean, and nothing of it is lost (I8). */
  absentMayHave(offsetBytes: number, lengthBytes: number): boolean;
  /** W10: whether each chunk of the range is clean for one of the legs in the mask. */
  eachChunkClean(offsetBytes: number, lengthBytes: number, mask: number): boolean;
  /** A read that no member could answer as a whole is read chunk by chunk, and ends with `finish` of the engine. False: it is of one chunk. */
  readByChunks(request: IoRequest): boolean;
  /** I8: the caller of a read is told that it failed, as the disks of all members that have the range failed it. */
  onUnreadable(offsetBytes: number, lengthBytes: number): void;
  /** A read has ended well. */
  onRead(offsetBytes: number, lengthBytes: number): void;
  /**
   * A write has ended. `carriedOut`: the mask of the legs that have carried out all of it. `missed`: a member has applied it, and those
   * that are out of the in-sync set lack it.
   */
  onWriteEnded(range: ByteRange, status: number, carriedOut: number, missed: boolean): void;
  /** A member that is out of the set, and can be reached, is asked back at once. False: there is none. */
  hastenReturn(): boolean;
  /** ◆8: whether a chunk that is not lost is dirty for every in-sync member, so that its only clean copy may not be flushed. */
  flushMustWait(): boolean;
}
