import { describe, expect, test } from 'vitest';
import { SimulatedCluster } from './cluster.ts';
import { SectorModel } from './sector-model.ts';
import type { SimulatedStorageNode } from './simulated-nodes.ts';
import { Workload } from './workload.ts';

/** Three members, whose disks take about a millisecond; what a leg has held up within three seconds counts. */
const SEED = 105;
const SLOW_FOR_MS = 3_000;
const HELD_UP = /^it held up IO for [\d.]+ s within the last 3 s$/;

interface Rig {
  readonly cluster: SimulatedCluster;
  /** Lets time pass until a leg has left, for so long at most. How long that was. */
  readonly untilOneLeaves: (atMostMs: number) => number;
  readonly legs: () => readonly {
    readonly state: string;
    readonly reason: string;
    readonly waitingFor: { readonly what: string } | null;
  }[];
}

/** A pool under load. `begin`: what goes wrong with its nodes, from then on. */
function pool(begin: (nodes: readonly SimulatedStorageNode[], cluster: SimulatedCluster) => void): Rig {
  const cluster = new SimulatedCluster(SEED);
  const workload = new Workload(cluster, new SectorModel(cluster.geometry.hotSectorCount), SEED, false);
  cluster.start();
  cluster.world.run(2_000);
  const client = cluster.client?.pool;
  expect(client?.status()).toMatchObject({ state: 'SERVING', legs: [{ state: 'NORMAL' }, { state: 'NORMAL' }, { state: 'NORMAL' }] });
  expect(client?.options).toMatchObject({ legSlowForMs: SLOW_FOR_MS, legTimeoutMs: 30_000 });
  begin(cluster.nodes, cluster);
  workload.start();
  const legs = () => client?.status().legs ?? [];
  const { scheduler } = cluster.world;
  return {
    cluster,
    legs,
    untilOneLeaves: (atMostMs) => {
      const beganMs = scheduler.nowMs;
      while (scheduler.nowMs < beganMs + atMostMs && legs().every((leg) => leg.state === 'NORMAL')) cluster.world.run(50);
      return scheduler.nowMs - beganMs;
    },
  };
}

/** For most of each period the host of the node does not run. */
function stutters(node: SimulatedStorageNode, { world }: SimulatedCluster, stalledMs: number, awakeMs: number): void {
  node.pause();
  world.after(stalledMs, () => {
    node.resume();
    world.after(awakeMs, () => stutters(node, { world } as SimulatedCluster, stalledMs, awakeMs));
  });
}

/** A disk that is quick, and does nothing for seconds, in turn. */
function diskStalls(node: SimulatedStorageNode, { world }: SimulatedCluster, stalledMs: number, awakeMs: number): void {
  node.disk.hang();
  world.after(stalledMs, () => {
    node.disk.resume();
    world.after(awakeMs, () => diskStalls(node, { world } as SimulatedCluster, stalledMs, awakeMs));
  });
}

/** On the way from the node to the client a message is lost now and then, and what follows waits until it was sent again. */
function losesMessages(node: SimulatedStorageNode, cluster: SimulatedCluster): void {
  const { client, network, world } = cluster;
  const name = client?.name ?? '';
  network.slow(node.name, name, 250);
  world.after(240, () => {
    network.slow(node.name, name, 0);
    world.after(20, () => losesMessages(node, cluster));
  });
}

describe('L7: a leg that holds up IO which others have answered', () => {
  const slowDisks =
    (slow: number) =>
    (nodes: readonly SimulatedStorageNode[]): void => {
      for (const node of nodes.slice(0, slow)) node.diskLatencyMs = 400;
    };

  test.each<[string, Parameters<typeof pool>[0]]>([
    ['is far slower than the others', slowDisks(1)],
    ['answers now and then only', ([node], cluster) => stutters(node as SimulatedStorageNode, cluster, 1_500, 150)],
    ['has a disk that stalls for seconds', ([node], cluster) => diskStalls(node as SimulatedStorageNode, cluster, 1_500, 600)],
    ['is behind a path that loses messages', ([node], cluster) => losesMessages(node as SimulatedStorageNode, cluster)],
    ['takes 300 ms for every answer', ([node], cluster) => cluster.network.slow(node?.name ?? '', cluster.client?.name ?? '', 300)],
  ])('leaves, and says why, when it tries again, and what to do: one that %s', (_what, begin) => {
    const { legs, untilOneLeaves } = pool(begin);
    expect(untilOneLeaves(30_000)).toBeLessThan(4 * SLOW_FOR_MS);
    expect(legs()).toMatchObject([
      {
        state: 'FAILED',
        reason: expect.stringMatching(HELD_UP),
        waitingFor: { what: expect.stringMatching(/^its next try to return, in \d+ s/) },
      },
      { state: 'NORMAL' },
      { state: 'NORMAL' },
    ]);
  });

  test.each([0, 3])('stays when %i of three are slow: nobody is far slower than all others', (slow) => {
    const { legs, untilOneLeaves } = pool(slowDisks(slow));
    untilOneLeaves(30_000);
    expect(legs()).toMatchObject([{ state: 'NORMAL' }, { state: 'NORMAL' }, { state: 'NORMAL' }]);
  });

  test('stays when it is the client that does not run, or its network', () => {
    const { cluster, legs, untilOneLeaves } = pool((_nodes, { world, client }) => {
      const pause = (): void => {
        client?.pause();
        world.after(1_400, () => {
          client?.resume();
          world.after(200, pause);
        });
      };
      pause();
    });
    untilOneLeaves(30_000);
    expect([cluster.client?.pool.counters.writes ?? 0, legs().map(({ state }) => state)]).toEqual([
      expect.any(Number),
      ['NORMAL', 'NORMAL', 'NORMAL'],
    ]);
  });
});
