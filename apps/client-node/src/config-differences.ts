import type { Logger, Ticked } from '@rmr/runtime';
import type { MappedPool } from './mapped-pools.ts';

/**
 * Logs each difference between the configuration and the records of a pool. It warns when a difference appears or changes, and does not
 * repeat the warning while the difference stays. A pool that is being assembled again reports no differences meanwhile; they are not
 * repeated after that either.
 */
export class ConfigDifferences implements Ticked {
  readonly #log: Logger;
  readonly #pools: readonly MappedPool[];
  /** The differences that were logged last, for each pool by its UUID. */
  readonly #told = new Map<string, ReadonlySet<string>>();
  #nextMs = 0;

  constructor(log: Logger, pools: readonly MappedPool[]) {
    this.#log = log;
    this.#pools = pools;
  }

  tick(nowMs: number): void {
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + LOOK_MS;
    for (const { config, client, isStatic } of this.#pools) {
      if (!isStatic) continue;
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

/** The time between two looks for new differences. A person reads the log, so a second is fast enough. */
const LOOK_MS = 1000;
