import { cpus, totalmem } from 'node:os';
import { formatSize, MIB } from '@rmr/runtime';
import type { FioResult } from './fio.ts';
import { formatRatio, GOAL_SUBJECT, judge, type Verdict } from './goals.ts';
import type { Measurements, Run, Series } from './measure.ts';
import { counts, type ResyncMeasurements } from './resync-figures.ts';
import { median, type RatioWithSpread, ratioOfMedians } from './statistics.ts';
import { isOurs, type Subject } from './subject.ts';
import { FOREGROUND } from './workloads.ts';

/** Everything that a benchmark run says; written as it is with `--json`. */
export interface Report {
  /** Counts incompatible changes of this object. */
  readonly format: 1;
  readonly date: string;
  readonly host: { readonly cpu: string; readonly cpus: number; readonly memoryBytes: number; readonly node: string };
  readonly conditions: {
    readonly folder: string;
    readonly fileSystem: string;
    readonly sizeBytes: number;
    readonly rounds: number;
    readonly runMs: number;
  };
  readonly subjects: readonly Omit<Subject, 'target'>[];
  readonly notMeasured: readonly { readonly name: string; readonly why: string }[];
  readonly series: readonly (Series & { readonly median: Run })[];
  readonly memory: Measurements['memory'];
  /** Null unless it was asked for with `--resync`. */
  readonly resync: ResyncMeasurements | null;
  readonly ratios: readonly Ratio[];
  readonly verdicts: readonly Verdict[];
}

/** The subject of the goals against a peer, in one workload. */
export interface Ratio {
  readonly workload: string;
  readonly peer: string;
  readonly rate: RatioWithSpread | null;
  readonly p50: RatioWithSpread | null;
}

/** Puts the report together. */
export function createReport(
  conditions: Report['conditions'],
  subjects: readonly Subject[],
  notMeasured: Report['notMeasured'],
  { series, memory, resync }: Measurements,
): Report {
  return {
    format: 1,
    date: new Date().toISOString(),
    host: { cpu: cpus()[0]?.model ?? 'unknown', cpus: cpus().length, memoryBytes: totalmem(), node: process.version },
    conditions,
    subjects: subjects.map(({ target: _target, ...subject }) => subject),
    notMeasured,
    series: series.map((each) => ({ ...each, median: medianRun(each.runs) })),
    memory,
    resync: resync ?? null,
    ratios: ratiosOf(series),
    verdicts: judge(series, memory, resync),
  };
}

function medianRun(runs: readonly Run[]): Run {
  const of = (key: Exclude<keyof Run, 'clientCpuPer100k' | 'storageCpuPer100k'>): number => median(runs.map((run) => run[key]));
  const cpuOf = (key: 'clientCpuPer100k' | 'storageCpuPer100k'): number | null => {
    const values = runs.map((run) => run[key]).filter((value) => value !== null);
    return values.length === 0 ? null : median(values);
  };
  return {
    operations: of('operations'),
    iops: of('iops'),
    bytesPerSecond: of('bytesPerSecond'),
    p50Us: of('p50Us'),
    p99Us: of('p99Us'),
    p999Us: of('p999Us'),
    clientCpuPer100k: cpuOf('clientCpuPer100k'),
    storageCpuPer100k: cpuOf('storageCpuPer100k'),
  };
}

function ratiosOf(series: readonly Series[]): Ratio[] {
  const ratios: Ratio[] = [];
  for (const ours of series.filter((each) => each.subject === GOAL_SUBJECT)) {
    for (const theirs of series) {
      if (theirs.workload !== ours.workload || isOurs(theirs.subject)) continue;
      const ratio = (key: 'iops' | 'p50Us'): RatioWithSpread | null =>
        ratioOfMedians(
          ours.runs.map((run) => run[key]),
          theirs.runs.map((run) => run[key]),
        );
      ratios.push({ workload: ours.workload.name, peer: theirs.subject, rate: ratio('iops'), p50: ratio('p50Us') });
    }
  }
  return ratios;
}

/** The report as Markdown. */
export function toMarkdown(report: Report): string {
  const { conditions, host } = report;
  const lines = [
    '# Benchmark',
    '',
    `${report.date}, ${host.cpus} × ${host.cpu}, Node.js ${host.node}. Images of ${formatSize(conditions.sizeBytes)} on ${conditions.fileSystem}`,
    `(${conditions.folder}), filled with random data; medians of ${conditions.rounds} alternating runs of ${conditions.runMs} ms.`,
    'Absolute figures mean little on a shared machine; ratios of medians do.',
    '',
    ...report.subjects.map((subject) => `- **${subject.name}**: ${subject.description}`),
    ...report.notMeasured.map(({ name, why }) => `- **${name}**: not measured, ${why}`),
    '',
  ];
  for (const group of ['workloads', 'request sizes'] as const) {
    const series = report.series.filter((each) => each.workload.group === group);
    if (series.length === 0) continue;
    lines.push(group === 'workloads' ? '## Workloads' : '## Request sizes', '', ...seriesTable(series), '');
  }
  if (report.ratios.length > 0) lines.push(`## ${GOAL_SUBJECT} against its peers`, '', ...ratioTable(report.ratios), '');
  if (report.memory.length > 0) lines.push('## Daemons', '', ...daemonTable(report), '');
  if (report.resync !== null) lines.push('## Resync', '', ...resyncSection(report.resync), '');
  if (report.verdicts.length > 0) lines.push('## Goals', '', ...verdictTable(report.verdicts), '');
  return lines.join('\n');
}

function seriesTable(series: Report['series']): string[] {
  const rows = series.map(({ workload, subject, median: run }) => [
    workload.name,
    subject,
    Math.round(run.iops).toLocaleString('en'),
    (run.bytesPerSecond / MIB).toFixed(1),
    formatUs(run.p50Us),
    formatUs(run.p99Us),
    formatUs(run.p999Us),
    formatCpu(run.clientCpuPer100k),
    formatCpu(run.storageCpuPer100k),
  ]);
  return table(['workload', 'subject', 'IOPS', 'MiB/s', 'p50', 'p99', 'p99.9', 'client CPU s/100k', 'storage CPU s/100k'], rows, 2);
}

function ratioTable(ratios: readonly Ratio[]): string[] {
  const text = (spread: RatioWithSpread | null): string => (spread === null ? '–' : formatRatio(spread));
  const rows = ratios.map((ratio) => [ratio.workload, ratio.peer, text(ratio.rate), text(ratio.p50)]);
  return table(['workload', 'peer', 'rate (spread; more is better)', 'p50 latency (spread; less is better)'], rows, 2);
}

function daemonTable(report: Report): string[] {
  const rows = report.memory.map((each) => [
    each.subject,
    each.process,
    (each.residentBytes / MIB).toFixed(0),
    (each.residentBytesMax / MIB).toFixed(0),
    each.role === 'client' || report.memory.every((other) => other.subject !== each.subject || other.role === 'storage')
      ? startUpText(report, each.subject)
      : '',
  ]);
  return table(['subject', 'daemon', 'resident MiB', 'peak MiB', 'start-up of the subject'], rows, 2);
}

function startUpText(report: Report, name: string): string {
  const subject = report.subjects.find((each) => each.name === name);
  return Object.entries(subject?.startUpMs ?? {})
    .map(([kind, milliseconds]) => `${kind}: ${Math.round(milliseconds)} ms`)
    .join(', ');
}

function resyncSection({ missedBytes, runs, copies, foreground }: ResyncMeasurements): string[] {
  const speedRow = (what: string, speeds: readonly number[]): string[][] =>
    speeds.length === 0 ? [] : [[what, formatSpeed(median(speeds)), speeds.map(formatSpeed).join(', ')]];
  const speeds = [
    ...speedRow(
      `resync of ${formatSize(missedBytes)} without other IO`,
      runs.map((run) => run.bytesPerSecond),
    ),
    ...speedRow('nbdcopy of as many bytes between two nbdkit file servers', copies),
  ];
  const latencyRow = (what: string, results: readonly FioResult[]): string[] => {
    const of = (key: keyof FioResult): number => median(results.map((result) => result[key]));
    return [what, Math.round(of('iops')).toLocaleString('en'), formatUs(of('p50Us')), formatUs(of('p99Us')), formatUs(of('p999Us'))];
  };
  const meanwhile = formatSpeed(median(foreground.map((round) => round.resyncBytesPerSecond)));
  const latencies = [
    latencyRow(
      'healthy',
      foreground.map((round) => round.healthy),
    ),
    latencyRow(
      `during resync, which pulls ${meanwhile} MiB/s`,
      foreground.map((round) => round.during),
    ),
  ];
  const voidRounds = foreground.flatMap((round, index) => (counts(round) ? [] : [index + 1]));
  return [
    ...table(['what', 'MiB/s', 'rounds'], speeds, 1),
    '',
    ...table([`foreground: ${FOREGROUND.name}`, 'IOPS', 'p50', 'p99', 'p99.9'], latencies, 1),
    '',
    voidRounds.length === 0
      ? 'Bytes were left to pull for as long as every foreground run lasted. After every resync the members were byte-identical.'
      : `**The foreground figures do not count**: in round ${voidRounds.join(', ')} resync stood still, or nothing was left of it when the run ended; ask for a larger --size or a shorter --time. After every resync the members were byte-identical.`,
  ];
}

function formatSpeed(bytesPerSecond: number): string {
  return (bytesPerSecond / MIB).toFixed(0);
}

function verdictTable(verdicts: readonly Verdict[]): string[] {
  const rows = verdicts.map((verdict) => [
    verdict.goal,
    verdict.measured,
    verdict.milestoneMet === null ? '–' : yesOrNo(verdict.milestoneMet),
    yesOrNo(verdict.targetMet),
  ]);
  return table(['goal', 'measured', 'milestone met', 'target met'], rows, 2);
}

function yesOrNo(claim: boolean): string {
  return claim ? 'yes' : '**no**';
}

function formatUs(microseconds: number): string {
  return microseconds < 10_000 ? `${microseconds.toFixed(0)} µs` : `${(microseconds / 1000).toFixed(1)} ms`;
}

function formatCpu(seconds: number | null): string {
  return seconds === null ? '–' : seconds.toFixed(2);
}

/** A Markdown table; columns from `firstNumeric` on are aligned to the right. */
function table(headings: readonly string[], rows: readonly (readonly string[])[], firstNumeric: number): string[] {
  const rule = headings.map((_, column) => (column < firstNumeric ? '---' : '---:'));
  return [headings, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`);
}
