import {
  assert,
  type ByteStream,
  type ByteStreamHandler,
  crc32c,
  ReceiveBuffer,
  SendQueue,
  type Slab,
  type SlabPool,
  type Ticked,
  type TurnTask,
  type World,
} from '@rmr/runtime';
import { HANDSHAKE_TIMEOUT_MS, REASON_BYTES_MAX, RESPONSE_BACKLOG_BYTES_MAX } from '../constants.ts';
import type { RtrsCounters } from '../counters.ts';
import {
  encodeFrameHeader,
  FRAME_FLAG_PAYLOAD_CHECKSUM,
  FRAME_HEADER_BYTES,
  FrameKind,
  frameChecksumFails,
  frameGeneration,
  frameKind,
  framePayloadChecksum,
  framePayloadLength,
  frameSlot,
  frameStatus,
  frameUserHeaderLength,
  HANDSHAKE_BYTES,
  invalidFrameFields,
  invalidFrameHeader,
} from '../wire/frame-header.ts';
import { encodeHandshake, encodeText, type Handshake } from '../wire/handshake.ts';

/**
 * Frames on one byte stream: parses in place, encodes into the send queue, flushes once per turn, and keeps up the
 * heartbeat. The same for both sides of a path.
 */
export class FrameStream implements ByteStreamHandler, TurnTask, Ticked {
  turnQueued = false;
  readonly stream: ByteStream;
  readonly #world: World;
  readonly #sink: FrameSink;
  readonly #receive: ReceiveBuffer;
  readonly #send: SendQueue;
  /** Counts for the session, once there is one. */
  counters: RtrsCounters;

  /** `OPEN`: frames go both ways. `ENDING`: the rest is sent, and nothing is heard. `CLOSED`: the end of the stream is awaited. */
  #state: 'OPEN' | 'ENDING' | 'CLOSED' = 'OPEN';
  #disposed = false;
  #endDeadlineMs = 0;

  /** Negotiated; nothing with a payload is accepted before. */
  payloadBytesMax = 0;
  payloadChecksums = false;
  /** Whether a peer that does not read stops being read from (the server's side; a client must always read). */
  #holdsBack = false;
  #readingPaused = false;

  lastReceivedMs: number;
  #pingSeq = 0;
  #pingSentMs: number;
  #pingAnswered = true;
  /** Smoothed round trip of heartbeats in milliseconds, or null before the first. */
  rttMs: number | null = null;

  // The frame at hand, for the sink.
  slot = 0;
  generation = 0;
  status = 0;
  /** The user header is `bytes[headerOffset .. headerOffset + headerLength)`. */
  bytes: Uint8Array;
  headerOffset = 0;
  headerLength = 0;
  payload: Uint8Array | null = null;
  /** What `bytes` and `payload` lie in. */
  slab: Slab;

  constructor(world: World, slabs: SlabPool, stream: ByteStream, sink: FrameSink, counters: RtrsCounters) {
    this.stream = stream;
    this.#world = world;
    this.#sink = sink;
    this.counters = counters;
    this.#receive = new ReceiveBuffer(slabs);
    this.#send = new SendQueue(slabs, stream);
    this.slab = this.#receive.slab;
    this.bytes = this.slab.bytes;
    this.lastReceivedMs = world.clock.nowMs();
    this.#pingSentMs = this.lastReceivedMs;
  }

  get isOpen(): boolean {
    return this.#state === 'OPEN';
  }

  /** Starts to read. */
  attach(): void {
    this.stream.attach(this);
  }

  /** The handshake is done. */
  establish(payloadBytesMax: number, payloadChecksums: boolean, holdsBack: boolean): void {
    this.payloadBytesMax = payloadBytesMax;
    this.payloadChecksums = payloadChecksums;
    this.#holdsBack = holdsBack;
    this.#pingSentMs = this.#world.clock.nowMs();
  }

  // Sending.

  sendHandshake(kind: typeof FrameKind.HELLO | typeof FrameKind.WELCOME, handshake: Handshake): void {
    const offset = this.#send.reserve(FRAME_HEADER_BYTES + HANDSHAKE_BYTES);
    encodeHandshake(handshake, this.#send.bytes, offset + FRAME_HEADER_BYTES);
    encodeFrameHeader(this.#send.bytes, offset, kind, HANDSHAKE_BYTES, 0, 0, 0, 0, 0, 0);
    this.#queued(FRAME_HEADER_BYTES + HANDSHAKE_BYTES);
  }

  /** A REQUEST or RESPONSE. `slab` is what `payload` lies in; without one the payload is copied. */
  sendMessage(
    kind: typeof FrameKind.REQUEST | typeof FrameKind.RESPONSE,
    slot: number,
    generation: number,
    status: number,
    header: Uint8Array,
    headerOffset: number,
    headerLength: number,
    payload: Uint8Array | null,
    slab: Slab | null,
  ): void {
    if (this.#state !== 'OPEN') return;
    const offset = this.#send.reserve(FRAME_HEADER_BYTES + headerLength);
    const bytes = this.#send.bytes;
    for (let i = 0, at = offset + FRAME_HEADER_BYTES; i < headerLength; i++) bytes[at + i] = header[headerOffset + i] as number;
    const payloadLength = payload === null ? 0 : payload.length;
    if (payload === null || payloadLength === 0) {
      encodeFrameHeader(bytes, offset, kind, headerLength, slot, generation, status, 0, 0, 0);
    } else {
      const checksummed = this.payloadChecksums;
      const flags = checksummed ? FRAME_FLAG_PAYLOAD_CHECKSUM : 0;
      encodeFrameHeader(
        bytes,
        offset,
        kind,
        headerLength,
        slot,
        generation,
        status,
        payloadLength,
        flags,
        checksummed ? crc32c(payload) : 0,
      );
      this.#send.append(payload, slab);
    }
    this.#queued(FRAME_HEADER_BYTES + headerLength + payloadLength);
  }

  /** A frame that is a header alone. */
  sendSignal(kind: FrameKind, status: number): void {
    if (this.#state !== 'OPEN') return;
    const offset = this.#send.reserve(FRAME_HEADER_BYTES);
    encodeFrameHeader(this.#send.bytes, offset, kind, 0, 0, 0, status, 0, 0, 0);
    this.#queued(FRAME_HEADER_BYTES);
  }

  #queued(byteCount: number): void {
    this.counters.sentBytes += byteCount;
    if (!this.turnQueued) this.#world.turn.defer(this);
    if (this.#holdsBack && !this.#readingPaused && this.#send.pendingBytes > RESPONSE_BACKLOG_BYTES_MAX) {
      this.#readingPaused = true;
      this.stream.pauseReading();
    }
  }

  runAtTurnEnd(): void {
    if (this.#state === 'OPEN') this.#send.flush();
  }

  // Ending.

  /** Closes at once, and drops all that is queued. The sink is told from within. A second call does nothing. */
  fail(reason: string): void {
    if (this.#state === 'CLOSED') return;
    const told = this.#state === 'ENDING';
    this.#close();
    this.stream.destroy(reason);
    if (!told) this.#sink.onStreamEnded(reason);
  }

  /**
   * Queues a REFUSE or CLOSE frame with the reason, sends all that is queued, and closes. If that takes too long, it closes at once. The sink
   * is told now that the stream has ended.
   */
  end(kind: typeof FrameKind.REFUSE | typeof FrameKind.CLOSE, code: number, reason: string): void {
    if (this.#state !== 'OPEN') return;
    const text = encodeText(reason, REASON_BYTES_MAX);
    const offset = this.#send.reserve(FRAME_HEADER_BYTES + text.length);
    this.#send.bytes.set(text, offset + FRAME_HEADER_BYTES);
    encodeFrameHeader(this.#send.bytes, offset, kind, text.length, 0, 0, code, 0, 0, 0);
    this.counters.sentBytes += FRAME_HEADER_BYTES + text.length;
    this.#send.flush();
    this.#state = 'ENDING';
    this.#endDeadlineMs = this.#world.clock.nowMs() + HANDSHAKE_TIMEOUT_MS;
    this.#world.ticker.subscribe(this);
    this.stream.end();
    this.#sink.onStreamEnded(reason);
  }

  /** Only while `ENDING`. */
  tick(nowMs: number): void {
    if (nowMs < this.#endDeadlineMs) return;
    this.#close();
    this.stream.destroy('the peer does not take the last frames');
  }

  #close(): void {
    if (this.#state === 'ENDING') this.#world.ticker.unsubscribe(this);
    this.#state = 'CLOSED';
  }

  // Liveness.

  /** Sends a heartbeat when one is due, closes when the peer has been silent for too long. Call at every tick. */
  beat(nowMs: number, intervalMs: number, deadAfterMs: number): void {
    if (this.#state !== 'OPEN') return;
    if (nowMs - this.lastReceivedMs >= deadAfterMs) {
      this.fail(`nothing heard for ${Math.round(nowMs - this.lastReceivedMs)} ms`);
      return;
    }
    if (nowMs - this.#pingSentMs < intervalMs) return;
    this.#pingSentMs = nowMs;
    this.#pingSeq = (this.#pingSeq + 1) >>> 0;
    this.#pingAnswered = false;
    this.sendSignal(FrameKind.PING, this.#pingSeq);
  }

  /** This process did not run for `byMs`: that time says nothing about the peer. */
  forgive(byMs: number): void {
    this.lastReceivedMs += byMs;
  }

  #pong(seq: number, nowMs: number): void {
    // An answer to an older PING is late. It only shows that the peer lives.
    if (seq !== this.#pingSeq || this.#pingAnswered) return;
    this.#pingAnswered = true;
    const rttMs = nowMs - this.#pingSentMs;
    this.rttMs = this.rttMs === null ? rttMs : this.rttMs * 0.75 + rttMs * 0.25;
  }

  // Receiving.

  receiveTarget(): Uint8Array {
    return this.#receive.target();
  }

  onReceived(byteCount: number): void {
    if (this.#state !== 'OPEN') return;
    this.#receive.received(byteCount);
    this.counters.receivedBytes += byteCount;
    this.lastReceivedMs = this.#world.clock.nowMs();
    while (this.#state === 'OPEN') {
      const reason = this.#parse();
      if (reason === null) continue;
      if (reason !== MORE && this.isOpen) {
        this.counters.badFrames++;
        this.fail(reason);
      }
      break;
    }
    this.payload = null;
    if (this.#state === 'OPEN') this.#sink.onFramesEnd();
  }

  /** Handles one frame. Returns null, {@link MORE} when the frame has not arrived in full, or the reason why the frame is bad. */
  #parse(): string | null {
    const receive = this.#receive;
    if (!receive.hasFrame(FRAME_HEADER_BYTES)) return MORE;
    let invalid = invalidFrameHeader(receive.slab.bytes, receive.start);
    if (invalid !== null) return invalid;
    const headerLength = frameUserHeaderLength(receive.slab.bytes, receive.start);
    if (!receive.hasFrame(FRAME_HEADER_BYTES + headerLength)) return MORE;
    // A frame that has to be waited for is checked again with every read: so much is cheap.
    if (frameChecksumFails(receive.slab.bytes, receive.start)) return 'frame: header checksum is wrong';
    invalid = invalidFrameFields(receive.slab.bytes, receive.start, this.payloadBytesMax, this.payloadChecksums);
    if (invalid !== null) return invalid;
    const payloadLength = framePayloadLength(receive.slab.bytes, receive.start);
    const frameBytes = FRAME_HEADER_BYTES + headerLength + payloadLength;
    if (!receive.hasFrame(frameBytes)) return MORE;

    const slab = receive.slab;
    const bytes = slab.bytes;
    const start = receive.start;
    this.slab = slab;
    this.bytes = bytes;
    this.headerOffset = start + FRAME_HEADER_BYTES;
    this.headerLength = headerLength;
    this.slot = frameSlot(bytes, start);
    this.generation = frameGeneration(bytes, start);
    this.status = frameStatus(bytes, start);
    if (payloadLength === 0) {
      this.payload = null;
    } else {
      const payload = bytes.subarray(start + FRAME_HEADER_BYTES + headerLength, start + frameBytes);
      if (this.payloadChecksums && crc32c(payload) !== framePayloadChecksum(bytes, start)) return 'frame: payload checksum is wrong';
      this.payload = payload;
    }
    const kind = frameKind(bytes, start) as FrameKind;
    // The frame's bytes stay in place until the next read: consuming only moves a mark.
    receive.consume(frameBytes);
    if (this.payloadBytesMax > 0) {
      if (kind === FrameKind.PING) {
        // With so much on its way to the peer, it needs no answer to know that we live.
        if (this.#send.pendingBytes <= RESPONSE_BACKLOG_BYTES_MAX) this.sendSignal(FrameKind.PONG, this.status);
        return null;
      }
      if (kind === FrameKind.PONG) {
        this.#pong(this.status, this.lastReceivedMs);
        return null;
      }
    }
    return this.#sink.onFrame(kind);
  }

  onWritten(totalBytes: number): void {
    this.#send.written(totalBytes);
    if (!this.#readingPaused) return;
    // While nothing is read, a peer that takes what it is sent shows that it lives.
    this.lastReceivedMs = this.#world.clock.nowMs();
    if (this.#send.pendingBytes > RESPONSE_BACKLOG_BYTES_MAX / 2 || this.#state !== 'OPEN') return;
    this.#readingPaused = false;
    this.stream.resumeReading();
  }

  onClosed(reason: string): void {
    const told = this.#state !== 'OPEN';
    this.#close();
    assert(!this.#disposed, 'frame stream: closed twice');
    this.#disposed = true;
    this.#receive.dispose();
    this.#send.dispose();
    if (!told) this.#sink.onStreamEnded(reason);
  }

  /** Rechecks what must hold at any time between two events. */
  verify(): void {
    assert(!this.#disposed || this.#state === 'CLOSED', 'frame stream: memory is gone before the stream is closed');
    assert(!this.#readingPaused || this.#holdsBack, 'frame stream: holds back a peer that it must always read from');
    assert(this.rttMs === null || this.rttMs >= 0, 'frame stream: a round trip took less than no time');
  }
}

/** The path that the frames are for. */
export interface FrameSink {
  /**
   * A whole, undamaged frame has arrived. Its fields are in the {@link FrameStream}. Returns null, or the reason why such a frame is
   * out of place; then the stream closes. It is never called for heartbeats.
   */
  onFrame(kind: FrameKind): string | null;
  /** Everything that has arrived has been handled. */
  onFramesEnd(): void;
  /**
   * The stream is gone, whatever the cause. Called exactly once. Of the calls to the {@link FrameStream}, only `fail`, `beat` and `end` may
   * call it from within.
   */
  onStreamEnded(reason: string): void;
}

/** Not a reason: the frame is not there in full. */
const MORE = 'more';
