import type { BlockDevice } from '../block-device.ts';
import { TransmissionFlag } from '../wire/protocol.ts';
import { NbdCounters } from './counters.ts';

/** A device that is exported, with what is counted about it. */
export class ExportEntry {
  readonly device: BlockDevice;
  readonly counters = new NbdCounters();
  /** Connections in transmission on it. */
  connectionCount = 0;

  constructor(device: BlockDevice) {
    this.device = device;
  }
}

/**
 * The transmission flags of a device. A read-only device does not offer what would change it. FAST_ZERO is offered
 * always: the answer is quick in either case (proto.md, `NBD_FLAG_SEND_FAST_ZERO`).
 */
export function transmissionFlags(device: BlockDevice, structured: boolean): number {
  let flags =
    TransmissionFlag.HAS_FLAGS |
    TransmissionFlag.SEND_FLUSH |
    TransmissionFlag.SEND_FUA |
    TransmissionFlag.CAN_MULTI_CONN |
    TransmissionFlag.SEND_CACHE;
  flags |= device.readOnly
    ? TransmissionFlag.READ_ONLY
    : TransmissionFlag.SEND_TRIM | TransmissionFlag.SEND_WRITE_ZEROES | TransmissionFlag.SEND_FAST_ZERO;
  if (device.rotational) flags |= TransmissionFlag.ROTATIONAL;
  if (structured) flags |= TransmissionFlag.SEND_DF;
  return flags;
}
