import { formatTime, OperationError } from '@rmr/runtime';
import type { StorePlaces } from '../../core/server/thread-places.ts';

/**
 * Looks at one disk, in the thread pool and with a deadline. A disk that hangs takes one thread with it, of those that belong to this disk, and
 * holds up nobody else. Until it answers it is not looked at again, and everybody is told at once that it hangs.
 */
export class DiskCalls {
  readonly #label: string;
  readonly #places: StorePlaces;
  readonly #wallMs: () => number;
  /** Since when a call has been under way, wall clock; null: there is none. */
  #sinceWallMs: number | null = null;

  constructor(label: string, places: StorePlaces, wallMs: () => number) {
    this.#label = label;
    this.#places = places;
    this.#wallMs = wallMs;
  }

  /**
   * Runs `look`, which makes one call to the file system at a time. It goes on to its end after the deadline, so it cleans up after itself. Rejects with TIMEOUT
   * (at once, if an earlier one has not ended), UNAVAILABLE (there is no thread), or what `look` rejects with.
   */
  async run<Result>(timeoutMs: number, look: () => Promise<Result>): Promise<Result> {
    if (this.#sinceWallMs !== null) throw this.#hangs(this.#sinceWallMs);
    if (!this.#places.take())
      throw new OperationError('UNAVAILABLE', `${this.#label} can't be looked at now: earlier calls still wait for it`);
    const sinceWallMs = this.#wallMs();
    this.#sinceWallMs = sinceWallMs;
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#hangs(sinceWallMs)), timeoutMs);
    });
    const looking = look().finally(() => {
      this.#sinceWallMs = null;
      this.#places.give();
    });
    try {
      return await Promise.race([looking, deadline]);
    } finally {
      clearTimeout(timer);
      // After the deadline nobody waits for its outcome.
      looking.catch(() => {});
    }
  }

  #hangs(sinceWallMs: number): OperationError {
    return new OperationError(
      'TIMEOUT',
      `${this.#label} does not answer: a look at it has waited since ${formatTime(sinceWallMs)}. Other disks go on. Check the disk, its cable or its network, and the kernel log`,
    );
  }
}
