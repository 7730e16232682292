import { FAULT_FORGIVEN_MS, FAULTS_MAX, FLAP_MS, FLAPS_FREE, PROBATION_MS, RETURN_RETRY_MS } from '../../../constants.ts';

/**
 * L7, back-off: how long a leg that has left the set waits before its return is tried. Each fault doubles the wait. Time in the set
 * without a fault makes up for faults. A node that restarts is back at once. A node whose session is lost again and again is not.
 */
export class LegFaults {
  #count = 0;
  #flaps = 0;
  #backAtMs = Number.NEGATIVE_INFINITY;
  #probationUntilMs = Number.NEGATIVE_INFINITY;
  #heldUp = false;
  #notBeforeMs = 0;

  /** The number of faults that time in the set has not made up for yet, at most {@link FAULTS_MAX}. */
  get count(): number {
    return this.#count;
  }

  /** Whether the last of its faults was that it, or its return, held up IO, or that its session was lost again and again. */
  get heldUp(): boolean {
    return this.#heldUp;
  }

  /** The time before which its return is not tried, in clock milliseconds. */
  get notBeforeMs(): number {
    return this.#notBeforeMs;
  }

  /** The leg leaves the set. `delayMsMax`: the longest wait before its return is tried, in milliseconds. */
  left(fault: LegFault, nowMs: number, delayMsMax: number): void {
    const inSetMs = nowMs - this.#backAtMs;
    if (inSetMs > 0 && Number.isFinite(inSetMs)) this.#count = Math.max(0, this.#count - Math.floor(inSetMs / FAULT_FORGIVEN_MS));
    if (fault !== 'LOST') {
      this.#add(fault === 'STALL', nowMs, delayMsMax);
      return;
    }
    this.#flaps = inSetMs < FLAP_MS ? this.#flaps + 1 : 1;
    if (this.#flaps > FLAPS_FREE) this.#add(true, nowMs, delayMsMax);
    else this.#notBeforeMs = nowMs;
  }

  /** The leg's return held up IO and was given up for that. */
  returnHeldUp(nowMs: number, delayMsMax: number): void {
    this.#add(true, nowMs, delayMsMax);
  }

  /** The leg is in the set again. */
  back(nowMs: number): void {
    this.#backAtMs = nowMs;
    this.#notBeforeMs = 0;
    this.#probationUntilMs = this.#heldUp ? nowMs + PROBATION_MS : Number.NEGATIVE_INFINITY;
    this.#heldUp = false;
  }

  /** Whether the leg is on probation: it leaves as soon as it holds up IO for a moment. */
  onProbation(nowMs: number): boolean {
    return nowMs < this.#probationUntilMs;
  }

  #add(heldUp: boolean, nowMs: number, delayMsMax: number): void {
    this.#count = Math.min(this.#count + 1, FAULTS_MAX);
    this.#heldUp = heldUp;
    this.#notBeforeMs = nowMs + Math.min(RETURN_RETRY_MS * 2 ** this.#count, delayMsMax);
  }
}

/** Why a leg leaves the set. `LOST`: its session was lost. `STALL`: it, or its return, held up IO. `OTHER`: another fault of its own. */
export type LegFault = 'LOST' | 'STALL' | 'OTHER';
