import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '@rmr/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type BenchmarkOptions, runBenchmark } from './benchmark.ts';
import { Cleanup } from './cleanup.ts';
import { startCopy } from './nbdcopy.ts';
import { isAlive } from './process-usage.ts';
import { findProgram } from './processes.ts';

/** In CI nothing is skipped: there, a missing program fails the tests that need it. */
function missing(...programs: readonly string[]): boolean {
  return !['true', '1'].includes(process.env['CI'] ?? '') && programs.some((program) => findProgram(program) === null);
}

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bench-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function options(changes: Partial<BenchmarkOptions>): BenchmarkOptions {
  return {
    compare: true,
    quick: true,
    folder,
    sizeBytes: 64 * MIB,
    rounds: 1,
    runMs: 100,
    transport: 'unix',
    only: /^4 KiB random write, depth 32$/,
    subjects: undefined,
    gluster: undefined,
    rbd: undefined,
    ...changes,
  };
}

const never = new AbortController().signal;
const quiet = (): void => {};

test.skipIf(missing('fio', 'qemu-nbd', 'nbdkit'))(
  'the peers run and leave neither a process nor a file (fio, qemu-nbd, nbdkit)',
  async () => {
    const report = await runBenchmark(options({ subjects: /qemu|nbdkit/ }), never, quiet);
    expect(report.series.map((each) => each.subject)).toEqual(['qemu quorum', 'qemu-nbd', 'nbdkit file', 'nbdkit memory']);
    for (const each of report.series) expect(each.median.operations).toBeGreaterThan(0);
    const processes = report.subjects.flatMap((subject) => subject.processes);
    expect(processes).toHaveLength(6);
    expect(processes.filter((each) => isAlive(each.pid))).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
  },
  60_000,
);

test.skipIf(missing('fio', 'qemu-nbd'))(
  'a run that is interrupted leaves nothing either (fio, qemu-nbd)',
  async () => {
    const interrupted = new AbortController();
    const run = runBenchmark(options({ subjects: /qemu quorum/, runMs: 30_000 }), interrupted.signal, (text) => {
      if (text.includes('warming up')) interrupted.abort();
    });
    await expect(run).rejects.toMatchObject({ name: 'AbortError' });
    expect(readdirSync(folder)).toEqual([]);
  },
  60_000,
);

test.skipIf(missing('fio', 'nbdkit', 'nbdcopy'))(
  'nbdcopy copies between two servers of random data (fio, nbdkit, nbdcopy)',
  async () => {
    const cleanup = new Cleanup();
    try {
      const copy = await startCopy({ folder, sizeBytes: 8 * MIB, cleanup, signal: never });
      const images = (): Buffer[] => ['from', 'to'].map((end) => readFileSync(join(folder, end, 'nbdkit.img')));
      const [from, before] = images() as [Buffer, Buffer];
      expect(before.equals(from)).toBe(false);
      expect(await copy()).toBeGreaterThan(0);
      expect(images()[1]?.equals(from)).toBe(true);
    } finally {
      expect(await cleanup.run()).toBe(true);
    }
  },
  60_000,
);

test.skipIf(missing('fio'))('without a subject or a workload there is an error that says so (fio)', async () => {
  await expect(runBenchmark(options({ only: /^nothing$/ }), never, quiet)).rejects.toThrow('no workload matches');
  await expect(runBenchmark(options({ subjects: /^nothing$/ }), never, quiet)).rejects.toThrow('none of the chosen subjects');
});

test.skipIf(missing('fio'))('images that do not fit are refused before anything is started (fio)', async () => {
  const huge = options({ sizeBytes: 1024 * 1024 * 1024 * MIB });
  await expect(runBenchmark(huge, never, quiet)).rejects.toThrow('lower --size');
  expect(readdirSync(folder)).toEqual([]);
});
