import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { OperationError } from '@rmr/runtime';
import { LOCK_TIMEOUT_MS, POLL_MS } from './constants.ts';
import { pause } from './waiting.ts';

/**
 * Runs `work` while no other command changes the cluster in `directory`. Throws CONFLICT when another one holds on
 * for longer than `timeoutMs`.
 *
 * The lock is an abstract unix socket, named after the directory: the kernel takes it back the moment its holder dies,
 * so there is nothing stale to recognise. A process that connects is told which process holds it.
 */
export async function withDirectoryLock<Result>(
  directory: string,
  work: () => Promise<Result>,
  timeoutMs = LOCK_TIMEOUT_MS,
): Promise<Result> {
  const name = lockName(directory);
  const deadline = performance.now() + timeoutMs;
  let lock = await tryLock(name);
  while (lock === null) {
    if (performance.now() >= deadline) {
      throw new OperationError(
        'CONFLICT',
        `another command (process ${await holder(name)}) works on ${directory}; try again when it has ended`,
      );
    }
    await pause(POLL_MS);
    lock = await tryLock(name);
  }
  const held = lock;
  try {
    return await work();
  } finally {
    await new Promise<void>((resolve) => {
      held.close(() => resolve());
    });
  }
}

/** The name of a directory's lock in the abstract name space. */
export function lockName(directory: string): string {
  return `\0rmr-cluster-${createHash('sha256').update(realpathSync(directory)).digest('hex').slice(0, 32)}`;
}

function tryLock(name: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.end(String(process.pid), () => socket.destroy());
    });
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else reject(error);
    });
    // The lock alone keeps no process alive.
    server.listen({ path: name }, () => resolve(server.unref()));
  });
}

function holder(name: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ path: name });
    socket.setTimeout(1000, () => socket.destroy());
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve(/^\d+$/.test(text) ? text : 'unknown'));
  });
}
