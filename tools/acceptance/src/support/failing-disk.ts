import { copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Running, run, startProgram } from './command.ts';
import { eventually } from './test-cluster.ts';

/**
 * A disk that fails, or hangs, when it is told to: nbdkit serves a copy of a store and answers with EIO while a certain file exists
 * (nbdkit-error-filter(1)); nbdfuse makes a file of it, which takes the store's place.
 */
export class FailingDisk {
  readonly #triggers: { readonly reads: string; readonly others: string };
  readonly #mountPoint: string;
  readonly #server: Running;
  readonly #mount: Running;

  private constructor(folder: string, mountPoint: string, server: Running, mount: Running) {
    this.#triggers = triggersIn(folder);
    this.#mountPoint = mountPoint;
    this.#server = server;
    this.#mount = mount;
  }

  /** Puts a store, which nobody has open, on such a disk. It fails `percent` of the requests when it is told to. */
  static async under(store: string, percent: number): Promise<FailingDisk> {
    const folder = `${store}.disk`;
    const backing = join(folder, 'backing');
    const socket = join(folder, 'sock');
    const mountPoint = join(folder, 'mount');
    const { reads, others } = triggersIn(folder);
    mkdirSync(mountPoint, { recursive: true });
    copyFileSync(store, backing);
    const server = startProgram(
      'nbdkit',
      [
        ...['--foreground', '--unix', socket, '--filter=error', 'file', backing],
        ...['error=EIO', `error-rate=${percent}%`, `error-file=${others}`],
        ...['error-pread=EIO', `error-pread-rate=${percent}%`, `error-pread-file=${reads}`],
      ],
      { server: true },
    );
    await eventually(() => {
      if (!existsSync(socket)) throw new Error(`nbdkit does not listen: ${server.stderr()}`);
    });
    const file = join(mountPoint, FILE);
    const mount = startProgram('nbdfuse', [file, `nbd+unix:///?socket=${socket}`], { server: true });
    await eventually(() => {
      if (!existsSync(file)) throw new Error(`nbdfuse has no file: ${mount.stderr()}`);
    });
    rmSync(store);
    symlinkSync(file, store);
    return new FailingDisk(folder, mountPoint, server, mount);
  }

  /** Everything fails from now on. */
  async fail(): Promise<void> {
    writeFileSync(this.#triggers.others, '');
    await this.failReads();
  }

  /** Reads fail from now on, as far as the kernel has to ask the disk: it forgets what it has in memory. */
  async failReads(): Promise<void> {
    writeFileSync(this.#triggers.reads, '');
    await run('dd', `if=${join(this.#mountPoint, FILE)}`, 'iflag=nocache', 'count=0', 'status=none');
  }

  /** Nothing is answered from now on. */
  freeze(): void {
    this.#server.signal('SIGSTOP');
  }

  /** What was asked meanwhile is answered. */
  thaw(): void {
    this.#server.signal('SIGCONT');
  }

  recover(): void {
    rmSync(this.#triggers.reads, { force: true });
    rmSync(this.#triggers.others, { force: true });
  }

  /** Ends it, once nobody has the store open. */
  async dispose(): Promise<void> {
    this.recover();
    this.thaw();
    await run('fusermount3', '-u', this.#mountPoint);
    await this.#mount.ended;
    this.#server.signal('SIGTERM');
    await this.#server.ended;
  }
}

/** The store's name on its disk. */
const FILE = 'store';

/** What {@link FailingDisk} needs of the machine. */
export const FAILING_DISK_NEEDS = ['nbdkit', 'nbdfuse', 'FUSE', 'fusermount3'] as const;

/** The files whose existence makes requests fail. */
function triggersIn(folder: string): { readonly reads: string; readonly others: string } {
  return { reads: join(folder, 'fail-reads'), others: join(folder, 'fail-others') };
}
