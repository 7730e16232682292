import { errorMessage, OperationError } from '@rmr/runtime';
import { openError } from '../disk-file.ts';

/** What the file system said of a path, as an operating failure. Anything else is a bug, and stays what it is. */
export function failureAt(path: string, error: unknown): unknown {
  return isErrno(error) ? openError(path, error) : error;
}

/** What the file system said in the middle of a change, as an operating failure. */
export function failureOfChange(label: string, error: unknown): unknown {
  if (!isErrno(error)) return error;
  const { code } = error;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new OperationError('NO_SPACE', `${label} is full (${code}); free some space, and ask for the same again`);
  return new OperationError(
    'IO_ERROR',
    `${label} has failed: ${errorMessage(error)}; check it and the kernel log, and ask for the same again`,
  );
}

function isErrno(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && !(error instanceof OperationError) && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}
