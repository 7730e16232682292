import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { KIB, MIB, OperationError } from '@rmr/runtime';
import type { BenchmarkOptions } from './benchmark.ts';
import { Cleanup } from './cleanup.ts';
import { clusterSubject } from './cluster-subject.ts';
import { type FioResult, type FioTarget, fillWithRandomData, runFio } from './fio.ts';
import { createFolder, fileSystemOf } from './medium.ts';
import { COPY_IMAGES, startCopy, whyNoCopy } from './nbdcopy.ts';
import { findProgram, startBackground } from './processes.ts';
import { createReport, type Report } from './report.ts';
import type { ForegroundRound, ResyncRun } from './resync-figures.ts';
import { ReturningMember } from './returning-member.ts';
import { FOREGROUND } from './workloads.ts';

const REPLICAS = 2;
/** Where the trickle writes, at the end of the device. */
const TRICKLE_BYTES = MIB;
/** Writes per second of the trickle: the member learns within this fraction of a second that there is client IO. */
const TRICKLE_IOPS = 100;
/** A trickle is stopped long before; one that is forgotten ends some day. */
const TRICKLE_SECONDS_MAX = 3600;

/** What to run. `sizeBytes` is what the member misses in every round. */
export type ResyncBenchmarkOptions = Pick<BenchmarkOptions, 'folder' | 'sizeBytes' | 'rounds' | 'runMs' | 'transport'>;

/**
 * Measures resync: how fast it is, against nbdcopy where that is installed, and what it does to foreground IO while it is
 * throttled as it is by default. After every resync the members have to be byte-identical. Leaves no process and no file
 * behind, also when `signal` aborts it or something fails. Throws UNSUPPORTED (no fio), NO_SPACE, TIMEOUT, INVALID_ARGUMENT,
 * IO_ERROR (members differ, among others).
 */
export async function runResyncBenchmark(
  options: ResyncBenchmarkOptions,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): Promise<Report> {
  if (findProgram('fio') === null) throw new OperationError('UNSUPPORTED', 'fio is not installed; on Debian: apt-get install fio');
  const { sizeBytes: missedBytes, rounds, runMs, transport } = options;
  const whyNot = whyNoCopy();
  const notMeasured = whyNot === null ? [] : [{ name: 'nbdcopy', why: whyNot }];
  const foregroundBytes = missedBytes / 2;
  const sizeBytes = missedBytes + foregroundBytes + TRICKLE_BYTES;

  const cleanup = new Cleanup();
  try {
    const imageBytes = REPLICAS * sizeBytes + (whyNot === null ? COPY_IMAGES * missedBytes : 0);
    const folder = createFolder(options.folder, imageBytes, cleanup);
    const place = (name: string): string => {
      mkdirSync(join(folder, name));
      return join(folder, name);
    };
    const kind = clusterSubject(REPLICAS, transport);
    onProgress(`starting and filling ${kind.name}`);
    const clusterFolder = place('0');
    const subject = await kind.start({ folder: clusterFolder, sizeBytes, cleanup, signal });
    const pool: Pool = {
      member: new ReturningMember(clusterFolder, signal),
      target: subject.target,
      missedBytes,
      foregroundBytes,
      runMs,
      folder,
      cleanup,
      signal,
    };
    const copy = whyNot === null ? await startCopy({ folder: place('1'), sizeBytes: missedBytes, cleanup, signal }) : null;

    const runs: ResyncRun[] = [];
    const copies: number[] = [];
    const foreground: ForegroundRound[] = [];
    const say = (round: number, what: string): void => {
      signal.throwIfAborted();
      onProgress(`round ${round}/${rounds} · ${what}`);
    };
    for (let round = 1; round <= rounds; round++) {
      const steps = [
        async () => {
          say(round, 'resync');
          runs.push(await resyncOnce(pool));
        },
        async () => {
          if (copy === null) return;
          say(round, 'nbdcopy');
          copies.push(await copy());
        },
      ];
      for (const step of inTurn(steps, round)) await step();
    }
    onProgress('warming up the foreground');
    await runForeground(pool);
    for (let round = 1; round <= rounds; round++) {
      foreground.push(await foregroundRound(pool, round, say));
    }
    const conditions = { folder, fileSystem: fileSystemOf(folder), sizeBytes, rounds, runMs };
    const measurements = { series: [], memory: [], resync: { missedBytes, runs, copies, foreground } };
    return createReport(conditions, [subject], notMeasured, measurements);
  } finally {
    onProgress('cleaning up');
    await cleanup.run();
  }
}

/**
 * A replicated device in three parts: what the member misses; what foreground IO works on, which it does not miss; and what
 * the trickle writes to.
 */
interface Pool {
  readonly member: ReturningMember;
  readonly target: FioTarget;
  readonly missedBytes: number;
  readonly foregroundBytes: number;
  readonly runMs: number;
  readonly folder: string;
  readonly cleanup: Cleanup;
  readonly signal: AbortSignal;
}

/** Every other round goes backwards, so that no step always comes after the same other one. */
function inTurn<Step>(steps: readonly Step[], round: number): readonly Step[] {
  return round % 2 === 1 ? steps : steps.toReversed();
}

async function resyncOnce({ member, target, missedBytes, signal }: Pool): Promise<ResyncRun> {
  await member.kill();
  await fillWithRandomData(target, missedBytes, signal);
  const run = await member.startAndResync();
  await member.converge();
  return run;
}

async function foregroundRound(pool: Pool, round: number, say: (round: number, what: string) => void): Promise<ForegroundRound> {
  let healthy: FioResult | undefined;
  let during: Omit<ForegroundRound, 'healthy'> | undefined;
  const steps = [
    async () => {
      say(round, 'foreground, healthy');
      healthy = await withTrickle(pool, () => runForeground(pool));
    },
    async () => {
      say(round, 'foreground, during resync');
      during = await foregroundDuringResync(pool);
    },
  ];
  for (const step of inTurn(steps, round)) await step();
  return { healthy: healthy as FioResult, ...(during as Omit<ForegroundRound, 'healthy'>) };
}

async function foregroundDuringResync(pool: Pool): Promise<Omit<ForegroundRound, 'healthy'>> {
  const { member, target, missedBytes, signal } = pool;
  await member.kill();
  await fillWithRandomData(target, missedBytes, signal);
  const measured = await withTrickle(pool, async () => {
    await member.start();
    const leftBeforeBytes = await member.bytesLeft();
    const startedMs = performance.now();
    const during = await runForeground(pool);
    const leftAfterBytes = await member.bytesLeft();
    const resyncBytesPerSecond = ((leftBeforeBytes - leftAfterBytes) / (performance.now() - startedMs)) * 1000;
    return { during, leftBeforeBytes, leftAfterBytes, resyncBytesPerSecond };
  });
  await member.converge();
  return measured;
}

function runForeground({ target, missedBytes, foregroundBytes, runMs, folder, signal }: Pool): Promise<FioResult> {
  return runFio([...target, `--offset=${missedBytes}`], FOREGROUND, foregroundBytes, runMs, join(folder, 'fio.json'), signal);
}

/**
 * Works while something is written now and then. Resync is throttled while clients do IO: without it the member would pull
 * at full speed until fio is there, and a small resync would be over. The healthy runs get it as well.
 */
async function withTrickle<Result>(pool: Pool, work: () => Promise<Result>): Promise<Result> {
  const { target, missedBytes, foregroundBytes, folder, cleanup } = pool;
  const log = join(folder, 'trickle.log');
  const args = [
    '--name=trickle',
    ...target,
    '--rw=randwrite',
    `--bs=${4 * KIB}`,
    `--offset=${missedBytes + foregroundBytes}`,
    `--size=${TRICKLE_BYTES}`,
    `--rate_iops=${TRICKLE_IOPS}`,
    '--time_based',
    `--runtime=${TRICKLE_SECONDS_MAX}`,
  ];
  const trickle = startBackground('fio', args, log, cleanup);
  try {
    const result = await work();
    if (trickle.child.exitCode !== null) throw new OperationError('IO_ERROR', `the trickle of writes ended before its time; see ${log}`);
    return result;
  } finally {
    await trickle.stop();
  }
}
