/** The first question of an operator: is my data safe? And the second: what do I have to do? */
import type { Health, HealthLevel } from '@rmr/admin-api';
import type { Observation } from './observe.ts';
import { type VolumePicture, volumesOf } from './volumes.ts';

export interface Note {
  /** What it is about: a volume's or a node's name. */
  readonly about: string;
  readonly sentence: string;
  readonly remedy: string | null;
}

export interface Overview {
  readonly level: HealthLevel;
  /** One sentence: whether the data is safe. */
  readonly sentence: string;
  /** What needs a person, the gravest first. */
  readonly needed: readonly Note[];
  /** What moves by itself. */
  readonly moving: readonly Note[];
  readonly volumes: Readonly<Record<HealthLevel, number>>;
  readonly members: { readonly inSync: number; readonly all: number };
  readonly nodes: { readonly answer: number; readonly all: number };
  /** Of the disks that could be looked at; null: nobody looked. */
  readonly capacity: { readonly usedBytes: number; readonly totalBytes: number } | null;
}

const ORDER: Readonly<Record<HealthLevel, number>> = { down: 0, degraded: 1, healthy: 2 };

export function overviewOf(observation: Observation): Overview {
  const volumes = volumesOf(observation);
  const silent = [...observation.storage, ...observation.clients].filter(({ problem }) => problem !== null);
  const count = { healthy: 0, degraded: 0, down: 0 };
  for (const { health } of volumes) count[health.level]++;
  const members = volumes.flatMap((volume) => volume.members);
  const sick = volumes.filter(({ health }) => health.level !== 'healthy').sort((a, b) => ORDER[a.health.level] - ORDER[b.health.level]);
  const moving = sick.filter(movesByItself);
  const disks = observation.storage.flatMap((node) => node.disks);
  const badDisks = observation.storage.flatMap(({ node, disks: all }) =>
    all.filter(({ health }) => health.level !== 'healthy').map((disk) => ({ node: node.name, disk })),
  );
  const needed: Note[] = [
    ...silent.map(({ node, problem }) => ({ about: node.name, sentence: `does not answer: ${problem?.message}`, remedy: null })),
    ...sick.filter((volume) => !moving.includes(volume)).map(noteOf),
    ...badDisks.map(({ node, disk }) => ({ about: `${node}/${disk.name}`, sentence: disk.health.sentence, remedy: null })),
  ];
  const level: HealthLevel = count.down > 0 ? 'down' : needed.length + moving.length > 0 ? 'degraded' : 'healthy';
  const known = disks.filter(({ capacityBytes, freeBytes }) => capacityBytes !== null && freeBytes !== null);
  return {
    ...{ level, sentence: verdict(level, volumes, silent.length), needed, volumes: count },
    moving: moving.map(noteOf),
    members: { inSync: members.filter(({ inSync, dirtyBytes }) => inSync && dirtyBytes === 0).length, all: members.length },
    nodes: { answer: observation.cluster.nodes.length - silent.length, all: observation.cluster.nodes.length },
    capacity:
      known.length === 0
        ? null
        : {
            usedBytes: known.reduce((sum, disk) => sum + (disk.capacityBytes as number) - (disk.freeBytes as number), 0),
            totalBytes: known.reduce((sum, disk) => sum + (disk.capacityBytes as number), 0),
          },
  };
}

/** A volume that is served, and whose members only have to pull what they missed. */
function movesByItself({ health, members }: VolumePicture): boolean {
  return health.level === 'degraded' && members.every(({ inSync, maintenance }) => inSync && !maintenance);
}

function noteOf({ name, health, waitingFor }: VolumePicture): Note {
  return { about: name, sentence: health.sentence, remedy: waitingFor?.remedy ?? null };
}

function verdict(level: HealthLevel, volumes: readonly VolumePicture[], silent: number): string {
  const all = volumes.length === 1 ? 'The volume is' : `All ${volumes.length} volumes are`;
  const silence = silent === 0 ? '' : `, and ${silent === 1 ? 'one node does' : `${silent} nodes do`} not answer`;
  if (volumes.length === 0) return silent === 0 ? 'Healthy. There is no volume yet.' : `No volume is known${silence}.`;
  if (level === 'healthy') return `Healthy. ${all} served, and every member is in sync.`;
  const down = volumes.filter(({ health }) => health.level === 'down').length;
  if (down > 0) return `Down. ${down} of ${volumes.length} volumes ${down === 1 ? 'is' : 'are'} not served${silence}.`;
  const sick = volumes.filter(({ health }: { health: Health }) => health.level !== 'healthy').length;
  return sick === 0
    ? `Degraded. ${all} served and in sync${silence === '' ? ', and something else needs a look' : silence}.`
    : `Degraded. ${all} served; ${sick} ${sick === 1 ? 'has' : 'have'} less redundancy than wanted${silence}.`;
}
