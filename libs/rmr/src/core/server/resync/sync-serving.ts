import type { RtrsServerRequest } from '@rmr/rtrs';
import type { Ticked, TurnTask, World } from '@rmr/runtime';
import { IO_BYTES_MAX, RESYNC_PULL_COST_BYTES, RESYNC_SERVED_SAVED_MS } from '../../../constants.ts';
import { IoFlag, type IoMessage, MessageType } from '../../../wire/io-message.ts';
import type { ResyncBudget } from './resync-budget.ts';

/**
 * Holds reads of other storage nodes for their resync back, as far as this node serves no more of them: the rates are those at which
 * it pulls, and what its clients feel counts for both. What IO waits for is never held back. What is held back has not begun: it is
 * judged as if it came when its turn has come (R1), and no grant waits for it. How many there are sessions bound by their permits (I12).
 */
export class SyncServing implements Ticked, TurnTask {
  turnQueued = false;
  readonly #world: World;
  readonly #budget: ResyncBudget;
  readonly #begin: (request: RtrsServerRequest) => void;
  readonly #held: RtrsServerRequest[] = [];
  readonly #costs: number[] = [];
  /** Bytes that may be served now; below zero, what was served beyond the rate is still owed. */
  #bytes = 0;
  /** Up to when they have grown. */
  #grownAtMs = 0;

  /** `begin`: a request that was held back has its turn. */
  constructor(world: World, budget: ResyncBudget, begin: (request: RtrsServerRequest) => void) {
    this.#world = world;
    this.#budget = budget;
    this.#begin = begin;
  }

  /** Requests that are held back. */
  get held(): number {
    return this.#held.length;
  }

  /** Whether the request, whose message is given, begins now. False: it is held back, and `begin` is called later. */
  mayBegin(request: RtrsServerRequest, message: IoMessage): boolean {
    if (message.type !== MessageType.SYNC_READ) {
      // With the tick alone it would go on in bursts, and whatever clients do meanwhile would wait behind each.
      if (this.#held.length > 0) this.#world.turn.defer(this);
      return true;
    }
    const nowMs = this.#world.clock.nowMs();
    // More than one answer can carry is asked for where holes are expected, which cost little.
    const cost = message.lengthBytes > IO_BYTES_MAX ? RESYNC_PULL_COST_BYTES : message.lengthBytes;
    this.#budget.noteServed(nowMs);
    if ((message.flags & IoFlag.URGENT) !== 0 || (this.#held.length === 0 && this.#mayServe(nowMs))) {
      this.#spend(cost);
      return true;
    }
    if (this.#held.length === 0) this.#world.ticker.subscribe(this);
    this.#held.push(request);
    this.#costs.push(cost);
    return false;
  }

  tick(nowMs: number): void {
    this.#budget.noteServed(nowMs);
    // Also while no pool of this node pulls: it must not rest for ever.
    this.#budget.tick(nowMs);
    this.#beginDue(nowMs);
  }

  runAtTurnEnd(): void {
    this.#beginDue(this.#world.clock.nowMs());
  }

  /** Begins what was held back and has its turn, in order. */
  #beginDue(nowMs: number): void {
    if (this.#held.length === 0) return;
    let begun = 0;
    while (begun < this.#held.length && this.#mayServe(nowMs)) this.#spend(this.#costs[begun++] as number);
    this.#costs.splice(0, begun);
    const due = this.#held.splice(0, begun);
    if (this.#held.length === 0) this.#world.ticker.unsubscribe(this);
    for (const request of due) this.#begin(request);
  }

  #spend(bytes: number): void {
    this.#bytes -= bytes;
    this.#budget.noteMoved(bytes);
  }

  #mayServe(nowMs: number): boolean {
    const rate = this.#budget.rateBytes;
    if (rate === null) this.#bytes = 0;
    else
      this.#bytes = Math.min(
        this.#bytes + (rate * (nowMs - this.#grownAtMs)) / 1000,
        (rate * Math.min(this.#budget.savedMs, RESYNC_SERVED_SAVED_MS)) / 1000,
      );
    this.#grownAtMs = nowMs;
    return !this.#budget.listens && (rate === null || this.#bytes > 0);
  }
}
