import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isAlive } from './process-usage.ts';
import { runToEnd } from './processes.ts';

/** The harness, as built by `npm run build`. */
const CLUSTER_TOOL = fileURLToPath(new URL('../../cluster/dist/main.mjs', import.meta.url));

/** The part of `cluster.json` that the benchmark reads. */
export interface ClusterFile {
  readonly storageNodes: readonly { readonly name: string; readonly pid: number | null; readonly admin: string }[];
  readonly clientNode: { readonly name: string; readonly pid: number | null; readonly nbdUri: string };
}

/** Runs a command of the cluster tool to its end. Throws IO_ERROR with its words when it fails. */
export function cluster(args: readonly string[], signal?: AbortSignal): Promise<string> {
  return runToEnd(process.execPath, [CLUSTER_TOOL, ...args], signal);
}

export function readClusterFile(folder: string): ClusterFile {
  return JSON.parse(readFileSync(join(folder, 'cluster.json'), 'utf8')) as ClusterFile;
}

/** Stops the daemons, whatever state the start had reached. */
export async function takeDown(folder: string): Promise<void> {
  let pids: readonly (number | null)[] = [];
  try {
    const file = readClusterFile(folder);
    pids = [file.clientNode.pid, ...file.storageNodes.map((node) => node.pid)];
  } catch {
    // The start did not get as far as its file.
  }
  try {
    await cluster(['down', '--dir', folder]);
  } finally {
    for (const pid of pids) if (pid !== null && isAlive(pid)) process.kill(pid, 'SIGKILL');
  }
}
