import { fstat, statfs } from 'node:fs';
import { type DiskSink, type DiskSpace, GIB, Status } from '@rmr/runtime';
import type { DiskProgress } from '../core/server/disk-progress.ts';
import type { StorePlaces } from '../core/server/thread-places.ts';
import { AllocatedBlocks } from './allocated-blocks.ts';
import { Errno, errno, FALLOC_FL_KEEP_SIZE, fallocate } from './libc.ts';

/**
 * The space that a file finds on its file system. While there is plenty it costs nothing. When it gets scarce, a range is given
 * blocks (`fallocate`) before it is written for the first time, one range after the other, in the order in which they came.
 */
export class FileRoom {
  readonly #host: RoomHost;
  readonly #blocks = new AllocatedBlocks();
  readonly #waiting: Waiting[] = [];
  #isAsking = false;
  /** The file system can't give a range blocks ahead of a write: writes are to tell. */
  #canReserve: boolean;
  #ample = true;
  #space: DiskSpace | null = null;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #seenAtMs = Number.NEGATIVE_INFINITY;
  #isLooking = false;

  constructor(host: RoomHost, space: DiskSpace | null) {
    this.#host = host;
    this.#canReserve = host.isFile;
    this.#see(space, performance.now());
  }

  /** As last seen. Null: nobody can say. */
  get space(): DiskSpace | null {
    return this.#space;
  }

  /** Ranges that wait to be given blocks. */
  get waiting(): number {
    return this.#waiting.length + (this.#isAsking ? 1 : 0);
  }

  /** Looks at the file system if that is due. Called with every batch of IO, and once a second. */
  look(nowMs: number): void {
    if (!this.#host.isFile) return;
    if (nowMs - this.#seenAtMs > LOOK_STALE_MS) this.#ample = !this.#canReserve;
    if (this.#isLooking || nowMs - this.#lookedAtMs < LOOK_MS || !this.#host.places.take()) return;
    this.#lookedAtMs = nowMs;
    this.#isLooking = true;
    statfs(this.#host.path, (statfsError, system) => {
      fstat(this.#host.fd, (statError, file) => {
        this.#isLooking = false;
        this.#host.places.give();
        // Where it can't be seen any more, what was seen becomes stale.
        if (statfsError === null && statError === null) this.#see(spaceOf(system, file.blocks, this.#host.sizeBytes), performance.now());
      });
    });
  }

  /** Whether a write of the range needs to ask for space no more. Called for every write. */
  has(offsetBytes: number, lengthBytes: number): boolean {
    return this.#ample || this.#blocks.has(offsetBytes, lengthBytes);
  }

  /** Asks for space for the range, behind what was asked before. */
  reserve(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): void {
    this.#waiting.push({ offsetBytes, lengthBytes, tag, sink });
    this.#askNext();
  }

  /** Blocks of the range are given back, or will be. */
  punched(offsetBytes: number, lengthBytes: number): void {
    this.#blocks.remove(offsetBytes, lengthBytes);
  }

  /** A write has found no space: it is asked for from now on, until it was seen that there is plenty. */
  exhausted(): void {
    this.#ample = !this.#canReserve;
    this.#lookedAtMs = Number.NEGATIVE_INFINITY;
  }

  #see(space: DiskSpace | null, nowMs: number): void {
    this.#space = space;
    this.#seenAtMs = nowMs;
    this.#ample = !this.#canReserve || space === null || space.freeBytes >= AMPLE_BYTES;
    // What is known of blocks is of use only while space is scarce; other programs may punch holes meanwhile.
    if (this.#ample) this.#blocks.clear();
  }

  #askNext(): void {
    if (this.#isAsking) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#isAsking = true;
    // Each is judged for itself: space that is given says nothing of bytes that reach the device, and those behind it wait for it.
    const generation = this.#host.progress.begin(false);
    this.#host.inPool((done) => this.#ask(next, generation, done));
  }

  #ask(next: Waiting, generation: number, done: () => void): void {
    const { fd, sizeBytes, progress } = this.#host;
    const from = AllocatedBlocks.floor(next.offsetBytes);
    const to = Math.min(sizeBytes, AllocatedBlocks.ceil(next.offsetBytes + next.lengthBytes));
    fallocate.async(fd, FALLOC_FL_KEEP_SIZE, from, to - from, (_error, result) => {
      const code = result === 0 ? 0 : errno();
      if (code === Errno.EINTR) {
        this.#ask(next, generation, done);
        return;
      }
      if (code === Errno.EOPNOTSUPP || code === Errno.EINVAL || code === Errno.ENOSYS) {
        this.#canReserve = false;
        this.#ample = true;
      }
      const isFull = code === Errno.ENOSPC || code === Errno.EDQUOT;
      if (code === 0) this.#blocks.add(from, to - from);
      this.#isAsking = false;
      done();
      progress.end(false, generation);
      this.#askNext();
      // Whatever else is wrong the write will find out.
      next.sink.onDiskDone(next.tag, isFull ? Status.ENOSPC : Status.OK);
    });
  }
}

/**
 * With so much free space, in bytes, a file system is not asked for space before a write: nobody fills that much between two looks at it.
 * With less, the first write of each place asks. So a write finds space for all of its range, or changes nothing.
 */
export const AMPLE_BYTES = GIB;
/** How often the file system is looked at while there is IO, in milliseconds. */
const LOOK_MS = 200;
/** For so long, in milliseconds, what was seen then counts. The keeper of the store has the disk look once a second. */
const LOOK_STALE_MS = 3_000;
/** What `st_blocks` counts in. */
const STAT_BLOCK_BYTES = 512;

/** What the room of a file needs from its disk. */
export interface RoomHost {
  readonly fd: number;
  readonly path: string;
  readonly sizeBytes: number;
  /** Whether it is a file. A device has its space for itself, or nothing tells how much space is behind it. */
  readonly isFile: boolean;
  readonly progress: DiskProgress;
  /** Its places in the thread pool: looking takes one. */
  readonly places: StorePlaces;
  /** Starts a call in the thread pool as soon as there is a place; `done` gives the place back. */
  inPool(start: (done: () => void) => void): void;
}

/** A request for space that waits for its turn. */
interface Waiting {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly tag: number;
  readonly sink: DiskSink;
}

/** What a file system says, as the space of a file on it. Null: it has no limit, or does not tell it. */
export function spaceOf(
  system: { readonly bavail: number; readonly blocks: number; readonly bsize: number },
  fileBlocks: number,
  sizeBytes: number,
): DiskSpace | null {
  if (system.blocks === 0) return null;
  return {
    freeBytes: system.bavail * system.bsize,
    totalBytes: system.blocks * system.bsize,
    wantedBytes: Math.max(0, sizeBytes - fileBlocks * STAT_BLOCK_BYTES),
  };
}
