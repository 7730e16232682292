/** For tests: NBD servers of others, on a unix socket in a folder that is removed with them. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';

/** A server process, which can be killed and started again. */
export class OtherServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'brmr-nbd-'));
  readonly socket = join(this.folder, 'sock');
  /** A sparse file that the server may serve. */
  readonly file = join(this.folder, 'file');
  readonly uri: string;
  readonly #program: string;
  readonly #args: readonly string[];
  #process: ChildProcess | null = null;
  #stderr = '';

  private constructor(program: string, args: (server: OtherServer) => readonly string[], sizeBytes: number, exportName: string) {
    writeFileSync(this.file, '');
    truncateSync(this.file, sizeBytes);
    this.uri = `nbd+unix:///${exportName}?socket=${this.socket}`;
    this.#program = program;
    this.#args = args(this);
  }

  static async nbdkit(args: (server: OtherServer) => readonly string[], sizeBytes = 8 << 20): Promise<OtherServer> {
    const server = new OtherServer('nbdkit', (self) => ['--foreground', '--unix', self.socket, ...args(self)], sizeBytes, '');
    await server.start();
    return server;
  }

  static async qemu(args: (server: OtherServer) => readonly string[], sizeBytes = 8 << 20): Promise<OtherServer> {
    const common = (self: OtherServer): string[] => [
      '--persistent',
      '--shared=0',
      '--format=raw',
      '--export-name=vol',
      '--socket',
      self.socket,
    ];
    const server = new OtherServer('qemu-nbd', (self) => [...common(self), ...args(self)], sizeBytes, 'vol');
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const started = spawn(this.#program, this.#args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = started;
    started.stderr?.on('data', (bytes) => {
      this.#stderr += String(bytes);
    });
    await expect
      .poll(async () => (started.exitCode === null ? await listens(this.socket) : `it ended: ${this.#stderr}`), {
        timeout: 60_000,
        interval: 10,
      })
      .toBe(true);
  }

  /** As a crash of its host would end it, but for what is in the page cache. */
  async kill(): Promise<void> {
    const running = this.#process;
    this.#process = null;
    if (running === null) return;
    const exited = once(running, 'exit');
    running.kill('SIGKILL');
    await exited;
    rmSync(this.socket, { force: true });
  }

  async dispose(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }
}

/** Whether a server is installed. */
export function hasServer(program: 'nbdkit' | 'qemu-nbd'): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
}

function listens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}
