import { OPERATION_ERRORS, OperationError, type OperationErrorCode } from '@rmr/runtime';
import { initTRPC, type TRPCError } from '@trpc/server';
import { z } from 'zod';
import { type Disks, diskStatusSchema } from './disks.ts';
import { type Events, eventPageInputSchema, eventPageSchema } from './events.ts';
import { type Operations, operationListInputSchema, operationViewSchema } from './operations.ts';
import {
  copyAnewInputSchema,
  forceInputSchema,
  forcePlanSchema,
  type PoolOrders,
  poolInputSchema,
  replaceStoreInputSchema,
} from './pool-orders.ts';
import { type Caller, mayAct, type Role } from './roles.ts';
import { type NodeStatus, nodeStatusSchema } from './status.ts';
import {
  maintenanceInputSchema,
  memberAddInputSchema,
  memberRemoveInputSchema,
  memberReplaceInputSchema,
  quorumInputSchema,
  resyncLimitInputSchema,
  resyncPauseInputSchema,
  type VolumeOrders,
  volumeCreateInputSchema,
  volumeDeleteInputSchema,
  volumeMapInputSchema,
  volumeSeizeInputSchema,
  volumeTakeoverInputSchema,
  volumeUnmapInputSchema,
} from './volume-orders.ts';

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
  /** What a client node does with volumes. Absent: as for {@link AdminService.pools}. */
  readonly volumes?: VolumeOrders;
  /** The operations that a client node drives. Absent: as for {@link AdminService.pools}. */
  readonly operations?: Operations;
  /** The disks of a storage node. Absent: this daemon is no storage node. */
  readonly disks?: Disks;
  /** The events of this daemon. Absent: it keeps none. */
  readonly events?: Events;
  /**
   * Told of every order before it is carried out: one that can't be told durably is not carried out. Absent: this daemon keeps no events.
   * `target`: what the order is for, as the caller named it.
   */
  ordered?(caller: Caller, order: string, target: string, details: string): Promise<void>;
  /** Told of every order that was not carried out, or not to its end. */
  orderFailed?(caller: Caller, order: string, target: string, why: string): void;
  /** Told of every request that was refused because the caller's role does not suffice. */
  refused?(caller: Caller, procedure: string): void;
}

/** The context that every procedure gets. */
export interface AdminContext {
  readonly service: AdminService;
  readonly caller: Caller;
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

/** Refuses the procedure unless the caller's role suffices. Throws PERMISSION_DENIED. */
const requires = (needed: Role) =>
  trpc.middleware(({ ctx, path, next }) => {
    const { caller, service } = ctx;
    if (!mayAct(caller.role, needed)) {
      service.refused?.(caller, path);
      const sentence = `${path} needs the role ${needed}, and "${caller.name}" has the role ${caller.role}: use a token with that role`;
      throw new OperationError('PERMISSION_DENIED', sentence);
    }
    return next();
  });

/** Tells of an order before it is carried out, and of one that was not carried out. */
const told = trpc.middleware(async ({ ctx, path, getRawInput, next }) => {
  const { caller, service } = ctx;
  const input = await getRawInput();
  const target = targetOf(input);
  await service.ordered?.(caller, path, target, JSON.stringify(input) ?? '');
  const result = await next();
  if (!result.ok) service.orderFailed?.(caller, path, target, result.error.message);
  return result;
});

/** What an order is for: the pool that its input names, or the name of what is to be made. */
function targetOf(input: unknown): string {
  const named = z.union([z.object({ pool: z.string().max(64) }), z.object({ name: z.string().max(64) })]).safeParse(input);
  if (!named.success) return '';
  return 'pool' in named.data ? named.data.pool : named.data.name;
}

/** A procedure that only looks. Every procedure is of one of these kinds. */
const looking = trpc.procedure.use(requires('viewer'));
/** A procedure that changes nothing that anybody would ask about later. */
const serving = trpc.procedure.use(requires('operator'));
/** A procedure that changes something and can't lose data. */
const operating = trpc.procedure.use(requires('operator')).use(told);
/** A procedure that may lose data. A person has to decide it. */
const deciding = trpc.procedure.use(requires('admin')).use(told);

/** Refuses the procedure unless this daemon is a client node. Throws UNSUPPORTED. */
const onClientNode = trpc.middleware(({ ctx, path, next }) => {
  const { pools } = ctx.service;
  if (pools === undefined) throw noClientNode(path);
  return next({ ctx: { pools } });
});

/** As {@link onClientNode}, for orders that become operations. */
const drivesOperations = trpc.middleware(({ ctx, path, next }) => {
  const { volumes, operations } = ctx.service;
  if (volumes === undefined || operations === undefined) throw noClientNode(path);
  return next({ ctx: { volumes, operations } });
});

function noClientNode(path: string): OperationError {
  return new OperationError(
    'UNSUPPORTED',
    `only a client node can do ${path}, and this daemon is not a client node: ask the client node that maps the volume`,
  );
}

/** Refuses the procedure unless this daemon is a storage node. Throws UNSUPPORTED. */
const onStorageNode = trpc.middleware(({ ctx, path, next }) => {
  const { disks } = ctx.service;
  if (disks === undefined) {
    throw new OperationError('UNSUPPORTED', `only a storage node can do ${path}, and this daemon is not a storage node`);
  }
  return next({ ctx: { disks } });
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

const volumeOrder = operating.use(drivesOperations).output(operationViewSchema);
const volumeDecision = deciding.use(drivesOperations).output(operationViewSchema);

/** Orders for volumes; see {@link VolumeOrders}. Each answers with its operation, which goes on by itself. */
const volumeRouter = trpc.router({
  create: volumeOrder.input(volumeCreateInputSchema).mutation(({ ctx, input }) => ctx.volumes.create(input, ctx.caller.name)),
  map: volumeOrder.input(volumeMapInputSchema).mutation(({ ctx, input }) => ctx.volumes.map(input, ctx.caller.name)),
  /** Takes a volume over from the client node that serves it, which is asked for it. */
  takeOver: volumeOrder.input(volumeTakeoverInputSchema).mutation(({ ctx, input }) => ctx.volumes.takeOver(input, false, ctx.caller.name)),
  /** Takes a volume from a client node that may be alive, and is not asked. */
  seize: volumeDecision.input(volumeSeizeInputSchema).mutation(({ ctx, input: { confirm, ...input } }) => {
    if (confirm !== input.name)
      throw new OperationError(
        'INVALID_ARGUMENT',
        `the volume is called ${input.name}, and not ${confirm}: type its name to take it by force`,
      );
    return ctx.volumes.takeOver(input, true, ctx.caller.name);
  }),
  unmap: volumeOrder.input(volumeUnmapInputSchema).mutation(({ ctx, input }) => ctx.volumes.unmap(input, ctx.caller.name)),
  quorum: volumeOrder.input(quorumInputSchema).mutation(({ ctx, input }) => ctx.volumes.setQuorum(input, ctx.caller.name)),
  delete: volumeDecision.input(volumeDeleteInputSchema).mutation(({ ctx, input }) => ctx.volumes.delete(input, ctx.caller.name)),
});

const memberRouter = trpc.router({
  add: volumeOrder.input(memberAddInputSchema).mutation(({ ctx, input }) => ctx.volumes.addMember(input, ctx.caller.name)),
  remove: volumeDecision.input(memberRemoveInputSchema).mutation(({ ctx, input }) => ctx.volumes.removeMember(input, ctx.caller.name)),
  replace: volumeDecision.input(memberReplaceInputSchema).mutation(({ ctx, input }) => ctx.volumes.replaceStore(input, ctx.caller.name)),
  maintenance: volumeOrder.input(maintenanceInputSchema).mutation(({ ctx, input }) => ctx.volumes.maintenance(input, ctx.caller.name)),
});

const resyncRouter = trpc.router({
  /** Members pull no faster than this. */
  limit: operating
    .use(drivesOperations)
    .input(resyncLimitInputSchema)
    .output(DONE)
    .mutation(async ({ ctx, input }) => {
      await ctx.volumes.resync(input, ctx.caller.name);
      return { done: true as const };
    }),
  /** Members pull only what IO waits for, or go on. */
  pause: operating
    .use(drivesOperations)
    .input(resyncPauseInputSchema)
    .output(DONE)
    .mutation(async ({ ctx, input }) => {
      await ctx.volumes.resync(input, ctx.caller.name);
      return { done: true as const };
    }),
});

const operationRouter = trpc.router({
  list: looking
    .use(drivesOperations)
    .input(operationListInputSchema)
    .output(z.array(operationViewSchema))
    .query(({ ctx, input }) => [...ctx.operations.list(input)]),
  show: looking
    .use(drivesOperations)
    .input(z.strictObject({ id: z.uuid() }))
    .output(operationViewSchema)
    .query(({ ctx, input }) => ctx.operations.show(input.id)),
  cancel: operating
    .use(drivesOperations)
    .input(z.strictObject({ id: z.uuid() }))
    .output(operationViewSchema)
    .mutation(({ ctx, input }) => ctx.operations.cancel(input.id, ctx.caller.name)),
});

const diskRouter = trpc.router({
  /** Looks at every disk of this storage node. */
  list: looking
    .use(onStorageNode)
    .output(z.array(diskStatusSchema))
    .query(async ({ ctx }) => [...(await ctx.disks.list())]),
});

const eventRouter = trpc.router({
  page: looking
    .input(eventPageInputSchema)
    .output(eventPageSchema)
    .query(({ ctx, input }) => {
      if (ctx.service.events === undefined) throw new OperationError('UNSUPPORTED', 'this daemon keeps no events');
      return ctx.service.events.page(input);
    }),
});

/** The admin interface of every daemon. Procedures and fields are only ever added. */
export const adminRouter = trpc.router({
  /** The status of the daemon. */
  status: looking.output(nodeStatusSchema).query(({ ctx }) => ctx.service.status()),
  /** Makes acknowledged data durable; see {@link AdminService.flush}. */
  flush: serving
    .input(z.strictObject({ pool: z.string().min(1).max(64).nullable().default(null) }))
    .output(z.object({ flushed: z.literal(true) }))
    .mutation(async ({ ctx, input }) => {
      await ctx.service.flush(input.pool);
      return { flushed: true as const };
    }),
  pool: poolRouter,
  volume: volumeRouter,
  member: memberRouter,
  resync: resyncRouter,
  operation: operationRouter,
  disk: diskRouter,
  event: eventRouter,
});

export type AdminRouter = typeof adminRouter;
