import type { MemberRecord, StoreLife, VersionRecord } from '@rmr/rmr';
import type { MemoryDisk } from '../memory-disk.ts';
import type { SimulatedCluster } from './cluster.ts';
import type { SimulatedStorageNode } from './simulated-nodes.ts';

/** A copy of a store, as an operator has one: of a file that was in use, or not. */
export interface OlderCopy {
  readonly node: SimulatedStorageNode;
  readonly storeUuid: string;
  readonly disk: MemoryDisk;
  readonly age: number;
  readonly lives: readonly StoreLife[];
  readonly version: VersionRecord;
}

/** The node's store as it is now; null: it was never in service. */
export function copyOf(node: SimulatedStorageNode): OlderCopy | null {
  const store = node.store ?? node.lastStore;
  if (store === null || store.version === null) return null;
  const { age, lives, version } = store;
  return { node, storeUuid: store.identity.storeUuid, disk: node.disk.copy(), age, lives, version };
}

/**
 * Whether all who could vouch for the member know, durably, that it is newer than the copy (L8). Without any of the set that the
 * copy knows of, nobody would be asked: what was in service alone when it was copied can come into service alone.
 */
export function mayBeVouchedFor(copy: OlderCopy, cluster: SimulatedCluster): boolean {
  const { node, storeUuid, version } = copy;
  const others = cluster.all.filter((other) => other !== node && (other.store ?? other.lastStore)?.version != null);
  const knowsBetter = (other: SimulatedStorageNode): boolean => {
    const known = (other.store ?? other.lastStore)?.members.find((member) => member.storeUuid === storeUuid);
    return known !== undefined && isKnownToBeOlder(copy, known);
  };
  const isAsked = (other: SimulatedStorageNode): boolean =>
    version.inSync.some((member) => member.memberId === other.memberId && member.storeUuid === other.storeUuid);
  return others.every(knowsBetter) && cluster.nodes.some((other) => other !== node && isAsked(other) && knowsBetter(other));
}

/** Whether somebody with this entry in its table has seen the store when it was newer than the copy. */
function isKnownToBeOlder({ age, lives }: OlderCopy, { seen }: MemberRecord): boolean {
  return seen !== undefined && (seen.age > age || !lives.some(({ lifeUuid }) => lifeUuid === seen.lifeUuid));
}
