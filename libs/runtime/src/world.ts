/**
 * The world, as cores see it. Production injects the adapters of `@rmr/runtime/node`, tests and the simulator
 * inject virtual ones; the code between is the same.
 */

import type { Logger } from './logger.ts';
import type { Random } from './random.ts';

/** Everything that a core gets from the world. */
export interface World {
  readonly clock: Clock;
  readonly ticker: Ticker;
  readonly turn: Turn;
  readonly random: Random;
  readonly log: Logger;
}

/** Time. Reading it is free: adapters serve a coarse value that they refresh per turn. */
export interface Clock {
  /** Monotonic milliseconds from an arbitrary start. Used for every timeout. */
  nowMs(): number;
  /** Wall-clock milliseconds since the Unix epoch. Only ever shown to people, never used to decide. */
  wallMs(): number;
}

/** An object that counts its timeouts in ticks. */
export interface Ticked {
  /** Called about every {@link TICK_INTERVAL_MS}. `nowMs` equals `clock.nowMs()`. */
  tick(nowMs: number): void;
}

/** The interval of {@link Ticked.tick}, in milliseconds: fine enough for heartbeats, too coarse to cost anything. */
export const TICK_INTERVAL_MS = 50;

/** One real timer drives every timeout through this. */
export interface Ticker {
  subscribe(target: Ticked): void;
  unsubscribe(target: Ticked): void;
}

/** Work that runs once, after the events at hand have been handled. */
export interface TurnTask {
  /** True while queued; owned by the {@link Turn}. Initialise to false. */
  turnQueued: boolean;
  runAtTurnEnd(): void;
}

/**
 * The end of a turn. Everything that arrives in one go is parsed first; what it causes (disk batches, socket
 * flushes) is done once afterwards. Tasks that tasks queue run in the same turn end, in order of queueing.
 */
export interface Turn {
  /** Queues `task` for the end of this turn; a task that is queued already stays queued once. */
  defer(task: TurnTask): void;
}
