import { assert, type ByteStream, type World } from '@rmr/runtime';
import type { ServerPathInfo } from '../server-types.ts';
import { FrameKind, type RefusalCode } from '../wire/frame-header.ts';
import { decodeText } from '../wire/handshake.ts';
import { type FrameSink, FrameStream } from './frame-stream.ts';
import type { RtrsServer } from './server.ts';
import type { RtrsServerSession } from './server-session.ts';

/** One connection that a server has accepted: a path of a session once it has shaken hands. */
export class ServerPath implements FrameSink {
  readonly frames: FrameStream;
  readonly #world: World;
  readonly #server: RtrsServer;
  readonly deadlineMs: number;
  #state: ServerPathState = 'HANDSHAKING';
  #session: RtrsServerSession | null = null;
  pathId = 0;
  /** Requests that it brought and that are not yet responded to. */
  executing = 0;
  /** Once this path is gone: the path that is told when nothing of it executes any more (I10). */
  fenceRequester: ServerPath | null = null;

  constructor(world: World, server: RtrsServer, stream: ByteStream) {
    this.#world = world;
    this.#server = server;
    this.deadlineMs = world.clock.nowMs() + server.options.handshakeTimeoutMs;
    this.frames = new FrameStream(world, server.slabs, stream, this, server.strangers);
  }

  get state(): ServerPathState {
    return this.#state;
  }

  /** Null unless responses can still be sent. */
  get openFrames(): FrameStream | null {
    return this.#state === 'UP' ? this.frames : null;
  }

  get info(): ServerPathInfo {
    return {
      pathId: this.pathId,
      address: this.frames.stream.peerDescription,
      up: this.#state === 'UP',
      rttMs: this.frames.rttMs,
      executing: this.executing,
    };
  }

  /** The server has made this a path of `session`. */
  join(session: RtrsServerSession, pathId: number): void {
    this.#session = session;
    this.pathId = pathId;
    const { maxPayloadBytes, payloadChecksum } = session.limits;
    this.frames.counters = session.counters;
    this.frames.establish(maxPayloadBytes, payloadChecksum, true);
    this.#setState('UP');
  }

  refuse(code: (typeof RefusalCode)[keyof typeof RefusalCode], reason: string): void {
    this.frames.end(FrameKind.REFUSE, code, reason);
  }

  tick(nowMs: number): void {
    const { deadAfterMs, handshakeTimeoutMs } = this.#server.options;
    if (this.#state === 'UP') this.frames.beat(nowMs, (this.#session as RtrsServerSession).limits.heartbeatIntervalMs, deadAfterMs);
    else if (this.#state === 'HANDSHAKING' && nowMs >= this.deadlineMs) this.frames.fail(`no handshake within ${handshakeTimeoutMs} ms`);
  }

  onFrame(kind: FrameKind): string | null {
    const frames = this.frames;
    if (this.#state === 'HANDSHAKING') {
      return kind === FrameKind.HELLO ? this.#server.onHello(this) : 'the client sent something else than a handshake';
    }
    const session = this.#session as RtrsServerSession;
    switch (kind) {
      case FrameKind.REQUEST:
        return session.onRequest(this);
      case FrameKind.FENCE:
        return session.onFence(this, frames.status);
      case FrameKind.CLOSE: {
        const text = decodeText(frames.bytes, frames.headerOffset, frames.headerLength) ?? '';
        session.endPaths(`closed by the client: ${text}`, false);
        return null;
      }
      default:
        return 'the client sent a frame that only servers may send';
    }
  }

  onFramesEnd(): void {}

  onStreamEnded(reason: string): void {
    const from = this.#state;
    this.#setState('CLOSED');
    this.#world.log.warn('rtrs server: a path is gone', {
      peer: this.#session?.peer.hostName,
      address: this.frames.stream.peerDescription,
      path: this.pathId,
      from,
      why: reason,
    });
    if (this.#session === null) this.#server.onStrangerGone(this);
    else this.#session.onPathGone(this, reason);
  }

  #setState(to: ServerPathState): void {
    assert(TRANSITIONS[this.#state].includes(to), 'server path: illegal transition');
    this.#state = to;
  }
}

type ServerPathState = 'HANDSHAKING' | 'UP' | 'CLOSED';

/** Legal transitions, each with its cause. */
const TRANSITIONS: Readonly<Record<ServerPathState, readonly ServerPathState[]>> = {
  // A good HELLO; refused, closed, too slow.
  HANDSHAKING: ['UP', 'CLOSED'],
  // Closed, silent for too long, sent nonsense, fenced, or the session ended.
  UP: ['CLOSED'],
  // It may live on until what it brought has been responded to.
  CLOSED: [],
};
