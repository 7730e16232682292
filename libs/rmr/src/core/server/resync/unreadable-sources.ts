import { RESYNC_UNREADABLE_MS, UNREADABLE_CHUNKS_MAX } from '../../../constants.ts';

/** Dirty chunks that other members could not read when they were asked for them: other chunks, and other sources, are not held up by that. */
export class UnreadableSources {
  /** By chunk, the members, and until when they are not asked again (clock milliseconds). */
  readonly #until = new Map<number, Map<number, number>>();
  /** Chunks of a read that its source could not do: which of them is to blame shows when each is read alone. */
  readonly #suspects = new Set<number>();

  /** A read of these chunks has failed at the member. False: too many are remembered already. */
  note(firstChunk: number, chunkCount: number, memberId: number, nowMs: number): boolean {
    if (this.#suspects.size + this.#until.size + chunkCount > UNREADABLE_CHUNKS_MAX) return false;
    if (chunkCount > 1) {
      for (let chunk = firstChunk; chunk < firstChunk + chunkCount; chunk++) this.#suspects.add(chunk);
      return true;
    }
    const until = this.#until.get(firstChunk) ?? new Map<number, number>();
    until.set(memberId, nowMs + RESYNC_UNREADABLE_MS);
    this.#until.set(firstChunk, until);
    this.#suspects.delete(firstChunk);
    return true;
  }

  /** Whether somebody could not read the chunk. */
  has(chunk: number): boolean {
    return this.#until.size > 0 && this.#until.has(chunk);
  }

  /** Whether the member could not, so short ago that it is not asked again. */
  at(chunk: number, memberId: number, nowMs: number): boolean {
    const untilMs = this.#until.get(chunk)?.get(memberId);
    return untilMs !== undefined && nowMs < untilMs;
  }

  /** Whether the chunk is to be read alone. */
  isSuspect(chunk: number): boolean {
    return this.#suspects.has(chunk);
  }

  forget(chunk: number): void {
    this.#until.delete(chunk);
    this.#suspects.delete(chunk);
  }

  clear(): void {
    this.#until.clear();
    this.#suspects.clear();
  }
}
