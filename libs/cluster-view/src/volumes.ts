/** The volumes of a cluster: what client nodes and storage nodes say of each, put together. */
import type {
  ClientNodeStatus,
  ClientPoolStatus,
  Health,
  NodeStoreStatus,
  OperationView,
  ServerPoolStatus,
  WaitingFor,
} from '@rmr/admin-api';
import type { Observation } from './observe.ts';

/** What a member pulls of what it has missed. */
export interface ResyncPicture {
  readonly state: ServerPoolStatus['sync']['state'];
  readonly bytesLeft: number;
  readonly bytesPerSecond: number;
  readonly etaSeconds: number | null;
  readonly paused: boolean;
  /** The limit of the volume, for each member; null: it has none. */
  readonly limitBytesPerSecond: number | null;
  /** Why it stands still; empty: it does not. */
  readonly reason: string;
  readonly remedy: string | null;
  /** The members that it pulls from. */
  readonly sources: readonly { readonly memberId: number; readonly name: string }[];
}

/** A member of a volume. */
export interface MemberPicture {
  readonly memberId: number;
  readonly node: string;
  /** The disk's name; null: the store is named by the node's configuration, or nobody has looked. */
  readonly disk: string | null;
  readonly store: string | null;
  readonly state: string;
  /** Why it is in this state, and since when (ISO 8601). */
  readonly reason: string;
  readonly since: string;
  /** Whether the client node has a session to its storage node. */
  readonly connected: boolean;
  readonly inSync: boolean;
  readonly maintenance: boolean;
  /** Bytes that the member has missed; null: nobody knows. */
  readonly dirtyBytes: number | null;
  /** What it pulls. Null: it misses nothing, or its node does not answer. */
  readonly resync: ResyncPicture | null;
  readonly waitingFor: string | null;
  /** What to do about what it waits for. */
  readonly remedy: string | null;
  readonly rolledBack: string | null;
  readonly diskTrouble: string | null;
  /** Why its store is not open, as its node says; null: it is open, or its node does not answer. */
  readonly storeProblem: string | null;
  /** Bytes that no other member with data has, as far as its store knows; null: its node does not answer. */
  readonly onlyCopyBytes: number | null;
}

/**
 * How a volume is, in one word. Besides the levels of health: `unmapped`: no client node maps it, so nobody was asked to serve it; `unknown`:
 * a client node does not answer, so nobody can say whether the volume is served.
 */
export type VolumeState = Health['level'] | 'unmapped' | 'unknown';

export interface VolumePicture {
  readonly uuid: string;
  readonly name: string;
  readonly sizeBytes: number | null;
  readonly state: VolumeState;
  readonly health: Health;
  /** The client node that maps it; null: none that answers. */
  readonly servedBy: string | null;
  /** Other client nodes that map it: each serves it when the one that does is gone. */
  readonly standby: readonly string[];
  /** The client that its stores have promised to serve. Null: none, or no storage node with a store of it answers. */
  readonly promisedTo: string | null;
  readonly nbdUri: string | null;
  readonly connections: number;
  /** The addresses of its NBD clients. */
  readonly peers: readonly string[];
  readonly quorum: 'none' | 'majority' | null;
  readonly witness: ClientPoolStatus['witness'];
  readonly members: readonly MemberPicture[];
  /** The operations on it that have not ended. */
  readonly operations: readonly OperationView[];
  readonly waitingFor: WaitingFor | null;
  /** What IO waits for, the longest wait first. */
  readonly waits: ClientPoolStatus['waits'];
  /** Data that no member has any more, and data that no disk could read. Null: there is none that is known. */
  readonly lost: ClientPoolStatus['lost'];
  readonly unreadable: ClientPoolStatus['unreadable'];
  readonly withoutCleanCopy: ClientPoolStatus['withoutCleanCopy'];
  readonly differences: ClientPoolStatus['differences'];
}

/** A store of a volume, as its storage node tells it. */
interface Stored {
  readonly node: string;
  readonly memberId: number;
  readonly name: string;
  readonly uuid: string | null;
  readonly sizeBytes: number | null;
  /** Null: the store is not open. */
  readonly pool: ServerPoolStatus | null;
  readonly disk: string | null;
  readonly configured: NodeStoreStatus | null;
}

/** All volumes, by name. A volume that nobody serves is there, too, where a storage node has a store of it. */
export function volumesOf(observation: Observation): readonly VolumePicture[] {
  const stored = storesByVolume(observation);
  const volumes: VolumePicture[] = [];
  for (const [uuid, mappings] of mappingsByVolume(observation)) {
    // Where two client nodes map a volume, the one that serves it tells the truth.
    const best =
      mappings.find(({ pool }) => pool.state === 'SERVING') ?? mappings.find(({ pool }) => pool.state === 'WAITING') ?? mappings[0];
    const standby = mappings.filter((mapping) => mapping !== best).map(({ node }) => node);
    if (best !== undefined) volumes.push(mappedVolume(best, standby, stored.get(uuid) ?? []));
    stored.delete(uuid);
  }
  // A volume that is being deleted is not mapped any more, and its operation goes on.
  const operations = observation.clients.flatMap((client) => client.operations);
  const silent = observation.clients.filter(({ problem }) => problem !== null).map(({ node }) => node.name);
  for (const [uuid, stores] of stored)
    volumes.push(
      storedVolume(
        uuid,
        stores,
        silent,
        operations.filter(({ target }) => target === uuid),
      ),
    );
  return volumes.sort((a, b) => compare(a.name, b.name) || compare(a.uuid, b.uuid));
}

/** The order of names, the same in every locale. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

interface Mapping {
  readonly node: string;
  readonly pool: ClientPoolStatus;
  readonly exported: ClientNodeStatus['exports'][number] | null;
  readonly nbdAddress: string | null;
  readonly operations: readonly OperationView[];
}

function mappingsByVolume({ clients }: Observation): Map<string, Mapping[]> {
  const found = new Map<string, Mapping[]>();
  for (const { node, status, operations } of clients) {
    const exports = new Map(status?.exports.map((each) => [each.poolUuid, each]));
    for (const pool of status?.pools ?? []) {
      const own = operations.filter(({ target }) => target === pool.uuid);
      const mapping = {
        node: node.name,
        pool,
        exported: exports.get(pool.uuid) ?? null,
        nbdAddress: status?.nbdAddresses[0] ?? null,
        operations: own,
      };
      append(found, pool.uuid, mapping);
    }
  }
  return found;
}

function storesByVolume({ storage }: Observation): Map<string, Stored[]> {
  const found = new Map<string, Stored[]>();
  for (const { node, status, disks } of storage) {
    const diskOf = new Map(disks.flatMap(({ name, stores }) => stores.map(({ storeUuid }) => [storeUuid, name] as const)));
    const configuredOf = new Map((status?.stores ?? []).map((store) => [store.uuid ?? store.path, store]));
    const seen = new Set<string | null>();
    for (const pool of status?.pools ?? []) {
      const uuid = pool.store?.uuid ?? null;
      seen.add(uuid);
      append(found, pool.uuid, {
        ...{ node: node.name, memberId: pool.memberId, name: pool.name, uuid, sizeBytes: pool.store?.sizeBytes ?? null, pool },
        ...{ disk: uuid === null ? null : (diskOf.get(uuid) ?? null), configured: uuid === null ? null : (configuredOf.get(uuid) ?? null) },
      });
    }
    // Stores that are not open: they are known by their superblocks, or by what the node last saw of them.
    for (const { name: disk, stores } of disks) {
      for (const { storeUuid: uuid, poolUuid, poolName: name, memberId, sizeBytes } of stores) {
        if (seen.has(uuid)) continue;
        seen.add(uuid);
        append(found, poolUuid, {
          node: node.name,
          memberId,
          name,
          uuid,
          sizeBytes,
          pool: null,
          disk,
          configured: configuredOf.get(uuid) ?? null,
        });
      }
    }
    for (const store of status?.stores ?? []) {
      if (store.pool === null || store.uuid === null || seen.has(store.uuid)) continue;
      const { uuid: poolUuid, name, memberId } = store.pool;
      append(found, poolUuid, {
        node: node.name,
        memberId,
        name,
        uuid: store.uuid,
        sizeBytes: null,
        pool: null,
        disk: null,
        configured: store,
      });
    }
  }
  return found;
}

function append<Value>(map: Map<string, Value[]>, key: string, value: Value): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

function mappedVolume(
  { node, pool, exported, nbdAddress, operations }: Mapping,
  standby: readonly string[],
  stores: readonly Stored[],
): VolumePicture {
  return {
    ...{ uuid: pool.uuid, name: pool.name, sizeBytes: pool.sizeBytes, state: pool.health.level, health: pool.health, servedBy: node },
    standby,
    promisedTo: promisedTo(stores),
    nbdUri: exported === null ? null : nbdUri(nbdAddress, exported.name),
    connections: exported?.connections.length ?? 0,
    peers: exported?.connections.map(({ peer }) => peer) ?? [],
    ...{ quorum: pool.quorum, witness: pool.witness },
    members: pool.legs.map((leg) => memberOf(leg, stores)),
    ...{ operations, waitingFor: pool.waitingFor, waits: pool.waits, lost: pool.lost, unreadable: pool.unreadable },
    ...{ withoutCleanCopy: pool.withoutCleanCopy, differences: pool.differences },
  };
}

function storedVolume(
  uuid: string,
  stores: readonly Stored[],
  silent: readonly string[],
  operations: readonly OperationView[],
): VolumePicture {
  const [{ name }] = stores as [Stored];
  const client = promisedTo(stores);
  const unknown = silent.length > 0;
  const who = client !== null && silent.includes(client) ? `${client}, which served it last,` : silent.join(', ');
  const sentence = unknown
    ? `whether ${name} is served is not known: ${who} ${client !== null && silent.includes(client) ? 'does' : silent.length === 1 ? 'does' : 'do'} not answer`
    : `no client node maps ${name}, so nobody serves it`;
  return {
    ...{ uuid, name, sizeBytes: stores.find(({ sizeBytes }) => sizeBytes !== null)?.sizeBytes ?? null },
    ...{ state: unknown ? 'unknown' : 'unmapped', health: { level: unknown ? 'degraded' : 'down', sentence } },
    ...{ servedBy: null, standby: [], promisedTo: client, nbdUri: null, connections: 0, peers: [], quorum: null, witness: null },
    members: stores.map(storedMember).sort((a, b) => a.memberId - b.memberId),
    ...{ operations, waitingFor: null, waits: [], lost: null, unreadable: null, withoutCleanCopy: null, differences: [] },
  };
}

/** The client that the stores have promised to serve, by the newest promise. */
function promisedTo(stores: readonly Stored[]): string | null {
  const promises = stores.flatMap(({ pool }) => pool?.promised ?? []).sort((a, b) => b.epoch - a.epoch);
  return promises[0]?.clientName ?? null;
}

function memberOf(leg: ClientPoolStatus['legs'][number], stores: readonly Stored[]): MemberPicture {
  const { memberId, name: node, storeUuid: store, state, reason, since, connected, inSync, maintenance, rolledBack, diskTrouble } = leg;
  const own = stores.find((each) => (store === null ? each.memberId === memberId && each.node === node : each.uuid === store));
  const sync = own?.pool?.sync ?? null;
  return {
    ...{ memberId, node, disk: own?.disk ?? null, store, state, reason, since, connected, inSync, maintenance },
    // The member itself knows better what it has pulled since the client asked last.
    dirtyBytes: inSync && sync !== null ? sync.bytesLeft : leg.dirtyBytes,
    resync: sync === null || sync.bytesLeft === 0 ? null : resyncOf(sync),
    ...{ waitingFor: leg.waitingFor?.what ?? null, remedy: leg.waitingFor?.remedy ?? null, rolledBack, diskTrouble },
    ...{ storeProblem: storeProblem(own), onlyCopyBytes: own?.pool?.onlyCopyBytes ?? null },
  };
}

function storedMember(own: Stored): MemberPicture {
  const { node, memberId, uuid, pool, disk } = own;
  return {
    ...{
      memberId,
      node,
      disk,
      store: uuid,
      state: pool?.state ?? 'DETACHED',
      reason: pool?.reason ?? '',
      since: pool?.since ?? own.configured?.since ?? '',
    },
    ...{ connected: false, inSync: false, maintenance: false, resync: null, rolledBack: null, diskTrouble: null },
    dirtyBytes: pool?.dirty.find((each) => each.memberId === memberId)?.dirtyBytes ?? null,
    ...{ waitingFor: pool?.waitingFor?.what ?? null, remedy: pool?.waitingFor?.remedy ?? null },
    ...{ storeProblem: storeProblem(own), onlyCopyBytes: pool?.onlyCopyBytes ?? null },
  };
}

function storeProblem(own: Stored | undefined): string | null {
  if (own === undefined || own.pool !== null) return null;
  return own.configured?.state === 'DETACHED' ? own.configured.reason : 'its store is closed';
}

function resyncOf({
  state,
  bytesLeft,
  bytesPerSecond,
  etaSeconds,
  paused,
  limitBytesPerSecond,
  reason,
  remedy,
  sources,
}: ServerPoolStatus['sync']): ResyncPicture {
  return { state, bytesLeft, bytesPerSecond, etaSeconds, paused, limitBytesPerSecond, reason, remedy: remedy ?? null, sources };
}

/** The URI by which NBD clients reach an export, as the NBD URI specification has it. */
export function nbdUri(address: string | null, name: string): string | null {
  if (address === null) return null;
  if (address.startsWith('unix:')) return `nbd+unix:///${encodeURIComponent(name)}?socket=${encodeURI(address.slice('unix:'.length))}`;
  return `${address.replace(/^tcp:/, 'nbd:')}/${encodeURIComponent(name)}`;
}
