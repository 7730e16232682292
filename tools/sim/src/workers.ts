import { type ChildProcess, fork } from 'node:child_process';
import { type SimulationOptions, type SimulationResult, simulate } from '@rmr/simulation';

/** Milliseconds of real time after which a seed counts as hanging. One takes a fraction of a second. */
const HANG_MS = 120_000;

/** How the program is started as a worker. */
export const WORKER_ARGUMENT = '--worker';

/** Runs the seeds that the parent process sends, one after the other, with the options that it was started with. */
export function serveAsWorker(options: string): void {
  const parsed = JSON.parse(options) as SimulationOptions;
  process.on('message', (seed: number) => {
    process.send?.(simulate(seed, parsed));
  });
  // The parent is gone.
  process.on('disconnect', () => process.exit());
}

/** Stands for the result of a seed that had none. */
function noResult(seed: number, failure: string): SimulationResult {
  return { seed, failure, operations: 0, faults: 0, changes: 0, forced: 0, faultCounts: {}, events: 0, virtualMs: 0, log: '' };
}

/** One process that runs one seed after the other. */
class Worker {
  readonly #program: string;
  readonly #options: SimulationOptions;
  readonly #onResult: (worker: Worker, result: SimulationResult) => void;
  #child: ChildProcess | null = null;
  #seed: number | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(program: string, options: SimulationOptions, onResult: (worker: Worker, result: SimulationResult) => void) {
    this.#program = program;
    this.#options = options;
    this.#onResult = onResult;
  }

  run(seed: number): void {
    this.#child ??= this.#start();
    this.#seed = seed;
    this.#timer = setTimeout(() => {
      const child = this.#child;
      this.#child = null;
      child?.kill('SIGKILL');
      this.#end(noResult(seed, `it hangs: no end within ${HANG_MS / 1000} s`));
    }, HANG_MS);
    this.#child.send(seed);
  }

  stop(): void {
    const child = this.#child;
    this.#child = null;
    this.#seed = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    child?.kill('SIGKILL');
  }

  #start(): ChildProcess {
    const child = fork(this.#program, [WORKER_ARGUMENT, JSON.stringify(this.#options)], { execArgv: process.execArgv });
    child.on('message', (result: SimulationResult) => {
      if (this.#child === child) this.#end(result);
    });
    child.on('exit', (code, signal) => {
      if (this.#child !== child) return;
      this.#child = null;
      if (this.#seed !== null) this.#end(noResult(this.#seed, `its process ended with ${signal ?? code}`));
    });
    return child;
  }

  #end(result: SimulationResult): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#seed = null;
    this.#onResult(this, result);
  }
}

/**
 * Runs the seeds, in `jobs` processes of `program`, or in this one when that is null. `onResult` gets every result, in the
 * order in which they end, and says whether to go on.
 */
export async function runSeeds(
  seeds: Iterable<number>,
  jobs: number,
  program: string | null,
  onResult: (result: SimulationResult) => boolean,
  options: SimulationOptions = {},
): Promise<void> {
  if (program === null) {
    for (const seed of seeds) if (!onResult(simulate(seed, options))) return;
    return;
  }
  const source = seeds[Symbol.iterator]();
  const busy = new Set<Worker>();
  await new Promise<void>((resolve) => {
    let goesOn = true;
    const next = (worker: Worker): void => {
      const { value, done } = goesOn ? source.next() : { value: undefined, done: true };
      if (done !== true && value !== undefined) {
        busy.add(worker);
        worker.run(value);
        return;
      }
      worker.stop();
      if (busy.size === 0) resolve();
    };
    const ended = (worker: Worker, result: SimulationResult): void => {
      busy.delete(worker);
      if (goesOn && !onResult(result)) {
        goesOn = false;
        for (const other of busy) other.stop();
        busy.clear();
      }
      next(worker);
    };
    for (let i = 0; i < jobs; i++) next(new Worker(program, options, ended));
  });
}
