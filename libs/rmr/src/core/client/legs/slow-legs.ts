import { TICK_INTERVAL_MS } from '@rmr/runtime';
import { EXCUSED_MS, LEG_TIMEOUT_MS_DEFAULT, MEMBERS_MAX, PROBATION_STALL_MS } from '../../../constants.ts';
import type { IoEngine } from '../io/io-engine.ts';
import type { PoolClientOptions } from '../pool-client-types.ts';
import type { PoolMaps } from '../pool-maps.ts';
import type { Leg } from './leg.ts';
import type { LegFault } from './leg-faults.ts';
import type { LegTable } from './leg-table.ts';

/**
 * L7: a leg that leaves IO unanswered, or holds it up again and again, leaves the set. The last leg never leaves for that, as no other
 * leg could answer. And IO that has waited for longer than `ioTimeout` fails.
 *
 * A leg that has to pull a chunk before it can take a write there is excused as long as it pulls: it must have got on with what it
 * missed a moment ago. A leg on probation that answers nothing at all is not excused.
 */
export class SlowLegs {
  readonly #host: SlowLegsHost;
  /** Per leg: how many chunks it missed at the last tick, and until when it is excused for getting on with them, in clock milliseconds. */
  readonly #missed = new Float64Array(MEMBERS_MAX);
  readonly #excusedUntilMs = new Float64Array(MEMBERS_MAX);
  #tickedMs = 0;
  #nowMs = 0;

  constructor(host: SlowLegsHost) {
    this.#host = host;
  }

  /** Called with every tick. */
  tick(nowMs: number): void {
    const { engine, legs, options, onSlow } = this.#host;
    const { ioTimeoutMs = null, legTimeoutMs = LEG_TIMEOUT_MS_DEFAULT } = options;
    const stoodStill = nowMs - this.#tickedMs > STOOD_STILL_MS;
    this.#tickedMs = nowMs;
    this.#nowMs = nowMs;
    const unanswered = engine.expire(ioTimeoutMs === null ? Number.NEGATIVE_INFINITY : nowMs - ioTimeoutMs, nowMs - legTimeoutMs);
    if (!stoodStill && unanswered !== 0 && (engine.routeMask & ~unanswered) !== 0)
      onSlow(unanswered, `an IO was not answered for ${legTimeoutMs} ms`, 'STALL');
    this.#lookForExcuses();
    const { holdUps } = engine;
    holdUps.probation = 0;
    for (const leg of legs.all) if (leg.state === 'NORMAL' && leg.faults.onProbation(nowMs)) holdUps.probation |= leg.bit;
    const laggard = engine.laggard(nowMs, this.#isExcused);
    if (laggard === 0) return;
    const { index } = legs.all.find((each) => each.bit === laggard) as Leg;
    const again = (holdUps.probation & laggard) !== 0;
    const what = again ? HELD_UP_AGAIN : heldUpText(holdUps.heldUpMs(index), holdUps.limits.slowForMs);
    onSlow(laggard, what, 'STALL');
  }

  #lookForExcuses(): void {
    const maps = this.#host.maps();
    for (const { index, member, state } of this.#host.legs.all) {
      const missed = state === 'NORMAL' ? (maps?.of(member.memberId).dirtyCount ?? 0) : 0;
      const before = this.#missed[index] as number;
      if (missed < before || before === 0) this.#excusedUntilMs[index] = this.#nowMs + EXCUSED_MS;
      this.#missed[index] = missed;
    }
  }

  readonly #isExcused = (index: number, offsetBytes: number, lengthBytes: number, isSilent: boolean): boolean => {
    if (isSilent && (this.#host.engine.holdUps.probation & (1 << index)) !== 0) return false;
    if ((this.#missed[index] as number) === 0 || this.#nowMs >= (this.#excusedUntilMs[index] as number)) return false;
    const leg = this.#host.legs.all[index] as Leg;
    return this.#host.maps()?.anyDirty(leg.member.memberId, offsetBytes, lengthBytes) === true;
  };
}

/**
 * A tick that comes later than this shows that this process did not run. Answers lie unread then, so no leg leaves for not having
 * answered.
 */
const STOOD_STILL_MS = 10 * TICK_INTERVAL_MS;

const HELD_UP_AGAIN = `it held up IO and answered nothing for ${inSeconds(PROBATION_STALL_MS)}, soon after it had left for that`;

/** What a leg was seen to do, as a sentence for people. */
function heldUpText(heldUpMs: number, withinMs: number): string {
  return `it held up IO for ${inSeconds(heldUpMs)} within the last ${inSeconds(withinMs)}`;
}

function inSeconds(ms: number): string {
  return `${ms < 10_000 ? Math.round(ms / 100) / 10 : Math.round(ms / 1_000)} s`;
}

/** What {@link SlowLegs} needs from its pool. */
export interface SlowLegsHost {
  readonly options: Pick<PoolClientOptions, 'ioTimeoutMs' | 'legTimeoutMs'>;
  readonly engine: IoEngine;
  readonly legs: LegTable;
  /** The dirty maps. Null if the pool was never served. */
  readonly maps: () => PoolMaps | null;
  /** These legs leave the set. */
  readonly onSlow: (mask: number, reason: string, fault: LegFault) => void;
}
