import {
  type ByteStream,
  type ByteStreamHandler,
  type LogFields,
  type Logger,
  SeededRandom,
  type Ticked,
  type TurnTask,
  type World,
} from '@rmr/runtime';

/** A world that stands still unless the test moves it. */
export class FakeWorld implements World {
  readonly lines: LoggedLine[] = [];
  readonly random = new SeededRandom(1);
  readonly log: Logger;
  readonly clock = { nowMs: () => this.#nowMs, wallMs: () => this.#nowMs };
  readonly ticker = {
    subscribe: (target: Ticked) => void this.ticked.add(target),
    unsubscribe: (target: Ticked) => void this.ticked.delete(target),
  };
  readonly turn = {
    defer: (task: TurnTask) => {
      if (task.turnQueued) return;
      task.turnQueued = true;
      this.#tasks.push(task);
    },
  };
  readonly ticked = new Set<Ticked>();
  readonly #tasks: TurnTask[] = [];
  #nowMs = 0;

  constructor() {
    const write =
      (level: string) =>
      (event: string, fields: LogFields = {}) =>
        void this.lines.push({ level, event, fields });
    this.log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error'), child: () => this.log };
  }

  /** Ends the turn: runs what was deferred. True when there was anything. */
  endTurn(): boolean {
    if (this.#tasks.length === 0) return false;
    for (let i = 0; i < this.#tasks.length; i++) {
      const task = this.#tasks[i] as TurnTask;
      task.turnQueued = false;
      task.runAtTurnEnd();
    }
    this.#tasks.length = 0;
    return true;
  }

  /** Lets time pass. */
  advance(milliseconds: number): void {
    this.#nowMs += milliseconds;
    for (const target of this.ticked) target.tick(this.#nowMs);
  }
}

/** A log line as a test sees it. */
export interface LoggedLine {
  readonly level: string;
  readonly event: string;
  readonly fields: LogFields;
}

/** The server's end of a connection whose other end is the test. */
export class FakeStream implements ByteStream {
  readonly peerDescription = 'memory:test';
  /** While true, the transport takes nothing: the peer does not read. */
  blocked = false;
  /** Gathered writes so far. */
  flushes = 0;
  paused = false;
  ended = false;
  closed = false;
  closeReason = '';
  /** What the peer has received. */
  received: Uint8Array[] = [];
  receivedBytes = 0;

  /** The end of the peer is behind bytes that this host has no room for: it does not show. */
  hidesEnd = false;
  /** Null as with a unix socket, else as with TCP: what the peer's host has acknowledged. */
  confirmed: number | null = null;
  silence = 0;

  #handler: ByteStreamHandler | null = null;
  #destroyed = '';
  #toSend: Uint8Array[] = [];
  #pending: Uint8Array[] = [];
  #queuedTotal = 0;
  #takenTotal = 0;
  readonly #input: Uint8Array[] = [];
  #peerClosed = false;
  #broken = false;

  get queuedBytes(): number {
    return this.#queuedTotal - this.#takenTotal;
  }

  /** Input that the server has not read. */
  get unreadBytes(): number {
    return this.#input.reduce((sum, part) => sum + part.length, 0);
  }

  get takenBytes(): number {
    return this.#takenTotal;
  }

  confirmedBytes(): number | null {
    return this.confirmed;
  }

  peerIsGone(): boolean {
    return this.closed || this.#broken || (this.#peerClosed && !this.hidesEnd);
  }

  silentMs(): number {
    return this.silence;
  }

  attach(handler: ByteStreamHandler): void {
    this.#handler = handler;
  }

  write(view: Uint8Array): void {
    if (view.length === 0) throw new Error('an empty write');
    this.#queuedTotal += view.length;
    this.#toSend.push(view);
  }

  flush(): void {
    if (this.#toSend.length === 0) return;
    this.flushes++;
    this.#pending.push(...this.#toSend);
    this.#toSend = [];
  }

  pauseReading(): void {
    this.paused = true;
  }

  resumeReading(): void {
    this.paused = false;
  }

  end(): void {
    this.flush();
    this.ended = true;
  }

  destroy(reason: string): void {
    if (this.#destroyed === '') this.#destroyed = reason;
  }

  /** The peer sends. */
  feed(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#input.push(bytes);
  }

  /** The peer is gone. The reader hears of that behind what was sent before. */
  hangUp(): void {
    this.#peerClosed = true;
  }

  /** The connection is broken: at once. */
  reset(): void {
    this.#broken = true;
  }

  /** Moves bytes as a transport would. True when anything happened. */
  step(): boolean {
    if (this.closed) return false;
    const handler = this.#handler;
    if (this.#destroyed !== '' || this.#broken || (this.#peerClosed && !this.paused && this.#input.length === 0)) {
      this.closed = true;
      this.closeReason = this.#destroyed || 'closed by peer';
      handler?.onClosed(this.closeReason);
      return true;
    }
    if (this.#pending.length > 0 && !this.blocked) {
      for (const view of this.#pending.splice(0)) {
        this.received.push(view.slice());
        this.receivedBytes += view.length;
        this.#takenTotal += view.length;
      }
      handler?.onWritten(this.#takenTotal);
      return true;
    }
    if (this.ended && this.#pending.length === 0) {
      this.closed = true;
      this.closeReason = 'closed here';
      handler?.onClosed(this.closeReason);
      return true;
    }
    const next = this.#input[0];
    if (next === undefined || this.paused || handler === null) return false;
    const target = handler.receiveTarget();
    if (target.length === 0) throw new Error('no room to read into');
    const count = Math.min(target.length, next.length);
    target.set(next.subarray(0, count));
    if (count === next.length) this.#input.shift();
    else this.#input[0] = next.subarray(count);
    handler.onReceived(count);
    return true;
  }
}
