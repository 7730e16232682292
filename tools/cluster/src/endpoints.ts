import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OperationError } from '@rmr/runtime';
import type { ClusterState } from './cluster-state.ts';
import { FIRST_CLIENT_NAME, POOL_NAME, SOCKET_PATH_BYTES_MAX } from './constants.ts';

/** The port of NBD servers (IANA). */
const NBD_PORT = 10_809;

/** The longest name that is given to a socket below the socket directory: `storage-16-path-8.sock`. */
const SOCKET_NAME_BYTES_MAX = 24;

/**
 * Where the cluster's sockets go: into its own directory, or, where their paths would be too long for the kernel, into
 * one in the temporary directory that is named after it.
 */
export function socketDirectoryFor(directory: string): string {
  const own = join(directory, 'sockets');
  if (Buffer.byteLength(own) + 1 + SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX) return own;
  const digest = createHash('sha256').update(realpathSync(directory)).digest('hex').slice(0, 16);
  return join(tmpdir(), `rmr-${digest}`);
}

/** Makes the socket directory, for this user alone. Throws PERMISSION_DENIED when somebody else has put something there. */
export function makeSocketDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const stat = lstatSync(path);
  if (!stat.isDirectory() || stat.uid !== process.getuid?.()) {
    throw new OperationError(
      'PERMISSION_DENIED',
      `${path} is not a directory of this user; remove it, or choose a --dir with a shorter path`,
    );
  }
}

/** The RTRS socket of a storage node's path (from 0). */
export function rtrsSocketPath(socketDirectory: string, name: string, path: number): string {
  return join(socketDirectory, path === 0 ? `${name}.sock` : `${name}-path-${path + 1}.sock`);
}

/** Where a client node listens for NBD, as a socket address: the first one where it was asked for, the others on sockets of ours. */
export function nbdAddress(state: Pick<ClusterState, 'options' | 'socketDirectory'>, clientName: string): string {
  if (clientName !== FIRST_CLIENT_NAME) return `unix:${join(state.socketDirectory, `nbd-${clientName}.sock`)}`;
  const { nbd } = state.options;
  switch (nbd.kind) {
    case 'socket':
      return `unix:${nbd.path}`;
    case 'port':
      return `tcp://127.0.0.1:${nbd.port}`;
    case 'own-socket':
      return `unix:${join(state.socketDirectory, 'nbd.sock')}`;
  }
}

/** The URI of the pool as a client node exports it, as NBD clients take it (NetworkBlockDevice/nbd: doc/uri.md). */
export function nbdUri(state: Pick<ClusterState, 'options' | 'socketDirectory'>, clientName: string): string {
  const address = nbdAddress(state, clientName);
  if (address.startsWith('tcp://')) return `nbd://${address.slice('tcp://'.length)}/${POOL_NAME}`;
  return `nbd+unix:///${POOL_NAME}?socket=${encodeURIComponent(address.slice('unix:'.length)).replaceAll('%2F', '/')}`;
}

/** Where an NBD URI leads. */
export interface NbdAddress {
  readonly export: string;
  readonly socket: { readonly path: string } | { readonly host: string; readonly port: number };
}

/** Takes `nbd+unix:///EXPORT?socket=PATH` and `nbd://HOST:PORT/EXPORT` apart. Throws INVALID_ARGUMENT for anything else. */
export function parseNbdUri(uri: string): NbdAddress {
  const url = URL.canParse(uri) ? new URL(uri) : null;
  const name = decodeURIComponent(url?.pathname.replace(/^\//, '') ?? '');
  const path = url?.searchParams.get('socket') ?? null;
  if (url?.protocol === 'nbd+unix:' && path !== null) return { export: name, socket: { path } };
  if (url?.protocol === 'nbd:')
    return { export: name, socket: { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || NBD_PORT) } };
  throw new OperationError('INVALID_ARGUMENT', `"${uri}" is no NBD URI; write nbd://HOST:PORT/EXPORT or nbd+unix:///EXPORT?socket=PATH`);
}

/** A free TCP port of loopback that is not in `taken`. It is ours only once something listens on it. */
export async function freePort(taken: ReadonlySet<number>): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = await tryListen(0);
    if (port !== null && !taken.has(port)) return port;
  }
  throw new OperationError('ADDRESS_IN_USE', 'no free TCP port can be had on 127.0.0.1');
}

/** Whether something listens on this port of loopback. */
export async function isPortTaken(port: number): Promise<boolean> {
  return (await tryListen(port)) === null;
}

/** The port that could be listened on (0 takes any), or null. */
function tryListen(port: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(null);
      else reject(error);
    });
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : null));
    });
  });
}
