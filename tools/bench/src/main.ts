import { writeFileSync } from 'node:fs';
import { errorMessage, GIB, MIB, OPERATION_ERRORS, OperationError, parseDuration, parseSize } from '@rmr/runtime';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type BenchmarkOptions, runBenchmark, selectSubjects, selectWorkloads } from './benchmark.ts';
import { toMarkdown } from './report.ts';
import { runResyncBenchmark } from './resync.ts';

/** Device size of a full run: large against every cache on the way, small enough for eleven copies in memory. */
const FULL_SIZE_BYTES = 512 * MIB;
const QUICK_SIZE_BYTES = 128 * MIB;
const FULL_RUN_MS = 2000;
/** Quick runs are short because `--quick --compare` has to end within two minutes. */
const QUICK_RUN_MS = 400;
/** What a member misses: a resync of more than a second. Throttled it takes half a minute, four times as long as a run. */
const RESYNC_SIZE_BYTES = GIB;
const RESYNC_QUICK_SIZE_BYTES = 128 * MIB;
const RESYNC_RUN_MS = 8000;
const RESYNC_QUICK_RUN_MS = 1000;
const ROUNDS = 3;
/** What a shell reports for a program that Ctrl-C ended. */
const EXIT_INTERRUPTED = 130;

interface Flags {
  readonly compare?: boolean;
  readonly quick?: boolean;
  readonly resync?: boolean;
  readonly json?: string;
  readonly markdown?: string;
  readonly dir?: string;
  readonly size?: number;
  readonly rounds: number;
  readonly time?: number;
  readonly transport: 'tcp' | 'unix';
  readonly only?: RegExp;
  readonly subjects?: RegExp;
  readonly gluster?: string;
  readonly rbd?: string;
  readonly list?: boolean;
}

const command = new Command('bench')
  .description('Measures a replicated device with fio, and what else does the same job on this host, taking turns.')
  .option('--compare', 'measure the peers that are installed as well, and print ratios')
  .option('--quick', 'fewer workloads, short runs: under two minutes, also with --compare')
  .addOption(
    new Option('--resync', 'measure how fast a member pulls what it has missed, and what that costs other IO; nothing else').conflicts([
      'compare',
      'only',
      'subjects',
      'gluster',
      'rbd',
      'list',
    ]),
  )
  .option('--json <file>', 'write everything that was measured as JSON')
  .option('--markdown <file>', 'write the report to a file as well')
  .option('--dir <folder>', 'where images and sockets go (default: /dev/shm when it is a tmpfs)')
  .option(
    '--size <size>',
    'device size (default: 512MiB, quick: 128MiB); with --resync, what the member misses (default: 1GiB, quick: 128MiB)',
    sizeFlag,
  )
  .option('--rounds <count>', 'runs per workload and subject', countFlag, ROUNDS)
  .option('--time <duration>', 'duration of a run (default: 2s, quick: 400ms; with --resync 8s, quick: 1s)', durationFlag)
  .addOption(new Option('--transport <kind>', 'between our daemons').choices(['unix', 'tcp']).default('unix'))
  .option('--only <pattern>', 'only workloads whose name matches this regular expression', patternFlag)
  .option('--subjects <pattern>', 'only subjects whose name matches this regular expression', patternFlag)
  .option('--gluster <host:volume>', 'a GlusterFS volume on a loopback host that may be overwritten')
  .option('--rbd <pool/image>', 'a Ceph RBD image with loopback monitors that may be overwritten')
  .option('--list', 'print the workloads and subjects and measure nothing')
  .version('0.1.0')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : OPERATION_ERRORS.INVALID_ARGUMENT.exit));

function flagParser<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError(errorMessage(error));
    }
  };
}

function sizeFlag(text: string): number {
  return flagParser(parseSize)(text);
}

function durationFlag(text: string): number {
  return flagParser(parseDuration)(text);
}

function patternFlag(text: string): RegExp {
  return flagParser((pattern) => new RegExp(pattern))(text);
}

function countFlag(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError(`"${text}" is not a count from 1 to 9999`);
  return Number(text);
}

function defaultsOf(resync: boolean, quick: boolean): Pick<BenchmarkOptions, 'sizeBytes' | 'runMs'> {
  if (resync && quick) return { sizeBytes: RESYNC_QUICK_SIZE_BYTES, runMs: RESYNC_QUICK_RUN_MS };
  if (resync) return { sizeBytes: RESYNC_SIZE_BYTES, runMs: RESYNC_RUN_MS };
  return quick ? { sizeBytes: QUICK_SIZE_BYTES, runMs: QUICK_RUN_MS } : { sizeBytes: FULL_SIZE_BYTES, runMs: FULL_RUN_MS };
}

function toOptions(flags: Flags): BenchmarkOptions {
  const quick = flags.quick === true;
  const defaults = defaultsOf(flags.resync === true, quick);
  return {
    compare: flags.compare === true,
    quick,
    folder: flags.dir,
    sizeBytes: flags.size ?? defaults.sizeBytes,
    rounds: flags.rounds,
    runMs: flags.time ?? defaults.runMs,
    transport: flags.transport,
    only: flags.only,
    subjects: flags.subjects,
    gluster: flags.gluster,
    rbd: flags.rbd,
  };
}

async function main(): Promise<number> {
  const flags = command.parse().opts<Flags>();
  const options = toOptions(flags);
  if (options.sizeBytes < 64 * MIB || options.sizeBytes % MIB !== 0) {
    throw new OperationError('INVALID_ARGUMENT', '--size has to be whole MiB and at least 64MiB');
  }
  if (flags.list === true) {
    for (const workload of selectWorkloads(options)) console.log(`workload\t${workload.name}`);
    for (const kind of selectSubjects(options)) console.log(`subject\t${kind.name}\t${kind.missing() ?? 'can be measured'}`);
    return 0;
  }
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort());
  try {
    const run = flags.resync === true ? runResyncBenchmark : runBenchmark;
    const report = await run(options, interrupted.signal, (text) => console.error(`bench: ${text}`));
    const markdown = toMarkdown(report);
    console.log(markdown);
    if (flags.markdown !== undefined) writeFileSync(flags.markdown, markdown);
    if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(report, null, 2)}\n`);
    return 0;
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    console.error('bench: interrupted; processes and files are gone');
    return EXIT_INTERRUPTED;
  }
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(`bench: ${errorMessage(error)}`);
    process.exit(error instanceof OperationError ? OPERATION_ERRORS[error.code].exit : 1);
  },
);
