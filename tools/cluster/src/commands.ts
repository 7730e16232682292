import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { errorMessage, OperationError } from '@rmr/runtime';
import { changing } from './changing.ts';
import {
  adminUrl,
  type ClusterState,
  clientNode,
  nodeNames,
  readState,
  runningClients,
  runningProcess,
  storageNode,
} from './cluster-state.ts';
import { WEB_NAME } from './constants.ts';
import { writeConfigurations } from './node-plans.ts';
import { killProcess, stopProcess } from './node-process.ts';
import { clientStatus, flushPool, nodeStatus, remedyOfUnborn } from './probes.ts';
import { type ProcessIdentity, processState, signalProcess } from './process-identity.ts';
import { type ClusterReport, report, serves, unconverged } from './report.ts';
import { neverCreated, requireNode, startNodes, waitUntilServing } from './starting.ts';
import { members, storeDigest } from './stores.ts';
import { waitFor } from './waiting.ts';

/** How long a running node may take to give up the connections that it was cut off from, or to stop them. */
const CUT_TIMEOUT_MS = 10_000;

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
    await Promise.all([stop(WEB_NAME), ...state.clientNodes.map((node) => stop(node.name))]);
    await Promise.all(state.storageNodes.map((node) => stop(node.name)));
    state.partitions = [];
    // What is left of killed daemons; the directory is made again at the next start.
    rmSync(state.socketDirectory, { recursive: true, force: true });
    return forced;
  });
}

/** SIGKILL, to all of these nodes at one moment. */
export function kill(directory: string, names: readonly string[]): Promise<void> {
  return changing(directory, async (state) => {
    const identities = names.map((name) => requireRunning(state, name));
    await Promise.all(identities.map(killProcess));
  });
}

/** Starts nodes again, with the identity that they had. */
export function start(directory: string, names: readonly string[]): Promise<void> {
  return changing(directory, async (state) => {
    for (const name of names) {
      requireNode(state, name);
      const running = runningProcess(state, name);
      if (running !== null) throw new OperationError('CONFLICT', `${name} runs already (process ${running.pid})`);
    }
    writeConfigurations(directory, state);
    await startNodes(directory, state, names, []);
  });
}

/**
 * Takes the power from these nodes at one moment. Those that run get SIGKILL, and all have another boot id from then on. So the others
 * know that what these nodes had not made durable may be gone. The nodes stay down.
 */
export function losePower(directory: string, names: readonly string[]): Promise<void> {
  return changing(directory, async (state) => {
    for (const name of names) {
      requireNode(state, name);
      if (name === WEB_NAME) throw new OperationError('INVALID_ARGUMENT', 'the web application keeps nothing; name daemons');
    }
    const identities = names.map((name) => runningProcess(state, name)).filter((identity) => identity !== null);
    await Promise.all(identities.map(killProcess));
    for (const name of names) state.bootIds[name] = randomUUID();
  });
}

/** {@link losePower}, then starts them again. `all` stands for every storage node and the client nodes that run. Returns their names. */
export async function powerCycle(directory: string, wanted: readonly string[]): Promise<readonly string[]> {
  const state = readState(directory);
  const names = wanted.includes('all') ? [...state.storageNodes, ...runningClients(state)].map((node) => node.name) : wanted;
  await losePower(directory, names);
  await start(directory, names);
  return names;
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
    // A node that is down reads its routes when it starts, and a paused one when it is resumed.
    for (const name of [a, b]) {
      const identity = runningProcess(state, name);
      if (identity !== null) signalProcess(identity, 'SIGHUP');
    }
    if (cut) await waitUntilCut(state, a, b);
  });
}

/** Waits until every node is up and the client node calls the pool healthy. */
export async function waitUntilHealthy(directory: string, timeoutMs: number): Promise<void> {
  const state = readState(directory);
  let why = '';
  const outcome = await waitFor(timeoutMs, async () => {
    const found = await report(directory);
    refuseUnborn(directory, state, found);
    const { health } = found;
    why = health.sentence;
    return health.level === 'healthy' ? true : null;
  });
  if (outcome === null) throw new OperationError('TIMEOUT', `not healthy after ${timeoutMs / 1000} s: ${why}`);
}

/** Waits until every member is in sync and nothing that one of them has missed is left. */
export async function waitUntilConverged(directory: string, timeoutMs: number): Promise<void> {
  const state = readState(directory);
  let why: string | null = null;
  const outcome = await waitFor(timeoutMs, async () => {
    const found = await report(directory);
    refuseUnborn(directory, state, found);
    why = unconverged(found);
    return why === null ? true : null;
  });
  if (outcome === null) throw new OperationError('TIMEOUT', `not converged after ${timeoutMs / 1000} s: ${why}`);
}

/** Nobody waits for a pool that nobody has created. */
function refuseUnborn(directory: string, state: ClusterState, { clients }: ClusterReport): void {
  if (clients.some(serves)) return;
  for (const status of clients) {
    const remedy = remedyOfUnborn(status, state.poolUuid);
    if (remedy !== null) throw neverCreated(directory, state, remedy);
  }
}

/** Waits until IO is served, with whatever redundancy. */
export async function waitUntilUp(directory: string, timeoutMs: number): Promise<void> {
  await waitUntilServing(directory, readState(directory), timeoutMs);
}

export interface MemberDigest {
  readonly name: string;
  readonly sha256: string;
}

/** The digest of every member's data, after a flush where a client node runs. `warn` is told when that flush failed. */
export async function checksum(directory: string, warn: (text: string) => void): Promise<MemberDigest[]> {
  const state = readState(directory);
  if (runningClients(state).length > 0) {
    try {
      await flush(state);
    } catch (error) {
      warn(`the pool could not be flushed before: ${errorMessage(error)}`);
    }
  }
  return await Promise.all(members(state).map(async (node) => ({ name: node.name, sha256: await storeDigest(directory, node) })));
}

/** Flushes through the client node that serves. */
async function flush(state: ClusterState): Promise<void> {
  let why = 'every client node is paused';
  for (const { name, adminPort } of runningClients(state)) {
    if (processState(runningProcess(state, name)) === 'paused') continue;
    const status = await clientStatus(adminUrl(adminPort));
    if (serves(status)) return await flushPool(adminUrl(adminPort), state.poolUuid);
    why = status.health.sentence;
  }
  throw new OperationError('UNAVAILABLE', why);
}

/** Waits until neither of two nodes has a connection to the other. One that is down or paused can't use what it has. */
async function waitUntilCut(state: ClusterState, a: string, b: string): Promise<void> {
  let connected = '';
  const outcome = await waitFor(CUT_TIMEOUT_MS, async () => {
    const found = (await connectionFrom(state, a, b)) ?? (await connectionFrom(state, b, a));
    connected = found ?? '';
    return found === null ? true : null;
  });
  if (outcome === null) throw new OperationError('TIMEOUT', `${connected} after ${CUT_TIMEOUT_MS / 1000} s`);
}

/** Null when no connection leads from one node to a storage node, else that there is one. */
async function connectionFrom(state: ClusterState, from: string, to: string): Promise<string | null> {
  const node = clientNode(state, from) ?? storageNode(state, from);
  const peer = storageNode(state, to);
  const identity = runningProcess(state, from);
  if (node === null || peer === null || processState(identity) !== 'running') return null;
  try {
    const { sessions } = await nodeStatus(adminUrl(node.adminPort));
    const up = sessions.flatMap((session) => session.paths).some((path) => peer.rtrs.includes(path.address) && path.state === 'UP');
    return up ? `${from} has not given up its connection to ${to}` : null;
  } catch (error) {
    // It may have died or been paused while it was asked.
    return processState(identity) === 'running' ? errorMessage(error) : null;
  }
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
