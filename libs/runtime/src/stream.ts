/**
 * Byte streams: what a socket is to the protocol cores. RTRS and NBD parse and produce bytes through these and never
 * see a socket.
 */

/** The object that is told what happens on a stream. None of its methods may throw. */
export interface ByteStreamHandler {
  /** Returns the memory for the next bytes: the free tail of a receive buffer, at least one byte. */
  receiveTarget(): Uint8Array;
  /** `byteCount` bytes were put at the start of the last target. */
  onReceived(byteCount: number): void;
  /** Of all bytes ever given to {@link ByteStream.write}, the first `totalBytes` have been handed to the transport. Never from within `write` or `flush`. */
  onWritten(totalBytes: number): void;
  /** The stream is gone; nothing more is called. Exactly once, also after {@link ByteStream.destroy}; never from within it. */
  onClosed(reason: string): void;
}

/** One connection. */
export interface ByteStream {
  /** The peer at the other end, for logs. */
  readonly peerDescription: string;
  /** Sets the handler, which is told what happens. Nothing is read before. Called exactly once. */
  attach(handler: ByteStreamHandler): void;
  /** Queues `view`, which must stay unchanged until `onWritten` has passed it. Nothing leaves before {@link flush}. */
  write(view: Uint8Array): void;
  /** Sends what was queued, as one gathered write. */
  flush(): void;
  /** Bytes given to {@link write} that the transport has not taken yet. */
  readonly queuedBytes: number;
  /** Of all bytes ever given to {@link write}, how many the transport has taken. */
  readonly takenBytes: number;
  /**
   * Of all bytes ever given to {@link write}, how many have reached the peer's host for certain. Null: there is no network between, so
   * {@link peerIsGone} knows the truth and there is no need to ask. With a network between, the end of a peer may be held up behind bytes
   * for which this host has no room. Then only the acknowledgement of newer bytes tells that the peer was still there. A system call.
   */
  confirmedBytes(): number | null;
  /**
   * Whether this host has heard that the peer is gone: closed, broken off, or given up by the network. It works also while reading is
   * paused, and while earlier bytes have not been read. A system call.
   */
  peerIsGone(): boolean;
  /**
   * For how many milliseconds the peer's host has been silent although it owes an answer. 0: it owes none, or there is no network between.
   * A system call.
   */
  silentMs(): number;
  /** Stops reading. At most the read that is under way still arrives. */
  pauseReading(): void;
  resumeReading(): void;
  /** Sends what was queued, then closes. */
  end(): void;
  /** Closes at once and drops what was queued. Harmless when closed already. */
  destroy(reason: string): void;
}

/** An endpoint that takes connections. */
export interface StreamListener {
  /** The address it really listens on, in the transport's URL form (a port 0 is resolved). */
  readonly address: string;
  /** Takes no more connections. Existing connections live on. Calls `onClosed` when done. */
  close(onClosed?: () => void): void;
}

/** An attempt to connect that can be given up. */
export interface ConnectAttempt {
  /** No callback comes any more. Harmless when it has ended already. */
  cancel(): void;
}

/** A way to reach other hosts. Addresses are URLs: `tcp://HOST:PORT`, `unix:/PATH`, `memory:NAME`. */
export interface Transport {
  /** Null when this transport understands `address`; else the reason why it does not. */
  invalidAddress(address: string): string | null;
  connect(address: string, onConnected: (stream: ByteStream) => void, onFailed: (reason: string) => void): ConnectAttempt;
  listen(
    address: string,
    onConnection: (stream: ByteStream) => void,
    onListening: (listener: StreamListener) => void,
    onFailed: (code: string, reason: string) => void,
  ): void;
}
