import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { OperationError } from '@rmr/runtime';
import { runCommandLine } from '@rmr/runtime/cli';
import { type SimulationResult, simulate } from '@rmr/testing/simulation';
import { Command } from 'commander';
import { MUTANTS } from './mutants.ts';
import { runMutant } from './mutation.ts';
import { type SeedOptions, seedsOf } from './seeds.ts';
import { Totals } from './totals.ts';
import { runSeeds, serveAsWorker, WORKER_ARGUMENT } from './workers.ts';

/** Lines of the log that are shown of a seed that failed. */
const LOG_LINES = 120;
/** How often a long run says how far it is, in milliseconds. */
const PROGRESS_MS = 10_000;
const JOBS_MAX = 256;

interface Options extends SeedOptions {
  readonly log?: boolean;
  readonly trace?: boolean;
  readonly stop?: boolean;
  readonly jobs?: string;
  readonly mutants?: string | true;
}

function jobsOf(text: string | undefined): number {
  const jobs = text === undefined ? availableParallelism() : Number(text);
  if (!(Number.isInteger(jobs) && jobs >= 1 && jobs <= JOBS_MAX))
    throw new OperationError('INVALID_ARGUMENT', `--jobs ${text}: write a whole number from 1 to ${JOBS_MAX}`);
  return jobs;
}

function report(result: SimulationResult, log: boolean): void {
  if (result.failure === null) return;
  console.error(`seed ${result.seed}: ${result.failure.split('\n')[0]}`);
  if (log) console.error(result.log.split('\n').slice(-LOG_LINES).join('\n'));
}

const program = new Command('sim')
  .description(
    'Runs a whole pool on virtual time under faults, from seeds, and checks that no acknowledged byte is lost and no block flips.',
  )
  .option('--seed <n>', 'one seed: the same run every time, with its log when it fails')
  .option('--seeds <a..b>', 'all seeds from a to b, inclusive')
  .option('--minutes <m>', 'fresh seeds for so long')
  .option('--jobs <n>', 'processes that run seeds; default: one per core')
  .option('--mutants [text]', 'break one rule of the production code at a time, and see that it is caught; only those named like this')
  .option('--stop', 'stop at the first seed that fails')
  .option('--log', 'the log of every seed that fails')
  .option('--trace', 'with --seed: every operation is in the log, and the log is printed in any case')
  .addHelpText(
    'after',
    '\nThe last line of standard output is a JSON object with the totals. Exit code 0: everything held; 1: a seed failed.',
  );

/** Runs every mutant; exit code 1 when one is not caught. */
async function runMutants(text: string, jobs: number): Promise<void> {
  const mutants = MUTANTS.filter((mutant) => `${mutant.rule} ${mutant.name}`.includes(text));
  let escaped = 0;
  for (const mutant of mutants) {
    const { seed, how } = await runMutant(mutant, jobs);
    if (seed === null) escaped++;
    console.error(`${mutant.rule.padEnd(20)} ${mutant.name}: ${seed === null ? how : `seed ${seed}: ${how}`}`);
  }
  console.log(JSON.stringify({ mutants: mutants.length, escaped }));
  process.exitCode = escaped === 0 ? 0 : 1;
}

program.action(async (options: Options) => {
  const jobs = jobsOf(options.jobs);
  if (options.mutants !== undefined) {
    await runMutants(options.mutants === true ? '' : options.mutants, jobs);
    return;
  }
  const totals = new Totals();
  let saidMs = performance.now();
  const onResult = (result: SimulationResult): boolean => {
    totals.add(result);
    report(result, options.log === true || options.seed !== undefined);
    if (performance.now() - saidMs >= PROGRESS_MS) {
      saidMs = performance.now();
      console.error(`${totals.seeds} seeds, ${totals.failed} failed`);
    }
    return options.stop !== true || result.failure === null;
  };
  if (options.seed !== undefined) {
    for (const seed of seedsOf(options)) {
      const result = simulate(seed, { trace: options.trace === true });
      if (options.trace === true) console.error(result.log);
      onResult(result);
    }
  } else {
    await runSeeds(seedsOf(options), jobs, fileURLToPath(import.meta.url), onResult);
  }
  console.log(JSON.stringify(totals));
  process.exitCode = totals.failed === 0 ? 0 : 1;
});

if (process.argv[2] === WORKER_ARGUMENT) serveAsWorker();
else await runCommandLine(program, process.argv);
