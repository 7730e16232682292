import type { Logger, Ticked } from '@rmr/runtime';
import type { MappedPool } from './status.ts';

/** How often it is looked whether there are other differences: a person reads what is logged. */
const LOOK_MS = 1000;

/**
 * Logs where the configuration differs from what a pool has recorded: a warning when a difference appears or changes, not again
 * while it stays. A pool that is assembled anew knows of none meanwhile, which is no reason to repeat them.
 */
export class ConfigDifferences implements Ticked {
  readonly #log: Logger;
  readonly #pools: readonly MappedPool[];
  /** What was said of each pool, by its UUID. */
  readonly #told = new Map<string, ReadonlySet<string>>();
  #nextMs = 0;

  constructor(log: Logger, pools: readonly MappedPool[]) {
    this.#log = log;
    this.#pools = pools;
  }

  tick(nowMs: number): void {
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + LOOK_MS;
    for (const { config, client } of this.#pools) {
      const { differences } = client.status();
      if (differences.length === 0) continue;
      const told = this.#told.get(config.uuid);
      for (const { what, remedy } of differences) {
        if (told?.has(what) !== true)
          this.#log.warn('the configuration differs from what the pool has recorded', { pool: config.name, what, remedy });
      }
      this.#told.set(config.uuid, new Set(differences.map(({ what }) => what)));
    }
  }
}
