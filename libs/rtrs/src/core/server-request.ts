import { assert, type Slab } from '@rmr/runtime';
import { RESPONSE_HEADER_BYTES_MAX } from '../constants.ts';
import { FrameKind } from '../wire/frame-header.ts';
import type { FrameStream } from './frame-stream.ts';
import type { ServerPath } from './server-path.ts';
import type { RtrsServerSession } from './server-session.ts';

/** A request that a client has sent. One object per slot of a session, used again for the slot's next request. */
export class RtrsServerRequest {
  readonly session: RtrsServerSession;
  readonly slot: number;
  /** Sent under a control permit. */
  readonly control: boolean;
  /** The response header goes here: RESPONSE_HEADER_BYTES_MAX bytes from {@link responseHeaderOffset}. The session's requests share it. */
  readonly responseHeader: Uint8Array;
  readonly responseHeaderOffset: number;

  /** The user header is `header[headerOffset .. headerOffset + headerLength)`. It and the payload stay valid until {@link respond}. */
  header: Uint8Array;
  headerOffset = 0;
  headerLength = 0;
  payload: Uint8Array | null = null;
  /** For the upper layer to use freely; 0 and null when the request arrives. */
  context = 0;
  attachment: unknown = null;
  /** What header and payload lie in: held until {@link respond}. Retain it to keep them longer. */
  #slab: Slab | null = null;
  #path: ServerPath | null = null;
  #generation = 0;

  constructor(session: RtrsServerSession, slot: number, control: boolean, responseHeader: Uint8Array) {
    this.session = session;
    this.slot = slot;
    this.control = control;
    this.responseHeader = responseHeader;
    this.responseHeaderOffset = slot * RESPONSE_HEADER_BYTES_MAX;
    this.header = responseHeader;
  }

  /** Handed to the upper layer and not yet responded to. */
  get isExecuting(): boolean {
    return this.#path !== null;
  }

  /** The number of the path that brought it, for logs. */
  get pathId(): number {
    assert(this.#path !== null, 'rtrs request: used after its response');
    return this.#path.pathId;
  }

  get slab(): Slab {
    assert(this.#slab !== null, 'rtrs request: used after its response');
    return this.#slab;
  }

  /** For the session alone: the frame at hand is a request in this slot. */
  begin(path: ServerPath, frames: FrameStream): void {
    assert(this.#path === null, 'rtrs request: begun twice');
    this.#path = path;
    this.#generation = frames.generation;
    this.#slab = frames.slab;
    frames.slab.retain();
    this.header = frames.bytes;
    this.headerOffset = frames.headerOffset;
    this.headerLength = frames.headerLength;
    this.payload = frames.payload;
    this.context = 0;
    this.attachment = null;
  }

  /**
   * Answers the request. Called once, from within `onRequest` or at any later time. When the path or the session is gone, the answer is
   * dropped. The response header has been encoded before. `payload` lies in `slab`, which is retained until the payload is sent. Without a
   * slab the payload is copied.
   */
  respond(status: number, responseHeaderLength: number, payload: Uint8Array | null, slab: Slab | null): void {
    const path = this.#path;
    const held = this.#slab;
    assert(path !== null && held !== null, 'rtrs request: responded twice');
    assert(responseHeaderLength <= RESPONSE_HEADER_BYTES_MAX, 'rtrs request: response header too long');
    assert(payload === null || payload.length <= this.session.limits.maxPayloadBytes, 'rtrs request: payload longer than negotiated');
    this.#path = null;
    this.#slab = null;
    this.payload = null;
    const frames = path.openFrames;
    if (frames === null) {
      this.session.counters.droppedResponses++;
    } else {
      this.session.counters.responses++;
      frames.sendMessage(
        FrameKind.RESPONSE,
        this.slot,
        this.#generation,
        status,
        this.responseHeader,
        this.responseHeaderOffset,
        responseHeaderLength,
        payload,
        slab,
      );
    }
    held.release();
    this.session.onResponded(path);
  }
}
