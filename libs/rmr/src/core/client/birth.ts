import { OperationError } from '@rmr/runtime';
import { BIRTH_MS } from '../../constants.ts';
import type { Leg } from './leg.ts';
import { describeHistory } from './lineage.ts';
import type { OperationDone } from './membership-operations.ts';
import type { Wanted } from './pool-client-types.ts';
import { orderBirth, remedyFor, remedyForLostBirth } from './remedies.ts';

/**
 * C0: a pool comes into being by an order of an operator, and by nothing else: stores without a version are what is left when
 * stores were lost and made anew, too. The order is for all members that the configuration names, is waited for
 * `BIRTH_MS`, and is carried out once; it is remembered by nobody but the members that it has given a version.
 */
export class Birth {
  readonly #poolName: string;
  #order: { readonly done: OperationDone; readonly untilMs: number } | null = null;

  #unborn: boolean | null = null;

  constructor(poolName: string) {
    this.#poolName = poolName;
  }

  /**
   * False: no member has ever been in service, as all that could know have said, and nobody has ordered it; null: that is not
   * known. That one has a version is not forgotten when it does not answer any more.
   */
  get born(): boolean | null {
    return this.#unborn === null ? null : !this.#unborn || this.ordered;
  }

  /** What was heard of the pool: the lineage of those of its members that have answered, null where none of them has a version. */
  heard(lineage: string | null | undefined, legs: readonly Leg[], witness: Leg | null, strays: readonly Leg[]): void {
    const hasVersion = [...strays, ...(witness === null ? [] : [witness])].some((leg) => leg.probe?.version != null);
    if (lineage !== null || hasVersion) this.#unborn = false;
    else if (this.#unborn !== false) this.#unborn = legs.every((leg) => leg.probe !== null) ? true : null;
  }

  /** Whether somebody has ordered it, and it has not come to an end. */
  get ordered(): boolean {
    return this.#order !== null;
  }

  order(done: OperationDone, nowMs: number): void {
    if (this.#order === null) this.#order = { done, untilMs: nowMs + BIRTH_MS };
    else done(new OperationError('UNAVAILABLE', `pool ${this.#poolName} is being created: wait for the end of that`));
  }

  /** It has come to its end; null: the pool is served. */
  end(error: OperationError | null): void {
    const order = this.#order;
    this.#order = null;
    order?.done(error);
  }

  /** Time passes: nobody waits for an order for ever. `waitedFor`: what was waited for last. */
  tick(nowMs: number, waitedFor: string): void {
    if (this.#order === null || nowMs < this.#order.untilMs) return;
    this.end(
      new OperationError('UNAVAILABLE', `pool ${this.#poolName} was not created within ${BIRTH_MS / 1000} s: it waits for ${waitedFor}`),
    );
  }

  /**
   * What has to happen before the pool can come into being with these legs, of which none that answers has a version: the order, all
   * members, and at most one whose data the others are to take over. Nobody else may know the pool: neither the witness nor a
   * member that answers at another place (`strays`). Null: nothing.
   */
  wants(legs: readonly Leg[], witness: Leg | null, strays: readonly Leg[]): Wanted | null {
    const elder = [...strays, ...(witness === null ? [] : [witness])].find((leg) => leg.probe?.version != null);
    if (elder !== undefined) {
      const why = `${describeHistory(elder)}, has been in service with pool ${this.#poolName}, and the members that answer have empty stores`;
      this.end(new OperationError('CONFLICT', `pool ${this.#poolName} exists already: ${why}`));
      return { what: `the members that have the data: ${why}`, remedy: remedyForLostBirth(elder.member.name) };
    }
    const silent = legs.filter((leg) => leg.probe === null);
    if (!this.ordered) {
      const others = silent.length === 0 ? '' : ` (${namesOf(silent)})`;
      return {
        what: `an operator to create pool ${this.#poolName}: no member that answers has ever been in service${others}`,
        remedy: orderBirth(this.#poolName),
      };
    }
    const kept = legs.filter((leg) => leg.probe?.identity.createdZeroed === false);
    if (kept.length > 1) {
      const names = kept.map((leg) => leg.describe()).join(' and ');
      const why = `${names} were created with --keep-data, and a pool can take over the data of one member only`;
      this.end(
        new OperationError('INVALID_ARGUMENT', `${why}: the data of all others would be overwritten. Create the others' stores without it`),
      );
      return { what: `an operator: ${why}` };
    }
    const missing = witness === null || witness.probe !== null ? silent : [...silent, witness];
    if (missing.length === 0) return null;
    return { what: `${namesOf(missing)} (every member is needed to create the pool)`, remedy: remedyFor(missing) };
  }
}

/** The members that do not answer, each with the reason. */
function namesOf(legs: readonly Leg[]): string {
  return legs.map((leg) => leg.problem || `${leg.describe()}: ${leg.session.lostReason}`).join('; ');
}
