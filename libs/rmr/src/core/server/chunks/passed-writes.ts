/**
 * Chunks that writes have passed by (W10): they are dirty here, the writes have left them so, and others have what was written.
 * A pull that began before such a write was resolved could bring what a source had before it. So a chunk is pulled only when the
 * client has said that all writes are resolved up to the newest that passed it by.
 */
export class PassedWrites {
  /** By chunk, the newest write that passed it by. */
  readonly #newest = new Map<number, number>();
  #completedThrough = 0;

  /** A write passes the chunk by. */
  note(chunk: number, writeSeq: number): void {
    this.#newest.set(chunk, Math.max(writeSeq, this.#newest.get(chunk) ?? 0));
  }

  /** All writes are resolved up to this one (W7). Returns whether chunks may be pulled now that could not before. */
  resolved(completedThrough: number): boolean {
    if (completedThrough <= this.#completedThrough) return false;
    this.#completedThrough = completedThrough;
    return this.#newest.size > 0;
  }

  /** Whether all writes are resolved that passed the chunk by. */
  mayPull(chunk: number): boolean {
    return this.#newest.size === 0 || (this.#newest.get(chunk) ?? 0) <= this.#completedThrough;
  }

  /** The chunk is clean. */
  taken(chunk: number): void {
    if (this.#newest.size > 0) this.#newest.delete(chunk);
  }

  /** Nothing of the client that was served is under way any more. */
  clear(): void {
    this.#newest.clear();
    this.#completedThrough = 0;
  }
}
