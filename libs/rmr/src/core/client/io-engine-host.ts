/** What the engine tells the pool client. */
export interface IoEngineHost {
  /** A newer client was granted the pool (C3). */
  onFenced(): void;
  /** These legs must leave the in-sync set before anything that waits for them is acknowledged. */
  onLegsFailed(mask: number, reason: string): void;
  /** Of the legs in `candidates`, those that have the whole range clean; `candidates` itself when none has. */
  cleanLegs(offsetBytes: number, lengthBytes: number, candidates: number): number;
  /** A write of the range has ended while members are out of the in-sync set: they miss it. */
  onWriteMissed(offsetBytes: number, lengthBytes: number): void;
  /** ◆8: whether a chunk is dirty for every in-sync member, so that its only clean copy may not be flushed. */
  flushMustWait(): boolean;
}
