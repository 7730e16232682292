import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { OperationError } from '@rmr/runtime';
import { z } from 'zod';
import { type ClusterState, layout, readState, type StorageNodeState } from './cluster-state.ts';
import { POOL_NAME } from './constants.ts';
import { programPath } from './repository.ts';

/** More than a digest line or an error ever is. */
const OUTPUT_BYTES_MAX = 1024 * 1024;

/** Creates the store of every member. What an interrupted creation has left behind is created anew. */
export async function createStores(directory: string, state: ClusterState): Promise<void> {
  await Promise.all([...members(state), ...witnesses(state)].map((node) => createStoreOf(directory, state, node)));
}

async function createStoreOf(directory: string, state: ClusterState, node: StorageNodeState): Promise<void> {
  const path = layout.store(directory, node.name);
  mkdirSync(layout.node(directory, node.name), { recursive: true });
  rmSync(path, { force: true });
  await storageNode([
    'store',
    'create',
    ...['--path', path],
    ...['--size', String(state.options.sizeBytes)],
    ...['--chunk-size', String(state.options.chunkSizeBytes)],
    ...['--pool-name', POOL_NAME],
    ...['--pool-uuid', state.poolUuid],
    ...['--member-id', String(node.memberId)],
    ...(node.witness ? ['--witness'] : []),
  ]);
}

/** Throws NOT_FOUND when a store that was created is gone: it has to be noticed before anything starts without it. */
export function checkStores(directory: string, state: ClusterState): void {
  const missing = [...members(state), ...witnesses(state)]
    .map((node) => layout.store(directory, node.name))
    .filter((path) => !existsSync(path));
  if (missing.length === 0) return;
  throw new OperationError(
    'NOT_FOUND',
    `missing: ${missing.join(', ')}. Restore it, or remove ${directory} to begin anew without its data`,
  );
}

/** The SHA-256 over the data of a member's store, in hexadecimal. */
export async function storeDigest(directory: string, node: StorageNodeState): Promise<string> {
  const output = await storageNode(['store', 'checksum', '--path', layout.store(directory, node.name)]);
  const digest = /^([0-9a-f]{64})\b/m.exec(output)?.[1];
  if (digest === undefined)
    throw new OperationError('IO_ERROR', `"store checksum" of ${node.name} printed no digest: ${output.slice(0, 200)}`);
  return digest;
}

/** Where the data of a member is. */
export interface DataArea {
  readonly name: string;
  readonly path: string;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

const inspectionSchema = z.looseObject({ dataOffset: z.int(), sizeBytes: z.int() });

/** Where the data of every member is, as its store says. */
export async function dataAreas(directory: string): Promise<DataArea[]> {
  return await Promise.all(
    members(readState(directory)).map(async ({ name }) => {
      const path = layout.store(directory, name);
      const output = await storageNode(['store', 'inspect', '--path', path, '--output', 'json']);
      const { dataOffset, sizeBytes } = inspectionSchema.parse(JSON.parse(output));
      return { name, path, offsetBytes: dataOffset, lengthBytes: sizeBytes };
    }),
  );
}

/** The nodes that hold a member of the pool. */
export function members(state: ClusterState): StorageNodeState[] {
  return state.storageNodes.filter((node) => node.memberId !== null && !node.witness);
}

/** The storage nodes that vote and have no data: one or none. */
export function witnesses(state: ClusterState): StorageNodeState[] {
  return state.storageNodes.filter((node) => node.witness);
}

function storageNode(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [programPath('storage-node'), ...args], { maxBuffer: OUTPUT_BYTES_MAX }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new OperationError('IO_ERROR', stderr.trim() || `storage-node ${args[0]} ${args[1]} failed: ${error.message}`));
    });
  });
}
