import { OperationError } from '@rmr/runtime';
import { BIRTH_MS } from '../../../constants.ts';
import type { Leg } from '../legs/leg.ts';
import type { OperationDone } from '../membership/membership-operations.ts';
import type { Wanted } from '../pool-client-types.ts';
import { orderBirth, remedyFor, remedyForLostBirth } from '../status/remedies.ts';
import { describeHistory } from '../versions/lineage.ts';

/**
 * C0: a pool comes into being by an order of an operator, and by nothing else. Stores without a version do not show that the pool is
 * new: they are also what is there when stores were lost and made anew. The order is for all members that the configuration names. It
 * waits for them for `BIRTH_MS`, and is carried out once. Only the members that it has given a version remember it.
 */
export class Birth {
  readonly #poolName: string;
  #order: { readonly done: OperationDone; readonly untilMs: number } | null = null;

  #unborn: boolean | null = null;

  constructor(poolName: string) {
    this.#poolName = poolName;
  }

  /**
   * Whether the pool exists. False: all members that could know have said that they were never in service, and nobody has ordered the
   * pool. Null: not known. Once a member with a version has answered, the pool exists, even if that member does not answer any more.
   */
  get born(): boolean | null {
    return this.#unborn === null ? null : !this.#unborn || this.ordered;
  }

  /** Notes what the members have answered. `lineage`: the one that counts. Null if none of the answers has a version. */
  heard(lineage: string | null | undefined, legs: readonly Leg[], witness: Leg | null, strays: readonly Leg[]): void {
    const hasVersion = [...strays, ...(witness === null ? [] : [witness])].some((leg) => leg.probe?.version != null);
    if (lineage !== null || hasVersion) this.#unborn = false;
    else if (this.#unborn !== false) this.#unborn = legs.every((leg) => leg.probe !== null) ? true : null;
  }

  /** Whether the pool has been ordered, and the order has not ended. */
  get ordered(): boolean {
    return this.#order !== null;
  }

  order(done: OperationDone, nowMs: number): void {
    if (this.#order === null) this.#order = { done, untilMs: nowMs + BIRTH_MS };
    else done(new OperationError('UNAVAILABLE', `pool ${this.#poolName} is being created: wait for the end of that`));
  }

  /** The order ends. `error`: why it failed. Null: the pool is served. */
  end(error: OperationError | null): void {
    const order = this.#order;
    this.#order = null;
    order?.done(error);
  }

  /** Ends the order if its time is over. `waitedFor`: what it was last waiting for, for people. */
  tick(nowMs: number, waitedFor: string): void {
    if (this.#order === null || nowMs < this.#order.untilMs) return;
    this.end(
      new OperationError('UNAVAILABLE', `pool ${this.#poolName} was not created within ${BIRTH_MS / 1000} s: it waits for ${waitedFor}`),
    );
  }

  /**
   * What has to happen before the pool can come into being with these legs. Null if nothing has to. None of the legs that answer has a
   * version. The order and all members must be there, and at most one member may have kept its data for the others to take over. No
   * other member may know the pool: neither the witness nor one that answers elsewhere (`strays`).
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

/** The members that do not answer, each with the reason, for people. */
function namesOf(legs: readonly Leg[]): string {
  return legs.map((leg) => leg.problem || `${leg.describe()}: ${leg.session.lostReason}`).join('; ');
}
