import { type RtrsClientHandler, type RtrsClientOptions, RtrsClientSession, type RtrsResponseSink } from '@rmr/rtrs';
import { type Slab, type SlabPool, Status, type Ticked, type Transport, type World } from '@rmr/runtime';
import { CONTROL_TIMEOUT_MS } from '../constants.ts';

/** The session to one host, which all pools with a leg there share. */
export class SharedSession implements RtrsClientHandler, RtrsResponseSink, Ticked {
  readonly rtrs: RtrsClientSession;
  readonly addresses: readonly string[];
  readonly #world: World;
  readonly #users = new Set<SessionUser>();
  readonly #waiting: ControlCall[] = [];
  readonly #calls = new Map<number, ControlCall>();
  #nextTag = 1;
  #connected = false;
  #hadSession = false;
  #lostReason = 'not connected yet';
  #lostSinceMs: number;

  constructor(world: World, transport: Transport, slabs: SlabPool, options: SessionOptions, addresses: readonly string[]) {
    this.#world = world;
    this.addresses = addresses;
    this.#lostSinceMs = world.clock.wallMs();
    this.rtrs = new RtrsClientSession(world, transport, slabs, { ...options, addresses }, this);
    world.ticker.subscribe(this);
    this.rtrs.start();
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Why there is no session. */
  get lostReason(): string {
    return this.#lostReason;
  }

  /** What the last attempts to connect ended with, on each path; why the session was lost where there has been none since. */
  get lastErrors(): string {
    return [...new Set(this.rtrs.paths().map((path) => path.lastError ?? this.#lostReason))].join('; ');
  }

  /** Whether nothing is known of the other host yet: there was no session, and no attempt to connect has failed. */
  get isFirstAttempt(): boolean {
    return !this.#connected && !this.#hadSession && this.rtrs.paths().every((path) => path.lastError === null);
  }

  /** Since when there is no session, wall clock; where there is one, since when there was none before. */
  get lostSinceMs(): number {
    return this.#lostSinceMs;
  }

  addUser(user: SessionUser): void {
    this.#users.add(user);
  }

  removeUser(user: SessionUser): void {
    this.#users.delete(user);
  }

  /** Whether no pool uses it and no call is under way. */
  get idle(): boolean {
    return this.#users.size === 0 && this.#calls.size === 0 && this.#waiting.length === 0;
  }

  close(reason: string): void {
    this.#connected = false;
    this.#world.ticker.unsubscribe(this);
    this.rtrs.close(reason);
    this.#failCalls();
  }

  /** Sends a control request. `done` gets ESESSION when the session ends, ETIMEDOUT when no answer comes; never from within. */
  call(header: ControlCall['header'], body: Uint8Array, done: ControlCall['done']): void {
    this.#waiting.push({ header, body, deadlineMs: this.#world.clock.nowMs() + CONTROL_TIMEOUT_MS, done });
    this.#sendCalls();
  }

  onConnected(): void {
    this.#connected = true;
    this.#hadSession = true;
    for (const user of this.#users) user.onSessionUp(this);
    this.#sendCalls();
  }

  onLost(_session: RtrsClientSession, reason: string): void {
    // A failed attempt to come back is no new loss.
    if (this.#connected) this.#lostSinceMs = this.#world.clock.wallMs();
    this.#connected = false;
    this.#lostReason = reason;
    for (const user of this.#users) user.onSessionDown(this, reason);
  }

  onPermit(): void {
    this.#sendCalls();
    for (const user of this.#users) user.onSessionPermit(this);
  }

  onResponse(
    tag: number,
    status: number,
    _header: Uint8Array,
    _at: number,
    _length: number,
    payload: Uint8Array | null,
    _slab: Slab | null,
  ): void {
    const call = this.#calls.get(tag);
    // Timed out before.
    if (call === undefined) return;
    this.#calls.delete(tag);
    call.done(status, payload);
  }

  tick(nowMs: number): void {
    for (const [tag, call] of this.#calls) {
      if (call.deadlineMs > nowMs) continue;
      this.#calls.delete(tag);
      call.done(Status.ETIMEDOUT, null);
    }
    if (!this.#connected || this.#waiting.length > 0) {
      for (let i = 0; i < this.#waiting.length; ) {
        const call = this.#waiting[i] as ControlCall;
        // The first attempt to connect is waited for: a session may be opened for the very call.
        if ((this.#connected || this.isFirstAttempt) && call.deadlineMs > nowMs) {
          i++;
          continue;
        }
        this.#waiting.splice(i, 1);
        call.done(this.#connected ? Status.ETIMEDOUT : Status.ESESSION, null);
      }
    }
  }

  #sendCalls(): void {
    while (this.#connected && this.#waiting.length > 0) {
      const slot = this.rtrs.allocate(true);
      if (slot < 0) return;
      const call = this.#waiting.shift() as ControlCall;
      const headerLength = call.header(this.rtrs.headerBytes, this.rtrs.headerOffset(slot));
      const tag = this.#nextTag++;
      this.#calls.set(tag, call);
      this.rtrs.submit(slot, headerLength, call.body, null, tag, this);
    }
  }

  #failCalls(): void {
    const calls = [...this.#calls.values(), ...this.#waiting];
    this.#calls.clear();
    this.#waiting.length = 0;
    for (const call of calls) call.done(Status.ESESSION, null);
  }
}

/** A pool's interest in a session. */
export interface SessionUser {
  onSessionUp(session: SharedSession): void;
  /** Called before what is in flight ends with ESESSION. */
  onSessionDown(session: SharedSession, reason: string): void;
  onSessionPermit(session: SharedSession): void;
}

/** A control call that waits for a permit or an answer. */
interface ControlCall {
  readonly header: (bytes: Uint8Array, at: number) => number;
  readonly body: Uint8Array;
  readonly deadlineMs: number;
  readonly done: (status: number, payload: Uint8Array | null) => void;
}

/** How sessions are set up; the addresses come from each member. */
export type SessionOptions = Omit<RtrsClientOptions, 'addresses'>;
