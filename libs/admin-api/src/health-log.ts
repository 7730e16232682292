import type { Logger, Ticked } from '@rmr/runtime';
import type { Health, HealthLevel } from './status-common.ts';

/** How often health is looked at: a person reads what is logged. */
const LOOK_MS = 1_000;
/** A node that starts has not found the others yet: what is wrong is told if it still is after so long. */
export const START_MS = 5_000;

/** One thing whose health is logged. */
export interface Watched {
  readonly pool: string;
  /** The member that this node keeps; absent on a client node, which serves all of them. */
  readonly member?: number;
  readonly health: Health;
  /** What a person can do, where something is known. */
  readonly remedy?: string | undefined;
}

interface Told {
  readonly level: HealthLevel;
  readonly sentence: string;
}

/** The level of the log at which a level of health is told. */
export type HealthLevels = Readonly<Record<Exclude<HealthLevel, 'healthy'>, 'warn' | 'error'>>;

/**
 * Logs the health of pools: a line when the level changes, or what is wrong at that level does. So a log that shows warnings alone shows
 * every loss of redundancy and of service, with pool and members, whatever has caused it.
 */
export class HealthLog implements Ticked {
  readonly #log: Logger;
  readonly #levels: HealthLevels;
  readonly #look: () => readonly Watched[];
  readonly #told = new Map<string, Told>();
  #startedMs: number | null = null;
  #nextMs = 0;

  constructor(log: Logger, levels: HealthLevels, look: () => readonly Watched[]) {
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
    // Bytes left, rates and times change all the time, and say the same.
    const plain = sentence.replaceAll(/\d[\d.]*( ?[KMGTP]?i?B\b)?/g, '#');
    if (told?.level === level && (told.sentence === plain || level === 'healthy')) return;
    if (told === undefined && starting && level !== 'healthy') return;
    this.#told.set(key, { level, sentence: plain });
    const fields = { pool, member, from: told?.level, to: level, why: sentence, remedy };
    this.#log[level === 'healthy' ? 'info' : this.#levels[level]]('pool health', fields);
  }
}
