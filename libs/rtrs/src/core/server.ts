import { assert, type ByteStream, type SlabPool, TICK_INTERVAL_MS, type Ticked, type World } from '@rmr/runtime';
import {
  DEAD_AFTER_MS,
  HANDSHAKE_TIMEOUT_MS,
  HANDSHAKES_MAX,
  HEARTBEAT_INTERVAL_MS,
  PATHS_MAX,
  PROTOCOL_VERSION_MAX,
  PROTOCOL_VERSION_MIN,
  SESSIONS_MAX,
  STALL_MS_MIN,
} from '../constants.ts';
import { RtrsCounters } from '../counters.ts';
import { sameIncarnation } from '../identity.ts';
import type { RtrsServerHandler, RtrsServerOptions } from '../server-types.ts';
import { FrameKind, RefusalCode } from '../wire/frame-header.ts';
import { decodeHandshake, type Handshake, handshakeVersions, invalidHandshake } from '../wire/handshake.ts';
import { checkRange, checkSessionOptions } from './client-options.ts';
import { ServerPath } from './server-path.ts';
import { RtrsServerSession } from './server-session.ts';

/** The accepting side: makes sessions of the connections that it is given. */
export class RtrsServer implements Ticked {
  readonly options: Required<RtrsServerOptions>;
  readonly slabs: SlabPool;
  /** Counts what connections do before they belong to a session. */
  readonly strangers = new RtrsCounters();
  readonly #world: World;
  readonly #handler: RtrsServerHandler;
  readonly #handshaking = new Set<ServerPath>();
  /** Open and draining sessions by generation. */
  readonly #sessions = new Map<number, RtrsServerSession>();
  readonly #generationBase: number;
  #sessionCount = 0;
  #closed = false;
  #lastTickMs: number;

  /** Throws INVALID_CONFIG. */
  constructor(world: World, slabs: SlabPool, options: RtrsServerOptions, handler: RtrsServerHandler) {
    this.#world = world;
    this.slabs = slabs;
    this.#handler = handler;
    this.options = {
      local: options.local,
      queueDepth: options.queueDepth,
      maxPayloadBytes: options.maxPayloadBytes,
      payloadChecksum: options.payloadChecksum,
      heartbeatIntervalMs: options.heartbeatIntervalMs ?? HEARTBEAT_INTERVAL_MS,
      deadAfterMs: options.deadAfterMs ?? DEAD_AFTER_MS,
      handshakeTimeoutMs: options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
      sessionsMax: options.sessionsMax ?? SESSIONS_MAX,
      pathsMax: options.pathsMax ?? PATHS_MAX,
    };
    checkSessionOptions(this.options);
    checkRange('sessionsMax', this.options.sessionsMax, 1, SESSIONS_MAX);
    checkRange('pathsMax', this.options.pathsMax, 1, PATHS_MAX);
    this.#generationBase = (world.random.u32() % GENERATION_STARTS) * 0x1_0000_0000;
    this.#lastTickMs = world.clock.nowMs();
    world.ticker.subscribe(this);
  }

  /** Takes a connection that a listener has accepted. */
  accept(stream: ByteStream): void {
    if (this.#closed) {
      stream.destroy('the server is closed');
      return;
    }
    if (this.#handshaking.size >= HANDSHAKES_MAX) {
      // All of them are silent, or have not finished their first message. A client that wants something says it within milliseconds.
      const [oldest] = this.#handshaking;
      oldest?.frames.fail('it had not shaken hands, and others needed its place');
    }
    const path = new ServerPath(this.#world, this, stream);
    this.#handshaking.add(path);
    path.frames.attach();
  }

  /** Open and draining sessions. */
  sessions(): RtrsServerSession[] {
    return [...this.#sessions.values()];
  }

  /**
   * Ends every session (`onSessionClosed` comes from within) and takes no more connections. Requests that are executing
   * are still to be responded to. Harmless when closed already.
   */
  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#world.ticker.unsubscribe(this);
    for (const path of [...this.#handshaking]) path.refuse(RefusalCode.CLOSING, reason);
    for (const session of this.sessions()) session.close(reason);
  }

  /** For paths alone: a HELLO has come. Returns null, or the reason why it is bad. */
  onHello(path: ServerPath): string | null {
    const { frames } = path;
    const [versionMin, versionMax] = handshakeVersions(frames.bytes, frames.headerOffset);
    if (versionMin > PROTOCOL_VERSION_MAX || versionMax < PROTOCOL_VERSION_MIN) {
      path.refuse(
        RefusalCode.VERSION,
        `this server speaks RTRS versions ${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}, the client ${versionMin} to ${versionMax}`,
      );
      return null;
    }
    const invalid = invalidHandshake(frames.bytes, frames.headerOffset);
    if (invalid !== null) return invalid;
    const hello = decodeHandshake(frames.bytes, frames.headerOffset);
    if (hello.pathId !== 0) return 'handshake: a client does not number its paths';
    if (hello.generation === 0) this.#begin(path, hello);
    else this.#join(path, hello);
    return null;
  }

  #begin(path: ServerPath, hello: Handshake): void {
    if (this.#sessions.size >= this.options.sessionsMax) {
      path.refuse(RefusalCode.SESSIONS_EXHAUSTED, `this server has its maximum of ${this.options.sessionsMax} sessions`);
      return;
    }
    const { options } = this;
    const generation = this.#generationBase + ++this.#sessionCount;
    const session = new RtrsServerSession(this.#world, this, this.#handler, hello.identity, generation, {
      queueDepth: Math.min(hello.queueDepth, options.queueDepth),
      maxPayloadBytes: Math.min(hello.maxPayloadBytes, options.maxPayloadBytes),
      payloadChecksum: hello.payloadChecksum && options.payloadChecksum,
      heartbeatIntervalMs: Math.min(hello.heartbeatIntervalMs, options.heartbeatIntervalMs),
    });
    this.#sessions.set(generation, session);
    this.#world.log.info('rtrs server session', {
      peer: hello.identity.hostName,
      generation,
      to: 'OPEN',
      address: path.frames.stream.peerDescription,
    });
    this.#welcome(path, session);
    this.#handler.onSession(session);
  }

  #join(path: ServerPath, hello: Handshake): void {
    const session = this.#sessions.get(hello.generation);
    if (session === undefined || session.state !== 'OPEN') {
      path.refuse(RefusalCode.SESSION_UNKNOWN, 'the session to join does not exist any more');
    } else if (!sameIncarnation(session.peer, hello.identity)) {
      path.refuse(RefusalCode.IDENTITY, 'the session to join is that of another client, or of its earlier start');
    } else if (session.pathCount >= this.options.pathsMax) {
      path.refuse(RefusalCode.PATHS_EXHAUSTED, `the session has its maximum of ${this.options.pathsMax} paths`);
    } else {
      this.#welcome(path, session);
    }
  }

  #welcome(path: ServerPath, session: RtrsServerSession): void {
    this.#handshaking.delete(path);
    session.addPath(path);
    path.frames.sendHandshake(FrameKind.WELCOME, {
      versionMin: PROTOCOL_VERSION_MAX,
      versionMax: PROTOCOL_VERSION_MAX,
      generation: session.generation,
      pathId: path.pathId,
      identity: this.options.local,
      ...session.limits,
    });
  }

  /** For paths alone: a connection ended before its handshake did. */
  onStrangerGone(path: ServerPath): void {
    this.#handshaking.delete(path);
  }

  /** For sessions alone. */
  onSessionDrained(session: RtrsServerSession): void {
    this.#sessions.delete(session.generation);
  }

  tick(nowMs: number): void {
    const stalledMs = nowMs - this.#lastTickMs - TICK_INTERVAL_MS;
    this.#lastTickMs = nowMs;
    for (const path of this.#handshaking) path.tick(nowMs);
    for (const session of this.#sessions.values()) {
      if (stalledMs >= STALL_MS_MIN) session.forgive(stalledMs);
      session.tick(nowMs);
    }
  }

  /** Rechecks what must hold between two events. */
  verify(): void {
    assert(this.#handshaking.size <= HANDSHAKES_MAX, 'rtrs server: too many connections are shaking hands');
    assert(this.#sessions.size <= this.options.sessionsMax, 'rtrs server: too many sessions');
    for (const path of this.#handshaking) assert(path.state === 'HANDSHAKING', 'rtrs server: a path shakes hands in the wrong state');
    for (const session of this.#sessions.values()) {
      assert(session.state !== 'DRAINED', 'rtrs server: a drained session is kept');
      session.verify();
    }
  }
}

/** Generations are `start * 2^32 + count`: the part drawn at the start of the server has this many values. */
const GENERATION_STARTS = 0x20_0000;
