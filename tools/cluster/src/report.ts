import {
  type ClientNodeStatus,
  type ClientPoolStatus,
  HEALTH_EXIT_CODES,
  type Health,
  type LegStatus,
  type ServerPoolStatus,
  type StorageNodeStatus,
  worstHealth,
} from '@rmr/admin-api';
import { errorMessage, formatSize } from '@rmr/runtime';
import { noteDeaths } from './changing.ts';
import { adminUrl, type ClusterState, nodeNames, readState, runningProcess } from './cluster-state.ts';
import { clientStatus, storageStatus } from './probes.ts';
import { type ProcessIdentity, processState } from './process-identity.ts';

/** How the whole cluster is. */
export async function report(directory: string): Promise<ClusterReport> {
  const state = readState(directory);
  await noteDeaths(directory, state);
  const clients: ClientNodeStatus[] = [];
  const storage: StorageNodeStatus[] = [];
  const clientReports = await Promise.all(
    state.clientNodes.map(({ name, adminPort }) => observe(state, name, () => clientStatus(adminUrl(adminPort)), clients)),
  );
  const storageReports = await Promise.all(
    state.storageNodes.map(({ name, adminPort }) => observe(state, name, () => storageStatus(adminUrl(adminPort)), storage)),
  );
  const spares = state.storageNodes.filter((node) => node.memberId === null).map((node) => node.name);
  const health = clusterHealth(clientReports, storageReports, spares);
  return {
    health,
    nodes: [...storageReports, ...clientReports],
    partitions: state.partitions,
    client: clients.find(serves) ?? clients[0] ?? null,
    clients,
    storage,
    exitCode: HEALTH_EXIT_CODES[health.level],
  };
}

/** A node as `status` shows it. */
export interface NodeReport {
  readonly name: string;
  readonly state: 'running' | 'paused' | 'stopped';
  readonly pid: number | null;
  readonly health: Health;
}

export interface ClusterReport {
  readonly health: Health;
  readonly nodes: readonly NodeReport[];
  readonly partitions: readonly (readonly [string, string])[];
  /** The client node that serves; where none does, one that answers; null when none answers. */
  readonly client: ClientNodeStatus | null;
  /** Every client node that answers. */
  readonly clients: readonly ClientNodeStatus[];
  /** Every storage node that answers. */
  readonly storage: readonly StorageNodeStatus[];
  readonly exitCode: number;
}

/** What every node's process does, without asking the nodes. */
export function processStates(directory: string): ReadonlyMap<string, NodeReport['state']> {
  const state = readState(directory);
  return new Map(
    nodeNames(state).map((name) => {
      const process = processState(runningProcess(state, name));
      return [name, process === 'gone' ? 'stopped' : process];
    }),
  );
}

/** What tells whether a cluster has converged. */
export interface ConvergenceView {
  readonly health: Health;
  readonly client: {
    readonly node: { readonly name: string };
    readonly pools: readonly {
      readonly uuid: string;
      readonly state: ClientPoolStatus['state'];
      readonly legs: readonly Pick<LegStatus, 'name' | 'state' | 'reason' | 'dirtyBytes'>[];
    }[];
  } | null;
  readonly storage: readonly {
    readonly node: { readonly name: string };
    readonly pools: readonly Pick<ServerPoolStatus, 'uuid' | 'state' | 'reason' | 'dirty'>[];
  }[];
}

/** Whether a client node serves its pool. */
export function serves(status: { readonly pools: readonly Pick<ClientPoolStatus, 'state'>[] }): boolean {
  return status.pools.some((pool) => pool.state === 'SERVING');
}

/**
 * Null when the cluster has converged (I5): IO is served, every member is in sync, and nobody knows of a dirty chunk.
 * Else the first thing that is missing, for people.
 */
export function unconverged({ health, client, storage }: ConvergenceView): string | null {
  if (client === null || !serves(client)) return health.sentence;
  for (const pool of client.pools) {
    for (const leg of pool.legs) {
      if (leg.state !== 'NORMAL') return `the leg of ${client.node.name} to ${leg.name} is ${leg.state}: ${leg.reason}`;
      if (leg.dirtyBytes !== null && leg.dirtyBytes > 0)
        return `${client.node.name} knows ${formatSize(leg.dirtyBytes)} that ${leg.name} has missed`;
    }
    for (const leg of pool.legs) {
      const member = storage.find((status) => status.node.name === leg.name)?.pools.find((each) => each.uuid === pool.uuid);
      if (member === undefined) return `${leg.name} does not answer`;
      if (member.state !== 'NORMAL') return `${leg.name} is ${member.state}: ${member.reason}`;
      const missed = member.dirty.find((entry) => entry.dirtyBytes > 0);
      if (missed !== undefined) return `${leg.name} knows ${formatSize(missed.dirtyBytes)} that member ${missed.memberId} has missed`;
    }
  }
  return null;
}

/** Looks at one node; its status goes to `answers`. */
async function observe<Status extends { readonly health: Health }>(
  state: ClusterState,
  name: string,
  look: () => Promise<Status>,
  answers: Status[],
): Promise<NodeReport> {
  const identity = runningProcess(state, name);
  const process = processState(identity);
  if (process === 'gone') return { name, state: 'stopped', pid: null, health: { level: 'down', sentence: `${name} is not running` } };
  const pid = (identity as ProcessIdentity).pid;
  if (process === 'paused') return { name, state: 'paused', pid, health: { level: 'down', sentence: `${name} is paused` } };
  try {
    const status = await look();
    answers.push(status);
    return { name, state: 'running', pid, health: status.health };
  } catch (error) {
    return { name, state: 'running', pid, health: { level: 'down', sentence: errorMessage(error) } };
  }
}

/**
 * The client node that serves knows how redundantly; its rivals don't count. A storage node that is down takes away no
 * more than redundancy, and one that holds no member not even that while it runs.
 */
function clusterHealth(clients: readonly NodeReport[], storage: readonly NodeReport[], spares: readonly string[]): Health {
  const rank = (node: NodeReport): number => HEALTH_EXIT_CODES[node.health.level] + (node.state === 'running' ? 0 : 0.5);
  const best = [...clients].sort((a, b) => rank(a) - rank(b))[0] as NodeReport;
  if (best.health.level !== 'healthy') return best.health;
  const parts = storage
    .filter((node) => !(node.state === 'running' && spares.includes(node.name)))
    .map((node): Health => ({ ...node.health, level: node.health.level === 'healthy' ? 'healthy' : 'degraded' }));
  return worstHealth(parts, best.health.sentence);
}
