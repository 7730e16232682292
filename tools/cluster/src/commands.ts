import { rmSync } from 'node:fs';
import { type ClientNodeStatus, HEALTH_EXIT_CODES, type Health, worstHealth } from '@rmr/admin-api';
import { errorMessage, OperationError } from '@rmr/runtime';
import { adminUrl, type ClusterState, nodeNames, readState, runningProcess, writeState } from './cluster-state.ts';
import { CLIENT_NAME, LOCK_TIMEOUT_MS, WEB_NAME } from './constants.ts';
import { withDirectoryLock } from './directory-lock.ts';
import { writeConfigurations } from './node-plans.ts';
import { killProcess, stopProcess } from './node-process.ts';
import { clientStatus, flushPool, nodeStatus } from './probes.ts';
import { type ProcessIdentity, processState, signalProcess } from './process-identity.ts';
import { requireNode, startNode, waitUntilServing } from './starting.ts';
import { members, storeDigest } from './stores.ts';
import { waitFor } from './waiting.ts';

/** How long a running node may take to give up the connections that it was cut off from, or to stop them. */
const CUT_TIMEOUT_MS = 10_000;

/** Does `work` with the state of the cluster, alone, and writes the state afterwards: stopped daemons have no pid then. */
async function changing<Result>(
  directory: string,
  work: (state: ClusterState) => Promise<Result>,
  lockTimeoutMs = LOCK_TIMEOUT_MS,
): Promise<Result> {
  readState(directory);
  return await withDirectoryLock(
    directory,
    async () => {
      const state = readState(directory);
      try {
        return await work(state);
      } finally {
        for (const name of Object.keys(state.processes)) if (runningProcess(state, name) === null) delete state.processes[name];
        writeState(directory, state);
      }
    },
    lockTimeoutMs,
  );
}

/** Stops everything, clients first, and keeps the data. Cut connections are whole again at the next start. Returns what had to be forced. */
export function down(directory: string, progress: (step: string) => void): Promise<string[]> {
  return changing(directory, async (state) => {
    const forced: string[] = [];
    const stop = async (name: string): Promise<void> => {
      const identity = runningProcess(state, name);
      if (identity === null) return;
      progress(`stopping ${name}`);
      const outcome = await stopProcess(identity);
      if (outcome === 'killed' || outcome === 'stopped at once')
        forced.push(`${name} ${outcome === 'killed' ? 'had to be killed' : 'was stopped at once'}`);
    };
    // A client node whose storage nodes are paused could not flush.
    for (const name of nodeNames(state)) resumeIfPaused(runningProcess(state, name));
    await Promise.all([stop(WEB_NAME), stop(CLIENT_NAME)]);
    await Promise.all(state.storageNodes.map((node) => stop(node.name)));
    state.partitions = [];
    // What is left of killed daemons; the directory is made again at the next start.
    rmSync(state.socketDirectory, { recursive: true, force: true });
    return forced;
  });
}

/** SIGKILL. */
export function kill(directory: string, name: string): Promise<void> {
  return changing(directory, async (state) => {
    await killProcess(requireRunning(state, name));
  });
}

/** Starts a node again with the identity that it had. */
export function start(directory: string, name: string): Promise<void> {
  return changing(directory, async (state) => {
    requireNode(state, name);
    const running = runningProcess(state, name);
    if (running !== null) throw new OperationError('CONFLICT', `${name} runs already (process ${running.pid})`);
    writeConfigurations(directory, state);
    await startNode(directory, state, name);
  });
}

/** SIGSTOP. */
export function pauseNode(directory: string, name: string): Promise<void> {
  return changing(directory, async (state) => {
    const identity = requireRunning(state, name);
    signalProcess(identity, 'SIGSTOP');
    await waitFor(CUT_TIMEOUT_MS, () => (processState(identity) === 'running' ? null : true));
  });
}

/** SIGCONT. */
export function resumeNode(directory: string, name: string): Promise<void> {
  return changing(directory, async (state) => {
    const identity = requireRunning(state, name);
    if (processState(identity) !== 'paused') throw new OperationError('CONFLICT', `${name} is not paused`);
    signalProcess(identity, 'SIGCONT');
    await waitFor(CUT_TIMEOUT_MS, () => (processState(identity) === 'paused' ? null : true));
  });
}

/** Cuts the connections between two nodes, or lets them be made again. */
export function setPartition(directory: string, a: string, b: string, cut: boolean): Promise<void> {
  return changing(directory, async (state) => {
    for (const name of [a, b]) {
      requireNode(state, name);
      if (name === WEB_NAME)
        throw new OperationError('INVALID_ARGUMENT', 'the web application is no part of the data path; name two daemons');
    }
    if (a === b) throw new OperationError('INVALID_ARGUMENT', `${a} cannot be parted from itself; name two nodes`);
    const exists = state.partitions.some((pair) => pair.includes(a) && pair.includes(b));
    if (exists === cut) return;
    state.partitions = state.partitions.filter((pair) => !(pair.includes(a) && pair.includes(b)));
    if (cut) state.partitions.push([a, b]);
    writeConfigurations(directory, state);
    // Whoever is down reads its routes when it starts, and whoever is paused when it is resumed.
    for (const name of [a, b]) {
      const identity = runningProcess(state, name);
      if (identity !== null) signalProcess(identity, 'SIGHUP');
    }
    if (cut) await waitUntilCut(state, a, b);
  });
}

/** Waits until every node is up and the client node calls the pool healthy. */
export async function waitUntilHealthy(directory: string, timeoutMs: number): Promise<void> {
  readState(directory);
  let why = '';
  const outcome = await waitFor(timeoutMs, async () => {
    const health = (await report(directory)).health;
    why = health.sentence;
    return health.level === 'healthy' ? true : null;
  });
  if (outcome === null) throw new OperationError('TIMEOUT', `not healthy after ${timeoutMs / 1000} s: ${why}`);
}

/** Waits until IO is served, with whatever redundancy. */
export async function waitUntilUp(directory: string, timeoutMs: number): Promise<void> {
  await waitUntilServing(directory, readState(directory), timeoutMs);
}

export interface MemberDigest {
  readonly name: string;
  readonly sha256: string;
}

/** The digest of every member's data, after a flush where the client node runs. `warn` is told when that flush failed. */
export async function checksum(directory: string, warn: (text: string) => void): Promise<MemberDigest[]> {
  const state = readState(directory);
  if (runningProcess(state, CLIENT_NAME) !== null) {
    try {
      await flushPool(adminUrl(state.clientAdminPort), state.poolUuid);
    } catch (error) {
      warn(`the pool could not be flushed before: ${errorMessage(error)}`);
    }
  }
  return await Promise.all(members(state).map(async (node) => ({ name: node.name, sha256: await storeDigest(directory, node) })));
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
  readonly client: ClientNodeStatus | null;
  readonly exitCode: number;
}

/** How the whole cluster is. */
export async function report(directory: string): Promise<ClusterReport> {
  const state = readState(directory);
  await noteDeaths(directory, state);
  let client: ClientNodeStatus | null = null;
  const observe = async (name: string, look: () => Promise<Health>): Promise<NodeReport> => {
    const identity = runningProcess(state, name);
    const process = processState(identity);
    if (process === 'gone') return { name, state: 'stopped', pid: null, health: { level: 'down', sentence: `${name} is not running` } };
    const pid = (identity as ProcessIdentity).pid;
    if (process === 'paused') return { name, state: 'paused', pid, health: { level: 'down', sentence: `${name} is paused` } };
    try {
      return { name, state: 'running', pid, health: await look() };
    } catch (error) {
      return { name, state: 'running', pid, health: { level: 'down', sentence: errorMessage(error) } };
    }
  };
  const nodes = await Promise.all([
    ...state.storageNodes.map((node) => observe(node.name, async () => (await nodeStatus(adminUrl(node.adminPort))).health)),
    observe(CLIENT_NAME, async () => {
      client = await clientStatus(adminUrl(state.clientAdminPort));
      return (client as ClientNodeStatus).health;
    }),
  ]);
  const health = clusterHealth(
    nodes,
    state.storageNodes.filter((node) => node.memberId === null).map((node) => node.name),
  );
  return { health, nodes, partitions: state.partitions, client, exitCode: HEALTH_EXIT_CODES[health.level] };
}

/** Takes the pids of daemons that died by themselves out of the cluster file, unless another command is at work: it will do so. */
export async function noteDeaths(directory: string, state: ClusterState): Promise<void> {
  if (Object.keys(state.processes).every((name) => runningProcess(state, name) !== null)) return;
  try {
    await changing(directory, async () => {}, 0);
  } catch (error) {
    if (!(error instanceof OperationError && error.code === 'CONFLICT')) throw error;
  }
}

/**
 * The client node knows whether IO is served and how redundantly; a storage node that is down takes away no more than
 * redundancy, and one that holds no member not even that while it runs.
 */
function clusterHealth(nodes: readonly NodeReport[], spares: readonly string[]): Health {
  const client = nodes.find((node) => node.name === CLIENT_NAME) as NodeReport;
  if (client.health.level !== 'healthy') return client.health;
  const parts = nodes
    .filter((node) => node !== client && !(node.state === 'running' && spares.includes(node.name)))
    .map((node): Health => ({ ...node.health, level: node.health.level === 'healthy' ? 'healthy' : 'degraded' }));
  return worstHealth(parts, client.health.sentence);
}

async function waitUntilCut(state: ClusterState, a: string, b: string): Promise<void> {
  const storage = state.storageNodes.find((node) => node.name === (a === CLIENT_NAME ? b : a));
  const identity = runningProcess(state, CLIENT_NAME);
  if ((a !== CLIENT_NAME && b !== CLIENT_NAME) || storage === undefined || processState(identity) !== 'running') return;
  const outcome = await waitFor(CUT_TIMEOUT_MS, async () => {
    if (processState(identity) !== 'running') return true;
    const status = await clientStatus(adminUrl(state.clientAdminPort));
    const paths = status.sessions.flatMap((session) => session.paths).filter((path) => storage.rtrs.includes(path.address));
    return paths.some((path) => path.state === 'UP') ? null : true;
  });
  if (outcome === null)
    throw new OperationError('TIMEOUT', `${CLIENT_NAME} has not given up its connection to ${storage.name} in ${CUT_TIMEOUT_MS / 1000} s`);
}

function requireRunning(state: ClusterState, name: string): ProcessIdentity {
  requireNode(state, name);
  const identity = runningProcess(state, name);
  if (identity === null) throw new OperationError('CONFLICT', `${name} is not running; start it with "cluster start ${name}"`);
  return identity;
}

function resumeIfPaused(identity: ProcessIdentity | null): void {
  if (identity !== null && processState(identity) === 'paused') signalProcess(identity, 'SIGCONT');
}
