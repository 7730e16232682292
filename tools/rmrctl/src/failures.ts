/** A failure on the screen: what happened and why, then what to do, then whether anything has changed. */
import { AdvisedError } from '@rmr/cluster-view';
import { OPERATION_ERRORS, OperationError, type OperationErrorCode } from '@rmr/runtime';
import { adviceText } from './action-command.ts';
import type { Painter } from './painter.ts';

/** The failure of an operation: its order was taken, and the operation ended badly. */
export class OperationFailure extends OperationError {}

/** The first word: what happened. */
const WORDS: Partial<Record<OperationErrorCode, string>> = {
  INVALID_ARGUMENT: 'Not understood',
  INVALID_CONFIG: 'Wrong configuration',
  UNAUTHENTICATED: 'Refused',
  PERMISSION_DENIED: 'Refused',
  NOT_FOUND: 'Not found',
  ALREADY_EXISTS: 'Refused',
  CONFLICT: 'Refused',
  NO_SPACE: 'No space',
  UNAVAILABLE: 'No answer',
  TIMEOUT: 'Not yet',
  UNSUPPORTED: 'Not possible',
};

const CHANGED = {
  nothing: 'Nothing has been changed.',
  unknown: 'Whether anything has changed is not known.',
  'goes on': 'It goes on by itself.',
} as const;

export function failureText(painter: Painter, error: OperationError): string {
  const word = error instanceof OperationFailure ? 'Failed' : (WORDS[error.code] ?? 'Failed');
  const lines = [painter.lines(`${painter.mark('down')} `, `${word}: ${error.message.replace(/\.$/, '')} (${error.code}).`)];
  if (error instanceof AdvisedError) {
    for (const advice of error.advice) lines.push(painter.lines('  ', adviceText(advice)));
    lines.push(`  ${CHANGED[error.changed]}`);
  }
  return lines.join('\n');
}

/** The exit code of a failure. A code that a newer daemon has made up counts as an error of the daemon. */
export function exitCodeOf({ code }: OperationError): number {
  return (OPERATION_ERRORS[code] ?? OPERATION_ERRORS.IO_ERROR).exit;
}
