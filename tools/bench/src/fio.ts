import { readFileSync, rmSync } from 'node:fs';
import { MIB, OperationError } from '@rmr/runtime';
import { runToEnd } from './processes.ts';
import type { Workload } from './workloads.ts';

/** The outcome of one fio run. */
export interface FioResult {
  readonly operations: number;
  readonly iops: number;
  readonly bytesPerSecond: number;
  /** Completion latency in microseconds. */
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
}

/** Which device fio talks to: its ioengine and the engine's options. */
export type FioTarget = readonly string[];

/** fio's arguments for a workload on a device of `sizeBytes`. Each connection is a job; the depth is shared out among them. */
export function fioArguments(target: FioTarget, workload: Workload, sizeBytes: number, runMs: number): string[] {
  const { connections, depth, pattern } = workload;
  if (depth % connections !== 0) throw new RangeError('the depth is not divisible by the connections');
  const args = [
    '--name=bench',
    ...target,
    `--rw=${pattern}`,
    `--bs=${workload.blockBytes}`,
    `--iodepth=${depth / connections}`,
    `--numjobs=${connections}`,
    '--time_based',
    `--runtime=${runMs}ms`,
    '--randrepeat=0',
    '--norandommap',
    '--group_reporting',
    '--unified_rw_reporting=mixed',
    '--percentile_list=50:99:99.9',
    '--output-format=json',
  ];
  if (workload.readPercent !== undefined) args.push(`--rwmixread=${workload.readPercent}`);
  // Sequential jobs go through a part of the device each, so that they neither collide nor read one another's cache.
  const partBytes = sequential(pattern) ? Math.floor(sizeBytes / connections / MIB) * MIB : sizeBytes;
  args.push(`--size=${partBytes}`);
  if (sequential(pattern) && connections > 1) args.push(`--offset_increment=${partBytes}`);
  return args;
}

function sequential(pattern: Workload['pattern']): boolean {
  return pattern === 'read' || pattern === 'write';
}

/** The result in fio's JSON output. Throws when a job reports an error or did nothing. */
export function parseFioOutput(text: string): FioResult {
  const output = JSON.parse(text) as { jobs?: readonly FioJob[] };
  const job = output.jobs?.[0];
  if (job === undefined || output.jobs?.length !== 1) throw new OperationError('IO_ERROR', 'fio did not report exactly one group of jobs');
  if (job.error !== 0) throw new OperationError('IO_ERROR', `fio reports error ${job.error} (an errno) from the device`);
  const { total_ios: operations, iops, bw_bytes: bytesPerSecond, clat_ns: latency } = job.mixed;
  if (operations === 0) throw new OperationError('TIMEOUT', 'fio completed no request at all');
  const percentileUs = (key: string): number => {
    const nanoseconds = latency.percentile?.[key];
    if (nanoseconds === undefined) throw new OperationError('IO_ERROR', `fio reported no percentile ${key}`);
    return nanoseconds / 1000;
  };
  return {
    operations,
    iops,
    bytesPerSecond,
    p50Us: percentileUs('50.000000'),
    p99Us: percentileUs('99.000000'),
    p999Us: percentileUs('99.900000'),
  };
}

interface FioJob {
  readonly error: number;
  readonly mixed: {
    readonly total_ios: number;
    readonly iops: number;
    readonly bw_bytes: number;
    readonly clat_ns: { readonly percentile?: Readonly<Record<string, number>> };
  };
}

/** Runs one workload. `scratchPath` is a file that fio may write its report to. */
export async function runFio(
  target: FioTarget,
  workload: Workload,
  sizeBytes: number,
  runMs: number,
  scratchPath: string,
  signal: AbortSignal,
): Promise<FioResult> {
  // fio's engines talk on standard output too, so the report goes to a file.
  rmSync(scratchPath, { force: true });
  await runToEnd('fio', [...fioArguments(target, workload, sizeBytes, runMs), `--output=${scratchPath}`], signal);
  return parseFioOutput(readFileSync(scratchPath, 'utf8'));
}

/** Fills the whole device with random data. */
export async function fillWithRandomData(target: FioTarget, sizeBytes: number, signal: AbortSignal): Promise<void> {
  const args = [
    '--name=fill',
    ...target,
    '--rw=write',
    '--bs=1M',
    '--iodepth=8',
    `--size=${sizeBytes}`,
    '--refill_buffers',
    '--randrepeat=0',
  ];
  await runToEnd('fio', [...args, '--end_fsync=1', '--output-format=terse'], signal);
}
