/**
 * Byte streams: what a socket is to the protocol cores. RTRS and NBD parse and produce bytes through these and never
 * see a socket.
 */

/** Gets what happens on a stream. None of the calls may throw. */
export interface ByteStreamHandler {
  /** Where the next bytes are to be put: the free tail of a receive buffer, at least one byte. */
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
  /** Whom it leads to, for logs. */
  readonly peerDescription: string;
  /** Sets who is told. Before it, nothing is read. Exactly once. */
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
   * Of all bytes ever given to {@link write}, how many have reached the peer's host for certain. Null: there is no need to ask,
   * as {@link peerIsGone} knows. Where a network is between, the end of a peer may be held up behind what it has sent and this
   * host has no room for; only an answer to something new tells that it was there then. A system call.
   */
  confirmedBytes(): number | null;
  /**
   * Whether the peer's end has arrived at this host: closed, broken off, or given up by the network. Also while reading is
   * paused, and while bytes from before it have not been read. A system call.
   */
  peerIsGone(): boolean;
  /** Milliseconds for which nothing was heard of the peer's host, while it owes an answer; else, and where there is no network between, 0. A system call. */
  silentMs(): number;
  /** Stops reading; at most the read under way still arrives. */
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
  /** Takes no more connections; those that exist live on. Calls `onClosed` when done. */
  close(onClosed?: () => void): void;
}

/** An attempt to connect that can be given up. */
export interface ConnectAttempt {
  /** No callback comes any more. Harmless when it has ended already. */
  cancel(): void;
}

/** A way to reach other hosts. Addresses are URLs: `tcp://HOST:PORT`, `unix:/PATH`, `memory:NAME`. */
export interface Transport {
  /** Null when this transport understands `address`, else what is wrong with it. */
  invalidAddress(address: string): string | null;
  connect(address: string, onConnected: (stream: ByteStream) => void, onFailed: (reason: string) => void): ConnectAttempt;
  listen(
    address: string,
    onConnection: (stream: ByteStream) => void,
    onListening: (listener: StreamListener) => void,
    onFailed: (code: string, reason: string) => void,
  ): void;
}
