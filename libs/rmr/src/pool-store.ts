import type { DirtyMap } from '@rmr/dirty-map';
import type { DiskExtent, DiskFeatures, DiskSink, DiskSpace } from '@rmr/runtime';

/**
 * A pool member's backing store, as RMR-server sees it. BRMR-server implements and registers it. Data-path calls are
 * queued during a turn and started by {@link submit}; they end through the sink with the caller's tag and a `Status`,
 * never from within the call. Offsets are in bytes of the device.
 *
 * Order that `submit` keeps (W3): every `lastIo` entry recorded in this turn is in the kernel's hands before any data
 * of this turn is.
 *
 * A write or zero that ends with ENOSPC has changed nothing. `through`: past all caches, see `Disk`.
 */
export interface PoolStore {
  readonly identity: StoreIdentity;
  readonly features: DiskFeatures;
  readonly promise: PromiseRecord | null;
  readonly version: VersionRecord | null;
  readonly members: readonly MemberRecord[];
  /** Quorum `none`, no member id and no former lineage until another policy is committed. A commit replaces it as a whole. */
  readonly policy: PoolPolicy;
  /** The store's age: how many records its journal has had. Durable, and only ever grows; it is raised by every commit and every opening. */
  readonly age: number;
  /** The lives of the store, the present one last. Of the former ones the newest that were told to a client, at most 32 in all. */
  readonly lives: readonly StoreLife[];
  /**
   * Whether the client that made the store's version has ended in order: it made no further version, and every write had ended and was
   * durable here. It stays true until another version is recorded.
   */
  readonly released: boolean;
  /**
   * The age of the newest record that vouches for data which no earlier record vouches for, whatever the record was made for. 0: there
   * was none since the store was opened. If a member was told a lower age only, a copy without that data could pass for this store.
   */
  readonly dataAge: number;
  /** Data was changed since the change that raised the age last was begun; and somebody has asked for a flush since. */
  readonly changedSinceAged: boolean;
  readonly flushedSinceAged: boolean;
  /** True after a power loss without clean shutdown, a failed flush, or any other reason to doubt unflushed data; until `reconciled`. */
  readonly volatileLost: boolean;
  /**
   * A flush failed, or the disk was away, and the host has not been down since: what can be read may be in the page cache
   * alone, where no later flush finds it. Until `reconciled`.
   */
  readonly cacheDoubtful: boolean;
  /**
   * The pool sets this. It is called when a flush of the disk has failed, whatever the flush was for, before anything else hears of it.
   * `volatileLost` is true from then on: the next flush may succeed, and vouches for nothing.
   */
  onDoubt: () => void;
  /**
   * The pool sets this: a flush of the disk has failed, and a cache may take what the disk can't keep. What is pulled, and what replaces a
   * dirty chunk, is written through then (W10).
   */
  careful: boolean;
  /**
   * True once the store's journal is broken: every commit, every prepared write that has to become durable, and every
   * flush ends with EIO until the store is opened anew. Reads go on.
   */
  readonly failed: boolean;
  /** The free space on what the store is kept on. Null: the store needs no further space, or that is not known. */
  readonly space: DiskSpace | null;

  read(offsetBytes: number, target: Uint8Array, tag: number, sink: DiskSink): void;
  write(offsetBytes: number, source: Uint8Array, tag: number, sink: DiskSink, through?: boolean): void;
  punch(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through?: boolean): void;
  zero(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through?: boolean): void;
  /**
   * Asks for the space that a write or zero of the range needs (W3): see `Disk.reserve`. False: the sink is told, with ENOSPC where there is none,
   * and nothing has been changed then.
   */
  reserve(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): boolean;
  /** Makes every data change that has ended durable. It allows write-intent regions whose newest write is resolved to leave (W7), soon or later. */
  flush(tag: number, sink: DiskSink): void;
  submit(): void;
  extents(offsetBytes: number, lengthBytes: number, done: (status: number, extents: readonly DiskExtent[]) => void): void;

  /** Records the newest write of an IO unit; survives the process, not the host (◆2 ◆3). */
  recordLastIo(ioUnit: number, writeSeq: number, offsetBytes: number, lengthBytes: number): void;
  lastIo(): readonly LastIo[];
  /** The entries of `lastIo` that touch the range and are not known to be resolved on all legs (W7). Usually there are none. */
  unresolvedWrites(offsetBytes: number, lengthBytes: number): readonly LastIo[];

  /**
   * Before data of a write may be submitted: its regions are in the write intent, durably (◆4), and its chunks are
   * durably dirty for `missingMemberIds` (first `missingCount` entries; I6). True when that is so already: the write
   * goes on at once and nothing is called. False: the sink is called when it has become so; concurrent calls share a commit.
   */
  prepareWrite(
    offsetBytes: number,
    lengthBytes: number,
    writeSeq: number,
    missingMemberIds: Uint8Array,
    missingCount: number,
    tag: number,
    sink: DiskSink,
  ): boolean;
  /** Every write up to this sequence number is resolved on all legs (W7). */
  setCompletedThrough(writeSeq: number): void;
  /** The regions that may differ after a power loss. */
  intentRanges(): readonly ByteRange[];

  /** Bytes in chunks that are dirty for the member. */
  dirtyBytes(memberId: number): number;
  /** The member's dirty map as it is durable, to read only; null = all clean. It changes with commits and prepared writes: hold it for a turn at most. */
  dirtyMap(memberId: number): DirtyMap | null;
  /** The members that have a dirty map, be there dirty chunks in it or not. */
  mappedMemberIds(): readonly number[];

  /** Durable when `done(Status.OK)` is called; commits are applied in the order of the calls. EINVAL: never acceptable, as a clear of half a chunk. ENOSPC: maps of too many members. EIO: the disk. */
  commit(change: MetadataChange, done: (status: number) => void): void;
  /** Waits for what is in flight, flushes, records a clean shutdown, and closes. */
  close(done: (status: number) => void): void;
}

/** A place in the in-sync set: the member and the very store it had then. */
export interface InSyncMember {
  readonly memberId: number;
  readonly storeUuid: string;
}

/**
 * The generation of the in-sync set. Ordered by `(epoch, seq)` within one lineage (V1); a sequence number is never
 * reused for another set.
 */
export interface VersionRecord {
  readonly lineageUuid: string;
  /** The client epoch under which the record was made, from 1. */
  readonly epoch: number;
  /** Counts records within the epoch, from 1. */
  readonly seq: number;
  readonly inSync: readonly InSyncMember[];
  /** Writes stamped with an older version are acceptable up to this write sequence number (W6). */
  readonly horizon: number;
}

/** The fencing promise: nothing of a lower epoch is served any more (C2). Kept apart from the version (◆1). */
export interface PromiseRecord {
  readonly epoch: number;
  /** UUID of the client process that was granted the epoch. */
  readonly clientInstance: string;
  /** Host name of that client, for people. */
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

/** One entry of the pool's member table, as kept in the pool metadata of every member. */
export interface MemberRecord {
  readonly memberId: number;
  readonly storeUuid: string;
  /** Name of the storage node, for people. */
  readonly name: string;
  /** RTRS addresses, one per path. */
  readonly addresses: readonly string[];
  /** A witness votes with a version record and has no data. Absent: `data`. */
  readonly role?: 'data' | 'witness' | undefined;
  /** Taken out of the set on purpose. The member stays out until an operator lets it return. Absent: it is not. */
  readonly maintenance?: boolean | undefined;
  /** The version with which the member came into the in-sync set. Absent: it is out of the set, or came before this was recorded. */
  readonly joined?: { readonly epoch: number; readonly seq: number } | undefined;
  /** The version with which the member left the in-sync set. Absent: it is in the set. */
  readonly left?: { readonly epoch: number; readonly seq: number } | undefined;
  /** The newest mark that was heard of its store. Absent: none, since before marks were kept. */
  readonly seen?: SeenMark | undefined;
  /**
   * The version with which the store was accepted anew: it could not show what was known of it, and all of it became dirty. The marks in
   * tables of older versions say nothing of it any more. Absent: that has not happened.
   */
  readonly anew?: { readonly epoch: number; readonly seq: number } | undefined;
}

/** The policy of a pool, on which its members have agreed. */
export interface PoolPolicy {
  /** `majority`: a version counts once a majority of members and witness has recorded it; `none`: the in-sync members suffice. */
  readonly quorum: 'none' | 'majority';
  /** The highest member id that was ever given out: ids are never used again within a pool (0 = none recorded). */
  readonly highestMemberId: number;
  /** Lineages that forced starts have left behind, the newest last, at most 16. A store of one of them never competes by version. */
  readonly formerLineages: readonly string[];
}

/** What never changes in a store's life. */
export interface StoreIdentity {
  readonly storeUuid: string;
  readonly poolUuid: string;
  readonly poolName: string;
  readonly memberId: number;
  /** Size of the pool's device in bytes, and so of the data area, but for a witness, which has none. */
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  /** IO units of the pool: the length of the `lastIo` array. */
  readonly queueDepth: number;
  /** True when the data area was proven to read as zeroes when the store was created. */
  readonly createdZeroed: boolean;
  /** Present and true for a witness: a store without data area. The data-path calls are not for it; flushes and everything about metadata are. */
  readonly witness?: true;
}

/** A byte range of the device. */
export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** One entry of `lastIo`: the newest write that was begun in an IO unit. */
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
  /** These members are gone for good: their maps are emptied and their place is free for others. */
  readonly dirtyErase?: readonly number[];
  /** The member's map becomes exactly this one (map spread; V3). The map passes to the store. A caller that goes on using it gives a clone. */
  readonly dirtyReplace?: readonly { readonly memberId: number; readonly map: DirtyMap }[];
  /** Chunks of these ranges, which are whole chunks, become clean. */
  readonly dirtyClear?: readonly DirtyChange[];
  /** Chunks of these ranges become dirty. */
  readonly dirtyAdd?: readonly DirtyChange[];
  /** True: `lastIo` and the write intent are no longer needed, and volatile state is whole again (after reconciliation). */
  readonly reconciled?: boolean;
  /** True: data that was accepted but not flushed may be gone (L6). */
  readonly volatileLost?: boolean;
  /** True: the client that had made the store's version has ended in order (see `PoolStore.released`). */
  readonly released?: boolean;
  /** True: the change has a record, and so raises the store's age, even if nothing else is changed. */
  readonly ages?: boolean;
}
