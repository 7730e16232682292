import type { Mutant } from '../mutant.ts';
import { edit } from '../mutant.ts';
import { LEG_FAULTS, LEG_RETURN, SLOW_LEGS } from './files.ts';
import { ONE_STUTTERS, QUICK_VERDICTS } from './settings.ts';

/** Members that answer now and then (L7), and what their returns cost (L4). */
export const SLOW: readonly Mutant[] = [
  {
    name: 'a member that answers now and then stays in the set',
    rule: 'L7',
    edits: [edit(SLOW_LEGS, 'if (laggard === 0) return;', 'if (laggard >= 0) return;')],
    settings: QUICK_VERDICTS,
    faults: ONE_STUTTERS,
    seeds: 40,
  },
  {
    name: 'a member that left for holding up IO comes back at once, again and again',
    rule: 'L7',
    edits: [edit(LEG_FAULTS, 'nowMs + Math.min(RETURN_RETRY_MS * 2 ** this.#count, delayMsMax)', 'nowMs')],
    settings: QUICK_VERDICTS,
    faults: ONE_STUTTERS,
    seeds: 40,
  },
  {
    name: 'a member that has come back from holding up IO is excused for all that it has to pull',
    rule: 'L7',
    edits: [edit(SLOW_LEGS, '(this.#host.engine.holdUps.probation & (1 << index)) !== 0', 'this.#nowMs < 0')],
    settings: QUICK_VERDICTS,
    faults: ONE_STUTTERS,
    seeds: 40,
  },
  {
    name: 'IO is held for as long as a returning member does not answer',
    rule: 'L4, L7',
    edits: [edit(LEG_RETURN, 'if (this.#heldForMs < holdMsMax) return;', 'if (this.#heldForMs < 100 * holdMsMax) return;')],
    settings: QUICK_VERDICTS,
    faults: ONE_STUTTERS,
    seeds: 100,
  },
];
