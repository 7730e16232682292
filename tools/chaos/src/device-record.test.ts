import { beforeEach, describe, expect, test } from 'vitest';
import { DeviceRecord, type Operation } from './device-record.ts';
import { RequestKind } from './device-request.ts';
import { stampedSectors } from './stamp.ts';

const SECTORS = 16;

let record: DeviceRecord;
beforeEach(() => {
  record = new DeviceRecord(SECTORS);
});

function begin(kind: RequestKind, firstSector = 0, sectorCount = 1, fua = false): Operation {
  return record.begin({ kind, fua, firstSector, sectorCount });
}

function written(firstSector = 0, sectorCount = 1, fua = false): Operation {
  const operation = begin(RequestKind.WRITE, firstSector, sectorCount, fua);
  record.end(operation, 0, null);
  return operation;
}

function flushed(): void {
  record.end(begin(RequestKind.FLUSH, 0, 0), 0, null);
}

/** A read of one sector that returns the write with this stamp. */
function readReturns(stamp: number, sector = 0): void {
  const bytes = stamp === 0 ? new Uint8Array(512) : stampedSectors(sector, 1, stamp);
  record.end(begin(RequestKind.READ, sector), 0, bytes);
}

describe('device record', () => {
  test('a device that behaves violates nothing', () => {
    readReturns(0);
    const { stamp } = written(2, 4);
    readReturns(stamp, 2);
    readReturns(stamp, 5);
    record.end(begin(RequestKind.TRIM, 3), 0, null);
    readReturns(0, 3);
    flushed();
    expect(record.violation).toBeNull();
    expect(record.counters).toEqual({ reads: 4, writes: 1, discards: 1, flushes: 1, errors: 0, readBytes: 2048, writtenBytes: 2560 });
    expect(record.underWay.size).toBe(0);
  });

  test('an acknowledged write that is not there is a loss', () => {
    written(2);
    readReturns(0, 2);
    expect(record.violation).toMatch(/^sector 2: .*a read returned 0, which was overwritten/);
  });

  test('one that comes back after it was overwritten is stale', () => {
    const old = written();
    written();
    readReturns(old.stamp);
    expect(record.violation).toContain(`a read returned ${old.stamp}, which was overwritten`);
  });

  test('a write under way may be read or not, but not gone again once it was seen', () => {
    const old = written();
    const { stamp } = begin(RequestKind.WRITE);
    readReturns(old.stamp);
    readReturns(stamp);
    expect(record.violation).toBeNull();
    readReturns(old.stamp);
    // It had been replaced, as a read has shown; only the write itself is still under way.
    expect(record.violation).toContain(`a read returned ${old.stamp}`);
  });

  test('a write that was lost with its connection is there or not, and does not flip', () => {
    const old = written();
    const lost = begin(RequestKind.WRITE);
    record.lose(lost);
    readReturns(old.stamp);
    expect(record.violation).toBeNull();
    readReturns(lost.stamp);
    expect(record.violation).toContain(`a read returned ${lost.stamp}`);
  });

  test('a write that failed may have happened', () => {
    written();
    const failed = begin(RequestKind.WRITE);
    record.end(failed, 5, null);
    readReturns(failed.stamp);
    expect(record.violation).toBeNull();
    expect(record.counters.errors).toBe(1);
  });

  test('a power loss may take what was not flushed, and nothing else', () => {
    const kept = written();
    flushed();
    const taken = written();
    record.volatileLost();
    readReturns(kept.stamp);
    expect(record.violation).toBeNull();
    readReturns(taken.stamp);
    expect(record.violation).not.toBeNull();
  });

  test('a power loss brings nothing back that was durably overwritten', () => {
    const old = written();
    written(0, 1, true);
    record.volatileLost();
    readReturns(old.stamp);
    expect(record.violation).toContain('was overwritten');
  });

  test('a flush that began before a write does not cover it', () => {
    const old = written();
    flushed();
    const flush = begin(RequestKind.FLUSH, 0, 0);
    written();
    record.end(flush, 0, null);
    record.volatileLost();
    readReturns(old.stamp);
    expect(record.violation).toBeNull();
  });

  test('a flush that failed says that what was written before it may be lost, also after a later flush', () => {
    const old = written();
    flushed();
    const taken = written();
    record.end(begin(RequestKind.FLUSH, 0, 0), 5, null);
    flushed();
    record.volatileLost();
    readReturns(old.stamp);
    expect(record.violation).toBeNull();
    readReturns(taken.stamp);
    expect(record.violation).not.toBeNull();
  });

  test('a sector that holds another one’s bytes is named', () => {
    written(3);
    record.end(begin(RequestKind.READ, 4), 0, stampedSectors(3, 1, 1));
    expect(record.violation).toBe('sector 4: holds what was written to sector 3 with stamp 1');
  });

  test('a request ends once', () => {
    const operation = written();
    expect(() => record.end(operation, 0, null)).toThrow('is under way');
  });
});
