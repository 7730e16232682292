import type { RtrsResponseSink } from '@rmr/rtrs';
import { type Slab, SlabPool, Status } from '@rmr/runtime';
import type { SessionUser, SharedSession } from '../core/shared-session.ts';
import {
  CONTROL_FAILURE_STATUS,
  type ControlFailure,
  type ControlRequest,
  type ControlResult,
  controlRequestSchema,
  decodeControlBody,
  encodeControlBody,
} from '../wire/control-message.ts';
import { decodeIoMessage, IoMessage, invalidIoMessage } from '../wire/io-message.ts';

/** A session whose other end is the test: it sees every request, and answers when it wants. */
export class ScriptedSession {
  readonly calls: ScriptedCall[] = [];
  readonly ios: ScriptedIo[] = [];
  readonly users = new Set<SessionUser>();
  connected = true;
  lostReason = 'cut';
  isFirstAttempt = false;
  permits = SLOTS;
  readonly slabs = new SlabPool();
  #nextSlot = 0;
  readonly #headerBytes = new Uint8Array(SLOTS * HEADER_BYTES);

  readonly rtrs = {
    headerBytes: this.#headerBytes,
    headerOffset: (slot: number): number => slot * HEADER_BYTES,
    allocate: (): number => {
      if (this.permits === 0) return -1;
      this.permits--;
      this.#nextSlot = (this.#nextSlot + 1) % SLOTS;
      return this.#nextSlot;
    },
    release: (): void => {
      this.permits++;
    },
    submit: (slot: number, length: number, _payload: Uint8Array | null, _slab: Slab | null, tag: number, sink: RtrsResponseSink): void =>
      this.#submit(slot * HEADER_BYTES, length, tag, sink),
  };

  get lastErrors(): string {
    return this.lostReason;
  }

  /** What production code takes it for. */
  get shared(): SharedSession {
    return this as unknown as SharedSession;
  }

  addUser(user: SessionUser): void {
    this.users.add(user);
  }

  removeUser(user: SessionUser): void {
    this.users.delete(user);
  }

  call(_header: unknown, body: Uint8Array, done: (status: number, payload: Uint8Array | null) => void): void {
    const decoded = decodeControlBody(controlRequestSchema, body);
    if ('reason' in decoded) throw new Error(`a malformed request was sent: ${decoded.reason}`);
    this.calls.push(new ScriptedCall(decoded.body, done));
  }

  /** The oldest control request without an answer; it must be of this kind. */
  next<Op extends ControlRequest['op']>(op: Op): ScriptedCall & { readonly request: ControlRequest & { op: Op } } {
    const call = this.calls.shift();
    if (call?.request.op !== op) throw new Error(`a ${op} is expected, but the oldest request is ${call?.request.op ?? 'none'}`);
    return call as ScriptedCall & { readonly request: ControlRequest & { op: Op } };
  }

  /** The kinds of the control requests without an answer. */
  get ops(): string[] {
    return this.calls.map((call) => call.request.op);
  }

  /** The session ends: requests end without an answer. */
  cut(reason = 'cut'): void {
    this.connected = false;
    this.lostReason = reason;
    for (const user of this.users) user.onSessionDown(this.shared, reason);
    for (const io of this.ios.splice(0)) io.answer(Status.ESESSION);
    for (const call of this.calls.splice(0)) call.drop();
  }

  reconnect(): void {
    this.connected = true;
    for (const user of this.users) user.onSessionUp(this.shared);
  }

  #submit(at: number, length: number, tag: number, sink: RtrsResponseSink): void {
    const invalid = invalidIoMessage(this.#headerBytes, at, length);
    if (invalid !== null) throw new Error(`a malformed request was sent: ${invalid}`);
    const message = new IoMessage();
    decodeIoMessage(this.#headerBytes, at, message);
    this.ios.push({
      message,
      answer: (status, payload) => {
        this.permits++;
        if (payload === undefined) {
          sink.onResponse(tag, status, this.#headerBytes, 0, 0, null, null);
          return;
        }
        const slab = this.slabs.take(Math.max(1, payload.length));
        slab.bytes.set(payload);
        sink.onResponse(tag, status, this.#headerBytes, 0, 0, slab.bytes.subarray(0, payload.length), slab);
        slab.release();
      },
    });
  }
}

const SLOTS = 64;
const HEADER_BYTES = 64;

/** A control request that was sent, as the other side sees it. */
export class ScriptedCall {
  readonly request: ControlRequest;
  readonly #done: (status: number, payload: Uint8Array | null) => void;

  constructor(request: ControlRequest, done: (status: number, payload: Uint8Array | null) => void) {
    this.request = request;
    this.#done = done;
  }

  answer(result: ControlResult = {}): void {
    this.#done(Status.OK, encodeControlBody(result));
  }

  refuse(code: ControlFailure['code'], message = 'no', promise: ControlFailure['promise'] = null): void {
    this.#done(CONTROL_FAILURE_STATUS[code], encodeControlBody({ code, message, promise }));
  }

  /** No answer comes: the session has ended, or the time is up. */
  drop(status: number = Status.ESESSION): void {
    this.#done(status, null);
  }

  /** What no member answers. */
  garble(): void {
    this.#done(Status.OK, new TextEncoder().encode('{"no": "such answer"}'));
  }
}

/** An IO request that was sent. */
export interface ScriptedIo {
  readonly message: IoMessage;
  readonly answer: (status: number, payload?: Uint8Array) => void;
}
