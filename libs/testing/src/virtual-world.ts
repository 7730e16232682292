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
  /** What this host's monotonic clock shows beyond virtual time, as long as its rate is 1. */
  #skewMs = 0;
  /** How much further the wall clock was set than the monotonic clock went. */
  #wallSkewMs = 0;
  #rate = 1;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  get rate(): number {
    return this.#rate;
  }

  nowMs(): number {
    return this.#scheduler.nowMs * this.#rate + this.#skewMs;
  }

  wallMs(): number {
    return WALL_START_MS + this.nowMs() + this.#wallSkewMs;
  }

  skew(byMs: number): void {
    this.#skewMs += byMs;
  }

  skewWall(byMs: number): void {
    this.#wallSkewMs += byMs;
  }

  /** Time goes on from where it is. */
  setRate(rate: number): void {
    const nowMs = this.nowMs();
    this.#rate = rate;
    this.#skewMs = nowMs - this.#scheduler.nowMs * rate;
  }
}

class VirtualTicker implements Ticker {
  readonly #scheduler: Scheduler;
  readonly #clock: VirtualClock;
  readonly #endTurn: () => void;
  readonly #fireBound = (): void => this.#fire();
  readonly #targets = new Set<Ticked>();
  #next: ScheduledEvent | null = null;
  paused = false;
  #dead = false;

  constructor(scheduler: Scheduler, clock: VirtualClock, endTurn: () => void) {
    this.#scheduler = scheduler;
    this.#clock = clock;
    this.#endTurn = endTurn;
  }

  subscribe(target: Ticked): void {
    if (this.#dead) return;
    this.#targets.add(target);
    this.#next ??= this.#scheduler.after(TICK_INTERVAL_MS / this.#clock.rate, this.#fireBound);
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
    this.#next = this.#scheduler.after(TICK_INTERVAL_MS / this.#clock.rate, this.#fireBound);
    if (this.paused) return;
    const nowMs = this.#clock.nowMs();
    for (const target of this.#targets) target.tick(nowMs);
    this.#endTurn();
  }
}

/** The queue of {@link Turn}, emptied first in, first out, after every event. */
class VirtualTurn implements Turn {
  readonly #tasks: TurnTask[] = [];
  readonly #onFirst: () => void;
  #dead = false;

  /** `onFirst` is called when a first task is queued. */
  constructor(onFirst: () => void) {
    this.#onFirst = onFirst;
  }

  defer(task: TurnTask): void {
    if (task.turnQueued || this.#dead) return;
    task.turnQueued = true;
    if (this.#tasks.length === 0) this.#onFirst();
    this.#tasks.push(task);
    assert(this.#tasks.length < TURN_TASKS_MAX, 'turn: tasks keep queueing one another');
  }

  drain(): void {
    for (let i = 0; i < this.#tasks.length; i++) {
      const task = this.#tasks[i] as TurnTask;
      task.turnQueued = false;
      task.runAtTurnEnd();
    }
    this.#tasks.length = 0;
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

  /** `ready` takes the hosts whose turn has something to end. */
  constructor(name: string, scheduler: Scheduler, seed: number, parentLog: MemoryLog | null, ready: VirtualHost[]) {
    this.name = name;
    this.#clock = new VirtualClock(scheduler);
    this.#turn = new VirtualTurn(() => ready.push(this));
    this.#ticker = new VirtualTicker(scheduler, this.#clock, () => this.endTurn());
    this.clock = this.#clock;
    this.ticker = this.#ticker;
    this.turn = this.#turn;
    this.random = new SeededRandom(seed);
    this.log = parentLog === null ? new MemoryLog(this.#clock) : parentLog.child({ host: name });
  }

  /** Runs what was deferred. The worlds call it after every event. */
  endTurn(): void {
    this.#turn.drain();
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

  /** The monotonic clock jumps forward, and the wall clock with it. */
  skewClock(byMs: number): void {
    assert(byMs >= 0, 'virtual host: a monotonic clock does not go back');
    this.#clock.skew(byMs);
  }

  /** The wall clock is set, forward or back. */
  setWallClock(byMs: number): void {
    this.#clock.skewWall(byMs);
  }

  /** From now on the host's clocks and ticks run at this rate: 1.01 is one percent fast. */
  setClockRate(rate: number): void {
    assert(rate > 0, 'virtual host: a monotonic clock goes forward');
    this.#clock.setRate(rate);
  }
}

/**
 * A {@link World} on virtual time: deterministic, and as fast as the code under test. One event at a time, then the
 * end of its turn. Also the root of a simulation of several processes, each with a world of its own ({@link host}).
 */
export class VirtualWorld extends VirtualHost {
  readonly scheduler: Scheduler;
  readonly seed: number;
  /** Hosts whose turn has something to end, in order. */
  readonly #ready: VirtualHost[];
  readonly #checks: (() => void)[] = [];
  #hostCount = 0;

  constructor(seed = 1) {
    const scheduler = new Scheduler();
    const ready: VirtualHost[] = [];
    super('world', scheduler, seed, null, ready);
    this.#ready = ready;
    this.scheduler = scheduler;
    this.seed = seed;
  }

  /** The world of one more process; after a crash a process gets a new one. */
  host(name: string): VirtualHost {
    return new VirtualHost(name, this.scheduler, this.seed * 1_000_003 + ++this.#hostCount, this.log, this.#ready);
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
    if (this.#ready.length > 0) this.#endTurns();
    const stepped = this.scheduler.step();
    if (this.#ready.length > 0) this.#endTurns();
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
    for (let i = 0; i < this.#ready.length; i++) this.#ready[i]?.endTurn();
    this.#ready.length = 0;
  }
}
