import { assert, OperationError } from '@rmr/runtime';
import {
  adminUrl,
  type ClientNodeState,
  type ClusterState,
  clientNode,
  layout,
  nodeNames,
  runningClients,
  runningProcess,
  storageNode,
  writeState,
} from './cluster-state.ts';
import { POOL_NAME, START_TIMEOUT_MS, WEB_NAME } from './constants.ts';
import { launchPlan } from './node-plans.ts';
import { describeDeath, type Launched, launch, logTail, stopProcess } from './node-process.ts';
import { NO_ANSWER, probe, unbornRemedy } from './probes.ts';
import { processState } from './process-identity.ts';
import { waitFor } from './waiting.ts';

/**
 * Starts a node and returns when it answers: a storage node with its stores open and its listeners up, a client node
 * with its NBD listeners up, the web application with its page. Throws with the last lines of its log when it ends
 * before that; it is not left running then.
 */
export async function startNode(directory: string, state: ClusterState, name: string): Promise<Launched> {
  assert(runningProcess(state, name) === null, 'start: the node runs already');
  const launched = await launch(launchPlan(directory, state, name));
  state.processes[name] = launched.identity;
  writeState(directory, state);
  const url = `${baseUrl(state, name)}/healthz`;
  let answer: string | null = 'no answer';
  const outcome = await waitFor(START_TIMEOUT_MS, async () => {
    if (processState(launched.identity) === 'gone') return 'dead' as const;
    answer = await probe(url);
    return answer === null ? ('alive' as const) : null;
  });
  if (outcome === 'alive') return launched;
  if (outcome === null) await stopProcess(launched.identity);
  delete state.processes[name];
  writeState(directory, state);
  if (outcome === 'dead') {
    await childReaped(launched);
    throw new OperationError('UNAVAILABLE', describeDeath(launched));
  }
  throw new OperationError(
    'TIMEOUT',
    `${name} did not answer at ${url} within ${START_TIMEOUT_MS / 1000} s (${answer}). The last lines of ${launched.logPath}:\n${logTail(launched.logPath)}`,
  );
}

/**
 * Starts nodes that don't run: storage nodes together, then the others, which would have to wait for them. `launched`
 * gets those that have started, also when others have not: then the first failure is thrown.
 */
export async function startNodes(
  directory: string,
  state: ClusterState,
  names: readonly string[],
  launched: Launched[],
  progress: (names: readonly string[]) => void = () => {},
): Promise<void> {
  const storage = names.filter((name) => storageNode(state, name) !== null);
  for (const group of [storage, names.filter((name) => !storage.includes(name))]) {
    if (group.length === 0) continue;
    progress(group);
    const outcomes = await Promise.allSettled(group.map((name) => startNode(directory, state, name)));
    for (const outcome of outcomes) if (outcome.status === 'fulfilled') launched.push(outcome.value);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }
}

/** Waits until a client node serves IO. Throws with what it waits for: at once, where that is the order to create the pool. */
export async function waitUntilServing(directory: string, state: ClusterState, timeoutMs: number): Promise<void> {
  let why: string | null = null;
  let remedy: string | null = null;
  let name = (state.clientNodes[0] as ClientNodeState).name;
  const outcome = await waitFor(timeoutMs, async () => {
    const clients = runningClients(state);
    for (const client of clients) {
      name = client.name;
      why = await probe(`${adminUrl(client.adminPort)}/readyz`);
      if (why === null) return 'serving' as const;
      if (why !== NO_ANSWER) remedy ??= await unbornRemedy(adminUrl(client.adminPort), state.poolUuid);
    }
    if (remedy !== null) return 'unborn' as const;
    return clients.length === 0 ? ('dead' as const) : null;
  });
  if (outcome === 'serving') return;
  if (outcome === 'unborn') throw neverCreated(directory, state, remedy ?? '');
  const log = layout.log(directory, name);
  if (outcome === 'dead') throw new OperationError('UNAVAILABLE', `${name} has ended. The last lines of ${log}:\n${logTail(log)}`);
  throw new OperationError('TIMEOUT', `IO is not served after ${timeoutMs / 1000} s: ${why}. The log is ${log}`);
}

/** What there is to say when somebody waits for a pool that nobody has created. `remedy` is what the client node says. */
export function neverCreated(directory: string, { poolCreated }: ClusterState, remedy: string): OperationError {
  // "cluster up" gives the order, unless it knows that it was carried out once.
  const next = poolCreated ? remedy : `"cluster up --dir ${directory}" creates it`;
  const why = poolCreated ? `${POOL_NAME}: no member that answers has ever been in service` : `${POOL_NAME} has never been created`;
  return new OperationError('UNAVAILABLE', `${why}, so IO is not served. ${next}`.trimEnd());
}

/** Where a node's HTTP interface is. */
function baseUrl(state: ClusterState, name: string): string {
  if (name === WEB_NAME) return adminUrl(state.webPort as number);
  const node = clientNode(state, name) ?? storageNode(state, name);
  assert(node !== null, 'start: no such node');
  return adminUrl(node.adminPort);
}

/** Throws NOT_FOUND unless the cluster has a node of this name. */
export function requireNode(state: ClusterState, name: string): void {
  const names = nodeNames(state);
  if (!names.includes(name))
    throw new OperationError('NOT_FOUND', `there is no node "${name}" in this cluster; there are ${names.join(', ')}`);
}

/** Node learns of a child's end a moment after the kernel shows it. */
async function childReaped(launched: Launched): Promise<void> {
  await waitFor(1000, () => (launched.child.exitCode === null && launched.child.signalCode === null ? null : true));
}
