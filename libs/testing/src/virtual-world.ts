import {
  assert,
  type Clock,
  SeededRandom,
  TICK_INTERVAL_MS,
  type Ticked,
  type Ticker,
  type Turn,
  type TurnTask,
  type World,
} from '@rmr/runtime';
import { MemoryLog } from './memory-log.ts';
import { type ScheduledEvent, Scheduler } from './scheduler.ts';

/** Wall-clock time at the start of every virtual world: 2030-01-01T00:00:00Z. */
const WALL_START_MS = Date.UTC(2030, 0, 1);
/** Tasks in one turn end after which they are taken to queue one another for ever. */
const TURN_TASKS_MAX = 1_000_000;

class VirtualClock implements Clock {
  readonly #scheduler: Scheduler;
  /** What this host's monotonic clock shows beyond virtual time. */
  skewMs = 0;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  nowMs(): number {
    return this.#scheduler.nowMs + this.skewMs;
  }

  wallMs(): number {
    return WALL_START_MS + this.nowMs();
  }
}

class VirtualTicker implements Ticker {
  readonly #scheduler: Scheduler;
  readonly #clock: Clock;
  readonly #endTurn: () => void;
  readonly #targets = new Set<Ticked>();
  #next: ScheduledEvent | null = null;
  paused = false;
  #dead = false;

  constructor(scheduler: Scheduler, clock: Clock, endTurn: () => void) {
    this.#scheduler = scheduler;
    this.#clock = clock;
    this.#endTurn = endTurn;
  }

  subscribe(target: Ticked): void {
    if (this.#dead) return;
    this.#targets.add(target);
    this.#next ??= this.#scheduler.after(TICK_INTERVAL_MS, () => this.#fire());
  }

  unsubscribe(target: Ticked): void {
    this.#targets.delete(target);
    if (this.#targets.size > 0) return;
    this.#next?.cancel();
    this.#next = null;
  }

  die(): void {
    this.#dead = true;
    this.#targets.clear();
    this.#next?.cancel();
    this.#next = null;
  }

  #fire(): void {
    this.#next = this.#scheduler.after(TICK_INTERVAL_MS, () => this.#fire());
    if (this.paused) return;
    const nowMs = this.#clock.nowMs();
    for (const target of this.#targets) target.tick(nowMs);
    this.#endTurn();
  }
}

/** The queue of {@link Turn}, emptied first in, first out, after every event. */
class VirtualTurn implements Turn {
  readonly #tasks: TurnTask[] = [];
  #dead = false;

  defer(task: TurnTask): void {
    if (task.turnQueued || this.#dead) return;
    task.turnQueued = true;
    this.#tasks.push(task);
    assert(this.#tasks.length < TURN_TASKS_MAX, 'turn: tasks keep queueing one another');
  }

  drain(): boolean {
    if (this.#tasks.length === 0) return false;
    for (let i = 0; i < this.#tasks.length; i++) {
      const task = this.#tasks[i] as TurnTask;
      task.turnQueued = false;
      task.runAtTurnEnd();
    }
    this.#tasks.length = 0;
    return true;
  }

  die(): void {
    this.#dead = true;
    for (const task of this.#tasks) task.turnQueued = false;
    this.#tasks.length = 0;
  }
}

/**
 * The world of one process of a simulation: its own ticks, turn ends, randomness and clock skew, on the virtual time
 * that all processes share. It can crash.
 */
export class VirtualHost implements World {
  readonly name: string;
  readonly clock: Clock;
  readonly ticker: Ticker;
  readonly turn: Turn;
  readonly random: SeededRandom;
  readonly log: MemoryLog;
  readonly #clock: VirtualClock;
  readonly #ticker: VirtualTicker;
  readonly #turn: VirtualTurn;

  constructor(name: string, scheduler: Scheduler, seed: number, parentLog: MemoryLog | null) {
    this.name = name;
    this.#clock = new VirtualClock(scheduler);
    this.#turn = new VirtualTurn();
    this.#ticker = new VirtualTicker(scheduler, this.#clock, () => this.endTurn());
    this.clock = this.#clock;
    this.ticker = this.#ticker;
    this.turn = this.#turn;
    this.random = new SeededRandom(seed);
    this.log = parentLog === null ? new MemoryLog(this.#clock) : parentLog.child({ host: name });
  }

  /** Runs what was deferred. True when there was something. The worlds call it after every event. */
  endTurn(): boolean {
    return this.#turn.drain();
  }

  /** The process dies: no tick and no deferred task of it comes any more. Streams are the network's to cut. */
  crash(): void {
    this.#ticker.die();
    this.#turn.die();
  }

  /** Between `pause` and `resume` no tick comes, as under SIGSTOP. Time goes on. */
  pause(): void {
    this.#ticker.paused = true;
  }

  resume(): void {
    this.#ticker.paused = false;
  }

  /** The monotonic clock jumps forward. */
  skewClock(byMs: number): void {
    assert(byMs >= 0, 'virtual host: a monotonic clock does not go back');
    this.#clock.skewMs += byMs;
  }
}

/**
 * A {@link World} on virtual time: deterministic, and as fast as the code under test. One event at a time, then the
 * end of its turn. Also the root of a simulation of several processes, each with a world of its own ({@link host}).
 */
export class VirtualWorld extends VirtualHost {
  readonly scheduler: Scheduler;
  readonly seed: number;
  readonly #hosts: VirtualHost[] = [];
  readonly #checks: (() => void)[] = [];
  #hostCount = 0;

  constructor(seed = 1) {
    const scheduler = new Scheduler();
    super('world', scheduler, seed, null);
    this.scheduler = scheduler;
    this.seed = seed;
  }

  /** The world of one more process; after a crash a process gets a new one. */
  host(name: string): VirtualHost {
    const host = new VirtualHost(name, this.scheduler, this.seed * 1_000_003 + ++this.#hostCount, this.log);
    this.#hosts.push(host);
    return host;
  }

  /** `check` runs after every event, as the `verify()` of what is under test. */
  check(check: () => void): void {
    this.#checks.push(check);
  }

  /** Runs `action` in `delayMs` of virtual time. */
  after(delayMs: number, action: () => void): ScheduledEvent {
    return this.scheduler.after(delayMs, action);
  }

  /** Runs one event with its turn end. False when nothing is to come. */
  step(): boolean {
    this.#endTurns();
    const stepped = this.scheduler.step();
    this.#endTurns();
    for (const check of this.#checks) check();
    return stepped;
  }

  /** Runs everything due within the next `durationMs`, and lets that time pass. */
  run(durationMs: number): void {
    const untilMs = this.scheduler.nowMs + durationMs;
    this.#endTurns();
    for (let next = this.scheduler.nextAtMs; next !== null && next <= untilMs; next = this.scheduler.nextAtMs) this.step();
    this.scheduler.advanceTo(untilMs);
  }

  /** Runs until `predicate` holds. Throws, with `what` and the last log lines, when it does not within `maxVirtualMs`. */
  runUntil(predicate: () => boolean, maxVirtualMs: number, what = 'a condition'): void {
    const untilMs = this.scheduler.nowMs + maxVirtualMs;
    this.#endTurns();
    while (!predicate()) {
      const next = this.scheduler.nextAtMs;
      if (next === null || next > untilMs) {
        const log = this.log.text().split('\n').slice(-30).join('\n');
        const why = next === null ? 'nothing more can happen' : `${maxVirtualMs} ms of virtual time have passed`;
        throw new Error(`waited for ${what} in vain: ${why} (seed ${this.seed}). The last log lines:\n${log}`);
      }
      this.step();
    }
  }

  #endTurns(): void {
    for (let again = true; again; ) {
      again = this.endTurn();
      for (const host of this.#hosts) if (host.endTurn()) again = true;
    }
  }
}
