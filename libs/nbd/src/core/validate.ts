import type { BlockDevice } from '../block-device.ts';
import { PAYLOAD_BYTES_MAX } from '../constants.ts';
import { encodeText } from '../wire/bytes.ts';
import { CommandFlag, NbdCommand, NbdError } from '../wire/protocol.ts';

/** Why a request is refused: the error, and a sentence that clients with structured replies can show. */
export interface Rejection {
  readonly error: number;
  readonly message: Uint8Array;
}

function rejection(error: number, text: string): Rejection {
  return { error, message: encodeText(text) };
}

export const REJECTIONS = {
  UNKNOWN_COMMAND: rejection(NbdError.EINVAL, 'this server does not know the command'),
  UNKNOWN_FLAGS: rejection(NbdError.EINVAL, 'the command does not take these flags'),
  READ_ONLY: rejection(NbdError.EPERM, 'the export is read-only'),
  FLUSH_RANGE: rejection(NbdError.EINVAL, 'a flush has no range: offset and length must be zero'),
  EMPTY: rejection(NbdError.EINVAL, 'the length is zero'),
  UNALIGNED: rejection(NbdError.EINVAL, 'offset and length must be multiples of the minimum block size'),
  WRITE_BEYOND_END: rejection(NbdError.ENOSPC, 'the range ends beyond the end of the export'),
  BEYOND_END: rejection(NbdError.EINVAL, 'the range ends beyond the end of the export'),
  TOO_LONG: rejection(NbdError.EINVAL, 'the request is longer than the maximum block size'),
  NOT_FAST: rejection(NbdError.ENOTSUP, 'writing zeroes would not be faster than writing data'),
  NO_CONTEXT: rejection(NbdError.EINVAL, 'block status needs base:allocation to be selected for this export first'),
  SHUTDOWN: rejection(NbdError.ESHUTDOWN, 'the server is shutting down'),
} as const;

const ALLOWED_FLAGS: readonly number[] = (() => {
  const allowed: number[] = [];
  // FUA is accepted everywhere: clients are known to set it on commands that write nothing.
  allowed[NbdCommand.READ] = CommandFlag.FUA | CommandFlag.DF;
  allowed[NbdCommand.WRITE] = CommandFlag.FUA;
  allowed[NbdCommand.DISC] = CommandFlag.FUA;
  allowed[NbdCommand.FLUSH] = CommandFlag.FUA;
  allowed[NbdCommand.TRIM] = CommandFlag.FUA;
  allowed[NbdCommand.CACHE] = CommandFlag.FUA;
  allowed[NbdCommand.WRITE_ZEROES] = CommandFlag.FUA | CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO;
  allowed[NbdCommand.BLOCK_STATUS] = CommandFlag.FUA | CommandFlag.REQ_ONE;
  return allowed;
})();

/**
 * Checks a request. This is the only place for that: a request that passes is trusted inside. Null: the request may go to the device.
 * The errors are those of proto.md, "Error values" and "Request types".
 *
 * @param structured whether structured replies were agreed on, without which there is no DF
 * @param blockStatus whether `base:allocation` was selected for this export
 */
export function requestRejection(
  device: BlockDevice,
  command: number,
  flags: number,
  offsetBytes: number,
  lengthBytes: number,
  structured: boolean,
  blockStatus: boolean,
): Rejection | null {
  const allowed = ALLOWED_FLAGS[command];
  if (allowed === undefined) return REJECTIONS.UNKNOWN_COMMAND;
  if ((flags & ~allowed) !== 0) return REJECTIONS.UNKNOWN_FLAGS;
  if ((flags & CommandFlag.DF) !== 0 && !structured) return REJECTIONS.UNKNOWN_FLAGS;
  const stores = command === NbdCommand.WRITE || command === NbdCommand.WRITE_ZEROES;
  if (device.readOnly && (stores || command === NbdCommand.TRIM)) return REJECTIONS.READ_ONLY;
  if (command === NbdCommand.FLUSH) return offsetBytes === 0 && lengthBytes === 0 ? null : REJECTIONS.FLUSH_RANGE;
  if (command === NbdCommand.BLOCK_STATUS && !blockStatus) return REJECTIONS.NO_CONTEXT;
  if (lengthBytes === 0) return REJECTIONS.EMPTY;
  if (offsetBytes + lengthBytes > device.sizeBytes) return stores ? REJECTIONS.WRITE_BEYOND_END : REJECTIONS.BEYOND_END;
  const blockBytes = device.blockSizeMinBytes;
  if (blockBytes > 1 && (offsetBytes % blockBytes !== 0 || lengthBytes % blockBytes !== 0)) return REJECTIONS.UNALIGNED;
  if (lengthBytes > PAYLOAD_BYTES_MAX && (command === NbdCommand.READ || command === NbdCommand.WRITE)) return REJECTIONS.TOO_LONG;
  if ((flags & CommandFlag.FAST_ZERO) !== 0) {
    const fast = (flags & CommandFlag.NO_HOLE) === 0 ? device.fastZero : device.fastZeroNoHole;
    if (!fast) return REJECTIONS.NOT_FAST;
  }
  return null;
}
