import { assert, type Clock } from '@rmr/runtime';
import type { IoUnits } from './io-units.ts';

/** Decides what IO may be sent and completed at this moment. {@link IoState} has the reasons why some may not. */
export class IoGate {
  readonly #clock: Clock;
  readonly #units: IoUnits;
  #state: IoState = IoState.WITHOUT_LEGS;
  #onQuiet: (() => void) | null = null;
  /** Quorum: reads are answered until then. Later, others may be served without the members that are read from (I7). */
  readsUntilMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, units: IoUnits) {
    this.#clock = clock;
    this.#units = units;
  }

  get state(): IoState {
    return this.#state;
  }

  /** Whether writes and flushes are not sent. */
  get writesWait(): boolean {
    return this.#state >= IoState.QUIESCING;
  }

  /** Whether writes and flushes do not complete either: a version has to become durable first, and perhaps be recorded by a quorum. */
  get versionPending(): boolean {
    return this.#state >= IoState.CHANGING_VERSION;
  }

  /** Whether reads may be sent and answered. */
  get mayRead(): boolean {
    return (
      this.#state < IoState.WITHOUT_QUORUM && (this.readsUntilMs === Number.POSITIVE_INFINITY || this.#clock.nowMs() < this.readsUntilMs)
    );
  }

  /**
   * A map update is ahead. `onQuiet` is called, once, when the legs have answered every write and flush in flight. What bounces is sent
   * again under the next version. Any other change of the state ends it.
   */
  quiesce(onQuiet: () => void): void {
    assert(this.#state !== IoState.QUIESCING, 'engine: quiesced twice');
    if (this.#state === IoState.RUNNING) this.#state = IoState.QUIESCING;
    this.#onQuiet = onQuiet;
    this.noticeQuiet();
  }

  /** A leg may have answered the last request that {@link quiesce} waits for. */
  noticeQuiet(): void {
    if (this.#onQuiet === null || this.#units.unanswered > 0) return;
    const onQuiet = this.#onQuiet;
    this.#onQuiet = null;
    onQuiet();
  }

  /** A version change begins. `readsToo`: reads wait until enough members have recorded it, as others may go on by a majority (I7). */
  awaitVersion(readsToo: boolean): void {
    const state = readsToo ? IoState.WITHOUT_QUORUM : IoState.CHANGING_VERSION;
    this.#change(this.#state > state ? this.#state : state);
  }

  /** Too few members have recorded the version. */
  awaitQuorum(): void {
    assert(this.versionPending, 'engine: a quorum is awaited without a version change');
    this.#state = IoState.WITHOUT_QUORUM;
  }

  /** No leg is left. */
  loseLegs(): void {
    this.#change(IoState.WITHOUT_LEGS);
  }

  /** A version is durable on its whole set, and enough members have recorded it. */
  open(): void {
    this.#change(IoState.RUNNING);
  }

  #change(state: IoState): void {
    this.#state = state;
    this.#onQuiet = null;
  }
}

/** What the IO of a pool has to wait for. Each state lets less through than the one before it. */
export const IoState = {
  /** For nothing: all IO is sent, and completes. */
  RUNNING: 0,
  /** A map update is ahead (L4). Nothing that changes data is sent; what is in flight completes. */
  QUIESCING: 1,
  /** A version change is pending (W5). Nothing that changes data is sent or completes. Reads go on. */
  CHANGING_VERSION: 2,
  /** Too few members are known to have recorded the version (I7). Reads wait, too, even those in flight: others may go on without these legs. */
  WITHOUT_QUORUM: 3,
  /** There is no leg (V6). Nothing is in flight, and everything waits. */
  WITHOUT_LEGS: 4,
} as const;
export type IoState = (typeof IoState)[keyof typeof IoState];
