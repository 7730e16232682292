import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { OperationError } from '@rmr/runtime';
import { runCommandLine } from '@rmr/runtime/cli';
import { FAULT_KINDS, type SimulationOptions, type SimulationResult, simulate } from '@rmr/simulation';
import { Command } from 'commander';
import { ruleOf } from './mutant.ts';
import { MUTANTS } from './mutants/index.ts';
import { MutationSuite, selectMutants } from './mutation.ts';
import { type SeedOptions, seedRange, seedsOf } from './seeds.ts';
import { Totals } from './totals.ts';
import { runSeeds, serveAsWorker, WORKER_ARGUMENT } from './workers.ts';

/** Lines of the log that are shown of a seed that failed. */
const LOG_LINES = 120;
/** How often a long run says how far it is, in milliseconds. */
const PROGRESS_MS = 10_000;
const JOBS_MAX = 256;
/** Minutes of real time after which a mutant that is not caught has escaped. */
const MUTANT_MINUTES = 20;

interface Options extends SeedOptions {
  readonly log?: boolean;
  readonly trace?: boolean;
  readonly faults?: string;
  readonly stop?: boolean;
  readonly jobs?: string;
  readonly mutants?: string | true;
  readonly limit?: string;
}

function jobsOf(text: string | undefined): number {
  const jobs = text === undefined ? availableParallelism() : Number(text);
  if (!(Number.isInteger(jobs) && jobs >= 1 && jobs <= JOBS_MAX))
    throw new OperationError('INVALID_ARGUMENT', `--jobs ${text}: write a whole number from 1 to ${JOBS_MAX}`);
  return jobs;
}

/** What `--faults` and `--trace` say. */
function simulationOptions(options: Options): SimulationOptions {
  const faults = options.faults?.split(',').map((name) => name.trim());
  const unknown = faults?.find((name) => !FAULT_KINDS.includes(name));
  if (unknown !== undefined)
    throw new OperationError(
      'INVALID_ARGUMENT',
      `--faults: there are no faults of kind "${unknown}"; the kinds are: ${FAULT_KINDS.join(', ')}`,
    );
  return { trace: options.trace === true, ...(faults === undefined ? {} : { faults }) };
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
  .option('--jobs <n>', 'processes that run seeds, or mutants; default: one per core')
  .option(
    '--mutants [text]',
    'break one rule of the production code at a time, and see that it is caught; only those with this mark, rule or name',
  )
  .option('--limit <minutes>', `with --mutants: after which one that is not caught has escaped; default: ${MUTANT_MINUTES}`)
  .option('--faults <kinds>', 'only faults of these kinds, with commas between; a wrong one prints the list')
  .option('--stop', 'stop at the first seed that fails')
  .option('--log', 'the log of every seed that fails')
  .option('--trace', 'with --seed: every operation is in the log, and the log is printed in any case')
  .addHelpText(
    'after',
    '\nThe last line of standard output is a JSON object with the totals. Exit code 0: everything held, and every mutant was caught; 1: not so.',
  );

/** Milliseconds of real time that a mutant may take, as `--limit` says in minutes. */
function limitMsOf(text: string | undefined): number {
  const minutes = text === undefined ? MUTANT_MINUTES : Number(text);
  if (!(minutes > 0 && minutes <= 24 * 60))
    throw new OperationError('INVALID_ARGUMENT', `--limit ${text}: write a number of minutes, at most 1440`);
  return minutes * 60_000;
}

/** Runs the mutants that the text names, or all of them; exit code 1 when one is not caught. */
async function runMutants(text: string, options: Options, jobs: number): Promise<void> {
  const mutants = selectMutants(MUTANTS, text);
  if (mutants.length === 0) throw new OperationError('INVALID_ARGUMENT', `--mutants ${text}: there is none with this mark, rule or name`);
  const seeds = options.seeds === undefined ? null : seedRange(options.seeds);
  const suite = new MutationSuite({ jobs, seeds, limitMs: limitMsOf(options.limit) });
  const results = await suite.run(mutants, ({ mutant, seed, how, seconds }) => {
    const outcome = seed === null ? `ESCAPED: ${how}` : `seed ${seed} of ${mutant.seeds}: ${how}`;
    console.error(`${ruleOf(mutant).padEnd(20)} ${mutant.name}: ${outcome} (${seconds} s)`);
  });
  const escaped = results.filter((result) => result.seed === null).map((result) => `${ruleOf(result.mutant)} ${result.mutant.name}`);
  const caught = results.map(({ mutant, seed }) => ({ rule: ruleOf(mutant), name: mutant.name, seed, bound: mutant.seeds }));
  console.log(JSON.stringify({ mutants: results.length, escaped, results: caught }));
  process.exitCode = escaped.length === 0 ? 0 : 1;
}

program.action(async (options: Options) => {
  const jobs = jobsOf(options.jobs);
  if (options.mutants !== undefined) {
    await runMutants(options.mutants === true ? '' : options.mutants, options, jobs);
    return;
  }
  const simulation = simulationOptions(options);
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
      const result = simulate(seed, simulation);
      if (options.trace === true) console.error(result.log);
      onResult(result);
    }
  } else {
    await runSeeds(seedsOf(options), jobs, jobs === 1 ? null : fileURLToPath(import.meta.url), onResult, simulation);
  }
  console.log(JSON.stringify(totals));
  process.exitCode = totals.failed === 0 ? 0 : 1;
});

if (process.argv[2] === WORKER_ARGUMENT) serveAsWorker(process.argv[3] ?? '{}');
else await runCommandLine(program, process.argv);
