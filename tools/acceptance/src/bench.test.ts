import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MIB } from '@rmr/runtime';
import { expect } from 'vitest';
import { runProgram, succeeded } from './support/command.ts';
import { BENCH_TOOL } from './support/paths.ts';
import { testNeeding } from './support/requirements.ts';
import { newFolder } from './support/test-cluster.ts';

/** No daemon of ours may be larger than this under load. */
const DAEMON_BYTES_MAX = 200 * MIB;

interface BenchReport {
  readonly series: readonly { readonly subject: string; readonly median: { readonly operations: number } }[];
  readonly resync: {
    readonly runs: readonly { readonly bytes: number }[];
    readonly copies: readonly number[];
    readonly foreground: readonly { readonly healthy: { readonly operations: number }; readonly during: { readonly operations: number } }[];
  };
  readonly memory: readonly { readonly process: string; readonly residentBytesMax: number }[];
}

testNeeding('fio', 'fio nbd engine')(
  'bench: a run over this project ends with figures for every workload, and leaves nothing behind',
  async () => {
    const folder = newFolder('bench');
    const json = join(newFolder('figures'), 'figures.json');
    const scope = ['--quick', '--subjects', '^rmr ×2$', '--rounds', '1', '--time', '100ms', '--size', '64MiB'];
    // Replication 2 alone stands among the subjects of a comparison; no peer matches the pattern.
    const outcome = succeeded(await runProgram(process.execPath, [BENCH_TOOL, ...scope, '--compare', '--dir', folder, '--json', json]));
    expect(outcome.stdout).toContain('| workload | subject |');
    const report = JSON.parse(readFileSync(json, 'utf8')) as BenchReport;
    expect(report.series.length).toBeGreaterThan(6);
    for (const each of report.series) expect(each.median.operations).toBeGreaterThan(0);
    expect(report.memory.map((each) => each.process).sort()).toEqual(['client-1', 'storage-1', 'storage-2']);
    for (const each of report.memory) expect(each.residentBytesMax, each.process).toBeLessThan(DAEMON_BYTES_MAX);
    expect(readdirSync(folder)).toEqual([]);
  },
);

testNeeding(
  'fio',
  'fio nbd engine',
  'nbdkit',
  'nbdcopy',
)('bench: resync is measured over a member that comes back, and nothing is left behind', async () => {
  const folder = newFolder('resync');
  const json = join(newFolder('resync-figures'), 'figures.json');
  const scope = ['--quick', '--rounds', '1', '--time', '100ms', '--size', '64MiB'];
  const outcome = succeeded(await runProgram(process.execPath, [BENCH_TOOL, '--resync', ...scope, '--dir', folder, '--json', json]));
  expect(outcome.stdout).toContain('| resync of 64 MiB without other IO |');
  const { resync } = JSON.parse(readFileSync(json, 'utf8')) as BenchReport;
  expect(resync.runs).toHaveLength(1);
  expect(resync.runs[0]?.bytes).toBeGreaterThanOrEqual(64 * MIB);
  expect(resync.copies).toHaveLength(1);
  // Whether they count depends on the machine, not on the program.
  expect(resync.foreground).toHaveLength(1);
  expect(resync.foreground[0]?.healthy.operations).toBeGreaterThan(0);
  expect(resync.foreground[0]?.during.operations).toBeGreaterThan(0);
  expect(readdirSync(folder)).toEqual([]);
});
