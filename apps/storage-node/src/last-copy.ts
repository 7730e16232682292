import type { StoreKeeper } from '@rmr/brmr';
import { onlyCopyBytes } from '@rmr/rmr';
import { formatSize, type Logger, type Ticked, type Ticker } from '@rmr/runtime';
import { attachedStores } from './status.ts';

/** How often a stop that waits looks whether others have copies by now. */
const LOOK_MS = 200;

/** What would be gone with a member of this node. */
export interface OnlyCopy {
  readonly pool: string;
  readonly member: number;
  readonly bytes: number;
}

/** The members of this node that hold what no other member has. */
export function onlyCopies(keeper: StoreKeeper): OnlyCopy[] {
  return attachedStores(keeper).flatMap(({ pool: { store } }) => {
    const bytes = onlyCopyBytes(store);
    return bytes === 0 ? [] : [{ pool: store.identity.poolName, member: store.identity.memberId, bytes }];
  });
}

/** That in words, as the part of a sentence; null: there is nothing to say. */
export function onlyCopyText(copies: readonly OnlyCopy[]): string | null {
  if (copies.length === 0) return null;
  return `holds the only copy of ${copies.map(({ pool, bytes }) => `${formatSize(bytes)} of pool ${pool}`).join(' and of ')}`;
}

/** What a {@link LastCopyWait} works with. */
export interface LastCopyWaitParts {
  readonly ticker: Ticker;
  readonly log: Logger;
  /** How long a stop waits at most, in milliseconds; 0: it does not. */
  readonly waitMs: number;
  look(): readonly OnlyCopy[];
}

/**
 * An orderly stop of a node that holds the only copy of something: it is told, and may wait for a while, during which the node goes on
 * serving, so that other members can pull what they lack.
 */
export class LastCopyWait implements Ticked {
  readonly #parts: LastCopyWaitParts;
  #untilMs: number | null = null;
  #nextMs = 0;
  #done: (() => void) | null = null;

  constructor(parts: LastCopyWaitParts) {
    this.#parts = parts;
  }

  /** Whether a stop waits. */
  get waits(): boolean {
    return this.#done !== null;
  }

  /** A stop begins. `done` is called when it may go on, perhaps at once. */
  begin(done: () => void): void {
    const { log, look, waitMs, ticker } = this.#parts;
    const copies = look();
    if (copies.length === 0 || waitMs === 0) {
      this.#tellEach('the node stops, and holds the only copy of data', copies);
      done();
      return;
    }
    for (const copy of copies) log.warn('the node holds the only copy of data: its stop waits until others have it', { ...copy, waitMs });
    this.#done = done;
    ticker.subscribe(this);
  }

  /** The wait ends now: somebody does not want to wait. */
  endNow(): void {
    if (this.#done === null) return;
    this.#tellEach('the node stops without waiting longer, and holds the only copy of data', this.#parts.look());
    this.#end();
  }

  tick(nowMs: number): void {
    this.#untilMs ??= nowMs + this.#parts.waitMs;
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + LOOK_MS;
    const copies = this.#parts.look();
    if (copies.length === 0) {
      this.#parts.log.info('other members have copies by now: the node stops');
    } else {
      if (nowMs < this.#untilMs) return;
      this.#tellEach('the node has waited, and stops with the only copy of data', copies);
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
