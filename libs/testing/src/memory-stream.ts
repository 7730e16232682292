import { assert, type ByteStream, type ByteStreamHandler } from '@rmr/runtime';
import type { MemoryNetwork } from './memory-network.ts';
import type { ScheduledEvent } from './scheduler.ts';

/** One end of a connection in memory. Made in pairs by {@link MemoryNetwork}. */
export class MemoryStream implements ByteStream {
  readonly peerDescription: string;
  /** Name of the host at this end. */
  readonly host: string;
  readonly #network: MemoryNetwork;
  #peer: MemoryStream | null = null;
  #handler: ByteStreamHandler | null = null;
  #attached = false;
  #closed = false;
  #closeReason = '';
  #paused = false;
  #ending = false;
  /** Nothing arrives at this end any more, and nobody is told. */
  #silenced = false;
  /** Bytes after which the connection breaks. */
  #breaksAfter = Number.POSITIVE_INFINITY;
  /** Added to the delay of what sets out for this end from now on. */
  #extraDelayMs = 0;

  /** Given to {@link write}, not yet flushed. */
  #unflushed: Uint8Array[] = [];
  /** Flushed, not yet taken. */
  readonly #queue: Uint8Array[] = [];
  /** Bytes of the queue's first view that have been taken. */
  #queueFrom = 0;
  #writtenTotal = 0;
  #takenTotal = 0;
  #takeScheduled = false;
  #reportScheduled = false;

  /** On their way to this end, in order. */
  readonly #wire: Run[] = [];
  #wireBytes = 0;
  #wireEvent: ScheduledEvent | null = null;
  #lastDueMs = 0;

  constructor(network: MemoryNetwork, host: string, peerDescription: string) {
    this.#network = network;
    this.host = host;
    this.peerDescription = peerDescription;
  }

  get peer(): MemoryStream {
    assert(this.#peer !== null, 'memory stream: it has no other end');
    return this.#peer;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  join(peer: MemoryStream): void {
    this.#peer = peer;
  }

  get queuedBytes(): number {
    return this.#writtenTotal - this.#takenTotal;
  }

  get takenBytes(): number {
    return this.#takenTotal;
  }

  confirmedBytes(): number | null {
    return null;
  }

  peerIsGone(): boolean {
    return this.#closed || this.#wire.some(({ bytes, dueMs }) => bytes === null && dueMs <= this.#network.nowMs);
  }

  silentMs(): number {
    return 0;
  }

  attach(handler: ByteStreamHandler): void {
    assert(!this.#attached, 'stream: attached twice');
    this.#attached = true;
    this.#handler = handler;
    if (this.#closed) this.#reportClosed();
    else this.pump();
  }

  write(view: Uint8Array): void {
    this.#writtenTotal += view.length;
    if (this.#closed || this.#ending || view.length === 0) return;
    this.#unflushed.push(view);
  }

  flush(): void {
    if (this.#closed || this.#ending || this.#unflushed.length === 0) return;
    this.#queue.push(...this.#unflushed);
    this.#unflushed = [];
    this.#takeSoon();
  }

  pauseReading(): void {
    this.#paused = true;
  }

  resumeReading(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.pump();
  }

  end(): void {
    if (this.#closed || this.#ending) return;
    this.flush();
    this.#ending = true;
    this.#takeSoon();
  }

  destroy(reason: string): void {
    if (this.#closed) return;
    this.peer.arrive(null);
    this.close(reason);
  }

  /** This end is gone; the other is not told by this. */
  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeReason = reason;
    this.#unflushed = [];
    this.#queue.length = 0;
    this.#wire.length = 0;
    this.#wireBytes = 0;
    this.#wireEvent?.cancel();
    this.#network.forget(this);
    if (this.#attached) this.#reportClosed();
  }

  /** As {@link close}, and its handler, being dead itself, is not told. */
  vanish(): void {
    this.#handler = null;
    this.close('crashed');
  }

  /** Nothing arrives at this end from now on: neither bytes nor the end of the connection. */
  silence(): void {
    this.#silenced = true;
    this.#wireEvent?.cancel();
    this.#wireEvent = null;
  }

  /** So many more bytes arrive at this end, wherever in a frame that is; then the connection breaks, and both ends are told. */
  breakAfter(byteCount: number): void {
    this.#breaksAfter = Math.min(this.#breaksAfter, byteCount);
    if (this.#breaksAfter === 0) this.#network.cutStream(this);
  }

  /** What sets out for this end from now on takes so much longer. A connection keeps its order, so more bytes may be behind it. */
  delay(extraMs: number): void {
    this.#extraDelayMs = extraMs;
  }

  /** Takes what the window has room for. */
  take(): void {
    if (this.#closed) return;
    const before = this.#takenTotal;
    while (this.#queue.length > 0) {
      const view = this.#queue[0] as Uint8Array;
      const { windowBytes } = this.#network.options;
      const room = windowBytes - this.peer.#wireBytes;
      const byteCount = Math.min(view.length - this.#queueFrom, room);
      // Half a window at a time, or bytes would dribble one by one (RFC 1122 section 4.2.3.4).
      if (byteCount <= 0 || (byteCount < view.length - this.#queueFrom && room < windowBytes / 2)) break;
      this.peer.arrive(view.slice(this.#queueFrom, this.#queueFrom + byteCount));
      this.#takenTotal += byteCount;
      this.#queueFrom += byteCount;
      if (this.#queueFrom === view.length) {
        this.#queue.shift();
        this.#queueFrom = 0;
      }
    }
    if (this.#takenTotal > before && !this.#reportScheduled) {
      this.#reportScheduled = true;
      this.#network.toHost(this.host, () => {
        this.#reportScheduled = false;
        if (!this.#closed) this.#handler?.onWritten(this.#takenTotal);
      });
    }
    if (this.#ending && this.#queue.length === 0) this.destroy('closed here');
  }

  /** Bytes, or the end, set out for this end. */
  arrive(bytes: Uint8Array | null): void {
    if (this.#closed) return;
    const delayMs = this.#network.drawDelayMs(this.peer.host, this.host) + this.#extraDelayMs;
    this.#lastDueMs = Math.max(this.#lastDueMs, this.#network.nowMs + delayMs);
    this.#wire.push({ bytes, dueMs: this.#lastDueMs, from: 0 });
    if (bytes !== null) this.#wireBytes += bytes.length;
    this.pump();
  }

  /** Sees to it that the next delivery is scheduled, unless something holds it back. */
  pump(): void {
    if (this.#closed || this.#wireEvent !== null) return;
    const first = this.#wire[0];
    if (first === undefined || this.#heldBack()) return;
    this.#wireEvent = this.#network.after(Math.max(0, first.dueMs - this.#network.nowMs), this.#onDue);
  }

  readonly #onDue = (): void => {
    this.#wireEvent = null;
    if (!this.#closed && !this.#heldBack()) this.#deliver();
    this.pump();
  };

  readonly #onTake = (): void => {
    this.#takeScheduled = false;
    this.take();
  };

  /** The transport takes bytes a moment later. So a sender that changes a view before `onWritten` corrupts the stream, and a test sees that. */
  #takeSoon(): void {
    if (this.#takeScheduled || this.#closed) return;
    this.#takeScheduled = true;
    this.#network.after(0, this.#onTake);
  }

  #heldBack(): boolean {
    return this.#handler === null || this.#paused || this.#silenced || this.#network.holdsBack(this.peer.host, this.host);
  }

  #deliver(): void {
    const first = this.#wire[0] as Run;
    const handler = this.#handler as ByteStreamHandler;
    if (first.bytes === null) {
      this.close('closed by peer');
      return;
    }
    const target = handler.receiveTarget();
    assert(target.length > 0, 'stream: a receive target without room');
    const byteCount = Math.min(first.bytes.length - first.from, target.length, this.#network.drawRunBytes(), this.#breaksAfter);
    if (byteCount === first.bytes.length) target.set(first.bytes);
    else target.set(first.bytes.subarray(first.from, first.from + byteCount));
    first.from += byteCount;
    this.#wireBytes -= byteCount;
    if (first.from === first.bytes.length) this.#wire.shift();
    if (this.peer.#queue.length > 0) this.peer.#takeSoon();
    this.#breaksAfter -= byteCount;
    handler.onReceived(byteCount);
    if (this.#breaksAfter === 0) this.#network.cutStream(this);
  }

  #reportClosed(): void {
    this.#network.toHost(this.host, () => {
      const handler = this.#handler;
      this.#handler = null;
      handler?.onClosed(this.#closeReason);
    });
  }
}

/** Bytes on their way, or the end of the stream. */
interface Run {
  /** Null: the sender has closed. */
  readonly bytes: Uint8Array | null;
  readonly dueMs: number;
  from: number;
}
