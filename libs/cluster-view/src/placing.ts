/** Chooses disks for the stores of a new volume: different hosts, then those with most free space. The same cluster gives the same choice. */
import type { DiskStatus, StorePlace } from '@rmr/admin-api';
import { formatSize, OperationError } from '@rmr/runtime';
import { AdvisedError } from './advice.ts';
import type { Observation, SeenStorageNode } from './observe.ts';
import { compare } from './volumes.ts';

/** A disk that was chosen. */
export interface ChosenPlace extends StorePlace {
  readonly freeBytes: number | null;
  readonly capacityBytes: number | null;
}

/** The disk `NODE/DISK`, with its node. Throws NOT_FOUND with what there is, and UNAVAILABLE for a node that does not answer. */
export function findDisk(observation: Observation, text: string): { readonly node: SeenStorageNode; readonly disk: DiskStatus } {
  const [nodeName = '', diskName = '', ...rest] = text.split('/');
  if (nodeName === '' || diskName === '' || rest.length > 0)
    throw new OperationError('INVALID_ARGUMENT', `"${text}" is not a disk: write NODE/DISK`);
  const node = observation.storage.find((each) => each.node.name === nodeName);
  const list: readonly [{ readonly sentence: string; readonly action: { readonly do: 'disk-list' } }] = [
    { sentence: 'All disks:', action: { do: 'disk-list' } },
  ];
  if (node === undefined) {
    const names = observation.storage.map((each) => each.node.name).join(', ') || 'none';
    throw new AdvisedError('NOT_FOUND', `there is no storage node ${nodeName}; there are: ${names}`, list, 'nothing');
  }
  const problem = node.problem ?? node.disksProblem;
  if (problem !== null) throw new AdvisedError('UNAVAILABLE', `${nodeName} does not answer: ${problem.message}`, [], 'nothing');
  const disk = node.disks.find(({ name }) => name === diskName);
  if (disk !== undefined) return { node, disk };
  const names = node.disks.map(({ name }) => name).join(', ') || 'none';
  throw new AdvisedError('NOT_FOUND', `${nodeName} has no disk ${diskName}; it has: ${names}`, list, 'nothing');
}

/** The disk `NODE/DISK` as a place for a store. Throws as {@link findDisk}. */
export function findPlace(observation: Observation, text: string): ChosenPlace {
  const { node, disk } = findDisk(observation, text);
  return placeOn(node, disk);
}

/**
 * Places for `count` stores of a volume of this size in bytes, each on another host. Disks that are kept as spares are used only with
 * `spares`. Throws NO_SPACE with what is missing on each node.
 */
export function choosePlaces(
  observation: Observation,
  count: number,
  sizeBytes: number,
  options: { readonly spares?: boolean } = {},
): readonly ChosenPlace[] {
  const best: { readonly place: ChosenPlace; readonly host: string }[] = [];
  const reasons: string[] = [];
  for (const node of observation.storage) {
    const usable = node.disks
      .filter((disk) => whyNot(disk, sizeBytes, options.spares === true) === null)
      .sort((a, b) => (b.freeBytes ?? 0) - (a.freeBytes ?? 0) || compare(a.name, b.name));
    const [disk] = usable;
    if (disk !== undefined) best.push({ place: placeOn(node, disk), host: node.status?.node.hostUuid ?? node.node.name });
    else reasons.push(`${node.node.name}: ${whyNone(node, sizeBytes)}`);
  }
  best.sort((a, b) => (b.place.freeBytes ?? 0) - (a.place.freeBytes ?? 0) || compare(a.place.node, b.place.node));
  const chosen: ChosenPlace[] = [];
  const hosts = new Map<string, string>();
  for (const { place, host } of best) {
    const taken = hosts.get(host);
    if (taken !== undefined) reasons.push(`${place.node}: it runs on the host of ${taken}`);
    else {
      hosts.set(host, place.node);
      chosen.push(place);
    }
  }
  if (chosen.length >= count) return chosen.slice(0, count);
  const few = chosen.length === 1 ? 'has' : 'have';
  const why = reasons.length === 0 ? `there are only ${observation.storage.length} storage nodes` : reasons.join('; ');
  throw new AdvisedError(
    'NO_SPACE',
    `${count} hosts with a disk for ${formatSize(sizeBytes)} are needed, and ${chosen.length} ${few} one: ${why}`,
    [{ sentence: 'Where there is space:', action: { do: 'disk-list' } }],
    'nothing',
  );
}

/** Why a disk can't take a store of this size; null: it can. */
export function whyNot(
  { name, health, freeBytes, spare, kind, stores, foreign }: DiskStatus,
  sizeBytes: number,
  spares = true,
): string | null {
  if (health.level === 'down') return `${name} can't be used (${health.sentence})`;
  if (spare && !spares) return `${name} is a spare`;
  if (foreign !== null) return `${name} holds ${foreign}`;
  const [store] = stores;
  if (kind !== 'directory' && store !== undefined) return `${name} has the store of ${store.poolName} already`;
  if (freeBytes !== null && freeBytes < sizeBytes) return `${name} has ${formatSize(freeBytes)} free`;
  return null;
}

function whyNone({ problem, disksProblem, disks }: SeenStorageNode, sizeBytes: number): string {
  const silence = problem ?? disksProblem;
  if (silence !== null) return `it does not answer (${silence.message})`;
  if (disks.length === 0) return 'it has no disk in its configuration';
  return disks.map((disk) => whyNot(disk, sizeBytes, false)).join(', ');
}

function placeOn({ node, status }: SeenStorageNode, disk: DiskStatus): ChosenPlace {
  return {
    node: node.name,
    addresses: [...(status?.rtrsAddresses ?? [])],
    disk: disk.name,
    freeBytes: disk.freeBytes,
    capacityBytes: disk.capacityBytes,
  };
}
