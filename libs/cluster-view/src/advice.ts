/** What a person can do about something: in the words of a daemon, or as an action that a program can offer. */
import { OperationError, type OperationErrorCode } from '@rmr/runtime';

/** A failure with what a person can do about it, and whether anything has changed. Its message says what happened and why. */
export class AdvisedError extends OperationError {
  readonly advice: readonly Advice[];
  readonly changed: Changed;

  constructor(code: OperationErrorCode, message: string, advice: readonly Advice[], changed: Changed, options?: { cause?: unknown }) {
    super(code, message, options);
    this.advice = advice;
    this.changed = changed;
  }
}

/** An action that would help. A command line shows it as a command, a page as a button. Null: the person has to choose that part. */
export type Action =
  | { readonly do: 'status' }
  | { readonly do: 'volume-list' }
  | { readonly do: 'volume-show' | 'volume-map' | 'volume-force'; readonly volume: string }
  | { readonly do: 'volume-unmap'; readonly volume: string; readonly evenIfConnected: boolean; readonly client?: string }
  | { readonly do: 'volume-takeover'; readonly volume: string; readonly evenIfConnected: boolean }
  | { readonly do: 'volume-delete'; readonly volume: string; readonly evenIfConnected: boolean }
  | { readonly do: 'member-replace'; readonly volume: string; readonly memberId: number; readonly disk: string | null }
  | { readonly do: 'maintenance-off'; readonly volume: string; readonly memberId: number }
  | { readonly do: 'resync-show' | 'resync-resume'; readonly volume: string }
  | { readonly do: 'disk-list' }
  | { readonly do: 'operation-wait' | 'operation-show'; readonly id: string }
  | { readonly do: 'operation-list' };

/** A sentence, or an action with the words before it. */
export type Advice = string | { readonly sentence: string; readonly action: Action };

/** Whether anything has changed when something failed. `unknown`: the order may have been taken. */
export type Changed = 'nothing' | 'unknown' | 'goes on';
