import { assert } from '@rmr/runtime';
import type { PathPolicy } from '../client-types.ts';
import type { ClientPath } from './client-path.ts';

/** Chooses the path of each request among those that are up. */
export class PathChooser {
  readonly #policy: PathPolicy;
  #turn = 0;

  constructor(policy: PathPolicy) {
    this.#policy = policy;
  }

  /** One of `up`, which is not empty. Ties go round. */
  choose(up: readonly ClientPath[]): ClientPath {
    const count = up.length;
    assert(count > 0, 'path policy: no path is up');
    if (count === 1) return up[0] as ClientPath;
    this.#turn = (this.#turn + 1) % count;
    let best = up[this.#turn] as ClientPath;
    if (this.#policy === 'round-robin') return best;
    const byLatency = this.#policy === 'min-latency';
    for (let i = 1; i < count; i++) {
      const path = up[(this.#turn + i) % count] as ClientPath;
      if (byLatency ? path.latencyMs < best.latencyMs : path.inFlight < best.inFlight) best = path;
    }
    return best;
  }
}
