import { z } from 'zod';

const countValue = z.number().int().min(0);

/** How a member pulls what it has missed from the others. */
export const resyncStatusSchema = z.object({
  /**
   * `IDLE`: nothing is left to pull, or the member is not NORMAL. `RUNNING`. `PAUSED`: by an operator; only what IO waits
   * for is pulled. `FAILED`: the last pull failed, and is tried again.
   */
  state: z.enum(['IDLE', 'RUNNING', 'PAUSED', 'FAILED']),
  /** Since when it is in this state. */
  since: z.string(),
  /** Bytes in chunks that this member has missed and not pulled yet. */
  bytesLeft: countValue,
  /** Bytes pulled per second, over the last seconds; 0 while it stands still. */
  bytesPerSecond: countValue,
  /** Seconds until nothing is left, at this rate; null while it stands still, has just begun, or has nothing to do. */
  etaSeconds: countValue.nullable(),
  /** Members that it reads from at the moment. */
  sources: z.array(z.object({ memberId: z.number().int(), name: z.string() })),
  /** Why it stands still although bytes are left; empty while it does not. */
  reason: z.string(),
  /** What a person can do so that it goes on; absent: nothing, as far as this node knows. */
  remedy: z.string().optional(),
  /** Bytes pulled since the start of the process. */
  pulledBytes: countValue,
  /** Bytes of what the member has missed that its disk failed to take when that was tried last. Other members have them, and IO passes them by. */
  refusedBytes: countValue,
  /** Where they lie on the device, in order; the first ranges. Neighbours are merged. */
  refusedRanges: z.array(z.object({ offsetBytes: countValue, lengthBytes: countValue })),
  /** Bytes that the disk fails to keep, of which this member may have the only copy, in memory (W10); and where they lie, as above. */
  unkeptBytes: countValue,
  unkeptRanges: z.array(z.object({ offsetBytes: countValue, lengthBytes: countValue })),
  /** Whether an operator has paused it. */
  paused: z.boolean(),
});
export type ResyncStatus = z.infer<typeof resyncStatusSchema>;

/** A storage node's way to another member of a pool, for reads and for questions about dirty maps. */
export const syncLegStatusSchema = z.object({
  memberId: z.number().int(),
  /** Name of the storage node. */
  name: z.string(),
  addresses: z.array(z.string()),
  /** Whether the other member is in the in-sync set: only then is anything read from it (R1). */
  inSync: z.boolean(),
  /** Whether there is a session. It is opened when there is something to pull from the member or to ask it. */
  connected: z.boolean(),
  /** Whether reads can be sent. */
  ready: z.boolean(),
  /** Reads that are under way. */
  inFlight: countValue,
  /** Why nothing is read from it; empty when it can be. */
  reason: z.string(),
});
export type SyncLegStatus = z.infer<typeof syncLegStatusSchema>;

/** Requests that wait for more than their turn. */
export const ioWaitSchema = z.object({
  /**
   * `VERSION`: a version to be recorded by its members. `QUORUM`: enough members to record it. `MAP_UPDATE`: dirty maps to
   * be handed to a member that returns (L4). `CHUNK`: dirty chunks to become clean. `FLUSH`: the same, for flushes: a chunk's only clean copy may not be durable
   * (◆8). `OWED`: writes whose chunks would have no clean copy left if they were acknowledged (V5). `SESSION`: a place in the
   * session to a storage node that does not answer what it was sent. `LEG`: a member to answer what it was sent for this pool.
   */
  kind: z.enum(['VERSION', 'QUORUM', 'MAP_UPDATE', 'CHUNK', 'FLUSH', 'OWED', 'SESSION', 'LEG']),
  /** What they wait for, naming the member. */
  what: z.string(),
  /** Since when: when the oldest of them came. */
  since: z.string(),
  /** How many wait; 0 for a state that would hold requests up if there were some. */
  requests: countValue,
  /** What a person can do about it; absent: nothing, as far as this node knows. */
  remedy: z.string().optional(),
});
export type IoWait = z.infer<typeof ioWaitSchema>;
