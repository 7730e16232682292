import type { MemberRecord, PoolPolicy, VersionRecord } from '../../pool-store.ts';
import type { LegState } from '../../states.ts';
import type { HandoverWish } from '../../wire/control-message.ts';
import type { ReadPolicyName } from './io/read-policy.ts';
import type { MemberAddress } from './legs/leg.ts';
import type { Difference } from './membership/differences.ts';
import type { LostData } from './pool-maps.ts';
import type { TakeoverWay } from './recovery/takeover.ts';
import type { PoolWait } from './status/pool-waits.ts';

/** What a pool is served with. */
export interface PoolClientOptions {
  readonly poolUuid: string;
  readonly poolName: string;
  readonly members: readonly MemberAddress[];
  readonly readPolicy?: ReadPolicyName;
  /** The id of the member that the read policy `preferred` prefers. */
  readonly preferredMemberId?: number;
  /** The number of IO units. The stores were created with a number that it must not exceed. */
  readonly queueDepth?: number;
  /** Milliseconds after which an IO without a usable leg fails with EIO. Null: it waits for ever, as a disk would hang. */
  readonly ioTimeoutMs?: number | null;
  /** Milliseconds after which a leg that has not answered an IO leaves the set (L7). */
  readonly legTimeoutMs?: number;
  /**
   * L7: a leg also leaves if it holds up IO for a third of the time of IO within `legSlowForMs` milliseconds. It holds up IO if it takes
   * `legSlowFactor` times as long as its peers, or answers nothing for a second and more. Null: no leg leaves for that.
   */
  readonly legSlowFactor?: number | null;
  readonly legSlowForMs?: number;
  /** The longest time, in milliseconds, that the return of a member holds up IO because that member does not answer (L4). */
  readonly legReturnHoldMs?: number;
  /** The longest time, in milliseconds, that a leg waits before its return is tried after it has left for its own fault (L7). */
  readonly legReturnDelayMsMax?: number;
  /**
   * The witness, and the quorum with which the pool is created (`none` unless given). Afterwards both are in the pool's metadata, and
   * the metadata counts (L9).
   */
  readonly witness?: MemberAddress;
  readonly quorum?: PoolPolicy['quorum'];
  /** What to do about a client that is alive and serves the pool (C4). Absent: it is waited for. See {@link PoolClient.takeOver}. */
  readonly takeover?: TakeoverWay;
  /**
   * C4: another client asks for the pool. Called each second while it does. Returns why it does not get the pool; empty: the pool is
   * being stopped in order, and the other client gets it then. Absent: no pool is handed over.
   */
  readonly onAsked?: (wish: HandoverWish) => string;
}

/**
 * What a pool client does. `RECOVERING`: no leg is NORMAL, IO waits. `SERVING`: at least one leg is NORMAL. `FENCED`: a newer client was
 * granted the pool; this state is final (C3). `STOPPING`: the client is ending. `STOPPED`: it has ended.
 */
export type PoolClientState = 'RECOVERING' | 'SERVING' | 'FENCED' | 'STOPPING' | 'STOPPED';

/** Geometry and abilities of the pool. They are known once the pool was assembled. */
export interface PoolGeometry {
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  /** Every member frees space at the cost of a metadata update. */
  readonly fastPunch: boolean;
  /** Every member can zero a range without moving data. */
  readonly fastZero: boolean;
}

/** Something that has to happen before the pool goes on, for people. */
export interface Wanted {
  readonly what: string;
  /** What a person can do about it. Absent if nothing is known that would help. */
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
  /** Whether a version is being recorded, or is about to be. IO that changes data waits meanwhile. */
  readonly versionChangePending: boolean;
  readonly policy: PoolPolicy;
  /** The member table, witness included. Empty until the pool is served for the first time. */
  readonly members: readonly MemberRecord[];
  /** L9: where this node's configuration differs from what the pool has recorded. Also empty while nothing is known of the pool. */
  readonly differences: readonly Difference[];
  /**
   * C0: whether the pool exists. False: no member that answers was ever in service, and nobody has ordered the pool to be created. Null:
   * not known yet.
   */
  readonly born: boolean | null;
  readonly witness: {
    readonly name: string;
    readonly connected: boolean;
    readonly ready: boolean;
    readonly problem: string;
    /** What the witness waits for, and since when, while it takes no part. Null if it takes part. */
    readonly waitingFor: WaitingFor | null;
  } | null;
  /** Bytes of map adds that are owed (V5): they wait for a clean copy elsewhere, and writes there are not acknowledged. */
  readonly owedBytes: number;
  readonly geometry: PoolGeometry | null;
  readonly waitingFor: WaitingFor | null;
  /** What IO waits for besides its turn, the oldest first. Empty while the pool is not served. */
  readonly waits: readonly PoolWait[];
  /**
   * I8: the LOST chunks, which no member has any more. Reads of them fail until they are written whole. Null if there are none, or the
   * pool is not served.
   */
  readonly lost: LostData | null;
  /**
   * I8: the chunks that the disks of all members that have them failed to read at the last attempt since the pool was taken into
   * service. A write of the whole chunk heals it. Null if none are known, or the pool is not served.
   */
  readonly unreadable: LostData | null;
  /**
   * The first chunk that is not LOST and that no in-sync member has clean, and the members that have it. IO on it waits. Null if there
   * is none.
   */
  readonly withoutCleanCopy: { readonly firstChunk: number; readonly holders: string } | null;
  readonly executing: number;
  readonly waiting: number;
  /** When the oldest request that has not ended was submitted, wall clock. Null if there is none. */
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
    /** L8: a sentence that says why the member's store went back in time. Null if it did not. */
    readonly rolledBack: string | null;
    /**
     * What is wrong with the disk of a member that serves, in the words of its node, without a subject. Null if the node knows of
     * nothing.
     */
    readonly diskTrouble: string | null;
    readonly inFlight: number;
    /**
     * L7: for how many milliseconds of the last `withinMs` the member held up IO that others had answered. Null if it is too few to
     * count.
     */
    readonly heldUp: { readonly ms: number; readonly withinMs: number } | null;
    /**
     * Bytes in chunks that are dirty for the member, as far as this client knows. Null before the pool was assembled, and for a store
     * that is not the pool's.
     */
    readonly dirtyBytes: number | null;
    /** What a leg that is not NORMAL waits for. Null for a leg that is NORMAL or is being removed. */
    readonly waitingFor: WaitingFor | null;
  }[];
}
