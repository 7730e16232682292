import { assert, OperationError } from '@rmr/runtime';
import { adminUrl, type ClusterState, layout, nodeNames, runningProcess, writeState } from './cluster-state.ts';
import { CLIENT_NAME, START_TIMEOUT_MS, WEB_NAME } from './constants.ts';
import { launchPlan } from './node-plans.ts';
import { describeDeath, type Launched, launch, logTail, stopProcess } from './node-process.ts';
import { probe } from './probes.ts';
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

/** Waits until the client node serves IO. Throws with what it waits for. */
export async function waitUntilServing(directory: string, state: ClusterState, timeoutMs: number): Promise<void> {
  let why: string | null = null;
  const url = `${adminUrl(state.clientAdminPort)}/readyz`;
  const outcome = await waitFor(timeoutMs, async () => {
    if (runningProcess(state, CLIENT_NAME) === null) return 'dead' as const;
    why = await probe(url);
    return why === null ? ('serving' as const) : null;
  });
  if (outcome === 'serving') return;
  const log = layout.log(directory, CLIENT_NAME);
  if (outcome === 'dead') throw new OperationError('UNAVAILABLE', `${CLIENT_NAME} has ended. The last lines of ${log}:\n${logTail(log)}`);
  throw new OperationError('TIMEOUT', `IO is not served after ${timeoutMs / 1000} s: ${why}. The log is ${log}`);
}

/** Where a node's HTTP interface is. */
function baseUrl(state: ClusterState, name: string): string {
  if (name === CLIENT_NAME) return adminUrl(state.clientAdminPort);
  if (name === WEB_NAME) return adminUrl(state.webPort as number);
  const node = state.storageNodes.find((candidate) => candidate.name === name);
  assert(node !== undefined, 'start: no such node');
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
