import koffi from 'koffi';
import type { Logger } from '../logger.ts';

/** The number of threads that libuv takes by default. */
const THREADS_DEFAULT = 4;
const VARIABLE = 'UV_THREADPOOL_SIZE';
const F_SETFD = 2;

const library = koffi.load(null);
/** int execve(const char *path, char *const argv[], char *const envp[]) */
const execve = library.func('int execve(const char *path, const char **argv, const char **envp)') as (
  path: string,
  argv: readonly (string | null)[],
  envp: readonly (string | null)[],
) => number;
/** int fcntl(int fd, int command, int argument) */
const fcntl = library.func('int fcntl(int fd, int command, ...)') as (fd: number, command: number, type: 'int', argument: number) => number;

/** The threads of libuv's pool, in which calls to files and name look-ups wait. The environment says how many: libuv reads nothing else. */
export function poolThreads(): number {
  const size = Number.parseInt(process.env[VARIABLE] ?? '', 10);
  return size > 0 ? size : THREADS_DEFAULT;
}

/**
 * Makes sure that libuv's pool has `threads` threads. Node uses the pool to read the program's own file. So the pool exists
 * before the first line of the program runs, and the program can't set its size any more. Therefore the process starts itself
 * anew, in its place and with its process id, with `UV_THREADPOOL_SIZE` set. If the variable is set already, it is left as it is,
 * even if it is too small; the log says so then. Call this function before anything is open.
 */
export function ensurePoolThreads(threads: number, log: Logger): void {
  const given = process.env[VARIABLE];
  if (given !== undefined && given !== '') {
    if (poolThreads() < threads) {
      log.warn('UV_THREADPOOL_SIZE is too small for the stores of this node: disks that hang may hold up others. Leave it out', {
        given,
        needed: threads,
      });
    }
    return;
  }
  const environment = Object.entries({ ...process.env, [VARIABLE]: String(threads) }).map(([name, value]) => `${name}=${value}`);
  // Node marks the standard descriptors to be closed at execve. Undo that.
  for (const fd of [0, 1, 2]) fcntl(fd, F_SETFD, 'int', 0);
  execve(process.execPath, [process.argv0, ...process.execArgv, ...process.argv.slice(1), null], [...environment, null]);
  log.error(
    'this program could not be started anew with the threads that it needs: disks that hang may hold up others. Set UV_THREADPOOL_SIZE',
    {
      needed: threads,
      errno: koffi.errno(),
    },
  );
}
