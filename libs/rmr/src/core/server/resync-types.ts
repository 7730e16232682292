import { RESYNC_DEPTH_DEFAULT, RESYNC_LOADED_RATE_DEFAULT } from '../../constants.ts';

/** How resync behaves; all of it can be changed while it runs. */
export interface ResyncOptions {
  /** Pulls in flight. */
  readonly depth?: number;
  /** Bytes per second at most; null: as fast as it goes. */
  readonly rateBytes?: number | null;
  /** Bytes per second while clients do IO; null: as `rateBytes`. */
  readonly loadedRateBytes?: number | null;
}

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
}

/** The options with what they are unless configured. */
export function withDefaults(options: ResyncOptions): Required<ResyncOptions> {
  const { depth = RESYNC_DEPTH_DEFAULT, rateBytes = null, loadedRateBytes = RESYNC_LOADED_RATE_DEFAULT } = options;
  return { depth, rateBytes, loadedRateBytes };
}

/** Whether a pull was begun: not when nobody can be read from, or when a request can't be sent at the moment. */
export const Begun = { YES: 0, NO_SOURCE: 1, NO_PERMIT: 2 } as const;
export type Begun = (typeof Begun)[keyof typeof Begun];
