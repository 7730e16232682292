import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SimulationResult } from '@rmr/simulation';
import { afterAll, expect, test } from 'vitest';
import { Totals } from './totals.ts';
import { runSeeds } from './workers.ts';

/** Stands for the simulator: seed 4 fails, seed 7 ends the process. */
const PROGRAM = `
process.on('message', (seed) => {
  if (seed === 7) process.exit(3);
  const failure = seed === 4 ? 'I5: differ' : null;
  process.send({ seed, failure, operations: 10, changes: 1, faults: 2, faultCounts: { cut: 2 }, events: 100, virtualMs: 3600, log: '' });
});
`;

const folder = mkdtempSync(join(tmpdir(), 'sim-workers-'));
const program = join(folder, 'program.mjs');
writeFileSync(program, PROGRAM);
afterAll(() => rmSync(folder, { recursive: true }));

async function run(seeds: readonly number[], jobs: number, goOn: (result: SimulationResult) => boolean): Promise<SimulationResult[]> {
  const results: SimulationResult[] = [];
  await runSeeds(seeds, jobs, program, (result) => {
    results.push(result);
    return goOn(result);
  });
  return results;
}

test('every seed is run once, by several processes; one whose process ends is a failure, and the others go on', async () => {
  const results = await run([1, 2, 3, 4, 5, 6, 7, 8, 9], 3, () => true);
  expect(results.map(({ seed }) => seed).sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(results.filter(({ failure }) => failure !== null).map(({ seed, failure }) => [seed, failure])).toEqual(
    expect.arrayContaining([
      [4, 'I5: differ'],
      [7, 'its process ended with 3'],
    ]),
  );
});

test('nothing more is run when a result says so', async () => {
  const results = await run([4, 4, 4, 4, 4, 4, 4, 4], 2, ({ failure }) => failure === null);
  expect(results.length).toBe(1);
});

test('more processes than seeds', async () => {
  expect((await run([1], 4, () => true)).length).toBe(1);
  expect(await run([], 2, () => true)).toEqual([]);
});

test('the totals count what the runs did, and name the seeds that failed in order', async () => {
  const totals = new Totals();
  for (const result of await run([9, 7, 5, 4], 2, () => true)) totals.add(result);
  expect(totals.toJSON()).toMatchObject({
    seeds: 4,
    failed: 2,
    failedSeeds: [4, 7],
    operations: 30,
    membershipChanges: 3,
    faults: 6,
    faultKinds: { cut: 6 },
    events: 300,
    virtualHours: 0.003,
  });
});
