import type { RtrsServerRequest } from '@rmr/rtrs';
import { assert, type Slab } from '@rmr/runtime';
import { decodeIoMessage, type IoMessage } from '../../../wire/io-message.ts';

/**
 * The requests of one pool that are being executed, by tag, with what is asked for again and again of each. It lies in arrays, so
 * that a request costs no object. A tag is used again when its request has been answered.
 *
 * The arrays are replaced when they grow. So a caller that keeps one beyond {@link take} has an old one.
 */
export class RequestSlots {
  /** Null: the tag is free. */
  readonly requests: (RtrsServerRequest | null)[] = [];
  /** Where a read's data goes. */
  readonly readSlabs: (Slab | null)[] = [];
  readonly readViews: (Uint8Array | null)[] = [];
  /** Dirty chunks that a write replaces whole, and has locked. */
  readonly replaced: (number[] | null)[] = [];
  /** What each waits for: one of `Phase`. */
  phases = new Uint8Array(SLOTS_FIRST);
  /** Of its message. */
  types = new Uint8Array(SLOTS_FIRST);
  flags = new Uint8Array(SLOTS_FIRST);
  blockShifts = new Uint8Array(SLOTS_FIRST);
  epochs = new Uint32Array(SLOTS_FIRST);
  offsets = new Float64Array(SLOTS_FIRST);
  lengths = new Float64Array(SLOTS_FIRST);
  /** Since when it has waited for chunks (clock milliseconds); 0: it has not. It stays until the end, as waiting may begin anew. */
  waitingSinceMs = new Float64Array(SLOTS_FIRST);
  /** Requests that are being executed. */
  used = 0;
  readonly #freeTags: number[] = [];

  /** A tag for the request, and what is kept of its message. */
  take(request: RtrsServerRequest, message: IoMessage): number {
    let tag = this.#freeTags.pop();
    if (tag === undefined) {
      tag = this.requests.length;
      this.requests.push(null);
      this.readSlabs.push(null);
      this.readViews.push(null);
      this.replaced.push(null);
      if (tag === this.phases.length) this.#grow();
    }
    this.requests[tag] = request;
    this.types[tag] = message.type;
    this.flags[tag] = message.flags;
    this.blockShifts[tag] = message.blockShift;
    this.epochs[tag] = message.epoch;
    this.offsets[tag] = message.offsetBytes;
    this.lengths[tag] = message.lengthBytes;
    this.used++;
    return tag;
  }

  /** The request has been answered: its tag is free. */
  free(tag: number): void {
    this.requests[tag] = null;
    this.waitingSinceMs[tag] = 0;
    this.#freeTags.push(tag);
    this.used--;
  }

  /** Decodes the message of the request once more: valid until the next one is. */
  decode(tag: number, message: IoMessage): void {
    const { header, headerOffset } = this.requests[tag] as RtrsServerRequest;
    decodeIoMessage(header, headerOffset, message);
  }

  /** Whether the request has waited for chunks before. */
  hasWaited(tag: number): boolean {
    return (this.waitingSinceMs[tag] as number) > 0;
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    let used = 0;
    for (const request of this.requests) if (request !== null) used++;
    assert(used === this.used, 'pool server: executing count is off');
    assert(used + this.#freeTags.length === this.requests.length, 'pool server: a tag is lost');
  }

  #grow(): void {
    const size = this.phases.length * 2;
    this.phases = enlarged(this.phases, new Uint8Array(size));
    this.types = enlarged(this.types, new Uint8Array(size));
    this.flags = enlarged(this.flags, new Uint8Array(size));
    this.blockShifts = enlarged(this.blockShifts, new Uint8Array(size));
    this.epochs = enlarged(this.epochs, new Uint32Array(size));
    this.offsets = enlarged(this.offsets, new Float64Array(size));
    this.lengths = enlarged(this.lengths, new Float64Array(size));
    this.waitingSinceMs = enlarged(this.waitingSinceMs, new Float64Array(size));
  }
}

/** Places at the beginning; there are twice as many whenever they do not suffice. */
const SLOTS_FIRST = 64;

/** The larger array, with what the other one holds at its start. */
function enlarged<T extends Uint8Array | Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** What an accepted request waits for. */
export const Phase = {
  /** A dirty or locked chunk (W4, R1). */
  CHUNK: 0,
  /** The write intent and the dirty bits to become durable (W3). */
  PREPARE: 1,
  /** The data. */
  DATA: 2,
  /** The flush behind a FUA write. */
  FUA: 3,
  /** A flush. */
  FLUSH: 4,
  /** A write that replaces dirty chunks whole: its write intent to become durable. */
  REPLACE_PREPARE: 5,
  /** Its dirty bits, for the chunks that are clean here, to become durable. */
  REPLACE_MARK: 6,
  /** Its data. */
  REPLACE_DATA: 7,
  /** The flush of its data (◆5). */
  REPLACE_FLUSH: 8,
  /** The chunks to become clean here, and dirty for the members that miss it, durably. */
  REPLACE_CLEAR: 9,
  /** The parts that a write which passes chunks by (W10) can be carried out in. */
  PASS_DATA: 10,
  /** The flush behind such a write that is FUA. */
  PASS_FUA: 11,
  /** Space for its data (W8). */
  SPACE: 12,
} as const;
