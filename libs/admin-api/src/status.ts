import { z } from 'zod';
import {
  healthSchema,
  ioCountersSchema,
  memberDirtySchema,
  nodeIdentitySchema,
  sessionStatusSchema,
  versionStatusSchema,
  waitingForSchema,
} from './status-common.ts';
import { ioWaitSchema, resyncStatusSchema, syncLegStatusSchema } from './sync-status.ts';

const timeText = z.string();
const countValue = z.number().int().min(0);

/** A pool's use of a session to one member, seen from the compute client. */
export const legStatusSchema = z.object({
  memberId: z.number().int(),
  /** Name of the storage node. */
  name: z.string(),
  /** Its RTRS addresses, one per path. */
  addresses: z.array(z.string()),
  /** The store behind it; null while it has never answered. */
  storeUuid: z.string().nullable(),
  state: z.enum(['CREATED', 'NORMAL', 'FAILED', 'RECONNECTING', 'REMOVING']),
  /** Why it is in this state; `returning: …` says how far its return to the in-sync set has come. */
  reason: z.string(),
  since: timeText,
  /** Whether there is a session to the storage node. */
  connected: z.boolean(),
  /** Whether the member is in the in-sync set of the pool's version. */
  inSync: z.boolean(),
  /** Whether it was taken out of IO on purpose. */
  maintenance: z.boolean(),
  /** Why the member's store can't be what it was, and what becomes of it, in a sentence; null: nothing of the kind is known. */
  rolledBack: z.string().nullable(),
  /** What is wrong with the disk of a member that serves, or will be soon, as its node has said within the last second; null: nothing that it knows of. */
  diskTrouble: z.string().nullable(),
  /**
   * Bytes in chunks that this member has missed and not pulled yet, as far as this node knows: it asks once a second, so
   * it may say more than is left. Null before the pool was served.
   */
  dirtyBytes: countValue.nullable(),
  inFlight: countValue,
  /** How long, in seconds, of the last `withinSeconds`, it has held up IO that other members had answered (L7); null: too short to count. */
  heldUp: z.object({ seconds: z.number().nonnegative(), withinSeconds: z.number().positive() }).nullable(),
  /** What a leg that is not NORMAL waits for: a session with its address, its return, its next try. */
  waitingFor: waitingForSchema.nullable(),
});
export type LegStatus = z.infer<typeof legStatusSchema>;

/** What a pool on the compute client counts besides its IO, since the start of the process. */
export const clientCountersSchema = z.object({
  /** Reads that were sent to another leg after one failed. */
  readRetries: countValue,
  /** IO that waited for an overlapping one (W1). */
  overlapHolds: countValue,
  /** Requests that a member gave back, to be sent again: for a map update (L4), or after a long wait for a chunk. */
  bounces: countValue,
});

/** How much data can't be read any more, and the first ranges of it, in whole chunks. */
const lostDataSchema = z.object({ bytes: countValue, ranges: z.array(z.object({ offsetBytes: countValue, lengthBytes: countValue })) });

/** A pool on the compute client. */
export const clientPoolStatusSchema = z.object({
  name: z.string(),
  uuid: z.string(),
  /** `SERVING` executes IO; `WAITING` holds it, see `waitingFor`; `STOPPED` refuses it for good (C3), see `reason`. */
  state: z.enum(['SERVING', 'WAITING', 'STOPPED']),
  reason: z.string(),
  since: timeText,
  /** False: no member that answers has ever been in service, and it waits for the order to be created. Null: not known yet. */
  born: z.boolean().nullable(),
  /** Where this node's configuration differs from what the pool has recorded, which counts. `remedy`: what a person can do about it. */
  differences: z.array(z.object({ what: z.string(), remedy: z.string() })),
  /** The client epoch that this node holds; null before the first claim. */
  epoch: countValue.nullable(),
  version: versionStatusSchema.nullable(),
  /** Null while no store has told it. */
  sizeBytes: countValue.nullable(),
  chunkSizeBytes: countValue.nullable(),
  queueDepth: countValue,
  readPolicy: z.enum(['round-robin', 'min-inflight', 'preferred']),
  /** How many members must have recorded a version: those of its in-sync set, or a majority of all besides. */
  quorum: z.enum(['none', 'majority']),
  /** Null: there is none. */
  witness: z
    .object({
      name: z.string(),
      connected: z.boolean(),
      /** Whether it takes part. */
      ready: z.boolean(),
      /** Why it does not; empty when it does. */
      reason: z.string(),
      /** What it waits for while it takes no part, and since when it does not; null when it does. */
      waitingFor: waitingForSchema.nullable(),
    })
    .nullable(),
  /** Whether a version is being recorded, or is about to be: writes and flushes wait for it. */
  versionChangePending: z.boolean(),
  legs: z.array(legStatusSchema),
  io: ioCountersSchema,
  counters: clientCountersSchema,
  /** IO that is held at the moment: by an overlap, a missing permit, or because the pool waits. */
  waitingIo: countValue,
  /** When the oldest IO that has not ended was submitted; null while there is none. */
  oldestIoSince: timeText.nullable(),
  /** What IO of a pool that is served waits for, other than its turn, the longest wait first. */
  waits: z.array(ioWaitSchema),
  /**
   * Data that no member has any more (I8): reads of it fail until its chunks are written whole. `ranges` are the first of it, in order;
   * there is more where they do not add up to `bytes`. Null: nothing is lost, or the pool is not served.
   */
  lost: lostDataSchema.nullable(),
  /**
   * Data that the disks of all members which have it failed to read when it was last tried, since the pool was taken into service
   * (I8): a write of the whole chunk heals it. As `lost`.
   */
  unreadable: lostDataSchema.nullable(),
  /** The first chunk that is not lost and that no in-sync member has clean, and the members that have: IO on it waits. Null: there is none. */
  withoutCleanCopy: z.object({ firstChunk: countValue, holders: z.string() }).nullable(),
  /** Bytes of map adds that would take the last clean copy of a chunk: writes there are not acknowledged yet (V5). */
  owedBytes: countValue,
  /** What a pool that is not served waits for; while it is served, the first of `waits`. */
  waitingFor: waitingForSchema.nullable(),
  health: healthSchema,
});
export type ClientPoolStatus = z.infer<typeof clientPoolStatusSchema>;

/** One NBD connection. */
export const exportConnectionSchema = z.object({
  peer: z.string(),
  since: timeText,
  inFlight: countValue,
});

/** An NBD export. */
export const exportStatusSchema = z.object({
  name: z.string(),
  poolUuid: z.string(),
  sizeBytes: countValue.nullable(),
  readOnly: z.boolean(),
  connections: z.array(exportConnectionSchema),
});
export type ExportStatus = z.infer<typeof exportStatusSchema>;

/** What a client node says of itself. */
export const clientNodeStatusSchema = z.object({
  role: z.literal('client-node'),
  node: nodeIdentitySchema,
  health: healthSchema,
  sessions: z.array(sessionStatusSchema),
  /** Addresses on which NBD clients are served. */
  nbdAddresses: z.array(z.string()),
  pools: z.array(clientPoolStatusSchema),
  exports: z.array(exportStatusSchema),
});
export type ClientNodeStatus = z.infer<typeof clientNodeStatusSchema>;

/** A store of a storage node. */
export const storeStatusSchema = z.object({
  path: z.string(),
  uuid: z.string(),
  state: z.enum(['OPEN', 'MAPPED']),
  /** Size of the data area. */
  sizeBytes: countValue,
  /** True when data that was accepted but never flushed may be gone, until it has been reconciled (L6). */
  volatileLost: z.boolean(),
  /** Bytes in regions that may differ between members after a power loss. */
  intentBytes: countValue,
});
export type StoreStatus = z.infer<typeof storeStatusSchema>;

/** What a pool's member counts besides its IO, since the start of the process. */
export const serverCountersSchema = z.object({
  /** Requests refused: stale epoch, wrong state, bad range. */
  rejected: countValue,
  /** Requests that had to wait for a dirty chunk. */
  chunkWaits: countValue,
  /** Requests that were given back to the client, which sends them again: for a map update (L4), or after a long wait. */
  bounces: countValue,
  /** Writes that left chunks as they were which this member can't take, and others have. */
  passedWrites: countValue,
  /** Reads of other storage nodes for their resync. */
  syncReads: countValue,
  syncReadBytes: countValue,
});

/** A pool's member on this storage node. */
export const serverPoolStatusSchema = z.object({
  name: z.string(),
  uuid: z.string(),
  memberId: z.number().int(),
  state: z.enum(['EMPTY', 'REGISTERED', 'CREATED', 'NORMAL', 'NO_IO']),
  reason: z.string(),
  since: timeText,
  /** The fencing promise (C2); null on a store that no client has claimed. */
  promised: z.object({ epoch: countValue, clientName: z.string(), clientInstance: z.string() }).nullable(),
  version: versionStatusSchema.nullable(),
  chunkSizeBytes: countValue,
  queueDepth: countValue,
  store: storeStatusSchema.nullable(),
  /** Bytes that this store has and every other member with data has missed, as it knows: with it they would be gone. */
  onlyCopyBytes: countValue,
  /** One entry per member of the pool that this store knows. */
  dirty: z.array(memberDirtySchema),
  /** How it pulls what it has missed itself. */
  sync: resyncStatusSchema,
  /** One entry per other member of the pool. */
  syncLegs: z.array(syncLegStatusSchema),
  /** Requests that wait for chunks that are dirty here, or being pulled, by what they wait for. */
  waits: z.array(ioWaitSchema),
  io: ioCountersSchema,
  counters: serverCountersSchema,
  waitingFor: waitingForSchema.nullable(),
  health: healthSchema,
});
export type ServerPoolStatus = z.infer<typeof serverPoolStatusSchema>;

/** A store that a storage node is configured with, open or not. */
export const nodeStoreStatusSchema = z.object({
  path: z.string(),
  /** What it was when it was last open since the start of the process; null when it has not been. */
  uuid: z.string().nullable(),
  pool: z.object({ name: z.string(), uuid: z.string(), memberId: z.number().int() }).nullable(),
  /** `OPEN` and `MAPPED` as in the pool's store; `DETACHED`: it is not open, and its pool is not among `pools`. */
  state: z.enum(['OPEN', 'MAPPED', 'DETACHED']),
  /** Why it is in this state: what was wrong with a detached one when it was last tried. */
  reason: z.string(),
  /** Since when it is open, or detached: attempts in between don't count. */
  since: timeText,
  /** What a detached store waits for: an attempt to open it, or requests that do not end on its disk. */
  waitingFor: waitingForSchema.nullable(),
  /** The space of its file system. Null: it is not open, or is on a device, or nobody can say. */
  space: z
    .object({
      freeBytes: countValue,
      totalBytes: countValue,
      /** What the store would take if all of it was written, beyond what it has. */
      wantedBytes: countValue,
      /** Since when writes that need space have been refused (W8); null: they are not. */
      fullSince: timeText.nullable(),
    })
    .nullable(),
  health: healthSchema,
});
export type NodeStoreStatus = z.infer<typeof nodeStoreStatusSchema>;

/** What a storage node says of itself. */
export const storageNodeStatusSchema = z.object({
  role: z.literal('storage-node'),
  node: nodeIdentitySchema,
  health: healthSchema,
  /** Those of clients and of other storage nodes, and those to other storage nodes. */
  sessions: z.array(sessionStatusSchema),
  /** Addresses on which sessions are accepted. */
  rtrsAddresses: z.array(z.string()),
  /** The pools of the stores that are open. */
  pools: z.array(serverPoolStatusSchema),
  /** Every store that the configuration names. */
  stores: z.array(nodeStoreStatusSchema),
});
export type StorageNodeStatus = z.infer<typeof storageNodeStatusSchema>;

/** What any daemon says of itself. */
export const nodeStatusSchema = z.discriminatedUnion('role', [storageNodeStatusSchema, clientNodeStatusSchema]);
export type NodeStatus = z.infer<typeof nodeStatusSchema>;
