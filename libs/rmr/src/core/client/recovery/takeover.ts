import { handoverResultSchema } from '../../../wire/control-message.ts';
import type { Leg } from '../legs/leg.ts';
import type { Wanted } from '../pool-client-types.ts';
import { servedByAnother } from './assemble-rule.ts';

/**
 * How a client gets a pool that another one serves (C4). `NO`: it waits until the other has left it. `ASK`: the other is asked to hand it
 * over, and is waited for. `ASK_EVEN_IN_USE`: the same, also if NBD clients are cut off there. `FORCE`: it is taken from the other, which
 * may be alive; what is in flight there fails.
 */
export type TakeoverWay = 'NO' | 'ASK' | 'ASK_EVEN_IN_USE' | 'FORCE';

/** Asks the client that serves a pool to hand it over, through the members that serve that client. */
export class Takeover {
  readonly #poolUuid: string;
  readonly #clientInstance: string;
  readonly #clientName: string;
  /** What to do about a client that serves the pool. Once the pool is served here, the order is carried out. */
  way: TakeoverWay;
  /** Why the other client does not hand the pool over. Empty: it has not said so. */
  #refusal = '';

  constructor(poolUuid: string, clientInstance: string, clientName: string, way: TakeoverWay) {
    this.#poolUuid = poolUuid;
    this.#clientInstance = clientInstance;
    this.#clientName = clientName;
    this.way = way;
  }

  get asks(): boolean {
    return this.way === 'ASK' || this.way === 'ASK_EVEN_IN_USE';
  }

  /** What to wait for, as the legs have answered, before anything may be claimed. Null: nobody else is served, or that does not matter. */
  waitsFor(legs: readonly Leg[]): Wanted | null {
    const served = this.way === 'FORCE' ? null : servedByAnother(legs, this.#clientInstance);
    if (served === null || !this.asks) {
      this.#refusal = '';
      return served;
    }
    const serving = legs.filter(({ probe }) => probe?.state === 'NORMAL' && probe.promise !== null);
    const other = serving.find(({ probe }) => probe?.promise?.clientInstance !== this.#clientInstance)?.probe?.promise?.clientName;
    const refusal = this.#refusal;
    const question = {
      ...{ op: 'ask-handover' as const, poolUuid: this.#poolUuid },
      ...{ clientInstance: this.#clientInstance, clientName: this.#clientName, evenIfInUse: this.way === 'ASK_EVEN_IN_USE' },
    };
    for (const leg of serving) {
      // A member that can't be asked is no reason to wait for another one: each carries the question by itself.
      leg.call(question, handoverResultSchema, (result) => {
        if (result !== null) this.#refusal = result.refusal;
      });
    }
    if (refusal === '')
      return {
        what: `${other} to hand the pool over, which it was asked to`,
        remedy: `If ${other} does not do so within seconds, look what it says; force takes the pool over without it.`,
      };
    return { what: `${other} to hand the pool over, which it does not do now: ${refusal}`, remedy: served.remedy };
  }
}
