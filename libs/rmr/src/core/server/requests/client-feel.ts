import {
  FEEL_LISTEN_EVERY,
  FEEL_LISTEN_MS,
  FEEL_LOAD_PER_SECOND,
  FEEL_RATE_MAX,
  FEEL_RATE_MIN,
  FEEL_RATE_START,
  FEEL_RUN_MS,
  FEEL_SETTLE_MS,
} from '../../../constants.ts';
import { FELT_MAX, feltMs } from '../../../wire/felt.ts';

/**
 * Of a hundred answers the slowest one counts; of fewer than some hundred, one of which the slowest would be chance, so many
 * answers have to be as slow, but no more than a twentieth of them.
 */
const SLOW_PART = 0.01;
const SLOW_COUNT = 5;
const SLOW_PART_MAX = 0.05;
/** Resync takes less when clients wait for more than so many times as long as without it, and a little beside; and more below that. */
const TOO_SLOW = { factor: 1.7, slackMs: 0.1 };
const STILL_WELL = { factor: 1.3, slackMs: 0.05 };
const LESS = 0.6;
const MORE = 1.4;

/** How long answers took, as clients tell: counts for each value of the byte. */
class Latencies {
  readonly #counts = new Float64Array(FELT_MAX + 1);
  count = 0;

  note(felt: number): void {
    this.#counts[felt] = (this.#counts[felt] as number) + 1;
    this.count++;
  }

  /** What all took but this part of the slowest, in milliseconds. */
  slowMs(part: number): number {
    let left = this.count * part;
    for (let felt = FELT_MAX; felt > 0; felt--) {
      left -= this.#counts[felt] as number;
      if (left < 0) return feltMs(felt);
    }
    return 0;
  }

  /** What was noted before counts half of what `newer` has noted. */
  take(newer: Latencies): void {
    this.count = 0;
    for (let felt = 0; felt <= FELT_MAX; felt++) {
      this.#counts[felt] = (this.#counts[felt] as number) / 2 + (newer.#counts[felt] as number);
      this.count += this.#counts[felt] as number;
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
 * quiet state. They tell that with their requests: what they feel of the way, and of how busy both ends are, is not seen here. From that follows how fast resync may be: as fast as it goes beside a trickle, and beside real load as fast as
 * answers stay well below twice as slow. The quiet state changes with the load, so resync rests for a moment now and then.
 *
 * It has no clock: every time is in clock milliseconds and comes from the caller.
 */
export class ClientFeel {
  #phase: Phase = 'IDLE';
  #beganMs = 0;
  /** Requests since then. */
  #requests = 0;
  #runs = 0;
  #rateBytes = FEEL_RATE_START;
  readonly #now = new Latencies();
  readonly #quiet = new Latencies();

  /** A client asks for IO. `felt`: how long answers took it since its request before (see felt.ts); 0: there was none. */
  note(felt: number, nowMs: number): void {
    // What was pulled before it rested is still on its way.
    if (this.#phase === 'LISTEN' && nowMs - this.#beganMs < FEEL_SETTLE_MS) return;
    this.#requests++;
    if (felt !== 0) this.#now.note(felt);
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
    const periodMs = this.#phase === 'LISTEN' ? FEEL_LISTEN_MS : FEEL_RUN_MS;
    const isLoad = this.#requests * 1000 >= FEEL_LOAD_PER_SECOND * Math.max(listenedMs, periodMs);
    // What would be load for a whole period is load before its end: until then there is no limit.
    const isSudden = isLoad && pulls && this.#phase === 'IDLE';
    if (listenedMs < periodMs && !isSudden) return;
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
    // Of both the same part: the slowest of many are slower than those of few.
    const part = Math.min(Math.max(SLOW_COUNT / Math.min(this.#now.count, this.#quiet.count), SLOW_PART), SLOW_PART_MAX);
    const slowMs = this.#now.slowMs(part);
    const quietMs = this.#quiet.slowMs(part);
    if (slowMs > quietMs * TOO_SLOW.factor + TOO_SLOW.slackMs) this.#rateBytes = Math.max(this.#rateBytes * LESS, FEEL_RATE_MIN);
    else if (slowMs < quietMs * STILL_WELL.factor + STILL_WELL.slackMs) this.#rateBytes = Math.min(this.#rateBytes * MORE, FEEL_RATE_MAX);
  }

  #begin(phase: Phase, nowMs: number): void {
    this.#phase = phase;
    this.#beganMs = nowMs;
    this.#requests = 0;
    this.#now.clear();
  }
}
