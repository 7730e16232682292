/** 1,000 volumes on 20 nodes, of which ten have a member that is out. */
import { newDisk, newMember, newVolume, type SimulatedClusterOptions, type SimulatedVolume } from '@rmr/simulated-daemons';

const STORAGE_NODES = 16;
const CLIENT_NODES = 4;
const VOLUMES = 1_000;

export const big = {
  options: {
    storage: Object.fromEntries(
      Array.from({ length: STORAGE_NODES }, (_, index) => [`storage-${index}`, [newDisk('disk-1'), newDisk('disk-2')]]),
    ),
    clients: Array.from({ length: CLIENT_NODES }, (_, index) => `client-${index}`),
  } satisfies SimulatedClusterOptions,
  volumes: (): SimulatedVolume[] =>
    Array.from({ length: VOLUMES }, (_, index) => {
      const place = (offset: number): string => `storage-${(index + offset) % STORAGE_NODES}`;
      const out =
        index % 100 === 0 ? ({ inSync: false, connected: false, state: 'FAILED', reason: 'no session', dirtyBytes: 4096 } as const) : {};
      const members = [newMember(1, place(0), 'disk-1'), newMember(2, place(5), 'disk-2', out)];
      return newVolume(index + 1, `volume-${String(index).padStart(4, '0')}`, `client-${index % CLIENT_NODES}`, members);
    }),
};
