import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFileDurably } from '@rmr/runtime/node';
import { stringify } from 'yaml';
import { z } from 'zod';
import { type ClusterFile, clusterFilePath, readJsonFile } from './cluster-file.ts';
import { FIRST_CLIENT_NAME, POOL_NAME, WEB_NAME } from './constants.ts';
import { nbdUri } from './endpoints.ts';
import { type ProcessIdentity, processIdentitySchema, processState } from './process-identity.ts';

const STATE_FORMAT = 2;

const nbdEndpointSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('socket'), path: z.string() }),
  z.object({ kind: z.literal('port'), port: z.int() }),
  z.object({ kind: z.literal('own-socket') }),
]);

const storageNodeSchema = z.object({
  name: z.string(),
  /** Place in the pool; null on a node that is no member. */
  memberId: z.int().nullable(),
  /** It votes and has no data. */
  witness: z.boolean().default(false),
  /** RTRS addresses, one per path. */
  rtrs: z.array(z.string()).min(1),
  adminPort: z.int(),
});

const clientNodeSchema = z.object({ name: z.string(), adminPort: z.int() });

/**
 * `DIR/harness.json`: what the tool itself has to remember of a cluster. Other programs read `cluster.json`, which is
 * made from this.
 */
const currentStateSchema = z.object({
  format: z.literal(STATE_FORMAT),
  options: z.object({
    storageNodes: z.int(),
    replicas: z.int(),
    clientNodes: z.int(),
    sizeBytes: z.int(),
    chunkSizeBytes: z.int(),
    transport: z.enum(['tcp', 'unix']),
    paths: z.int(),
    nbd: nbdEndpointSchema,
    volatileCache: z.boolean().default(false),
    resyncRateBytes: z.int().nullable().default(null),
    returnHoldMs: z.int().nullable().default(null),
    quorum: z.enum(['none', 'majority']).default('none'),
    witness: z.boolean().default(false),
  }),
  poolUuid: z.string(),
  /** True when every store has been created: from then on a missing one is a loss. */
  storesCreated: z.boolean(),
  /** True when the order to create the pool may have been given: from then on the pool may exist. */
  poolOrdered: z.boolean(),
  /** True when the pool was served once: from then on nobody orders to create it. */
  poolCreated: z.boolean(),
  /** Where sockets are: in DIR, or in a directory with a shorter path. */
  socketDirectory: z.string(),
  storageNodes: z.array(storageNodeSchema),
  clientNodes: z.array(clientNodeSchema).min(1),
  webPort: z.int().nullable(),
  /** The processes that were started last, by node name. They may be gone by now. */
  processes: z.record(z.string(), processIdentitySchema),
  /** Pairs of nodes that are cut off from one another. */
  partitions: z.array(z.tuple([z.string(), z.string()])),
  /** Boot ids by node name, of nodes that have lost power: what their daemons take in place of the kernel's. */
  bootIds: z.record(z.string(), z.string()),
});

const clusterStateSchema = z.preprocess(upgrade, currentStateSchema);

export type ClusterState = z.output<typeof currentStateSchema>;
export type StorageNodeState = z.infer<typeof storageNodeSchema>;
export type ClientNodeState = z.infer<typeof clientNodeSchema>;

/**
 * States of older tools. Format 1 knew one client node and no power loss. Pools once came into being with their stores, without an
 * order. Everything else is for the schema to judge.
 */
function upgrade(value: unknown): unknown {
  return withOrders(withClientNodes(value));
}

function withOrders(value: unknown): unknown {
  const absent = z.undefined().optional();
  const old = z.looseObject({ storesCreated: z.boolean(), poolOrdered: absent, poolCreated: absent }).safeParse(value);
  return old.success ? { ...old.data, poolOrdered: old.data.storesCreated, poolCreated: old.data.storesCreated } : value;
}

function withClientNodes(value: unknown): unknown {
  const old = z.looseObject({ format: z.literal(1), options: z.looseObject({}), clientAdminPort: z.int() }).safeParse(value);
  if (!old.success) return value;
  const { clientAdminPort, ...rest } = old.data;
  return {
    ...rest,
    format: STATE_FORMAT,
    options: { ...rest.options, clientNodes: 1 },
    clientNodes: [{ name: FIRST_CLIENT_NAME, adminPort: clientAdminPort }],
    bootIds: {},
  };
}

/** Where things are in a cluster's directory. */
export const layout = {
  state: (directory: string) => join(directory, 'harness.json'),
  node: (directory: string, name: string) => join(directory, name),
  config: (directory: string, name: string) => join(directory, name, 'config.json'),
  nodeState: (directory: string, name: string) => join(directory, name, 'state'),
  store: (directory: string, name: string) => join(directory, name, 'store.img'),
  /** A disk of a storage node: a directory, in which volumes are made at run time. */
  disk: (directory: string, name: string, disk: string) => join(directory, name, disk),
  /** The cluster file of rmrctl. */
  rmrctl: (directory: string) => join(directory, 'rmr.yaml'),
  log: (directory: string, name: string) => join(directory, 'logs', `${name}.log`),
};

/** Reads the tool's own state. Throws NOT_FOUND or INVALID_CONFIG. */
export function readState(directory: string): ClusterState {
  return readJsonFile(
    layout.state(directory),
    clusterStateSchema,
    `there is no cluster in ${directory}; create one with "cluster up --dir ${directory}"`,
  );
}

/** Writes the state, and the cluster file that is made from it. */
export function writeState(directory: string, state: ClusterState): void {
  mkdirSync(directory, { recursive: true });
  replaceFileDurably(layout.state(directory), `${JSON.stringify(state, null, 2)}\n`);
  replaceFileDurably(clusterFilePath(directory), `${JSON.stringify(clusterFileOf(directory, state), null, 2)}\n`);
  replaceFileDurably(layout.rmrctl(directory), stringify(rmrctlFileOf(state)));
}

/** The cluster file for rmrctl: every daemon and its admin address. */
function rmrctlFileOf({ storageNodes, clientNodes }: ClusterState): object {
  const node = (role: string) => (each: { readonly name: string; readonly adminPort: number }) => ({
    ...{ name: each.name, role, admin: adminUrl(each.adminPort) },
  });
  return { name: 'local', nodes: [...storageNodes.map(node('storage-node')), ...clientNodes.map(node('client-node'))] };
}

/** The cluster file for a state. Pids of processes that are gone are null. */
export function clusterFileOf(directory: string, state: ClusterState): ClusterFile {
  const clientNodes = state.clientNodes.map(({ name, adminPort }) => ({
    name,
    pid: pidOf(state, name),
    admin: adminUrl(adminPort),
    nbdUri: nbdUri(state, name),
  }));
  return {
    pool: { name: POOL_NAME, uuid: state.poolUuid, chunkSize: state.options.chunkSizeBytes, size: state.options.sizeBytes },
    storageNodes: state.storageNodes.map((node) => ({
      name: node.name,
      pid: pidOf(state, node.name),
      rtrs: node.rtrs[0] as string,
      admin: adminUrl(node.adminPort),
      store: node.memberId === null ? null : layout.store(directory, node.name),
    })),
    clientNode: clientNodes[0] as (typeof clientNodes)[number],
    clientNodes,
    web: state.webPort === null ? null : { name: WEB_NAME, pid: pidOf(state, WEB_NAME), url: `http://127.0.0.1:${state.webPort}` },
  };
}

/** The process of a node, or null when it does not run. */
export function runningProcess(state: ClusterState, name: string): ProcessIdentity | null {
  const identity = state.processes[name] ?? null;
  return processState(identity) === 'gone' ? null : identity;
}

/** The admin address on a port of this host. */
export function adminUrl(port: number): string {
  return `http://127.0.0.1:${port}`;
}

/** The client node of this name, or null when it is another kind of node. */
export function clientNode(state: ClusterState, name: string): ClientNodeState | null {
  return state.clientNodes.find((node) => node.name === name) ?? null;
}

/** The storage node of this name, or null when it is another kind of node. */
export function storageNode(state: ClusterState, name: string): StorageNodeState | null {
  return state.storageNodes.find((node) => node.name === name) ?? null;
}

/** Client nodes that run, the first one first. */
export function runningClients(state: ClusterState): ClientNodeState[] {
  return state.clientNodes.filter((node) => runningProcess(state, node.name) !== null);
}

/** Every name that can be given as NODE, in the order in which they start. */
export function nodeNames(state: ClusterState): string[] {
  const daemons = [...state.storageNodes, ...state.clientNodes].map((node) => node.name);
  return state.webPort === null ? daemons : [...daemons, WEB_NAME];
}

function pidOf(state: ClusterState, name: string): number | null {
  return runningProcess(state, name)?.pid ?? null;
}
