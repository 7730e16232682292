// A key-value store that is a log in a pool: the layer above RMR, in the place that BRMR's block device has in the daemons.
import { IO_BYTES_MAX, IoFlag, IoRequest, type IoType, MessageType, type PoolClient } from '@rmr/rmr';
import { OperationError, Status, statusName } from '@rmr/runtime';
import { decodeRecord, encodeRecord, type LogRecord } from './record.ts';

/**
 * A log of keys and values in a pool. What {@link put} has promised is on every member of the pool's in-sync set, durably, and any one of
 * them is enough to read it. One process at a time has a pool: RMR refuses the others, or fences this one off.
 */
export class ReplicatedLog {
  readonly #pool: PoolClient;
  readonly #sizeBytes: number;
  readonly #places = new Map<string, Place>();
  #endBytes = 0;
  #sequence = 1;
  #crc = 0;
  /** Appends go one after the other: a record names the one before it. */
  #last: Promise<void> = Promise.resolve();

  private constructor(pool: PoolClient, sizeBytes: number) {
    this.#pool = pool;
    this.#sizeBytes = sizeBytes;
  }

  /** Reads the log of a pool that is served, from its first record to its last. Rejects with IO_ERROR. */
  static async open(pool: PoolClient): Promise<ReplicatedLog> {
    if (pool.geometry === null) throw new OperationError('UNAVAILABLE', 'the pool is not served yet: wait until its size is known');
    const log = new ReplicatedLog(pool, pool.geometry.sizeBytes);
    await log.#replay();
    return log;
  }

  /** The keys that have a value. */
  keys(): readonly string[] {
    return [...this.#places.keys()];
  }

  /** The newest value of the key. Null: it has none. Rejects with IO_ERROR. */
  async get(key: string): Promise<Uint8Array | null> {
    const place = this.#places.get(key);
    if (place === undefined) return null;
    const bytes = await this.#io(MessageType.READ, place.offsetBytes, place.lengthBytes);
    const found = decodeRecord(bytes, 0, place.sequence, place.previousCrc);
    if (found === null || found === 'cut') throw new OperationError('IO_ERROR', `the record of "${key}" is damaged`);
    return found.record.value;
  }

  /**
   * Resolves when the value is durable on every member of the in-sync set. Rejects with INVALID_ARGUMENT, NO_SPACE (the log is full) or
   * IO_ERROR; then it is open whether the value counts, until the next put or {@link open} settles it.
   */
  put(key: string, value: Uint8Array): Promise<void> {
    return this.#append(key, value);
  }

  /** Resolves when it is durable that the key has no value. Rejects as {@link put} does. */
  delete(key: string): Promise<void> {
    return this.#append(key, null);
  }

  #append(key: string, value: Uint8Array | null): Promise<void> {
    const appended = this.#last.then(() => this.#write({ sequence: this.#sequence, key, value }));
    // The next append does not depend on how this one ends: it takes the same place if this one failed.
    this.#last = appended.catch(() => undefined);
    return appended;
  }

  async #write(record: LogRecord): Promise<void> {
    const previousCrc = this.#crc;
    const { bytes, crc } = encodeRecord(record, previousCrc);
    if (record.key === '' || new TextEncoder().encode(record.key).length > 0xffff || bytes.length > IO_BYTES_MAX)
      throw new OperationError('INVALID_ARGUMENT', `a key has 1 to 65535 bytes, and a record at most ${IO_BYTES_MAX}`);
    if (this.#endBytes + bytes.length > this.#sizeBytes)
      throw new OperationError('NO_SPACE', `the log is full: ${this.#sizeBytes - this.#endBytes} of ${this.#sizeBytes} bytes are left`);
    await this.#io(MessageType.WRITE, this.#endBytes, bytes.length, bytes);
    this.#found(record, previousCrc, bytes.length, crc);
  }

  /** The record is the last one by now. */
  #found({ sequence, key, value }: LogRecord, previousCrc: number, lengthBytes: number, crc: number): void {
    if (value === null) this.#places.delete(key);
    else this.#places.set(key, { offsetBytes: this.#endBytes, lengthBytes, sequence, previousCrc });
    this.#endBytes += lengthBytes;
    this.#sequence++;
    this.#crc = crc;
  }

  async #replay(): Promise<void> {
    while (this.#endBytes < this.#sizeBytes) {
      const window = Math.min(IO_BYTES_MAX, this.#sizeBytes - this.#endBytes);
      const bytes = await this.#io(MessageType.READ, this.#endBytes, window);
      let at = 0;
      for (let next = decodeRecord(bytes, at, this.#sequence, this.#crc); next !== 'cut'; ) {
        if (next === null) return;
        this.#found(next.record, this.#crc, next.lengthBytes, next.crc);
        at += next.lengthBytes;
        next = decodeRecord(bytes, at, this.#sequence, this.#crc);
      }
      // A record is no longer than a window: one that is cut at its beginning is none.
      if (at === 0) return;
    }
  }

  /** One IO on the pool. Writes carry FUA, so they end when they are durable. Rejects with IO_ERROR. */
  #io(type: IoType, offsetBytes: number, lengthBytes: number, payload: Uint8Array | null = null): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const request = new IoRequest({
        onIoDone: (_request, status, data) => {
          // The data is the pool's again when this call has ended.
          if (status === Status.OK) resolve(data === null ? new Uint8Array(0) : data.slice());
          else reject(new OperationError('IO_ERROR', `${statusName(status)} at byte ${offsetBytes} of the pool`));
        },
      });
      Object.assign(request, { type, flags: type === MessageType.WRITE ? IoFlag.FUA : 0, offsetBytes, lengthBytes, payload });
      this.#pool.submit(request);
    });
  }
}

/** Where the newest value of a key lies: its record, with what is needed to read it again. */
interface Place {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly sequence: number;
  readonly previousCrc: number;
}
