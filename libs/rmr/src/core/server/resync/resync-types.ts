import type { ByteRange } from '../../../pool-store.ts';

/** How resync behaves; all of it can be changed while it runs. */
export interface ResyncOptions {
  /** Pulls in flight, of each pool. */
  readonly depth?: number;
  /** Bytes per second at most that the storage node pulls, all pools together, and that it serves others; null: as fast as it goes. */
  readonly rateBytes?: number | null;
  /** The same while clients do IO; null: as `rateBytes`, and as what clients feel of it allows. */
  readonly loadedRateBytes?: number | null;
}

/** What an operator wants of the resync of one pool's member. */
export interface ResyncOrder {
  /** Only chunks that IO waits for are pulled. */
  readonly paused: boolean;
  /** Bytes per second at most that are pulled for this pool, within what the storage node allows; null: no limit of its own. */
  readonly rateBytes: number | null;
}

/** Resync goes on, as fast as the storage node allows. */
export const NO_RESYNC_ORDER: ResyncOrder = { paused: false, rateBytes: null };

/** What resync does. `IDLE`: nothing is dirty here, or the pool is not NORMAL. `FAILED`: the last pull failed, it is tried again. */
export type ResyncState = 'IDLE' | 'RUNNING' | 'PAUSED' | 'FAILED';

/** A picture of resync, for status. */
export interface ResyncStatus {
  readonly state: ResyncState;
  readonly bytesLeft: number;
  readonly bytesPerSecond: number;
  /** Null while it stands still. */
  readonly etaSeconds: number | null;
  /** Members that are read from. */
  readonly sourceMemberIds: readonly number[];
  /** Why it stands still; empty while it does not. */
  readonly reason: string;
  /** Since when it is in this state, and stands still or does not; wall clock. */
  readonly sinceMs: number;
  /** Bytes pulled since the process started. */
  readonly pulledBytes: number;
  /** W10: where this member's disk failed to take what it misses when that was tried last: ranges of the device, in order. */
  readonly refused: readonly ByteRange[];
}
