import { KIB, MIB } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { fioArguments, parseFioOutput } from './fio.ts';
import { FULL_WORKLOADS, QUICK_WORKLOADS, SWEEP_BYTES_IN_FLIGHT, type Workload } from './workloads.ts';

const WRITE: Workload = { name: 'w', pattern: 'write', blockBytes: MIB, depth: 8, connections: 4, group: 'workloads' };

function output(job: object): string {
  const percentile = { '50.000000': 1000, '99.000000': 2000, '99.900000': 3000 };
  const mixed = { total_ios: 10, iops: 5.5, bw_bytes: 4096, clat_ns: { percentile } };
  return JSON.stringify({ jobs: [{ error: 0, mixed, ...job }] });
}

test('the depth is shared out among the connections', () => {
  const args = fioArguments(['--ioengine=nbd'], WRITE, 128 * MIB, 500);
  expect(args).toContain('--numjobs=4');
  expect(args).toContain('--iodepth=2');
  expect(args).toContain('--runtime=500ms');
});

test('sequential connections get disjoint parts of the device', () => {
  const args = fioArguments([], WRITE, 130 * MIB, 500);
  expect(args).toContain(`--size=${32 * MIB}`);
  expect(args).toContain(`--offset_increment=${32 * MIB}`);
});

test('random connections share the whole device', () => {
  const args = fioArguments([], { ...WRITE, pattern: 'randwrite' }, 128 * MIB, 500);
  expect(args).toContain(`--size=${128 * MIB}`);
  expect(args.some((arg) => arg.startsWith('--offset_increment'))).toBe(false);
});

test('a depth that can not be shared out evenly is a bug', () => {
  expect(() => fioArguments([], { ...WRITE, depth: 6 }, MIB, 500)).toThrow('divisible');
});

test('every workload can be turned into arguments, and names are unique', () => {
  for (const workloads of [FULL_WORKLOADS, QUICK_WORKLOADS]) {
    for (const workload of workloads) fioArguments([], workload, 128 * MIB, 500);
    expect(new Set(workloads.map((workload) => workload.name)).size).toBe(workloads.length);
  }
});

test('the sweep keeps the bytes in flight, except where the depth is bounded', () => {
  for (const workload of FULL_WORKLOADS.filter((each) => each.group === 'request sizes' && each.blockBytes > 16 * KIB)) {
    expect(workload.blockBytes * workload.depth).toBe(SWEEP_BYTES_IN_FLIGHT);
  }
});

test('latencies are read in microseconds', () => {
  expect(parseFioOutput(output({}))).toEqual({ operations: 10, iops: 5.5, bytesPerSecond: 4096, p50Us: 1, p99Us: 2, p999Us: 3 });
});

test('an IO error of a job is an error, not a slow result', () => {
  expect(() => parseFioOutput(output({ error: 5 }))).toThrow('error 5');
});

test('a run without a single request, a percentile or a job is an error', () => {
  expect(() => parseFioOutput(output({ mixed: { total_ios: 0, clat_ns: {} } }))).toThrow('no request');
  expect(() => parseFioOutput(output({ mixed: { total_ios: 1, clat_ns: {} } }))).toThrow('no percentile');
  expect(() => parseFioOutput('{"jobs": []}')).toThrow('exactly one group');
  expect(() => parseFioOutput('fio: connected')).toThrow();
});
