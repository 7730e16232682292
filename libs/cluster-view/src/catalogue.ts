/** The nodes, disks and stores of a cluster, each as a list. */
import type { DiskStatus, Health } from '@rmr/admin-api';
import type { Observation } from './observe.ts';
import { compare } from './volumes.ts';

/** A daemon. */
export interface NodePicture {
  readonly name: string;
  readonly role: 'storage-node' | 'client-node';
  readonly admin: string;
  readonly answers: boolean;
  /** Null: it does not answer, and `problem` says why. */
  readonly health: Health | null;
  readonly problem: string | null;
  readonly silentSince: string | null;
  readonly version: string | null;
  readonly startedAt: string | null;
  readonly hostUuid: string | null;
  /** Where storage nodes accept sessions, and client nodes NBD clients. */
  readonly addresses: readonly string[];
  /** Volumes that a client node maps, and stores that a storage node has. Null: the node does not answer. */
  readonly volumes: number | null;
  readonly stores: number | null;
  /** Operations of a client node that have not ended. */
  readonly operations: number;
}

/** Every node, in the order of the cluster file. */
export function nodesOf({ cluster, storage, clients }: Observation): readonly NodePicture[] {
  const pictures = new Map<string, NodePicture>();
  for (const { node, status, problem, silentSince } of [...storage, ...clients]) {
    const stores = status?.role === 'storage-node' ? status.stores.length : null;
    const volumes = status?.role === 'client-node' ? status.pools.length : null;
    pictures.set(node.name, {
      ...{ name: node.name, role: node.role, admin: node.admin, answers: problem === null, health: status?.health ?? null },
      ...{ problem: problem?.message ?? null, silentSince, version: status?.node.version ?? null },
      ...{ startedAt: status?.node.startedAt ?? null, hostUuid: status?.node.hostUuid ?? null, volumes, stores },
      addresses: status === null ? [] : status.role === 'storage-node' ? status.rtrsAddresses : status.nbdAddresses,
      operations: clients.find((client) => client.node.name === node.name)?.operations.length ?? 0,
    });
  }
  return cluster.nodes.flatMap(({ name }) => pictures.get(name) ?? []);
}

/** A disk, with the node that it is on. */
export type DiskPicture = DiskStatus & { readonly node: string };

/** Every disk of the storage nodes that answer, by node and name. The disks have to be part of the observation. */
export function disksOf({ storage }: Observation): readonly DiskPicture[] {
  const all = storage.flatMap(({ node, disks }) => disks.map((disk) => ({ node: node.name, ...disk })));
  return all.sort((a, b) => compare(a.node, b.node) || compare(a.name, b.name));
}

/** A store. */
export interface StorePicture {
  readonly node: string;
  /** The disk that it is on. Null: the node's configuration names the store by its path. */
  readonly disk: string | null;
  readonly path: string | null;
  readonly storeUuid: string | null;
  readonly poolUuid: string | null;
  /** The volume that it belongs to. Null: not known, as the store has not been open since the start of its node. */
  readonly poolName: string | null;
  readonly memberId: number | null;
  readonly sizeBytes: number | null;
  readonly allocatedBytes: number | null;
  /** Whether it is open. */
  readonly attached: boolean;
  /** Why it is not open; empty: it is, or nobody knows. */
  readonly reason: string;
}

/** Every store, by volume, node and disk. The disks have to be part of the observation. */
export function storesOf({ storage }: Observation): readonly StorePicture[] {
  const all = storage.flatMap(({ node: { name: node }, status, disks }): StorePicture[] => {
    const configured = new Map((status?.stores ?? []).map((store) => [store.uuid ?? store.path, store]));
    const sizes = new Map((status?.pools ?? []).map(({ store }) => [store?.uuid, store?.sizeBytes ?? null]));
    const onDisks = disks.flatMap(({ name: disk, stores }) =>
      stores.map((store) => {
        const known = configured.get(store.storeUuid);
        configured.delete(store.storeUuid);
        return { node, disk, path: known?.path ?? null, ...store, reason: store.attached ? '' : (known?.reason ?? 'it is closed') };
      }),
    );
    const others = [...configured.values()].map(({ path, uuid, pool, state, reason }) => ({
      ...{
        node,
        disk: null,
        path,
        storeUuid: uuid,
        poolUuid: pool?.uuid ?? null,
        poolName: pool?.name ?? null,
        memberId: pool?.memberId ?? null,
      },
      ...{ sizeBytes: uuid === null ? null : (sizes.get(uuid) ?? null), allocatedBytes: null, attached: state !== 'DETACHED' },
      reason: state === 'DETACHED' ? reason : '',
    }));
    return [...onDisks, ...others];
  });
  const key = ({ poolName, node, disk, path }: StorePicture): string => [poolName ?? '~', node, disk ?? path ?? ''].join('\0');
  return all.sort((a, b) => compare(key(a), key(b)));
}
