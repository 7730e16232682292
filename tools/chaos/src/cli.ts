import { appendFileSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { errorMessage, GIB, OperationError } from '@rmr/runtime';
import { programVersion } from '@rmr/runtime/cli';
import { Command } from 'commander';
import { Chaos } from './chaos.ts';
import { FAULT_KINDS, parseFaultKinds } from './fault-plan.ts';

/** Seeds that are drawn: short enough to be typed. */
const SEED_MAX = 1_000_000_000;
/** Members of a pool at most. */
const REPLICAS_MAX = 8;
/** What `statfs` calls a tmpfs. */
const TMPFS_MAGIC = 0x01021994;
/** Free space that a run needs, generously. */
const SPACE_BYTES_NEEDED = GIB;

/** In CI nothing may be left out for want of a program. */
const COMPLETE = ['true', '1'].includes(process.env['CI'] ?? '');

interface Flags {
  readonly minutes: string;
  readonly seed?: string;
  readonly replicas: string;
  readonly quorum: string;
  readonly witness?: true;
  readonly volatileCache?: true;
  readonly faults?: string;
  readonly dir?: string;
  readonly keep?: true;
}

/** The command line of the tool. */
export function buildProgram(): Command {
  return new Command('chaos')
    .description(
      'Runs a cluster of real processes under load while it kills, pauses and cuts them off, and checks that no acknowledged byte is lost, no block flips, the members agree, and everything becomes well again by itself.',
    )
    .version(programVersion(), '-V, --version')
    .option('--minutes <number>', 'how long', '2')
    .option('--seed <number>', 'repeat the faults and the load of a former run (their timing is never quite the same)')
    .option('--replicas <number>', 'members of the pool', '2')
    .option('--quorum <policy>', 'none or majority', 'none')
    .option('--witness', 'a storage node more, without data, which votes')
    .option('--volatile-cache', 'stores forget what was not flushed when their storage node dies')
    .option('--faults <list>', `kinds of faults, separated by commas (default: all of ${FAULT_KINDS.join(',')})`)
    .option('--dir <dir>', 'where the cluster is; it is kept (default: a temporary directory that is removed after a success)')
    .option('--keep', 'keep the temporary directory after a success, too')
    .addHelpText(
      'after',
      '\nThe last line of standard output is a JSON object with the totals. Exit code 0: everything held; 1: something did not, the directory is kept.',
    )
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const minutes = numberIn('--minutes', flags.minutes, 0, 100_000);
  const seed = flags.seed === undefined ? Math.floor(Math.random() * SEED_MAX) : wholeIn('--seed', flags.seed, 0, Number.MAX_SAFE_INTEGER);
  const replicas = wholeIn('--replicas', flags.replicas, 1, REPLICAS_MAX);
  const quorum = quorumOf(flags.quorum);
  const faults = flags.faults === undefined ? FAULT_KINDS : parseFaultKinds(flags.faults);
  const directory = flags.dir === undefined ? mkdtempSync(join(temporaryFolder(), 'rmr-chaos-')) : resolve(flags.dir);
  mkdirSync(join(directory, 'logs'), { recursive: true });
  const log = join(directory, 'logs', 'chaos.log');
  const say = (line: string): void => {
    process.stderr.write(`${line}\n`);
    appendFileSync(log, `${new Date().toISOString()} ${line}\n`);
  };
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort(new Error(`interrupted by ${name}`)));
  const cluster = { replicas, quorum, witness: flags.witness === true, volatileCache: flags.volatileCache === true };
  const totals = await Chaos.run({ minutes, seed, ...cluster, faults, complete: COMPLETE, directory, say, signal: interrupted.signal });
  if (totals.failure !== null) {
    const again = [`--seed ${seed} --minutes ${minutes} --replicas ${replicas} --quorum ${quorum}`];
    if (cluster.witness) again.push('--witness');
    if (cluster.volatileCache) again.push('--volatile-cache');
    if (flags.faults !== undefined) again.push(`--faults ${flags.faults}`);
    process.stderr.write(
      `\nFAILED: ${totals.failure}\n\nThe cluster's directory is kept: ${directory}\nLook at logs/chaos.log for what was done and when, logs/*.log for what the daemons say, logs/status-at-failure.json.\nThe same faults again: npm run -s chaos -- ${again.join(' ')}\n`,
    );
    process.exitCode = 1;
  } else if (flags.dir === undefined && flags.keep !== true) {
    rmSync(directory, { recursive: true, force: true });
  } else {
    process.stderr.write(`The cluster's directory is kept: ${directory}\n`);
  }
  process.stdout.write(`${JSON.stringify(totals)}\n`);
}

function quorumOf(text: string): 'none' | 'majority' {
  if (text === 'none' || text === 'majority') return text;
  throw new OperationError('INVALID_ARGUMENT', `--quorum "${text}": write none or majority`);
}

/** Memory where there is enough: what is tested are processes, not disks. */
function temporaryFolder(): string {
  try {
    const { type, bavail, bsize } = statfsSync('/dev/shm');
    return type === TMPFS_MAGIC && bavail * bsize >= SPACE_BYTES_NEEDED ? '/dev/shm' : tmpdir();
  } catch (error) {
    process.stderr.write(`/dev/shm can't be used: ${errorMessage(error)}\n`);
    return tmpdir();
  }
}

function numberIn(flag: string, text: string, min: number, max: number): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new OperationError('INVALID_ARGUMENT', `${flag} "${text}": write a number from ${min} to ${max}`);
}

function wholeIn(flag: string, text: string, min: number, max: number): number {
  const value = numberIn(flag, text, min, max);
  if (Number.isInteger(value)) return value;
  throw new OperationError('INVALID_ARGUMENT', `${flag} "${text}": write a whole number`);
}
