/** Chooses disks for the stores of a new volume: different storage nodes, then those with most free space. */
import type { DiskStatus, StorePlace } from '@rmr/admin-api';
import { formatSize, OperationError } from '@rmr/runtime';
import type { Observation, SeenStorageNode } from './observe.ts';

/** A disk that was chosen. */
export interface ChosenPlace extends StorePlace {
  readonly freeBytes: number | null;
  readonly capacityBytes: number | null;
}

/** The disk `NODE/DISK`. Throws NOT_FOUND with what there is, and UNAVAILABLE for a node that does not answer. */
export function findPlace(observation: Observation, text: string): ChosenPlace {
  const [nodeName = '', diskName = '', ...rest] = text.split('/');
  if (diskName === '' || rest.length > 0) throw new OperationError('INVALID_ARGUMENT', `"${text}" is not a disk: write NODE/DISK`);
  const node = observation.storage.find((each) => each.node.name === nodeName);
  if (node === undefined) {
    const names = observation.storage.map((each) => each.node.name).join(', ') || 'none';
    throw new OperationError('NOT_FOUND', `there is no storage node ${nodeName}; there are: ${names}`);
  }
  if (node.problem !== null) throw new OperationError('UNAVAILABLE', `${nodeName} does not answer: ${node.problem.message}`);
  const disk = node.disks.find(({ name }) => name === diskName);
  if (disk !== undefined) return placeOn(node, disk);
  const names = node.disks.map(({ name }) => name).join(', ') || 'none';
  throw new OperationError('NOT_FOUND', `${nodeName} has no disk ${diskName}; it has: ${names}`);
}

/**
 * Places for `count` stores of a volume of this size, each on another storage node. The same observation gives the same places. Throws
 * NO_SPACE with what is missing.
 */
export function choosePlaces(observation: Observation, count: number, sizeBytes: number): readonly ChosenPlace[] {
  const best: ChosenPlace[] = [];
  const reasons: string[] = [];
  for (const node of observation.storage) {
    const usable = node.disks
      .filter((disk) => isUsable(disk, sizeBytes))
      .sort((a, b) => (b.freeBytes ?? 0) - (a.freeBytes ?? 0) || (a.name < b.name ? -1 : 1));
    const [disk] = usable;
    if (disk !== undefined) best.push(placeOn(node, disk));
    else reasons.push(`${node.node.name}: ${whyNone(node, sizeBytes)}`);
  }
  best.sort((a, b) => (b.freeBytes ?? 0) - (a.freeBytes ?? 0) || (a.node < b.node ? -1 : 1));
  if (best.length >= count) return best.slice(0, count);
  const why = reasons.length === 0 ? `there are only ${observation.storage.length} storage nodes` : reasons.join('; ');
  throw new OperationError(
    'NO_SPACE',
    `${count} storage nodes with a disk for ${formatSize(sizeBytes)} are needed, and ${best.length} ${best.length === 1 ? 'has' : 'have'} one: ${why}`,
  );
}

function isUsable({ health, freeBytes, spare, kind, stores, foreign }: DiskStatus, sizeBytes: number): boolean {
  if (health.level === 'down' || spare || foreign !== null) return false;
  if (kind !== 'directory' && stores.length > 0) return false;
  return freeBytes === null || freeBytes >= sizeBytes;
}

function whyNone({ problem, disks }: SeenStorageNode, sizeBytes: number): string {
  if (problem !== null) return `it does not answer (${problem.message})`;
  if (disks.length === 0) return 'it has no disk in its configuration';
  return disks
    .map(({ name, health, freeBytes, spare, foreign }) => {
      if (health.level === 'down') return `${name} can't be used (${health.sentence})`;
      if (spare) return `${name} is a spare`;
      if (foreign !== null) return `${name} holds ${foreign}`;
      if (freeBytes !== null && freeBytes < sizeBytes) return `${name} has ${formatSize(freeBytes)} free`;
      return `${name} has a store already`;
    })
    .join(', ');
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
