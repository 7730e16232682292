import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OperationError } from '@rmr/runtime';
import { fillWithRandomData } from './fio.ts';
import { isAlive } from './process-usage.ts';
import { runToEnd } from './processes.ts';
import { OUR_NAME_PREFIX, type Subject, type SubjectKind } from './subject.ts';

/** The harness, as built by `npm run build`. */
const CLUSTER_TOOL = fileURLToPath(new URL('../../cluster/dist/main.mjs', import.meta.url));

/** The part of `cluster.json` that the benchmark reads. */
interface ClusterFile {
  readonly storageNodes: readonly { readonly name: string; readonly pid: number | null }[];
  readonly clientNode: { readonly name: string; readonly pid: number | null; readonly nbdUri: string };
}

/** RMR itself: a client node and `replicas` storage nodes, started with the cluster tool. */
export function clusterSubject(replicas: number, transport: 'tcp' | 'unix'): SubjectKind {
  return {
    name: `${OUR_NAME_PREFIX}${replicas}`,
    copies: replicas,
    missing: () => null,
    async start(environment) {
      const { folder, sizeBytes, cleanup, signal } = environment;
      const create = ['--storage-nodes', `${replicas}`, '--replicas', `${replicas}`, '--size', `${sizeBytes}`, '--transport', transport];
      const up = ['up', '--dir', folder, '--nbd-socket', join(folder, 'nbd.sock'), '--no-web', '--detach'];
      cleanup.add(`stop the cluster in ${folder}`, () => takeDown(folder));
      const startUpMs: Record<string, number> = {};
      startUpMs['new device'] = await timed(() => cluster([...up, ...create], signal));
      await fillWithRandomData(nbdTarget(readClusterFile(folder).clientNode.nbdUri), sizeBytes, signal);
      await cluster(['down', '--dir', folder], signal);
      startUpMs['existing device'] = await timed(() => cluster(up, signal));
      return describe(readClusterFile(folder), replicas, transport, startUpMs);
    },
  };
}

function describe(file: ClusterFile, replicas: number, transport: string, startUpMs: Record<string, number>): Subject {
  return {
    name: `${OUR_NAME_PREFIX}${replicas}`,
    description: `this project: one client node, ${replicas} storage node${replicas === 1 ? '' : 's'}, RTRS over ${transport} sockets`,
    replicas,
    target: nbdTarget(file.clientNode.nbdUri),
    processes: [
      { role: 'client', name: file.clientNode.name, pid: runningPid(file.clientNode) },
      ...file.storageNodes.map((node) => ({ role: 'storage' as const, name: node.name, pid: runningPid(node) })),
    ],
    startUpMs,
  };
}

function runningPid(node: { readonly name: string; readonly pid: number | null }): number {
  if (node.pid === null) throw new OperationError('UNAVAILABLE', `${node.name} is not running although the cluster was started`);
  return node.pid;
}

/** fio's options for an NBD export. */
export function nbdTarget(uri: string): readonly string[] {
  return ['--ioengine=nbd', `--uri=${uri}`];
}

function cluster(args: readonly string[], signal?: AbortSignal): Promise<string> {
  return runToEnd(process.execPath, [CLUSTER_TOOL, ...args], signal);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

function readClusterFile(folder: string): ClusterFile {
  return JSON.parse(readFileSync(join(folder, 'cluster.json'), 'utf8')) as ClusterFile;
}

/** Stops the daemons, whatever state the start had reached. */
async function takeDown(folder: string): Promise<void> {
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
