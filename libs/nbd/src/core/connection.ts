import { assert, type ByteStream, type ByteStreamHandler, ReceiveBuffer, SendQueue, type TurnTask } from '@rmr/runtime';
import {
  CLIENT_SILENT_CHECK_MS,
  CLIENT_SILENT_MS_MAX,
  CLOSING_MS_MAX,
  HANDSHAKE_MS_MAX,
  SHUTDOWN_MS_MAX,
  STALLED_READ_AHEAD_BYTES,
} from '../constants.ts';
import { CLIENT_FLAGS_BYTES, clientFlagsInvalid, decodeClientFlags, encodeGreeting, GREETING_BYTES } from '../wire/greeting.ts';
import { ClientPresence } from './client-presence.ts';
import { CONNECTION_TRANSITIONS, type ConnectionState } from './connection-state.ts';
import { NbdCounters } from './counters.ts';
import type { ExportEntry } from './export-entry.ts';
import type { Link } from './link.ts';
import type { ConnectionHost } from './nbd-server.ts';
import { Negotiation } from './negotiation.ts';
import { Transmission } from './transmission.ts';

/** The connection of one client. It owns the buffers, the state and the deadlines. The phases (negotiation, transmission) do the work. */
export class Connection implements ByteStreamHandler, TurnTask, Link {
  turnQueued = false;

  readonly id: number;
  readonly peerDescription: string;
  readonly connectedAtMs: number;
  readonly counters = new NbdCounters();
  readonly receive: ReceiveBuffer;
  readonly send: SendQueue;

  readonly #host: ConnectionHost;
  readonly #stream: ByteStream;
  #state: ConnectionState = 'HANDSHAKE';
  #negotiation: Negotiation | null = null;
  #transmission: Transmission | null = null;
  #awaitsExport = false;
  /** When the client was last heard of, before it chose an export. */
  heardMs: number;
  #paused = false;
  readonly #presence: ClientPresence;
  #silenceCheckedMs: number;
  /** The client's host was silent when that was looked at last. */
  #silent = false;
  /** Monotonic time by which the state has to be left, or infinity. */
  #deadlineMs: number;
  /** Why this side ended the connection, or the empty string. */
  #reason = '';
  #violation = false;

  constructor(host: ConnectionHost, stream: ByteStream, id: number) {
    this.#host = host;
    this.#stream = stream;
    this.id = id;
    this.peerDescription = stream.peerDescription;
    this.connectedAtMs = host.world.clock.nowMs();
    this.heardMs = this.connectedAtMs;
    this.#deadlineMs = this.connectedAtMs + HANDSHAKE_MS_MAX;
    this.#presence = new ClientPresence(stream, this.connectedAtMs);
    this.#silenceCheckedMs = this.connectedAtMs;
    this.receive = new ReceiveBuffer(host.slabs);
    this.send = new SendQueue(host.slabs, stream);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Null before an export is chosen. */
  get transmission(): Transmission | null {
    return this.#transmission;
  }

  /** True while the client is not read from, because too many of its bytes or requests are in flight. */
  get readingPaused(): boolean {
    return this.#paused;
  }

  /** Greets the client and begins to listen to it. */
  start(): void {
    this.#stream.attach(this);
    const at = this.send.reserve(GREETING_BYTES);
    encodeGreeting(this.send.bytes, at);
    this.wake();
  }

  /** Finishes the requests that are under way, refuses new ones, and then closes the connection. */
  shutDown(reason: string): void {
    if (this.#state === 'HANDSHAKE' || this.#state === 'HAGGLING') {
      this.finish(reason);
      return;
    }
    if (this.#state !== 'TRANSMISSION' && this.#state !== 'DRAINING') return;
    const transmission = this.#transmission as Transmission;
    transmission.refuse();
    this.#deadlineMs = this.#host.world.clock.nowMs() + SHUTDOWN_MS_MAX;
    if (this.#reason === '') this.#reason = reason;
    if (this.#state === 'TRANSMISSION') this.#setState('DRAINING');
    this.#advance();
    this.wake();
  }

  /** Closes at once. Requests in flight are dropped. */
  destroy(reason: string): void {
    if (this.#state === 'CLOSED' || this.#state === 'CLOSING') return;
    this.#reason = reason;
    this.#setState('CLOSING');
    this.#transmission?.abandon();
    this.#stream.destroy(reason);
  }

  /** Checks the deadlines, and whether a client that is not read from is still there. */
  tick(nowMs: number): void {
    if (this.#state !== 'CLOSING' && this.#state !== 'CLOSED') {
      if (this.#paused && this.#stream.peerIsGone()) {
        this.destroy(GONE);
        return;
      }
      if (this.#presence.isAwaited) this.wake();
      if (nowMs - this.#silenceCheckedMs >= CLIENT_SILENT_CHECK_MS) {
        this.#silenceCheckedMs = nowMs;
        const silentBefore = this.#silent;
        this.#silent = this.#stream.silentMs() >= CLIENT_SILENT_MS_MAX;
        // One silent look proves nothing: the last question may have been asked a moment ago.
        if (silentBefore && this.#silent) {
          this.destroy(`nothing was heard of the client's host for ${CLIENT_SILENT_MS_MAX / 1000} s`);
          return;
        }
      }
    }
    if (nowMs < this.#deadlineMs) return;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    switch (this.#state) {
      case 'HANDSHAKE':
      case 'HAGGLING':
        if (this.#awaitsExport) {
          this.#negotiation?.losePatience();
          this.wake();
        } else {
          this.fail('the client chose no export in time');
        }
        break;
      case 'DRAINING':
        this.destroy('requests were still executing at the end of the time for shutdown');
        break;
      case 'CLOSING':
        // The client does not read, so the last replies can't leave.
        this.#stream.destroy(this.#reason);
        break;
      case 'TRANSMISSION':
      case 'CLOSED':
        break;
    }
  }

  wake(): void {
    this.#host.world.turn.defer(this);
  }

  fail(reason: string): void {
    this.#violation = true;
    this.destroy(reason);
  }

  finish(reason: string): void {
    if (this.#state === 'CLOSED' || this.#state === 'CLOSING') return;
    if (this.#reason === '') this.#reason = reason;
    this.#setState('CLOSING');
    this.#deadlineMs = this.#host.world.clock.nowMs() + CLOSING_MS_MAX;
    this.#transmission?.abandon();
    this.#resume();
    this.send.flush();
    this.#stream.end();
  }

  enterTransmission(entry: ExportEntry, structured: boolean, blockStatus: boolean): void {
    const host = this.#host;
    this.#transmission = new Transmission(this, entry, structured, blockStatus, this.counters, host.slabs, host.zeroes, host.transactions);
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.#setState('TRANSMISSION');
    host.onNegotiated(this);
  }

  inFlightBytesMax(): number {
    return this.#host.inFlightBytesMax;
  }

  receiveTarget(): Uint8Array {
    return this.receive.target();
  }

  onReceived(byteCount: number): void {
    this.receive.received(byteCount);
    if (this.#stalled()) {
      // What waits goes on at the end of the turn, when the client is known to be there.
      this.wake();
      this.#readOrPause();
      return;
    }
    const nowMs = this.#host.world.clock.nowMs();
    if (this.#transmission === null) {
      // In these phases nothing is begun.
      this.heardMs = nowMs;
    } else if (!this.#presence.isCertain(nowMs) && !this.#transmission.saysGoodbye) {
      this.destroy(GONE);
      return;
    }
    this.#advance();
  }

  onWritten(totalBytes: number): void {
    this.send.written(totalBytes);
    if (this.#stalled()) this.wake();
  }

  onClosed(reason: string): void {
    if (this.#reason === '') this.#reason = reason;
    this.#setState('CLOSED');
    this.#transmission?.abandon();
    this.receive.dispose();
    this.send.dispose();
    this.#host.onClosed(this, this.#reason, this.#violation);
  }

  runAtTurnEnd(): void {
    if (this.#hasEnded()) return;
    if (this.#stalled()) this.#goOn();
    if (this.#hasEnded()) return;
    const transmission = this.#transmission;
    if (transmission !== null && transmission.requestsInFlight === 0) {
      if (transmission.disconnecting) this.finish('the client disconnected');
      else if (this.#state === 'DRAINING') this.finish(this.#reason);
    }
    this.send.flush();
    this.#presence.sent();
  }

  /** Rechecks what must hold between events. */
  verify(): void {
    this.#transmission?.verify();
    const serving = this.#state === 'TRANSMISSION' || this.#state === 'DRAINING';
    assert(!serving || this.#transmission !== null, 'connection: in transmission without an export');
    assert(!this.#paused || this.#stalled(), 'connection: reading is paused and nothing is awaited');
    assert(serving || this.#transmission === null || this.#transmission.requestsInFlight === 0, 'connection: requests outlive their phase');
  }

  /** Parses what there is, through changes of phase, and reads on or pauses. */
  #advance(): void {
    for (;;) {
      const before = this.#state;
      this.#runPhase();
      if (this.#state === before) break;
    }
    if (this.#hasEnded()) return;
    this.#readOrPause();
  }

  /** Goes on with requests that waited for room. When the client is gone, none of them is ever begun. */
  #goOn(): void {
    if (this.#transmission === null && !this.#negotiateOn()) return;
    // Replies first: when the client is gone, sending them brings the news.
    this.send.flush();
    switch (this.#presence.afterStall(this.#host.world.clock.nowMs())) {
      case 'GONE':
        this.destroy(GONE);
        break;
      case 'UNKNOWN':
        // Also for what came behind an option that had to wait.
        if (this.#transmission !== null) this.#transmission.stalled = true;
        break;
      case 'THERE':
        this.#advance();
        break;
    }
  }

  /**
   * Goes on with options that had to wait. They need no look whether the client is there: they begin nothing, and its host answers their
   * replies. True: an export is chosen, and requests that the client has sent behind that need the look.
   */
  #negotiateOn(): boolean {
    if (this.#stream.peerIsGone()) {
      this.destroy(GONE);
      return false;
    }
    this.#runPhase();
    if (this.#hasEnded()) return false;
    if (this.#transmission !== null) return true;
    this.#readOrPause();
    return false;
  }

  #hasEnded(): boolean {
    return this.#state === 'CLOSED' || this.#state === 'CLOSING';
  }

  #readOrPause(): void {
    if (!this.#stalled()) this.#resume();
    else if (!this.#paused && this.receive.readableBytes >= STALLED_READ_AHEAD_BYTES) {
      this.#paused = true;
      this.#stream.pauseReading();
    }
  }

  #runPhase(): void {
    switch (this.#state) {
      case 'HANDSHAKE':
        this.#runHandshake();
        break;
      case 'HAGGLING':
        this.#negotiation?.run();
        this.#timeWaiting();
        break;
      case 'TRANSMISSION':
      case 'DRAINING': {
        const transmission = this.#transmission as Transmission;
        transmission.run();
        if (transmission.disconnecting && this.#state === 'TRANSMISSION') this.#setState('DRAINING');
        break;
      }
      case 'CLOSING':
        this.receive.consume(this.receive.readableBytes);
        break;
      case 'CLOSED':
        break;
    }
  }

  /** Sets the deadline of a client that waits for an export: it gets more time to choose one. */
  #timeWaiting(): void {
    const waits = this.#negotiation?.awaitsExport === true;
    if (this.#state !== 'HAGGLING' || waits === this.#awaitsExport) return;
    this.#awaitsExport = waits;
    this.#deadlineMs = this.#host.world.clock.nowMs() + (waits ? this.#host.exportWaitMs : HANDSHAKE_MS_MAX);
  }

  /** Exports have changed: a client that waits for one looks again. */
  exportsChanged(): void {
    if (this.#awaitsExport) this.wake();
  }

  #runHandshake(): void {
    const receive = this.receive;
    if (!receive.hasFrame(CLIENT_FLAGS_BYTES)) return;
    const invalid = clientFlagsInvalid(receive.slab.bytes, receive.start);
    if (invalid !== null) {
      this.fail(invalid);
      return;
    }
    this.#negotiation = new Negotiation(
      this,
      this.#host,
      decodeClientFlags(receive.slab.bytes, receive.start),
      this.#host.exportWaitMs > 0,
    );
    receive.consume(CLIENT_FLAGS_BYTES);
    this.#setState('HAGGLING');
  }

  #stalled(): boolean {
    if (this.#transmission !== null) return this.#transmission.stalled;
    return this.#negotiation?.stalled ?? false;
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#stream.resumeReading();
  }

  #setState(next: ConnectionState): void {
    assert(CONNECTION_TRANSITIONS[this.#state].includes(next), 'connection: illegal transition');
    this.#state = next;
  }
}

/** The reason with which a connection ends when its client is found gone before the stream says so. */
const GONE = 'closed by peer';
