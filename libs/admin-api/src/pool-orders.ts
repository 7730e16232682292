import { z } from 'zod';

const memberIdValue = z.int().min(1).max(255);
const poolValue = z.string().min(1).max(64);

/** A pool, by its name or its UUID. */
export const poolInputSchema = z.strictObject({ pool: poolValue });

/** What `pool.force` is called with: the members that it leaves behind are named, so that nobody loses one by surprise. */
export const forceInputSchema = z.strictObject({ pool: poolValue, leftBehind: z.array(memberIdValue).max(255) });

/** What `pool.copyAnew` is called with. */
export const copyAnewInputSchema = z.strictObject({
  pool: poolValue,
  memberId: memberIdValue,
  /** Give up chunks that nobody has but this member: they are lost then (I8). False: the order is refused instead. */
  giveUp: z.boolean(),
});

/** What `pool.replaceStore` is called with. */
export const replaceStoreInputSchema = z.strictObject({
  pool: poolValue,
  memberId: memberIdValue,
  /** Give up chunks that nobody has but the store that is lost: they are LOST then (I8). False: the order is refused instead. */
  giveUp: z.boolean(),
});

/** A member, as a plan to force its pool shows it. */
const forceMemberSchema = z.object({
  memberId: z.number().int(),
  name: z.string(),
  /** Its version, for people: `3.2{1,2}` is epoch 3, sequence number 2, with members 1 and 2 in sync. Null: it has none, or it is not known. */
  version: z.string().nullable(),
  /** When the pool last heard of its store, as the store has it recorded; null: not known. */
  at: z.string().nullable(),
  /** Bytes that it knows to have missed itself; null: not known, also to a member whose store went back in time (L8). */
  missingBytes: z.number().int().min(0).nullable(),
  /** What is wrong with it: that it can't be reached, or that its store is older than it was. Empty: nothing that is known. */
  note: z.string(),
});
export type ForceMember = z.infer<typeof forceMemberSchema>;

/** What would become of a pool if it was forced into service now. */
export const forcePlanSchema = z.object({
  /** Why forcing makes no sense, or is impossible now; null: it is possible. */
  refusal: z.string().nullable(),
  /** The members that the pool would be served with. */
  members: z.array(forceMemberSchema),
  /** The members that would have to come back without what they have: what the others lack of it is lost. */
  leftBehind: z.array(forceMemberSchema),
  /** What would be lost, in whole sentences. */
  sentence: z.string(),
});
export type ForcePlan = z.infer<typeof forcePlanSchema>;

/**
 * What a client node does for its operators with a pool that it maps. A pool is given by its name or its UUID; one that is not
 * mapped is NOT_FOUND.
 */
export interface PoolOrders {
  /** Brings the pool into being; resolves once it is served. Throws CONFLICT when it exists already, UNAVAILABLE when a member is missing. */
  create(pool: string): Promise<void>;
  /** What {@link PoolOrders.force} would do now. Changes nothing. */
  forcePlan(pool: string): ForcePlan | Promise<ForcePlan>;
  /**
   * Serves a pool that can't come up any more with the members that are there. Throws CONFLICT unless `leftBehind` holds the ids
   * of exactly those members that the plan leaves behind at that moment.
   */
  force(pool: string, leftBehind: readonly number[]): Promise<void>;
  /** Has all of a member's data copied anew, as its store is not trusted; resolves once that is durably known. */
  copyAnew(pool: string, memberId: number, giveUp: boolean): Promise<void>;
  /**
   * Has the new, empty store that a member's storage node has opened take the place of the one that is lost; resolves once that is
   * durably known. Throws CONFLICT unless the store was made for this member and was never in service.
   */
  replaceStore(pool: string, memberId: number, giveUp: boolean): Promise<void>;
}
