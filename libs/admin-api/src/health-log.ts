import type { Logger, Ticked } from '@rmr/runtime';
import type { Health, HealthLevel } from './status-common.ts';

/**
 * Logs the health of pools. It writes a line when the level changes, and when the level stays and the trouble changes. So a log that shows
 * only warnings still shows every loss of redundancy and of service, with pool and members, whatever the cause was.
 */
export class HealthLog implements Ticked {
  readonly #log: Logger;
  readonly #levels: HealthLevels;
  readonly #look: () => readonly Watched[];
  readonly #told = new Map<string, Told>();
  readonly #toldOf: HealthTold;
  #startedMs: number | null = null;
  #nextMs = 0;

  /** `told`: told of every line, too. */
  constructor(log: Logger, levels: HealthLevels, look: () => readonly Watched[], told: HealthTold = () => {}) {
    this.#toldOf = told;
    this.#log = log;
    this.#levels = levels;
    this.#look = look;
  }

  tick(nowMs: number): void {
    this.#startedMs ??= nowMs;
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + LOOK_MS;
    for (const watched of this.#look()) this.#tell(watched, nowMs - this.#startedMs < START_MS);
  }

  #tell({ pool, member, health: { level, sentence }, remedy }: Watched, starting: boolean): void {
    const key = member === undefined ? pool : `${pool}/${member}`;
    const told = this.#told.get(key);
    // Bytes left, rates and times change all the time. A sentence that differs only in these figures is no news.
    const plain = sentence.replaceAll(/\d[\d.]*( ?[KMGTP]?i?B\b)?/g, '#');
    if (told?.level === level && (told.sentence === plain || level === 'healthy')) return;
    if (told === undefined && starting && level !== 'healthy') return;
    this.#told.set(key, { level, sentence: plain });
    const fields = { pool, member, from: told?.level, to: level, why: sentence, remedy };
    this.#log[level === 'healthy' ? 'info' : this.#levels[level]]('pool health', fields);
    if (told?.level !== level) this.#toldOf({ pool, member, from: told?.level ?? 'unknown', to: level, why: sentence });
  }
}

/** The time between two looks at health. A person reads the log, so a second is fast enough. */
const LOOK_MS = 1_000;
/** A node that starts has not found the others yet. So bad health is logged only if it lasts for this long after the start. */
export const START_MS = 5_000;

/** One thing whose health is logged. */
export interface Watched {
  readonly pool: string;
  /** The member that this storage node keeps. Absent on a client node, which looks at whole pools. */
  readonly member?: number;
  readonly health: Health;
  /** What a person can do about it. Undefined: the node knows of nothing. */
  readonly remedy?: string | undefined;
}

interface Told {
  readonly level: HealthLevel;
  readonly sentence: string;
}

/** For each bad level of health, the level of the log line that tells it. `healthy` is always told at `info`. */
export type HealthLevels = Readonly<Record<Exclude<HealthLevel, 'healthy'>, 'warn' | 'error'>>;

/** Told of a change of the level of health. */
export type HealthTold = (change: {
  readonly pool: string;
  readonly member: number | undefined;
  readonly from: string;
  readonly to: string;
  readonly why: string;
}) => void;
