import { beforeEach, describe, expect, test } from 'vitest';
import type { SimulatedCluster } from './cluster.ts';
import { ProgressChecks } from './progress-checks.ts';
import type { Workload } from './workload.ts';

/** How often the checks look, in virtual milliseconds. */
const TICK_MS = 50;
/** A storage node gives a request back after so long, and the client sends it again. */
const GIVEN_BACK_MS = 5_000;
const CHUNK = 4;
const COULD_NOT_READ = "member 1 (storage-1) (its disk can't read the chunk)";

/** Requests wait at member 2 for a chunk that member 1 has, and are given back and sent again all the time. */
let nowMs: number;
let source: string;
let isBroken: boolean;
let checks: ProgressChecks;

beforeEach(() => {
  [nowMs, source, isBroken] = [0, COULD_NOT_READ, false];
  const clock = { nowMs: () => nowMs, wallMs: () => nowMs };
  const dirtyMap = (memberId: number) => ({ test: () => memberId === 2 });
  const waits = () => [{ chunk: CHUNK, what: source, sinceMs: nowMs - (nowMs % GIVEN_BACK_MS), requests: 1 }];
  const holder = { memberId: 1, rmr: null, host: null, store: { bitmapStore: { dataOffset: 0 } }, disk: { isBroken: () => isBroken } };
  const waiter = {
    ...{ name: 'storage-2', memberId: 2, paused: false, host: { clock } },
    store: { dirtyMap, version: { inSync: [{ memberId: 1 }, { memberId: 2 }] } },
    rmr: { pools: () => [{ waits, resync: { isLocked: () => false, sourceOf: () => source } }] },
  };
  const cluster = {
    ...{ client: null, nodes: [waiter], world: { clock }, geometry: { chunkSizeBytes: 4096, bytesOf: () => 4096 } },
    node: (memberId: number) => (memberId === 1 ? holder : waiter),
  };
  checks = new ProgressChecks(cluster as unknown as SimulatedCluster, {} as Workload);
});

function run(durationMs: number): void {
  for (const endMs = nowMs + durationMs; nowMs < endMs; nowMs += TICK_MS) checks.tick();
}

describe('W10: requests that wait for a chunk that another member has', () => {
  test('wait for 2 s at most where the source could be asked', () => {
    source = 'member 1 (storage-1) (not connected yet)';
    run(2_000);
    expect(() => run(1_000)).toThrow('W10');
  });

  test('may wait for 10 s more where the source could not read the chunk, but not for ever, however often they are given back', () => {
    run(12_000);
    expect(() => run(1_000)).toThrow('W10');
  });

  test('wait for as long as the source can’t read the chunk: what counts is when it was mended', () => {
    isBroken = true;
    run(30_000);
    isBroken = false;
    run(12_000);
    expect(() => run(1_000)).toThrow('W10');
  });

  test('the source has been asked again: another time that it could not read is counted anew', () => {
    run(9_000);
    source = 'member 1 (storage-1)';
    run(TICK_MS);
    source = COULD_NOT_READ;
    run(12_000);
    expect(() => run(1_000)).toThrow('W10');
  });
});
