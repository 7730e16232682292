import type { Slab } from '@rmr/runtime';
import { IO_BYTES_MAX } from '../../constants.ts';
import type { LastIo } from '../../pool-store.ts';
import type { SyncPeer } from './sync-peers.ts';

/**
 * What a pull waits for, in this order: the peer's answer, space on the disk, the write intent, the data, its flush, the clear of its
 * bits. ABANDONED: an answer that is of no use any more, as its version has ended. From SPACE on, the disk works for the pull.
 */
export const PullPhase = { FREE: 0, READ: 1, ABANDONED: 2, SPACE: 3, PREPARE: 4, WRITE: 5, FLUSH: 6, CLEAR: 7 } as const;

/** One run of chunks on its way from a peer to this disk. One that is FREE is used again for another run. */
export class Pull {
  /** One of {@link PullPhase}. */
  phase: number = PullPhase.FREE;
  firstChunk = 0;
  chunkCount = 0;
  /** Bytes written so far: a chunk larger than a message is read in pieces. */
  writtenBytes = 0;
  /** Of the version at its start (R2). */
  generation = 0;
  peer: SyncPeer | null = null;
  /** What was read, and the slab it lies in, from the answer until the next piece is read, or the pull is over. */
  data: Uint8Array | null = null;
  slab: Slab | null = null;
  /** The writes that the data shows and that are not resolved yet, until they are in the own `lastIo`. */
  unresolved: readonly LastIo[] = [];
  /** The newest write that the data shows and that is not resolved yet; 0: none. */
  unresolvedSeq = 0;
  /** When the read under way was sent, clock milliseconds. */
  startedMs = 0;
  readonly #chunkBytes: number;
  readonly #deviceBytes: number;

  constructor(chunkBytes: number, deviceBytes: number) {
    this.#chunkBytes = chunkBytes;
    this.#deviceBytes = deviceBytes;
  }

  /** Where its chunks begin on the device, in bytes. */
  get offsetBytes(): number {
    return this.firstChunk * this.#chunkBytes;
  }

  /** Bytes of all its chunks; the last chunk of the device may be short. */
  get lengthBytes(): number {
    return Math.min(this.chunkCount * this.#chunkBytes, this.#deviceBytes - this.offsetBytes);
  }

  /** Where the piece that is read or written now begins on the device, in bytes. */
  get pieceOffsetBytes(): number {
    return this.offsetBytes + this.writtenBytes;
  }

  /** Bytes of the piece that is read or written now: what is left, but no more than fit into a message. */
  get pieceBytes(): number {
    return Math.min(IO_BYTES_MAX, this.lengthBytes - this.writtenBytes);
  }
}
