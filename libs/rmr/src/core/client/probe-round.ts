import { type ProbeResult, probeResultSchema } from '../../wire/control-message.ts';
import { unfitness } from './fitness.ts';
import type { Leg } from './leg.ts';
import { remedyForFailure, remedyForUnfit } from './remedies.ts';

/** Probes are answered at once, or stand behind a grant that drains: after so many milliseconds that is worth a word. */
const TELL_MS = 1_000;

/**
 * One round of probes (C1): asks members what they have, and notes on each leg what its member has answered, or why that does not
 * count. It changes nothing at the members.
 */
export class ProbeRound {
  readonly #unanswered: Set<Leg>;
  /** When it is told whom it waits for, in clock milliseconds; infinite: it has been. */
  #tellAtMs: number;
  #ended = false;

  /** `tables` gets all answers from stores of this pool, whichever member was expected there; `done` is called when all have answered. */
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

  /** Whom it has waited for longer than is usual, once; null: nobody, or that has been told. */
  overdue(nowMs: number): readonly Leg[] | null {
    if (nowMs < this.#tellAtMs || this.#unanswered.size === 0) return null;
    this.#tellAtMs = Number.POSITIVE_INFINITY;
    return [...this.#unanswered];
  }

  /** What is answered from now on means nothing. */
  cancel(): void {
    this.#ended = true;
  }
}
