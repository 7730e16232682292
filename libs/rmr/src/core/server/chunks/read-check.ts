import { ChunkGrid } from '@rmr/dirty-map';
import { type Clock, type DiskSink, Status } from '@rmr/runtime';
import { IO_BYTES_MAX, READ_CHECK_TRIES } from '../../../constants.ts';
import type { ByteRange, PoolStore } from '../../../pool-store.ts';
import { overlapsAny } from '../../../ranges.ts';

/**
 * Reads what others may be told to copy from this member (I1): a bad sector that nobody has met yet is found before it is
 * too late to choose somebody else. Chunks that are dirty here are passed over, as nobody copies them. What fails is read
 * again, as a member that may have the only complete copy should not be passed over for an error that goes away. Disks may take
 * seconds to give a sector up: after `limitMs` no more is read, and the rest counts as readable as far as nothing else is known.
 */
export class ReadCheck implements DiskSink {
  readonly #store: PoolStore;
  readonly #submitLater: () => void;
  readonly #done: (failed: readonly ByteRange[]) => void;
  readonly #pieces: Generator<ByteRange, undefined>;
  readonly #buffer = new Uint8Array(IO_BYTES_MAX);
  #piece: ByteRange | null = null;
  #tries = 0;
  readonly #clock: Clock;
  readonly #untilMs: number;
  readonly #known: readonly ByteRange[];
  readonly #triesOfKnown: number;
  readonly #failed: ByteRange[] = [];

  /**
   * `known` is what the disk could not read before, and is tried `triesOfKnown` times, from 1 on. `done` gets what it can't read now, no piece larger than a chunk; once,
   * and only when {@link begin} says so.
   */
  constructor(
    clock: Clock,
    store: PoolStore,
    ranges: readonly ByteRange[],
    known: readonly ByteRange[],
    triesOfKnown: number,
    submitLater: () => void,
    done: (failed: readonly ByteRange[]) => void,
    limitMs: number,
  ) {
    this.#clock = clock;
    this.#untilMs = clock.nowMs() + limitMs;
    this.#store = store;
    this.#known = known;
    this.#triesOfKnown = triesOfKnown;
    this.#submitLater = submitLater;
    this.#done = done;
    this.#pieces = pieces(store, ranges);
  }

  /** Whether there is something to read; then `done` will be called. */
  begin(): boolean {
    return this.#next();
  }

  onDiskDone(_tag: number, status: number): void {
    const isLate = this.#clock.nowMs() >= this.#untilMs;
    if (status !== Status.OK) {
      const piece = this.#piece as ByteRange;
      const triesMax = overlapsAny(piece, this.#known) ? this.#triesOfKnown : READ_CHECK_TRIES;
      if (!isLate && this.#tries < triesMax) {
        this.#read(piece);
        return;
      }
      this.#failed.push(piece);
    }
    if (isLate) this.#giveUp();
    if (isLate || !this.#next()) this.#done(this.#failed);
  }

  /** Of what is not read any more, what was known to be bad stays so: nobody has seen that it can be read by now. */
  #giveUp(): void {
    if (this.#known.length === 0) return;
    for (const piece of this.#pieces) if (overlapsAny(piece, this.#known)) this.#failed.push(piece);
  }

  #next(): boolean {
    const { value, done } = this.#pieces.next();
    if (done === true) return false;
    this.#tries = 0;
    this.#read(value);
    return true;
  }

  #read(piece: ByteRange): void {
    this.#piece = piece;
    this.#tries++;
    this.#store.read(piece.offsetBytes, this.#buffer.subarray(0, piece.lengthBytes), 0, this);
    this.#submitLater();
  }
}

/** The ranges without the chunks that are dirty here, in pieces that lie within one chunk and that one request may have. */
function* pieces(store: PoolStore, ranges: readonly ByteRange[]): Generator<ByteRange, undefined> {
  const { memberId } = store.identity;
  const grid = ChunkGrid.of(store.identity);
  for (const { offsetBytes, lengthBytes } of ranges) {
    // A peer's word is not trusted to lie within the device.
    const end = Math.min(offsetBytes + lengthBytes, grid.sizeBytes);
    for (let at = offsetBytes; at < end; ) {
      const chunk = grid.firstOf(at);
      const chunkEnd = Math.min(grid.startOf(chunk + 1), end);
      if (store.dirtyMap(memberId)?.test(chunk) === true) {
        at = chunkEnd;
        continue;
      }
      const stop = Math.min(chunkEnd, at + IO_BYTES_MAX);
      yield { offsetBytes: at, lengthBytes: stop - at };
      at = stop;
    }
  }
  return undefined;
}
