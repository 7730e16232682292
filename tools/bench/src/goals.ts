import { KIB, MIB } from '@rmr/runtime';
import type { ProcessMemory, Series } from './measure.ts';
import { copyRatio, foregroundRatio, type ResyncMeasurements } from './resync-figures.ts';
import { median, type RatioWithSpread, ratioOfMedians } from './statistics.ts';
import { isOurs, OUR_NAME_PREFIX } from './subject.ts';
import type { Workload } from './workloads.ts';

/** The subject that the goals are about. */
export const GOAL_SUBJECT = `${OUR_NAME_PREFIX}2`;
/** No daemon may be larger than this while it is measured. */
export const DAEMON_BYTES_MAX = 200 * MIB;
/** In the sweep, throughput counts as falling when it is below this part of what a smaller request size reached. */
export const SWEEP_TOLERANCE = 0.85;

/** A ratio against a peer that the project has set itself. `iops`: at least; `p50Us`: at most. */
interface Goal {
  readonly pattern: Workload['pattern'];
  readonly blockBytes: number;
  readonly depth: number;
  readonly peer: string;
  readonly metric: 'iops' | 'p50Us';
  /** The first milestone, where there is one. */
  readonly milestone: number | null;
  /** Where it has to end. */
  readonly target: number;
}

const GOALS: readonly Goal[] = [
  { pattern: 'randwrite', blockBytes: 4 * KIB, depth: 32, peer: 'qemu quorum', metric: 'iops', milestone: 2, target: 4 },
  { pattern: 'randwrite', blockBytes: 4 * KIB, depth: 32, peer: 'qemu-nbd', metric: 'iops', milestone: null, target: 1.2 },
  { pattern: 'randwrite', blockBytes: 4 * KIB, depth: 32, peer: 'nbdkit memory', metric: 'iops', milestone: null, target: 0.4 },
  { pattern: 'randwrite', blockBytes: 4 * KIB, depth: 32, peer: 'Ceph RBD ×2', metric: 'iops', milestone: null, target: 10 },
  { pattern: 'randwrite', blockBytes: 4 * KIB, depth: 32, peer: 'GlusterFS ×2', metric: 'iops', milestone: null, target: 6 },
  { pattern: 'randread', blockBytes: 4 * KIB, depth: 32, peer: 'qemu quorum', metric: 'iops', milestone: null, target: 6 },
  { pattern: 'randread', blockBytes: 4 * KIB, depth: 32, peer: 'qemu-nbd', metric: 'iops', milestone: null, target: 2 },
  { pattern: 'randread', blockBytes: 4 * KIB, depth: 32, peer: 'nbdkit file', metric: 'iops', milestone: null, target: 0.8 },
  { pattern: 'randread', blockBytes: 4 * KIB, depth: 32, peer: 'Ceph RBD ×2', metric: 'iops', milestone: null, target: 3 },
  { pattern: 'randread', blockBytes: 4 * KIB, depth: 32, peer: 'GlusterFS ×2', metric: 'iops', milestone: null, target: 3 },
  { pattern: 'randwrite', blockBytes: 4 * KIB, depth: 1, peer: 'qemu quorum', metric: 'p50Us', milestone: 1.2, target: 0.8 },
  { pattern: 'randread', blockBytes: 4 * KIB, depth: 1, peer: 'qemu quorum', metric: 'p50Us', milestone: null, target: 0.8 },
  { pattern: 'write', blockBytes: 128 * KIB, depth: 16, peer: 'qemu quorum', metric: 'iops', milestone: null, target: 1.3 },
  { pattern: 'read', blockBytes: 128 * KIB, depth: 16, peer: 'qemu quorum', metric: 'iops', milestone: null, target: 1.3 },
  { pattern: 'write', blockBytes: MIB, depth: 8, peer: 'qemu quorum', metric: 'iops', milestone: 1, target: 1.3 },
  { pattern: 'read', blockBytes: MIB, depth: 8, peer: 'qemu quorum', metric: 'iops', milestone: null, target: 1.3 },
  { pattern: 'write', blockBytes: MIB, depth: 8, peer: 'Ceph RBD ×2', metric: 'iops', milestone: null, target: 1.5 },
  { pattern: 'read', blockBytes: MIB, depth: 8, peer: 'Ceph RBD ×2', metric: 'iops', milestone: null, target: 1.5 },
];

/** Speed of resync as a part of that of nbdcopy between two file servers: at least. */
const RESYNC_SPEED = { milestone: 0.5, target: 0.8 };
/** p99 of foreground IO while resync is throttled as it is by default, as a multiple of p99 when healthy: at most. */
const RESYNC_FOREGROUND = { milestone: 3, target: 2 };

/** One goal, judged. */
export interface Verdict {
  readonly goal: string;
  /** What was measured, for people. */
  readonly measured: string;
  readonly spread: RatioWithSpread | null;
  /** Null when there is no milestone. */
  readonly milestoneMet: boolean | null;
  readonly targetMet: boolean;
}

/** Judges what these measurements allow to be judged. */
export function judge(series: readonly Series[], memory: readonly ProcessMemory[], resync?: ResyncMeasurements): Verdict[] {
  const verdicts = GOALS.flatMap((goal) => judgeRatio(goal, series));
  return [...verdicts, ...judgeSweep(series), ...judgeMemory(memory), ...(resync === undefined ? [] : judgeResync(resync))];
}

function judgeRatio(goal: Goal, series: readonly Series[]): Verdict[] {
  const matching = series.filter(
    ({ workload }) =>
      workload.group === 'workloads' &&
      workload.connections === 1 &&
      workload.pattern === goal.pattern &&
      workload.blockBytes === goal.blockBytes &&
      workload.depth === goal.depth,
  );
  const ours = matching.find((each) => each.subject === GOAL_SUBJECT);
  const theirs = matching.find((each) => each.subject === goal.peer);
  if (ours === undefined || theirs === undefined) return [];
  const values = (each: Series): number[] => each.runs.map((run) => run[goal.metric]);
  const spread = ratioOfMedians(values(ours), values(theirs));
  if (spread === null) return [];
  const met = (bound: number): boolean => (goal.metric === 'iops' ? spread.ratio >= bound : spread.ratio <= bound);
  const sign = goal.metric === 'iops' ? '≥' : '≤';
  const milestone = goal.milestone === null ? '' : `, first milestone ${sign} ${goal.milestone}×`;
  return [
    {
      goal: `${ours.workload.name}: ${goal.metric === 'iops' ? 'rate' : 'p50 latency'} ${sign} ${goal.target}× ${goal.peer}${milestone}`,
      measured: formatRatio(spread),
      spread,
      milestoneMet: goal.milestone === null ? null : met(goal.milestone),
      targetMet: met(goal.target),
    },
  ];
}

function judgeSweep(series: readonly Series[]): Verdict[] {
  const sweep = series
    .filter((each) => each.subject === GOAL_SUBJECT && each.workload.group === 'request sizes')
    .sort((a, b) => a.workload.blockBytes - b.workload.blockBytes);
  if (sweep.length < 2) return [];
  const speeds = sweep.map((each) => median(each.runs.map((run) => run.bytesPerSecond)) / MIB);
  let highest = 0;
  let falls = false;
  for (const speed of speeds) {
    falls ||= speed < highest * SWEEP_TOLERANCE;
    highest = Math.max(highest, speed);
  }
  return [
    {
      goal: 'sequential write: throughput does not fall as the request size rises from 4 KiB to 8 MiB',
      measured: `${speeds.map((speed) => Math.round(speed)).join(' → ')} MiB/s`,
      spread: null,
      milestoneMet: !falls,
      targetMet: !falls,
    },
  ];
}

function judgeMemory(memory: readonly ProcessMemory[]): Verdict[] {
  const ours = memory.filter((each) => isOurs(each.subject));
  if (ours.length === 0) return [];
  const largest = Math.max(...ours.map((each) => each.residentBytesMax));
  const met = largest < DAEMON_BYTES_MAX;
  return [
    {
      goal: `memory of each daemon stays below ${DAEMON_BYTES_MAX / MIB} MiB`,
      measured: `${Math.round(largest / MIB)} MiB at most`,
      spread: null,
      milestoneMet: met,
      targetMet: met,
    },
  ];
}

function judgeResync(resync: ResyncMeasurements): Verdict[] {
  const verdicts: Verdict[] = [];
  const speed = copyRatio(resync);
  if (speed !== null) {
    verdicts.push({
      goal: `resync: rate ≥ ${RESYNC_SPEED.target}× nbdcopy between two nbdkit file servers, first milestone ≥ ${RESYNC_SPEED.milestone}×`,
      measured: formatRatio(speed),
      spread: speed,
      milestoneMet: speed.ratio >= RESYNC_SPEED.milestone,
      targetMet: speed.ratio >= RESYNC_SPEED.target,
    });
  }
  const foreground = foregroundRatio(resync);
  if (foreground !== null) {
    verdicts.push({
      goal: `foreground p99 latency during throttled resync ≤ ${RESYNC_FOREGROUND.target}× healthy, first milestone ≤ ${RESYNC_FOREGROUND.milestone}×`,
      measured: formatRatio(foreground),
      spread: foreground,
      milestoneMet: foreground.ratio <= RESYNC_FOREGROUND.milestone,
      targetMet: foreground.ratio <= RESYNC_FOREGROUND.target,
    });
  }
  return verdicts;
}

/** `2.31× (1.90–2.75)`. */
export function formatRatio(spread: RatioWithSpread): string {
  return `${spread.ratio.toFixed(2)}× (${spread.low.toFixed(2)}–${spread.high.toFixed(2)})`;
}
