import type { Clock } from './world.ts';

/**
 * A condition that makes itself felt again and again while it lasts, such as a failing attempt. It is said when it begins, when it
 * shows a new reason, and then in summaries at growing intervals ({@link SUMMARY_MS_MIN} to {@link SUMMARY_MS_MAX}).
 */
export class Repeats {
  readonly #clock: Clock;
  readonly #reasons = new Set<string>();
  #sinceMs = 0;
  #sinceWallMs = 0;
  #intervalMs = SUMMARY_MS_MIN;
  #summaryMs = 0;
  #times = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How often it was felt since it began; 0: it does not hold. */
  get times(): number {
    return this.#times;
  }

  /** For how long it has held, in whole seconds. */
  get seconds(): number {
    return this.#times === 0 ? 0 : Math.round((this.#clock.nowMs() - this.#sinceMs) / 1000);
  }

  /** When it began, on the wall clock, as text; undefined while it does not hold. */
  get since(): string | undefined {
    // biome-ignore lint/style/noRestrictedGlobals: it puts a given time into words and asks no clock
    return this.#times === 0 ? undefined : new Date(this.#sinceWallMs).toISOString();
  }

  /** The condition was felt again, for this reason. Returns whether the caller has to say so now. */
  felt(reason: string): boolean {
    const nowMs = this.#clock.nowMs();
    if (this.#times++ === 0) {
      this.#sinceMs = nowMs;
      this.#sinceWallMs = this.#clock.wallMs();
      this.#intervalMs = SUMMARY_MS_MIN;
      this.#summaryMs = nowMs + this.#intervalMs;
    }
    // Figures in a reason vary while it says the same.
    const plain = reason.replaceAll(/\d+/g, '#');
    if (this.#reasons.size < REASONS_MAX && !this.#reasons.has(plain)) {
      this.#reasons.add(plain);
      return true;
    }
    if (nowMs < this.#summaryMs) return false;
    this.#intervalMs = Math.min(SUMMARY_MS_MAX, 2 * this.#intervalMs);
    this.#summaryMs = nowMs + this.#intervalMs;
    return true;
  }

  /** The condition does not hold any more. */
  end(): void {
    this.#times = 0;
    this.#reasons.clear();
  }
}

/** The time after which a condition that repeats gets its first summary. */
export const SUMMARY_MS_MIN = 60_000;
/** The interval between summaries doubles up to this: a condition that lasts leaves 24 lines a day. */
export const SUMMARY_MS_MAX = 3_600_000;
/** How many different reasons of one condition are said at once, each when it comes. Later reasons wait for the summary. */
export const REASONS_MAX = 8;
