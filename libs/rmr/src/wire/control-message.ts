import { isUuid, Status } from '@rmr/runtime';
import { z } from 'zod';
import { CONTROL_BYTES_MAX, MEMBERS_MAX, QUEUE_DEPTH_MAX } from '../constants.ts';
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
const memberSchema = z.strictObject({ memberId, storeUuid: uuid, name, addresses: z.array(z.string().min(1).max(256)).min(1).max(8) });
const rangeSchema = z.strictObject({ offsetBytes: exact, lengthBytes: exact.min(1) });

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
    queueDepth: u32.min(1).max(QUEUE_DEPTH_MAX),
    createdZeroed: z.boolean(),
  }),
  features: z.strictObject({ fastPunch: z.boolean(), fastZero: z.boolean(), extents: z.boolean() }),
  promise: promiseSchema.nullable(),
  version: versionSchema.nullable(),
  volatileLost: z.boolean(),
});
export type ProbeResult = z.infer<typeof probeResultSchema>;

/** A grant (C2): assembly uses these answers only. */
export const claimResultSchema = z.strictObject({
  version: versionSchema.nullable(),
  members: z.array(memberSchema).max(MEMBERS_MAX),
  volatileLost: z.boolean(),
  lastIo: z.array(rangeSchema).max(QUEUE_DEPTH_MAX),
  intent: z.array(rangeSchema).max(16384),
});
export type ClaimResult = z.infer<typeof claimResultSchema>;

export const emptyResultSchema = z.strictObject({});

/** Every request, told apart by `op`. */
export const controlRequestSchema = z.discriminatedUnion('op', [
  z.strictObject({ op: z.literal('probe'), poolUuid: uuid }),
  z.strictObject({ op: z.literal('claim'), poolUuid: uuid, epoch: u32.min(1), clientInstance: uuid, clientName: name }),
  z.strictObject({
    op: z.literal('record-version'),
    poolUuid: uuid,
    epoch: u32.min(1),
    version: versionSchema,
    members: z.array(memberSchema).min(1).max(MEMBERS_MAX),
    /** What the leavers miss of writes that were in flight (V2: map adds). */
    mapAdds: z
      .array(z.strictObject({ memberIds: z.array(memberId).min(1).max(MEMBERS_MAX), ranges: z.array(rangeSchema).max(QUEUE_DEPTH_MAX) }))
      .max(MEMBERS_MAX),
    /** The suspects of `lastIo` and the write intent have been made equal and durable on every member of the set. */
    reconciled: z.boolean(),
  }),
  z.strictObject({ op: z.literal('enable'), poolUuid: uuid, epoch: u32.min(1), versionSeq: u32.min(1) }),
  /** The member leaves IO: the client has taken it out of the in-sync set. */
  z.strictObject({ op: z.literal('disable'), poolUuid: uuid, epoch: u32.min(1) }),
  /** The client ends in order: nothing is in flight, everything is durable on every member. */
  z.strictObject({ op: z.literal('release'), poolUuid: uuid, epoch: u32.min(1) }),
]);
export type ControlRequest = z.infer<typeof controlRequestSchema>;

export const controlFailureSchema = z.strictObject({
  code: z.enum(['UNKNOWN_POOL', 'STALE_EPOCH', 'HELD', 'BAD_VERSION', 'BAD_STATE', 'BAD_MESSAGE', 'STORE_ERROR']),
  message: z.string().max(1024),
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

export function encodeControlBody(body: ControlRequest | ProbeResult | ClaimResult | ControlFailure | Record<string, never>): Uint8Array {
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
