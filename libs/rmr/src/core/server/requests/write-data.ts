import type { RtrsServerRequest } from '@rmr/rtrs';
import type { DiskSink } from '@rmr/runtime';
import type { PoolStore } from '../../../pool-store.ts';
import { IoFlag, MessageType } from '../../../wire/io-message.ts';
import type { RequestSlots } from './request-slots.ts';

/**
 * Gives the store what a write, a discard, or zeroes does to a range, which is the request's own or a part of it: bytes, a hole, or
 * zeroes that keep their space. `sink` is told with the request's tag when the store has done it.
 * `through`: past all caches.
 */
export function submitRange(
  store: PoolStore,
  slots: RequestSlots,
  tag: number,
  offsetBytes: number,
  lengthBytes: number,
  sink: DiskSink,
  through = false,
): void {
  const type = slots.types[tag];
  if (type === MessageType.WRITE) {
    const payload = (slots.requests[tag] as RtrsServerRequest).payload as Uint8Array;
    const from = offsetBytes - (slots.offsets[tag] as number);
    const part = lengthBytes === payload.length ? payload : payload.subarray(from, from + lengthBytes);
    store.write(offsetBytes, part, tag, sink, through);
  } else if (type === MessageType.WRITE_ZEROES && ((slots.flags[tag] as number) & IoFlag.NO_HOLE) !== 0) {
    store.zero(offsetBytes, lengthBytes, tag, sink, through);
  } else {
    store.punch(offsetBytes, lengthBytes, tag, sink, through);
  }
}
