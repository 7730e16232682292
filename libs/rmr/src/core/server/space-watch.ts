import { type Clock, type DiskSpace, formatSize, formatTime, type Logger, Status } from '@rmr/runtime';
import {
  LOW_SPACE_BYTES_MAX,
  LOW_SPACE_BYTES_MIN,
  LOW_SPACE_PART,
  RETURN_SPACE_BYTES,
  SPACE_MARGIN_BYTES_MAX,
  SPACE_MARGIN_PART,
  SPACE_RETRY_MS,
  SPACE_RETRY_MS_MAX,
} from '../../constants.ts';
import type { PoolStore } from '../../pool-store.ts';
import { IoFlag, type IoMessage, MessageType } from '../../wire/io-message.ts';

/**
 * Whether a store has run out of space (W8): since a write, or a pull, has found none, until its file system has some again. A
 * member that has left for it comes back when there is enough for what it has missed. It comes back now and then without that
 * as well, as trims and holes that it has missed free space when it pulls them; the pauses grow from time to time.
 */
export class SpaceWatch {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #store: PoolStore;
  /** Since when it has been full, clock milliseconds and wall clock; null: it is not. */
  #fullSince: { readonly nowMs: number; readonly wallMs: number } | null = null;
  /** When space was last refused, in clock milliseconds. */
  #refusedAtMs = Number.NEGATIVE_INFINITY;
  /** From when on it may come into the set although it is full; and the pause that this is counted from. */
  #tryAtMs = 0;
  #pauseMs = SPACE_RETRY_MS;

  constructor(clock: Clock, log: Logger, store: PoolStore) {
    this.#clock = clock;
    this.#log = log;
    this.#store = store;
  }

  /** A write or a pull has found no space. */
  refused(): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#refusedAtMs > SPACE_RETRY_MS_MAX) this.#pauseMs = SPACE_RETRY_MS;
    this.#refusedAtMs = nowMs;
    if (this.#fullSince !== null) return;
    this.#fullSince = { nowMs, wallMs: this.#clock.wallMs() };
    this.#tryAtMs = nowMs + this.#pauseMs;
    this.#log.warn('the disk is full: writes that need space are refused', { space: this.#describeSpace() });
  }

  /** The member has come into the set. */
  enabled(): void {
    if (this.#fullSince === null) return;
    this.#pauseMs = Math.min(this.#pauseMs * 2, SPACE_RETRY_MS_MAX);
    this.#tryAtMs = this.#clock.nowMs() + this.#pauseMs;
  }

  /** Looks whether there is space again. Called now and then. */
  look(): void {
    if (this.#fullSince === null || this.#lacks) return;
    this.#fullSince = null;
    this.#log.info('the disk has space again', { space: this.#describeSpace() });
  }

  /** Since when it has been full, wall clock; null: it is not. */
  get fullSinceWallMs(): number | null {
    return this.#fullSince?.wallMs ?? null;
  }

  /** What is wrong with the space, or will be soon, without a subject; empty: nothing. */
  get trouble(): string {
    const { space } = this.#store;
    if (this.#fullSince !== null)
      return `has refused writes for lack of space since ${formatTime(this.#fullSince.wallMs)}: its disk is full (${this.#describeSpace()})`;
    if (space === null || !lacksSpaceSoon(space)) return '';
    return `is running out of space (${this.#describeSpace()}, and it may still take ${formatSize(space.wantedBytes)})`;
  }

  /** Why the member should not come into the set now, in a sentence without a subject; null: nothing of the kind. */
  get reasonToWait(): string | null {
    this.look();
    if (this.#fullSince === null || this.#clock.nowMs() >= this.#tryAtMs) return null;
    const missed = this.#store.dirtyBytes(this.#store.identity.memberId);
    return `has a full disk (${this.#describeSpace()}) and has missed ${formatSize(missed)}`;
  }

  /** Whether there is less space than it takes to go on for a while. Where nobody can say how much there is, time decides. */
  get #lacks(): boolean {
    const { space } = this.#store;
    if (space === null) return this.#clock.nowMs() < this.#tryAtMs;
    const marginBytes = Math.min(SPACE_MARGIN_BYTES_MAX, space.totalBytes / SPACE_MARGIN_PART);
    const missedBytes = this.#store.dirtyBytes(this.#store.identity.memberId);
    // Beyond the margin no more counts than the store may still take. The margin stays: on some file systems overwriting needs space too.
    return space.freeBytes < Math.max(marginBytes, Math.min(space.wantedBytes, marginBytes + Math.min(missedBytes, RETURN_SPACE_BYTES)));
  }

  #describeSpace(): string {
    const { space } = this.#store;
    return space === null ? 'its free space is not known' : `${formatSize(space.freeBytes)} of ${formatSize(space.totalBytes)} free`;
  }
}

/**
 * Whether so little space is left, in bytes, that a person should look after it before there is none: less than a part of the file
 * system, within bounds, and less than the store may still take.
 */
export function lacksSpaceSoon({ freeBytes, totalBytes, wantedBytes }: DiskSpace): boolean {
  const low = Math.min(LOW_SPACE_BYTES_MAX, Math.max(LOW_SPACE_BYTES_MIN, totalBytes / LOW_SPACE_PART));
  return freeBytes < wantedBytes && freeBytes < low;
}

/** Whether what the message asks for may need space that it does not have yet (W8). A hole frees some. */
export function needsSpace({ type, flags }: IoMessage): boolean {
  return type === MessageType.WRITE || (type === MessageType.WRITE_ZEROES && (flags & IoFlag.NO_HOLE) !== 0);
}

/** W8: ENOSPC says that nothing was changed. What meets it anywhere but at the data itself can't say that. */
export function failureOf(status: number): number {
  return status === Status.ENOSPC ? Status.EIO : status;
}
