import { existsSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GIB } from '@rmr/runtime';
import type { TestProject } from 'vitest/node';
import { runProgram } from './command.ts';
import { CLIENT_NODE, CLUSTER_TOOL, STORAGE_NODE } from './paths.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The folder in which every test file makes its own. */
    readonly baseFolder: string;
  }
}

/** What `statfs` calls a tmpfs. */
const TMPFS_MAGIC = 0x01021994;
/** Free space that the suites need at a time, generously. */
const SPACE_BYTES_NEEDED = 3 * GIB;

function chooseParent(): string {
  try {
    const { type, bavail, bsize } = statfsSync('/dev/shm');
    if (type === TMPFS_MAGIC && bavail * bsize >= SPACE_BYTES_NEEDED) return '/dev/shm';
  } catch {
    // No such file system here.
  }
  return tmpdir();
}

/** Ports that a daemon listens on unless it is told otherwise. */
const DEFAULT_PORTS = [4810, 4811, 10_809];

/** Takes the default ports, so that a test that uses one fails here as it would beside another daemon. One that somebody has already serves as well. */
async function takeDefaultPorts(): Promise<readonly Server[]> {
  const servers = DEFAULT_PORTS.map((port) => ({ port, server: createServer((socket) => socket.destroy()) }));
  for (const { port, server } of servers) {
    await new Promise<void>((resolve, reject) => {
      server.once('listening', resolve);
      server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve() : reject(error)));
      server.listen(port, '127.0.0.1');
    });
  }
  return servers.map(({ server }) => server);
}

/** Makes the folder, takes the default ports, and at the end takes down whatever clusters a failed test has left in it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  for (const program of [CLUSTER_TOOL, CLIENT_NODE, STORAGE_NODE]) {
    if (!existsSync(program)) throw new Error(`${program} is not built; run: npm run build`);
  }
  const baseFolder = mkdtempSync(join(chooseParent(), 'rmr-test-'));
  project.provide('baseFolder', baseFolder);
  const taken = await takeDefaultPorts();
  return async () => {
    for (const server of taken) server.close();
    for (const name of readdirSync(baseFolder)) {
      const folder = join(baseFolder, name);
      if (existsSync(join(folder, 'cluster.json'))) await runProgram(process.execPath, [CLUSTER_TOOL, 'down', '--dir', folder]);
    }
    rmSync(baseFolder, { recursive: true, force: true });
  };
}
