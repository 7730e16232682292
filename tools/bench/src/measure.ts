import { join } from 'node:path';
import { KIB } from '@rmr/runtime';
import { type FioResult, runFio } from './fio.ts';
import { cpuSeconds, type MemoryUse, memoryUse } from './process-usage.ts';
import { isOurs, type Subject, type SubjectProcess } from './subject.ts';
import type { Workload } from './workloads.ts';

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
}

/**
 * Runs every workload on every subject, `rounds` times, the subjects taking turns within each round: a slow minute
 * of the machine hits all of them. Every other round goes through them backwards, so that nobody always comes after
 * the same neighbour. The sweep over request sizes compares this project with itself, so the peers don't run it.
 */
export async function measure(
  allSubjects: readonly Subject[],
  workloads: readonly Workload[],
  options: MeasureOptions,
): Promise<Measurements> {
  const series: Series[] = [];
  const memory = new Map<number, ProcessMemory>();
  const scratchPath = join(options.scratchFolder, 'fio.json');
  for (const subject of allSubjects) {
    options.onProgress(`warming up ${subject.name}`);
    await measureOnce(subject, WARM_UP, { ...options, runMs: Math.min(options.runMs * WARM_UP_RUNS, WARM_UP_MS_MAX) }, scratchPath);
  }
  for (const [index, workload] of workloads.entries()) {
    const subjects = allSubjects.filter((subject) => workload.group !== 'request sizes' || isOurs(subject.name));
    const runs = subjects.map((): Run[] => []);
    for (let round = 0; round < options.rounds; round++) {
      for (let turn = 0; turn < subjects.length; turn++) {
        options.signal.throwIfAborted();
        const place = round % 2 === 0 ? turn : subjects.length - 1 - turn;
        const subject = subjects[place] as Subject;
        options.onProgress(`[${index + 1}/${workloads.length}] ${workload.name} · round ${round + 1}/${options.rounds} · ${subject.name}`);
        (runs[place] as Run[]).push(await measureOnce(subject, workload, options, scratchPath));
        for (const each of subject.processes) memory.set(each.pid, largest(subject, each, memory.get(each.pid)));
      }
    }
    for (const [place, subject] of subjects.entries()) series.push({ workload, subject: subject.name, runs: runs[place] as Run[] });
  }
  return { series, memory: [...memory.values()] };
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
