import { expect, test } from 'vitest';
import { SimulatedCluster } from './cluster.ts';
import { SectorModel } from './sector-model.ts';
import type { SimulatedClient, SimulatedStorageNode } from './simulated-nodes.ts';
import { Workload } from './workload.ts';

/** Three members. */
const SEED = 105;
const SLOW_MS = 300;

/** A pool whose client was asked to end while one member, which `delay` acts on, has not carried out a write that the others have. */
function stopBehindAWrite(delay: (late: SimulatedStorageNode, client: SimulatedClient, cluster: SimulatedCluster) => void) {
  const cluster = new SimulatedCluster(SEED);
  const workload = new Workload(cluster, new SectorModel(cluster.geometry.hotSectorCount), SEED, false);
  cluster.start();
  cluster.world.run(2_000);
  const client = cluster.client as SimulatedClient;
  expect(client.pool.status()).toMatchObject({ state: 'SERVING', legs: [{ state: 'NORMAL' }, { state: 'NORMAL' }, { state: 'NORMAL' }] });
  delay(cluster.nodes[1] as SimulatedStorageNode, client, cluster);
  workload.overwritePart(cluster.geometry.hotChunks[0] as number);
  cluster.world.run(20);
  const stop = { isOver: false };
  client.stop(() => {
    stop.isOver = true;
  });
  const lastIo = (): readonly number[] => cluster.nodes.map((node) => node.store?.lastIo().length ?? 0);
  return { cluster, client, stop, lastIo };
}

test('I2: a client that is asked to end lets its IO end, and then its members forget what could have differed', () => {
  const { cluster, client, stop, lastIo } = stopBehindAWrite((late, { name }, { network }) => network.slow(name, late.name, SLOW_MS));
  cluster.world.run(SLOW_MS / 2);
  expect(client.pool.state).toBe('SERVING');
  expect(lastIo()).toContain(1);
  cluster.world.run(4 * SLOW_MS);
  expect([stop.isOver, client.pool.state]).toEqual([true, 'STOPPED']);
  expect(lastIo()).toEqual([0, 0, 0]);
});

test('I2, I11: IO that does not end holds it up for some seconds, and the members remember what they may differ in', () => {
  const { cluster, stop, lastIo } = stopBehindAWrite((late) => late.disk.hang());
  cluster.world.run(9_000);
  expect(stop.isOver).toBe(false);
  cluster.world.run(2_000);
  expect(stop.isOver).toBe(true);
  expect(lastIo()).toContain(1);
});
