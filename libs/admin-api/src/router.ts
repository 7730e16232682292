import { OPERATION_ERRORS, OperationError, type OperationErrorCode } from '@rmr/runtime';
import { initTRPC, type TRPCError } from '@trpc/server';
import { z } from 'zod';
import {
  copyAnewInputSchema,
  forceInputSchema,
  forcePlanSchema,
  type PoolOrders,
  poolInputSchema,
  replaceStoreInputSchema,
} from './pool-orders.ts';
import { type NodeStatus, nodeStatusSchema } from './status.ts';

/** What a daemon offers to its operators. Failures are {@link OperationError}. */
export interface AdminService {
  status(): NodeStatus | Promise<NodeStatus>;
  /**
   * Makes everything durable that was acknowledged before the call: of the pool with this UUID or name, or of all
   * pools when null. Throws NOT_FOUND for an unknown pool and UNAVAILABLE for one that is not served.
   */
  flush(pool: string | null): Promise<void>;
  /** Null when the daemon does its work, else what it is waiting for. */
  notReady(): string | null;
  /** A sentence that readiness says besides, such as why the daemon had better not be stopped; null, or absent: none. */
  notice?(): string | null;
  /** What only client nodes do. Absent: this daemon is none, and says so when it is asked. */
  readonly pools?: PoolOrders;
}

/** What every procedure is called with. */
export interface AdminContext {
  readonly service: AdminService;
}

/** How an error is told: HTTP status and stable code, from the one table of operating failures. */
export function errorAnswer(error: TRPCError): { readonly http: number | null; readonly code: OperationErrorCode | null } {
  if (error.cause instanceof OperationError) return { http: OPERATION_ERRORS[error.cause.code].http, code: error.cause.code };
  return { http: null, code: error.code === 'BAD_REQUEST' ? 'INVALID_ARGUMENT' : error.code === 'UNAUTHORIZED' ? 'UNAUTHENTICATED' : null };
}

const trpc = initTRPC.context<AdminContext>().create({
  errorFormatter({ shape, error }) {
    const answer = errorAnswer(error);
    return {
      ...shape,
      data: { code: shape.data.code, httpStatus: answer.http ?? shape.data.httpStatus, path: shape.data.path, operationCode: answer.code },
    };
  },
});

/** A procedure that only looks. Every procedure is one of these kinds: a role that one of them takes is asked for here. */
const looking = trpc.procedure;
/** A procedure that changes something, and loses nothing. */
const operating = trpc.procedure;
/** A procedure that may lose data, on a person's word. */
const deciding = trpc.procedure;

/** Lets only client nodes do it. */
const onClientNode = trpc.middleware(({ ctx, path, next }) => {
  const { pools } = ctx.service;
  if (pools === undefined) {
    throw new OperationError(
      'UNSUPPORTED',
      `${path} is a client node's matter, and this daemon is none: ask the client node that maps the pool`,
    );
  }
  return next({ ctx: { pools } });
});

const DONE = z.object({ done: z.literal(true) });

/** What is done with a pool as a whole; see {@link PoolOrders}. */
const poolRouter = trpc.router({
  /** Brings a pool into being. Answers once it is served. */
  create: operating
    .use(onClientNode)
    .input(poolInputSchema)
    .output(DONE)
    .mutation(async ({ ctx, input }) => {
      await ctx.pools.create(input.pool);
      return { done: true as const };
    }),
  /** What `force` would do now, and what would be lost. */
  forcePlan: looking
    .use(onClientNode)
    .input(poolInputSchema)
    .output(forcePlanSchema)
    .query(({ ctx, input }) => ctx.pools.forcePlan(input.pool)),
  /** Serves a pool that can't come up any more with the members that are there. */
  force: deciding
    .use(onClientNode)
    .input(forceInputSchema)
    .output(DONE)
    .mutation(async ({ ctx, input }) => {
      await ctx.pools.force(input.pool, input.leftBehind);
      return { done: true as const };
    }),
  /** Has all of a member's data copied anew from the others. */
  copyAnew: deciding
    .use(onClientNode)
    .input(copyAnewInputSchema)
    .output(DONE)
    .mutation(async ({ ctx, input }) => {
      await ctx.pools.copyAnew(input.pool, input.memberId, input.giveUp);
      return { done: true as const };
    }),
  /** Has a member's new, empty store take the place of the one that is lost. */
  replaceStore: deciding
    .use(onClientNode)
    .input(replaceStoreInputSchema)
    .output(DONE)
    .mutation(async ({ ctx, input }) => {
      await ctx.pools.replaceStore(input.pool, input.memberId, input.giveUp);
      return { done: true as const };
    }),
});

/** The admin interface of every daemon. Procedures and fields are only ever added. */
export const adminRouter = trpc.router({
  /** What the daemon does, holds and waits for. */
  status: looking.output(nodeStatusSchema).query(({ ctx }) => ctx.service.status()),
  /** Makes durable what was acknowledged; see {@link AdminService.flush}. */
  flush: operating
    .input(z.strictObject({ pool: z.string().min(1).max(64).nullable().default(null) }))
    .output(z.object({ flushed: z.literal(true) }))
    .mutation(async ({ ctx, input }) => {
      await ctx.service.flush(input.pool);
      return { flushed: true as const };
    }),
  pool: poolRouter,
});

export type AdminRouter = typeof adminRouter;
