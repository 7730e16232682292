import type { ChunkGrid } from '@rmr/dirty-map';
import type { World } from '@rmr/runtime';
import { PASS_BY_MS } from '../../../constants.ts';
import type { ByteRange } from '../../../pool-store.ts';
import type { PullSources } from '../resync/pull-sources.ts';
import { PassedWrites } from './passed-writes.ts';
import { RefusedChunks } from './refused-chunks.ts';

/**
 * Which dirty chunks IO passes by here, and does not wait for (W10): those that this member's disk fails to take, and those that can't be
 * pulled for a while, where another member of the in-sync set has them. They stay dirty, so that nothing is served from them; and a
 * pull brings them later, once all writes that have passed them by are resolved.
 */
export class PassBy {
  readonly #world: World;
  readonly #grid: ChunkGrid;
  readonly #sources: Pick<PullSources, 'isHeld'>;
  readonly #onMayPull: () => void;
  readonly #refused: RefusedChunks;
  readonly #passed = new PassedWrites();

  /** `onMayPull`: chunks may be pulled that could not before. */
  constructor(world: World, grid: ChunkGrid, sources: Pick<PullSources, 'isHeld'>, onMayPull: () => void) {
    this.#world = world;
    this.#grid = grid;
    this.#sources = sources;
    this.#onMayPull = onMayPull;
    this.#refused = new RefusedChunks(grid);
  }

  /**
   * Whether IO may pass the dirty chunk by, which nobody is writing: another member of the set has it, and this disk failed to take it, or
   * it could not be pulled since `sinceMs` (clock milliseconds) for longer than IO is to wait.
   */
  may(chunk: number, sinceMs: number): boolean {
    return this.#sources.isHeld(chunk) && (this.#refused.has(chunk) || this.#world.clock.nowMs() - sinceMs >= PASS_BY_MS);
  }

  /** A write passes the chunk by. */
  passed(chunk: number, writeSeq: number): void {
    this.#passed.note(chunk, writeSeq);
  }

  /** W7: the client says that all its writes are resolved up to this one. */
  resolved(completedThrough: number): void {
    if (this.#passed.resolved(completedThrough)) this.#onMayPull();
  }

  /**
   * The disk has failed a write of these dirty chunks. False: too many are remembered already; IO of others waits for a while
   * before it passes them by.
   */
  refused(firstChunk: number, chunkCount: number): boolean {
    const isNew = chunkCount === 1 && !this.#refused.has(firstChunk);
    if (!this.#refused.note(firstChunk, chunkCount, this.#world.clock.nowMs())) return false;
    if (isNew) {
      this.#world.log.error('the disk fails to take a chunk: it stays dirty here, and IO passes it by', {
        chunk: firstChunk,
        offsetBytes: this.#grid.startOf(firstChunk),
        remedy: 'Replace the disk.',
      });
    }
    return true;
  }

  /** Whether a write that covers the dirty chunk whole may try to replace it. */
  mayReplace(chunk: number): boolean {
    return this.#refused.mayTry(chunk, this.#world.clock.nowMs());
  }

  /** Whether a pull of the chunk may begin (R1). */
  mayPull(chunk: number, nowMs: number): boolean {
    return this.#passed.mayPull(chunk) && this.#refused.mayTry(chunk, nowMs);
  }

  /** Whether the chunk is to be pulled alone, so that it shows whether the disk takes it. */
  isAlone(chunk: number): boolean {
    return this.#refused.isAlone(chunk);
  }

  /** The chunk is clean. */
  taken(chunk: number): void {
    this.#refused.taken(chunk);
    this.#passed.taken(chunk);
  }

  /** Where the disk failed to take what this member misses, in order. */
  refusedRanges(): ByteRange[] {
    return this.#refused.ranges();
  }

  /** Why the chunk is not pulled, for people; null: for no reason of its own. */
  describe(chunk: number): string | null {
    if (this.#refused.has(chunk))
      return `the disk of this member fails to take chunk ${chunk} (device offset ${this.#grid.startOf(chunk)}); that is tried again now and then`;
    return this.#passed.mayPull(chunk) ? null : `chunk ${chunk} waits for writes of it to end at other members`;
  }

  /** Nobody is served any more: no write is under way. What the disk fails is remembered. */
  clear(): void {
    this.#passed.clear();
  }
}
