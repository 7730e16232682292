import {
  FEEL_LISTEN_EVERY,
  FEEL_LISTEN_MS,
  FEEL_LOAD_PER_SECOND,
  FEEL_RATE_MAX,
  FEEL_RATE_MIN,
  FEEL_RATE_START,
  FEEL_RUN_MS,
  FEEL_SETTLE_MS,
} from '../../constants.ts';
import { MessageType } from '../../wire/io-message.ts';

/** Buckets per factor of two, and the shortest time that is told from nothing, in milliseconds. */
const PER_OCTAVE = 8;
const SHORTEST_MS = 0.01;
const BUCKETS = 200;
/** Of so many answers, the slowest but a twentieth counts: of a few dozen in a period, the hundredth would be chance. */
const QUANTILE = 0.95;
/** Resync takes less when clients wait for more than so many times as long as without it, and a little beside; and more below that. */
const TOO_SLOW = { factor: 1.7, slackMs: 0.5 };
const STILL_WELL = { factor: 1.3, slackMs: 0.25 };
const LESS = 0.6;
const MORE = 1.4;

/** How long answers took: counts in buckets that grow. */
class Latencies {
  readonly #counts = new Float64Array(BUCKETS);
  count = 0;

  note(tookMs: number): void {
    const bucket = tookMs <= SHORTEST_MS ? 0 : Math.min(BUCKETS - 1, 1 + Math.floor(PER_OCTAVE * Math.log2(tookMs / SHORTEST_MS)));
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.count++;
  }

  /** The upper end of the bucket in which the quantile lies, in milliseconds. */
  get slowMs(): number {
    let left = this.count * QUANTILE;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#counts[bucket] as number;
      if (left <= 0) return bucket === 0 ? 0 : SHORTEST_MS * 2 ** (bucket / PER_OCTAVE);
    }
    return 0;
  }

  /** What was noted before counts half of what `newer` has noted. */
  take(newer: Latencies): void {
    this.count = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      this.#counts[bucket] = (this.#counts[bucket] as number) / 2 + (newer.#counts[bucket] as number);
      this.count += this.#counts[bucket] as number;
    }
  }

  clear(): void {
    this.#counts.fill(0);
    this.count = 0;
  }
}

/** IDLE: clients do little, or nothing is pulled. LISTEN: resync rests, to hear how long answers take without it. RUN: it goes on. */
type Phase = 'IDLE' | 'LISTEN' | 'RUN';

/**
 * What the clients of a storage node feel of resync: how long their reads, writes and flushes take while it runs, against the
 * quiet state. From that follows how fast resync may be: as fast as it goes beside a trickle, and beside real load as fast as
 * answers stay well below twice as slow. The quiet state changes with the load, so resync rests for a moment now and then.
 *
 * It has no clock: every time is in clock milliseconds and comes from the caller.
 */
export class ClientFeel {
  #phase: Phase = 'IDLE';
  #beganMs = 0;
  #runs = 0;
  #rateBytes = FEEL_RATE_START;
  readonly #now = new Latencies();
  readonly #quiet = new Latencies();

  /** A client's IO was answered, `tookMs` after it had come. */
  note(tookMs: number, nowMs: number): void {
    // What was pulled before it rested is still on its way.
    if (this.#phase === 'LISTEN' && nowMs - this.#beganMs < FEEL_SETTLE_MS) return;
    this.#now.note(tookMs);
  }

  /** Bytes per second that clients leave; null: as many as there can be. */
  get rateBytes(): number | null {
    return this.#phase === 'IDLE' ? null : this.#rateBytes;
  }

  /** Resync rests for a moment. */
  get listens(): boolean {
    return this.#phase === 'LISTEN';
  }

  /** To be called with every tick. `pulls`: resync is under way. */
  update(nowMs: number, pulls: boolean): void {
    const settleMs = this.#phase === 'LISTEN' ? FEEL_SETTLE_MS : 0;
    const listenedMs = nowMs - this.#beganMs - settleMs;
    if (listenedMs < (this.#phase === 'LISTEN' ? FEEL_LISTEN_MS : FEEL_RUN_MS)) return;
    const isLoad = this.#now.count * 1000 >= FEEL_LOAD_PER_SECOND * listenedMs;
    if (!pulls || this.#phase === 'LISTEN') this.#quiet.take(this.#now);
    if (!pulls || !isLoad) this.#begin('IDLE', nowMs);
    else if (this.#phase === 'IDLE') {
      this.#rateBytes = FEEL_RATE_START;
      this.#begin('LISTEN', nowMs);
    } else if (this.#phase === 'LISTEN') {
      this.#runs = 0;
      this.#begin('RUN', nowMs);
    } else {
      this.#judge();
      this.#begin(++this.#runs < FEEL_LISTEN_EVERY ? 'RUN' : 'LISTEN', nowMs);
    }
  }

  #judge(): void {
    const slowMs = this.#now.slowMs;
    const quietMs = this.#quiet.slowMs;
    if (slowMs > quietMs * TOO_SLOW.factor + TOO_SLOW.slackMs) this.#rateBytes = Math.max(this.#rateBytes * LESS, FEEL_RATE_MIN);
    else if (slowMs < quietMs * STILL_WELL.factor + STILL_WELL.slackMs) this.#rateBytes = Math.min(this.#rateBytes * MORE, FEEL_RATE_MAX);
  }

  #begin(phase: Phase, nowMs: number): void {
    this.#phase = phase;
    this.#beganMs = nowMs;
    this.#now.clear();
  }
}

/** Whether the time that a request of this type takes is what clients feel of resync: not that of ranges, which may take long by themselves. */
export function isFelt(type: number): boolean {
  return type === MessageType.READ || type === MessageType.WRITE || type === MessageType.FLUSH;
}
