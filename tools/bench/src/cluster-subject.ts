import { join } from 'node:path';
import { OperationError } from '@rmr/runtime';
import { type ClusterFile, cluster, readClusterFile, takeDown } from './cluster-tool.ts';
import { fillWithRandomData } from './fio.ts';
import { OUR_NAME_PREFIX, type Subject, type SubjectKind } from './subject.ts';

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

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}
