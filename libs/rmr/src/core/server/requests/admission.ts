import type { RtrsServerRequest } from '@rmr/rtrs';
import { Status } from '@rmr/runtime';
import type { PoolStore } from '../../../pool-store.ts';
import { type IoMessage, isWriteType, MessageType } from '../../../wire/io-message.ts';
import type { Serving } from '../serving.ts';

/**
 * Whether an IO request, whose message is valid, is executed: `OK`, or the status it is refused with. `EINVAL`: beyond the
 * device. `EPROTO`: a payload or an IO unit that can't be. `ESTALE`: of another epoch than the one that is served (I7).
 * `ENOTNORMAL`: nobody is served, or not on this session. `EVERSION`: of a version under which it must not be executed any more, or not yet (W6, R1).
 *
 * Called for every request: it allocates nothing.
 */
export function admission(request: RtrsServerRequest, message: IoMessage, store: PoolStore, serving: Serving): number {
  if (message.offsetBytes + message.lengthBytes > store.identity.sizeBytes) return Status.EINVAL;
  const payloadBytes = request.payload === null ? 0 : request.payload.length;
  if (payloadBytes !== (message.type === MessageType.WRITE ? message.lengthBytes : 0)) return Status.EPROTO;
  if (message.type === MessageType.SYNC_READ) {
    if (serving.state !== 'NORMAL') return Status.ENOTNORMAL;
    // R1: only under the very same version.
    return message.epoch === serving.epoch && message.versionSeq === serving.versionSeq ? Status.OK : Status.EVERSION;
  }
  // ESTALE stops a client for good (C3): not for an epoch that may still be served, as it was not promised to somebody else.
  if (message.epoch !== serving.epoch)
    return serving.epoch === 0 && message.epoch >= (store.promise?.epoch ?? 0) ? Status.ENOTNORMAL : Status.ESTALE;
  // I10: what an earlier session of the same client brings was given up with it, and has been sent again since.
  if (serving.state !== 'NORMAL' || request.session !== serving.holder) return Status.ENOTNORMAL;
  if (message.ioUnit >= store.identity.queueDepth) return Status.EPROTO;
  if (message.versionSeq === serving.versionSeq) return Status.OK;
  if (message.versionSeq > serving.versionSeq || message.versionSeq < serving.enabledSeq) return Status.EVERSION;
  // W6: a write of before the shrink is acceptable if the shrink has counted it in.
  return isWriteType(message.type) && message.writeSeq > serving.horizon ? Status.EVERSION : Status.OK;
}
