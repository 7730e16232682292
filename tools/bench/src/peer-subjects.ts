import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nbdTarget } from './cluster-subject.ts';
import { fillWithRandomData } from './fio.ts';
import { findProgram, type Server, startServer } from './processes.ts';
import type { Subject, SubjectEnvironment, SubjectKind, SubjectProcess } from './subject.ts';

/** Connections that a qemu-nbd server accepts at once: more than any workload opens. */
const QEMU_CONNECTIONS_MAX = 16;

/** nbdkit with its file plugin. Where it listens, {@link nbdkitUri} says. */
export const NBDKIT_FILE = peer('nbdkit file', 1, 'nbdkit', (environment) => startNbdkit('nbdkit file', environment));

/** The peers that speak NBD, the one that competes for the same job first. */
export const NBD_PEERS: readonly SubjectKind[] = [
  peer('qemu quorum', 2, 'qemu-nbd', startQuorum),
  peer('qemu-nbd', 1, 'qemu-nbd', startSingleQemu),
  NBDKIT_FILE,
  peer('nbdkit memory', 1, 'nbdkit', (environment) => startNbdkit('nbdkit memory', environment)),
];

function peer(
  name: string,
  copies: number,
  program: string,
  start: (environment: SubjectEnvironment) => Promise<Omit<Subject, 'name' | 'replicas'>>,
): SubjectKind {
  return {
    name,
    copies,
    missing: () => (findProgram(program) === null ? `${program} is not installed` : null),
    start: async (environment) => {
      const subject = await start(environment);
      await fillWithRandomData(subject.target, environment.sizeBytes, environment.signal);
      return { name, replicas: copies, ...subject };
    },
  };
}

async function startQuorum(environment: SubjectEnvironment): Promise<Omit<Subject, 'name' | 'replicas'>> {
  const { folder } = environment;
  const processes: SubjectProcess[] = [];
  const children: string[] = [];
  let startUpMs = 0;
  for (const index of [0, 1]) {
    const socket = join(folder, `child-${index}.sock`);
    const server = await startQemu(environment, socket, ['--format=raw', image(environment, `child-${index}.img`)]);
    processes.push({ role: 'storage', name: `qemu-nbd child ${index}`, pid: server.pid });
    startUpMs += server.startUpMs;
    children.push(`children.${index}.driver=nbd,children.${index}.server.type=unix,children.${index}.server.path=${socket}`);
  }
  const socket = join(folder, 'quorum.sock');
  const quorum = await startQemu(environment, socket, ['--image-opts', `driver=quorum,vote-threshold=2,${children.join(',')}`]);
  processes.unshift({ role: 'client', name: 'qemu-nbd quorum', pid: quorum.pid });
  return {
    description:
      'qemu-nbd with the quorum driver (vote-threshold 2, read-pattern quorum: reads ask both children and compare) over two qemu-nbd backends',
    target: nbdTarget(`nbd+unix:///?socket=${socket}`),
    processes,
    startUpMs: { 'new device': startUpMs + quorum.startUpMs },
  };
}

async function startSingleQemu(environment: SubjectEnvironment): Promise<Omit<Subject, 'name' | 'replicas'>> {
  const socket = join(environment.folder, 'qemu.sock');
  const server = await startQemu(environment, socket, ['--format=raw', image(environment, 'qemu.img')]);
  return {
    description: 'a single qemu-nbd on a raw file: an unreplicated C server, one hop',
    target: nbdTarget(`nbd+unix:///?socket=${socket}`),
    processes: [{ role: 'storage', name: 'qemu-nbd', pid: server.pid }],
    startUpMs: { 'new device': server.startUpMs },
  };
}

function startQemu(environment: SubjectEnvironment, socket: string, what: readonly string[]): Promise<Server> {
  const args = ['--persistent', `--shared=${QEMU_CONNECTIONS_MAX}`, `--socket=${socket}`, ...what];
  return startServer('qemu-nbd', args, socket, `${socket}.log`, environment.cleanup, environment.signal);
}

/** The URI of an nbdkit that was started in this folder. */
export function nbdkitUri(folder: string): string {
  return `nbd+unix:///?socket=${nbdkitSocket(folder)}`;
}

function nbdkitSocket(folder: string): string {
  return join(folder, 'nbdkit.sock');
}

async function startNbdkit(
  name: 'nbdkit file' | 'nbdkit memory',
  environment: SubjectEnvironment,
): Promise<Omit<Subject, 'name' | 'replicas'>> {
  const socket = nbdkitSocket(environment.folder);
  const plugin = name === 'nbdkit file' ? ['file', image(environment, 'nbdkit.img')] : ['memory', `${environment.sizeBytes}`];
  const args = ['--foreground', '--exit-with-parent', '--unix', socket, ...plugin];
  const server = await startServer('nbdkit', args, socket, `${socket}.log`, environment.cleanup, environment.signal);
  return {
    description:
      name === 'nbdkit file'
        ? 'nbdkit with its file plugin: unreplicated, multi-threaded C'
        : 'nbdkit with its memory plugin: unreplicated, no file at all; the practical limit of one NBD hop',
    target: nbdTarget(nbdkitUri(environment.folder)),
    processes: [{ role: 'storage', name, pid: server.pid }],
    startUpMs: { 'new device': server.startUpMs },
  };
}

/** A sparse file of the device's size. */
function image(environment: SubjectEnvironment, name: string): string {
  const path = join(environment.folder, name);
  writeFileSync(path, '', { flag: 'wx' });
  truncateSync(path, environment.sizeBytes);
  return path;
}
