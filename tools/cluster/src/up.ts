import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { OperationError } from '@rmr/runtime';
import {
  type ClientNodeState,
  type ClusterState,
  layout,
  nodeNames,
  readState,
  runningClients,
  runningProcess,
  type StorageNodeState,
  writeState,
} from './cluster-state.ts';
import { FIRST_CLIENT_NAME, START_TIMEOUT_MS, WEB_NAME, WITNESS_NAME } from './constants.ts';
import { createPool } from './creating.ts';
import { withDirectoryLock } from './directory-lock.ts';
import { freePort, isPortTaken, makeSocketDirectory, rtrsSocketPath, socketDirectoryFor } from './endpoints.ts';
import { writeConfigurations } from './node-plans.ts';
import { type Launched, stopProcess } from './node-process.ts';
import { type AskedOptions, type ClusterOptions, newClusterOptions, refuseContradiction } from './options.ts';
import { programPath } from './repository.ts';
import { startNodes, waitUntilServing } from './starting.ts';
import { checkStores, createStores } from './stores.ts';

/**
 * Creates the cluster, or reopens the one that is there, and starts every node that does not run. The pool of a new one is created
 * then, by an order to its client node. Returns when IO is served. What it has started is stopped again when it fails.
 */
export async function up(request: UpRequest): Promise<UpResult> {
  const { directory } = request;
  mkdirSync(directory, { recursive: true });
  return await withDirectoryLock(directory, async () => {
    const { state, created } = await openOrPrepare(request);
    const launched: Launched[] = [];
    try {
      await startAll(request, state, launched);
    } catch (error) {
      for (const process of launched.reverse()) await stopProcess(process.identity);
      if (existsSync(layout.state(directory))) writeState(directory, state);
      throw error;
    }
    return { state, launched, created };
  });
}

export interface UpRequest {
  readonly directory: string;
  readonly asked: AskedOptions;
  readonly web: boolean;
  /** Told of every step as it begins. */
  readonly progress: (step: string) => void;
  /** Gives up, and stops what was started. */
  readonly signal: AbortSignal;
}

export interface UpResult {
  readonly state: ClusterState;
  /** The processes that were started now, in order. */
  readonly launched: readonly Launched[];
  /** Whether the cluster was made now. */
  readonly created: boolean;
}

async function openOrPrepare(request: UpRequest): Promise<{ state: ClusterState; created: boolean }> {
  const { directory, asked } = request;
  if (existsSync(layout.state(directory))) {
    const state = readState(directory);
    refuseContradiction(directory, state.options, asked);
    await renewPorts(state);
    return { state, created: false };
  }
  const strangers = readdirSync(directory).filter((name) => name !== 'logs');
  if (strangers.length > 0) {
    throw new OperationError(
      'CONFLICT',
      `${directory} holds something that is no cluster (${strangers.slice(0, 3).join(', ')}); choose an empty or new directory`,
    );
  }
  return { state: await newState(directory, newClusterOptions(asked)), created: true };
}

async function startAll(request: UpRequest, state: ClusterState, launched: Launched[]): Promise<void> {
  const { directory, signal } = request;
  const step = (text: string): void => {
    signal.throwIfAborted();
    request.progress(text);
  };
  // A program that is missing is said before anything is made.
  programPath('storage-node');
  programPath('client-node');
  if (request.web) programPath('web');
  if (request.web && state.webPort === null) state.webPort = await freePort(portsOf(state));
  if (!request.web && runningProcess(state, WEB_NAME) === null) state.webPort = null;
  makeSocketDirectory(state.socketDirectory);
  writeState(directory, state);
  writeConfigurations(directory, state);
  if (state.storesCreated) {
    checkStores(directory, state);
  } else {
    step('creating the stores');
    await createStores(directory, state);
    state.storesCreated = true;
    writeState(directory, state);
  }
  await startNodes(directory, state, nodesToStart(state), launched, (names) => step(`starting ${names.join(', ')}`));
  if (!state.poolCreated) {
    step('creating the pool');
    await createPool(directory, state, { signal });
  }
  step('waiting until IO is served');
  await waitUntilServing(directory, state, START_TIMEOUT_MS);
  signal.throwIfAborted();
}

/** Every node that does not run; of the client nodes the first, unless one of them runs: one serves, and a rival is started by name. */
function nodesToStart(state: ClusterState): string[] {
  const clients = state.clientNodes.map((node) => node.name);
  return nodeNames(state).filter((name) => {
    if (runningProcess(state, name) !== null) return false;
    return clients.includes(name) ? name === FIRST_CLIENT_NAME && runningClients(state).length === 0 : true;
  });
}

async function newState(directory: string, options: ClusterOptions): Promise<ClusterState> {
  if (options.nbd.kind === 'port') await requireFreeNbdPort(options.nbd.port);
  const socketDirectory = socketDirectoryFor(directory);
  const taken = new Set<number>(options.nbd.kind === 'port' ? [options.nbd.port] : []);
  const port = async (): Promise<number> => {
    const free = await freePort(taken);
    taken.add(free);
    return free;
  };
  const storageNodes: StorageNodeState[] = [];
  const names = Array.from({ length: options.storageNodes }, (_, index) => `storage-${index + 1}`);
  for (const [index, name] of [...names, ...(options.witness ? [WITNESS_NAME] : [])].entries()) {
    const rtrs: string[] = [];
    for (let path = 0; path < options.paths; path++) {
      rtrs.push(options.transport === 'tcp' ? `tcp://127.0.0.1:${await port()}` : `unix:${rtrsSocketPath(socketDirectory, name, path)}`);
    }
    const witness = name === WITNESS_NAME;
    const memberId = witness ? options.replicas + 1 : index < options.replicas ? index + 1 : null;
    storageNodes.push({ name, memberId, witness, rtrs, adminPort: await port() });
  }
  const clientNodes: ClientNodeState[] = [];
  for (let index = 1; index <= options.clientNodes; index++) clientNodes.push({ name: `client-${index}`, adminPort: await port() });
  return {
    format: 2,
    options,
    poolUuid: randomUUID(),
    storesCreated: false,
    poolOrdered: false,
    poolCreated: false,
    socketDirectory,
    storageNodes,
    clientNodes,
    webPort: null,
    processes: {},
    partitions: [],
    bootIds: {},
  };
}

/**
 * Ports that somebody has taken since the last run are replaced by free ones; all but the NBD port, which was asked
 * for. Addresses of nodes that run stay.
 */
async function renewPorts(state: ClusterState): Promise<void> {
  const { nbd } = state.options;
  if (nbd.kind === 'port' && runningProcess(state, FIRST_CLIENT_NAME) === null) await requireFreeNbdPort(nbd.port);
  const renewed = async (port: number): Promise<number> => ((await isPortTaken(port)) ? await freePort(portsOf(state)) : port);
  for (const node of state.storageNodes) {
    if (runningProcess(state, node.name) !== null) continue;
    node.adminPort = await renewed(node.adminPort);
    for (const [path, address] of node.rtrs.entries()) {
      const port = /^tcp:\/\/127\.0\.0\.1:(\d+)$/.exec(address)?.[1];
      if (port !== undefined) node.rtrs[path] = `tcp://127.0.0.1:${await renewed(Number(port))}`;
    }
  }
  for (const node of state.clientNodes) if (runningProcess(state, node.name) === null) node.adminPort = await renewed(node.adminPort);
  if (state.webPort !== null && runningProcess(state, WEB_NAME) === null) state.webPort = await renewed(state.webPort);
}

function portsOf(state: ClusterState): Set<number> {
  const ports = new Set<number>(state.clientNodes.map((node) => node.adminPort));
  if (state.webPort !== null) ports.add(state.webPort);
  if (state.options.nbd.kind === 'port') ports.add(state.options.nbd.port);
  for (const node of state.storageNodes) {
    ports.add(node.adminPort);
    for (const address of node.rtrs) ports.add(Number(/:(\d+)$/.exec(address)?.[1] ?? 0));
  }
  return ports;
}

async function requireFreeNbdPort(port: number): Promise<void> {
  if (!(await isPortTaken(port))) return;
  throw new OperationError(
    'ADDRESS_IN_USE',
    `--nbd-port ${port}: port ${port} of 127.0.0.1 cannot be listened on; stop what uses it, or choose another`,
  );
}
