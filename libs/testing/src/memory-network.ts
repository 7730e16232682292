import { type ByteStream, type ConnectAttempt, randomBelow, SeededRandom, type StreamListener, type Transport } from '@rmr/runtime';
import { MemoryStream } from './memory-stream.ts';
import type { ScheduledEvent } from './scheduler.ts';
import type { VirtualWorld } from './virtual-world.ts';

/**
 * A network in memory on virtual time. Hosts have names; each uses its own {@link Transport} of {@link host}.
 *
 * Across a partition bytes are held back, and the sender sees nothing of that. They arrive when the partition heals, if the receiver's end
 * of the connection is open then, even if the sender has long given the connection up. So do TCP's retransmissions, and that is why there
 * is I10.
 */
export class MemoryNetwork {
  readonly options: MemoryNetworkOptions;
  readonly #world: VirtualWorld;
  readonly #random: SeededRandom;
  readonly #listeners = new Map<string, Listener>();
  readonly #streams = new Set<MemoryStream>();
  readonly #blocked = new Set<string>();
  /** Hosts that are frozen, with what they will be told when they thaw. */
  readonly #frozen = new Map<string, (() => void)[]>();
  /** Extra delay of what one host sends to another, in milliseconds. */
  readonly #slow = new Map<string, number>();
  readonly #refusing = new Set<string>();
  /** How often each host has crashed. What a dead process has begun ends with it. */
  readonly #crashes = new Map<string, number>();

  constructor(world: VirtualWorld, options: Partial<MemoryNetworkOptions> = {}) {
    this.#world = world;
    this.options = { ...DEFAULTS, ...options };
    this.#random = new SeededRandom(world.seed * 7919 + 17);
  }

  get nowMs(): number {
    return this.#world.scheduler.nowMs;
  }

  /** Connection ends that are open. */
  get openEnds(): number {
    return this.#streams.size;
  }

  /** Bytes that their senders have written and the connections have not taken yet. */
  get queuedBytes(): number {
    let bytes = 0;
    for (const stream of this.#streams) bytes += stream.queuedBytes;
    return bytes;
  }

  /** The transport of the host with this name. */
  host(name: string): MemoryTransport {
    return new MemoryTransport(this, name);
  }

  /** From now on nothing passes between the two hosts, and neither is told. */
  partition(a: string, b: string): void {
    this.partitionOneWay(a, b);
    this.partitionOneWay(b, a);
  }

  /** From now on nothing passes from one host to the other; the way back is open. */
  partitionOneWay(from: string, to: string): void {
    this.#blocked.add(`${from}>${to}`);
  }

  /** What sets out from one host for the other takes so much longer from now on; 0 ends it. Bytes of a connection keep their order. */
  slow(from: string, to: string, extraMs: number): void {
    if (extraMs === 0) this.#slow.delete(`${from}>${to}`);
    else this.#slow.set(`${from}>${to}`, extraMs);
  }

  /** Ends partitions between the two hosts in both directions: what was held back arrives. */
  heal(a: string, b: string): void {
    this.#blocked.delete(`${a}>${b}`);
    this.#blocked.delete(`${b}>${a}`);
    this.#pumpAll();
  }

  /** Ends all partitions and delays. Connections that were silenced or halved stay so: only their hosts can find out. */
  healAll(): void {
    this.#blocked.clear();
    this.#slow.clear();
    for (const stream of this.#streams) stream.delay(0);
    this.#pumpAll();
  }

  /** Connections between the two hosts break: what is under way is lost, and both ends are told. */
  cut(a: string, b: string, reason = 'ECONNRESET'): void {
    for (const stream of [...this.#streams]) {
      if (stream.host === a && stream.peer.host === b) this.cutStream(stream, reason);
    }
    for (const stream of [...this.#streams]) {
      if (stream.host === b && stream.peer.host === a) this.cutStream(stream, reason);
    }
  }

  /** One connection breaks. */
  cutStream(stream: MemoryStream, reason = 'ECONNRESET'): void {
    stream.peer.close(reason);
    stream.close(reason);
  }

  /** A half-open connection: this end breaks and is told; the other is not, and may wait for ever. What was sent before arrives there. */
  halve(stream: MemoryStream, reason = 'ETIMEDOUT'): void {
    stream.close(reason);
  }

  /** A connection that a middlebox forgot: nothing passes any more, in either direction, and neither end is told. */
  silence(stream: MemoryStream): void {
    stream.silence();
    stream.peer.silence();
  }

  /** The open ends at one host, oldest first: to cut or look at one by one. */
  endsAt(host: string): MemoryStream[] {
    return [...this.#streams].filter((stream) => stream.host === host);
  }

  /** Connects to `address` are refused from now on, or no more. */
  refuse(address: string, refused: boolean): void {
    if (refused) this.#refusing.add(address);
    else this.#refusing.delete(address);
  }

  /** Nothing is delivered to the host until {@link thaw}, as to a stopped process: its ends stay open and fill. */
  freeze(host: string): void {
    if (!this.#frozen.has(host)) this.#frozen.set(host, []);
  }

  thaw(host: string): void {
    const untold = this.#frozen.get(host);
    if (untold === undefined) return;
    this.#frozen.delete(host);
    for (const tell of untold) this.after(0, tell);
    this.#pumpAll();
  }

  /** For streams: tells the host something in a moment, or when it thaws. */
  toHost(host: string, tell: () => void): void {
    this.after(0, () => {
      const untold = this.#frozen.get(host);
      if (untold === undefined) tell();
      else untold.push(tell);
    });
  }

  /** The host's process dies: its listeners and its ends are gone without being told, and its peers see a close. */
  crash(host: string): void {
    this.#crashes.set(host, this.#crashCount(host) + 1);
    if (this.#frozen.has(host)) this.#frozen.set(host, []);
    for (const [address, listener] of this.#listeners) if (listener.host === host) this.#listeners.delete(address);
    for (const stream of [...this.#streams]) {
      if (stream.host !== host) continue;
      stream.peer.arrive(null);
      stream.vanish();
    }
  }

  /** For streams: runs `action` in `delayMs`. */
  after(delayMs: number, action: () => void): ScheduledEvent {
    return this.#world.after(delayMs, action);
  }

  /** For streams: whether bytes from one host to the other are held back now. */
  holdsBack(from: string, to: string): boolean {
    return (this.#blocked.size > 0 && this.#blocked.has(`${from}>${to}`)) || this.#frozen.has(to);
  }

  /** For streams: the delay of what sets out now. */
  drawDelayMs(from: string, to: string): number {
    const { delayMsMin, delayMsMax } = this.options;
    const extraMs = this.#slow.size === 0 ? 0 : (this.#slow.get(`${from}>${to}`) ?? 0);
    return extraMs + delayMsMin + (delayMsMax > delayMsMin ? (this.#random.u32() / 0x1_0000_0000) * (delayMsMax - delayMsMin) : 0);
  }

  drawRunBytes(): number {
    const max = this.options.runBytesMax;
    return max === Number.POSITIVE_INFINITY ? max : 1 + randomBelow(this.#random, max);
  }

  forget(stream: MemoryStream): void {
    this.#streams.delete(stream);
  }

  /** For {@link MemoryTransport.connect}. */
  connect(from: string, address: string, onConnected: (stream: ByteStream) => void, onFailed: (reason: string) => void): ConnectAttempt {
    const startedMs = this.nowMs;
    const crashCount = this.#crashCount(from);
    let cancelled = false;
    let near: MemoryStream | null = null;
    const givenUp = (): boolean => cancelled || this.#crashCount(from) !== crashCount;
    const fail = (reason: string): void => {
      if (!givenUp()) onFailed(reason);
    };
    const arrived = (): void => {
      if (givenUp() || near === null) return;
      if (near.isClosed) {
        fail('ECONNRESET');
        return;
      }
      if (this.holdsBack(near.peer.host, from)) {
        if (this.nowMs - startedMs > CONNECT_TIMEOUT_MS) {
          near.destroy('ETIMEDOUT');
          fail('ETIMEDOUT');
          return;
        }
        this.after(CONNECT_RETRY_MS, arrived);
        return;
      }
      cancelled = true;
      onConnected(near);
    };
    const knock = (): void => {
      if (givenUp()) return;
      const listener = this.#listeners.get(address);
      if (listener === undefined || this.#refusing.has(address)) {
        fail('ECONNREFUSED');
        return;
      }
      if (this.holdsBack(from, listener.host)) {
        if (this.nowMs - startedMs > CONNECT_TIMEOUT_MS) fail('ETIMEDOUT');
        else this.after(CONNECT_RETRY_MS, knock);
        return;
      }
      const ghosts = this.options.ghostConnectPercent;
      if (ghosts > 0 && randomBelow(this.#random, 100) < ghosts) {
        this.#pair(from, address, listener).vanish();
      }
      near = this.#pair(from, address, listener);
      this.after(this.drawDelayMs(listener.host, from), arrived);
    };
    this.after(this.drawDelayMs(from, this.#listeners.get(address)?.host ?? ''), knock);
    return {
      cancel: () => {
        if (cancelled) return;
        cancelled = true;
        near?.destroy('given up');
      },
    };
  }

  /** For {@link MemoryTransport.listen}. */
  listen(
    host: string,
    address: string,
    onConnection: (stream: ByteStream) => void,
    onListening: (listener: StreamListener) => void,
    onFailed: (code: string, reason: string) => void,
  ): void {
    const crashCount = this.#crashCount(host);
    this.after(0, () => {
      if (this.#crashCount(host) !== crashCount) return;
      if (this.#listeners.has(address)) {
        onFailed('EADDRINUSE', `${address} is in use`);
        return;
      }
      const listener: Listener = { host, onConnection };
      this.#listeners.set(address, listener);
      onListening({
        address,
        close: (onClosed) => {
          if (this.#listeners.get(address) === listener) this.#listeners.delete(address);
          if (onClosed !== undefined) this.after(0, onClosed);
        },
      });
    });
  }

  #crashCount(host: string): number {
    return this.#crashes.get(host) ?? 0;
  }

  /** A connection to the listener; the caller's end. */
  #pair(from: string, address: string, listener: Listener): MemoryStream {
    const near = new MemoryStream(this, from, address);
    const far = new MemoryStream(this, listener.host, `memory:${from}`);
    near.join(far);
    far.join(near);
    this.#streams.add(near);
    this.#streams.add(far);
    listener.onConnection(far);
    return near;
  }

  #pumpAll(): void {
    for (const stream of this.#streams) stream.pump();
  }
}

/** How the network behaves. May be changed at any time; it holds from the next byte on. */
export interface MemoryNetworkOptions {
  /** Delay of every run of bytes, drawn uniformly; a connection keeps its order. Connections overtake one another. */
  delayMsMin: number;
  delayMsMax: number;
  /** Bytes arrive in pieces of 1 to this many, at random. */
  runBytesMax: number;
  /** Bytes of one direction of a connection that may be under way: beyond it the sender's queue grows (back-pressure). */
  windowBytes: number;
  /** Percentage of connection attempts of which the listener sees a second one with nobody at its other end, as after a repeated SYN. */
  ghostConnectPercent: number;
}

const DEFAULTS: MemoryNetworkOptions = {
  delayMsMin: 0.05,
  delayMsMax: 0.05,
  runBytesMax: 64 * 1024,
  windowBytes: 256 * 1024,
  ghostConnectPercent: 0,
};

/** Between two tries to get a connection through a partition, as TCP's SYN. */
const CONNECT_RETRY_MS = 500;
/** After which a connect through a partition fails, as Linux does. */
const CONNECT_TIMEOUT_MS = 120_000;

const ADDRESS = /^memory:[A-Za-z0-9._-]+$/;

interface Listener {
  readonly host: string;
  readonly onConnection: (stream: ByteStream) => void;
}

/** What one host sees of a {@link MemoryNetwork}. Addresses are `memory:NAME`; names are the whole network's. */
export class MemoryTransport implements Transport {
  readonly hostName: string;
  readonly #network: MemoryNetwork;

  constructor(network: MemoryNetwork, hostName: string) {
    this.#network = network;
    this.hostName = hostName;
  }

  invalidAddress(address: string): string | null {
    return ADDRESS.test(address) ? null : `"${address}" is not an address; write memory:NAME`;
  }

  connect(address: string, onConnected: (stream: ByteStream) => void, onFailed: (reason: string) => void): ConnectAttempt {
    const invalid = this.invalidAddress(address);
    if (invalid === null) return this.#network.connect(this.hostName, address, onConnected, onFailed);
    return this.#network.after(0, () => onFailed(invalid));
  }

  listen(
    address: string,
    onConnection: (stream: ByteStream) => void,
    onListening: (listener: StreamListener) => void,
    onFailed: (code: string, reason: string) => void,
  ): void {
    const invalid = this.invalidAddress(address);
    if (invalid !== null) {
      this.#network.after(0, () => onFailed('EINVAL', invalid));
      return;
    }
    this.#network.listen(this.hostName, address, onConnection, onListening, onFailed);
  }
}
