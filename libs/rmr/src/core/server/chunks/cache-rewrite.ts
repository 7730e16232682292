import { ChunkGrid } from '@rmr/dirty-map';
import { type DiskExtent, type DiskSink, Status } from '@rmr/runtime';
import { IO_BYTES_MAX } from '../../../constants.ts';
import type { ByteRange, PoolStore } from '../../../pool-store.ts';
import { zeroRuns } from '../requests/zeroes.ts';

/**
 * Writes anew what a failed flush may have left in the page cache alone. The kernel calls such pages clean: they are
 * read as if nothing had happened, no later flush writes them, and they are gone with the cache (L6). Everything of that
 * kind lies in the write intent. Chunks that this member is going to pull from others are left alone.
 *
 * For a pool that serves no IO: nobody else may write meanwhile. The flush that makes it durable is the caller's.
 */
export class CacheRewrite implements DiskSink {
  readonly #store: PoolStore;
  readonly #submitLater: () => void;
  readonly #done: (status: number) => void;
  readonly #pieces: Iterator<ByteRange>;
  readonly #buffer = new Uint8Array(IO_BYTES_MAX);
  /** What is being read, or written after that. */
  #piece: ByteRange | null = null;
  #reading = false;
  /** What is still to be written of the piece, and how much has been. */
  #runs: DiskExtent[] = [];
  #writtenBytes = 0;

  /** `done` gets the status of the first request that failed; once, never from within. */
  constructor(store: PoolStore, submitLater: () => void, done: (status: number) => void) {
    this.#store = store;
    this.#submitLater = submitLater;
    this.#done = done;
    this.#pieces = pieces(store);
  }

  /** Whether there is something to write; then `done` will be called. */
  begin(): boolean {
    return this.#next();
  }

  onDiskDone(_tag: number, status: number): void {
    if (status !== Status.OK) this.#done(status);
    else if (this.#reading) this.#split();
    else if (this.#runs.length > 0) this.#write();
    else if (!this.#next()) this.#done(Status.OK);
  }

  #next(): boolean {
    const { value, done } = this.#pieces.next();
    if (done === true) return false;
    this.#piece = value;
    this.#reading = true;
    this.#store.read(value.offsetBytes, this.#buffer.subarray(0, value.lengthBytes), 0, this);
    this.#submitLater();
    return true;
  }

  /** What was read is data, and holes, which stay holes where the disk can make them. */
  #split(): void {
    const { lengthBytes } = this.#piece as ByteRange;
    const { fastPunch, holeBytes } = this.#store.features;
    this.#reading = false;
    this.#writtenBytes = 0;
    this.#runs = fastPunch ? zeroRuns(this.#buffer.subarray(0, lengthBytes), holeBytes) : [{ lengthBytes, hole: false }];
    this.#write();
  }

  #write(): void {
    const { lengthBytes, hole } = this.#runs.shift() as DiskExtent;
    const at = this.#writtenBytes;
    const offsetBytes = (this.#piece as ByteRange).offsetBytes + at;
    this.#writtenBytes += lengthBytes;
    if (hole) this.#store.punch(offsetBytes, lengthBytes, 0, this);
    else this.#store.write(offsetBytes, this.#buffer.subarray(at, at + lengthBytes), 0, this);
    this.#submitLater();
  }
}

/** The write intent without the chunks that are dirty here, in pieces that one request may have. */
function* pieces(store: PoolStore): Generator<ByteRange, undefined> {
  const { memberId } = store.identity;
  const grid = ChunkGrid.of(store.identity);
  for (const { offsetBytes, lengthBytes } of store.intentRanges()) {
    const end = Math.min(offsetBytes + lengthBytes, grid.sizeBytes);
    const endChunk = grid.firstWholeOf(end);
    for (let at = offsetBytes; at < end; ) {
      const dirty = store.dirtyMap(memberId);
      const chunk = grid.firstOf(at);
      if (dirty?.test(chunk) === true) {
        at = grid.startOf(dirty.nextClean(chunk, endChunk));
        continue;
      }
      const stop = Math.min(grid.startOf(dirty?.nextDirty(chunk, endChunk) ?? endChunk), end, at + IO_BYTES_MAX);
      yield { offsetBytes: at, lengthBytes: stop - at };
      at = stop;
    }
  }
  return undefined;
}
