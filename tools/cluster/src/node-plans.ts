import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ClientNodeConfigFile, clientNodeConfigSchema } from '@rmr/client-node/config';
import { assert } from '@rmr/runtime';
import { replaceFileDurably } from '@rmr/runtime/node';
import { type StorageNodeConfigFile, storageNodeConfigSchema } from '@rmr/storage-node/config';
import { clusterFilePath } from './cluster-file.ts';
import { adminUrl, type ClusterState, layout, type StorageNodeState } from './cluster-state.ts';
import { CLIENT_NAME, POOL_NAME, WEB_NAME } from './constants.ts';
import { nbdAddress } from './endpoints.ts';
import type { LaunchPlan } from './node-process.ts';
import { programPath } from './repository.ts';

/** Writes the configuration of every daemon, as the state has it. Running ones read their routes again at SIGHUP. */
export function writeConfigurations(directory: string, state: ClusterState): void {
  for (const node of state.storageNodes) writeConfiguration(directory, node.name, storageConfiguration(directory, state, node));
  writeConfiguration(directory, CLIENT_NAME, clientConfiguration(directory, state));
}

/** How a node is started. */
export function launchPlan(directory: string, state: ClusterState, name: string): LaunchPlan {
  const common = { name, directory, logPath: layout.log(directory, name) };
  if (name === WEB_NAME) {
    assert(state.webPort !== null, 'launch plan: the web application has no port');
    return {
      ...common,
      program: programPath('web'),
      args: ['--port', String(state.webPort), '--cluster-file', clusterFilePath(directory)],
    };
  }
  const program = programPath(name === CLIENT_NAME ? 'client-node' : 'storage-node');
  return { ...common, program, args: ['run', '--config', layout.config(directory, name)] };
}

function storageConfiguration(directory: string, state: ClusterState, node: StorageNodeState): StorageNodeConfigFile {
  const peers = state.storageNodes.filter((peer) => peer.name !== node.name);
  const config: StorageNodeConfigFile = {
    name: node.name,
    stateDir: layout.nodeState(directory, node.name),
    rtrs: { listen: [...node.rtrs] },
    admin: { listen: adminUrl(node.adminPort) },
    stores: node.memberId === null ? [] : [{ path: layout.store(directory, node.name), poolUuid: state.poolUuid }],
    transport: { routes: cutRoutes(state, node.name, peers) },
  };
  storageNodeConfigSchema.parse(config);
  return config;
}

function clientConfiguration(directory: string, state: ClusterState): ClientNodeConfigFile {
  const config: ClientNodeConfigFile = {
    name: CLIENT_NAME,
    stateDir: layout.nodeState(directory, CLIENT_NAME),
    admin: { listen: adminUrl(state.clientAdminPort) },
    nbd: { listen: [nbdAddress(state)] },
    pools: [
      {
        name: POOL_NAME,
        uuid: state.poolUuid,
        members: state.storageNodes
          .filter((node) => node.memberId !== null)
          .map((node) => ({ memberId: node.memberId as number, name: node.name, addresses: [...node.rtrs] })),
      },
    ],
    transport: { routes: cutRoutes(state, CLIENT_NAME, state.storageNodes) },
  };
  clientNodeConfigSchema.parse(config);
  return config;
}

/** Leads every address of a peer that `name` is cut off from to a socket that nobody listens on. */
function cutRoutes(state: ClusterState, name: string, peers: readonly StorageNodeState[]): Record<string, string> {
  const routes: Record<string, string> = {};
  for (const peer of peers) {
    if (!state.partitions.some((pair) => pair.includes(name) && pair.includes(peer.name))) continue;
    for (const address of peer.rtrs) routes[address] = `unix:${join(state.socketDirectory, 'cut.sock')}`;
  }
  return routes;
}

function writeConfiguration(directory: string, name: string, config: unknown): void {
  mkdirSync(layout.node(directory, name), { recursive: true });
  replaceFileDurably(layout.config(directory, name), `${JSON.stringify(config, null, 2)}\n`);
}
