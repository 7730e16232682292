import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { OperationError } from '@rmr/runtime';
import { Cleanup } from './cleanup.ts';
import { clusterSubject } from './cluster-subject.ts';
import { distributedPeers } from './distributed-subjects.ts';
import { measure } from './measure.ts';
import { createFolder, fileSystemOf } from './medium.ts';
import { NBD_PEERS } from './peer-subjects.ts';
import { findProgram } from './processes.ts';
import { createReport, type Report } from './report.ts';
import type { Subject, SubjectKind } from './subject.ts';
import { FULL_WORKLOADS, QUICK_WORKLOADS, type Workload } from './workloads.ts';

/** What to run. */
export interface BenchmarkOptions {
  readonly compare: boolean;
  readonly quick: boolean;
  readonly folder: string | undefined;
  readonly sizeBytes: number;
  readonly rounds: number;
  readonly runMs: number;
  readonly transport: 'tcp' | 'unix';
  readonly only: RegExp | undefined;
  readonly subjects: RegExp | undefined;
  readonly gluster: string | undefined;
  readonly rbd: string | undefined;
}

/** The workloads that these options ask for. */
export function selectWorkloads(options: Pick<BenchmarkOptions, 'quick' | 'only'>): readonly Workload[] {
  const workloads = options.quick ? QUICK_WORKLOADS : FULL_WORKLOADS;
  return workloads.filter((workload) => options.only === undefined || options.only.test(workload.name));
}

/** The subjects that these options ask for, whether they can be had or not. */
export function selectSubjects(options: Omit<BenchmarkOptions, 'folder' | 'sizeBytes' | 'rounds' | 'runMs'>): readonly SubjectKind[] {
  const replicas = options.quick && options.compare ? [2] : [1, 2, 3];
  const kinds = replicas.map((count) => clusterSubject(count, options.transport));
  if (options.compare) kinds.push(...NBD_PEERS, ...distributedPeers(options));
  return kinds.filter((kind) => options.subjects === undefined || options.subjects.test(kind.name));
}

/**
 * Runs the benchmark. Leaves no process and no file behind, also when `signal` aborts it or something fails.
 * Throws INVALID_ARGUMENT, UNSUPPORTED (no fio), NO_SPACE, and what the subjects throw.
 */
export async function runBenchmark(options: BenchmarkOptions, signal: AbortSignal, onProgress: (text: string) => void): Promise<Report> {
  if (findProgram('fio') === null) throw new OperationError('UNSUPPORTED', 'fio is not installed; on Debian: apt-get install fio');
  const workloads = selectWorkloads(options);
  if (workloads.length === 0) throw new OperationError('INVALID_ARGUMENT', `no workload matches ${options.only}`);
  const selected = selectSubjects(options);
  const notMeasured = selected.flatMap((kind) => {
    const why = kind.missing();
    return why === null ? [] : [{ name: kind.name, why }];
  });
  const kinds = selected.filter((kind) => kind.missing() === null);
  if (kinds.length === 0) throw new OperationError('INVALID_ARGUMENT', 'none of the chosen subjects can be measured here');

  const cleanup = new Cleanup();
  try {
    const imageBytes = kinds.reduce((sum, kind) => sum + kind.copies * options.sizeBytes, 0);
    const folder = createFolder(options.folder, imageBytes, cleanup);
    const subjects: Subject[] = [];
    for (const [index, kind] of kinds.entries()) {
      signal.throwIfAborted();
      onProgress(`starting and filling ${kind.name}`);
      const own = join(folder, `${index}`);
      mkdirSync(own);
      subjects.push(await kind.start({ folder: own, sizeBytes: options.sizeBytes, cleanup, signal }));
    }
    const { rounds, runMs, sizeBytes } = options;
    const measurements = await measure(subjects, workloads, { rounds, runMs, sizeBytes, scratchFolder: folder, signal, onProgress });
    return createReport({ folder, fileSystem: fileSystemOf(folder), sizeBytes, rounds, runMs }, subjects, notMeasured, measurements);
  } finally {
    onProgress('cleaning up');
    await cleanup.run();
  }
}
