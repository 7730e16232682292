import { z } from 'zod';

const countValue = z.number().int().min(0);

/** The resync of a member: how it pulls from the others what it has missed. */
export const resyncStatusSchema = z.object({
  /**
   * `IDLE`: nothing is left to pull, or the member is not NORMAL. `RUNNING`: it pulls. `PAUSED`: an operator has paused it, and it pulls
   * only chunks that IO waits for. `FAILED`: the last pull failed, and will be tried again.
   */
  state: z.enum(['IDLE', 'RUNNING', 'PAUSED', 'FAILED']),
  /** Since when resync has been in this state. */
  since: z.string(),
  /** Bytes in chunks that this member has missed and not pulled yet. */
  bytesLeft: countValue,
  /** Bytes pulled per second, over the last seconds; 0 while resync stands still. */
  bytesPerSecond: countValue,
  /** Seconds until nothing is left, at this rate. Null: resync stands still, has just begun, or has nothing to do. */
  etaSeconds: countValue.nullable(),
  /** The members that this member reads from at the moment. */
  sources: z.array(z.object({ memberId: z.number().int(), name: z.string() })),
  /** Why resync stands still although bytes are left; empty while it goes on, or has nothing to do. */
  reason: z.string(),
  /** What a person can do so that resync goes on. Absent: this node knows of nothing. */
  remedy: z.string().optional(),
  /** Bytes pulled since the start of the process. */
  pulledBytes: countValue,
  /** Missed bytes that the member's disk failed to take at the last attempt. Other members have them, and IO passes them by (W10). */
  refusedBytes: countValue,
  /** Where these bytes lie on the device: the first ranges, in order. Adjoining ranges are merged. */
  refusedRanges: z.array(z.object({ offsetBytes: countValue, lengthBytes: countValue })),
  /** Whether an operator has paused resync. */
  paused: z.boolean(),
  /** The limit that an operator has set for the resync of this volume, within that of the storage node. Null: there is none. */
  limitBytesPerSecond: countValue.nullable(),
});
export type ResyncStatus = z.infer<typeof resyncStatusSchema>;

/** A sync leg: a storage node's way to another member of a pool. It carries reads of resync, and questions about dirty maps. */
export const syncLegStatusSchema = z.object({
  memberId: z.number().int(),
  /** Name of the storage node. */
  name: z.string(),
  addresses: z.array(z.string()),
  /** Whether the other member is in the in-sync set. Nothing is read from a member that is not (R1). */
  inSync: z.boolean(),
  /** Whether there is a session. It is opened when this node wants to pull from the member or to ask it something. */
  connected: z.boolean(),
  /** Whether this node can send reads to the member. */
  ready: z.boolean(),
  /** Reads that were sent to the member and are not answered yet. */
  inFlight: countValue,
  /** Why this node can't read from the member; empty when it can. */
  reason: z.string(),
});
export type SyncLegStatus = z.infer<typeof syncLegStatusSchema>;

/** Requests that wait for more than their turn. */
export const ioWaitSchema = z.object({
  /**
   * The kind of thing that the requests wait for.
   *
   * - `VERSION`: members have to record a version.
   * - `QUORUM`: too few members are there to record a version, or, for reads, to answer that they still serve this client.
   * - `MAP_UPDATE`: a member that returns has to get the dirty maps (L4).
   * - `CHUNK`: dirty chunks have to become clean.
   * - `FLUSH`: the same, for flushes: the only clean copy of a chunk may not be durable (◆8).
   * - `OWED`: writes would take the last clean copy of their chunks if they were acknowledged now (V5).
   * - `SESSION`: the session to a storage node has no free place, because the node does not answer its requests.
   * - `LEG`: a member has to answer requests of this pool.
   */
  kind: z.enum(['VERSION', 'QUORUM', 'MAP_UPDATE', 'CHUNK', 'FLUSH', 'OWED', 'SESSION', 'LEG']),
  /** What the requests wait for, in words. The text names the member. */
  what: z.string(),
  /** When the oldest of these requests came. */
  since: z.string(),
  /** How many requests wait. 0: none waits now, and any that came would. */
  requests: countValue,
  /** What a person can do about it. Absent: this node knows of nothing. */
  remedy: z.string().optional(),
});
export type IoWait = z.infer<typeof ioWaitSchema>;
