import type { NbdAddress } from '@rmr/cluster';
import { assert, errorMessage, OperationError, SeededRandom } from '@rmr/runtime';
import { DeviceRecord, type Operation } from './device-record.ts';
import { type DeviceRequest, describeRequest, RequestKind } from './device-request.ts';
import { NbdClient } from './nbd-client.ts';
import { SECTOR_BYTES } from './stamp.ts';
import { pause } from './waiting.ts';
import { nextRequest } from './workload.ts';

/**
 * A client of the device that knows what it may read. It writes stamped sectors with several requests in flight, reads
 * them back, and holds every answer against its record. When its connection ends it connects again; what was in flight
 * may or may not have happened then.
 */
export class VerifiedWriter {
  readonly record: DeviceRecord;
  readonly #options: WriterOptions;
  readonly #random: SeededRandom;
  readonly #sectorCount: number;
  readonly #depth: number;
  readonly #portion: number;
  /** Requests of the present connection, by cookie. */
  readonly #inFlight = new Map<number, { readonly operation: Operation; readonly done: (() => void) | null }>();
  /** Requests of former connections, which may still take effect until the device is served anew. */
  #orphans: Operation[] = [];
  #client: NbdClient | null = null;
  #instance: string | null = null;
  #nextCookie = 1;
  #allowance = 0;
  #writing = false;
  #stopped = false;
  #failure: string | null = null;
  #reconnects = -1;
  #abandoned = false;
  #lastRefusal = 'nobody serves it';

  constructor(options: WriterOptions) {
    assert(options.firstByte % SECTOR_BYTES === 0 && options.lengthBytes % SECTOR_BYTES === 0, 'verified writer: whole sectors');
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#sectorCount = options.lengthBytes / SECTOR_BYTES;
    this.#depth = options.depth ?? 16;
    this.#portion = ((options.requestsPerSecondMax ?? 1500) * PACE_MS) / 1000;
    this.record = new DeviceRecord(this.#sectorCount);
    void this.#stayConnected();
    void this.#issue();
  }

  /** The first thing that must not be, or null. */
  get violation(): string | null {
    return this.record.violation ?? this.#failure;
  }

  /** Connections after the first. */
  get reconnects(): number {
    return Math.max(0, this.#reconnects);
  }

  /** What it does at the moment, so that a person sees why it does not get on. */
  get activity(): string {
    if (this.#client === null) return `not connected: ${this.#lastRefusal}`;
    const oldest = [...this.record.underWay][0];
    return oldest === undefined
      ? 'idle'
      : `${this.record.underWay.size} requests in flight, the oldest: ${describeRequest(oldest.request)}`;
  }

  /** Starts to issue requests, or goes on. */
  write(): void {
    this.#writing = true;
  }

  /** Stops to issue requests and waits until all are answered. Throws TIMEOUT with what is not. */
  async rest(timeoutMs: number): Promise<void> {
    this.#writing = false;
    await this.#until(() => this.#client !== null && this.#inFlight.size === 0, timeoutMs, 'its requests to be answered');
  }

  /** Waits until `count` more requests than now have been answered. Throws TIMEOUT or the violation. */
  async progress(count: number, timeoutMs: number): Promise<void> {
    const goal = this.#answered + count;
    await this.#until(() => this.#answered >= goal, timeoutMs, `${count} more answers`);
  }

  /** At rest: makes everything durable. */
  async flush(timeoutMs: number): Promise<void> {
    const flush = { kind: RequestKind.FLUSH, fua: false, firstSector: 0, sectorCount: 0 };
    await this.#together([flush], timeoutMs);
  }

  /** At rest: reads everything `rounds` times, so that several legs answer. Throws when an answer is wrong. */
  async readBack(rounds: number, timeoutMs: number): Promise<void> {
    const reads: DeviceRequest[] = [];
    for (let first = 0; first < this.#sectorCount; first += SWEEP_SECTORS) {
      const sectorCount = Math.min(SWEEP_SECTORS, this.#sectorCount - first);
      reads.push({ kind: RequestKind.READ, fua: false, firstSector: first, sectorCount });
    }
    for (let round = 0; round < rounds; round++) await this.#together(reads, timeoutMs);
  }

  /**
   * Gives its connection up, for a server that is about to be replaced: what is in flight there takes no effect any more
   * once the next endpoint serves.
   */
  abandonConnection(): void {
    this.#abandoned = true;
    this.#client?.drop();
  }

  /** Throws the violation, if there is one. */
  check(): void {
    if (this.violation !== null) throw new OperationError('IO_ERROR', this.violation);
  }

  /** Ends it. */
  stop(): void {
    this.#stopped = true;
    this.#writing = false;
    this.#client?.end();
  }

  get #answered(): number {
    const { reads, writes, discards, flushes } = this.record.counters;
    return reads + writes + discards + flushes;
  }

  async #stayConnected(): Promise<void> {
    while (!this.#stopped) {
      if (this.#client === null) await this.#connect();
      await pause(RECONNECT_MS);
    }
  }

  async #connect(): Promise<void> {
    const endpoint = this.#options.endpoint();
    if (endpoint === null) return;
    let client: NbdClient;
    try {
      client = await NbdClient.connect(endpoint.address, {
        onReply: (cookie, error, payload) => this.#replied(cookie, error, payload),
        onClosed: (reason) => this.#closed(client, reason),
      });
    } catch (error) {
      this.#lastRefusal = errorMessage(error);
      return;
    }
    // Another client node may listen there by now.
    if (this.#stopped || this.#options.endpoint()?.instance !== endpoint.instance) {
      client.drop();
      return;
    }
    if (endpoint.instance === this.#instance && !this.#abandoned)
      this.#fail(`a server that lives ended its connection: ${this.#lastRefusal}`);
    if (client.sizeBytes < this.#options.firstByte + this.#options.lengthBytes) this.#fail(`the device has only ${client.sizeBytes} bytes`);
    if (endpoint.instance !== this.#instance) {
      // Another process serves: it has seen to it that nothing of the former one happens any more.
      for (const operation of this.#orphans) this.record.lose(operation);
      this.#orphans = [];
    }
    this.#client = client;
    this.#instance = endpoint.instance;
    this.#abandoned = false;
    this.#reconnects++;
  }

  async #issue(): Promise<void> {
    while (!this.#stopped) {
      this.#allowance = Math.min(this.#allowance + this.#portion, this.#depth);
      while (
        this.#writing &&
        this.#client !== null &&
        this.#allowance >= 1 &&
        this.#inFlight.size < this.#depth &&
        this.violation === null
      ) {
        this.#allowance--;
        this.#send(this.#client, nextRequest(this.#random, this.#sectorCount), null);
      }
      await pause(PACE_MS);
    }
  }

  /** Sends requests, as many at a time as the depth allows, and waits for the answers. */
  async #together(requests: readonly DeviceRequest[], timeoutMs: number): Promise<void> {
    assert(!this.#writing, 'verified writer: it is at rest');
    let sent = 0;
    let answered = 0;
    const more = (): void => {
      while (this.#client !== null && sent < requests.length && sent - answered < this.#depth) {
        this.#send(this.#client, requests[sent++] as DeviceRequest, () => {
          answered++;
          more();
        });
      }
    };
    await this.#until(() => this.#client !== null, timeoutMs, 'a connection');
    more();
    await this.#until(() => answered === requests.length, timeoutMs, 'its requests to be answered');
    this.check();
  }

  #send(client: NbdClient, request: DeviceRequest, done: (() => void) | null): void {
    const operation = this.record.begin(request);
    const cookie = this.#nextCookie++;
    this.#inFlight.set(cookie, { operation, done });
    const { kind, fua, firstSector, sectorCount } = request;
    const offsetBytes = kind === RequestKind.FLUSH ? 0 : this.#options.firstByte + firstSector * SECTOR_BYTES;
    const payload = kind === RequestKind.WRITE ? this.record.payload(operation) : null;
    client.send(kind, fua, cookie, offsetBytes, sectorCount * SECTOR_BYTES, payload);
  }

  #replied(cookie: number, error: number, payload: Uint8Array | null): void {
    const entry = this.#inFlight.get(cookie);
    assert(entry !== undefined, 'verified writer: it has asked for this');
    this.#inFlight.delete(cookie);
    const { operation, done } = entry;
    this.record.end(operation, error, payload);
    if (error !== 0 && !this.#mayFail(operation.request)) this.#fail(`${describeRequest(operation.request)} failed with error ${error}`);
    done?.();
  }

  #mayFail({ kind, fua }: DeviceRequest): boolean {
    return (kind === RequestKind.FLUSH || fua) && (this.#options.mayFailFlush?.() ?? false);
  }

  #closed(client: NbdClient, reason: string): void {
    this.#lastRefusal = reason;
    if (client !== this.#client) return;
    this.#client = null;
    for (const { operation } of this.#inFlight.values()) this.#orphans.push(operation);
    this.#inFlight.clear();
  }

  #fail(what: string): void {
    this.#failure ??= what;
  }

  /** Waits until `condition` holds. Throws the violation, or TIMEOUT with what it does instead. */
  async #until(condition: () => boolean, timeoutMs: number, what: string): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      this.check();
      if (condition()) return;
      if (performance.now() >= deadline) {
        throw new OperationError('TIMEOUT', `the writer waited for ${what} for ${timeoutMs / 1000} s: ${this.activity}`);
      }
      await pause(PACE_MS);
    }
  }
}

/** How long to wait before a server that is not there is tried again. */
const RECONNECT_MS = 25;
/** Requests are issued in portions, one per so many milliseconds. */
const PACE_MS = 10;
/** Sectors of a request that reads everything back. */
const SWEEP_SECTORS = 512;

/** Where the device is served at the moment. */
export interface Endpoint {
  readonly address: NbdAddress;
  /** Which process serves: another one after every restart. */
  readonly instance: string;
}

export interface WriterOptions {
  readonly seed: number;
  /** The writer's part of the device: nobody else writes there, and it reads as zeroes at first. */
  readonly firstByte: number;
  readonly lengthBytes: number;
  /** Where to connect; null while nobody is known to serve. Asked again at every attempt. */
  readonly endpoint: () => Endpoint | null;
  /** Requests in flight. */
  readonly depth?: number;
  /** Requests per second at most: a load that leaves the daemons time for everything else they have to do. */
  readonly requestsPerSecondMax?: number;
  /** Whether a flush, or a write that is to be durable, may fail (power was lost); otherwise every error is a violation. */
  readonly mayFailFlush?: () => boolean;
}
