import type { ChunkGrid } from '@rmr/dirty-map';
import { type DiskExtent, type Slab, Status } from '@rmr/runtime';
import { IO_BYTES_MAX, RANGE_BYTES_MAX } from '../../../constants.ts';
import type { LastIo } from '../../../pool-store.ts';
import type { SparseData } from '../../../wire/sparse-data.ts';
import { firstOfRuns } from '../requests/zeroes.ts';
import type { SyncPeer } from './sync-peers.ts';

/** One run of chunks on its way from a peer to this disk. One that is FREE is used again for another run. */
export class Pull {
  /** One of {@link PullPhase}. */
  phase: number = PullPhase.FREE;
  firstChunk = 0;
  chunkCount = 0;
  /** Bytes written so far: a chunk larger than a message is read in pieces. */
  writtenBytes = 0;
  /** Blocks of zeroes are left out of the answer, which may cover a first part of the chunks only. */
  sparse = false;
  /** Bytes that count as being in flight: what the answer may carry. */
  chargedBytes = 0;
  /** Bytes that answers have carried. */
  carriedBytes = 0;
  /** Of the version at its start (R2). */
  generation = 0;
  peer: SyncPeer | null = null;
  /** The runs of the piece that was read: holes, and data. */
  runs: readonly DiskExtent[] = NO_RUNS;
  /** Bytes of these runs. */
  coveredBytes = 0;
  /** Runs that the disk works for, and the first status with which one of them failed. */
  changesLeft = 0;
  changeStatus: number = Status.OK;
  /** The data of the runs that are no holes, and the slab it lies in, from the answer until the next piece is read, or the pull is over. */
  data: Uint8Array | null = null;
  slab: Slab | null = null;
  /** The writes that the data shows and that are not resolved yet, until they are in the own `lastIo`. */
  unresolved: readonly LastIo[] = [];
  /** The newest write that the data shows and that is not resolved yet; 0: none. */
  unresolvedSeq = 0;
  /** When the read under way was sent, clock milliseconds. */
  startedMs = 0;
  readonly #grid: ChunkGrid;

  constructor(grid: ChunkGrid) {
    this.#grid = grid;
  }

  /** Where its chunks begin on the device, in bytes. */
  get offsetBytes(): number {
    return this.#grid.startOf(this.firstChunk);
  }

  /** Bytes of all its chunks; the last chunk of the device may be short. */
  get lengthBytes(): number {
    return this.#grid.startOf(this.firstChunk + this.chunkCount) - this.offsetBytes;
  }

  /** Where the piece that is read or written now begins on the device, in bytes. */
  get pieceOffsetBytes(): number {
    return this.offsetBytes + this.writtenBytes;
  }

  /** Bytes of the piece that is read now: what is left, but no more than fit into a message, or may be a hole. */
  get pieceBytes(): number {
    return Math.min(this.sparse ? RANGE_BYTES_MAX : IO_BYTES_MAX, this.lengthBytes - this.writtenBytes);
  }

  /** It is to be for these chunks of this source, under the version that `generation` stands for. Its phase is the caller's matter. */
  begin(firstChunk: number, chunkCount: number, peer: SyncPeer, generation: number): void {
    this.firstChunk = firstChunk;
    this.chunkCount = chunkCount;
    this.writtenBytes = 0;
    this.carriedBytes = 0;
    this.sparse = peer.sparse;
    // What an answer may carry; a hole counts as if it were data until it is known to be one.
    this.chargedBytes = Math.min(this.lengthBytes, Math.max(IO_BYTES_MAX, this.#grid.chunkSizeBytes));
    this.generation = generation;
    this.peer = peer;
  }

  /** Its place is free. The locks of its chunks and its slab are the caller's matter. */
  free(): void {
    this.phase = PullPhase.FREE;
    this.peer = null;
    this.data = null;
    this.runs = NO_RUNS;
    this.slab = null;
  }

  /**
   * The source has answered the read under way: the pull goes on with the whole chunks that are there with it, or with a piece of
   * the first one. How many chunks it has less.
   */
  take({ runs, coveredBytes, data }: SparseData): number {
    this.runs = runs;
    this.coveredBytes = coveredBytes;
    this.data = data;
    this.carriedBytes += data.length;
    const bytes = this.writtenBytes + coveredBytes;
    const kept = bytes >= this.lengthBytes ? this.chunkCount : Math.floor(bytes / this.#grid.chunkSizeBytes);
    const lacking = kept === 0 ? 0 : this.chunkCount - kept;
    if (lacking === 0) return 0;
    this.chunkCount = kept;
    this.coveredBytes = this.lengthBytes - this.writtenBytes;
    this.runs = firstOfRuns(runs, this.coveredBytes);
    return lacking;
  }
}

/**
 * What a pull waits for, in this order: the peer's answer, space on the disk, the write intent, the data, its flush, the clear of its
 * bits. ABANDONED: an answer that is of no use any more, as its version has ended. From SPACE on, the disk works for the pull.
 */
export const PullPhase = { FREE: 0, READ: 1, ABANDONED: 2, SPACE: 3, PREPARE: 4, WRITE: 5, FLUSH: 6, CLEAR: 7 } as const;

const NO_RUNS: readonly DiskExtent[] = [];
