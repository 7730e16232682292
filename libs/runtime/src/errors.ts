/**
 * The three kinds of failure, kept apart:
 *
 * - a bug: {@link assert} throws {@link InvariantViolation}; the process crashes, and a restart is safe;
 * - an operating failure: a numeric {@link ../status.ts Status} on the data path, an {@link OperationError}
 *   with a stable code on the control path;
 * - bad bytes from a peer: the parser returns a reason, and the path that brought them is closed.
 */

/** A broken invariant: a bug in this program. Never caught to continue. */
export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
}

/** Throws {@link InvariantViolation} unless `condition` holds. Stays on in production. Messages are constant strings. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}

/** Marks a branch that the type system proves impossible. */
export function unreachable(value: never): never {
  throw new InvariantViolation(`unreachable: ${String(value)}`);
}

/**
 * The table of all operating failures on the control path. For each stable code it has the HTTP status, the exit code of a process,
 * and the errno name. Callers match on the code and never on text.
 */
export const OPERATION_ERRORS = {
  INVALID_ARGUMENT: { http: 400, exit: 2, errno: 'EINVAL' },
  INVALID_CONFIG: { http: 400, exit: 2, errno: 'EINVAL' },
  UNAUTHENTICATED: { http: 401, exit: 3, errno: 'EACCES' },
  PERMISSION_DENIED: { http: 403, exit: 3, errno: 'EPERM' },
  NOT_FOUND: { http: 404, exit: 4, errno: 'ENOENT' },
  ALREADY_EXISTS: { http: 409, exit: 5, errno: 'EEXIST' },
  CONFLICT: { http: 409, exit: 5, errno: 'EBUSY' },
  ADDRESS_IN_USE: { http: 409, exit: 5, errno: 'EADDRINUSE' },
  STORE_LOCKED: { http: 409, exit: 5, errno: 'EBUSY' },
  STORE_NOT_FORMATTED: { http: 422, exit: 6, errno: 'ENODEV' },
  STORE_DAMAGED: { http: 422, exit: 6, errno: 'EUCLEAN' },
  STORE_VERSION_UNKNOWN: { http: 422, exit: 6, errno: 'EPROTONOSUPPORT' },
  STORE_TOO_SMALL: { http: 422, exit: 6, errno: 'ENOSPC' },
  STORE_FOREIGN: { http: 422, exit: 6, errno: 'EXDEV' },
  STALE_EPOCH: { http: 409, exit: 7, errno: 'ESTALE' },
  UNAVAILABLE: { http: 503, exit: 8, errno: 'EAGAIN' },
  TIMEOUT: { http: 504, exit: 8, errno: 'ETIMEDOUT' },
  NO_SPACE: { http: 507, exit: 9, errno: 'ENOSPC' },
  IO_ERROR: { http: 500, exit: 9, errno: 'EIO' },
  UNSUPPORTED: { http: 501, exit: 10, errno: 'EOPNOTSUPP' },
} as const satisfies Record<string, { http: number; exit: number; errno: string }>;

/** A stable code of {@link OPERATION_ERRORS}. */
export type OperationErrorCode = keyof typeof OPERATION_ERRORS;

/** An operating failure on the control path. The message says what failed, why, and what to do. */
export class OperationError extends Error {
  override readonly name = 'OperationError';
  readonly code: OperationErrorCode;

  constructor(code: OperationErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The text of anything thrown. */
export function errorMessage(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
