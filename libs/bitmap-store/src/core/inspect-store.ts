import type { DirtyMap } from '@rmr/dirty-map';
import { type Disk, OperationError } from '@rmr/runtime';
import { computeLayout, type Layout } from '../format/layout.ts';
import type { Superblock } from '../format/superblock.ts';
import type { LastIo, MemberRecord, PoolPolicy, PromiseRecord, StoreLife, VersionRecord } from '../types.ts';
import { type ExpectedStore, endsTooEarly, type LoadedStore, loadStore, readSuperblocks } from './load-store.ts';
import { type Procedure, ProcedureRun } from './procedure.ts';

/** Reads a store's metadata without changing the disk. The same errors as opening. */
export function inspectStore(disk: Disk, expected: ExpectedStore, done: (result: StoreInspection | OperationError) => void): void {
  new ProcedureRun(disk, loadStore(disk, expected), (loaded) => done(loaded instanceof OperationError ? loaded : describe(loaded)));
}

/** What the superblocks say of a store. Sizes and offsets in bytes. */
export interface SuperblockInspection {
  /** As it is on the disk. */
  readonly formatVersion: number;
  readonly storeUuid: string;
  readonly poolUuid: string;
  readonly poolName: string;
  readonly memberId: number;
  /** Of the pool's device. The store takes `totalBytes`. */
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  readonly queueDepth: number;
  readonly regionBytes: number;
  readonly journalBytes: number;
  readonly dataOffset: number;
  readonly totalBytes: number;
  readonly createdZeroed: boolean;
  /** The store of a witness: it ends where the data would begin. */
  readonly witness: boolean;
  /** Lineage at creation. */
  readonly lineageUuid: string;
  /** Which superblock copies are damaged, by offset. */
  readonly damagedSuperblocks: readonly number[];
}

/** The metadata of a store, as plain data. Sizes and offsets in bytes. */
export interface StoreInspection extends SuperblockInspection {
  readonly promise: PromiseRecord | null;
  readonly version: VersionRecord | null;
  readonly members: readonly MemberRecord[];
  readonly policy: PoolPolicy;
  /** How many records the journal has had. */
  readonly age: number;
  /** Oldest first. Of a store that is closed the last one ends, or is forgotten, when it is opened again. */
  readonly lives: readonly StoreLife[];
  /** The client that had made the version has ended in order. */
  readonly released: boolean;
  readonly volatileLost: boolean;
  readonly cleanShutdown: boolean;
  readonly bootId: string;
  readonly openCount: number;
  readonly dirty: readonly { readonly memberId: number; readonly chunks: number; readonly digest: string }[];
  readonly intentRegions: number;
  readonly intentOverflow: boolean;
  readonly lastIo: readonly LastIo[];
  /** Journal records that are not in the home areas yet. */
  readonly journalRecords: number;
}

/**
 * Reads the superblocks alone, without changing the disk: enough to say whose store it is, at the price of two pages. Errors:
 * STORE_NOT_FORMATTED, STORE_VERSION_UNKNOWN, STORE_DAMAGED, STORE_TOO_SMALL. What lies behind the superblocks may be damaged all the same.
 */
export function inspectSuperblocks(disk: Disk, label: string, done: (result: SuperblockInspection | OperationError) => void): void {
  new ProcedureRun(disk, lookAtSuperblocks(disk, label), done);
}

function* lookAtSuperblocks(disk: Disk, label: string): Procedure<SuperblockInspection | OperationError> {
  const found = yield* readSuperblocks(disk, { label });
  if (found instanceof OperationError) return found;
  const layout = computeLayout(found.superblock);
  return endsTooEarly(disk, label, layout) ?? describeSuperblock(found.superblock, layout, found.damaged);
}

function describe({ superblock, layout, state, ring, lastIo, damagedSuperblocks }: LoadedStore): StoreInspection {
  const dirty: { memberId: number; chunks: number; digest: string }[] = [];
  for (const [slot, memberId] of state.slotMembers.entries()) {
    if (memberId < 0) continue;
    const map = state.maps[slot] as DirtyMap;
    dirty.push({ memberId, chunks: map.dirtyCount, digest: map.digest() });
  }
  return {
    ...describeSuperblock(superblock, layout, damagedSuperblocks),
    promise: state.promise,
    version: state.version,
    members: state.members,
    policy: state.policy,
    age: ring.nextSequence - 1,
    lives: state.lives.all,
    ...state.usage,
    dirty,
    intentRegions: state.intent.activeCount,
    intentOverflow: state.intent.overflowed,
    lastIo: lastIo.entries(),
    journalRecords: ring.nextSequence - ring.tailSequence,
  };
}

function describeSuperblock(superblock: Superblock, layout: Layout, damagedSuperblocks: readonly number[]): SuperblockInspection {
  return {
    formatVersion: superblock.formatVersion,
    storeUuid: superblock.storeUuid,
    poolUuid: superblock.poolUuid,
    poolName: superblock.poolName,
    memberId: superblock.memberId,
    sizeBytes: layout.sizeBytes,
    chunkSizeBytes: layout.chunkSizeBytes,
    queueDepth: layout.queueDepth,
    regionBytes: layout.regionBytes,
    journalBytes: layout.journalBytes,
    dataOffset: layout.dataOffset,
    totalBytes: layout.totalBytes,
    createdZeroed: superblock.createdZeroed,
    witness: superblock.witness,
    lineageUuid: superblock.lineageUuid,
    damagedSuperblocks,
  };
}
