/** Asks every daemon of a cluster, side by side, each with a time limit. One that does not answer never hides the others. */
import {
  type AdminClient,
  adminError,
  type ClientNodeStatus,
  createAdminClient,
  type DiskStatus,
  type NodeStatus,
  type OperationView,
  type StorageNodeStatus,
} from '@rmr/admin-api';
import { OperationError } from '@rmr/runtime';
import type { Cluster, ClusterNode } from './cluster-file.ts';

/** Looks at every daemon once. Never rejects for a daemon. */
export function observe(cluster: Cluster, options: ObserveOptions = {}): Promise<Observation> {
  return new Observer(cluster, options).observe();
}

/** How long a daemon is waited for, in milliseconds. */
export const ANSWER_MS = 3_000;
/** How long a storage node may take to look at its disks. A disk that hangs is told by its node within this time. */
export const DISKS_MS = 12_000;

/** What is heard of any node. */
interface Seen {
  /** Why the node did not answer. Null: it answered. */
  readonly problem: OperationError | null;
  /**
   * Since when the node is known not to answer: the first of the observations in a row that it missed, or the moment when a client node lost
   * its session, whichever is earlier. ISO 8601. Null: it answered.
   */
  readonly silentSince: string | null;
}

/** What was heard of a storage node. */
export interface SeenStorageNode extends Seen {
  readonly node: ClusterNode & { readonly role: 'storage-node' };
  /** Null: it did not answer, and `problem` says why. */
  readonly status: StorageNodeStatus | null;
  readonly disks: readonly DiskStatus[];
  /** Why the disks are not known although they were asked for. Null: they are known, or were not asked for. */
  readonly disksProblem: OperationError | null;
}

/** What was heard of a client node. */
export interface SeenClientNode extends Seen {
  readonly node: ClusterNode & { readonly role: 'client-node' };
  readonly status: ClientNodeStatus | null;
  /** The operations that have not ended. */
  readonly operations: readonly OperationView[];
  /** Why the operations are not known. Null: they are. */
  readonly operationsProblem: OperationError | null;
}

/** A cluster at a moment. */
export interface Observation {
  readonly cluster: Cluster;
  /** When it was looked at. ISO 8601. */
  readonly at: string;
  /** Whether the disks were asked for. */
  readonly withDisks: boolean;
  readonly storage: readonly SeenStorageNode[];
  readonly clients: readonly SeenClientNode[];
}

export interface ObserveOptions {
  /** Look at the disks of storage nodes, too. That takes a moment longer. */
  readonly disks?: boolean | undefined;
  /** Milliseconds; {@link ANSWER_MS} unless given. */
  readonly answerMs?: number | undefined;
  /** The wall clock, in milliseconds. */
  readonly now?: (() => number) | undefined;
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

/** Looks at a cluster again and again, and remembers since when a node has not answered. */
export class Observer {
  readonly #cluster: Cluster;
  readonly #options: ObserveOptions;
  /** By name of the node: when it first did not answer. */
  readonly #silent = new Map<string, string>();

  constructor(cluster: Cluster, options: ObserveOptions = {}) {
    this.#cluster = cluster;
    this.#options = options;
  }

  /** Never rejects for a daemon. */
  async observe(): Promise<Observation> {
    const { disks = false, answerMs = ANSWER_MS, now = Date.now } = this.#options;
    const at = new Date(now()).toISOString();
    const storage: Promise<SeenStorageNode>[] = [];
    const clients: Promise<SeenClientNode>[] = [];
    for (const node of this.#cluster.nodes) {
      if (node.role === 'storage-node') storage.push(seeStorageNode({ ...node, role: 'storage-node' }, disks, answerMs, at));
      else clients.push(seeClientNode({ ...node, role: 'client-node' }, answerMs, at));
    }
    const seen = { storage: await Promise.all(storage), clients: await Promise.all(clients) };
    for (const { node, problem } of [...seen.storage, ...seen.clients]) {
      if (problem === null) this.#silent.delete(node.name);
      else if (!this.#silent.has(node.name)) this.#silent.set(node.name, at);
    }
    const since = <Node extends SeenStorageNode | SeenClientNode>(node: Node): Node => {
      if (node.problem === null) return node;
      const first = this.#silent.get(node.node.name) ?? at;
      const session = node.node.role === 'storage-node' ? sessionLostSince(node.node.name, seen.clients) : null;
      return { ...node, silentSince: session !== null && session < first ? session : first };
    };
    return { cluster: this.#cluster, at, withDisks: disks, storage: seen.storage.map(since), clients: seen.clients.map(since) };
  }
}

/** When the first client node lost its session to a storage node. Null: none says that it has. */
function sessionLostSince(name: string, clients: readonly SeenClientNode[]): string | null {
  const legs = clients.flatMap(({ status }) => status?.pools.flatMap((pool) => pool.legs) ?? []);
  const times = legs.filter((leg) => leg.name === name && !leg.connected).map(({ since }) => since);
  return times.sort()[0] ?? null;
}

async function seeStorageNode(node: SeenStorageNode['node'], withDisks: boolean, answerMs: number, at: string): Promise<SeenStorageNode> {
  const [heard, disks] = await Promise.all([
    attempt(node, (admin) => admin.status.query(), answerMs),
    withDisks ? attempt(node, (admin) => admin.disk.list.query(), Math.max(answerMs, DISKS_MS)) : null,
  ]);
  const { status, problem } = judge(node, heard, 'storage-node');
  if (problem !== null) return { node, status: null, disks: [], disksProblem: null, problem, silentSince: at };
  return {
    ...{ node, status: status as StorageNodeStatus, problem: null, silentSince: null },
    ...{ disks: disks?.answer ?? [], disksProblem: disks?.problem ?? null },
  };
}

async function seeClientNode(node: SeenClientNode['node'], answerMs: number, at: string): Promise<SeenClientNode> {
  const [heard, operations] = await Promise.all([
    attempt(node, (admin) => admin.status.query(), answerMs),
    attempt(node, (admin) => admin.operation.list.query({ unfinished: true, limit: 200 }), answerMs),
  ]);
  const { status, problem } = judge(node, heard, 'client-node');
  if (problem !== null) return { node, status: null, operations: [], operationsProblem: null, problem, silentSince: at };
  return {
    ...{ node, status: status as ClientNodeStatus, problem: null, silentSince: null },
    ...{ operations: operations.answer ?? [], operationsProblem: operations.problem },
  };
}

/** What came of a question. */
type Heard<T> = { readonly answer: T; readonly problem: null } | { readonly answer: null; readonly problem: OperationError };

/** Asks a daemon. Never rejects. */
export async function attempt<T>(node: ClusterNode, call: (admin: AdminClient) => Promise<T>, timeoutMs?: number): Promise<Heard<T>> {
  try {
    return { answer: await ask(node, call, timeoutMs), problem: null };
  } catch (error) {
    return { answer: null, problem: error as OperationError };
  }
}

/** The status that was heard, if it is one of the role that the cluster file names. */
function judge(
  node: ClusterNode,
  { answer, problem }: Heard<NodeStatus>,
  role: NodeStatus['role'],
): { readonly status: NodeStatus | null; readonly problem: OperationError | null } {
  if (problem !== null) return { status: null, problem };
  if (answer.role === role) return { status: answer, problem: null };
  const sentence = `${node.admin} is a ${answer.role}, and the cluster file says that ${node.name} is a ${role}`;
  return { status: null, problem: new OperationError('INVALID_CONFIG', sentence) };
}
