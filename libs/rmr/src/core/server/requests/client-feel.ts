import {
  FEEL_CALM_LOOKS,
  FEEL_LISTEN_EVERY,
  FEEL_LISTEN_MS,
  FEEL_LOAD_PER_SECOND,
  FEEL_RATE_MAX,
  FEEL_RATE_MIN,
  FEEL_RATE_START,
  FEEL_RATE_STEP,
  FEEL_RUN_MS,
  FEEL_SETTLE_MS,
} from '../../../constants.ts';
import { FELT_MAX, feltMs } from '../../../wire/felt.ts';

/**
 * What the clients of a storage node feel of resync: how long their reads, writes and flushes take while it runs, against the
 * quiet state. They tell that with their requests: what they feel of the way, and of how busy both ends are, is not seen here. From that
 * follows how fast resync may be: as fast as it goes beside a trickle, and beside real load as fast as the slowest answers stay well
 * below twice as slow. The quiet state changes with the load, so resync rests for a moment now and then.
 *
 * The rate grows fast until clients feel it for the first time. From then on it is lowered by a part of it whenever they do, and grows by
 * steps. After a long calm it grows fast again.
 *
 * It has no clock: every time is in clock milliseconds and comes from the caller.
 */
export class ClientFeel {
  #phase: Phase = 'IDLE';
  #beganMs = 0;
  /** Requests since then, but for those that came while what had been in flight ended. */
  #requests = 0;
  /** Looks since it rested last, and how many there are until it rests again: few at first, as the load and both programs are still warming up. */
  #runs = 0;
  #runsMax = 1;
  /** What resync has begun since the last look. */
  #movedBytes = 0;
  #rateBytes = FEEL_RATE_START;
  /** Looks since clients felt it last. In the beginning as many as are needed for the rate to grow fast. */
  #calmLooks = FEEL_CALM_LOOKS;
  /** Requests per second in the last period, and in the last rest. */
  #perSecond = 0;
  #quietPerSecond = 0;
  readonly #now = new Latencies();
  readonly #quiet = new Latencies();

  /** A client asks for IO. `felt`: how long answers took it since its request before (see felt.ts); 0: there was none. */
  note(felt: number, nowMs: number): void {
    // What was pulled before it rested is still on its way.
    if (nowMs - this.#beganMs < this.#settleMs) return;
    this.#requests++;
    if (felt !== 0) this.#now.note(felt);
  }

  /** Resync has begun to pull or to serve so many bytes; fewer than none: it did less than was said. */
  noteMoved(bytes: number): void {
    this.#movedBytes += bytes;
  }

  /** Bytes per second that clients leave; null: as many as there can be. */
  get rateBytes(): number | null {
    return this.#phase === 'IDLE' ? null : this.#rateBytes;
  }

  /** Resync rests for a moment. */
  get listens(): boolean {
    return this.#phase === 'LISTEN';
  }

  /** Requests per second that clients asked for lately. */
  get perSecond(): number {
    return this.#perSecond;
  }

  /** Whether {@link update} has something to look at: between two ticks the requests of clients see to it that no rest lasts too long. */
  isDue(nowMs: number): boolean {
    return this.#phase !== 'IDLE' && nowMs - this.#beganMs >= this.#settleMs + this.#periodMs;
  }

  /** To be called with every tick, and when it is due. `pulls`: resync is under way. */
  update(nowMs: number, pulls: boolean): void {
    const passedMs = nowMs - this.#beganMs - this.#settleMs;
    const periodMs = this.#periodMs;
    const isLoad = this.#requests * 1000 >= FEEL_LOAD_PER_SECOND * Math.max(passedMs, periodMs);
    // What would be load for a whole period is load before its end: until then there is no limit.
    const isSudden = isLoad && pulls && this.#phase === 'IDLE';
    if (passedMs < periodMs && !isSudden) return;
    this.#perSecond = (this.#requests * 1000) / Math.max(passedMs, 1);
    if (!pulls || this.#phase === 'LISTEN') this.#takeQuiet();
    if (!pulls || !isLoad) this.#begin('IDLE', nowMs);
    else if (this.#phase === 'IDLE') {
      this.#rateBytes = FEEL_RATE_START;
      this.#calmLooks = FEEL_CALM_LOOKS;
      this.#runsMax = 1;
      this.#begin('LISTEN', nowMs);
    } else if (this.#phase === 'LISTEN') {
      this.#runs = 0;
      this.#begin('RUN', nowMs);
    } else if (this.#perSecond > this.#quietPerSecond * OTHER_LOAD) {
      this.#runsMax = 1;
      this.#begin('LISTEN', nowMs);
    } else {
      this.#judge((this.#movedBytes * 1000) / passedMs);
      if (++this.#runs < this.#runsMax) {
        this.#begin('RUN', nowMs);
      } else {
        this.#runsMax = Math.min(this.#runsMax + 1, FEEL_LISTEN_EVERY);
        this.#begin('LISTEN', nowMs);
      }
    }
  }

  /** What was felt of late is the quiet state; what is known of another load says nothing of this one. */
  #takeQuiet(): void {
    if (this.#perSecond > this.#quietPerSecond * OTHER_LOAD) this.#quiet.clear();
    this.#quietPerSecond = this.#perSecond;
    this.#quiet.take(this.#now);
  }

  /** `movedPerSecond`: bytes per second of resync since the last look. */
  #judge(movedPerSecond: number): void {
    // Of both the same part: the slowest of many are slower than those of few.
    const part = Math.min(Math.max(SLOW_COUNT / Math.min(this.#now.count, this.#quiet.count), SLOW_PART), SLOW_PART_MAX);
    const slowMs = this.#now.slowMs(part);
    const quietMs = this.#quiet.slowMs(part);
    if (slowMs > quietMs * TOO_SLOW.factor + TOO_SLOW.slackMs) {
      this.#calmLooks = 0;
      this.#rateBytes = Math.max(this.#rateBytes * LESS, FEEL_RATE_MIN);
    } else if (slowMs < quietMs * STILL_WELL.factor + STILL_WELL.slackMs && movedPerSecond * 2 >= this.#rateBytes) {
      // That a rate is well which was not used says nothing.
      const more = this.#calmLooks++ < FEEL_CALM_LOOKS ? this.#rateBytes + FEEL_RATE_STEP : this.#rateBytes * MORE;
      this.#rateBytes = Math.min(more, FEEL_RATE_MAX);
    }
  }

  get #settleMs(): number {
    return this.#phase === 'LISTEN' ? FEEL_SETTLE_MS : 0;
  }

  get #periodMs(): number {
    return this.#phase === 'LISTEN' ? FEEL_LISTEN_MS : FEEL_RUN_MS;
  }

  #begin(phase: Phase, nowMs: number): void {
    this.#phase = phase;
    this.#beganMs = nowMs;
    this.#requests = 0;
    this.#movedBytes = 0;
    this.#now.clear();
  }
}

/**
 * Of a hundred answers the slowest one counts; of fewer than some hundred, one of which the slowest would be chance, so many
 * answers have to be as slow, but no more than a twentieth of them.
 */
const SLOW_PART = 0.01;
const SLOW_COUNT = 5;
const SLOW_PART_MAX = 0.05;
/**
 * Resync takes less when the slowest answers take more than so many times as long as without it, and a little beside; and more below
 * that. What is promised is twice: a rate that is left behind slowly and lowered at once stays well below that for most of the time.
 */
const TOO_SLOW = { factor: 1.5, slackMs: 0.03 };
const STILL_WELL = { factor: 1.25, slackMs: 0.02 };
const LESS = 0.7;
/** How the rate grows as long as clients have not felt it. */
const MORE = 1.4;
/** The quiet state is that of another load when clients ask for so many times as much now: resync is no reason for that. */
const OTHER_LOAD = 3;

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
