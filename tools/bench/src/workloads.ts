import { formatSize, KIB, MIB } from '@rmr/runtime';

/** What fio does in one run. */
export interface Workload {
  readonly name: string;
  readonly pattern: 'randread' | 'randwrite' | 'read' | 'write' | 'randrw';
  /** Percent of reads, for `randrw`. */
  readonly readPercent?: number;
  readonly blockBytes: number;
  /** Requests in flight over all connections. */
  readonly depth: number;
  readonly connections: number;
  /** Which table of the report it belongs to. */
  readonly group: 'workloads' | 'request sizes';
}

/** Bytes in flight while the request size is swept, so that only the size changes. */
export const SWEEP_BYTES_IN_FLIGHT = 16 * MIB;
/** More requests than this in flight tell nothing new: every server's own queue is shorter. It binds for 4 KiB and 16 KiB. */
export const SWEEP_DEPTH_MAX = 512;

const SWEEP_BLOCK_BYTES = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 8 * MIB];

function named(workload: Omit<Workload, 'name' | 'group'>): Workload {
  const kinds = { randread: 'random read', randwrite: 'random write', read: 'sequential read', write: 'sequential write', randrw: 'mixed' };
  const mix = workload.readPercent === undefined ? '' : ` ${workload.readPercent}/${100 - workload.readPercent}`;
  const connections = workload.connections === 1 ? '' : `, ${workload.connections} connections`;
  const name = `${formatSize(workload.blockBytes)} ${kinds[workload.pattern]}${mix}, depth ${workload.depth}${connections}`;
  return { ...workload, name, group: 'workloads' };
}

const BASE: readonly Omit<Workload, 'name' | 'group' | 'connections'>[] = [
  { pattern: 'randwrite', blockBytes: 4 * KIB, depth: 1 },
  { pattern: 'randread', blockBytes: 4 * KIB, depth: 1 },
  { pattern: 'randwrite', blockBytes: 4 * KIB, depth: 32 },
  { pattern: 'randread', blockBytes: 4 * KIB, depth: 32 },
  { pattern: 'randrw', readPercent: 70, blockBytes: 4 * KIB, depth: 32 },
  { pattern: 'write', blockBytes: 128 * KIB, depth: 16 },
  { pattern: 'read', blockBytes: 128 * KIB, depth: 16 },
  { pattern: 'write', blockBytes: MIB, depth: 8 },
  { pattern: 'read', blockBytes: MIB, depth: 8 },
];

/** What a client does while a member resyncs: shallow, so that it is latency that suffers and not the queue. */
export const FOREGROUND: Workload = named({ pattern: 'randrw', readPercent: 50, blockBytes: 4 * KIB, depth: 4, connections: 1 });

const SWEEP: readonly Workload[] = SWEEP_BLOCK_BYTES.map((blockBytes) => {
  const depth = Math.min(SWEEP_BYTES_IN_FLIGHT / blockBytes, SWEEP_DEPTH_MAX);
  const name = `sweep: ${formatSize(blockBytes)} sequential write, depth ${depth}`;
  return { name, pattern: 'write', blockBytes, depth, connections: 1, group: 'request sizes' };
});

/** Everything: one and four connections, and the sweep over request sizes. */
export const FULL_WORKLOADS: readonly Workload[] = [
  ...BASE.map((workload) => named({ ...workload, connections: 1 })),
  ...BASE.filter((workload) => workload.depth > 1).map((workload) => named({ ...workload, connections: 4 })),
  ...SWEEP,
];

/** What the first milestones need. */
export const QUICK_WORKLOADS: readonly Workload[] = [
  ...BASE.filter((workload) => workload.pattern !== 'randrw' && workload.blockBytes !== 128 * KIB).map((workload) =>
    named({ ...workload, connections: 1 }),
  ),
  ...SWEEP,
];
