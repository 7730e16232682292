import { type Logger, Status, statusName } from '@rmr/runtime';
import { ORDERLY_STOP_MS_MAX } from '../../constants.ts';
import type { IoEngine } from './io-engine.ts';
import type { Versions } from './versions.ts';

/** What an orderly stop needs from the pool's client. */
export interface OrderlyStopHost {
  serving(): boolean;
  /** What could leave members different, or without a mark for what another one misses, if it were forgotten now; null: nothing. */
  unfinished(): string | null;
  /** Whether a flush would wait for a member that is away. */
  flushMustWait(): boolean;
  /** Nothing new begins any more, and everything is flushed. */
  flush(done: (status: number) => void): void;
  /** The in-sync members are told that nothing is in flight; they forget `lastIo` and their write intent. */
  release(done: () => void): void;
  /** It is over, in order or not. To call it again does no harm. */
  stopped(): void;
}

/** What keeps the members from being released; null: nothing. */
export function unfinished(engine: IoEngine, versions: Versions): string | null {
  const { executing, waiting, frozen, holding } = engine;
  if (executing + waiting > 0) return `IO that has not ended (${executing + waiting})`;
  if (frozen || holding) return 'a version change';
  return versions.owes ? 'marks for writes that a member misses' : null;
}

/**
 * The end of a client that serves a pool: its IO ends, then everything is flushed, then the members are released. Until
 * then the pool is served as ever: members leave and come back, and with them IO goes on that had to wait.
 *
 * A member that is released forgets which writes could differ (W3). So it is not, where one has not ended: who asked for it
 * may be gone, and it goes on all the same. The members reconcile at the next start then, as after a crash.
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

  /** Takes the next step, if it can be taken; called again and again. */
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
