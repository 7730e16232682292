import { Status } from '@rmr/runtime';
import { Errno } from './libc.ts';

/** Error numbers that tell the user something pass; the rest is an IO error. */
export function statusOfErrno(code: number): number {
  switch (code) {
    case Errno.ENOSPC:
    case Errno.EDQUOT:
      return Status.ENOSPC;
    case Errno.EINVAL:
      return Status.EINVAL;
    case Errno.EOPNOTSUPP:
      return Status.ENOTSUP;
    default:
      return Status.EIO;
  }
}
