import { isUuid, Status } from '@rmr/runtime';
import { z } from 'zod';
import {
  COMMAND_TEXT_MAX,
  CONTROL_BYTES_MAX,
  IO_UNITS_MAX,
  LEAF_TEXT_MAX,
  LEAVES_PER_MESSAGE,
  LIVES_MAX,
  MEMBERS_MAX,
  RANGES_MAX,
} from '../constants.ts';
import { MessageType } from './io-message.ts';

/**
 * Control messages: rare, so they are JSON (UTF-8) with a strict schema, as the payload of an RTRS control request
 * whose user header is {@link CONTROL_HEADER_BYTES} bytes: the type, then zeroes. The answer's status is RTRS's; its
 * payload is the result, or on failure a {@link ControlFailure}.
 */
export const CONTROL_HEADER_BYTES = 8;

/** Wire limits of numbers: epochs and version sequences are 32-bit, offsets and write sequences below 2^53. */
const u32 = z.int().min(0).max(0xffff_ffff);
const exact = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const uuid = z.string().refine(isUuid, 'not a lower-case UUID');
const name = z.string().min(1).max(128);
const memberId = z.int().min(1).max(255);

export const versionSchema = z.strictObject({
  lineageUuid: uuid,
  epoch: u32.min(1),
  seq: u32.min(1),
  inSync: z
    .array(z.strictObject({ memberId, storeUuid: uuid }))
    .min(1)
    .max(MEMBERS_MAX),
  horizon: exact,
});
const promiseSchema = z.strictObject({ epoch: u32.min(1), clientInstance: uuid, clientName: name });
/** A place in the order of versions. */
const placeSchema = z.strictObject({ epoch: u32.min(1), seq: u32.min(1) });
/** How old a store is in its present life. */
const markSchema = z.strictObject({ lifeUuid: uuid, age: exact.min(1) });
const memberSchema = z.strictObject({
  memberId,
  storeUuid: uuid,
  name,
  addresses: z.array(z.string().min(1).max(256)).min(1).max(8),
  role: z.enum(['data', 'witness']).optional(),
  maintenance: z.boolean().optional(),
  joined: placeSchema.optional(),
  left: placeSchema.optional(),
  seen: markSchema.extend({ atMs: exact }).strict().optional(),
  anew: placeSchema.optional(),
});
const policySchema = z.strictObject({
  quorum: z.enum(['none', 'majority']),
  highestMemberId: z.int().min(0).max(255),
  formerLineages: z.array(uuid).max(16),
});
const rangeSchema = z.strictObject({ offsetBytes: exact, lengthBytes: exact.min(1) });

/** What a store shows of its past: how old it is, and the lives in which it has become so old. */
const pastSchema = z.strictObject({
  age: exact,
  lives: z
    .array(z.strictObject({ lifeUuid: uuid, firstAge: exact, lastAge: exact.nullable(), openedAtMs: exact }))
    .min(1)
    .max(LIVES_MAX),
});
export type StorePast = z.infer<typeof pastSchema>;

/** Length of what a control message says of a disk, and of why it was refused. */
export const DISK_TEXT_MAX = 256;
export const FAILURE_TEXT_MAX = 1024;
export const HANDOVER_TEXT_MAX = 256;

/** What a storage node answers to a probe. A probe changes nothing (C1). */
export const probeResultSchema = z.strictObject({
  poolHandle: u32,
  state: z.enum(['EMPTY', 'REGISTERED', 'CREATED', 'NORMAL', 'NO_IO']),
  identity: z.strictObject({
    storeUuid: uuid,
    poolUuid: uuid,
    poolName: name,
    memberId,
    sizeBytes: exact.min(1),
    chunkSizeBytes: u32.min(1),
    queueDepth: u32.min(1).max(IO_UNITS_MAX),
    createdZeroed: z.boolean(),
    witness: z.boolean().optional(),
  }),
  features: z.strictObject({ fastPunch: z.boolean(), fastZero: z.boolean(), extents: z.boolean() }),
  promise: promiseSchema.nullable(),
  version: versionSchema.nullable(),
  members: z.array(memberSchema).max(MEMBERS_MAX),
  policy: policySchema,
  volatileLost: z.boolean(),
  past: pastSchema,
  /** The client that made the store's version has ended in order, and the store has heard of no client since. */
  released: z.boolean(),
  /** Bytes in chunks that it knows to have missed. */
  missedBytes: exact,
  /** Why the member should not come into the set now, as it is out of space (W8), without a subject. Absent: it has space. */
  lacksSpace: z.string().min(1).max(DISK_TEXT_MAX).optional(),
});
export type ProbeResult = z.infer<typeof probeResultSchema>;

/** A dirty map's column at a glance: how many chunks are dirty, and `DirtyMap.digest()`. */
const columnSchema = z.strictObject({ memberId, dirtyChunks: exact, digest: z.string().min(1).max(64) });
const rangesSchema = z.array(rangeSchema).max(RANGES_MAX);

/** Chunks in the ranges of a `read-check` in which the disk could not read something. */
export const readCheckResultSchema = z.strictObject({ unreadable: rangesSchema });
export type ReadCheckResult = z.infer<typeof readCheckResultSchema>;

/** A grant (C2): assembly uses these answers only. */
export const claimResultSchema = z.strictObject({
  version: versionSchema.nullable(),
  members: z.array(memberSchema).max(MEMBERS_MAX),
  policy: policySchema,
  volatileLost: z.boolean(),
  lastIo: z.array(rangeSchema).max(IO_UNITS_MAX),
  /** The sequence number of the newest write in `lastIo`. 0: there is none. */
  lastWriteSeq: exact,
  intent: rangesSchema,
  /** Chunks in which its disk could not read something, and that were not written since. */
  unreadable: rangesSchema,
  /** The dirty maps that the member holds; members without one are all clean. */
  columns: z.array(columnSchema).max(MEMBERS_MAX),
  past: pastSchema,
});
export type ClaimResult = z.infer<typeof claimResultSchema>;

/**
 * Leaves of a dirty map (see `DirtyMap`): index, and `full` or the bits in base64. Leaves that are not listed are empty.
 */
const leavesSchema = z.array(z.tuple([u32, z.string().max(LEAF_TEXT_MAX)])).max(LEAVES_PER_MESSAGE);
export type MapLeaves = z.infer<typeof leavesSchema>;

/** Part of a dirty map: every leaf from the one asked for up to `nextLeaf`, or to the end when that is null. */
export const mapReadResultSchema = z.strictObject({
  /** The version that the member serves under, with which the answer counts as a stamped clear (R3); null: it is not NORMAL. */
  stamp: z.strictObject({ epoch: u32, seq: u32 }).nullable(),
  leaves: leavesSchema,
  nextLeaf: u32.nullable(),
});
export type MapReadResult = z.infer<typeof mapReadResultSchema>;

/** Map adds that the member must not make yet: they would leave no clean copy (V5). */
export const owedResultSchema = z.strictObject({ owed: rangesSchema });
export type OwedResult = z.infer<typeof owedResultSchema>;

/** A version is recorded: what of its adds is owed, and the member's mark. */
export const recordedResultSchema = z.strictObject({ owed: rangesSchema, mark: markSchema });
export type RecordedResult = z.infer<typeof recordedResultSchema>;

/** C4: a client wants the pool that another one serves. */
const handoverWishSchema = z.strictObject({
  clientName: name,
  /** Also if NBD clients, or whatever else uses the pool, are cut off by that. */
  evenIfInUse: z.boolean(),
});
export type HandoverWish = z.infer<typeof handoverWishSchema>;

/** C4: why the client that serves the pool does not hand it over. Empty: it has not answered, or is about to hand it over. */
export const handoverResultSchema = z.strictObject({ refusal: z.string().max(HANDOVER_TEXT_MAX) });
export type HandoverResult = z.infer<typeof handoverResultSchema>;

/** The mark of the answering member's store, for others to remember. */
export const markResultSchema = z.strictObject({
  mark: markSchema,
  /** What is wrong with its disk, as the member's node knows, for people; without a subject. Absent: nothing that it knows of. */
  disk: z.string().min(1).max(DISK_TEXT_MAX).optional(),
  /** C4: the client that asks this one to hand the pool over. Absent: nobody does. */
  asked: handoverWishSchema.optional(),
});
export type MarkResult = z.infer<typeof markResultSchema>;

/** A storage node's handle for reads between storage nodes. */
export const syncJoinResultSchema = z.strictObject({ poolHandle: u32, memberId, storeUuid: uuid });
export type SyncJoinResult = z.infer<typeof syncJoinResultSchema>;

export const emptyResultSchema = z.strictObject({});

const mapAddSchema = z.strictObject({ memberIds: z.array(memberId).min(1).max(MEMBERS_MAX), ranges: rangesSchema });
export type MapAdd = z.infer<typeof mapAddSchema>;

/** What the client has heard of the stores of members, to be remembered durably. */
const marksSchema = z
  .array(z.strictObject({ memberId, storeUuid: uuid, seen: markSchema.extend({ atMs: exact }).strict() }))
  .max(MEMBERS_MAX);
export type HeardMarks = z.infer<typeof marksSchema>;

const mapKnownSchema = z.strictObject({ memberId, dirty: rangesSchema });
export type MapKnown = z.infer<typeof mapKnownSchema>;

/** Every request, told apart by `op`. */
export const controlRequestSchema = z.discriminatedUnion('op', [
  z.strictObject({ op: z.literal('probe'), poolUuid: uuid }),
  z.strictObject({
    op: z.literal('claim'),
    poolUuid: uuid,
    epoch: u32.min(1),
    clientInstance: uuid,
    clientName: name,
    /** Take the pool from a client that is alive (C4). */
    takeover: z.boolean(),
  }),
  z.strictObject({
    op: z.literal('record-version'),
    poolUuid: uuid,
    epoch: u32.min(1),
    version: versionSchema,
    members: z.array(memberSchema).min(1).max(MEMBERS_MAX),
    policy: policySchema,
    /** The member takes on the version's lineage: the pool was forced while the member was away, or is being forced with it. */
    newLineage: z.boolean(),
    /** Chunks that become dirty with the version: what leavers miss of writes in flight (V2), a new member's whole device. */
    mapAdds: z.array(mapAddSchema).max(MEMBERS_MAX),
    /**
     * All ranges that may be dirty for a member, as the client knows. If a holder has more dirty, that was cleared, and the holder has
     * not heard of it (V2): it becomes clean before the adds. It says nothing to the member itself.
     */
    mapKnown: z.array(mapKnownSchema).max(MEMBERS_MAX),
    /** Members that are gone for good. */
    mapErase: z.array(memberId).max(MEMBERS_MAX),
    /** These columns are replaced by the staged ones; what stands there afterwards must have this digest (V3, L4). */
    maps: z.array(z.strictObject({ memberId, digest: z.string().min(1).max(64) })).max(MEMBERS_MAX),
  }),
  /** Hands over leaves of a column ahead of the version that brings it into use. `reset`: the column is started anew, empty. */
  z.strictObject({
    op: z.literal('map-stage'),
    poolUuid: uuid,
    epoch: u32.min(1),
    memberId,
    reset: z.boolean(),
    /** As in `map-read`, and `empty`. */
    leaves: leavesSchema,
  }),
  /** Reads a column, for assembly. */
  z.strictObject({ op: z.literal('map-read'), poolUuid: uuid, epoch: u32.min(1), memberId, fromLeaf: u32 }),
  /** Reads what other members may be told to copy from this one, before it is enabled. So a bad sector is found in time (I1). */
  z.strictObject({ op: z.literal('read-check'), poolUuid: uuid, epoch: u32.min(1), ranges: rangesSchema }),
  /** Reads the answering member's own column. What it has clean may be cleared elsewhere (R3). Anybody may ask. */
  z.strictObject({ op: z.literal('map-check'), poolUuid: uuid, fromLeaf: u32 }),
  /** C4: another client is asked to hand the pool over to this one. Nothing is claimed. Whoever still wants it asks again. */
  z.strictObject({ op: z.literal('ask-handover'), poolUuid: uuid, clientInstance: uuid, clientName: name, evenIfInUse: z.boolean() }),
  /** Marks chunks dirty for members that are out of the in-sync set: the adds that were owed (V5). */
  z.strictObject({ op: z.literal('map-add'), poolUuid: uuid, epoch: u32.min(1), versionSeq: u32.min(1), add: mapAddSchema }),
  /** Until the next version, requests that would wait for a dirty chunk are bounced (L4). */
  z.strictObject({ op: z.literal('freeze'), poolUuid: uuid, epoch: u32.min(1) }),
  /** A storage node wants to read from this one (R1). */
  z.strictObject({ op: z.literal('sync-join'), poolUuid: uuid }),
  /** The version is durable on all members of its set: the member serves. Its `lastIo` and write intent are not needed any more (L3). */
  z.strictObject({ op: z.literal('enable'), poolUuid: uuid, epoch: u32.min(1), versionSeq: u32.min(1) }),
  /** The member leaves IO: the client has taken it out of the in-sync set. */
  z.strictObject({ op: z.literal('disable'), poolUuid: uuid, epoch: u32.min(1) }),
  /** The member has been removed from the pool, and is told so. */
  z.strictObject({ op: z.literal('leave'), poolUuid: uuid, epoch: u32.min(1) }),
  /** Asks whether this client is still served. The answer is a failure if it is not, else the member's mark. */
  z.strictObject({
    op: z.literal('renew'),
    poolUuid: uuid,
    epoch: u32.min(1),
    completedThrough: exact,
    marks: marksSchema,
    /** C4: why this client does not hand the pool over to the one that asks for it. Absent: nobody has asked here, or it hands it over. */
    handoverRefusal: z.string().min(1).max(HANDOVER_TEXT_MAX).optional(),
  }),
  /** Everything becomes durable, and the store older: the mark in the answer stands for all that was written so far. */
  z.strictObject({ op: z.literal('age'), poolUuid: uuid, epoch: u32.min(1) }),
  /** The client ends in order: nothing is in flight, everything is durable on every member. */
  z.strictObject({ op: z.literal('release'), poolUuid: uuid, epoch: u32.min(1), marks: marksSchema }),
]);
export type ControlRequest = z.infer<typeof controlRequestSchema>;

/**
 * A command of the layer above, which RMR carries unseen to the layer above at the other side. It is about the storage node, and needs no
 * pool: the store of a pool that is to be created can be asked for.
 */
export const userCommandSchema = z.strictObject({ op: z.literal('command'), command: z.string().min(1).max(COMMAND_TEXT_MAX) });
export type UserCommand = z.infer<typeof userCommandSchema>;

/** The answer of the layer above. A command that it refuses has an answer, too. */
export const commandResultSchema = z.strictObject({ answer: z.string().max(COMMAND_TEXT_MAX) });
export type CommandResult = z.infer<typeof commandResultSchema>;

/** Whatever a storage node may be asked. */
export const nodeRequestSchema = z.discriminatedUnion('op', [...controlRequestSchema.options, userCommandSchema]);

export const controlFailureSchema = z.strictObject({
  code: z.enum(['UNKNOWN_POOL', 'STALE_EPOCH', 'HELD', 'BAD_VERSION', 'BAD_STATE', 'BAD_MAP', 'BAD_MESSAGE', 'STORE_ERROR']),
  message: z.string().max(FAILURE_TEXT_MAX),
  /** The highest promise, with STALE_EPOCH and HELD. */
  promise: promiseSchema.nullable(),
});
export type ControlFailure = z.infer<typeof controlFailureSchema>;

/** The data-path status that goes with a failure. */
export const CONTROL_FAILURE_STATUS: Readonly<Record<ControlFailure['code'], number>> = {
  UNKNOWN_POOL: Status.ENOPOOL,
  STALE_EPOCH: Status.ESTALE,
  HELD: Status.EPERM,
  BAD_VERSION: Status.EVERSION,
  BAD_STATE: Status.ENOTNORMAL,
  BAD_MAP: Status.EVERSION,
  BAD_MESSAGE: Status.EPROTO,
  STORE_ERROR: Status.EIO,
};

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** Writes the user header of a control message; returns {@link CONTROL_HEADER_BYTES}. */
export function encodeControlHeader(bytes: Uint8Array, at: number): number {
  bytes[at] = MessageType.CONTROL;
  bytes.fill(0, at + 1, at + CONTROL_HEADER_BYTES);
  return CONTROL_HEADER_BYTES;
}

/** Every result of a control request. */
export type ControlResult =
  | ProbeResult
  | ClaimResult
  | MapReadResult
  | ReadCheckResult
  | OwedResult
  | RecordedResult
  | MarkResult
  | HandoverResult
  | SyncJoinResult
  | CommandResult
  | Record<string, never>;

export function encodeControlBody(body: ControlRequest | UserCommand | ControlResult | ControlFailure): Uint8Array {
  return encoder.encode(JSON.stringify(body));
}

/** The parsed body, or the reason why it is not one. */
export function decodeControlBody<T>(schema: z.ZodType<T>, payload: Uint8Array | null): { readonly body: T } | { readonly reason: string } {
  if (payload === null) return { reason: 'control message: no body' };
  if (payload.length > CONTROL_BYTES_MAX) return { reason: 'control message: body beyond the limit' };
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(payload));
  } catch {
    return { reason: 'control message: body is not JSON' };
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return { body: parsed.data };
  const issue = parsed.error.issues[0];
  return { reason: `control message: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}` };
}
