/**
 * An operation: a change that takes more than one step, or more than a moment. It has a journal, so that it goes on after a crash of
 * whoever drives it, and everybody can see what it does, what it waits for, and how it ended.
 */
import type { OperationError, OperationErrorCode } from '@rmr/runtime';

/** An operation, with what is not durable. */
export interface Operation extends OperationRecord {
  readonly progress: OperationProgress | null;
  /** What it waits for, since when (wall clock), and what a person can do about it. */
  readonly waitingFor: { readonly what: string; readonly sinceMs: number; readonly remedy?: string | undefined } | null;
}

/** Every state, with the states that may follow and why. */
export const OPERATION_TRANSITIONS = {
  QUEUED: { RUNNING: 'it is its turn', CANCELLED: 'somebody cancelled it before its first step', FAILED: 'its kind is not known any more' },
  RUNNING: {
    WAITING: 'something has to happen before its step can go on',
    SUCCEEDED: 'its last step is done',
    FAILED: 'a step failed, and what can be undone is undone',
    CANCELLED: 'somebody cancelled it, and what can be undone is undone',
  },
  WAITING: {
    RUNNING: 'what it waited for has happened',
    SUCCEEDED: 'its last step has waited for something, and is done',
    FAILED: 'a step failed',
    CANCELLED: 'somebody cancelled it',
  },
  SUCCEEDED: {},
  FAILED: {},
  CANCELLED: {},
} as const;
export type OperationState = keyof typeof OPERATION_TRANSITIONS;

/** Whether an operation in this state goes on by itself. */
export function isUnfinished(state: OperationState): boolean {
  return state === 'QUEUED' || state === 'RUNNING' || state === 'WAITING';
}

/** What is durable of an operation: a record for each step, made before the step begins. */
export interface OperationRecord {
  readonly id: string;
  readonly kind: string;
  /** What it changes, such as the UUID of a volume. Operations on one target come one after the other. */
  readonly target: string;
  readonly targetName: string;
  readonly requestedBy: string;
  /** The same id of a request gives the same operation. */
  readonly requestId: string | null;
  readonly createdAtMs: number;
  readonly state: OperationState;
  /** The index of the step that it is at. While it is undone, of the step that is undone. */
  readonly step: number;
  /** Why it is being undone, or was: it failed, or was cancelled. */
  readonly error: { readonly code: OperationErrorCode; readonly sentence: string } | null;
  /** Somebody wants its end. */
  readonly cancelled: boolean;
  readonly undoing: boolean;
  /** What it was asked for. */
  readonly input: unknown;
  /** What its steps have decided, such as UUIDs. Durable before the step begins that uses it. */
  readonly memory: Readonly<Record<string, unknown>>;
  readonly result: Readonly<Record<string, unknown>> | null;
  /** Wall clock. */
  readonly sinceMs: number;
  readonly endedAtMs: number | null;
}

export interface OperationProgress {
  readonly done: number;
  readonly total: number;
  readonly unit: 'bytes' | 'members' | 'stores';
}

/** How a run of a step ended. */
export type StepEnd =
  | { readonly end: 'done'; readonly result?: Readonly<Record<string, unknown>> }
  | { readonly end: 'failed'; readonly error: OperationError }
  /** Something has to happen first: run the step again after a while. `remedy`: what a person can do about it. */
  | { readonly end: 'retry'; readonly what: string; readonly remedy?: string | undefined; readonly afterMs: number };
export type StepDone = (end: StepEnd) => void;

/** What a step sees of its operation. */
export interface StepContext<Input> {
  readonly input: Input;
  readonly memory: Readonly<Record<string, unknown>>;
  /** Adds to the memory. It is durable before the next step begins; what a step does itself must not depend on it. */
  remember(patch: Readonly<Record<string, unknown>>): void;
  progress(done: number, total: number, unit: OperationProgress['unit']): void;
}

/**
 * A step. It may have been begun before, by a process that crashed: so it looks at what is there first, and doing it twice is as good as
 * doing it once. It calls `done` once, and not from within `run`.
 */
export interface OperationStep<Input> {
  readonly name: string;
  /** What it does, for people: "makes the stores". */
  readonly sentence: string;
  run(context: StepContext<Input>, done: StepDone): void;
  /** Undoes the step, begun or done, when the operation fails or is cancelled. Absent: there is nothing to undo. */
  undo?(context: StepContext<Input>, done: StepDone): void;
  /** Why the operation can't be cancelled any more once this step has begun. Absent: it can. */
  readonly tooLate?: string;
}

/** A kind of operation. */
export interface OperationKind<Input = unknown> {
  readonly kind: string;
  readonly steps: readonly OperationStep<Input>[];
}
