import type { PoolPolicy, VersionRecord } from '../../pool-store.ts';
import type { LegState } from '../../states.ts';
import type { Difference } from './differences.ts';
import type { MemberAddress } from './leg.ts';
import type { LostData } from './pool-maps.ts';
import type { PoolWait } from './pool-waits.ts';
import type { ReadPolicyName } from './read-policy.ts';

/** What a pool is served with. */
export interface PoolClientOptions {
  readonly poolUuid: string;
  readonly poolName: string;
  readonly members: readonly MemberAddress[];
  readonly readPolicy?: ReadPolicyName;
  /** The member that the read policy `preferred` prefers. */
  readonly preferredMemberId?: number;
  /** IO units; bounded by what the stores were created with. */
  readonly queueDepth?: number;
  /** Milliseconds after which an IO that has no usable leg fails with EIO; null: it waits for ever, as a disk would hang. */
  readonly ioTimeoutMs?: number | null;
  /** Milliseconds after which a leg that does not answer an IO leaves (L7). */
  readonly legTimeoutMs?: number;
  /**
   * A leg that takes so many times as long as its peers, or answers nothing for a second and more, for a third of the time of IO within so many
   * milliseconds, leaves too (L7); null: none does.
   */
  readonly legSlowFactor?: number | null;
  readonly legSlowForMs?: number;
  /** For how many milliseconds the return of a member holds up IO at most because that member does not answer (L4). */
  readonly legReturnHoldMs?: number;
  /** How many milliseconds a leg that left for its own fault waits at most before its return is tried (L7). */
  readonly legReturnDelayMsMax?: number;
  /**
   * The witness, and the quorum policy that the pool is created with (`none` unless given); both are in the pool's metadata
   * afterwards, which counts (L9).
   */
  readonly witness?: MemberAddress;
  readonly quorum?: PoolPolicy['quorum'];
  /** Take the pool from a client that is alive (C4). */
  readonly takeover?: boolean;
}

/**
 * What a pool client does. `RECOVERING`: no leg is NORMAL, IO waits. `SERVING`: at least one leg is. `FENCED`: a newer
 * client was granted the pool; final (C3). `STOPPING`, `STOPPED`: on its way out.
 */
export type PoolClientState = 'RECOVERING' | 'SERVING' | 'FENCED' | 'STOPPING' | 'STOPPED';

/** Geometry and abilities of the pool, known once it was assembled. */
export interface PoolGeometry {
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  /** Every member frees space at the cost of a metadata update. */
  readonly fastPunch: boolean;
  /** Every member can zero a range without moving data. */
  readonly fastZero: boolean;
}

/** Something that has to happen, for people. */
export interface Wanted {
  readonly what: string;
  /** What a person can do about it; absent: nothing, as far as is known. */
  readonly remedy?: string | undefined;
}

/** What a pool client waits for, and since when (wall clock). */
export interface WaitingFor extends Wanted {
  readonly sinceMs: number;
}

/** A picture of the pool for status. */
export interface PoolClientStatus {
  readonly poolUuid: string;
  readonly poolName: string;
  readonly state: PoolClientState;
  readonly stateSinceMs: number;
  readonly epoch: number;
  readonly version: VersionRecord | null;
  /** Whether a version is being recorded, or is about to be: IO that changes data waits. */
  readonly versionChangePending: boolean;
  readonly policy: PoolPolicy;
  /** L9: where this node's configuration differs from what the pool has recorded. Empty too while nothing is known of the pool. */
  readonly differences: readonly Difference[];
  /** C0: false: no member that answers has ever been in service, and nobody has ordered the pool to be created; null: not known yet. */
  readonly born: boolean | null;
  readonly witness: {
    readonly name: string;
    readonly connected: boolean;
    readonly ready: boolean;
    readonly problem: string;
    /** What a witness waits for that takes no part, since when it does not; null for one that does. */
    readonly waitingFor: WaitingFor | null;
  } | null;
  /** Bytes of map adds that wait for a clean copy elsewhere (V5): writes there are not acknowledged. */
  readonly owedBytes: number;
  readonly geometry: PoolGeometry | null;
  readonly waitingFor: WaitingFor | null;
  /** While the pool is served: what IO waits for other than its turn, the oldest first. */
  readonly waits: readonly PoolWait[];
  /** I8: what no member has any more: reads of it fail until its chunks are written whole. Null: nothing, or the pool is not served. */
  readonly lost: LostData | null;
  /**
   * I8: what the disks of all members that have it failed to read when it was last tried, since the pool was taken into service; a
   * write of the whole chunk heals it. Null: nothing that is known, or the pool is not served.
   */
  readonly unreadable: LostData | null;
  /** The first chunk that is not lost, and that no in-sync member has clean; and who has: IO on it waits. Null: there is none. */
  readonly withoutCleanCopy: { readonly firstChunk: number; readonly holders: string } | null;
  readonly executing: number;
  readonly waiting: number;
  /** When the oldest request that has not ended was submitted, wall clock; null: there is none. */
  readonly oldestIoSinceMs: number | null;
  readonly legs: readonly {
    readonly memberId: number;
    readonly name: string;
    readonly addresses: readonly string[];
    readonly storeUuid: string | null;
    readonly state: LegState;
    readonly reason: string;
    readonly sinceMs: number;
    readonly connected: boolean;
    readonly inSync: boolean;
    readonly maintenance: boolean;
    /** L8: why the member's store can't be what it was; null: nothing of the kind is known. */
    readonly rolledBack: string | null;
    /** What is wrong with the disk of a member that serves, as its node knows, without a subject; null: nothing that it knows of. */
    readonly diskTrouble: string | null;
    readonly inFlight: number;
    /** For how many milliseconds, of the last `withinMs`, it has held up IO that others had answered (L7); null: for too few to count. */
    readonly heldUp: { readonly ms: number; readonly withinMs: number } | null;
    /** Bytes in chunks that the member misses, as far as this client knows; null before the pool was assembled, and for a store that is none of the pool's. */
    readonly dirtyBytes: number | null;
    /** What a leg that is not NORMAL waits for; null for one that is, or is on its way out. */
    readonly waitingFor: WaitingFor | null;
  }[];
}
