import { constants } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { OperationError, type World } from '@rmr/runtime';
import type { OpenedStore, StoreOpener, StoreSpec } from '../core/server/kept-store.ts';
import { VolatileCacheDisk } from '../core/server/volatile-cache-disk.ts';
import { openError } from './disk-file.ts';
import { FileDisk } from './file-disk.ts';
import { openStoreOn } from './store-files.ts';

/** Bytes that are read before a file counts as answering: a sector of any disk. */
const PROBE_BYTES = 4096;

/** A store in a file or on a block device. */
export interface FileStoreSpec extends StoreSpec {
  /** For tests of power loss: what was not flushed dies with the process. */
  readonly volatileCache: boolean;
}

/** Opens stores in files and on block devices. */
export class FileStoreOpener implements StoreOpener<FileStoreSpec> {
  readonly #world: World;
  readonly #bootId: string;

  constructor(world: World, bootId: string) {
    this.#world = world;
    this.#bootId = bootId;
  }

  open(spec: FileStoreSpec, doubtful: boolean, done: (result: OpenedStore | OperationError) => void): void {
    this.#open(spec, doubtful).then(done, (error: unknown) => {
      if (!(error instanceof OperationError)) throw error;
      done(error);
    });
  }

  async #open({ path, poolUuid, volatileCache }: FileStoreSpec, doubtful: boolean): Promise<OpenedStore> {
    await probe(path);
    const disk = new FileDisk({ path });
    const store = await openStoreOn(volatileCache ? new VolatileCacheDisk(disk) : disk, {
      path,
      world: this.#world,
      bootId: this.#bootId,
      doubtful,
      ...(poolUuid === undefined ? {} : { poolUuid }),
    });
    return {
      store,
      waitingMs: (nowMs) => disk.waitingMs(nowMs),
      checkPresence: (whenKnown) => disk.checkPresence(whenKnown),
    };
  }
}

/** Opens and reads in the thread pool what is then opened in this thread: where a disk hangs, this is what hangs. */
async function probe(path: string): Promise<void> {
  // NONBLOCK: a pipe without a writer is no store, but nothing to wait for either.
  const file = await openFile(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    throw openError(path, error);
  });
  try {
    await file.read(new Uint8Array(PROBE_BYTES), 0, PROBE_BYTES, 0);
  } catch {
    // It answers. A store survives a sector that can't be read, and says so where it doesn't.
  } finally {
    await file.close();
  }
}
