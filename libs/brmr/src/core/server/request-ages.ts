/**
 * How long the oldest of many requests has been under way, at the price of a counter per request. A request belongs to
 * the generation in which it began. There are two: while requests of the older one are left, none begins in it; once
 * none is left, the newer one becomes the older.
 */
export class RequestAges {
  readonly #counts = [0, 0];
  #newer = 0;
  /** When the older generation got its last request, or later. */
  #olderUntilMs = 0;

  /** A request begins: the number is for {@link end}. */
  begin(): number {
    (this.#counts[this.#newer] as number)++;
    return this.#newer;
  }

  /** A request of this generation has ended. */
  end(generation: number): void {
    (this.#counts[generation] as number)--;
  }

  /**
   * For how many milliseconds the oldest request has been under way, at least. 0: there is none, or none is old. It has to be asked
   * regularly. A request that has become T old is told as such before it is twice as old, plus the time of two askings.
   */
  oldestMs(nowMs: number): number {
    const older = 1 - this.#newer;
    if ((this.#counts[older] as number) > 0) return nowMs - this.#olderUntilMs;
    this.#newer = older;
    this.#olderUntilMs = nowMs;
    return 0;
  }
}
