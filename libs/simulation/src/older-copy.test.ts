import { openStore } from '@rmr/bitmap-store';
import { OperationError } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { SimulatedCluster } from './cluster.ts';
import { copyOf, type OlderCopy } from './older-copy.ts';

const LIFE = '0e4b1d7c-5a16-4b1e-9d54-6a0c29a7f3d1';
const BOOT = '5c1f62a8-9f0b-4a3a-8a41-0d6f0c3f4be2';

test('L8: what a copy has is what its journal says, of which its storage node may not have heard yet', () => {
  const cluster = new SimulatedCluster(1);
  const { world, nodes } = cluster;
  for (const node of nodes) node.diskLatencyMs = 4;
  let ahead: OlderCopy | null = null;
  world.check(() => {
    const [node] = nodes;
    const copy = node === undefined || ahead !== null ? null : copyOf(node);
    if (copy === null) return;
    const known = node?.store?.age ?? 0;
    expect(copy.age).toBeGreaterThanOrEqual(known);
    if (copy.age > known) ahead = copy;
  });
  cluster.start();
  world.run(5_000);
  expect(ahead).not.toBeNull();
  const { disk, age, lives } = ahead as unknown as OlderCopy;
  let past: readonly { readonly lifeUuid: string; readonly lastAge: number | null }[] = [];
  const opening = { world: world.host('elsewhere'), label: 'a copy', bootId: BOOT, lifeUuid: LIFE, wallMs: 0 };
  const opened = disk.copy({ schedule: (_request, end) => end() });
  openStore(opened, opening, (store) => {
    if (store instanceof OperationError) throw store;
    past = store.lives;
  });
  opened.submit();
  world.run(100);
  expect(past.map(({ lifeUuid, lastAge }) => [lifeUuid, lastAge])).toEqual([
    ...lives.slice(0, -1).map(({ lifeUuid, lastAge }) => [lifeUuid, lastAge]),
    [lives.at(-1)?.lifeUuid, age],
    [LIFE, null],
  ]);
});
