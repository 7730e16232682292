/** The volumes of a cluster: what client nodes and storage nodes say of each, put together. */
import type { ClientPoolStatus, Health, OperationView, ServerPoolStatus } from '@rmr/admin-api';
import type { Observation } from './observe.ts';

/** A member of a volume. */
export interface MemberPicture {
  readonly memberId: number;
  readonly node: string;
  /** The disk's name; null: the store is named by the node's configuration, or nobody has looked. */
  readonly disk: string | null;
  readonly store: string | null;
  readonly state: string;
  readonly inSync: boolean;
  readonly maintenance: boolean;
  /** Bytes that the member has missed; null: nobody knows. */
  readonly dirtyBytes: number | null;
  /** What it pulls now. */
  readonly resync: { readonly bytesPerSecond: number; readonly etaSeconds: number | null; readonly paused: boolean } | null;
  readonly waitingFor: string | null;
}

export interface VolumePicture {
  readonly uuid: string;
  readonly name: string;
  readonly sizeBytes: number | null;
  readonly health: Health;
  /** The client node that maps it; null: none that answers. */
  readonly servedBy: string | null;
  readonly nbdUri: string | null;
  readonly connections: number;
  readonly quorum: 'none' | 'majority' | null;
  readonly members: readonly MemberPicture[];
  /** The operations on it that have not ended. */
  readonly operations: readonly OperationView[];
  readonly waitingFor: { readonly what: string; readonly since: string; readonly remedy?: string | undefined } | null;
}

interface Stored {
  readonly node: string;
  readonly pool: ServerPoolStatus;
}

/** All volumes, by name. A volume that nobody serves is there, too, where a storage node has a store of it. */
export function volumesOf({ clients, storage }: Observation): readonly VolumePicture[] {
  const stored = new Map<string, Stored[]>();
  const disks = new Map<string, string>();
  for (const { node, status, disks: nodeDisks } of storage) {
    for (const pool of status?.pools ?? []) {
      const list = stored.get(pool.uuid) ?? [];
      list.push({ node: node.name, pool });
      stored.set(pool.uuid, list);
    }
    for (const disk of nodeDisks) for (const { storeUuid } of disk.stores) disks.set(storeUuid, disk.name);
  }
  const volumes: VolumePicture[] = [];
  const mapped = new Set<string>();
  for (const { node, status, operations } of clients) {
    for (const pool of status?.pools ?? []) {
      mapped.add(pool.uuid);
      const exported = status?.exports.find(({ poolUuid }) => poolUuid === pool.uuid);
      volumes.push({
        ...{ uuid: pool.uuid, name: pool.name, sizeBytes: pool.sizeBytes, health: pool.health, servedBy: node.name, quorum: pool.quorum },
        nbdUri: exported === undefined ? null : nbdUri(status?.nbdAddresses[0] ?? null, exported.name),
        connections: exported?.connections.length ?? 0,
        members: membersOf(pool, stored.get(pool.uuid) ?? [], disks),
        operations: operations.filter(({ target }) => target === pool.uuid),
        waitingFor: pool.waitingFor,
      });
    }
  }
  for (const [uuid, stores] of stored) {
    if (mapped.has(uuid)) continue;
    const [{ pool }] = stores as [Stored];
    volumes.push({
      ...{ uuid, name: pool.name, sizeBytes: pool.store?.sizeBytes ?? null, servedBy: null, nbdUri: null, connections: 0, quorum: null },
      health: { level: 'down', sentence: `no client node that answers maps ${pool.name}` },
      members: stores.map((store) => storedMember(store, disks)),
      operations: [],
      waitingFor: null,
    });
  }
  return volumes.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function membersOf(pool: ClientPoolStatus, stores: readonly Stored[], disks: ReadonlyMap<string, string>): readonly MemberPicture[] {
  return pool.legs.map((leg) => {
    const { memberId, name: node, storeUuid: store, state, inSync, maintenance, dirtyBytes, waitingFor } = leg;
    const sync = stores.find(({ pool: { memberId: id } }) => id === memberId)?.pool.sync;
    const { bytesPerSecond = 0, etaSeconds = null, paused = false } = sync ?? {};
    return {
      ...{ memberId, node, store, state, inSync, maintenance },
      disk: store === null ? null : (disks.get(store) ?? null),
      // The member itself knows better what it has pulled since the client asked last.
      dirtyBytes: inSync && sync !== undefined ? sync.bytesLeft : dirtyBytes,
      resync: sync === undefined || sync.bytesLeft === 0 ? null : { bytesPerSecond, etaSeconds, paused },
      waitingFor: waitingFor?.what ?? null,
    };
  });
}

function storedMember({ node, pool }: Stored, disks: ReadonlyMap<string, string>): MemberPicture {
  const store = pool.store?.uuid ?? null;
  return {
    ...{ memberId: pool.memberId, node, store, state: pool.state, inSync: false, maintenance: false, resync: null },
    disk: store === null ? null : (disks.get(store) ?? null),
    dirtyBytes: pool.dirty.find(({ memberId }) => memberId === pool.memberId)?.dirtyBytes ?? null,
    waitingFor: pool.waitingFor?.what ?? null,
  };
}

/** The URI by which NBD clients reach an export, as the NBD URI specification has it. */
function nbdUri(address: string | null, name: string): string | null {
  if (address === null) return null;
  if (address.startsWith('unix:')) return `nbd+unix:///${encodeURIComponent(name)}?socket=${address.slice('unix:'.length)}`;
  return `${address.replace(/^tcp:/, 'nbd:')}/${encodeURIComponent(name)}`;
}
