import { chmodSync, fchmodSync, lchownSync, unlinkSync } from 'node:fs';
import { getSystemErrorMap } from 'node:util';
import koffi from 'koffi';
import { addressOf } from './native-memory.ts';

/**
 * Which users may connect to a unix socket. A field that is left out keeps the kernel's value: the daemon's own user and group, and 0777
 * less the umask.
 */
export interface SocketAccess {
  /** Permissions, as `chmod` takes them. A user needs the permission to write in order to connect. */
  readonly mode?: number | undefined;
  /** Names, or numbers as text. */
  readonly owner?: string | undefined;
  readonly group?: string | undefined;
}

const library = koffi.load(null);

/** int socket(int domain, int type, int protocol) */
const openSocket = library.func('int socket(int domain, int type, int protocol)') as (
  domain: number,
  type: number,
  protocol: number,
) => number;
/** int bind(int fd, const struct sockaddr *address, socklen_t length) */
const bind = library.func('int bind(int fd, uintptr_t address, uint32_t length)') as (
  fd: number,
  address: number,
  length: number,
) => number;
/** int close(int fd) */
const close = library.func('int close(int fd)') as (fd: number) => number;
/** struct passwd *getpwnam(const char *name) */
const getpwnam = library.func('void *getpwnam(const char *name)') as (name: string) => unknown;
/** struct group *getgrnam(const char *name) */
const getgrnam = library.func('void *getgrnam(const char *name)') as (name: string) => unknown;

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
/** Offset of `pw_uid` in `struct passwd`, and of `gr_gid` in `struct group`: behind two pointers. */
const ID_OFFSET = 16;
/** To `lchown`: leave it as it is. */
const UNCHANGED = -1;

/** Thrown when a socket can't be made with the wanted path and access. */
export class SocketAccessError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Whether any of the three fields is given. */
export function restrictsAccess({ mode, owner, group }: SocketAccess): boolean {
  return mode !== undefined || owner !== undefined || group !== undefined;
}

/**
 * Makes a unix socket that is bound to `path`, and that only users can connect to which `access` admits. Nobody can connect before that is in
 * force, because the socket does not listen yet. Returns the descriptor, which the caller owns. Throws {@link SocketAccessError}; its code
 * is EADDRINUSE when something is at `path` already.
 */
export function bindUnixSocket(path: string, access: SocketAccess): number {
  // Names are looked up before anything is made: an unknown name is a mistake in the configuration.
  const uid = access.owner === undefined ? UNCHANGED : idOf(access.owner, 'user', getpwnam);
  const gid = access.group === undefined ? UNCHANGED : idOf(access.group, 'group', getgrnam);
  const fd = openSocket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new SocketAccessError(errorCode(), `a socket can't be made: ${errorCode()}`);
  const encoded = Buffer.from(path);
  // struct sockaddr_un: the family, then the path with a terminating zero.
  const address = new Uint8Array(2 + encoded.length + 1);
  address[0] = AF_UNIX;
  address.set(encoded, 2);
  // The kernel gives the file the permissions of the socket: none, until its owner is right.
  if (access.mode !== undefined) fchmodSync(fd, 0);
  if (bind(fd, addressOf(address), address.length) !== 0) {
    const code = errorCode();
    close(fd);
    throw new SocketAccessError(code, code === 'EADDRINUSE' ? `${path} exists` : `it can't be bound to ${path}: ${code}`);
  }
  try {
    if (uid !== UNCHANGED || gid !== UNCHANGED) lchownSync(path, uid, gid);
    if (access.mode !== undefined) chmodSync(path, access.mode);
  } catch (error) {
    close(fd);
    unlinkSync(path);
    const { code = 'EIO' } = error as NodeJS.ErrnoException;
    const { owner = 'its owner', group = 'its group' } = access;
    const why = code === 'EPERM' ? ': only root can give it to another user, or to a group that the daemon is not in' : '';
    throw new SocketAccessError(code, `${path} can't be given to ${owner}:${group}: ${code}${why}`);
  }
  return fd;
}

/** The number of a user or group. A number is taken as it is. A name is looked up where this host looks names up. */
function idOf(name: string, kind: 'user' | 'group', lookUp: (name: string) => unknown): number {
  if (/^\d+$/.test(name)) return Number(name);
  const entry = lookUp(name);
  if (entry === null) throw new SocketAccessError('EINVAL', `there is no ${kind} "${name}" on this host`);
  return koffi.decode(entry, ID_OFFSET, 'uint32_t') as number;
}

/** The name of the last call's error. */
function errorCode(): string {
  return getSystemErrorMap().get(-koffi.errno())?.[0] ?? `error ${koffi.errno()}`;
}
