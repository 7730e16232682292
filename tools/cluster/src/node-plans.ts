import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ClientNodeConfigFile, clientNodeConfigSchema } from '@rmr/client-node/config';
import { assert } from '@rmr/runtime';
import { replaceFileDurably } from '@rmr/runtime/node';
import { type StorageNodeConfigFile, storageNodeConfigSchema } from '@rmr/storage-node/config';
import { clusterFilePath } from './cluster-file.ts';
import { adminUrl, type ClientNodeState, type ClusterState, layout, type StorageNodeState, storageNode } from './cluster-state.ts';
import { DISK_NAMES, POOL_NAME, WEB_NAME } from './constants.ts';
import { nbdAddress } from './endpoints.ts';
import type { LaunchPlan } from './node-process.ts';
import { programPath } from './repository.ts';
import { members, witnesses } from './stores.ts';

/** Writes the configuration of every daemon, as the state has it. Running ones read their routes again at SIGHUP. */
export function writeConfigurations(directory: string, state: ClusterState): void {
  for (const node of state.storageNodes) {
    if (!node.witness) for (const name of DISK_NAMES) mkdirSync(layout.disk(directory, node.name, name), { recursive: true });
  }
  for (const node of state.storageNodes) writeConfiguration(directory, node.name, storageConfiguration(directory, state, node));
  for (const node of state.clientNodes) writeConfiguration(directory, node.name, clientConfiguration(directory, state, node));
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
  const program = programPath(storageNode(state, name) === null ? 'client-node' : 'storage-node');
  return { ...common, program, args: ['run', '--config', layout.config(directory, name)] };
}

function storageConfiguration(directory: string, state: ClusterState, node: StorageNodeState): StorageNodeConfigFile {
  const peers = state.storageNodes.filter((peer) => peer.name !== node.name);
  const config: StorageNodeConfigFile = {
    name: node.name,
    stateDir: layout.nodeState(directory, node.name),
    ...bootIdOverride(state, node.name),
    rtrs: { listen: [...node.rtrs] },
    admin: { listen: adminUrl(node.adminPort) },
    stores: node.memberId === null ? [] : [{ path: layout.store(directory, node.name), poolUuid: state.poolUuid, ...volatileCache(state) }],
    disks: node.witness ? [] : DISK_NAMES.map((name) => ({ name, directory: layout.disk(directory, node.name, name) })),
    ...resync(state),
    transport: { routes: cutRoutes(state, node.name, peers) },
  };
  storageNodeConfigSchema.parse(config);
  return config;
}

function clientConfiguration(directory: string, state: ClusterState, node: ClientNodeState): ClientNodeConfigFile {
  const config: ClientNodeConfigFile = {
    name: node.name,
    stateDir: layout.nodeState(directory, node.name),
    ...bootIdOverride(state, node.name),
    admin: { listen: adminUrl(node.adminPort) },
    nbd: { listen: [nbdAddress(state, node.name)] },
    pools: [
      {
        name: POOL_NAME,
        uuid: state.poolUuid,
        quorum: state.options.quorum,
        members: members(state).map(memberAddress),
        ...witnesses(state)
          .map(memberAddress)
          .reduce((_none, witness) => ({ witness }), {}),
        ...returnHold(state),
      },
    ],
    transport: { routes: cutRoutes(state, node.name, state.storageNodes) },
  };
  clientNodeConfigSchema.parse(config);
  return config;
}

function memberAddress(node: StorageNodeState): { memberId: number; name: string; addresses: string[] } {
  assert(node.memberId !== null, 'launch plan: a node that is no member');
  return { memberId: node.memberId, name: node.name, addresses: [...node.rtrs] };
}

function volatileCache({ options }: ClusterState): { volatileCache?: boolean } {
  return options.volatileCache ? { volatileCache: true } : {};
}

function resync({ options: { resyncRateBytes: rate } }: ClusterState): Pick<StorageNodeConfigFile, 'resync'> {
  return rate === null ? {} : { resync: { rate, rateUnderLoad: rate } };
}

/** For tests that look at a return step by step: how long a returning member may hold up IO. No leg leaves for being slow then, either. */
function returnHold({ options: { returnHoldMs } }: ClusterState): {
  legReturnHold?: string;
  legReturnDelayMax?: string;
  legSlowFactor?: null;
} {
  return returnHoldMs === null ? {} : { legReturnHold: `${returnHoldMs}ms`, legReturnDelayMax: '1s', legSlowFactor: null };
}

/** A node that has lost power is on another boot from then on. */
function bootIdOverride(state: ClusterState, name: string): { bootIdOverride?: string } {
  const bootId = state.bootIds[name];
  return bootId === undefined ? {} : { bootIdOverride: bootId };
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
