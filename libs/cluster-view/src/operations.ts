/** The operations of all client nodes. */
import type { OperationView } from '@rmr/admin-api';
import { OperationError } from '@rmr/runtime';
import { AdvisedError } from './advice.ts';
import type { Cluster, ClusterNode } from './cluster-file.ts';
import { attempt } from './observe.ts';
import { compare } from './volumes.ts';

/** A node that could not be asked, and why. */
export interface Unheard {
  readonly node: string;
  readonly why: string;
}

/** An operation, with the client node that drives it. */
export type OperationPicture = OperationView & { readonly node: string };

export interface OperationList {
  /** The newest first. */
  readonly operations: readonly OperationPicture[];
  readonly unheard: readonly Unheard[];
}

/** The newest operations of every client node. `target`: only those of this volume, by name or UUID. `limit`: from 1 to 200. */
export async function listOperations(
  cluster: Cluster,
  {
    unfinished = false,
    target = null,
    limit = 50,
  }: { readonly unfinished?: boolean; readonly target?: string | null; readonly limit?: number } = {},
): Promise<OperationList> {
  const heard = await Promise.all(
    clientNodes(cluster).map(async (node) => ({
      node,
      ...(await attempt(node, (admin) => admin.operation.list.query({ unfinished, target, limit }))),
    })),
  );
  const operations = heard.flatMap(({ node, answer }) => answer?.map((view) => ({ node: node.name, ...view })) ?? []);
  operations.sort((a, b) => compare(b.createdAt, a.createdAt) || compare(b.id, a.id));
  return { operations: operations.slice(0, limit), unheard: unheardOf(heard) };
}

const UUID_LENGTH = 36;

/**
 * The operation with this id, and the client node that drives it. An id may be shortened, as long as it is clear. Throws NOT_FOUND;
 * INVALID_ARGUMENT for a beginning of several ids; UNAVAILABLE when a client node that may have it does not answer.
 */
export async function findOperation(
  cluster: Cluster,
  id: string,
): Promise<{ readonly node: ClusterNode; readonly operation: OperationView }> {
  const wanted = id.toLowerCase();
  const heard = await Promise.all(
    clientNodes(cluster).map(async (node) => {
      if (wanted.length < UUID_LENGTH) return { node, ...(await attempt(node, (admin) => admin.operation.list.query({ limit: 200 }))) };
      const { answer, problem } = await attempt(node, (admin) => admin.operation.show.query({ id: wanted }));
      return { node, answer: answer === null ? [] : [answer], problem: problem?.code === 'NOT_FOUND' ? null : problem };
    }),
  );
  const found = heard.flatMap(({ node, answer }) =>
    (answer ?? []).filter((each) => each.id.startsWith(wanted)).map((operation) => ({ node, operation })),
  );
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  if (found.length > 1)
    throw new OperationError('INVALID_ARGUMENT', `${id} begins the ids of ${found.length} operations: write more of it`);
  const unheard = unheardOf(heard);
  const list = [{ sentence: 'The newest operations:', action: { do: 'operation-list' } }] as const;
  if (unheard.length === 0) throw new AdvisedError('NOT_FOUND', `no client node has an operation ${id}`, list, 'nothing');
  const silence = unheard.map(({ node, why }) => `${node} did not answer (${why})`).join('; ');
  throw new AdvisedError('UNAVAILABLE', `no client node that answers has an operation ${id}; ${silence}`, list, 'nothing');
}

export function clientNodes({ nodes }: Cluster): readonly ClusterNode[] {
  return nodes.filter(({ role }) => role === 'client-node');
}

/** Those that could not be asked, of several that were asked. */
export function unheardOf(heard: readonly { readonly node: ClusterNode; readonly problem: OperationError | null }[]): readonly Unheard[] {
  return heard.flatMap(({ node, problem }) => (problem === null ? [] : [{ node: node.name, why: problem.message }]));
}
