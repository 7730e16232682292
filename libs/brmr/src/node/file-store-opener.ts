import { constants } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { OperationError, type World } from '@rmr/runtime';
import type { OpenedStore, StoreOpener, StoreSpec } from '../core/server/kept-store.ts';
import type { StorePlaces, ThreadPlaces } from '../core/server/thread-places.ts';
import { VolatileCacheDisk } from '../core/server/volatile-cache-disk.ts';
import { openError } from './disk-file.ts';
import { FileDisk } from './file-disk.ts';
import { openStoreOn } from './store-files.ts';

/** Opens stores in files and on block devices. */
export class FileStoreOpener implements StoreOpener<FileStoreSpec> {
  readonly #world: World;
  readonly #bootId: string;
  readonly #threads: ThreadPlaces;
  /** By path. A store keeps its places for as long as it is configured: what hangs on its disk outlives the disk's being open. */
  readonly #places = new Map<string, StorePlaces>();
  /** Paths of which is being asked what they lead to: an answer that never comes is not waited for twice. */
  readonly #asked = new Set<string>();

  constructor(world: World, bootId: string, threads: ThreadPlaces) {
    this.#world = world;
    this.#bootId = bootId;
    this.#threads = threads;
  }

  open(spec: FileStoreSpec, doubtful: boolean, done: (result: OpenedStore | OperationError) => void): void {
    this.#open(spec, doubtful).then(done, (error: unknown) => {
      if (!(error instanceof OperationError)) throw error;
      done(error);
    });
  }

  forget({ path }: FileStoreSpec): void {
    const places = this.#places.get(path);
    // Calls that hang on the disk keep their places. The store has the rest of them again if it is ever kept anew.
    if (places === undefined || places.taken > 0) return;
    this.#places.delete(path);
    places.leave();
  }

  async #open({ path, poolUuid, volatileCache }: FileStoreSpec, doubtful: boolean): Promise<OpenedStore> {
    const places = this.#placesOf(path);
    if (!places.take()) throw new OperationError('UNAVAILABLE', `${path} can't be opened: earlier calls still wait for its disk`);
    await probe(path).finally(() => places.give());
    const disk = new FileDisk({ path, places });
    const store = await openStoreOn(volatileCache ? new VolatileCacheDisk(disk) : disk, {
      path,
      world: this.#world,
      bootId: this.#bootId,
      doubtful,
      ...(poolUuid === undefined ? {} : { poolUuid }),
    });
    disk.boundUnwritten(store.bitmapStore.dataOffset);
    return {
      store,
      pace: () => disk.pace,
      waitingMs: (nowMs) => disk.waitingMs(nowMs),
      checkPresence: (whenKnown) => this.#checkPresence(disk, whenKnown),
    };
  }

  #placesOf(path: string): StorePlaces {
    const known = this.#places.get(path);
    if (known !== undefined) return known;
    const places = this.#threads.join();
    this.#places.set(path, places);
    return places;
  }

  #checkPresence(disk: FileDisk, whenKnown: (reason: string | null) => void): void {
    if (this.#asked.has(disk.path)) {
      whenKnown(null);
      return;
    }
    this.#asked.add(disk.path);
    disk.checkPresence((reason) => {
      this.#asked.delete(disk.path);
      whenKnown(reason);
    });
  }
}

/** Bytes that are read before a file counts as answering: a sector of any disk. */
const PROBE_BYTES = 4096;

/** A store in a file or on a block device. */
export interface FileStoreSpec extends StoreSpec {
  /** For tests of power loss: what was not flushed dies with the process. */
  readonly volatileCache: boolean;
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
