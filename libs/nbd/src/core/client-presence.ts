import type { ByteStream } from '@rmr/runtime';
import { CLIENT_TRUST_MS } from '../constants.ts';

/** Whether the client of a connection is there: `UNKNOWN` until its host has answered. */
export type Presence = 'THERE' | 'GONE' | 'UNKNOWN';

/**
 * Whether a client is still there, for the question whether something that it has sent may be begun. A client that lost its
 * connection sends its writes again on a new one, and goes on from there. What it had sent on the old one, and was not
 * begun by then, would overwrite newer data.
 *
 * The end of a client shows at once, as long as everything from before it has room at this host. Where a connection was
 * not read from, the end may be held up at the other host, behind bytes that wait to be sent. Then only the answer to
 * something that was sent afterwards tells: a host whose program is gone breaks the connection instead of acknowledging.
 */
export class ClientPresence {
  readonly #stream: ByteStream;
  /** The client was there then. */
  #seenMs: number;
  /** So many bytes must have reached the client's host before anything is begun; negative: nothing is awaited. */
  #awaitedBytes = -1;
  /** What the stream had taken at the end of the last turn. */
  #sentBytes = 0;

  constructor(stream: ByteStream, nowMs: number) {
    this.#stream = stream;
    this.#seenMs = nowMs;
  }

  /** An answer of the client's host is awaited. */
  get isAwaited(): boolean {
    return this.#awaitedBytes >= 0;
  }

  /** Whether what has just been read may be begun. Cheap: asks the kernel now and then only. */
  isCertain(nowMs: number): boolean {
    if (nowMs - this.#seenMs < CLIENT_TRUST_MS) return true;
    if (this.#stream.peerIsGone()) return false;
    this.#seenMs = nowMs;
    return true;
  }

  /** What was queued has been given to the stream: what is sent from now on counts as new. */
  sent(): void {
    if (this.#awaitedBytes < 0) this.#sentBytes = this.#stream.takenBytes;
  }

  /**
   * Whether what was read before, and had to wait for room, may be begun now. The replies that make room have been given to the
   * stream. To be asked again as long as it is unknown.
   */
  afterStall(nowMs: number): Presence {
    if (this.#stream.peerIsGone()) return 'GONE';
    if (nowMs - this.#seenMs >= CLIENT_TRUST_MS) {
      const confirmed = this.#stream.confirmedBytes();
      if (confirmed !== null) {
        if (this.#awaitedBytes < 0) {
          // Without a reply there is no room, and nothing that could be answered.
          if (this.#stream.takenBytes + this.#stream.queuedBytes <= this.#sentBytes) return 'UNKNOWN';
          this.#awaitedBytes = this.#sentBytes + 1;
        }
        if (confirmed < this.#awaitedBytes) return 'UNKNOWN';
      }
    }
    this.#awaitedBytes = -1;
    this.#seenMs = nowMs;
    return 'THERE';
  }
}
