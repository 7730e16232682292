import { formatSize } from '@rmr/runtime';
import type { Refusal } from './disk-types.ts';

/**
 * Chooses the disks for a new volume: each copy on another host, and there where most space is. The same input gives the same disks, in
 * whatever order it comes, so that asking twice makes no second volume elsewhere.
 */

/** A disk that may be chosen. */
export interface PlacementDisk {
  readonly name: string;
  /** Why no store can be made on it now; null: one can. */
  readonly problem: string | null;
  /** The largest store that it can hold, in bytes. */
  readonly roomBytes: number;
  readonly spare: boolean;
}

/** A storage node with its disks. */
export interface PlacementNode {
  readonly name: string;
  /** Two nodes on one host count as one: what takes the host takes both. */
  readonly hostUuid: string;
  /** Why the node can't be asked now; null: it can. */
  readonly problem: string | null;
  readonly disks: readonly PlacementDisk[];
}

export interface ChosenDisk {
  readonly node: string;
  readonly disk: string;
}

interface Candidate extends ChosenDisk {
  readonly hostUuid: string;
  readonly roomBytes: number;
}

/**
 * The disks for `replicas` stores of `sizeBytes` each, those with most room first. Refusals: INVALID_ARGUMENT (a number that makes no sense),
 * NO_SPACE (enough hosts have disks, but not the room), UNAVAILABLE (fewer hosts than replicas can be used). The sentence says of every
 * disk why it was not taken.
 */
export function choosePlacement(nodes: readonly PlacementNode[], replicas: number, sizeBytes: number): readonly ChosenDisk[] | Refusal {
  if (!Number.isInteger(replicas) || replicas < 1)
    return { code: 'INVALID_ARGUMENT', sentence: `${replicas} replicas make no volume; ask for 1 or more` };
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 1)
    return { code: 'INVALID_ARGUMENT', sentence: `a store of ${sizeBytes} bytes can't be placed; ask for a positive size` };
  const best = new Map<string, Candidate>();
  const reasons: string[] = [];
  const hosts = new Set<string>();
  const hostsWithDisks = new Set<string>();
  for (const { name: node, hostUuid, problem, disks } of [...nodes].sort((a, b) => compare(a.name, b.name))) {
    hosts.add(hostUuid);
    if (problem !== null) reasons.push(`${node}: ${problem}`);
    else if (disks.length === 0) reasons.push(`${node}: it has no disks; name some under "disks" in its configuration`);
    if (problem !== null) continue;
    for (const disk of [...disks].sort((a, b) => compare(a.name, b.name))) {
      const why = unusable(disk, sizeBytes);
      if (disk.problem === null && !disk.spare) hostsWithDisks.add(hostUuid);
      if (why !== null) {
        reasons.push(`${node}/${disk.name}: ${why}`);
        continue;
      }
      const candidate = { node, disk: disk.name, hostUuid, roomBytes: disk.roomBytes };
      const before = best.get(hostUuid);
      if (before === undefined || order(candidate, before) < 0) best.set(hostUuid, candidate);
    }
  }
  if (best.size >= replicas)
    return [...best.values()]
      .sort(order)
      .slice(0, replicas)
      .map(({ node, disk }) => ({ node, disk }));
  const found = `${replicas} copies need ${replicas} hosts, and ${best.size} of ${hosts.size} ${hosts.size === 1 ? 'host' : 'hosts'} can take a store of ${formatSize(sizeBytes)}`;
  const why = reasons.length === 0 ? '' : `: ${reasons.join('; ')}`;
  return hostsWithDisks.size >= replicas
    ? { code: 'NO_SPACE', sentence: `${found}${why}. Free some space, add disks, or make the volume smaller` }
    : { code: 'UNAVAILABLE', sentence: `${found}${why}. Add a storage node, repair what is named, or ask for fewer replicas` };
}

function unusable({ problem, spare, roomBytes }: PlacementDisk, sizeBytes: number): string | null {
  if (problem !== null) return problem;
  if (spare) return 'it is a spare, which is kept for replacing a disk that fails';
  return roomBytes < sizeBytes ? `it has room for ${formatSize(Math.max(0, roomBytes))}` : null;
}

/** Most room first; names decide between equals, by their code units, so that no locale matters. */
function order(a: Candidate, b: Candidate): number {
  return b.roomBytes - a.roomBytes || compare(a.node, b.node) || compare(a.disk, b.disk);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
