/** Simulated clusters for the tests of this library. They end with the test that started them. */
import {
  newDisk,
  newMember,
  newVolume,
  SimulatedCluster,
  type SimulatedClusterOptions,
  type SimulatedVolume,
} from '@rmr/simulated-daemons';
import { afterEach } from 'vitest';
import { type Cluster, parseCluster } from './cluster-file.ts';
import { type Observation, observe } from './observe.ts';

const running: SimulatedCluster[] = [];
afterEach(async () => {
  for (const cluster of running.splice(0)) await cluster.stop();
});

/** Three storage nodes with two disks each, and two client nodes, unless told otherwise. */
export async function startCluster(
  options: Partial<SimulatedClusterOptions> = {},
): Promise<{ simulated: SimulatedCluster; cluster: Cluster }> {
  const disks = (): ReturnType<typeof newDisk>[] => [newDisk('disk-1'), newDisk('disk-2')];
  const simulated = await SimulatedCluster.start({
    ...{ storage: { 'storage-1': disks(), 'storage-2': disks(), 'storage-3': disks() }, clients: ['client-1', 'client-2'], ...options },
  });
  running.push(simulated);
  return { simulated, cluster: parseCluster(simulated.file(), 'rmr.yaml') };
}

/** What there is, disks included. `answerMs`: how long a node is waited for; without it, for as long as a test may take. */
export function look(cluster: Cluster, answerMs = 60_000): Promise<Observation> {
  return observe(cluster, { disks: true, answerMs });
}

/** `web`, with two members, on the first disk of storage-1 and storage-2. */
export function web(over: Partial<SimulatedVolume> = {}): SimulatedVolume {
  return newVolume(1, 'web', 'client-1', [newMember(1, 'storage-1', 'disk-1'), newMember(2, 'storage-2', 'disk-1')], over);
}
