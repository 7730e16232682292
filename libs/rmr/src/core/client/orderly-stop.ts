import { type Logger, Status, statusName } from '@rmr/runtime';
import { ORDERLY_STOP_MS_MAX } from '../../constants.ts';
import type { IoEngine } from './io/io-engine.ts';
import type { Versions } from './versions/versions.ts';

/**
 * The end of a client that serves a pool: its IO ends, then everything is flushed, then the members are released. Until then the pool is
 * served as ever: members leave and return, and IO that had to wait goes on with them.
 *
 * A released member forgets which writes could differ (W3). So no member is released while a write has not ended, even if nobody waits
 * for that write any more. Then the members reconcile at the next start, as after a crash.
 */
export class OrderlyStop {
  readonly #log: Logger;
  readonly #host: OrderlyStopHost;
  readonly #untilMs: number;
  #isFlushing = false;

  constructor(log: Logger, host: OrderlyStopHost, nowMs: number) {
    this.#log = log;
    this.#host = host;
    this.#untilMs = nowMs + ORDERLY_STOP_MS_MAX;
  }

  /** Takes the next step if it can be taken. Called again and again. */
  goOn(nowMs: number): void {
    const host = this.#host;
    if (nowMs >= this.#untilMs) {
      this.#reconcileNext(`${ORDERLY_STOP_MS_MAX / 1000} s were not enough for ${host.unfinished() ?? 'the last flush'}`);
      return;
    }
    if (this.#isFlushing) return;
    if (!host.serving()) {
      this.#reconcileNext('the pool is not served');
      return;
    }
    if (host.unfinished() !== null) return;
    if (host.flushMustWait()) {
      this.#reconcileNext('a flush would wait for a member that is away');
      return;
    }
    this.#isFlushing = true;
    host.flush((status) => this.#flushed(status));
  }

  #flushed(status: number): void {
    const unfinished = this.#host.unfinished();
    if (status !== Status.OK) this.#reconcileNext(`the last flush failed with ${statusName(status)}`);
    else if (unfinished !== null) this.#reconcileNext(`there is still ${unfinished}`);
    else this.#host.release(() => this.#host.stopped());
  }

  #reconcileNext(why: string): void {
    this.#log.warn('the pool stops, and its members are not released: they reconcile when it is served again', { why });
    this.#host.stopped();
  }
}

/** What keeps the members from being released. Null if nothing does. */
export function unfinished(engine: IoEngine, versions: Versions): string | null {
  const { executing, waiting, gate } = engine;
  if (executing + waiting > 0) return `IO that has not ended (${executing + waiting})`;
  if (gate.writesWait) return 'a version change';
  return versions.owes ? 'marks for writes that a member misses' : null;
}

/** What an orderly stop needs from the pool's client. */
export interface OrderlyStopHost {
  serving(): boolean;
  /** What would leave members different, or without a mark for what another one misses, if it were forgotten now. Null if nothing would. */
  unfinished(): string | null;
  /** Whether a flush would wait for a member that is away. */
  flushMustWait(): boolean;
  /** Begins no IO any more, and flushes everything. */
  flush(done: (status: number) => void): void;
  /** Tells the in-sync members that nothing is in flight. They forget `lastIo` and their write intent. */
  release(done: () => void): void;
  /** The stop has ended, in order or not. To call it again does no harm. */
  stopped(): void;
}
