/** The first question of an operator: is my data safe? And the second: what do I have to do? */
import type { HealthLevel } from '@rmr/admin-api';
import { formatSize } from '@rmr/runtime';
import { type Note, notesOf } from './notes.ts';
import type { Observation } from './observe.ts';
import { type VolumePicture, type VolumeState, volumesOf } from './volumes.ts';

export interface Overview {
  /** `unknown`: no daemon answers. */
  readonly level: HealthLevel | 'unknown';
  /** One or two sentences: whether the data is safe. */
  readonly sentence: string;
  /** What needs a person, the gravest first. */
  readonly needed: readonly Note[];
  /** What moves by itself. */
  readonly moving: readonly Note[];
  readonly volumes: Readonly<Record<VolumeState, number>>;
  /** `unknown`: members of volumes that no client node which answers maps. */
  readonly members: { readonly inSync: number; readonly unknown: number; readonly all: number };
  readonly nodes: { readonly answer: number; readonly all: number };
  /** Of the disks that could be looked at; null: nobody looked. */
  readonly capacity: { readonly usedBytes: number; readonly totalBytes: number } | null;
}

export function overviewOf(observation: Observation, volumes: readonly VolumePicture[] = volumesOf(observation)): Overview {
  const { needed, moving } = notesOf(observation, volumes);
  const count: Record<VolumeState, number> = { healthy: 0, degraded: 0, down: 0, unmapped: 0, unknown: 0 };
  for (const { state } of volumes) count[state]++;
  const members = volumes.flatMap((volume) => volume.members);
  const unsure = volumes.filter(({ state }) => state === 'unknown' || state === 'unmapped');
  const answer = [...observation.storage, ...observation.clients].filter(({ problem }) => problem === null).length;
  const unwell = needed.length > 0 || count.healthy < volumes.length;
  const level = answer === 0 ? 'unknown' : count.down > 0 ? 'down' : unwell ? 'degraded' : 'healthy';
  const disks = observation.storage.flatMap((node) => node.disks);
  const known = disks.filter(({ capacityBytes, freeBytes }) => capacityBytes !== null && freeBytes !== null);
  const sum = (of: (disk: (typeof known)[number]) => number): number => known.reduce((total, disk) => total + of(disk), 0);
  const nodes = { answer, all: observation.cluster.nodes.length };
  return {
    ...{ level, sentence: verdict(level, volumes, count, nodes), needed, moving, volumes: count, nodes },
    members: {
      inSync: members.filter(({ inSync, dirtyBytes }) => inSync && dirtyBytes === 0).length,
      unknown: unsure.flatMap((volume) => volume.members).length,
      all: members.length,
    },
    capacity:
      known.length === 0
        ? null
        : {
            usedBytes: sum((disk) => (disk.capacityBytes ?? 0) - (disk.freeBytes ?? 0)),
            totalBytes: sum((disk) => disk.capacityBytes ?? 0),
          },
  };
}

function verdict(
  level: Overview['level'],
  volumes: readonly VolumePicture[],
  count: Readonly<Record<VolumeState, number>>,
  { answer, all }: Overview['nodes'],
): string {
  if (level === 'unknown') return `Not known. None of the ${all} nodes answers, so nobody can say whether the data is safe.`;
  const silence = answer === all ? '' : ` ${all - answer} of ${all} nodes ${all - answer === 1 ? 'does' : 'do'} not answer.`;
  if (volumes.length === 0) return silence === '' ? 'Healthy. There is no volume yet.' : `Degraded. No volume is known.${silence}`;
  if (level === 'healthy') return `Healthy. ${every(volumes.length)} served, and every member is in sync.`;
  return `${level === 'down' ? 'Down' : 'Degraded'}. ${safety(volumes)} ${service(volumes, count)}${silence}`;
}

/** Whether data is lost, as far as the nodes that answer know. */
function safety(volumes: readonly VolumePicture[]): string {
  const bytes = (of: (volume: VolumePicture) => number): number => volumes.reduce((total, volume) => total + of(volume), 0);
  const lost = bytes((volume) => volume.lost?.bytes ?? 0);
  const unreadable = bytes((volume) => volume.unreadable?.bytes ?? 0);
  const names = (of: (volume: VolumePicture) => unknown): string =>
    volumes
      .filter(of)
      .map(({ name }) => name)
      .join(', ');
  if (lost > 0) return `${formatSize(lost)} of ${names(({ lost: some }) => some)} are LOST.`;
  if (unreadable > 0) return `No disk can read ${formatSize(unreadable)} of ${names(({ unreadable: some }) => some)}.`;
  // What a volume that is not served, or whose client is silent, has lost is not known.
  const unsure = volumes.filter(({ state }) => state === 'down' || state === 'unknown').length;
  return unsure === 0 ? 'No data is lost.' : 'No data is known to be lost.';
}

function service(volumes: readonly VolumePicture[], count: Readonly<Record<VolumeState, number>>): string {
  const parts: string[] = [];
  const down = volumes.filter(({ state }) => state === 'down');
  const waiting = volumes.filter(({ state, waits }) => state !== 'down' && waits.length > 0);
  if (down.length > 0) parts.push(`${some(down)} not served`);
  if (count.unknown > 0) parts.push(`whether ${count.unknown === 1 ? '1 volume is' : `${count.unknown} volumes are`} served is not known`);
  if (count.unmapped > 0) parts.push(`${count.unmapped === 1 ? '1 volume is' : `${count.unmapped} volumes are`} mapped by no client node`);
  if (parts.length === 0) parts.push(`${every(volumes.length)} served`);
  const [first] = waiting;
  if (first !== undefined) {
    const others = waiting.length === 1 ? '' : ` (and of ${waiting.length - 1} more)`;
    parts.push(`but IO of ${first.name}${others} waits for ${first.waits[0]?.what ?? 'its members'}`);
  } else if (count.degraded > 0) parts.push(`${count.degraded} ${count.degraded === 1 ? 'has' : 'have'} less redundancy than wanted`);
  const text = parts.join('; ').replace('; but', ', but');
  return `${text.replace(/^whether/, 'Whether')}.`;
}

function some(volumes: readonly VolumePicture[]): string {
  const [first] = volumes;
  return volumes.length === 1 && first !== undefined ? `${first.name} is` : `${volumes.length} volumes are`;
}

function every(count: number): string {
  return count === 1 ? 'The volume is' : `All ${count} volumes are`;
}
