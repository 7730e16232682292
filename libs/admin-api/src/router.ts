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

/** The service that a daemon offers to its operators. Its methods fail with an {@link OperationError}. */
export interface AdminService {
  status(): NodeStatus | Promise<NodeStatus>;
  /**
   * Makes all data durable that was acknowledged before the call, for the pool with this UUID or name. Null means all pools. Throws
   * NOT_FOUND for an unknown pool, and UNAVAILABLE for a pool that is not served.
   */
  flush(pool: string | null): Promise<void>;
  /** Null when the daemon does its work; else a sentence that says what the daemon waits for. */
  notReady(): string | null;
  /** A sentence that the readiness probe adds to its `ok`, such as why the daemon should not be stopped now. Null, or absent: there is none. */
  notice?(): string | null;
  /** The orders that only client nodes take. Absent: this daemon is no client node, and says so when it is given such an order. */
  readonly pools?: PoolOrders;
}

/** The context that every procedure gets. */
export interface AdminContext {
  readonly service: AdminService;
}

/** The HTTP status and the stable code that an error is answered with. Both come from {@link OPERATION_ERRORS}. */
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

/** A procedure that only looks. Every procedure is of one of these three kinds. If a kind ever requires a role, it is checked here. */
const looking = trpc.procedure;
/** A procedure that changes something and can't lose data. */
const operating = trpc.procedure;
/** A procedure that may lose data. A person has to decide it. */
const deciding = trpc.procedure;

/** Refuses the procedure unless this daemon is a client node. Throws UNSUPPORTED. */
const onClientNode = trpc.middleware(({ ctx, path, next }) => {
  const { pools } = ctx.service;
  if (pools === undefined) {
    throw new OperationError(
      'UNSUPPORTED',
      `only a client node can do ${path}, and this daemon is not a client node: ask the client node that maps the pool`,
    );
  }
  return next({ ctx: { pools } });
});

const DONE = z.object({ done: z.literal(true) });

/** Orders for a pool; see {@link PoolOrders}. */
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
  /** Shows what `force` would do now, and what would be lost. Changes nothing. */
  forcePlan: looking
    .use(onClientNode)
    .input(poolInputSchema)
    .output(forcePlanSchema)
    .query(({ ctx, input }) => ctx.pools.forcePlan(input.pool)),
  /** Serves a pool with the members that are there, when it can't be served otherwise any more. */
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
  /** Replaces the lost store of a member by its new, empty one. */
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
  /** The status of the daemon. */
  status: looking.output(nodeStatusSchema).query(({ ctx }) => ctx.service.status()),
  /** Makes acknowledged data durable; see {@link AdminService.flush}. */
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
