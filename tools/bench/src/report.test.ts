import { KIB, MIB } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { judge } from './goals.ts';
import type { ProcessMemory, Run, Series } from './measure.ts';
import { createReport, toMarkdown } from './report.ts';
import type { ResyncMeasurements } from './resync-figures.ts';
import type { Subject } from './subject.ts';
import { FULL_WORKLOADS, type Workload } from './workloads.ts';

function workload(pattern: Workload['pattern'], blockBytes: number, depth: number): Workload {
  const found = FULL_WORKLOADS.find(
    (each) =>
      each.pattern === pattern &&
      each.blockBytes === blockBytes &&
      each.depth === depth &&
      each.connections === 1 &&
      each.group === 'workloads',
  );
  if (found === undefined) throw new Error('no such workload');
  return found;
}

function series(of: Workload, subject: string, iops: readonly number[], p50Us = 100): Series {
  const runs = iops.map(
    (rate): Run => ({
      operations: 1000,
      iops: rate,
      bytesPerSecond: rate * of.blockBytes,
      p50Us,
      p99Us: 2 * p50Us,
      p999Us: 3 * p50Us,
      clientCpuPer100k: null,
      storageCpuPer100k: 1.5,
    }),
  );
  return { workload: of, subject, runs };
}

function daemon(megabytes: number): ProcessMemory {
  return { subject: 'rmr ×2', process: 'client-1', role: 'client', residentBytes: MIB, residentBytesMax: megabytes * MIB };
}

function resync(bytesPerSecond: number, duringP99Us: number, leftAfterBytes: number): ResyncMeasurements {
  const result = { operations: 1000, iops: 4000, bytesPerSecond: MIB, p50Us: 900, p99Us: 1000, p999Us: 3000 };
  return {
    missedBytes: 64 * MIB,
    runs: [{ bytes: 64 * MIB, bytesPerSecond }],
    copies: [100 * MIB],
    foreground: [
      {
        healthy: result,
        during: { ...result, p99Us: duringP99Us },
        leftBeforeBytes: 64 * MIB,
        leftAfterBytes,
        resyncBytesPerSecond: 32 * MIB,
      },
    ],
  };
}

const RANDOM_WRITE = workload('randwrite', 4 * KIB, 32);
const DEPTH_ONE = workload('randwrite', 4 * KIB, 1);
const SWEEP = FULL_WORKLOADS.filter((each) => each.group === 'request sizes');

test('a milestone and its target are judged apart', () => {
  const [verdict] = judge([series(RANDOM_WRITE, 'rmr ×2', [30, 31, 32]), series(RANDOM_WRITE, 'qemu quorum', [10, 10, 10])], []);
  expect(verdict).toMatchObject({ milestoneMet: true, targetMet: false, spread: { ratio: 3.1, low: 3, high: 3.2 } });
});

test('for a latency less is better', () => {
  const measured = [series(DEPTH_ONE, 'rmr ×2', [1], 130), series(DEPTH_ONE, 'qemu quorum', [1], 100)];
  expect(judge(measured, [])[0]).toMatchObject({ milestoneMet: false, targetMet: false });
});

test('what was not measured is not judged', () => {
  expect(judge([series(RANDOM_WRITE, 'rmr ×2', [30])], [])).toEqual([]);
  expect(judge([series(RANDOM_WRITE, 'rmr ×3', [30]), series(RANDOM_WRITE, 'qemu quorum', [10])], [])).toEqual([]);
});

test('throughput that falls at a large request size is caught, noise is not', () => {
  const speeds = (values: readonly number[]): Series[] =>
    SWEEP.map((each, index) => series(each, 'rmr ×2', [((values[index] as number) * MIB) / each.blockBytes]));
  expect(judge(speeds([100, 200, 400, 500, 600, 560]), [])[0]).toMatchObject({ milestoneMet: true });
  expect(judge(speeds([100, 200, 400, 500, 600, 300]), [])[0]).toMatchObject({ milestoneMet: false, measured: /→ 300 MiB/ });
});

test('the largest daemon decides about memory', () => {
  expect(judge([], [daemon(100), daemon(199)])[0]).toMatchObject({ milestoneMet: true });
  expect(judge([], [daemon(100), daemon(201)])[0]).toMatchObject({ milestoneMet: false });
});

test('the report names what was not measured and why, and prints ratios with their spread', () => {
  const subject = (name: string, replicas: number): Subject => ({
    name,
    description: `describes ${name}`,
    replicas,
    target: ['--secret'],
    processes: [],
    startUpMs: { 'new device': 400 },
  });
  const report = createReport(
    { folder: '/dev/shm/x', fileSystem: 'tmpfs', sizeBytes: 128 * MIB, rounds: 3, runMs: 400 },
    [subject('rmr ×2', 2), subject('qemu quorum', 2)],
    [{ name: 'Ceph RBD ×2', why: 'not installed' }],
    {
      series: [series(RANDOM_WRITE, 'rmr ×2', [30, 31, 32]), series(RANDOM_WRITE, 'qemu quorum', [10, 10, 10])],
      memory: [daemon(100)],
    },
  );
  const markdown = toMarkdown(report);
  expect(markdown).toContain('**Ceph RBD ×2**: not measured, not installed');
  expect(markdown).toContain('3.10× (3.00–3.20)');
  expect(markdown).toContain('new device: 400 ms');
  expect(JSON.stringify(report)).not.toContain('--secret');
});

test('of resync more speed is better, and less foreground latency', () => {
  expect(judge([], [], resync(70 * MIB, 2500, MIB))).toMatchObject([
    { goal: /nbdcopy/, milestoneMet: true, targetMet: false },
    { goal: /foreground p99/, milestoneMet: true, targetMet: false },
  ]);
  expect(judge([], [], resync(40 * MIB, 3500, MIB)).map((each) => each.milestoneMet)).toEqual([false, false]);
  expect(judge([], [], resync(90 * MIB, 1500, MIB)).map((each) => each.targetMet)).toEqual([true, true]);
});

test('the report says when foreground figures do not count, and does not judge them', () => {
  const conditions = { folder: '/dev/shm/x', fileSystem: 'tmpfs', sizeBytes: 97 * MIB, rounds: 1, runMs: 400 };
  const of = (leftAfterBytes: number): string =>
    toMarkdown(createReport(conditions, [], [], { series: [], memory: [], resync: resync(80 * MIB, 1100, leftAfterBytes) }));
  expect(of(MIB)).toContain('| resync of 64 MiB without other IO | 80 | 80 |');
  expect(of(MIB)).toContain('during resync, which pulls 32 MiB/s');
  expect(of(MIB)).toContain('1.10× (1.10–1.10)');
  expect(of(MIB)).not.toContain('do not count');
  expect(of(0)).toContain('do not count**: in round 1');
  expect(of(0)).not.toContain('1.10×');
});
