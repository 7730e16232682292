// Operations: changes of more than one step, or of more than a moment. The daemon that drives one keeps a journal of it.
import { z } from 'zod';
import { waitingForSchema } from './status-common.ts';

const timeText = z.string();

/** The states of an operation. `QUEUED`, `RUNNING` and `WAITING` go on by themselves, also after a restart of the daemon. */
export const OPERATION_STATES = ['QUEUED', 'RUNNING', 'WAITING', 'SUCCEEDED', 'FAILED', 'CANCELLED'] as const;

/** Every kind of operation. */
export const OPERATION_KINDS = [
  'volume-create',
  'volume-delete',
  'volume-map',
  'volume-takeover',
  'volume-unmap',
  'member-add',
  'member-remove',
  'member-move',
  'store-replace',
  'maintenance-on',
  'maintenance-off',
  'resync-anew',
  'set-quorum',
] as const;
export type OperationKindName = (typeof OPERATION_KINDS)[number];

/** An operation, as the daemon that drives it tells it. */
export const operationViewSchema = z.object({
  id: z.string(),
  kind: z.enum(OPERATION_KINDS),
  /** What it changes: the UUID of the volume, and its name. */
  target: z.string(),
  targetName: z.string(),
  /** The name of whoever asked for it. */
  requestedBy: z.string(),
  createdAt: timeText,
  state: z.enum(OPERATION_STATES),
  /** What it does now, or did last, for people; and which step of how many that is, counted from 1. */
  step: z.string(),
  stepNumber: z.number().int().min(0),
  steps: z.number().int().min(0),
  /** How far the step is. Null: the step has no measure. */
  progress: z.object({ done: z.number().min(0), total: z.number().min(0), unit: z.enum(['bytes', 'members', 'stores']) }).nullable(),
  /** What it waits for. Null: it does not wait. */
  waitingFor: waitingForSchema.nullable(),
  /** Why it failed or was cancelled. */
  error: z.object({ code: z.string(), sentence: z.string() }).nullable(),
  /** What it led to, for programs. Null while it has not succeeded. */
  result: z.record(z.string(), z.unknown()).nullable(),
  endedAt: timeText.nullable(),
});
export type OperationView = z.infer<typeof operationViewSchema>;

/** The input of `operation.list`: newest first. `before`: only those that were created before the one with this id. */
export const operationListInputSchema = z.strictObject({
  target: z.string().min(1).max(64).nullable().default(null),
  unfinished: z.boolean().default(false),
  before: z.uuid().nullable().default(null),
  limit: z.int().min(1).max(200).default(50),
});
export type OperationListInput = z.infer<typeof operationListInputSchema>;

/** The operations that a client node drives. */
export interface Operations {
  list(input: OperationListInput): readonly OperationView[];
  /** Throws NOT_FOUND. */
  show(id: string): OperationView;
  /** Asks for the end of an operation. Throws NOT_FOUND, and CONFLICT with the reason where it is too late. */
  cancel(id: string, by: string): Promise<OperationView>;
}
