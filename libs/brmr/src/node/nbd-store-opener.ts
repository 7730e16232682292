/**
 * Opens stores on exports of NBD servers.
 *
 * **Late writes.** A server may carry out what it was sent on a connection after that connection has ended, and nothing in the protocol tells when
 * it is done. A write that comes late would overwrite what was written on the next connection (I10). So after an attachment that was lost
 * with changes in flight, no other one is used before the server has had the time in which a disk has to do something: `ioTimeout`. The same
 * holds when the process is new and the store was not shut down cleanly: nobody remembers then what was in flight.
 */
import { inspectStore, type StoreInspection } from '@rmr/bitmap-store';
import { isNbdUri, type NbdClientParts } from '@rmr/nbd';
import { type Disk, OperationError, type SlabPool, type Transport, type World } from '@rmr/runtime';
import { SocketTransport } from '@rmr/runtime/node';
import type { OpenedStore, StoreOpener } from '../core/server/kept-store.ts';
import { type NbdDisk, openNbdDisk } from '../core/server/nbd-disk.ts';
import type { ThreadPlaces } from '../core/server/thread-places.ts';
import { VolatileCacheDisk } from '../core/server/volatile-cache-disk.ts';
import { FileStoreOpener, type FileStoreSpec } from './file-store-opener.ts';
import { openStoreOn } from './store-files.ts';

/** See the head of this file. The path of a spec is an NBD URI. */
export class NbdStoreOpener implements StoreOpener<FileStoreSpec> {
  readonly #world: World;
  readonly #bootId: string;
  readonly #parts: NbdClientParts;
  /** By URI: until when the server may carry out what it was sent before, in milliseconds of the world's clock. */
  readonly #lateUntilMs = new Map<string, number>();

  constructor(world: World, transport: Transport, slabs: SlabPool, bootId: string) {
    this.#world = world;
    this.#bootId = bootId;
    this.#parts = { world, transport, slabs };
  }

  open(spec: FileStoreSpec, doubtful: boolean, done: (result: OpenedStore | OperationError) => void): void {
    this.#open(spec, doubtful).then(done, (error: unknown) => {
      if (!(error instanceof OperationError)) throw error;
      done(error);
    });
  }

  /** If the store is ever kept anew, it is looked at again. Until the server has had its time, that is remembered. */
  forget({ path }: FileStoreSpec): void {
    if ((this.#lateUntilMs.get(path) ?? 0) <= this.#world.clock.nowMs()) this.#lateUntilMs.delete(path);
  }

  async #open({ path, poolUuid, volatileCache, ioTimeoutMs }: FileStoreSpec, doubtful: boolean): Promise<OpenedStore> {
    const leftMs = (this.#lateUntilMs.get(path) ?? Number.NEGATIVE_INFINITY) - this.#world.clock.nowMs();
    if (leftMs > 0) throw mayActLate(path, leftMs);
    const disk = await this.#attach(path);
    disk.onLost = (changes) => {
      if (changes) this.#lateUntilMs.set(path, this.#world.clock.nowMs() + ioTimeoutMs);
    };
    if (!this.#lateUntilMs.has(path)) {
      const found = await look(disk, path);
      // What can't be read here is told of when it is opened. Nothing is written to it before.
      const wasInUse = !(found instanceof OperationError) && !found.cleanShutdown;
      this.#lateUntilMs.set(path, wasInUse ? this.#world.clock.nowMs() + ioTimeoutMs : Number.NEGATIVE_INFINITY);
      if (wasInUse) {
        await new Promise((resolve) => disk.close(resolve));
        throw mayActLate(path, ioTimeoutMs);
      }
    }
    const top: Disk = volatileCache ? new VolatileCacheDisk(disk) : disk;
    const store = await openStoreOn(top, {
      path,
      world: this.#world,
      bootId: this.#bootId,
      doubtful,
      ...(poolUuid === undefined ? {} : { poolUuid }),
    });
    return {
      store,
      pace: () => disk.pace,
      waitingMs: (nowMs) => disk.waitingMs(nowMs),
      gone: () => disk.lostReason,
      checkPresence: (whenKnown) => whenKnown(disk.lostReason),
    };
  }

  #attach(uri: string): Promise<NbdDisk> {
    return new Promise((resolve, reject) => {
      openNbdDisk(this.#parts, { uri }, (result) => (result instanceof OperationError ? reject(result) : resolve(result)));
    });
  }
}

function mayActLate(path: string, leftMs: number): OperationError {
  return new OperationError(
    'UNAVAILABLE',
    `${path} is not used for another ${Math.ceil(leftMs / 1000)} s: an earlier connection may have ended with writes that the server had not answered, and the server may still carry them out`,
  );
}

function look(disk: Disk, label: string): Promise<StoreInspection | OperationError> {
  return new Promise((resolve) => inspectStore(disk, { label }, resolve));
}

/** Opens stores wherever they are: what looks like an NBD URI is one, and everything else is a path. */
export class StoreOpeners implements StoreOpener<FileStoreSpec> {
  readonly #files: FileStoreOpener;
  readonly #exports: NbdStoreOpener;

  constructor(world: World, slabs: SlabPool, bootId: string, threads: ThreadPlaces) {
    this.#files = new FileStoreOpener(world, bootId, threads);
    // What the kernel has not sent when a connection is given up must not be sent later.
    this.#exports = new NbdStoreOpener(world, new SocketTransport({ resets: true }), slabs, bootId);
  }

  open(spec: FileStoreSpec, doubtful: boolean, done: (result: OpenedStore | OperationError) => void): void {
    this.#openerOf(spec).open(spec, doubtful, done);
  }

  forget(spec: FileStoreSpec): void {
    this.#openerOf(spec).forget(spec);
  }

  #openerOf({ path }: FileStoreSpec): StoreOpener<FileStoreSpec> {
    return isNbdUri(path) ? this.#exports : this.#files;
  }
}
