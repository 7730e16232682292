/** Asks every daemon of a cluster, side by side. One that does not answer never hides the others. */
import {
  type AdminClient,
  adminError,
  type ClientNodeStatus,
  createAdminClient,
  type DiskStatus,
  type OperationView,
  type StorageNodeStatus,
} from '@rmr/admin-api';
import { OperationError } from '@rmr/runtime';
import type { Cluster, ClusterNode } from './cluster-file.ts';

/** How long a daemon is waited for, in milliseconds. */
export const ANSWER_MS = 3_000;

/** What was heard of a storage node. */
export interface SeenStorageNode {
  readonly node: ClusterNode & { readonly role: 'storage-node' };
  /** Null: it did not answer, and `problem` says why. */
  readonly status: StorageNodeStatus | null;
  readonly disks: readonly DiskStatus[];
  readonly problem: OperationError | null;
}

/** What was heard of a client node. */
export interface SeenClientNode {
  readonly node: ClusterNode & { readonly role: 'client-node' };
  readonly status: ClientNodeStatus | null;
  /** The operations that have not ended. */
  readonly operations: readonly OperationView[];
  readonly problem: OperationError | null;
}

/** A cluster at a moment. */
export interface Observation {
  readonly cluster: Cluster;
  readonly storage: readonly SeenStorageNode[];
  readonly clients: readonly SeenClientNode[];
}

/** A client of a daemon's admin interface. */
export function adminOf(node: ClusterNode, timeoutMs = ANSWER_MS): AdminClient {
  return createAdminClient({ url: node.admin, token: node.token, timeoutMs });
}

/** Calls a daemon. Rejects with an OperationError. */
export async function ask<T>(node: ClusterNode, call: (admin: AdminClient) => Promise<T>, timeoutMs?: number): Promise<T> {
  try {
    return await call(adminOf(node, timeoutMs));
  } catch (error) {
    throw adminError(error, node.admin);
  }
}

/** Looks at every daemon. `disks`: look at the disks of storage nodes, too, which takes a moment longer. Never rejects for a daemon. */
export async function observe(cluster: Cluster, options: { readonly disks?: boolean } = {}): Promise<Observation> {
  const storage: Promise<SeenStorageNode>[] = [];
  const clients: Promise<SeenClientNode>[] = [];
  for (const node of cluster.nodes) {
    if (node.role === 'storage-node') storage.push(seeStorageNode({ ...node, role: 'storage-node' }, options.disks === true));
    else clients.push(seeClientNode({ ...node, role: 'client-node' }));
  }
  return { cluster, storage: await Promise.all(storage), clients: await Promise.all(clients) };
}

async function seeStorageNode(node: SeenStorageNode['node'], withDisks: boolean): Promise<SeenStorageNode> {
  try {
    const [status, disks] = await Promise.all([
      ask(node, (admin) => admin.status.query()),
      withDisks ? ask(node, (admin) => admin.disk.list.query(), 4 * ANSWER_MS) : [],
    ]);
    if (status.role === 'storage-node') return { node, status, disks, problem: null };
    return { node, status: null, disks: [], problem: wrongRole(node, status.role) };
  } catch (error) {
    return { node, status: null, disks: [], problem: error as OperationError };
  }
}

async function seeClientNode(node: SeenClientNode['node']): Promise<SeenClientNode> {
  try {
    const [status, operations] = await Promise.all([
      ask(node, (admin) => admin.status.query()),
      ask(node, (admin) => admin.operation.list.query({ unfinished: true, limit: 200 })),
    ]);
    if (status.role === 'client-node') return { node, status, operations, problem: null };
    return { node, status: null, operations: [], problem: wrongRole(node, status.role) };
  } catch (error) {
    return { node, status: null, operations: [], problem: error as OperationError };
  }
}

function wrongRole(node: ClusterNode, role: string): OperationError {
  return new OperationError('INVALID_CONFIG', `${node.admin} is a ${role}, and the cluster file says that ${node.name} is a ${node.role}`);
}
