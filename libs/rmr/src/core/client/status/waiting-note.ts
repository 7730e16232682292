import type { World } from '@rmr/runtime';
import type { WaitingFor, Wanted } from '../pool-client-types.ts';

/**
 * What a pool waits for, and since when, for people. If an attempt ends in waiting for the same thing as the one before, the time goes
 * on, whatever the attempt's steps have waited for in between.
 */
export class WaitingNote {
  readonly #world: Pick<World, 'clock' | 'log'>;
  /** What the last attempt has ended in. */
  #waited: WaitingFor | null = null;
  #current: WaitingFor | null = null;

  constructor(world: Pick<World, 'clock' | 'log'>) {
    this.#world = world;
  }

  /** Null: nothing is waited for. */
  get current(): WaitingFor | null {
    return this.#current;
  }

  clear(): void {
    this.#waited = null;
    this.#current = null;
  }

  /** This has to happen before anything goes on. */
  wait({ what, remedy }: Wanted): void {
    const isNew = this.#waited?.what !== what;
    this.#waited = { what, remedy, sinceMs: isNew || this.#waited === null ? this.#world.clock.wallMs() : this.#waited.sinceMs };
    this.#current = this.#waited;
    if (isNew) this.#world.log.info('pool waits', { waitingFor: what, ...(remedy === undefined ? {} : { remedy }) });
  }

  /** An attempt is under way, and has come to this. `narrows`: to less of what it waited for already. */
  step({ what, remedy }: Wanted, narrows: boolean): void {
    const sinceMs = narrows && this.#current !== null ? this.#current.sinceMs : this.#world.clock.wallMs();
    this.#current = { what, remedy, sinceMs };
    this.#world.log.debug('pool waits', { waitingFor: what });
  }
}
