import { z } from 'zod';

/** ISO 8601 in UTC, as `Date.prototype.toISOString` writes it. */
const timeText = z.string();
const countValue = z.number().int().min(0);

/** The health of a pool, a store or a node. It is the first thing that a person wants to know. */
export const healthSchema = z.object({
  /** `healthy`: full redundancy. `degraded`: IO is served, redundancy is reduced. `down`: IO is not served. */
  level: z.enum(['healthy', 'degraded', 'down']),
  /** One sentence that says whether the data is safe and, if something is wrong, what. */
  sentence: z.string(),
});
export type Health = z.infer<typeof healthSchema>;
export type HealthLevel = Health['level'];

/** Says what something waits for. Every state that can last has one of these. */
export const waitingForSchema = z.object({
  /** What has to happen, to be read after "it waits for": "member 2 (storage-2) to grant the pool". */
  what: z.string(),
  since: timeText,
  /** What a person can do about it, in whole sentences. Absent: this node knows of nothing. */
  remedy: z.string().optional(),
});
export type WaitingFor = z.infer<typeof waitingForSchema>;

/** The identity of the process that answers. */
export const nodeIdentitySchema = z.object({
  name: z.string(),
  hostUuid: z.string(),
  bootId: z.string(),
  /** UUID of this start of the process. */
  incarnation: z.string(),
  version: z.string(),
  pid: z.number().int(),
  startedAt: timeText,
  uptimeSeconds: z.number().min(0),
});
export type NodeIdentity = z.infer<typeof nodeIdentitySchema>;

/** A path: one TCP or unix connection of a session. */
export const pathStatusSchema = z.object({
  address: z.string(),
  state: z.enum(['DOWN', 'CONNECTING', 'HANDSHAKING', 'UP']),
  /** The last error of the path, which says why it is down. Null: there was none. */
  reason: z.string().nullable(),
  roundTripMs: z.number().nullable(),
  inFlight: countValue,
  reconnects: countValue,
});
export type PathStatus = z.infer<typeof pathStatusSchema>;

/** An RTRS session with another host. */
export const sessionStatusSchema = z.object({
  /** Name of the other host; null until it has answered for the first time. */
  peerName: z.string().nullable(),
  peerHostUuid: z.string().nullable(),
  /** The side that this node is on. The client's side opens the session. */
  side: z.enum(['client', 'server']),
  state: z.enum(['IDLE', 'CONNECTING', 'CONNECTED', 'CLOSED', 'OPEN', 'DRAINING', 'DRAINED']),
  queueDepth: countValue,
  inFlight: countValue,
  paths: z.array(pathStatusSchema),
});
export type SessionStatus = z.infer<typeof sessionStatusSchema>;

/** A version: one generation of the in-sync set (V1). */
export const versionStatusSchema = z.object({
  lineageUuid: z.string(),
  epoch: countValue,
  seq: countValue,
  /** Member ids of the in-sync set, ascending. */
  inSync: z.array(z.number().int()),
});
export type VersionStatus = z.infer<typeof versionStatusSchema>;

/** A version as it was recorded, for a status. Null stays null: there is no version. */
export function versionStatus(
  version: (Omit<VersionStatus, 'inSync'> & { readonly inSync: readonly { readonly memberId: number }[] }) | null,
): VersionStatus | null {
  if (version === null) return null;
  const { lineageUuid, epoch, seq, inSync } = version;
  return { lineageUuid, epoch, seq, inSync: inSync.map(({ memberId }) => memberId).sort((a, b) => a - b) };
}

/** How much one member has missed. */
export const memberDirtySchema = z.object({
  memberId: z.number().int(),
  dirtyBytes: countValue,
});
export type MemberDirty = z.infer<typeof memberDirtySchema>;

/** IO counters since the start of the process. Bytes are lengths on the device, however many bytes travelled over the network. */
export const ioCountersSchema = z.object({
  reads: countValue,
  writes: countValue,
  flushes: countValue,
  trims: countValue,
  writeZeroes: countValue,
  readBytes: countValue,
  writtenBytes: countValue,
  errors: countValue,
  inFlight: countValue,
});
export type IoCounters = z.infer<typeof ioCountersSchema>;
