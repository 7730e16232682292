import { copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Running, run, startProgram } from './command.ts';
import { eventually } from './test-cluster.ts';

/**
 * A disk with a pace: nbdkit serves a copy of a store at the rate that a file says (nbdkit-rate-filter(1)), nbdfuse makes a file
 * of it, and a loop device makes a disk of that, with a page cache in front. It takes the store's place.
 */
export class SlowDisk {
  readonly #rateFile: string;
  readonly #mountPoint: string;
  readonly #device: string;
  readonly #server: Running;
  readonly #mount: Running;

  private constructor(rateFile: string, mountPoint: string, device: string, server: Running, mount: Running) {
    this.#rateFile = rateFile;
    this.#mountPoint = mountPoint;
    this.#device = device;
    this.#server = server;
    this.#mount = mount;
  }

  /** Puts a store, which nobody has open, on such a disk, which is fast at first. */
  static async under(store: string): Promise<SlowDisk> {
    const folder = `${store}.disk`;
    const backing = join(folder, 'backing');
    const socket = join(folder, 'sock');
    const mountPoint = join(folder, 'mount');
    const rateFile = join(folder, 'rate');
    mkdirSync(mountPoint, { recursive: true });
    copyFileSync(store, backing);
    writeFileSync(rateFile, `${FAST}\n`);
    const server = startProgram(
      'nbdkit',
      [...['--foreground', '--unix', socket, '--filter=rate', 'file', backing], ...[`rate=${FAST}`, `rate-file=${rateFile}`]],
      { server: true },
    );
    await eventually(() => {
      if (!existsSync(socket)) throw new Error(`nbdkit does not listen: ${server.stderr()}`);
    });
    const file = join(mountPoint, 'store');
    const mount = startProgram('nbdfuse', [file, `nbd+unix:///?socket=${socket}`], { server: true });
    await eventually(() => {
      if (!existsSync(file)) throw new Error(`nbdfuse has no file: ${mount.stderr()}`);
    });
    const device = (await run('losetup', '--find', '--show', file)).trim();
    rmSync(store);
    symlinkSync(device, store);
    return new SlowDisk(rateFile, mountPoint, device, server, mount);
  }

  /** From now on it moves so many bits per second. */
  slow(bitsPerSecond: number): void {
    writeFileSync(this.#rateFile, `${bitsPerSecond}\n`);
  }

  fast(): void {
    writeFileSync(this.#rateFile, `${FAST}\n`);
  }

  /** Nothing moves from now on. */
  freeze(): void {
    this.#server.signal('SIGSTOP');
  }

  thaw(): void {
    this.#server.signal('SIGCONT');
  }

  /** Ends it, once nobody has the store open. */
  async dispose(): Promise<void> {
    this.thaw();
    this.fast();
    await run('losetup', '--detach', this.#device);
    await eventually(() => run('fusermount3', '-u', this.#mountPoint));
    await this.#mount.ended;
    this.#server.signal('SIGTERM');
    await this.#server.ended;
  }
}

/** What {@link SlowDisk} needs of the machine. */
export const SLOW_DISK_NEEDS = ['nbdkit', 'nbdfuse', 'FUSE', 'fusermount3', 'losetup', 'loop devices'] as const;

/** Bits per second that no test notices. */
const FAST = '100G';
