import { copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Running, run, startProgram } from './command.ts';
import { eventually } from './test-cluster.ts';

/**
 * A disk that has run out of spare sectors in one place, when it is told to: what is written there fails with EIO, all else goes on.
 * An nbdkit script serves a copy of a store; nbdfuse makes a file of it, and that, or a loop device on it, takes the store's place.
 */
export class WornDisk {
  readonly #trigger: string;
  readonly #mountPoint: string;
  /** The loop device; null: there is none. */
  readonly #device: string | null;
  readonly #server: Running;
  readonly #mount: Running;

  private constructor(trigger: string, mountPoint: string, device: string | null, server: Running, mount: Running) {
    this.#trigger = trigger;
    this.#mountPoint = mountPoint;
    this.#device = device;
    this.#server = server;
    this.#mount = mount;
  }

  /** Puts a store, which nobody has open, on such a disk. */
  static async under(store: string, { firstByte, lengthBytes }: WornRange, options: WornDiskOptions = {}): Promise<WornDisk> {
    const folder = `${store}.disk`;
    const backing = join(folder, 'backing');
    const socket = join(folder, 'sock');
    const mountPoint = join(folder, 'mount');
    const trigger = join(folder, 'worn');
    mkdirSync(mountPoint, { recursive: true });
    copyFileSync(store, backing);
    // $3 and $4 are the length and the offset of a request.
    const isWorn = `[ -e '${trigger}' ] && [ $4 -lt ${firstByte + lengthBytes} ] && [ $(($4 + $3)) -gt ${firstByte} ]`;
    const server = startProgram(
      'nbdkit',
      [
        ...['--foreground', '--unix', socket, 'eval'],
        `get_size=stat -Lc %s '${backing}'`,
        'can_write=exit 0',
        'can_flush=exit 0',
        `pread=dd if='${backing}' skip=$4 count=$3 bs=256K iflag=skip_bytes,count_bytes status=none`,
        `pwrite=if ${isWorn}; then echo 'EIO worn out' >&2; exit 1; fi; dd of='${backing}' seek=$4 bs=256K oflag=seek_bytes conv=notrunc status=none`,
        `flush=sync -d '${backing}'`,
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
    const device = options.behindCache === true ? (await run('losetup', '--find', '--show', file)).trim() : null;
    rmSync(store);
    symlinkSync(device ?? file, store);
    return new WornDisk(trigger, mountPoint, device, server, mount);
  }

  /** It takes nothing in its range from now on. */
  wearOut(): void {
    writeFileSync(this.#trigger, '');
  }

  /** It takes everything again, as a disk does that was replaced by a copy of itself. */
  recover(): void {
    rmSync(this.#trigger, { force: true });
  }

  /** Ends it, once nobody has the store open. */
  async dispose(): Promise<void> {
    this.recover();
    if (this.#device !== null) await run('losetup', '--detach', this.#device);
    await eventually(() => run('fusermount3', '-u', this.#mountPoint));
    await this.#mount.ended;
    this.#server.signal('SIGTERM');
    await this.#server.ended;
  }
}

/** The store's name on its disk. */
const FILE = 'store';

/** Where a disk takes nothing, in bytes from its start. */
export interface WornRange {
  readonly firstByte: number;
  readonly lengthBytes: number;
}

/** How the disk shows that it does not take what is written. */
export interface WornDiskOptions {
  /** A loop device lies in between, so that the page cache takes every write, and a flush fails. Needs `losetup` and loop devices. */
  readonly behindCache?: boolean;
}
