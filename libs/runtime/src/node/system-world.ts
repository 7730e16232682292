import { randomFillSync } from 'node:crypto';
import { assert } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Random } from '../random.ts';
import { type Clock, TICK_INTERVAL_MS, type Ticked, type Ticker, type Turn, type TurnTask, type World } from '../world.ts';

/** The host's clock. */
export class SystemClock implements Clock {
  nowMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }
}

/** One `setInterval` behind every timeout of the process. */
export class SystemTicker implements Ticker {
  readonly #clock: Clock;
  readonly #targets = new Set<Ticked>();
  #timer: NodeJS.Timeout | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  subscribe(target: Ticked): void {
    this.#targets.add(target);
    this.#timer ??= setInterval(() => this.#fire(), TICK_INTERVAL_MS);
  }

  unsubscribe(target: Ticked): void {
    this.#targets.delete(target);
    if (this.#targets.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #fire(): void {
    const nowMs = this.#clock.nowMs();
    for (const target of this.#targets) target.tick(nowMs);
  }
}

/** Runs turn ends in the check phase of the event loop: after all sockets that had events in this iteration. */
export class SystemTurn implements Turn {
  #tasks: TurnTask[] = [];
  #scheduled = false;
  readonly #run = (): void => {
    const tasks = this.#tasks;
    for (let i = 0; i < tasks.length; i++) {
      const task = tasks[i] as TurnTask;
      task.turnQueued = false;
      task.runAtTurnEnd();
    }
    tasks.length = 0;
    this.#scheduled = false;
  };

  defer(task: TurnTask): void {
    if (task.turnQueued) return;
    task.turnQueued = true;
    this.#tasks.push(task);
    assert(this.#tasks.length < 1_000_000, 'turn: tasks keep queueing one another');
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#run);
  }
}

/** The kernel's generator, drawn in blocks. */
export class SystemRandom implements Random {
  readonly #block = new Uint32Array(256);
  #next = 256;

  u32(): number {
    if (this.#next === this.#block.length) {
      randomFillSync(this.#block);
      this.#next = 0;
    }
    return this.#block[this.#next++] as number;
  }
}

/** The real world, for daemons and tools. */
export function createSystemWorld(log: Logger): World {
  const clock = new SystemClock();
  return { clock, ticker: new SystemTicker(clock), turn: new SystemTurn(), random: new SystemRandom(), log };
}
