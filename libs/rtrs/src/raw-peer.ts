// A peer that speaks bytes, for tests of what a well-behaved one would never send.
import type { ByteStream } from '@rmr/runtime';
import type { MemoryNetwork } from '@rmr/testing';
import {
  encodeFrameHeader,
  FRAME_HEADER_BYTES,
  FrameKind,
  frameKind,
  frameStatus,
  frameUserHeaderLength,
  HANDSHAKE_BYTES,
} from './wire/frame-header.ts';
import { encodeHandshake, type Handshake } from './wire/handshake.ts';

/** One end of a connection, as bytes. */
export class RawPeer {
  readonly stream: ByteStream;
  closed: string | null = null;
  readonly #bytes = new Uint8Array(RECORDED_BYTES_MAX);
  #byteCount = 0;
  readonly #target = new Uint8Array(65536);

  constructor(stream: ByteStream) {
    this.stream = stream;
    stream.attach(this);
  }

  /** A connection to `address`; `null` until it is there. */
  static connect(network: MemoryNetwork, address: string, onConnected: (peer: RawPeer) => void): void {
    network.host('stranger').connect(
      address,
      (stream) => onConnected(new RawPeer(stream)),
      (reason) => {
        throw new Error(reason);
      },
    );
  }

  receiveTarget(): Uint8Array {
    return this.#target;
  }

  onReceived(byteCount: number): void {
    const kept = Math.min(byteCount, RECORDED_BYTES_MAX - this.#byteCount);
    this.#bytes.set(this.#target.subarray(0, kept), this.#byteCount);
    this.#byteCount += kept;
  }

  onWritten(): void {}

  onClosed(reason: string): void {
    this.closed = reason;
  }

  send(bytes: Uint8Array): void {
    this.stream.write(bytes);
    this.stream.flush();
  }

  /** Frames received, without payloads: kind, status, user header. */
  frames(): { kind: number; status: number; userHeader: Uint8Array }[] {
    const frames = [];
    for (let at = 0; at + FRAME_HEADER_BYTES <= this.#byteCount; ) {
      const length = frameUserHeaderLength(this.#bytes, at);
      const user = this.#bytes.slice(at + FRAME_HEADER_BYTES, at + FRAME_HEADER_BYTES + length);
      frames.push({ kind: frameKind(this.#bytes, at), status: frameStatus(this.#bytes, at), userHeader: user });
      at += FRAME_HEADER_BYTES + length;
    }
    return frames;
  }

  kinds(): number[] {
    return this.frames().map((frame) => frame.kind);
  }

  /** Text of the last REFUSE or CLOSE. */
  lastText(): string {
    const frame = this.frames().findLast(({ kind }) => kind === FrameKind.REFUSE || kind === FrameKind.CLOSE);
    return new TextDecoder().decode(frame?.userHeader);
  }
}

export interface FrameFields {
  userHeader?: Uint8Array;
  slot?: number;
  generation?: number;
  status?: number;
  payload?: Uint8Array;
  payloadLength?: number;
  flags?: number;
  payloadChecksum?: number;
}

/** A frame with a right header checksum, whatever else is wrong with it. */
export function rawFrame(kind: FrameKind, fields: FrameFields = {}): Uint8Array {
  const user = fields.userHeader ?? new Uint8Array(0);
  const payload = fields.payload ?? new Uint8Array(0);
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + user.length + payload.length);
  bytes.set(user, FRAME_HEADER_BYTES);
  bytes.set(payload, FRAME_HEADER_BYTES + user.length);
  encodeFrameHeader(
    bytes,
    0,
    kind,
    user.length,
    fields.slot ?? 0,
    fields.generation ?? 0,
    fields.status ?? 0,
    fields.payloadLength ?? payload.length,
    fields.flags ?? 0,
    fields.payloadChecksum ?? 0,
  );
  return bytes;
}

export function rawHandshake(kind: typeof FrameKind.HELLO | typeof FrameKind.WELCOME, handshake: Handshake): Uint8Array {
  const body = new Uint8Array(HANDSHAKE_BYTES);
  encodeHandshake(handshake, body, 0);
  return rawFrame(kind, { userHeader: body });
}

/** What a peer keeps of what it receives; the rest is dropped. */
const RECORDED_BYTES_MAX = 64 * 1024;
