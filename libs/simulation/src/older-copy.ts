import { inspectStore, type StoreInspection } from '@rmr/bitmap-store';
import type { MemberRecord, StoreLife, VersionRecord } from '@rmr/rmr';
import { OperationError } from '@rmr/runtime';
import type { MemoryDisk } from '@rmr/testing';
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

/**
 * The node's store as it is now; null: it was never in service. What the copy has is read from the copy: its storage node does not
 * count a record before it has heard of its flush, and by then the record may be in the copy.
 */
export function copyOf(node: SimulatedStorageNode): OlderCopy | null {
  const store = node.store ?? node.lastStore;
  if (store === null || store.version === null) return null;
  const disk = node.disk.copy();
  const { age, lives, version } = inspect(disk, node.name);
  return version === null ? null : { node, storeUuid: store.identity.storeUuid, disk, age, lives, version };
}

/** What the disk says. Bad sectors do not count here: a storage node that uses the copy will meet them. */
function inspect(disk: MemoryDisk, label: string): StoreInspection {
  const readable = disk.copy({ schedule: (_request, end) => end() });
  readable.repair();
  let found: StoreInspection | OperationError | null = null;
  inspectStore(readable, { label }, (result) => {
    found = result;
  });
  const result = found as StoreInspection | OperationError | null;
  if (result === null || result instanceof OperationError) throw result ?? new Error(`${label}: a copy in memory was not read at once`);
  return result;
}

/**
 * Whether all that could vouch for the member know, durably, that it is newer than the copy (L8). At least one of them has to be in the
 * set that the copy knows of. Otherwise nobody would be asked: a store that served alone when it was copied can be served alone.
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
