import { Socket, type SocketConstructorOpts } from 'node:net';
import { assert } from '../errors.ts';
import type { ByteStream, ByteStreamHandler } from '../stream.ts';
import { writeDirectly } from './direct-writer.ts';
import { isPeerGone, keepAlive, silentMs, unacknowledgedBytes } from './peer-state.ts';
import { setSendBuffer } from './send-buffer.ts';

/**
 * A connected socket as a {@link ByteStream}. Reads go straight into the handler's memory (`onread`), in place of a
 * fresh 64 KiB buffer per read; writes of a turn leave as one `writev`, directly as long as the kernel takes everything.
 */
export class SocketStream implements ByteStream {
  readonly peerDescription: string;
  readonly #socket: Socket;
  readonly #isUnix: boolean;
  readonly #resets: boolean;
  #handler: ByteStreamHandler | null = null;
  #closeReason = '';
  #queuedTotal = 0;
  #takenTotal = 0;
  #paused = false;
  /** The views that the next flush sends. */
  readonly #views: Uint8Array[] = [];
  /** Totals at the ends of the gathered writes that libuv holds, oldest first. */
  readonly #batchEnds: number[] = [];
  #tellQueued = false;
  readonly #tellTaken = (): void => {
    this.#tellQueued = false;
    this.#handler?.onWritten(this.#takenTotal);
  };
  readonly #onBatchTaken = (error?: Error | null): void => {
    if (error) return; // The close that follows says why.
    this.#takenTotal = this.#batchEnds.shift() as number;
    this.#handler?.onWritten(this.#takenTotal);
  };

  /** `resets`: see {@link SocketOptions.resets}. */
  constructor(socket: Socket, peerDescription: string, isUnix: boolean, resets = false) {
    this.#socket = socket;
    this.peerDescription = peerDescription;
    this.#isUnix = isUnix;
    this.#resets = resets && !isUnix;
    if (isUnix) setSendBuffer(descriptorOf(socket), UNIX_SEND_BYTES);
    else {
      socket.setNoDelay(true);
      keepAlive(descriptorOf(socket));
    }
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#closeReason === '') this.#closeReason = error.code ?? error.message;
    });
    socket.on('end', () => {
      if (this.#closeReason === '') this.#closeReason = 'closed by peer';
      // The peer will send no more, and no protocol here has a use for half a connection.
      socket.destroy();
    });
    socket.on('close', () => {
      if (this.#closeReason === '') this.#closeReason = 'closed';
      const handler = this.#handler;
      this.#handler = null;
      this.#views.length = 0;
      handler?.onClosed(this.#closeReason);
    });
  }

  get queuedBytes(): number {
    return this.#queuedTotal - this.#takenTotal;
  }

  get takenBytes(): number {
    return this.#takenTotal;
  }

  confirmedBytes(): number | null {
    return this.#isUnix ? null : this.#takenTotal - unacknowledgedBytes(descriptorOf(this.#socket));
  }

  peerIsGone(): boolean {
    return this.#socket.destroyed || isPeerGone(descriptorOf(this.#socket));
  }

  silentMs(): number {
    return this.#isUnix || this.#socket.destroyed ? 0 : silentMs(descriptorOf(this.#socket));
  }

  attach(handler: ByteStreamHandler): void {
    assert(this.#handler === null, 'stream: attached twice');
    this.#handler = handler;
    if (this.#socket.destroyed) {
      setImmediate(() => {
        this.#handler = null;
        handler.onClosed(this.#closeReason || 'closed');
      });
      return;
    }
    this.#socket.resume();
  }

  /** For the socket's `onread.buffer`. */
  receiveTarget(): Uint8Array {
    return this.#handler === null ? PLACEHOLDER : this.#handler.receiveTarget();
  }

  /** For the socket's `onread.callback`. */
  received(byteCount: number, buffer: Uint8Array): void {
    const handler = this.#handler;
    if (handler === null || this.#socket.destroyed) return;
    // Node starts reading a moment after `resume`, even if `pause` came between: stop it now that it can be stopped.
    if (this.#paused) this.#socket.pause();
    if (buffer !== PLACEHOLDER) {
      handler.onReceived(byteCount);
      return;
    }
    // The first read of a socket is set up before its stream has a handler.
    for (let from = 0; from < byteCount && this.#handler === handler && !this.#socket.destroyed; ) {
      const target = handler.receiveTarget();
      const part = Math.min(target.length, byteCount - from);
      target.set(PLACEHOLDER.subarray(from, from + part));
      from += part;
      handler.onReceived(part);
    }
  }

  write(view: Uint8Array): void {
    this.#queuedTotal += view.length;
    if (!this.#socket.destroyed) this.#views.push(view);
  }

  flush(): void {
    const views = this.#views;
    if (views.length === 0) return;
    if (this.#socket.destroyed) {
      views.length = 0;
      return;
    }
    // Bytes go the long way, through libuv, when libuv still holds earlier ones, or when the kernel does not take everything.
    const taken = this.#batchEnds.length === 0 ? writeDirectly(descriptorOf(this.#socket), views) : 0;
    this.#takenTotal += taken;
    if (this.#takenTotal === this.#queuedTotal) {
      views.length = 0;
      // Never from within: the handler may be in the middle of something.
      if (!this.#tellQueued) {
        this.#tellQueued = true;
        process.nextTick(this.#tellTaken);
      }
      return;
    }
    this.#socket.cork();
    let skip = taken;
    for (let i = 0; i < views.length; i++) {
      const view = views[i] as Uint8Array;
      if (skip >= view.length) {
        skip -= view.length;
        continue;
      }
      const rest = skip === 0 ? view : view.subarray(skip);
      skip = 0;
      if (i < views.length - 1) this.#socket.write(rest);
      else this.#socket.write(rest, this.#onBatchTaken);
    }
    views.length = 0;
    this.#batchEnds.push(this.#queuedTotal);
    this.#socket.uncork();
  }

  pauseReading(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resumeReading(): void {
    this.#paused = false;
    if (!this.#socket.destroyed) this.#socket.resume();
  }

  end(): void {
    this.flush();
    if (this.#socket.destroyed) return;
    if (this.#closeReason === '') this.#closeReason = 'closed here';
    this.#socket.end(() => this.#socket.destroy());
  }

  destroy(reason: string): void {
    if (this.#socket.destroyed) return;
    if (this.#closeReason === '') this.#closeReason = reason;
    if (this.#resets) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }
}

/** How many unread bytes a unix socket holds: the largest message fits. */
const UNIX_SEND_BYTES = 1024 * 1024;

/** The part of a libuv stream handle that is used here. */
interface StreamHandle {
  readonly fd: number;
}

/** `net.Socket` with the option that `net.connect` has documented and accepted sockets lack. */
interface UserBufferSocketOptions extends SocketConstructorOpts {
  handle?: StreamHandle;
  manualStart?: boolean;
  onread?: OnReadOptions;
}

/** `net.connect`'s documented `onread`. */
export interface OnReadOptions {
  buffer: () => Uint8Array;
  callback: (byteCount: number, buffer: Uint8Array) => boolean;
}

/** The socket's file descriptor, or -1 when it has none any more. */
function descriptorOf(socket: Socket): number {
  return (socket as unknown as { _handle: StreamHandle | null })._handle?.fd ?? -1;
}

/** The target of a read that was set up before its stream had a handler, or that is under way when the stream closes. */
const PLACEHOLDER = new Uint8Array(64 * 1024);

/** Options that make a socket read into its stream's memory; `stream()` is asked at every read. */
export function onReadOptions(stream: () => SocketStream | null): OnReadOptions {
  return {
    buffer: () => stream()?.receiveTarget() ?? PLACEHOLDER,
    callback: (byteCount, buffer) => {
      stream()?.received(byteCount, buffer);
      return true;
    },
  };
}

/**
 * Turns a socket that a server has just accepted (with `pauseOnConnect`) into a stream. Node offers `onread` only to
 * sockets that connect, so the accepted handle moves to a socket that was built with it.
 */
export function acceptedStream(accepted: Socket, peerDescription: string, isUnix: boolean): SocketStream {
  const owner = accepted as unknown as { _handle: StreamHandle | null };
  const handle = owner._handle;
  assert(handle !== null, 'stream: an accepted socket has no handle');
  owner._handle = null;
  // An empty shell now: its end makes the server forget it.
  accepted.destroy();
  let stream: SocketStream | null = null;
  const options: UserBufferSocketOptions = {
    handle,
    readable: true,
    writable: true,
    manualStart: true,
    onread: onReadOptions(() => stream),
  };
  const socket = new Socket(options);
  stream = new SocketStream(socket, peerDescription, isUnix);
  return stream;
}
