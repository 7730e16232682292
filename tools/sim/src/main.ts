import { runCommandLine } from '@rmr/runtime/cli';
import { type SimulationResult, simulate } from '@rmr/testing/simulation';
import { Command } from 'commander';
import { MUTANTS } from './mutants.ts';
import { runMutant } from './mutation.ts';
import { type SeedOptions, seedsOf } from './seeds.ts';

/** Lines of the log that are shown of a seed that failed. */
const LOG_LINES = 120;
/** How often a long run says how far it is, in milliseconds. */
const PROGRESS_MS = 10_000;

interface Options extends SeedOptions {
  readonly log?: boolean;
  readonly stop?: boolean;
  readonly mutants?: boolean;
}

/** What all runs together did; printed as the last line. */
class Totals {
  seeds = 0;
  failed = 0;
  operations = 0;
  faults = 0;
  events = 0;
  virtualHours = 0;
  readonly failedSeeds: number[] = [];
  readonly #startedMs = performance.now();

  add(result: SimulationResult): void {
    this.seeds++;
    this.operations += result.operations;
    this.faults += result.faults;
    this.events += result.events;
    this.virtualHours += result.virtualMs / 3_600_000;
    if (result.failure === null) return;
    this.failed++;
    if (this.failedSeeds.length < 100) this.failedSeeds.push(result.seed);
  }

  toJSON(): object {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const { seeds, failed, operations, faults, events, virtualHours, failedSeeds } = this;
    return {
      seeds,
      failed,
      operations,
      faults,
      events,
      virtualHours: round(virtualHours),
      seconds: round(seconds),
      eventsPerSecond: Math.round(events / seconds),
      virtualHoursPerSecond: round(virtualHours / seconds),
      failedSeeds,
    };
  }
}

function round(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}

function report(result: SimulationResult, log: boolean): void {
  if (result.failure === null) return;
  console.error(`seed ${result.seed}: ${result.failure.split('\n')[0]}`);
  if (!log) return;
  console.error(result.log.split('\n').slice(-LOG_LINES).join('\n'));
}

const program = new Command('sim')
  .description(
    'Runs a whole pool on virtual time under faults, from seeds, and checks that no acknowledged byte is lost and no block flips.',
  )
  .option('--seed <n>', 'one seed: the same run every time, with its log when it fails')
  .option('--seeds <a..b>', 'all seeds from a to b, inclusive')
  .option('--minutes <m>', 'fresh seeds for so long')
  .option('--mutants', 'break one rule of the production code at a time, and see that the simulator catches it')
  .option('--stop', 'stop at the first seed that fails')
  .option('--log', 'the log of every seed that fails')
  .addHelpText(
    'after',
    '\nThe last line of standard output is a JSON object with the totals. Exit code 0: everything held; 1: a seed failed.',
  );

/** Runs every mutant; exit code 1 when one is not caught. */
async function runMutants(): Promise<void> {
  let escaped = 0;
  for (const mutant of MUTANTS) {
    const { seed, how } = await runMutant(mutant);
    if (seed === null) escaped++;
    console.error(`${mutant.rule.padEnd(20)} ${mutant.name}: ${seed === null ? how : `seed ${seed}: ${how}`}`);
  }
  console.log(JSON.stringify({ mutants: MUTANTS.length, escaped }));
  process.exitCode = escaped === 0 ? 0 : 1;
}

program.action(async (options: Options) => {
  if (options.mutants === true) {
    await runMutants();
    return;
  }
  const totals = new Totals();
  let saidMs = performance.now();
  for (const seed of seedsOf(options)) {
    const result = simulate(seed);
    totals.add(result);
    report(result, options.log === true || options.seed !== undefined);
    if (options.stop === true && result.failure !== null) break;
    if (performance.now() - saidMs < PROGRESS_MS) continue;
    saidMs = performance.now();
    console.error(`${totals.seeds} seeds, ${totals.failed} failed`);
  }
  console.log(JSON.stringify(totals));
  process.exitCode = totals.failed === 0 ? 0 : 1;
});

await runCommandLine(program, process.argv);
