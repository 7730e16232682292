import { OPERATION_ERRORS, OperationError, type OperationErrorCode } from '@rmr/runtime';
import { initTRPC, type TRPCError } from '@trpc/server';
import { z } from 'zod';
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

/** The admin interface of every daemon. Procedures and fields are only ever added. */
export const adminRouter = trpc.router({
  /** What the daemon does, holds and waits for. */
  status: trpc.procedure.output(nodeStatusSchema).query(({ ctx }) => ctx.service.status()),
  /** Makes durable what was acknowledged; see {@link AdminService.flush}. */
  flush: trpc.procedure
    .input(z.strictObject({ pool: z.string().min(1).max(64).nullable().default(null) }))
    .output(z.object({ flushed: z.literal(true) }))
    .mutation(async ({ ctx, input }) => {
      await ctx.service.flush(input.pool);
      return { flushed: true as const };
    }),
});

export type AdminRouter = typeof adminRouter;
