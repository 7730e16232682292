/**
 * The numeric outcome of a request on the data path. 0 is success. Values below {@link INTERNAL_STATUS_MIN} are Linux errno numbers, so
 * that the NBD front end can pass them on. Values from there on never leave this system.
 */
export const Status = {
  OK: 0,
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
  ETIMEDOUT: 110,
  /** The request is of an older client epoch (I7). Stops the client for good (C3). */
  ESTALE: 116,
  /** The request's version is not acceptable to the member (W6). */
  EVERSION: 1001,
  /** The pool on this member is not NORMAL. */
  ENOTNORMAL: 1002,
  /** The pool or handle is unknown to the member. */
  ENOPOOL: 1003,
  /** The session was lost before the response arrived; the request may or may not have been executed. */
  ESESSION: 1004,
  /** The request is malformed. */
  EPROTO: 1005,
  /** Dirty chunk: this member cannot serve it to another member (R1), nor to a client while its disk does not take it (W10). */
  EDIRTY: 1006,
  /** The member bounced the request, which waited for a dirty chunk when a map update began. The client sends it again under the new version (L4). */
  EBOUNCED: 1007,
  /** No clean copy of a chunk exists any more (I8). EIO to users. */
  ELOST: 1008,
  /** The write was carried out, except for dirty chunks that this member can't take. They stay dirty here (W10). */
  EPASSED: 1009,
} as const;

/** The least status that is no errno: it says what a member of a pool, a session or a message is like, and not what a disk did. */
export const INTERNAL_STATUS_MIN = 1000;

export type Status = (typeof Status)[keyof typeof Status];

const NAMES = new Map<number, string>(Object.entries(Status).map(([name, value]) => [value, name]));

/** The name of a status, for logs and errors. */
export function statusName(status: number): string {
  return NAMES.get(status) ?? `status ${status}`;
}
