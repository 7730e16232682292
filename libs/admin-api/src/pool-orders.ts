import { z } from 'zod';

const memberIdValue = z.int().min(1).max(255);
const poolValue = z.string().min(1).max(64);

/** A pool, by its name or its UUID. */
export const poolInputSchema = z.strictObject({ pool: poolValue });

/** The input of `pool.force`. The caller names the members that are left behind, so that no member is lost by surprise. */
export const forceInputSchema = z.strictObject({ pool: poolValue, leftBehind: z.array(memberIdValue).max(255) });

/** The input of `pool.copyAnew`. */
export const copyAnewInputSchema = z.strictObject({
  pool: poolValue,
  memberId: memberIdValue,
  /** True: chunks that only this member has clean are given up, and are LOST then (I8). False: the order is refused if there are any. */
  giveUp: z.boolean(),
});

/** The input of `pool.replaceStore`. */
export const replaceStoreInputSchema = z.strictObject({
  pool: poolValue,
  memberId: memberIdValue,
  /** True: chunks that only the lost store has clean are given up, and are LOST then (I8). False: the order is refused if there are any. */
  giveUp: z.boolean(),
});

/** A member, as a plan to force its pool shows the member. */
const forceMemberSchema = z.object({
  memberId: z.number().int(),
  name: z.string(),
  /** The version of the member, for people: `3.2{1,2}` is epoch 3, sequence number 2, with members 1 and 2 in sync. Null: none is known. */
  version: z.string().nullable(),
  /** When the pool last heard of the member's store, as that store has recorded it; null: not known. */
  at: z.string().nullable(),
  /** Bytes that the member has missed, as its own store says; null: not known. A store that went back in time (L8) can't know. */
  missingBytes: z.number().int().min(0).nullable(),
  /** What is wrong with the member: that it can't be reached, or that its store is older than it was. Empty: nothing is known to be wrong. */
  note: z.string(),
});
export type ForceMember = z.infer<typeof forceMemberSchema>;

/** The outcome that forcing a pool into service would have now. */
export const forcePlanSchema = z.object({
  /** Null: the pool can be forced. Else the reason why forcing makes no sense, or is impossible now. */
  refusal: z.string().nullable(),
  /** The members that the pool would be served with. */
  members: z.array(forceMemberSchema),
  /** The members that would not serve the pool. Data that only they have is lost, and they come back without it. */
  leftBehind: z.array(forceMemberSchema),
  /** What would be lost, in whole sentences. */
  sentence: z.string(),
});
export type ForcePlan = z.infer<typeof forcePlanSchema>;

/**
 * The orders that a client node takes from its operators for a pool that it maps. A pool is given by its name or its UUID. All of them
 * throw NOT_FOUND for a pool that is not mapped.
 */
export interface PoolOrders {
  /** Brings the pool into being. Resolves once it is served. Throws CONFLICT when the pool exists, UNAVAILABLE when a member is missing. */
  create(pool: string): Promise<void>;
  /** What {@link PoolOrders.force} would do now. Changes nothing. */
  forcePlan(pool: string): ForcePlan | Promise<ForcePlan>;
  /**
   * Serves a pool with the members that are there, when the pool can't be served otherwise any more. `leftBehind` has to hold exactly the
   * ids of the members that the plan leaves behind at that moment; else it throws CONFLICT.
   */
  force(pool: string, leftBehind: readonly number[]): Promise<void>;
  /** Has all of a member's data copied anew, because its store is not trusted. Resolves once the pool has recorded that durably. */
  copyAnew(pool: string, memberId: number, giveUp: boolean): Promise<void>;
  /**
   * Replaces the lost store of a member by the new, empty one that the member's storage node has opened. Resolves once the pool has
   * recorded that durably. Throws CONFLICT unless the new store was made for this member and was never in service.
   */
  replaceStore(pool: string, memberId: number, giveUp: boolean): Promise<void>;
}
