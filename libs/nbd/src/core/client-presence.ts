import type { ByteStream } from '@rmr/runtime';
import { CLIENT_TRUST_MS } from '../constants.ts';

/**
 * Tells whether a client is still there, and so whether its requests may be begun. A client that lost its connection sends its
 * writes again on a new connection, and goes on from there. A write from the old connection that had not begun by then would
 * overwrite newer data.
 *
 * The end of a client shows at once, as long as this host has room for all bytes that the client sent before. When a connection
 * was not read from, the end may be held up at the client's host, behind bytes that wait to be sent. Then this side has to
 * send something and wait for the answer: a host that has lost the program breaks the connection instead of acknowledging.
 */
export class ClientPresence {
  readonly #stream: ByteStream;
  /** When the client was last known to be there. */
  #seenMs: number;
  /** How many bytes must have reached the client's host before anything is begun. Negative: nothing is awaited. */
  #awaitedBytes = -1;
  /** How many bytes the stream had taken at the end of the last turn. */
  #sentBytes = 0;

  constructor(stream: ByteStream, nowMs: number) {
    this.#stream = stream;
    this.#seenMs = nowMs;
  }

  /** An answer of the client's host is awaited. */
  get isAwaited(): boolean {
    return this.#awaitedBytes >= 0;
  }

  /** Whether requests that have just been read may be begun. It is cheap: it asks the kernel only now and then. */
  isCertain(nowMs: number): boolean {
    if (nowMs - this.#seenMs < CLIENT_TRUST_MS) return true;
    if (this.#stream.peerIsGone()) return false;
    this.#seenMs = nowMs;
    return true;
  }

  /** Queued replies have been given to the stream. Bytes that are sent from now on count as new. */
  sent(): void {
    if (this.#awaitedBytes < 0) this.#sentBytes = this.#stream.takenBytes;
  }

  /**
   * Whether requests that were read before, and had to wait for room, may be begun now. Before this call, the replies that make room have
   * been given to the stream. Ask again while the answer is `UNKNOWN`.
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

/** Whether the client of a connection is there. `UNKNOWN`: its host has not answered yet. */
export type Presence = 'THERE' | 'GONE' | 'UNKNOWN';
