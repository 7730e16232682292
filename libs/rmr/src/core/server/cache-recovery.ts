import { DirtyMap } from '@rmr/dirty-map';
import { type Clock, type Logger, Status } from '@rmr/runtime';
import type { ByteRange, PoolStore } from '../../pool-store.ts';
import { mergeRanges } from '../../ranges.ts';
import { CacheRewrite } from './cache-rewrite.ts';
import { UnkeptChunks } from './unkept-chunks.ts';
import type { UnreadableChunks } from './unreadable-chunks.ts';

/**
 * After a failed flush: what may be in the page cache alone is written anew, in two steps (L6). Before a grant is answered, what nobody else
 * has: that may be much, the disk may fail some of it (W10), and the client has to hear of that, while IO goes on elsewhere. When the
 * member is enabled, what is left: little, as IO waits for it (L4).
 */
export class CacheRecovery {
  readonly #store: PoolStore;
  /** What the disk did not take, and is clean here all the same. */
  readonly unkept: UnkeptChunks;
  readonly #submitLater: () => void;
  /** Chunks that were written anew since a flush failed otherwise. */
  #rewritten: DirtyMap;
  /** Those of them that the disk did not take. */
  #lacking: ByteRange[] = [];
  #runs = false;

  constructor(clock: Clock, store: PoolStore, unreadable: UnreadableChunks, log: Logger, submitLater: () => void) {
    this.#store = store;
    this.unkept = new UnkeptChunks(clock, store, unreadable, log);
    this.#submitLater = submitLater;
    this.#rewritten = this.#noChunks();
  }

  /** A flush of the disk has failed. True: one of those that are made here, which find out for which chunks. */
  flushFailed(): boolean {
    if (!this.#runs) this.#forget();
    return this.#runs;
  }

  /** A client is being granted the pool: of what is in doubt, what no other member has is durable when `done` is called, or known not to be. */
  beforeGrant(done: () => void): void {
    this.#forget();
    if (!this.#store.cacheDoubtful && this.unkept.ranges.length === 0) {
      done();
      return;
    }
    const { memberId } = this.#store.identity;
    const others = this.#store.members.filter((member) => member.memberId !== memberId && member.role !== 'witness');
    const isOnly = (chunk: number): boolean => others.every((other) => this.#store.dirtyMap(other.memberId)?.test(chunk) === true);
    this.#rewrite(isOnly, () => {
      this.unkept.note(this.#lacking);
      done();
    });
  }

  /**
   * All that is in doubt, and not dirty here, is durable when `done` is called with OK, but for what the unkept chunks are then. With another
   * status the disk is of no use.
   */
  beforeEnabling(done: (status: number) => void): void {
    if (!this.#store.cacheDoubtful && this.unkept.ranges.length === 0) {
      done(Status.OK);
      return;
    }
    this.#rewrite(
      () => true,
      (status) => {
        if (status === Status.OK) this.unkept.hold(this.#lacking.filter(({ offsetBytes }) => !this.#isDirty(offsetBytes)));
        done(status);
      },
    );
  }

  /** What was written before may be gone again. */
  #forget(): void {
    this.#rewritten = this.#noChunks();
    this.#lacking = [];
  }

  #rewrite(isMeant: (chunk: number) => boolean, done: (status: number) => void): void {
    const ranges = this.#due(isMeant);
    const ended = (status: number, lacking: readonly ByteRange[]): void => {
      this.#runs = false;
      if (status === Status.OK) {
        this.#lacking.push(...lacking);
        for (const range of ranges) this.#rewritten.set(this.#firstOf(range), this.#endOf(range) - this.#firstOf(range));
      }
      done(status);
    };
    this.#runs = true;
    if (!new CacheRewrite(this.#store, ranges, this.#submitLater, ended).begin()) ended(Status.OK, []);
  }

  /** The write intent: everything that is in doubt. Without the chunks that this member is going to pull, those that were written anew, and those that are not meant. */
  #due(isMeant: (chunk: number) => boolean): ByteRange[] {
    const { chunkSizeBytes, sizeBytes } = this.#store.identity;
    const due: ByteRange[] = [];
    for (const { offsetBytes, lengthBytes } of this.#store.intentRanges()) {
      const end = Math.min(offsetBytes + lengthBytes, sizeBytes);
      for (let at = offsetBytes; at < end; ) {
        const chunk = Math.floor(at / chunkSizeBytes);
        const stop = Math.min(end, (chunk + 1) * chunkSizeBytes);
        if (!this.#rewritten.test(chunk) && !this.#isDirty(at) && isMeant(chunk)) due.push({ offsetBytes: at, lengthBytes: stop - at });
        at = stop;
      }
    }
    return mergeRanges(due);
  }

  #firstOf({ offsetBytes }: ByteRange): number {
    return Math.floor(offsetBytes / this.#store.identity.chunkSizeBytes);
  }

  #endOf({ offsetBytes, lengthBytes }: ByteRange): number {
    return Math.ceil((offsetBytes + lengthBytes) / this.#store.identity.chunkSizeBytes);
  }

  #isDirty(offsetBytes: number): boolean {
    const { memberId, chunkSizeBytes } = this.#store.identity;
    return this.#store.dirtyMap(memberId)?.test(Math.floor(offsetBytes / chunkSizeBytes)) === true;
  }

  #noChunks(): DirtyMap {
    const { sizeBytes, chunkSizeBytes } = this.#store.identity;
    return new DirtyMap(Math.ceil(sizeBytes / chunkSizeBytes));
  }
}
