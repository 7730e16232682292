import { type ProbeResult, probeResultSchema } from '../../../wire/control-message.ts';
import type { Leg } from '../legs/leg.ts';
import { remedyForFailure, remedyForUnfit } from '../status/remedies.ts';
import { unfitness } from './fitness.ts';

/**
 * One round of probes (C1). It asks members what they have, and notes the answer on each leg, or why the answer does not count. It
 * changes nothing at the members.
 */
export class ProbeRound {
  readonly #unanswered: Set<Leg>;
  /** When the round reports the members that it waits for, in clock milliseconds. Infinity: it has. */
  #tellAtMs: number;
  #ended = false;

  /**
   * All answers from stores of this pool are added to `tables`, even if another member was expected there. `done` is called when all
   * have answered.
   */
  constructor(
    legs: readonly Leg[],
    witness: Leg | null,
    wanted: { readonly poolUuid: string; readonly queueDepth: number },
    tables: ProbeResult[],
    nowMs: number,
    done: () => void,
  ) {
    this.#unanswered = new Set(legs);
    this.#tellAtMs = nowMs + TELL_MS;
    for (const leg of legs) {
      leg.call({ op: 'probe', poolUuid: wanted.poolUuid }, probeResultSchema, (result, failure) => {
        if (this.#ended) return;
        leg.probe = result;
        leg.rolledBack = null;
        if (result?.identity.poolUuid === wanted.poolUuid) tables.push(result);
        leg.problem = failure === null ? unfitness(leg, result as ProbeResult, wanted, leg === witness) : failure.message;
        leg.hasNoStore = failure?.code === 'UNKNOWN_POOL';
        if (result !== null) leg.poolHandle = result.poolHandle;
        if (leg.problem !== '') {
          leg.probe = null;
          leg.remedy = failure === null ? remedyForUnfit(leg.member.name) : remedyForFailure(leg.member.name, failure.failure);
        }
        this.#unanswered.delete(leg);
        if (this.#unanswered.size === 0) done();
      });
    }
  }

  /** The members that the round has waited for longer than is usual. Returned once; null otherwise. */
  overdue(nowMs: number): readonly Leg[] | null {
    if (nowMs < this.#tellAtMs || this.#unanswered.size === 0) return null;
    this.#tellAtMs = Number.POSITIVE_INFINITY;
    return [...this.#unanswered];
  }

  /** Ends the round. Answers are ignored from now on. */
  cancel(): void {
    this.#ended = true;
  }
}

/** A probe is answered at once, unless it waits behind a grant that drains. After this time, in milliseconds, status says so. */
const TELL_MS = 1_000;
