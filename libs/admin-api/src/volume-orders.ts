// Orders for volumes. A client node carries them out as operations, and reaches the storage nodes through the sessions of RMR.
import { z } from 'zod';
import type { OperationView } from './operations.ts';

const memberIdValue = z.int().min(1).max(255);
const nameValue = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'begins with a letter or digit, and has letters, digits, ".", "_" and "-" only');
const addressesValue = z.array(z.string().min(1).max(256)).min(1).max(8);
const poolValue = z.string().min(1).max(64);
/** Callers that may ask twice give an id of their own: the same id gives the same operation. */
const requestIdValue = z.uuid().nullable().default(null);

/** A place for a store: a disk of a storage node, with the RTRS addresses of the node. */
export const storePlaceSchema = z.strictObject({ node: nameValue, addresses: addressesValue, disk: nameValue });
export type StorePlace = z.infer<typeof storePlaceSchema>;

const SIZE_BYTES_MIN = 1024 * 1024;
const SIZE_BYTES_MAX = 16 * 1024 ** 4;

export const volumeCreateInputSchema = z.strictObject({
  name: nameValue,
  /** A multiple of 4,096. */
  sizeBytes: z
    .int()
    .min(SIZE_BYTES_MIN)
    .max(SIZE_BYTES_MAX)
    .refine((size) => size % 4096 === 0, 'is not a multiple of 4,096 bytes'),
  chunkSizeBytes: z.int().nullable().default(null),
  quorum: z.enum(['none', 'majority']).default('none'),
  /** The members' places, in the order of their ids, from 1. */
  members: z.array(storePlaceSchema).min(1).max(8),
  witness: storePlaceSchema.nullable().default(null),
  /** The NBD export's name; null: the volume's. */
  exportName: nameValue.nullable().default(null),
  requestId: requestIdValue,
});
export type VolumeCreateInput = z.infer<typeof volumeCreateInputSchema>;

export const volumeMapInputSchema = z.strictObject({
  uuid: z.uuid(),
  name: nameValue,
  /** Where some members were last. The pool's own member table has the rest. */
  members: z
    .array(z.strictObject({ memberId: memberIdValue, node: nameValue, addresses: addressesValue }))
    .min(1)
    .max(8),
  exportName: nameValue.nullable().default(null),
  readOnly: z.boolean().default(false),
  requestId: requestIdValue,
});
export type VolumeMapInput = z.infer<typeof volumeMapInputSchema>;

/** As for a mapping: the volume may be one that this node has never seen. */
export const volumeTakeoverInputSchema = volumeMapInputSchema.extend({
  /** Take it although NBD clients are connected to it there. They are disconnected. */
  evenIfConnected: z.boolean().default(false),
});
export type VolumeTakeoverInput = z.infer<typeof volumeTakeoverInputSchema>;

/** By force, the name is given once more, as typed by a person. */
export const volumeSeizeInputSchema = volumeTakeoverInputSchema.extend({ confirm: nameValue });

export const quorumInputSchema = z.strictObject({ pool: poolValue, quorum: z.enum(['none', 'majority']), requestId: requestIdValue });
export type QuorumInput = z.infer<typeof quorumInputSchema>;

export const volumeUnmapInputSchema = z.strictObject({
  pool: poolValue,
  /** Unmap although NBD clients are connected. They are disconnected. */
  evenIfConnected: z.boolean().default(false),
  requestId: requestIdValue,
});
export type VolumeUnmapInput = z.infer<typeof volumeUnmapInputSchema>;

export const volumeDeleteInputSchema = z.strictObject({
  pool: poolValue,
  /** The name of the volume once more, as typed by a person. */
  confirm: nameValue,
  evenIfConnected: z.boolean().default(false),
  requestId: requestIdValue,
});
export type VolumeDeleteInput = z.infer<typeof volumeDeleteInputSchema>;

export const memberAddInputSchema = z.strictObject({ pool: poolValue, place: storePlaceSchema, requestId: requestIdValue });
export type MemberAddInput = z.infer<typeof memberAddInputSchema>;

export const memberRemoveInputSchema = z.strictObject({
  pool: poolValue,
  memberId: memberIdValue,
  /** True: chunks that only this member has clean are LOST then (I8). False: the order is refused if there are any. */
  giveUp: z.boolean().default(false),
  requestId: requestIdValue,
});
export type MemberRemoveInput = z.infer<typeof memberRemoveInputSchema>;

export const memberReplaceInputSchema = z.strictObject({
  pool: poolValue,
  memberId: memberIdValue,
  place: storePlaceSchema,
  giveUp: z.boolean().default(false),
  requestId: requestIdValue,
});
export type MemberReplaceInput = z.infer<typeof memberReplaceInputSchema>;

export const maintenanceInputSchema = z.strictObject({
  pool: poolValue,
  memberId: memberIdValue,
  on: z.boolean(),
  requestId: requestIdValue,
});
export type MaintenanceInput = z.infer<typeof maintenanceInputSchema>;

export const resyncPauseInputSchema = z.strictObject({ pool: poolValue, paused: z.boolean() });

/** `bytesPerSecond`: for each member of the volume; null: no limit of its own. */
export const resyncLimitInputSchema = z.strictObject({
  pool: poolValue,
  bytesPerSecond: z.int().min(4096).max(Number.MAX_SAFE_INTEGER).nullable(),
});

/** What the resync of every member of a volume may do from now on. What is not given stays. */
export interface ResyncInput {
  readonly pool: string;
  readonly paused?: boolean;
  readonly bytesPerSecond?: number | null;
}

/**
 * What a client node does with volumes for its operators. Every order answers with its operation at once; the operation goes on by
 * itself. All throw NOT_FOUND for a volume that is not mapped here, and CONFLICT for one that the configuration file names, where the
 * order would change what stands in that file.
 */
export interface VolumeOrders {
  create(input: VolumeCreateInput, by: string): Promise<OperationView>;
  map(input: VolumeMapInput, by: string): Promise<OperationView>;
  /**
   * Serves a volume that another client node serves. Unless `force`, that node is asked for it, ends in order and hands it over. With
   * `force` it is taken although that node is alive: what is in flight there fails.
   */
  takeOver(input: VolumeTakeoverInput, force: boolean, by: string): Promise<OperationView>;
  unmap(input: VolumeUnmapInput, by: string): Promise<OperationView>;
  delete(input: VolumeDeleteInput, by: string): Promise<OperationView>;
  /** Refused where the volume would be without its quorum at once. */
  setQuorum(input: QuorumInput, by: string): Promise<OperationView>;
  addMember(input: MemberAddInput, by: string): Promise<OperationView>;
  removeMember(input: MemberRemoveInput, by: string): Promise<OperationView>;
  replaceStore(input: MemberReplaceInput, by: string): Promise<OperationView>;
  maintenance(input: MaintenanceInput, by: string): Promise<OperationView>;
  /**
   * Changes what the resync of every member of the volume may do. Resolves once every member has remembered that durably. Throws
   * UNAVAILABLE if some could not be told: those that were have changed.
   */
  resync(input: ResyncInput, by: string): Promise<void>;
}
