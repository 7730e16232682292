import type { World } from '@rmr/runtime';
import type { ResyncState } from './resync-types.ts';

/** What resync says of itself: its state, since when, and why it stands still. It decides nothing. */
export class ResyncCondition {
  /** Since when it is in its state, and stands still or does not; wall clock. */
  sinceMs: number;
  readonly #world: World;
  readonly #memberId: number;
  #state: ResyncState = 'IDLE';
  /** Why the last pull failed; empty once one has ended well. */
  #failure = '';
  /** Which chunk can't be pulled, and what it waits for; empty: none, or pulls are under way. */
  #stall = '';

  constructor(world: World, memberId: number) {
    this.#world = world;
    this.#memberId = memberId;
    this.sinceMs = world.clock.wallMs();
  }

  get state(): ResyncState {
    return this.#state;
  }

  set state(to: ResyncState) {
    if (to === this.#state) return;
    this.#world.log.info('resync', { member: this.#memberId, from: this.#state, to, reason: this.#failure || this.#stall });
    this.#state = to;
    this.sinceMs = this.#world.clock.wallMs();
  }

  /** The last pull has failed. */
  get hasFailed(): boolean {
    return this.#failure !== '';
  }

  /** Why it stands still, for people; empty while it does not. */
  get reason(): string {
    if (this.#state !== 'FAILED' && this.#state !== 'PAUSED') return this.#stall;
    const first = this.#state === 'FAILED' ? this.#failure : 'paused by an operator';
    return this.#stall === '' ? first : `${first}; ${this.#stall}`;
  }

  /** Why it stands still, and since when: not since it began to run. Empty: it does not. */
  setStall(stall: string): void {
    if ((stall === '') !== (this.#stall === '')) this.sinceMs = this.#world.clock.wallMs();
    this.#stall = stall;
  }

  /** A pull has failed. The reason is logged once, not at each try. */
  failed(reason: string): void {
    if (reason !== this.#failure) this.#world.log.warn('resync was interrupted', { member: this.#memberId, reason });
    this.#failure = reason;
  }

  /** A pull has ended well, or a new version has begun. */
  forgetFailure(): void {
    this.#failure = '';
  }
}
