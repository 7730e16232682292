import { Status } from '@rmr/runtime';
import { CommandFlag, NbdError } from './wire/protocol.ts';

/**
 * The NBD error for a device's status. Only the numbers that the protocol lists may travel (proto.md, "Error
 * values"). A status without a counterpart there becomes EIO, whatever its cause.
 */
export function nbdErrorOf(status: number, commandFlags: number): number {
  switch (status) {
    case Status.OK:
      return 0;
    case Status.EPERM:
      return NbdError.EPERM;
    case Status.ENOMEM:
      return NbdError.ENOMEM;
    case Status.EINVAL:
      return NbdError.EINVAL;
    case Status.ENOSPC:
      return NbdError.ENOSPC;
    case Status.ENOTSUP:
      // Allowed only as the answer to FAST_ZERO.
      return (commandFlags & CommandFlag.FAST_ZERO) !== 0 ? NbdError.ENOTSUP : NbdError.EINVAL;
    case Status.ESHUTDOWN:
      return NbdError.ESHUTDOWN;
    default:
      return NbdError.EIO;
  }
}
