import { RENEW_MS } from '../../constants.ts';
import { emptyResultSchema } from '../../wire/control-message.ts';
import { isFenced } from '../control-call.ts';
import type { Leg } from './leg.ts';

/** What a renewal needs from its pool. */
export interface RenewalHost {
  readonly poolUuid: string;
  readonly clientInstance: string;
  readonly epoch: () => number;
  /** The legs that are NORMAL. */
  readonly inSyncLegs: () => readonly Leg[];
  readonly onFenced: (by: string) => void;
  /** The member does not serve this client any more. */
  readonly onRefused: (leg: Leg, reason: string) => void;
}

/** Asks the members whether they still serve this client: one that does no IO would not notice otherwise (C3, truth of status). */
export class Renewal {
  readonly #host: RenewalHost;
  #askedMs = 0;

  constructor(host: RenewalHost) {
    this.#host = host;
  }

  /** Called again and again while the pool is served. */
  tick(nowMs: number): void {
    if (nowMs - this.#askedMs < RENEW_MS) return;
    this.#askedMs = nowMs;
    const host = this.#host;
    const epoch = host.epoch();
    for (const leg of host.inSyncLegs()) {
      const { sinceMs } = leg;
      leg.call({ op: 'renew', poolUuid: host.poolUuid, epoch }, emptyResultSchema, (_result, failure) => {
        // An answer to a question from before the leg left and came back, or from before this client's own newer claim, is late.
        if (leg.state !== 'NORMAL' || leg.sinceMs !== sinceMs || epoch !== host.epoch() || failure?.failure == null) return;
        if (isFenced(failure.failure, host.clientInstance)) host.onFenced(failure.message);
        else host.onRefused(leg, failure.message);
      });
    }
  }
}
