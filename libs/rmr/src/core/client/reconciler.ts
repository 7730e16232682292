import type { RtrsResponseSink } from '@rmr/rtrs';
import { assert, type Slab, Status } from '@rmr/runtime';
import { IO_BYTES_MAX, RECONCILE_DEPTH } from '../../constants.ts';
import type { ByteRange } from '../../pool-store.ts';
import { encodeIoMessage, IO_MESSAGE_BYTES, IoFlag, IoMessage, MessageType } from '../../wire/io-message.ts';
import type { Leg } from './leg.ts';

/** Merges overlapping and adjacent ranges, in order of their offsets. */
export function mergeRanges(ranges: readonly ByteRange[]): ByteRange[] {
  const sorted = [...ranges].sort((a, b) => a.offsetBytes - b.offsetBytes);
  const merged: { offsetBytes: number; lengthBytes: number }[] = [];
  for (const range of sorted) {
    const last = merged[merged.length - 1];
    const end = range.offsetBytes + range.lengthBytes;
    if (last === undefined || range.offsetBytes > last.offsetBytes + last.lengthBytes) merged.push({ ...range });
    else last.lengthBytes = Math.max(last.lengthBytes, end - last.offsetBytes);
  }
  return merged;
}

/**
 * Makes the members equal where a crash may have left them different: every suspect range is copied from one winner to
 * all others, then everything is flushed on all of them (I2). Runs between the grants and the first version of the new
 * epoch, so nobody else does IO.
 */
export class Reconciler implements RtrsResponseSink {
  readonly #winner: Leg;
  readonly #others: readonly Leg[];
  readonly #epoch: number;
  readonly #pieces: ByteRange[] = [];
  readonly #totalBytes: number;
  readonly #depth: number;
  readonly #done: (failure: string | null) => void;
  readonly #message = new IoMessage();
  readonly #steps = new Map<number, (status: number, payload: Uint8Array | null, slab: Slab | null) => void>();
  #nextTag = 1;
  #active = 0;
  #doneBytes = 0;
  #flushing = false;
  #ended = false;

  constructor(winner: Leg, others: readonly Leg[], epoch: number, suspects: readonly ByteRange[], done: (failure: string | null) => void) {
    this.#winner = winner;
    this.#others = others;
    this.#epoch = epoch;
    this.#done = done;
    let total = 0;
    if (others.length > 0) {
      for (const range of mergeRanges(suspects)) {
        for (let from = 0; from < range.lengthBytes; from += IO_BYTES_MAX) {
          const lengthBytes = Math.min(IO_BYTES_MAX, range.lengthBytes - from);
          this.#pieces.push({ offsetBytes: range.offsetBytes + from, lengthBytes });
          total += lengthBytes;
        }
      }
    }
    this.#pieces.reverse();
    // A piece takes one permit of each session at a time.
    this.#depth = Math.min(RECONCILE_DEPTH, ...[winner, ...others].map((leg) => leg.session.rtrs.limits.queueDepth));
    this.#totalBytes = total;
  }

  /** Bytes to compare yet, of all. */
  get progress(): { readonly leftBytes: number; readonly totalBytes: number } {
    return { leftBytes: this.#totalBytes - this.#doneBytes, totalBytes: this.#totalBytes };
  }

  start(): void {
    this.#next();
  }

  /** Gives up; `done` is not called any more. */
  cancel(): void {
    this.#ended = true;
  }

  onResponse(
    tag: number,
    status: number,
    _header: Uint8Array,
    _at: number,
    _length: number,
    payload: Uint8Array | null,
    slab: Slab | null,
  ): void {
    const step = this.#steps.get(tag);
    assert(step !== undefined, 'reconciler: an answer without a request');
    this.#steps.delete(tag);
    if (!this.#ended) step(status, payload, slab);
  }

  #next(): void {
    while (this.#active < this.#depth && this.#pieces.length > 0 && !this.#ended) {
      const piece = this.#pieces.pop() as ByteRange;
      this.#active++;
      this.#copy(piece);
    }
    if (this.#active > 0 || this.#flushing || this.#ended) return;
    this.#flushing = true;
    const legs = [this.#winner, ...this.#others];
    let left = legs.length;
    for (const leg of legs) {
      this.#send(leg, MessageType.FLUSH, 0, 0, null, null, (status) => {
        if (status !== Status.OK) this.#end(`${leg.describe()} could not flush (status ${status})`);
        else if (--left === 0) this.#end(null);
      });
    }
  }

  #copy(piece: ByteRange): void {
    const { offsetBytes, lengthBytes } = piece;
    this.#send(this.#winner, MessageType.READ, offsetBytes, lengthBytes, null, null, (status, data, slab) => {
      if (status !== Status.OK || data === null || data.length !== lengthBytes) {
        this.#end(`${this.#winner.describe()} could not read ${lengthBytes} bytes at ${offsetBytes} (status ${status})`);
        return;
      }
      let left = this.#others.length;
      const zeroes = isZero(data);
      for (const leg of this.#others) {
        const type = zeroes ? MessageType.WRITE_ZEROES : MessageType.WRITE;
        this.#send(leg, type, offsetBytes, lengthBytes, zeroes ? null : data, zeroes ? null : slab, (written) => {
          if (written !== Status.OK) {
            this.#end(`${leg.describe()} could not write ${lengthBytes} bytes at ${offsetBytes} (status ${written})`);
          } else if (--left === 0) {
            this.#active--;
            this.#doneBytes += lengthBytes;
            this.#next();
          }
        });
      }
    });
  }

  #send(
    leg: Leg,
    type: number,
    offsetBytes: number,
    lengthBytes: number,
    payload: Uint8Array | null,
    slab: Slab | null,
    step: (status: number, payload: Uint8Array | null, slab: Slab | null) => void,
  ): void {
    // Nothing else uses the pool now; only other pools of the session can hold its permits.
    const slot = leg.connected ? leg.allocate() : -1;
    if (slot < 0) {
      this.#end(`${leg.describe()} has no free permit`);
      return;
    }
    const message = this.#message;
    message.type = type;
    message.flags = IoFlag.RECONCILE;
    message.poolHandle = leg.poolHandle;
    message.epoch = this.#epoch;
    message.offsetBytes = offsetBytes;
    message.lengthBytes = lengthBytes;
    encodeIoMessage(message, leg.headerBytes, leg.headerOffset(slot));
    const tag = this.#nextTag++;
    this.#steps.set(tag, step);
    leg.submit(slot, IO_MESSAGE_BYTES, payload, slab, tag, this);
  }

  #end(failure: string | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#done(failure);
  }
}

function isZero(data: Uint8Array): boolean {
  if (data.byteOffset % 4 !== 0 || data.length % 4 !== 0) return data.every((byte) => byte === 0);
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
  return words.every((word) => word === 0);
}
