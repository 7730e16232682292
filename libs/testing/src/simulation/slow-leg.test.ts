import { describe, expect, test } from 'vitest';
import { SimulatedCluster } from './cluster.ts';
import { SectorModel } from './sector-model.ts';
import { Workload } from './workload.ts';

/** Three members, whose disks take about a millisecond; a leg that is far slower than the others for a second leaves. */
const SEED = 105;
const SLOW_MS = 400;

/** A pool under load, `slow` of whose members take {@link SLOW_MS} for every disk request, after some seconds of that. */
function legsWithSlowDisks(slow: number): readonly { readonly state: string; readonly reason: string }[] {
  const cluster = new SimulatedCluster(SEED);
  const workload = new Workload(cluster, new SectorModel(cluster.geometry.hotSectorCount), SEED, false);
  cluster.start();
  cluster.world.run(2_000);
  const { pool } = cluster.client ?? {};
  expect(pool?.status()).toMatchObject({ state: 'SERVING', legs: [{ state: 'NORMAL' }, { state: 'NORMAL' }, { state: 'NORMAL' }] });
  expect(pool?.options).toMatchObject({ legSlowForMs: 1_000, legTimeoutMs: 30_000 });
  for (const node of cluster.nodes.slice(0, slow)) node.diskLatencyMs = SLOW_MS;
  workload.start();
  let legs = pool?.status().legs ?? [];
  for (let left = 100; left > 0 && legs.every((leg) => leg.state === 'NORMAL'); left--) {
    cluster.world.run(100);
    legs = pool?.status().legs ?? [];
  }
  return legs;
}

describe('L7: a leg that is far slower than the others', () => {
  test('leaves, and says why', () => {
    expect(legsWithSlowDisks(1)).toMatchObject([
      { state: 'FAILED', reason: 'it is far slower than the other members' },
      { state: 'NORMAL' },
      { state: 'NORMAL' },
    ]);
  });

  test.each([0, 3])('stays when %i of three are slow: nobody is far slower than all others', (slow) => {
    expect(legsWithSlowDisks(slow)).toMatchObject([{ state: 'NORMAL' }, { state: 'NORMAL' }, { state: 'NORMAL' }]);
  });
});
