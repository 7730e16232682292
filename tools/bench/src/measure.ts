import { join } from 'node:path';
import { KIB } from '@rmr/runtime';
import { type FioResult, runFio } from './fio.ts';
import { cpuSeconds, type MemoryUse, memoryUse } from './process-usage.ts';
import type { ResyncMeasurements } from './resync-figures.ts';
import { isOurs, type Subject, type SubjectProcess } from './subject.ts';
import type { Workload } from './workloads.ts';

/**
 * Runs every workload on every subject, `rounds` times, the subjects taking turns within each workload and the workloads
 * within each round: a slow minute of the machine hits all of them, and costs each a round rather than its median.
 * Every other round goes backwards, so that no subject always comes after the same neighbour. The sweep over request sizes
 * compares this project with itself, so the peers don't run it.
 */
export async function measure(
  subjects: readonly Subject[],
  workloads: readonly Workload[],
  options: MeasureOptions,
): Promise<Measurements> {
  const memory = new Map<number, ProcessMemory>();
  const scratchPath = join(options.scratchFolder, 'fio.json');
  for (const subject of subjects) {
    options.onProgress(`warming up ${subject.name}`);
    await measureOnce(subject, WARM_UP, { ...options, runMs: warmUpMs(subject, options.runMs) }, scratchPath);
  }
  const turns = workloads.flatMap((workload) =>
    subjects
      .filter((subject) => workload.group !== 'request sizes' || isOurs(subject.name))
      .map((subject) => ({ workload, subject, runs: [] as Run[] })),
  );
  for (let round = 1; round <= options.rounds; round++) {
    for (const [index, { workload, subject, runs }] of (round % 2 === 1 ? turns : turns.toReversed()).entries()) {
      options.signal.throwIfAborted();
      options.onProgress(`round ${round}/${options.rounds} · ${index + 1}/${turns.length} · ${workload.name} · ${subject.name}`);
      runs.push(await measureOnce(subject, workload, options, scratchPath));
      for (const each of subject.processes) memory.set(each.pid, largest(subject, each, memory.get(each.pid)));
    }
  }
  return {
    series: turns.map(({ workload, subject, runs }) => ({ workload, subject: subject.name, runs })),
    memory: [...memory.values()],
  };
}

/** One run of one workload on one subject. */
export interface Run extends FioResult {
  /** CPU seconds per 100,000 requests, by role; null when the subject has no such daemon of ours to look at. */
  readonly clientCpuPer100k: number | null;
  readonly storageCpuPer100k: number | null;
}

/** All runs of one workload on one subject, one per round. */
export interface Series {
  readonly workload: Workload;
  readonly subject: string;
  readonly runs: readonly Run[];
}

/** Memory of one daemon: the largest seen after a run, and the kernel's high-water mark. */
export interface ProcessMemory extends MemoryUse {
  readonly subject: string;
  readonly process: string;
  readonly role: SubjectProcess['role'];
}

/** How long and how often. */
export interface MeasureOptions {
  readonly rounds: number;
  readonly runMs: number;
  readonly sizeBytes: number;
  readonly scratchFolder: string;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/**
 * What every subject does before it is measured, unrecorded. A daemon that has just started compiles its code while it
 * works, and the first write to a region of a device costs more than the next ones; neither lasts.
 */
const WARM_UP: Workload = {
  name: 'warm-up',
  pattern: 'randrw',
  readPercent: 50,
  blockBytes: 4 * KIB,
  depth: 32,
  connections: 1,
  group: 'workloads',
};
/** How long the warm-up takes at most, in milliseconds: a JavaScript engine needs some 100,000 requests before it has compiled what matters. */
const WARM_UP_MS_MAX = 4_000;
/** How long it takes in runs, where they are short. */
const WARM_UP_RUNS = 10;

/** What came out. */
export interface Measurements {
  readonly series: readonly Series[];
  readonly memory: readonly ProcessMemory[];
  /** What `--resync` measured, which measures nothing else. */
  readonly resync?: ResyncMeasurements;
}

/** The peers are compiled already. */
function warmUpMs(subject: Subject, runMs: number): number {
  return isOurs(subject.name) ? Math.min(runMs * WARM_UP_RUNS, WARM_UP_MS_MAX) : runMs;
}

async function measureOnce(subject: Subject, workload: Workload, options: MeasureOptions, scratchPath: string): Promise<Run> {
  const before = cpuOf(subject);
  const result = await runFio(subject.target, workload, options.sizeBytes, options.runMs, scratchPath, options.signal);
  const after = cpuOf(subject);
  const per100k = (role: SubjectProcess['role']): number | null => {
    if (!subject.processes.some((each) => each.role === role)) return null;
    return ((after[role] - before[role]) / result.operations) * 100_000;
  };
  return { ...result, clientCpuPer100k: per100k('client'), storageCpuPer100k: per100k('storage') };
}

function cpuOf(subject: Subject): Record<SubjectProcess['role'], number> {
  const seconds = { client: 0, storage: 0 };
  for (const each of subject.processes) seconds[each.role] += cpuSeconds(each.pid);
  return seconds;
}

function largest(subject: Subject, each: SubjectProcess, before: ProcessMemory | undefined): ProcessMemory {
  const now = memoryUse(each.pid);
  return {
    subject: subject.name,
    process: each.name,
    role: each.role,
    residentBytes: Math.max(now.residentBytes, before?.residentBytes ?? 0),
    residentBytesMax: Math.max(now.residentBytesMax, before?.residentBytesMax ?? 0),
  };
}
