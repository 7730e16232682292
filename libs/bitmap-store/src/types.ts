import type { DirtyMap } from '@rmr/dirty-map';

/** A place in the in-sync set: the member and the very store it had then. */
export interface InSyncMember {
  readonly memberId: number;
  readonly storeUuid: string;
}

/** The generation of the in-sync set (V1). */
export interface VersionRecord {
  readonly lineageUuid: string;
  readonly epoch: number;
  readonly seq: number;
  readonly inSync: readonly InSyncMember[];
  /** W6. */
  readonly horizon: number;
}

/** The fencing promise (C2); a record of its own (◆1). */
export interface PromiseRecord {
  readonly epoch: number;
  readonly clientInstance: string;
  readonly clientName: string;
}

/**
 * One opening of a store, up to the next one: its *life*. A copy of a store shares the lives before it was made, and has others after
 * that. So lives tell which of two stores with one UUID has gone through what others remember.
 */
export interface StoreLife {
  /** Drawn at random when the store was opened. */
  readonly lifeUuid: string;
  /** The store's age when the life began, and when it ended; null: it goes on. */
  readonly firstAge: number;
  readonly lastAge: number | null;
  /** When the store was opened, wall clock, for people. */
  readonly openedAtMs: number;
}

/**
 * How old a store was in which life, as it has told. Before it told this, it was that old durably, and had every write durably that had
 * been answered before.
 */
export interface StoreMark {
  readonly lifeUuid: string;
  readonly age: number;
}

/** A mark as it is remembered. `atMs`: when it was told, by the client's wall clock, for people. */
export interface SeenMark extends StoreMark {
  readonly atMs: number;
}

/** One entry of the pool's member table. */
export interface MemberRecord {
  readonly memberId: number;
  readonly storeUuid: string;
  readonly name: string;
  readonly addresses: readonly string[];
  /** A witness votes with a version record and has no data. Absent: `data`. */
  readonly role?: 'data' | 'witness' | undefined;
  /** Taken out of IO on purpose: it stays out until an operator lets it back. Absent: it is not. */
  readonly maintenance?: boolean | undefined;
  /** The version with which it has come into the in-sync set. Absent: it is out of it, or came before this was recorded. */
  readonly joined?: { readonly epoch: number; readonly seq: number } | undefined;
  /** The version with which it has left the in-sync set. Absent: it is in it. */
  readonly left?: { readonly epoch: number; readonly seq: number } | undefined;
  /** The newest mark that was heard of its store. Absent: none, since before marks were kept. */
  readonly seen?: SeenMark | undefined;
  /**
   * The version with which the store was accepted anew: it could not show what was known of it, and all of it became dirty. The marks in
   * tables of older versions say nothing of it any more. Absent: that has not happened.
   */
  readonly anew?: { readonly epoch: number; readonly seq: number } | undefined;
}

/** What the members of a pool have agreed upon. */
export interface PoolPolicy {
  /** `majority`: a version counts once a majority of members and witness has recorded it; `none`: the in-sync members suffice. */
  readonly quorum: 'none' | 'majority';
  /** The highest member id that was ever given out: ids are never used again within a pool (0 = none recorded). */
  readonly highestMemberId: number;
  /** Lineages that a forced start has left behind, newest last: a store of one of them never competes by version. At most 16. */
  readonly formerLineages: readonly string[];
}

/** A byte range of the device. */
export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** The newest write that was begun in an IO unit. */
export interface LastIo extends ByteRange {
  readonly ioUnit: number;
  readonly writeSeq: number;
}

/** Ranges of chunks of some members' maps. A range covers every chunk it touches. */
export interface DirtyChange {
  readonly memberIds: readonly number[];
  readonly ranges: readonly ByteRange[];
}

/**
 * A metadata change. All parts become durable together or not at all. Parts that concern the same map are applied in
 * the order erase, replace, clear, add, so that what is both cleared and added stays dirty.
 */
export interface MetadataChange {
  readonly promise?: PromiseRecord;
  readonly version?: VersionRecord;
  readonly members?: readonly MemberRecord[];
  /**
   * Changes the member table as it will be when this change has its turn, after all that was committed before. A table that was computed
   * earlier could take back what a version has brought meanwhile. It returns the same array if nothing changes, and changes marks alone.
   */
  readonly changeMembers?: (members: readonly MemberRecord[]) => readonly MemberRecord[];
  readonly policy?: PoolPolicy;
  /** These members are gone for good: their maps are emptied and their slots are free again. */
  readonly dirtyErase?: readonly number[];
  /** The member's map becomes exactly this one (map spread; V3). The map passes to the store. */
  readonly dirtyReplace?: readonly { readonly memberId: number; readonly map: DirtyMap }[];
  /** Chunks of these ranges become clean. */
  readonly dirtyClear?: readonly DirtyChange[];
  /** Chunks of these ranges become dirty. */
  readonly dirtyAdd?: readonly DirtyChange[];
  /** last_io and the write intent are no longer needed to find suspects, and volatile state is whole again. */
  readonly reconciled?: boolean;
  /** Data that was accepted but not flushed may be gone (L6). */
  readonly volatileLost?: boolean;
  /** True: the client that had made the store's version has ended in order. Holds until another version is recorded. */
  readonly released?: boolean;
  /** True: the change has a record, and so raises the store's age, even if nothing else is changed. */
  readonly ages?: boolean;
}

/** What a store is created with, and keeps for ever. */
export interface StoreParameters {
  readonly storeUuid: string;
  readonly poolUuid: string;
  /** Lineage at creation; the version record has the current one. */
  readonly lineageUuid: string;
  readonly poolName: string;
  readonly memberId: number;
  /** Size of the pool's device in bytes, and so of the data area, but for a witness, which has none. */
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  readonly queueDepth: number;
}
