import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFileDurably } from '@rmr/runtime/node';
import { z } from 'zod';
import { type ClusterFile, clusterFilePath, readJsonFile } from './cluster-file.ts';
import { CLIENT_NAME, POOL_NAME, WEB_NAME } from './constants.ts';
import { nbdUri } from './endpoints.ts';
import { type ProcessIdentity, processIdentitySchema, processState } from './process-identity.ts';

const STATE_FORMAT = 1;

const nbdEndpointSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('socket'), path: z.string() }),
  z.object({ kind: z.literal('port'), port: z.int() }),
  z.object({ kind: z.literal('own-socket') }),
]);

const storageNodeSchema = z.object({
  name: z.string(),
  /** Place in the pool; null on a node that is no member. */
  memberId: z.int().nullable(),
  /** RTRS addresses, one per path. */
  rtrs: z.array(z.string()).min(1),
  adminPort: z.int(),
});

/**
 * `DIR/harness.json`: what the tool itself has to remember of a cluster. Other programs read `cluster.json`, which is
 * made from this.
 */
const clusterStateSchema = z.object({
  format: z.literal(STATE_FORMAT),
  options: z.object({
    storageNodes: z.int(),
    replicas: z.int(),
    sizeBytes: z.int(),
    chunkSizeBytes: z.int(),
    transport: z.enum(['tcp', 'unix']),
    paths: z.int(),
    nbd: nbdEndpointSchema,
  }),
  poolUuid: z.string(),
  /** True when every store has been created: from then on a missing one is a loss. */
  storesCreated: z.boolean(),
  /** Where sockets are: in DIR, or in a directory with a shorter path. */
  socketDirectory: z.string(),
  storageNodes: z.array(storageNodeSchema),
  clientAdminPort: z.int(),
  webPort: z.int().nullable(),
  /** The processes that were started last, by node name. They may be gone by now. */
  processes: z.record(z.string(), processIdentitySchema),
  /** Pairs of nodes that are cut off from one another. */
  partitions: z.array(z.tuple([z.string(), z.string()])),
});

export type ClusterState = z.infer<typeof clusterStateSchema>;
export type StorageNodeState = z.infer<typeof storageNodeSchema>;

/** Where things are in a cluster's directory. */
export const layout = {
  state: (directory: string) => join(directory, 'harness.json'),
  node: (directory: string, name: string) => join(directory, name),
  config: (directory: string, name: string) => join(directory, name, 'config.json'),
  nodeState: (directory: string, name: string) => join(directory, name, 'state'),
  store: (directory: string, name: string) => join(directory, name, 'store.img'),
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
}

/** The cluster file for a state. Pids of processes that are gone are null. */
export function clusterFileOf(directory: string, state: ClusterState): ClusterFile {
  return {
    pool: { name: POOL_NAME, uuid: state.poolUuid, chunkSize: state.options.chunkSizeBytes, size: state.options.sizeBytes },
    storageNodes: state.storageNodes.map((node) => ({
      name: node.name,
      pid: pidOf(state, node.name),
      rtrs: node.rtrs[0] as string,
      admin: adminUrl(node.adminPort),
      store: node.memberId === null ? null : layout.store(directory, node.name),
    })),
    clientNode: { name: CLIENT_NAME, pid: pidOf(state, CLIENT_NAME), admin: adminUrl(state.clientAdminPort), nbdUri: nbdUri(state) },
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

/** Every name that can be given as NODE, in the order in which they start. */
export function nodeNames(state: ClusterState): string[] {
  return [...state.storageNodes.map((node) => node.name), CLIENT_NAME, ...(state.webPort === null ? [] : [WEB_NAME])];
}

function pidOf(state: ClusterState, name: string): number | null {
  return runningProcess(state, name)?.pid ?? null;
}
