import {
  assert,
  type Slab,
  type SlabPool,
  Status,
  TICK_INTERVAL_MS,
  type Ticked,
  type Transport,
  type TurnTask,
  type World,
} from '@rmr/runtime';
import type {
  ClientPathState,
  ClientSessionState,
  PathInfo,
  RtrsClientHandler,
  RtrsClientOptions,
  RtrsResponseSink,
  SessionLimits,
} from '../client-types.ts';
import { PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN, STALL_MS_MIN, USER_HEADER_BYTES_MAX } from '../constants.ts';
import { RtrsCounters } from '../counters.ts';
import { type PeerIdentity, sameIncarnation } from '../identity.ts';
import { FrameKind, RefusalCode } from '../wire/frame-header.ts';
import type { Handshake } from '../wire/handshake.ts';
import { Backoff } from './backoff.ts';
import { type ResolvedClientOptions, resolveClientOptions } from './client-options.ts';
import { ClientPath, type ClientPathOwner } from './client-path.ts';
import { FenceList } from './fence-list.ts';
import { InFlightTable, SlotState } from './in-flight-table.ts';
import { PathChooser } from './path-policy.ts';

/**
 * The client's side of a session: permits, requests and their responses over one or several paths.
 *
 * Requests have no order among one another. When a path dies, its requests are sent again on another path, after the server has confirmed that
 * it executes nothing from the dead path any more (I10). So a request may be executed twice, one time after the other, and never
 * late. When no other path is left, the session is lost: its requests end with `ESESSION`, and a new session is sought.
 */
export class RtrsClientSession implements Ticked, TurnTask, ClientPathOwner {
  turnQueued = false;
  readonly world: World;
  readonly transport: Transport;
  readonly slabs: SlabPool;
  readonly options: ResolvedClientOptions;
  readonly counters = new RtrsCounters();
  readonly #handler: RtrsClientHandler;
  readonly #table: InFlightTable;
  readonly #chooser: PathChooser;
  readonly #fences = new FenceList();
  readonly #backoff: Backoff;
  readonly #paths: ClientPath[] = [];
  /** The paths that are UP. */
  readonly #up: ClientPath[] = [];

  #state: ClientSessionState = 'IDLE';
  #generation = 0;
  #peer: PeerIdentity | null = null;
  #limits: SessionLimits;
  #connectedSinceMs = 0;
  #lastTickMs = 0;
  /** While CONNECTING: the path that seeks a session, and how many attempts there were in this search. */
  #leader = 0;
  #searches = 0;
  /** `allocate` has returned -1 since the last onPermit. */
  #wantsIo = false;
  #wantsControl = false;
  #refusedCount = 0;

  /** Throws INVALID_CONFIG. Nothing happens before {@link start}. */
  constructor(world: World, transport: Transport, slabs: SlabPool, options: RtrsClientOptions, handler: RtrsClientHandler) {
    this.world = world;
    this.transport = transport;
    this.slabs = slabs;
    this.options = resolveClientOptions(options, transport);
    this.#handler = handler;
    this.#table = new InFlightTable(this.options.queueDepth);
    this.#chooser = new PathChooser(this.options.pathPolicy);
    this.#backoff = new Backoff(world.random, this.options.reconnectMsMin, this.options.reconnectMsMax);
    const { queueDepth, maxPayloadBytes, payloadChecksum, heartbeatIntervalMs } = this.options;
    this.#limits = { queueDepth, maxPayloadBytes, payloadChecksum, heartbeatIntervalMs };
    for (const [index, address] of this.options.addresses.entries()) this.#paths.push(new ClientPath(this, index, address));
  }

  get state(): ClientSessionState {
    return this.#state;
  }

  /** The server of the present session, or of the last one; null before the first. */
  get peer(): PeerIdentity | null {
    return this.#peer;
  }

  /** The generation that the server gave the present session; 0 without one. */
  get generation(): number {
    return this.#generation;
  }

  /** The limits that were agreed on. Before the first session: the limits that are asked for. */
  get limits(): SessionLimits {
    return this.#limits;
  }

  /** Requests submitted and not ended. */
  get inFlight(): number {
    let count = 0;
    for (const state of this.#table.state) if (state > SlotState.ALLOCATED) count++;
    return count;
  }

  /** Fences that wait for the server's confirmation. */
  get pendingFences(): number {
    return this.#fences.count;
  }

  /** State of every path, in the order of the addresses. */
  paths(): PathInfo[] {
    return this.#paths.map((path) => path.info);
  }

  /** Begins to seek a session, and keeps seeking after every loss. Once. */
  start(): void {
    this.#setState('CONNECTING', 'started');
    this.#lastTickMs = this.world.clock.nowMs();
    this.world.ticker.subscribe(this);
    (this.#paths[this.#leader] as ClientPath).connect(this.#lastTickMs);
  }

  /**
   * Ends the session for good, and tells the server. No callback comes afterwards: the sinks of requests in flight are not told of an end. The
   * slabs of these requests are released. A second call does nothing.
   */
  close(reason: string): void {
    if (this.#state === 'CLOSED') return;
    if (this.#state !== 'IDLE') this.world.ticker.unsubscribe(this);
    this.#setState('CLOSED', reason);
    this.#generation = 0;
    this.#up.length = 0;
    this.#fences.clear();
    this.#table.shut();
    for (const path of this.#paths) {
      path.inFlight = 0;
      path.say(reason);
    }
    this.#refusedCount = 0;
    for (let slot = 0; slot < this.#table.slotCount; slot++) {
      if ((this.#table.state[slot] as number) <= SlotState.ALLOCATED) continue;
      const slab = this.#table.slab[slot];
      this.#table.free(slot);
      slab?.release();
    }
  }

  // Permits.

  /**
   * Takes a permit, and returns its slot. -1: no permit is free; `onPermit` or `onConnected` is called once one is. Control messages have
   * permits of their own, so that they never wait for IO.
   */
  allocate(control: boolean): number {
    const slot = this.#table.take(control);
    if (slot < 0) {
      if (control) this.#wantsControl = true;
      else this.#wantsIo = true;
    }
    return slot;
  }

  /** IO permits that are free now. */
  get freePermits(): number {
    return this.#table.freeIoCount;
  }

  /** Gives back a permit that was not used. */
  release(slot: number): void {
    assert(this.#table.state[slot] === SlotState.ALLOCATED, 'rtrs client: released a permit that is not held');
    this.#table.free(slot);
    if (this.#wantsIo || this.#wantsControl) this.world.turn.defer(this);
  }

  /** Where user headers are encoded: a permit's at {@link headerOffset}, at most USER_HEADER_BYTES_MAX bytes. */
  get headerBytes(): Uint8Array {
    return this.#table.headerBytes;
  }

  headerOffset(slot: number): number {
    return slot * USER_HEADER_BYTES_MAX;
  }

  // Requests.

  /**
   * Sends a request under a held permit; its user header has been encoded at `headerOffset(slot)`. `payload` stays unchanged
   * until the request ends. `payloadSlab`, the slab that it lies in, is retained until then; without one (control) the
   * payload is copied when sent. The request ends with one call of `sink.onResponse(tag, …)`, never from within this call.
   */
  submit(
    slot: number,
    headerLength: number,
    payload: Uint8Array | null,
    payloadSlab: Slab | null,
    tag: number,
    sink: RtrsResponseSink,
  ): void {
    const table = this.#table;
    assert(table.state[slot] === SlotState.ALLOCATED, 'rtrs client: submitted without a permit');
    assert(headerLength <= USER_HEADER_BYTES_MAX, 'rtrs client: user header too long');
    assert(this.#state !== 'CLOSED', 'rtrs client: submitted on a closed session');
    if (payloadSlab !== null) payloadSlab.retain();
    table.headerLength[slot] = headerLength;
    table.payload[slot] = payload;
    table.slab[slot] = payloadSlab;
    table.tag[slot] = tag;
    table.sink[slot] = sink;
    if (this.#state !== 'CONNECTED' || table.era[slot] !== table.currentEra) {
      table.state[slot] = SlotState.REFUSED;
      this.#refusedCount++;
      this.world.turn.defer(this);
      return;
    }
    assert(payload === null || payload.length <= this.#limits.maxPayloadBytes, 'rtrs client: payload longer than negotiated');
    this.#issue(slot);
  }

  #issue(slot: number): void {
    const table = this.#table;
    const path = this.#chooser.choose(this.#up);
    const generation = ((table.generation[slot] as number) + 1) & 0xffff;
    table.state[slot] = SlotState.SENT;
    table.generation[slot] = generation;
    table.path[slot] = path;
    table.pathId[slot] = path.pathId;
    path.inFlight++;
    this.counters.requests++;
    path.frames.sendMessage(
      FrameKind.REQUEST,
      slot,
      generation,
      0,
      table.headerBytes,
      slot * USER_HEADER_BYTES_MAX,
      table.headerLength[slot] as number,
      table.payload[slot] as Uint8Array | null,
      table.slab[slot] as Slab | null,
    );
  }

  onResponse(path: ClientPath): string | null {
    const table = this.#table;
    const frames = path.frames;
    const slot = frames.slot;
    if (slot >= table.slotCount || table.path[slot] !== path || table.generation[slot] !== frames.generation) {
      return 'a response to no request of this path';
    }
    const tag = table.tag[slot] as number;
    const sink = table.sink[slot] as RtrsResponseSink;
    const slab = table.slab[slot] as Slab | null;
    path.inFlight--;
    this.counters.responses++;
    table.free(slot);
    const { payload } = frames;
    sink.onResponse(
      tag,
      frames.status,
      frames.bytes,
      frames.headerOffset,
      frames.headerLength,
      payload,
      payload === null ? null : frames.slab,
    );
    if (slab !== null) slab.release();
    return null;
  }

  onFramesEnd(): void {
    if (this.#wantsIo || this.#wantsControl) this.#offerPermits();
  }

  #offerPermits(): void {
    const io = this.#wantsIo && this.#table.freeIoCount > 0;
    const control = this.#wantsControl && this.#table.freeControlCount > 0;
    if (!(io || control) || this.#state !== 'CONNECTED') return;
    if (io) this.#wantsIo = false;
    if (control) this.#wantsControl = false;
    this.#handler.onPermit(this);
  }

  /** Ends requests that were submitted without a session, and offers permits that were released. */
  runAtTurnEnd(): void {
    for (let slot = 0; this.#refusedCount > 0 && slot < this.#table.slotCount; slot++) {
      if (this.#table.state[slot] === SlotState.REFUSED) this.#endLost(slot);
    }
    this.#offerPermits();
  }

  /** The request under `slot` ends with ESESSION. */
  #endLost(slot: number): void {
    const table = this.#table;
    if (table.state[slot] === SlotState.REFUSED) this.#refusedCount--;
    const tag = table.tag[slot] as number;
    const sink = table.sink[slot] as RtrsResponseSink;
    const slab = table.slab[slot] as Slab | null;
    table.free(slot);
    sink.onResponse(tag, Status.ESESSION, NO_BYTES, 0, 0, null, null);
    if (slab !== null) slab.release();
  }

  // Paths coming and going.

  hello(): Handshake {
    const { local, queueDepth, maxPayloadBytes, payloadChecksum, heartbeatIntervalMs } = this.options;
    return {
      versionMin: PROTOCOL_VERSION_MIN,
      versionMax: PROTOCOL_VERSION_MAX,
      payloadChecksum,
      generation: this.#generation,
      pathId: 0,
      maxPayloadBytes,
      heartbeatIntervalMs,
      queueDepth,
      identity: local,
    };
  }

  onWelcome(path: ClientPath, welcome: Handshake): string | null {
    const { queueDepth, maxPayloadBytes, payloadChecksum, heartbeatIntervalMs } = welcome;
    if (queueDepth > this.options.queueDepth || maxPayloadBytes > this.options.maxPayloadBytes)
      return 'the server granted more than was asked for';
    if (heartbeatIntervalMs > this.options.heartbeatIntervalMs) return 'the server chose a longer heartbeat interval than was offered';
    if (payloadChecksum && !this.options.payloadChecksum) return 'the server chose a feature that was not offered';
    if (this.#state === 'CONNECTED') {
      if (welcome.generation !== this.#generation) return 'the server gave another session than the one that the path was to join';
      if (!sameIncarnation(welcome.identity, this.#peer as PeerIdentity)) {
        const reason = `path ${path.index} leads to another server, or the server restarted`;
        this.#lose(reason);
        return reason;
      }
      const limits = this.#limits;
      if (
        queueDepth !== limits.queueDepth ||
        maxPayloadBytes !== limits.maxPayloadBytes ||
        payloadChecksum !== limits.payloadChecksum ||
        heartbeatIntervalMs !== limits.heartbeatIntervalMs
      ) {
        return 'the server gave this path other limits than the session has';
      }
      return null;
    }
    this.#generation = welcome.generation;
    this.#peer = welcome.identity;
    this.#limits = { queueDepth, maxPayloadBytes, payloadChecksum, heartbeatIntervalMs };
    return null;
  }

  onUp(path: ClientPath): void {
    this.#up.push(path);
    this.counters.pathsUp++;
    this.#logUp(path);
    if (this.#state === 'CONNECTED') {
      this.#handler.onPathChange?.(this);
      return;
    }
    const nowMs = this.world.clock.nowMs();
    this.#connectedSinceMs = nowMs;
    this.#searches = 0;
    this.#wantsIo = false;
    this.#wantsControl = false;
    this.#table.open(this.#limits.queueDepth);
    this.counters.sessionsUp++;
    this.#setState('CONNECTED', `path ${path.index} to ${path.address} is up`);
    for (const other of this.#paths) if (other.state === 'DOWN') other.connect(nowMs);
    this.#handler.onConnected(this);
  }

  onRefused(path: ClientPath, code: number, reason: string): void {
    if (code === RefusalCode.SESSION_UNKNOWN && this.#state === 'CONNECTED') {
      this.#lose(`path ${path.index} was ${reason}`);
    }
  }

  onDown(path: ClientPath, from: ClientPathState, reason: string): void {
    const nowMs = this.world.clock.nowMs();
    this.#logDown(path, from, reason);
    if (from !== 'UP') {
      this.counters.pathsFailed++;
      if (this.#state === 'CONNECTED') path.retryLater(nowMs);
      else this.#searchOn(nowMs);
      return;
    }
    this.counters.pathsLost++;
    this.#up.splice(this.#up.indexOf(path), 1);
    if (this.#up.length === 0) {
      this.#lose(`the last path is gone: ${reason}`);
      return;
    }
    path.retryLater(nowMs);
    this.#fence(path, nowMs);
    this.#handler.onPathChange?.(this);
  }

  /** Logs an outage when it begins, and later in summaries. Not every failed attempt to end it gets a line. */
  #logDown(path: ClientPath, from: ClientPathState, reason: string): void {
    const { outage, index, address } = path;
    if (from === 'UP') outage.end();
    if (!outage.felt(reason)) return;
    const { times, since } = outage;
    this.world.log.warn('rtrs path is down', {
      peer: this.#peer?.hostName,
      path: index,
      address,
      from,
      why: reason,
      ...(times === 1 ? {} : { times, since }),
    });
  }

  #logUp(path: ClientPath): void {
    const { outage, index, address } = path;
    const { times, seconds } = outage;
    this.world.log.info('rtrs path is up', {
      peer: this.#peer?.hostName,
      path: index,
      address,
      ...(times === 0 ? {} : { downForSeconds: seconds, times }),
    });
    outage.end();
  }

  /** CONNECTING: every address in turn, and a pause after each round. */
  #searchOn(nowMs: number): void {
    this.#searches++;
    this.#leader = (this.#leader + 1) % this.#paths.length;
    const next = this.#paths[this.#leader] as ClientPath;
    next.nextAttemptMs = this.#searches % this.#paths.length === 0 ? nowMs + this.#backoff.next() : nowMs;
  }

  /** The server closed the session on purpose. */
  onServerClose(_path: ClientPath, reason: string): void {
    this.#lose(`closed by the server: ${reason}`);
  }

  // Fencing lost paths (I10).

  #fence(lost: ClientPath, nowMs: number): void {
    const carrier = this.#up[0] as ClientPath;
    const table = this.#table;
    if (lost.inFlight > 0) {
      for (let slot = 0; slot < table.slotCount; slot++) {
        if (table.path[slot] !== lost) continue;
        table.path[slot] = null;
        table.state[slot] = SlotState.FENCED;
      }
      lost.inFlight = 0;
      this.#fences.add(lost.pathId, nowMs + this.options.drainTimeoutMs, carrier);
      carrier.frames.sendSignal(FrameKind.FENCE, lost.pathId);
    }
    for (const pathId of this.#fences.recarry(lost, carrier)) carrier.frames.sendSignal(FrameKind.FENCE, pathId);
  }

  onFenced(_path: ClientPath, pathId: number): string | null {
    if (!this.#fences.remove(pathId)) return 'a fence that nobody asked for was confirmed';
    const table = this.#table;
    for (let slot = 0; slot < table.slotCount; slot++) {
      if (table.state[slot] !== SlotState.FENCED || table.pathId[slot] !== pathId) continue;
      this.counters.reissues++;
      this.#issue(slot);
    }
    return null;
  }

  // Losing the session.

  #lose(reason: string): void {
    if (this.#state !== 'CONNECTED') return;
    this.#setState('CONNECTING', reason);
    this.counters.sessionsLost++;
    this.#generation = 0;
    this.#up.length = 0;
    this.#fences.clear();
    this.#table.shut();
    for (const path of this.#paths) {
      path.inFlight = 0;
      path.stop(reason);
    }
    const table = this.#table;
    for (let slot = 0; slot < table.slotCount; slot++) {
      if (table.state[slot] !== SlotState.SENT) continue;
      table.path[slot] = null;
      table.state[slot] = SlotState.FENCED;
    }
    this.#searches = 0;
    (this.#paths[this.#leader] as ClientPath).nextAttemptMs = this.world.clock.nowMs() + this.#backoff.next();
    this.#handler.onLost(this, reason);
    for (let slot = 0; slot < table.slotCount && !this.#isClosed(); slot++) {
      if ((table.state[slot] as number) > SlotState.ALLOCATED) this.#endLost(slot);
    }
  }

  /** Asked after a callback, which may have closed the session. */
  #isClosed(): boolean {
    return this.#state === 'CLOSED';
  }

  tick(nowMs: number): void {
    const stalledMs = nowMs - this.#lastTickMs - TICK_INTERVAL_MS;
    this.#lastTickMs = nowMs;
    if (stalledMs >= STALL_MS_MIN) for (const path of this.#up) path.frames.forgive(stalledMs);
    if (this.#state === 'CONNECTED' && nowMs - this.#connectedSinceMs >= this.options.deadAfterMs) this.#backoff.reset();
    for (const path of this.#paths) {
      path.tick(nowMs);
      if (this.#isClosed()) return;
    }
    const overdue = this.#fences.overdue(nowMs);
    if (overdue !== null) this.#lose(`the server has not drained path number ${overdue.pathId} within ${this.options.drainTimeoutMs} ms`);
  }

  #setState(to: ClientSessionState, why: string): void {
    const from = this.#state;
    assert(TRANSITIONS[from].includes(to), 'rtrs client: illegal transition');
    this.#state = to;
    this.world.log.info('rtrs session', { peer: this.#peer?.hostName, generation: this.#generation, from, to, why });
  }

  /** Rechecks what must hold between two events. */
  verify(): void {
    const table = this.#table;
    table.verify();
    let refused = 0;
    const sent = new Map<ClientPath, number>();
    for (let slot = 0; slot < table.slotCount; slot++) {
      const state = table.state[slot] as number;
      const path = table.path[slot];
      if (path) sent.set(path, (sent.get(path) ?? 0) + 1);
      if (state === SlotState.REFUSED) refused++;
      if (state === SlotState.FENCED) {
        assert(this.#fences.has(table.pathId[slot] as number), 'rtrs client: a request waits for a fence that is not there');
      }
    }
    assert(refused === this.#refusedCount, 'rtrs client: refused requests do not add up');
    for (const path of this.#paths) {
      path.verify();
      assert(path.inFlight === (sent.get(path) ?? 0), 'rtrs client: requests in flight on a path do not add up');
      assert(this.#up.includes(path) === (path.state === 'UP'), 'rtrs client: the list of paths that are up is wrong');
    }
    assert((this.#state === 'CONNECTED') === this.#up.length > 0, 'rtrs client: a session without a path, or the other way round');
    assert(
      (this.#state === 'CONNECTED') === (this.#generation !== 0),
      'rtrs client: a session without a generation, or the other way round',
    );
    assert(this.#fences.count === 0 || this.#state === 'CONNECTED', 'rtrs client: a fence without a session');
  }
}

/** Legal transitions, each with its cause. */
const TRANSITIONS: Readonly<Record<ClientSessionState, readonly ClientSessionState[]>> = {
  // start(); close().
  IDLE: ['CONNECTING', 'CLOSED'],
  // A server welcomed a path with a new generation; close().
  CONNECTING: ['CONNECTED', 'CLOSED'],
  // The last path is gone, a drain took too long, the server closed it or does not know it any more; close().
  CONNECTED: ['CONNECTING', 'CLOSED'],
  CLOSED: [],
};

const NO_BYTES = new Uint8Array(0);
