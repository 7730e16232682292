import { type DiskExtent, type DiskSink, Status } from '@rmr/runtime';
import { IO_BYTES_MAX, REFUSED_CHUNKS_MAX } from '../../constants.ts';
import type { ByteRange, PoolStore } from '../../pool-store.ts';
import { zeroRuns } from './zeroes.ts';

/**
 * Writes ranges anew that a failed flush may have left in the page cache alone, and makes them durable. The kernel calls such pages clean:
 * they are read as if nothing had happened, no later flush writes them, and they are gone with the cache (L6).
 *
 * All of it is written before one flush. If that fails, it is done once more, each piece with a flush of its own, which shows which
 * chunks the disk does not take (W10). Nothing is written past the page cache here, as that would throw away what the cache has: it may be the
 * last copy.
 *
 * For a pool that serves no IO: nobody else may write meanwhile.
 */
export class CacheRewrite implements DiskSink {
  readonly #store: PoolStore;
  readonly #submitLater: () => void;
  readonly #done: (status: number, unkept: readonly ByteRange[]) => void;
  readonly #buffer = new Uint8Array(IO_BYTES_MAX);
  readonly #ranges: readonly ByteRange[];
  #pieces: Iterator<ByteRange>;
  /** Each piece has a flush of its own. */
  #alone = false;
  /** Chunks of a piece that failed: each is tried before the next piece is. */
  #parts: ByteRange[] = [];
  /** What is being read, or written or flushed after that. */
  #piece: ByteRange | null = null;
  #step: 'read' | 'write' | 'flush' = 'read';
  /** What is still to be written of the piece, and how much has been. */
  #runs: DiskExtent[] = [];
  #writtenBytes = 0;
  readonly #unkept: ByteRange[] = [];

  /**
   * `done` is called once, never from within, with OK when everything is durable but `unkept`, none of which lies in two chunks. That can be
   * read as before, and only the page cache may have it. With another status the disk takes so little that it is of no use.
   */
  constructor(
    store: PoolStore,
    ranges: readonly ByteRange[],
    submitLater: () => void,
    done: (status: number, unkept: readonly ByteRange[]) => void,
  ) {
    this.#store = store;
    this.#submitLater = submitLater;
    this.#done = done;
    this.#ranges = ranges;
    this.#pieces = pieces(ranges);
  }

  /** Whether there is something to write; then `done` will be called. */
  begin(): boolean {
    return this.#next();
  }

  onDiskDone(_tag: number, status: number): void {
    if (status !== Status.OK) this.#failed(status);
    else if (this.#step === 'read') this.#split();
    else if (this.#runs.length > 0) this.#write();
    else if (this.#alone && this.#step === 'write') this.#flush();
    else this.#goOn();
  }

  /** A piece is written, and durable where each is flushed alone; or all of them are durable. */
  #goOn(): void {
    if (this.#step === 'flush' && !this.#alone) this.#done(Status.OK, []);
    else if (!this.#next()) {
      if (this.#alone) this.#done(Status.OK, this.#unkept);
      else this.#flush();
    }
  }

  #failed(status: number): void {
    this.#runs = [];
    if (!this.#alone) {
      this.#alone = true;
      this.#pieces = pieces(this.#ranges);
    } else {
      const piece = this.#piece as ByteRange;
      const parts = chunksOf(piece, this.#store.identity.chunkSizeBytes);
      if (parts.length > 1) this.#parts = parts;
      else if (this.#unkept.length < REFUSED_CHUNKS_MAX) this.#unkept.push(piece);
      else {
        this.#done(status, []);
        return;
      }
    }
    this.#goOn();
  }

  #next(): boolean {
    const part = this.#parts.shift();
    const { value, done } = part === undefined ? this.#pieces.next() : { value: part, done: false };
    if (done === true) return false;
    this.#piece = value;
    this.#step = 'read';
    this.#store.read(value.offsetBytes, this.#buffer.subarray(0, value.lengthBytes), 0, this);
    this.#submitLater();
    return true;
  }

  /** What was read is data, and holes, which stay holes where the disk can make them. */
  #split(): void {
    const { lengthBytes } = this.#piece as ByteRange;
    const { fastPunch, holeBytes } = this.#store.features;
    this.#step = 'write';
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

  #flush(): void {
    this.#step = 'flush';
    this.#store.flush(0, this);
    this.#submitLater();
  }
}

/** The parts of the range that lie in one chunk each. */
function chunksOf({ offsetBytes, lengthBytes }: ByteRange, chunkBytes: number): ByteRange[] {
  const end = offsetBytes + lengthBytes;
  const parts: ByteRange[] = [];
  for (let at = offsetBytes; at < end; ) {
    const stop = Math.min(end, (Math.floor(at / chunkBytes) + 1) * chunkBytes);
    parts.push({ offsetBytes: at, lengthBytes: stop - at });
    at = stop;
  }
  return parts;
}

/** The ranges in pieces that one request may have. */
function* pieces(ranges: readonly ByteRange[]): Generator<ByteRange, undefined> {
  for (const { offsetBytes, lengthBytes } of ranges) {
    for (let at = 0; at < lengthBytes; at += IO_BYTES_MAX)
      yield { offsetBytes: offsetBytes + at, lengthBytes: Math.min(IO_BYTES_MAX, lengthBytes - at) };
  }
  return undefined;
}
