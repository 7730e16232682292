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

/** A leg: the client's way to one member of a pool, as the client node sees it. */
export const legStatusSchema = z.object({
  memberId: z.number().int(),
  /** Name of the storage node. */
  name: z.string(),
  /** Its RTRS addresses, one per path. */
  addresses: z.array(z.string()),
  /** The UUID of the member's store; null until the member has answered for the first time. */
  storeUuid: z.string().nullable(),
  state: z.enum(['CREATED', 'NORMAL', 'FAILED', 'RECONNECTING', 'REMOVING']),
  /** Why the leg is in this state. `returning: …` says how far its return to the in-sync set has come. */
  reason: z.string(),
  since: timeText,
  /** Whether there is a session to the storage node. */
  connected: z.boolean(),
  /** Whether the member is in the in-sync set of the pool's version. */
  inSync: z.boolean(),
  /** Whether the member is in maintenance: it was taken out of the in-sync set on purpose. */
  maintenance: z.boolean(),
  /** One sentence: why the member's store can't be what it was, and what happens with it now. Null: the store is not known to be rolled back. */
  rolledBack: z.string().nullable(),
  /**
   * What is wrong with the disk of a serving member, or will be wrong soon. The member's node says so once a second. Null: the node knows
   * of nothing.
   */
  diskTrouble: z.string().nullable(),
  /**
   * Bytes in chunks that this member has missed and not pulled yet. This node asks once a second, so fewer may be left by now. Null
   * before the pool was served.
   */
  dirtyBytes: countValue.nullable(),
  inFlight: countValue,
  /**
   * For how many `seconds` of the last `withinSeconds` this leg has held up IO that other members had answered (L7). Null: for too short
   * a time to count.
   */
  heldUp: z.object({ seconds: z.number().nonnegative(), withinSeconds: z.number().positive() }).nullable(),
  /** What a leg that is not NORMAL waits for: a session (the text has the address), its return, or its next try. */
  waitingFor: waitingForSchema.nullable(),
});
export type LegStatus = z.infer<typeof legStatusSchema>;

/** Further counters of a pool on the client node, since the start of the process. */
export const clientCountersSchema = z.object({
  /** Reads that were sent to another leg after one failed. */
  readRetries: countValue,
  /** IOs that waited for an overlapping one (W1). */
  overlapHolds: countValue,
  /** Requests that a member bounced. The client sends them again. A member bounces for a map update (L4), or after a long wait for a chunk. */
  bounces: countValue,
});

/** Data that can't be read any more: how many bytes, and the first ranges. Ranges are whole chunks. */
const lostDataSchema = z.object({ bytes: countValue, ranges: z.array(z.object({ offsetBytes: countValue, lengthBytes: countValue })) });

/** A pool on the client node. */
export const clientPoolStatusSchema = z.object({
  name: z.string(),
  uuid: z.string(),
  /** `SERVING`: IO is executed. `WAITING`: IO is held, and `waitingFor` says why. `STOPPED`: IO is refused for good (C3), and `reason` says why. */
  state: z.enum(['SERVING', 'WAITING', 'STOPPED']),
  reason: z.string(),
  since: timeText,
  /** False: no member that answers has ever been in service, and the pool waits for the order to create it. Null: not known yet. */
  born: z.boolean().nullable(),
  /** Where this node's configuration differs from the pool's own records. The records count. `remedy` says what a person can do about it. */
  differences: z.array(z.object({ what: z.string(), remedy: z.string() })),
  /** The client epoch that this node holds; null before the first claim. */
  epoch: countValue.nullable(),
  version: versionStatusSchema.nullable(),
  /** The size of the device. Null until a store has told it. */
  sizeBytes: countValue.nullable(),
  chunkSizeBytes: countValue.nullable(),
  queueDepth: countValue,
  readPolicy: z.enum(['round-robin', 'min-inflight', 'preferred']),
  /** The members that must have recorded a version. `none`: those of its in-sync set. `majority`: these, and most members of the pool, witness included. */
  quorum: z.enum(['none', 'majority']),
  /** The witness. Null: the pool has none. */
  witness: z
    .object({
      name: z.string(),
      connected: z.boolean(),
      /** Whether the witness takes part in votes. */
      ready: z.boolean(),
      /** Why the witness takes no part; empty when it takes part. */
      reason: z.string(),
      /** What the witness waits for, and since when it takes no part; null when it takes part. */
      waitingFor: waitingForSchema.nullable(),
    })
    .nullable(),
  /** Whether a version is being recorded, or is about to be. Writes and flushes wait for it. */
  versionChangePending: z.boolean(),
  legs: z.array(legStatusSchema),
  io: ioCountersSchema,
  counters: clientCountersSchema,
  /** IOs that are held at the moment: by an overlapping IO, for lack of a permit, or because the pool waits. */
  waitingIo: countValue,
  /** When the oldest IO in flight was submitted; null while no IO is in flight. */
  oldestIoSince: timeText.nullable(),
  /** What IO of a served pool waits for, other than its turn. The longest wait comes first. */
  waits: z.array(ioWaitSchema),
  /**
   * LOST data, which no member has any more (I8). Reads of it fail until its chunks are written whole. `ranges` has the first ranges, in
   * order. When their lengths add up to less than `bytes`, there are more. Null: nothing is lost, or the pool is not served.
   */
  lost: lostDataSchema.nullable(),
  /**
   * Data that some members have, and that none of their disks could read at the last attempt since the pool was taken into service (I8).
   * A write of the whole chunk heals it. The fields are as in `lost`.
   */
  unreadable: lostDataSchema.nullable(),
  /**
   * The first chunk that only members out of the in-sync set have clean, and these members (`holders`). IO on the chunk waits. Null: there
   * is no such chunk.
   */
  withoutCleanCopy: z.object({ firstChunk: countValue, holders: z.string() }).nullable(),
  /** Bytes of owed map adds: they would take the last clean copy of a chunk, so writes there are not acknowledged yet (V5). */
  owedBytes: countValue,
  /** What a pool that is not served waits for. For a served pool, it is the first of `waits`. */
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

/** The status of a client node. */
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

/** An open store of a storage node. */
export const storeStatusSchema = z.object({
  path: z.string(),
  uuid: z.string(),
  state: z.enum(['OPEN', 'MAPPED']),
  /** Size of the data area. */
  sizeBytes: countValue,
  /** True when data that was accepted and never flushed may be gone. It stays true until the pool has been reconciled (L6). */
  volatileLost: z.boolean(),
  /** Bytes in regions that may differ between members after a power loss. */
  intentBytes: countValue,
});
export type StoreStatus = z.infer<typeof storeStatusSchema>;

/** Further counters of a pool's member on a storage node, since the start of the process. */
export const serverCountersSchema = z.object({
  /** Requests that were refused, for a stale epoch, a wrong state or a bad range. */
  rejected: countValue,
  /** Requests that had to wait for a dirty chunk. */
  chunkWaits: countValue,
  /** Requests that this member bounced, for a map update (L4) or after a long wait for a chunk. The client sends them again. */
  bounces: countValue,
  /** Writes that passed by dirty chunks (W10): this member can't take these chunks, and others have them. */
  passedWrites: countValue,
  /** Reads that other storage nodes sent for their resync. */
  syncReads: countValue,
  syncReadBytes: countValue,
});

/** A pool's member on a storage node. */
export const serverPoolStatusSchema = z.object({
  name: z.string(),
  uuid: z.string(),
  memberId: z.number().int(),
  state: z.enum(['EMPTY', 'REGISTERED', 'CREATED', 'NORMAL', 'NO_IO']),
  reason: z.string(),
  since: timeText,
  /** The newest promise of the member (C2): the epoch, and the client that it belongs to. Null: no client has claimed the store yet. */
  promised: z.object({ epoch: countValue, clientName: z.string(), clientInstance: z.string() }).nullable(),
  version: versionStatusSchema.nullable(),
  chunkSizeBytes: countValue,
  queueDepth: countValue,
  store: storeStatusSchema.nullable(),
  /** Bytes that every other member with data has missed, as far as this store knows. They would be gone with this store. */
  onlyCopyBytes: countValue,
  /** One entry per member of the pool that this store knows. */
  dirty: z.array(memberDirtySchema),
  /** The member's own resync. */
  sync: resyncStatusSchema,
  /** One entry per other member of the pool. */
  syncLegs: z.array(syncLegStatusSchema),
  /** Requests that wait for chunks which are dirty here or are being pulled, grouped by what they wait for. */
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
  /** The UUID of the store when it was last open. Null: it has not been open since the start of the process. */
  uuid: z.string().nullable(),
  pool: z.object({ name: z.string(), uuid: z.string(), memberId: z.number().int() }).nullable(),
  /** `OPEN` and `MAPPED` as in a pool's `store`. `DETACHED`: the store is not open, and its pool is not listed in `pools`. */
  state: z.enum(['OPEN', 'MAPPED', 'DETACHED']),
  /** Why the store is in this state. For a detached store: why the last attempt to open it failed. */
  reason: z.string(),
  /** Since when the store has been open, or detached. A failed attempt to open it does not change this time. */
  since: timeText,
  /** What a detached store waits for: the next attempt to open it, or the end of requests that its disk has not answered. */
  waitingFor: waitingForSchema.nullable(),
  /** The space of the store's file system. Null: the store is not open, or is on a block device, or its space is not known. */
  space: z
    .object({
      freeBytes: countValue,
      totalBytes: countValue,
      /** Bytes that the store would still take if all of it was written. */
      wantedBytes: countValue,
      /** Since when the store has refused writes that need space (W8); null: it refuses none. */
      fullSince: timeText.nullable(),
    })
    .nullable(),
  health: healthSchema,
});
export type NodeStoreStatus = z.infer<typeof nodeStoreStatusSchema>;

/** The status of a storage node. */
export const storageNodeStatusSchema = z.object({
  role: z.literal('storage-node'),
  node: nodeIdentitySchema,
  health: healthSchema,
  /** Sessions that clients and other storage nodes have opened here, and those that this node has opened to other storage nodes. */
  sessions: z.array(sessionStatusSchema),
  /** Addresses on which sessions are accepted. */
  rtrsAddresses: z.array(z.string()),
  /** The pools of the stores that are open. */
  pools: z.array(serverPoolStatusSchema),
  /** Every store that the configuration names. */
  stores: z.array(nodeStoreStatusSchema),
});
export type StorageNodeStatus = z.infer<typeof storageNodeStatusSchema>;

/** The status of either kind of daemon. */
export const nodeStatusSchema = z.discriminatedUnion('role', [storageNodeStatusSchema, clientNodeStatusSchema]);
export type NodeStatus = z.infer<typeof nodeStatusSchema>;
