import type { StoreKeeper } from '@rmr/brmr';
import { onlyCopyBytes } from '@rmr/rmr';
import { formatSize, type Logger, type Ticked, type Ticker } from '@rmr/runtime';
import { attachedStores } from './status.ts';

/**
 * Delays the orderly stop of a node that holds the only copy of some data. The stop is logged as a warning, and may wait for a while. The
 * node goes on serving meanwhile, so that other members can pull what they lack.
 */
export class LastCopyWait implements Ticked {
  readonly #parts: LastCopyWaitParts;
  #untilMs: number | null = null;
  #nextMs = 0;
  #done: (() => void) | null = null;

  constructor(parts: LastCopyWaitParts) {
    this.#parts = parts;
  }

  /** Whether a stop has begun and waits. */
  get waits(): boolean {
    return this.#done !== null;
  }

  /** Begins a stop. Calls `done` when the stop may go on, perhaps at once. */
  begin(done: () => void): void {
    const { log, look, waitMs, ticker } = this.#parts;
    const copies = look();
    if (copies.length === 0 || waitMs === 0) {
      this.#tellEach('the node stops although it holds the only copy of some data', copies);
      done();
      return;
    }
    for (const copy of copies)
      log.warn('the node holds the only copy of some data: its stop waits until other members have it', { ...copy, waitMs });
    this.#done = done;
    ticker.subscribe(this);
  }

  /** Ends the wait now, because an operator does not want to wait. */
  endNow(): void {
    if (this.#done === null) return;
    this.#tellEach('the node was told not to wait longer: it stops although it holds the only copy of some data', this.#parts.look());
    this.#end();
  }

  tick(nowMs: number): void {
    this.#untilMs ??= nowMs + this.#parts.waitMs;
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + LOOK_MS;
    const copies = this.#parts.look();
    if (copies.length === 0) {
      this.#parts.log.info('other members have copies of all data by now: the node stops');
    } else {
      if (nowMs < this.#untilMs) return;
      this.#tellEach('the wait is over: the node stops although it still holds the only copy of some data', copies);
    }
    this.#end();
  }

  #tellEach(event: string, copies: readonly OnlyCopy[]): void {
    const remedy = 'Start this node again: reads of that data wait until it is back.';
    for (const copy of copies) this.#parts.log.warn(event, { ...copy, remedy });
  }

  #end(): void {
    const done = this.#done;
    this.#done = null;
    this.#parts.ticker.unsubscribe(this);
    done?.();
  }
}

/** The time between two looks whether other members have copies by now, while a stop waits. */
const LOOK_MS = 200;

/** Data that only one member of this node has: it would be gone with that member. */
export interface OnlyCopy {
  readonly pool: string;
  readonly member: number;
  readonly bytes: number;
}

/** The members of this node that hold the only copy of some data. */
export function onlyCopies(keeper: StoreKeeper): OnlyCopy[] {
  return attachedStores(keeper).flatMap(({ pool: { store } }) => {
    const bytes = onlyCopyBytes(store);
    return bytes === 0 ? [] : [{ pool: store.identity.poolName, member: store.identity.memberId, bytes }];
  });
}

/** The same in words, to follow a subject: `holds the only copy of …`. Null: no member holds the only copy of anything. */
export function onlyCopyText(copies: readonly OnlyCopy[]): string | null {
  if (copies.length === 0) return null;
  return `holds the only copy of ${copies.map(({ pool, bytes }) => `${formatSize(bytes)} of pool ${pool}`).join(' and of ')}`;
}

/** The things that a {@link LastCopyWait} works with. */
export interface LastCopyWaitParts {
  readonly ticker: Ticker;
  readonly log: Logger;
  /** How long a stop waits at most, in milliseconds. 0: it does not wait. */
  readonly waitMs: number;
  look(): readonly OnlyCopy[];
}
