import { assert } from '@rmr/runtime';
import {
  RESYNC_LOAD_MS,
  RESYNC_LOADED_BYTES_MAX,
  RESYNC_LOADED_BYTES_MIN,
  RESYNC_LOADED_MS,
  RESYNC_LOADED_READ_BYTES_MIN,
  RESYNC_LOADED_READ_MS,
  RESYNC_POOLS_MAX,
  RESYNC_PULL_COST_BYTES,
  RESYNC_SAVED_GAPS,
  RESYNC_SAVED_MS,
  RESYNC_SAVED_MS_MAX,
  RESYNC_SAVED_MS_MIN,
  RESYNC_TURN_MS,
  RESYNC_WANTS_MS,
} from '../../../constants.ts';
import { ClientFeel } from '../requests/client-feel.ts';
import type { ResyncOptions } from './resync-types.ts';

/**
 * How fast a storage node pulls, all of its pools together, and how fast it serves those that pull from it: the rates that are configured are those of the node, and so is
 * what its clients feel. Pools that pull share it in equal parts. So many pull at a time; the others have their turn when one
 * of these has ended, or has had a place for long.
 *
 * It has no clock: every time is in clock milliseconds and comes from the caller.
 */
export class ResyncBudget {
  #rateBytes: number | null;
  #loadedRateBytes: number | null;
  readonly #feel = new ClientFeel();
  /** Those that have a place, and those that wait for one, the oldest first. */
  #pulling: ResyncShare[] = [];
  #waiting: ResyncShare[] = [];
  /** Up to when budgets have grown. */
  #grownAtMs = 0;
  /** When a client did IO last. */
  #clientIoMs = Number.NEGATIVE_INFINITY;
  #loaded = false;
  /** When another storage node has pulled from this one last. */
  #servedMs = Number.NEGATIVE_INFINITY;

  constructor({ rateBytes = null, loadedRateBytes = null }: ResyncOptions = {}) {
    this.#rateBytes = rateBytes;
    this.#loadedRateBytes = loadedRateBytes;
  }

  /** Changes the rates that are given; the others stay. What is in flight already is not taken back. */
  configure({ rateBytes, loadedRateBytes }: ResyncOptions): void {
    if (rateBytes !== undefined) this.#rateBytes = rateBytes;
    if (loadedRateBytes !== undefined) this.#loadedRateBytes = loadedRateBytes;
  }

  /** The part of one pool. `onPlace`: it has a place, and may pull. */
  join(onPlace: () => void): ResyncShare {
    return new ResyncShare(this, onPlace);
  }

  /** Pools that pull at the moment. */
  get pulling(): number {
    return this.#pulling.length;
  }

  /** A client has asked for IO: for {@link RESYNC_LOAD_MS} the rate under load holds. `felt`: what it tells with that (see felt.ts). */
  noteClientIo(nowMs: number, felt: number): void {
    this.#clientIoMs = nowMs;
    this.#feel.note(felt, nowMs);
    if (this.#feel.isDue(nowMs)) this.#updateFeel(nowMs);
  }

  /** Another storage node pulls from this one. */
  noteServed(nowMs: number): void {
    this.#servedMs = nowMs;
  }

  /** So many bytes have begun to be pulled or served; fewer than none: fewer were than had been said. */
  noteMoved(bytes: number): void {
    this.#feel.noteMoved(bytes);
  }

  /** To be called with every tick, by whomever. */
  tick(nowMs: number): void {
    this.#loaded = nowMs - this.#clientIoMs < RESYNC_LOAD_MS;
    this.#updateFeel(nowMs);
    const first = this.#pulling[0];
    if (this.#waiting.length === 0 || first === undefined || nowMs - first.placeSinceMs < RESYNC_TURN_MS) return;
    // It has had its turn: the others of this node wait for it. What it has in flight ends in its own time.
    this.leave(first);
    this.#waiting.push(first);
  }

  #updateFeel(nowMs: number): void {
    this.#feel.update(nowMs, this.#pulling.length > 0 || nowMs - this.#servedMs < RESYNC_LOAD_MS);
  }

  /** For shares: a pool has something to pull. */
  enter(share: ResyncShare, nowMs: number): void {
    if (share.hasPlace || this.#waiting.includes(share)) return;
    this.#waiting.push(share);
    this.#admit(nowMs);
  }

  /** For shares: a pool has nothing to pull any more. */
  leave(share: ResyncShare): void {
    this.#waiting = this.#waiting.filter((other) => other !== share);
    if (!share.hasPlace) return;
    share.hasPlace = false;
    this.#pulling = this.#pulling.filter((other) => other !== share);
    this.#admit(share.lastMs);
  }

  #admit(nowMs: number): void {
    while (this.#pulling.length < RESYNC_POOLS_MAX) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      next.hasPlace = true;
      next.placeSinceMs = nowMs;
      this.#pulling.push(next);
      next.onPlace();
    }
  }

  /** For shares: lets the budgets grow by what the rate has allowed since the last call, in equal parts for those that want it. */
  refill(nowMs: number): void {
    this.#loaded = nowMs - this.#clientIoMs < RESYNC_LOAD_MS;
    const rate = this.rateBytes;
    const wanting = this.#wanting(nowMs);
    if (rate !== null) {
      const grownBytes = (rate * (nowMs - this.#grownAtMs)) / 1000 / Math.max(1, wanting.length);
      const mostBytes = (rate * this.savedMs) / 1000 / Math.max(1, wanting.length);
      for (const share of wanting) share.budgetBytes = Math.min(share.budgetBytes + grownBytes, mostBytes);
    }
    this.#grownAtMs = nowMs;
  }

  /** What the rate brings in so many milliseconds may be saved up: a longer rest must not end in a burst. Clients feel much shorter ones. */
  get savedMs(): number {
    if (this.#feel.rateBytes === null) return RESYNC_SAVED_MS;
    return Math.min(Math.max((RESYNC_SAVED_GAPS * 1000) / this.#feel.perSecond, RESYNC_SAVED_MS_MIN), RESYNC_SAVED_MS_MAX);
  }

  /** Bytes per second that are allowed now; null: as many as there can be. */
  get rateBytes(): number | null {
    const configured = this.#loaded ? (this.#loadedRateBytes ?? this.#rateBytes) : this.#rateBytes;
    const felt = this.#feel.rateBytes;
    return configured === null || felt === null ? (configured ?? felt) : Math.min(configured, felt);
  }

  /** Resync rests for a moment, to hear how long answers take without it. */
  get listens(): boolean {
    return this.#feel.listens;
  }

  /**
   * Bytes that a pool may have in flight: beside client load, what the rate brings in {@link RESYNC_LOADED_MS}, as the requests of clients
   * stand behind that on their way and in the threads of both storage nodes.
   */
  get inFlightBytesMax(): number {
    const rate = this.rateBytes;
    if (rate === null || this.#feel.rateBytes === null) return Number.POSITIVE_INFINITY;
    return Math.min(Math.max((rate * RESYNC_LOADED_MS) / 1000, RESYNC_LOADED_BYTES_MIN), RESYNC_LOADED_BYTES_MAX);
  }

  /** Bytes that one read may ask for: beside client load, few. */
  get readBytesMax(): number {
    const rate = this.rateBytes;
    if (rate === null || this.#feel.rateBytes === null) return Number.POSITIVE_INFINITY;
    return Math.max((rate * RESYNC_LOADED_READ_MS) / 1000, RESYNC_LOADED_READ_BYTES_MIN);
  }

  /** What a share's budget has grown by since it was looked at. */
  grownBytes(nowMs: number): number {
    return ((this.rateBytes ?? 0) * (nowMs - this.#grownAtMs)) / 1000 / Math.max(1, this.#wanting(nowMs).length);
  }

  #wanting(nowMs: number): ResyncShare[] {
    return this.#pulling.filter((share) => nowMs - share.lastMs <= RESYNC_WANTS_MS);
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    assert(this.#pulling.length <= RESYNC_POOLS_MAX, 'I12: more pools pull than may at a time');
    assert(this.#waiting.length === 0 || this.#pulling.length === RESYNC_POOLS_MAX, 'resync budget: a pool waits for a place that is free');
    for (const share of this.#pulling)
      assert(share.hasPlace && !this.#waiting.includes(share), 'resync budget: a pool has a place and waits');
  }
}

/** What one pool may pull of the budget of its storage node. */
export class ResyncShare {
  readonly budget: ResyncBudget;
  readonly onPlace: () => void;
  hasPlace = false;
  placeSinceMs = 0;
  /** When it wanted something last. */
  lastMs = Number.NEGATIVE_INFINITY;
  /** Bytes that may be begun now; below zero, what was begun beyond the rate is still owed. */
  budgetBytes = 0;
  /** The pool's own limit in bytes per second, within what the budget allows; null: it has none. */
  #limitBytes: number | null = null;
  /** As {@link budgetBytes}, of the pool's own limit, and up to when it has grown. */
  #ownBytes = 0;
  #ownGrownAtMs = 0;
  /** Nothing might begin when it was looked at last, as resync rested. */
  #rested = false;

  constructor(budget: ResyncBudget, onPlace: () => void) {
    this.budget = budget;
    this.onPlace = onPlace;
  }

  /** It has something to pull: it asks for a place, and its budget grows. */
  refill(nowMs: number): void {
    this.lastMs = nowMs;
    this.#ownBytes += this.#ownGrownBytes(nowMs);
    this.#ownGrownAtMs = nowMs;
    this.budget.enter(this, nowMs);
    this.budget.refill(nowMs);
  }

  /** Bytes that may be in flight; infinite: as many as there is room for. */
  get inFlightBytesMax(): number {
    return this.budget.inFlightBytesMax;
  }

  /** Bytes that one read may ask for; infinite: as many as there is room for. */
  get readBytesMax(): number {
    return this.budget.readBytesMax;
  }

  /** It has nothing to pull, or may not: its place is free for another pool. */
  leave(): void {
    this.budget.leave(this);
  }

  /** Whether one more pull may begin. */
  mayStart(): boolean {
    this.#rested = this.budget.listens;
    if (!this.hasPlace || this.#rested) return false;
    return !this.#isUsedUp;
  }

  /** A pull that may carry so many bytes has begun. */
  spend(lengthBytes: number): void {
    this.budget.noteMoved(lengthBytes);
    if (this.budget.rateBytes !== null) this.budgetBytes -= lengthBytes;
    else this.budgetBytes = 0;
    if (this.#limitBytes !== null) this.#ownBytes -= lengthBytes;
  }

  /** A pull for which so many bytes were spent has carried only so many: the others may be spent again, but for what every pull costs. */
  refund(spentBytes: number, carriedBytes: number): void {
    const unspentBytes = Math.max(0, spentBytes - Math.max(carriedBytes, RESYNC_PULL_COST_BYTES));
    this.budget.noteMoved(-unspentBytes);
    if (this.budget.rateBytes !== null) this.budgetBytes += unspentBytes;
    if (this.#limitBytes !== null) this.#ownBytes += unspentBytes;
  }

  /** Whether the budget, used up or at rest when last looked at, allows for something by now. */
  isDue(nowMs: number): boolean {
    if (!this.hasPlace || this.budget.listens || !(this.#isUsedUp || this.#rested)) return false;
    const hasShared = this.budget.rateBytes === null || this.budgetBytes + this.budget.grownBytes(nowMs) > 0;
    const hasOwn = this.#limitBytes === null || this.#ownBytes + this.#ownGrownBytes(nowMs) > 0;
    return hasShared && hasOwn;
  }

  get limitBytes(): number | null {
    return this.#limitBytes;
  }

  /** What was begun beyond a former limit is not owed any more. */
  set limitBytes(limitBytes: number | null) {
    this.#limitBytes = limitBytes;
    this.#ownBytes = 0;
  }

  get #isUsedUp(): boolean {
    return (this.budget.rateBytes !== null && this.budgetBytes <= 0) || (this.#limitBytes !== null && this.#ownBytes <= 0);
  }

  /** What the own limit has allowed since the last look; what it brings in {@link RESYNC_SAVED_MS} may be saved up. */
  #ownGrownBytes(nowMs: number): number {
    if (this.#limitBytes === null) return 0;
    const grownBytes = (this.#limitBytes * (nowMs - this.#ownGrownAtMs)) / 1000;
    return Math.min(grownBytes, Math.max(0, (this.#limitBytes * RESYNC_SAVED_MS) / 1000 - this.#ownBytes));
  }
}
