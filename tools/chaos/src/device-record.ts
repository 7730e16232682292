import { assert } from '@rmr/runtime';
import { SectorModel } from '@rmr/simulation/sector-model';
import { type DeviceRequest, describeRequest, RequestKind } from './device-request.ts';
import { SECTOR_BYTES, stampedSectors, stampsOf } from './stamp.ts';

/**
 * What a device was told and what it answered, held against the rules of a register per sector. No acknowledged write is lost. No
 * overwritten write comes back. No write appears in part or in the wrong place. A write that was never acknowledged is there or not there,
 * but not by turns.
 *
 * The clock of the record counts events. One process has seen all of them, so each is before or after every other one.
 */
export class DeviceRecord {
  readonly #model: SectorModel;
  readonly #sectorCount: number;
  readonly #underWay = new Set<Operation>();
  readonly counters: RecordCounters = { reads: 0, writes: 0, discards: 0, flushes: 0, errors: 0, readBytes: 0, writtenBytes: 0 };
  #now = 0;
  #stamp = 0;
  #violation: string | null = null;

  /** A part of `sectorCount` sectors that read as zeroes. */
  constructor(sectorCount: number) {
    this.#model = new SectorModel(sectorCount);
    this.#sectorCount = sectorCount;
  }

  /** The first thing that a device must not do, or null. */
  get violation(): string | null {
    return this.#violation ?? this.#model.violation;
  }

  /** Requests begun and neither ended nor lost. */
  get underWay(): ReadonlySet<Operation> {
    return this.#underWay;
  }

  /** A request is about to be sent. */
  begin(request: DeviceRequest): Operation {
    const stamp = request.kind === RequestKind.WRITE ? ++this.#stamp : 0;
    const operation = { request, stamp, began: ++this.#now };
    if (changesData(request)) this.#model.writeBegins(request.firstSector, request.sectorCount, stamp, operation.began);
    this.#underWay.add(operation);
    return operation;
  }

  /** The bytes that a write has to carry. */
  payload({ request, stamp }: Operation): Uint8Array {
    assert(request.kind === RequestKind.WRITE, 'device record: only writes have a payload');
    return stampedSectors(request.firstSector, request.sectorCount, stamp);
  }

  /** It was answered: with an error number, or with 0 and, for a read, its bytes. */
  end(operation: Operation, error: number, bytes: Uint8Array | null): void {
    this.#remove(operation);
    const { request, stamp, began } = operation;
    const { firstSector, sectorCount } = request;
    if (error !== 0) {
      this.counters.errors++;
      if (changesData(request)) this.#model.writeFails(firstSector, sectorCount, stamp, began, ++this.#now);
      // The caller knows now that what was not durable may never be.
      if (request.kind === RequestKind.FLUSH || request.fua) this.#model.flushFails(++this.#now);
      return;
    }
    switch (request.kind) {
      case RequestKind.FLUSH:
        this.counters.flushes++;
        this.#model.flushEnds(began);
        return;
      case RequestKind.READ:
        this.counters.reads++;
        this.counters.readBytes += sectorCount * SECTOR_BYTES;
        this.#checkRead(operation, bytes ?? new Uint8Array(0));
        return;
      default:
        if (request.kind === RequestKind.WRITE) this.counters.writes++;
        else this.counters.discards++;
        this.counters.writtenBytes += sectorCount * SECTOR_BYTES;
        this.#model.writeEnds(firstSector, sectorCount, stamp, began, ++this.#now, request.fua);
    }
  }

  /** The request will never be answered. It has taken effect by now, or never will. */
  lose(operation: Operation): void {
    this.#remove(operation);
    const { request, stamp, began } = operation;
    if (changesData(request)) this.#model.writeFails(request.firstSector, request.sectorCount, stamp, began, ++this.#now);
  }

  /** What was not flushed may be lost on all members. A sector may read as anything that it held since the last flush, until it is overwritten. */
  volatileLost(): void {
    this.#model.volatileLost(0, this.#sectorCount, ++this.#now);
  }

  #checkRead({ request, began }: Operation, bytes: Uint8Array): void {
    const stamps = stampsOf(bytes, request.firstSector);
    if (typeof stamps === 'string') {
      this.#violation ??= stamps;
      return;
    }
    assert(stamps.length === request.sectorCount, 'device record: a read returns what it was asked for');
    const now = ++this.#now;
    for (const [index, stamp] of stamps.entries()) this.#model.read(request.firstSector + index, stamp, began, now);
  }

  #remove(operation: Operation): void {
    assert(this.#underWay.delete(operation), `device record: ${describeRequest(operation.request)} is under way`);
    // Requests stand in the order in which they began.
    const oldest: Operation | undefined = this.#underWay.values().next().value;
    this.#model.oldestOperationMs = oldest?.began ?? this.#now;
  }
}

/** A request under way. */
export interface Operation {
  readonly request: DeviceRequest;
  /** Stamp of a write; 0 for everything else. */
  readonly stamp: number;
  /** When it began, on the record's own clock. */
  readonly began: number;
}

/** What has been answered. */
export interface RecordCounters {
  reads: number;
  writes: number;
  discards: number;
  flushes: number;
  errors: number;
  readBytes: number;
  writtenBytes: number;
}

function changesData({ kind }: DeviceRequest): boolean {
  return kind !== RequestKind.READ && kind !== RequestKind.FLUSH;
}
