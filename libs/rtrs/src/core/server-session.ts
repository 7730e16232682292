import { assert, type World } from '@rmr/runtime';
import type { SessionLimits } from '../client-types.ts';
import { CONTROL_PERMITS, RESPONSE_HEADER_BYTES_MAX } from '../constants.ts';
import { RtrsCounters } from '../counters.ts';
import type { PeerIdentity } from '../identity.ts';
import type { RtrsServerHandler, ServerPathInfo, ServerSessionState } from '../server-types.ts';
import { FrameKind } from '../wire/frame-header.ts';
import type { RtrsServer } from './server.ts';
import type { ServerPath } from './server-path.ts';
import { RtrsServerRequest } from './server-request.ts';

/** The server's side of a session. */
export class RtrsServerSession {
  readonly peer: PeerIdentity;
  readonly limits: SessionLimits;
  /** Never given to another session by this server process, and hardly by another. */
  readonly generation: number;
  readonly counters = new RtrsCounters();
  /** For the upper layer to use freely; null at first. */
  attachment: unknown = null;
  readonly #world: World;
  readonly #server: RtrsServer;
  readonly #handler: RtrsServerHandler;
  #state: ServerSessionState = 'OPEN';
  /** onSessionClosed comes before onSessionDrained, even when the last response is given from within it. */
  #toldClosed = false;
  readonly #paths: ServerPath[] = [];
  /** Paths that are gone while requests that they brought are executing. */
  readonly #draining: ServerPath[] = [];
  #lastPathId = 0;
  #executing = 0;
  /** By slot; made when a slot is first used. */
  readonly #requests: (RtrsServerRequest | null)[];
  readonly #responseHeaders: Uint8Array;

  constructor(world: World, server: RtrsServer, handler: RtrsServerHandler, peer: PeerIdentity, generation: number, limits: SessionLimits) {
    this.#world = world;
    this.#server = server;
    this.#handler = handler;
    this.peer = peer;
    this.generation = generation;
    this.limits = limits;
    const slotCount = CONTROL_PERMITS + limits.queueDepth;
    this.#requests = new Array(slotCount).fill(null);
    this.#responseHeaders = new Uint8Array(slotCount * RESPONSE_HEADER_BYTES_MAX);
    this.counters.sessionsUp = 1;
  }

  get state(): ServerSessionState {
    return this.#state;
  }

  /** Requests handed to the handler and not yet responded to. */
  get executing(): number {
    return this.#executing;
  }

  /** Paths that are up. */
  get pathCount(): number {
    return this.#paths.length;
  }

  paths(): ServerPathInfo[] {
    return [...this.#paths, ...this.#draining].map((path) => path.info);
  }

  /**
   * Ends the session and tells the client. `onSessionClosed` is called from within, and `onSessionDrained` once nothing
   * executes. Harmless when it has ended already.
   */
  close(reason: string): void {
    this.endPaths(reason, true);
  }

  /** For the server alone: a path has shaken hands. */
  addPath(path: ServerPath): void {
    assert(this.#state === 'OPEN', 'rtrs server: a path joins a session that has ended');
    this.#paths.push(path);
    this.counters.pathsUp++;
    path.join(this, ++this.#lastPathId);
  }

  onRequest(path: ServerPath): string | null {
    const slot = path.frames.slot;
    if (slot >= this.#requests.length) return 'a request beyond the permits that were granted';
    let request = this.#requests[slot] as RtrsServerRequest | null;
    if (request === null) {
      request = new RtrsServerRequest(this, slot, slot < CONTROL_PERMITS, this.#responseHeaders);
      this.#requests[slot] = request;
    }
    if (request.isExecuting) return 'a request under a permit that is in use';
    path.executing++;
    this.#executing++;
    this.counters.requests++;
    request.begin(path, path.frames);
    this.#handler.onRequest(request);
    return null;
  }

  /** For requests alone: one that `path` brought has been responded to. */
  onResponded(path: ServerPath): void {
    path.executing--;
    this.#executing--;
    assert(path.executing >= 0 && this.#executing >= 0, 'rtrs server: more responses than requests');
    if (path.state === 'CLOSED' && path.executing === 0) {
      this.#draining.splice(this.#draining.indexOf(path), 1);
      path.fenceRequester?.openFrames?.sendSignal(FrameKind.FENCED, path.pathId);
    }
    this.#drainedIfSo();
  }

  /** The client wants path number `pathId` fenced: nothing that it brought may execute once this is confirmed (I10). */
  onFence(path: ServerPath, pathId: number): string | null {
    if (pathId === 0 || pathId > this.#lastPathId) return 'a fence for a path that never was';
    if (pathId === path.pathId) return 'a fence for the path that carries it';
    this.#paths.find((other) => other.pathId === pathId)?.frames.fail('fenced by the client');
    const draining = this.#draining.find((other) => other.pathId === pathId);
    if (draining === undefined) path.frames.sendSignal(FrameKind.FENCED, pathId);
    else draining.fenceRequester = path;
    return null;
  }

  onPathGone(path: ServerPath, reason: string): void {
    const at = this.#paths.indexOf(path);
    assert(at >= 0, 'rtrs server: a path is gone twice');
    this.#paths.splice(at, 1);
    this.counters.pathsLost++;
    if (path.executing > 0) this.#draining.push(path);
    if (this.#paths.length === 0 && this.#state === 'OPEN') this.#end(`the last path is gone: ${reason}`);
  }

  /** Ends the session by closing every path. */
  endPaths(reason: string, tellClient: boolean): void {
    if (this.#state !== 'OPEN') return;
    this.#setState('DRAINING', reason);
    for (const path of [...this.#paths]) {
      if (tellClient) path.frames.end(FrameKind.CLOSE, 0, reason);
      else path.frames.fail(reason);
    }
    this.#closed(reason);
  }

  #end(reason: string): void {
    this.#setState('DRAINING', reason);
    this.#closed(reason);
  }

  #closed(reason: string): void {
    this.counters.sessionsLost = 1;
    this.#handler.onSessionClosed(this, reason);
    this.#toldClosed = true;
    this.#drainedIfSo();
  }

  #drainedIfSo(): void {
    if (this.#state !== 'DRAINING' || this.#executing > 0 || !this.#toldClosed) return;
    this.#setState('DRAINED', 'nothing executes any more');
    this.#server.onSessionDrained(this);
    this.#handler.onSessionDrained(this);
  }

  tick(nowMs: number): void {
    for (let i = this.#paths.length - 1; i >= 0; i--) this.#paths[i]?.tick(nowMs);
  }

  forgive(byMs: number): void {
    for (const path of this.#paths) path.frames.forgive(byMs);
  }

  #setState(to: ServerSessionState, why: string): void {
    const from = this.#state;
    assert(TRANSITIONS[from].includes(to), 'rtrs server: illegal transition');
    this.#state = to;
    this.#world.log.info('rtrs server session', { peer: this.peer.hostName, generation: this.generation, from, to, why });
  }

  /** Rechecks what must hold between two events. */
  verify(): void {
    let executing = 0;
    for (const request of this.#requests) if (request?.isExecuting) executing++;
    assert(executing === this.#executing, 'rtrs server: executing requests do not add up');
    let byPath = 0;
    for (const path of this.#paths) {
      assert(path.state === 'UP', 'rtrs server: a path of the session is not up');
      byPath += path.executing;
      path.frames.verify();
    }
    for (const path of this.#draining) {
      assert(path.state === 'CLOSED' && path.executing > 0, 'rtrs server: a path drains without need');
      byPath += path.executing;
    }
    assert(byPath === executing, 'rtrs server: executing requests of the paths do not add up');
    assert((this.#state === 'OPEN') === this.#paths.length > 0, 'rtrs server: an open session without a path, or the other way round');
    assert(this.#state !== 'DRAINED' || executing === 0, 'rtrs server: drained, and yet something executes');
  }
}

/** Legal transitions, each with its cause. */
const TRANSITIONS: Readonly<Record<ServerSessionState, readonly ServerSessionState[]>> = {
  // The last path is gone, the client or the upper layer closed it.
  OPEN: ['DRAINING'],
  // Everything has been responded to.
  DRAINING: ['DRAINED'],
  DRAINED: [],
};
