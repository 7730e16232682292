// What recovery needs from the pool's client, and what it brings about.
import type { MemberRecord, PoolPolicy, VersionRecord } from '../../../pool-store.ts';
import type { Leg } from '../legs/leg.ts';
import type { Wanted } from '../pool-client-types.ts';
import type { PoolMaps } from '../pool-maps.ts';
import type { VersionMemory } from '../versions/versions.ts';
import type { TakeoverWay } from './takeover.ts';

/** The result of recovery: these legs have recorded this version durably, and are enabled. */
export interface Assembled {
  readonly version: VersionRecord;
  readonly members: readonly MemberRecord[];
  /** The legs of the version's in-sync set. */
  readonly legs: readonly Leg[];
  readonly geometry: {
    readonly sizeBytes: number;
    readonly chunkSizeBytes: number;
    readonly fastPunch: boolean;
    readonly fastZero: boolean;
  };
  readonly policy: PoolPolicy;
  /** Whether the witness has recorded the version, too. */
  readonly witnessRecorded: boolean;
  /** The complete dirty maps of all members. */
  readonly maps: PoolMaps;
  /** Whether every member may have lost data that it had accepted and not flushed. */
  readonly allVolatileLost: boolean;
}

/** What recovery needs, and the functions by which it reports. */
export interface RecoveryOptions {
  readonly poolUuid: string;
  /** The name of the pool, for people. */
  readonly poolName: string;
  /** The number of IO units of this client. A store that was created with fewer is unfit. */
  readonly queueDepth: number;
  /** The UUID of this process, to which members grant epochs. The name of the host is for people. */
  readonly clientInstance: string;
  readonly clientName: string;
  /** The quorum that a pool is born with. */
  readonly quorum: PoolPolicy['quorum'];
  /** What to do about a client that is alive and serves the pool (C4). */
  readonly takeover: TakeoverWay;
  /** The leg of the witness. Null if no witness is known. */
  readonly witness: () => Leg | null;
  /**
   * Called with the member table of the highest version that was heard of. Legs are made for members that the configuration lacks, and
   * legs are led to where the table has their members (L9). Returns whether a leg changed. If one did, the answers so far may have come
   * from the wrong members.
   */
  readonly onMembers: (members: readonly MemberRecord[]) => boolean;
  /** L9: why a leg that answers is not to be believed, as its store or its host is there twice. Empty if nothing of the kind is known. */
  readonly twice: (leg: Leg) => string;
  /** The stray legs that have answered: they lead to where the configuration names members that the pool knows elsewhere (L9). */
  readonly strays: () => readonly Leg[];
  /** What this client knows from serving the pool. Null before it has served it. */
  readonly memory: () => VersionMemory | null;
  /** Called before this version is sent to members: from now on a member may have recorded it (V4). */
  readonly onAttempt: (version: VersionRecord) => void;
  /** Says what recovery waits for until the next attempt, for people. */
  readonly onWaiting: (waiting: Wanted) => void;
  /** Says what the attempt under way waits for. `narrows`: it is a part of what the attempt waited for before. */
  readonly onStep: (step: Wanted, narrows: boolean) => void;
  /**
   * Called when another client was promised a higher epoch than any under which this client was enabled (C3). `by` names that client and
   * the epoch.
   */
  readonly onFenced: (by: string) => void;
  /** Called when the pool is in service. Recovery has ended before the call, and may begin again. */
  readonly onAssembled: (assembled: Assembled) => void;
}
