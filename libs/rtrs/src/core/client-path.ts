import { assert, type ByteStream, type ConnectAttempt, Repeats, type SlabPool, type Transport, type World } from '@rmr/runtime';
import type { ClientPathState, PathInfo } from '../client-types.ts';
import { PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN } from '../constants.ts';
import type { RtrsCounters } from '../counters.ts';
import { FrameKind } from '../wire/frame-header.ts';
import { decodeHandshake, decodeText, type Handshake, handshakeVersions, invalidHandshake } from '../wire/handshake.ts';
import { Backoff } from './backoff.ts';
import type { ResolvedClientOptions } from './client-options.ts';
import { type FrameSink, FrameStream } from './frame-stream.ts';

/** One path of a client's session: connects, shakes hands, carries frames, and comes back after a loss. */
export class ClientPath implements FrameSink {
  readonly index: number;
  readonly address: string;
  readonly #owner: ClientPathOwner;
  readonly #backoff: Backoff;
  #state: ClientPathState = 'DOWN';
  #attempt: ConnectAttempt | null = null;
  #frames: FrameStream | null = null;
  #deadlineMs = 0;
  #upSinceMs = 0;
  /** When the next attempt is due, while DOWN. */
  nextAttemptMs = Number.POSITIVE_INFINITY;
  /** The number that the server gave the path; a new one each time that it comes up. */
  pathId = 0;
  /** Requests sent on it and unanswered. */
  inFlight = 0;
  /** The attempts that failed since it was up. */
  readonly outage: Repeats;
  #timesUp = 0;
  #lastError: string | null = null;
  /** Interval in use on this path; set by the WELCOME. */
  heartbeatIntervalMs = 0;

  constructor(owner: ClientPathOwner, index: number, address: string) {
    this.#owner = owner;
    this.index = index;
    this.address = address;
    this.outage = new Repeats(owner.world.clock);
    this.#backoff = new Backoff(owner.world.random, owner.options.reconnectMsMin, owner.options.reconnectMsMax);
  }

  get state(): ClientPathState {
    return this.#state;
  }

  /** The frames of a path that is up. */
  get frames(): FrameStream {
    assert(this.#frames !== null, 'client path: it has no stream');
    return this.#frames;
  }

  /** What `min-latency` compares: a path that has not been measured yet comes last. */
  get latencyMs(): number {
    return this.#frames?.rttMs ?? Number.MAX_VALUE;
  }

  get info(): PathInfo {
    return {
      address: this.address,
      state: this.#state,
      rttMs: this.#frames?.rttMs ?? null,
      inFlight: this.inFlight,
      reconnects: Math.max(0, this.#timesUp - 1),
      lastError: this.#lastError,
    };
  }

  /** Begins an attempt. */
  connect(nowMs: number): void {
    this.#setState('CONNECTING');
    this.nextAttemptMs = Number.POSITIVE_INFINITY;
    this.#deadlineMs = nowMs + this.#owner.options.handshakeTimeoutMs;
    this.#attempt = this.#owner.transport.connect(
      this.address,
      (stream) => this.#onConnected(stream),
      (reason) => {
        this.#attempt = null;
        this.#down(`cannot connect: ${reason}`);
      },
    );
  }

  #onConnected(stream: ByteStream): void {
    this.#attempt = null;
    this.#setState('HANDSHAKING');
    const { world, slabs, counters } = this.#owner;
    this.#frames = new FrameStream(world, slabs, stream, this, counters);
    this.#frames.attach();
    this.#frames.sendHandshake(FrameKind.HELLO, this.#owner.hello());
  }

  tick(nowMs: number): void {
    const { deadAfterMs, handshakeTimeoutMs } = this.#owner.options;
    switch (this.#state) {
      case 'DOWN':
        if (nowMs >= this.nextAttemptMs) this.connect(nowMs);
        break;
      case 'CONNECTING':
      case 'HANDSHAKING':
        if (nowMs >= this.#deadlineMs) this.#fail(`no session after ${handshakeTimeoutMs} ms`);
        break;
      case 'UP':
        if (nowMs - this.#upSinceMs >= deadAfterMs) this.#backoff.reset();
        this.frames.beat(nowMs, this.heartbeatIntervalMs, deadAfterMs);
        break;
    }
  }

  /** The next attempt comes after the back-off's delay. */
  retryLater(nowMs: number): void {
    this.nextAttemptMs = nowMs + this.#backoff.next();
  }

  /** Down at once and without a word to the owner; no attempt follows until it is asked for. */
  stop(reason: string): void {
    this.nextAttemptMs = Number.POSITIVE_INFINITY;
    if (this.#state === 'DOWN') return;
    const frames = this.#forget(reason);
    frames?.fail(reason);
  }

  /** As {@link stop}, and the server is told that the session ends. */
  say(reason: string): void {
    if (this.#state !== 'UP') {
      this.stop(reason);
      return;
    }
    this.nextAttemptMs = Number.POSITIVE_INFINITY;
    const frames = this.#forget(reason);
    frames?.end(FrameKind.CLOSE, 0, reason);
  }

  #fail(reason: string): void {
    if (this.#frames !== null) {
      this.#frames.fail(reason);
    } else {
      this.#attempt?.cancel();
      this.#attempt = null;
      this.#down(reason);
    }
  }

  /** DOWN, with nothing held. Returns the stream that it had; what that says is not listened to any more. */
  #forget(reason: string): FrameStream | null {
    this.#attempt?.cancel();
    this.#attempt = null;
    const frames = this.#frames;
    this.#frames = null;
    this.#lastError = reason;
    this.#setState('DOWN');
    return frames;
  }

  #down(reason: string): void {
    const from = this.#state;
    this.#forget(reason);
    this.#owner.onDown(this, from, reason);
  }

  onFrame(kind: FrameKind): string | null {
    const frames = this.frames;
    if (this.#state === 'HANDSHAKING') {
      if (kind === FrameKind.WELCOME) return this.#onWelcome(frames);
      if (kind !== FrameKind.REFUSE) return 'the server sent something else than an answer to the handshake';
      const text = decodeText(frames.bytes, frames.headerOffset, frames.headerLength) ?? '';
      const reason = `refused by the server: ${text}`;
      const code = frames.status;
      this.#owner.onRefused(this, code, reason);
      // What follows from the refusal may have stopped this path already.
      if (this.#frames === frames) frames.fail(reason);
      return null;
    }
    switch (kind) {
      case FrameKind.RESPONSE:
        return this.#owner.onResponse(this);
      case FrameKind.FENCED:
        return this.#owner.onFenced(this, frames.status);
      case FrameKind.CLOSE:
        this.#owner.onServerClose(this, decodeText(frames.bytes, frames.headerOffset, frames.headerLength) ?? '');
        return null;
      default:
        return 'the server sent a frame that only clients may send';
    }
  }

  #onWelcome(frames: FrameStream): string | null {
    const [versionMin, versionMax] = handshakeVersions(frames.bytes, frames.headerOffset);
    if (versionMin !== versionMax || versionMin < PROTOCOL_VERSION_MIN || versionMin > PROTOCOL_VERSION_MAX) {
      return 'the server chose a protocol version that was not offered';
    }
    const invalid = invalidHandshake(frames.bytes, frames.headerOffset);
    if (invalid !== null) return invalid;
    const welcome = decodeHandshake(frames.bytes, frames.headerOffset);
    if (welcome.pathId === 0 || welcome.generation === 0) return 'the server gave no path number or session generation';
    const rejected = this.#owner.onWelcome(this, welcome);
    if (rejected !== null) return rejected;
    this.pathId = welcome.pathId;
    this.heartbeatIntervalMs = welcome.heartbeatIntervalMs;
    this.#upSinceMs = this.#owner.world.clock.nowMs();
    this.#timesUp++;
    this.#lastError = null;
    frames.establish(welcome.maxPayloadBytes, welcome.payloadChecksum, false);
    this.#setState('UP');
    this.#owner.onUp(this);
    return null;
  }

  onFramesEnd(): void {
    if (this.#frames !== null) this.#owner.onFramesEnd();
  }

  onStreamEnded(reason: string): void {
    if (this.#frames !== null) this.#down(reason);
  }

  #setState(to: ClientPathState): void {
    assert(TRANSITIONS[this.#state].includes(to), 'client path: illegal transition');
    this.#state = to;
  }

  verify(): void {
    assert((this.#state === 'HANDSHAKING' || this.#state === 'UP') === (this.#frames !== null), 'client path: stream and state disagree');
    assert(this.#attempt === null || this.#state === 'CONNECTING', 'client path: an attempt in the wrong state');
    assert(this.#state === 'UP' || this.inFlight === 0, 'client path: requests in flight on a path that is down');
    this.#frames?.verify();
  }
}

/** The session, as its paths see it. */
export interface ClientPathOwner {
  readonly world: World;
  readonly transport: Transport;
  readonly slabs: SlabPool;
  readonly options: ResolvedClientOptions;
  readonly counters: RtrsCounters;
  /** What the next HELLO says. */
  hello(): Handshake;
  /** Null takes the path up; a reason closes it. */
  onWelcome(path: ClientPath, welcome: Handshake): string | null;
  onUp(path: ClientPath): void;
  onRefused(path: ClientPath, code: number, reason: string): void;
  /** The path went down from `from`. It tries again when its session lets it. */
  onDown(path: ClientPath, from: ClientPathState, reason: string): void;
  /** Null, or why this response is out of place. */
  onResponse(path: ClientPath): string | null;
  onFenced(path: ClientPath, pathId: number): string | null;
  /** The server ended the session on purpose. */
  onServerClose(path: ClientPath, reason: string): void;
  onFramesEnd(): void;
}

/** Legal transitions, each with its cause. */
const TRANSITIONS: Readonly<Record<ClientPathState, readonly ClientPathState[]>> = {
  // An attempt begins.
  DOWN: ['CONNECTING'],
  // The transport connected; it failed, took too long, or the session ended.
  CONNECTING: ['HANDSHAKING', 'DOWN'],
  // WELCOME came; refused, closed, took too long, or the session ended.
  HANDSHAKING: ['UP', 'DOWN'],
  // Closed, silent for too long, sent nonsense, or the session ended.
  UP: ['DOWN'],
};
