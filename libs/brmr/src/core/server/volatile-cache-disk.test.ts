import { type DiskExtent, randomBelow, SeededRandom, Status } from '@rmr/runtime';
import { type DiskRequest, MemoryDisk } from '@rmr/testing';
import { diskCompliance } from '@rmr/testing/compliance';
import { beforeEach, describe, expect, test } from 'vitest';
import { VolatileCacheDisk } from './volatile-cache-disk.ts';

const SIZE = 8 * 1024 * 1024;
const KIB = 1024;
/** Small enough that every test of a few megabytes writes pages down by itself. */
const SMALL = { cacheBytesMax: 256 * KIB };

function reopened(disk: MemoryDisk): VolatileCacheDisk {
  disk.abandon();
  return new VolatileCacheDisk(disk);
}

for (const [name, options] of [
  ['that holds everything', {}],
  ['that is small', SMALL],
] as const) {
  diskCompliance(`volatile cache ${name}`, async () => {
    const inner = new MemoryDisk({ sizeBytes: SIZE });
    return { disk: new VolatileCacheDisk(inner, options), reopen: async () => reopened(inner), remove: async () => {} };
  });

  diskCompliance(`volatile cache ${name}, on a disk that answers later and in any order, without features`, async () => {
    const random = new SeededRandom(1);
    const inner = new MemoryDisk({
      sizeBytes: SIZE,
      features: { fastPunch: false, fastZero: false, extents: false },
      schedule: (_request, end) => void setTimeout(end, random.u32() % 3),
    });
    return { disk: new VolatileCacheDisk(inner, options), reopen: async () => reopened(inner), remove: async () => {} };
  });
}

describe('volatile cache', () => {
  let log: string[];
  let holding: boolean;
  let held: (() => void)[];
  let inner: MemoryDisk;
  let disk: VolatileCacheDisk;
  let statuses: Map<number, number>;
  const sink = {
    onDiskDone: (tag: number, status: number) => {
      if (statuses.has(tag)) throw new Error(`request ${tag} was answered twice`);
      statuses.set(tag, status);
    },
  };

  function make(options: { cacheBytesMax?: number } = {}): void {
    log = [];
    holding = false;
    held = [];
    statuses = new Map();
    inner = new MemoryDisk({
      sizeBytes: SIZE,
      schedule: (request: DiskRequest, end) => {
        log.push(`${request.kind} ${request.offsetBytes} ${request.lengthBytes}`);
        if (holding) held.push(end);
        else end();
      },
    });
    disk = new VolatileCacheDisk(inner, options);
  }
  beforeEach(() => make());

  function write(offset: number, value: number, length = 4096, tag = 1): void {
    statuses.delete(tag);
    disk.write(offset, new Uint8Array(length).fill(value), tag, sink);
    disk.submit();
  }
  function flush(tag = 2): void {
    statuses.delete(tag);
    disk.flush(tag, sink);
    disk.submit();
  }
  function read(offset: number, length = 4096): Uint8Array {
    const target = new Uint8Array(length).fill(0xee);
    statuses.delete(3);
    disk.read(offset, target, 3, sink);
    disk.submit();
    return target;
  }
  function extents(): readonly DiskExtent[] {
    let found: readonly DiskExtent[] = [];
    disk.extents(0, SIZE, (_status, result) => {
      found = result;
    });
    return found;
  }
  const free = (): void => {
    for (const end of held.splice(0)) end();
  };

  test('nothing reaches the disk before a flush; then it does, oldest first, and is flushed there', () => {
    write(8192, 1);
    write(0, 2, 100);
    disk.punch(65_536, 8192, 5, sink);
    disk.zero(73_728, 4096, 6, sink);
    disk.submit();
    expect([...statuses.values()]).toEqual([0, 0, 0]);
    expect(log).toEqual([]);
    expect(read(8192)[0]).toBe(1);
    expect(log).toEqual([]);
    expect(disk.volatileBytes).toBe(5 * 4096);
    flush();
    expect(log).toEqual(['write 8192 4096', 'write 0 100', 'punch 65536 8192', 'zero 73728 4096', 'flush 0 0']);
    expect(statuses.get(2)).toBe(Status.OK);
    expect(disk.volatileBytes).toBe(0);
    expect(disk.features.survivesProcessCrash).toBe(false);
    disk.verify();
  });

  test('the death of the process loses what was not flushed, and only that', () => {
    write(0, 1);
    flush();
    write(0, 2);
    write(4096, 3);
    const after = inner.copy();
    expect([after.peek(0, 1)[0], after.peek(4096, 1)[0]]).toEqual([1, 0]);
    expect([read(0)[0], read(4096)[0]]).toEqual([2, 3]);
  });

  test('a part of a page is laid over what the disk has', () => {
    write(0, 1);
    flush();
    write(100, 2, 50);
    write(200, 3, 50);
    disk.punch(120, 10, 5, sink);
    disk.submit();
    const expected = new Uint8Array(4096).fill(1);
    expected.fill(2, 100, 150).fill(0, 120, 130).fill(3, 200, 250);
    expect(read(0)).toEqual(expected);
    log.length = 0;
    flush();
    expect(log).toEqual(['write 100 50', 'write 200 50', 'flush 0 0']);
    expect(inner.peek(0, 4096)).toEqual(expected);
  });

  test('while pages are on their way down, reads see them, and newer changes over them', () => {
    write(0, 1);
    write(4096, 1);
    holding = true;
    flush();
    write(100, 2, 10);
    const during = read(0, 8192);
    // The first page is known in memory, so is the second: nothing is asked of the disk.
    expect(statuses.get(3)).toBe(Status.OK);
    expect([during[99], during[100], during[110], during[4096]]).toEqual([1, 2, 1, 1]);
    expect(statuses.has(2)).toBe(false);
    free();
    expect(statuses.has(2)).toBe(false);
    free();
    expect(statuses.get(2)).toBe(Status.OK);
    expect(inner.peek(100, 1)[0]).toBe(1);
    expect(disk.volatileBytes).toBe(4096);
  });

  test('a read that asked the disk before a page was written down returns the page all the same', () => {
    write(4096, 9);
    holding = true;
    const target = read(0, 8192);
    const [readEnds] = held.splice(0) as [() => void];
    flush();
    free();
    free();
    expect(statuses.get(2)).toBe(Status.OK);
    readEnds();
    expect([statuses.get(3), target[0], target[4096]]).toEqual([Status.OK, 0, 9]);
  });

  test('a flush that is asked for during another one begins after it and covers what came between', () => {
    holding = true;
    write(0, 1);
    flush(2);
    write(4096, 2);
    flush(4);
    flush(5);
    free();
    free();
    expect([statuses.get(2), statuses.get(4)]).toEqual([Status.OK, undefined]);
    free();
    free();
    expect([statuses.get(4), statuses.get(5)]).toEqual([Status.OK, Status.OK]);
    expect(log).toEqual(['write 0 4096', 'flush 0 0', 'write 4096 4096', 'flush 0 0']);
  });

  test('half full, it writes down its oldest pages without a flush; full, it makes changes wait', () => {
    make({ cacheBytesMax: 16 * 4096 });
    holding = true;
    for (let i = 0; i < 9; i++) write(i * 8192, i + 1, 4096, 100 + i);
    expect(log).toEqual([0, 1, 2, 3].map((i) => `write ${i * 8192} 4096`));
    for (let i = 9; i < 20; i++) write(i * 8192, i + 1, 4096, 100 + i);
    expect(statuses.size).toBe(16);
    expect(disk.volatileBytes).toBe(16 * 4096);
    disk.verify();
    flush(2);
    holding = false;
    free();
    expect(statuses.size).toBe(21);
    expect(log.filter((line) => line.startsWith('flush'))).toHaveLength(1);
    for (let i = 0; i < 20; i++) expect(read(i * 8192)[0]).toBe(i + 1);
    disk.verify();
  });

  test('what could not be written down is lost, and the next flush says so, once', () => {
    make({ cacheBytesMax: 16 * 4096 });
    inner.fail('write', Status.ENOSPC);
    for (let i = 0; i < 9; i++) write(i * 8192, 7, 4096, 100 + i);
    expect(read(0)[0]).toBe(0);
    flush();
    expect(statuses.get(2)).toBe(Status.ENOSPC);
    flush();
    expect(statuses.get(2)).toBe(Status.OK);
    inner.fail('flush', Status.EIO);
    write(0, 1);
    flush();
    expect(statuses.get(2)).toBe(Status.EIO);
  });

  test('extents: what is in memory only is data, what was punched in memory only is a hole', () => {
    write(65_536, 1, 65_536);
    flush();
    write(0, 1, 100);
    disk.punch(65_536, 4096, 5, sink);
    disk.submit();
    expect(extents()).toEqual([
      { lengthBytes: 4096, hole: false },
      { lengthBytes: 65_536, hole: true },
      { lengthBytes: 61_440, hole: false },
      { lengthBytes: SIZE - 131_072, hole: true },
    ]);
  });

  test('closing writes everything down, and says what could not be', () => {
    let status = -1;
    write(0, 1);
    disk.close((result) => {
      status = result;
    });
    expect([status, inner.peek(0, 1)[0]]).toEqual([Status.OK, 1]);
    make();
    write(0, 1);
    inner.fail('write', Status.EIO);
    disk.close((result) => {
      status = result;
    });
    expect(status).toBe(Status.EIO);
  });

  test('random requests on a disk that answers in any order: reads see all changes, a flush makes all durable', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = new SeededRandom(seed);
      make({ cacheBytesMax: 64 * 4096 });
      holding = true;
      const size = 1 << 20;
      const model = new Uint8Array(size);
      const settle = (tag: number): void => {
        while (!statuses.has(tag)) held.splice(randomBelow(random, held.length), 1)[0]?.();
      };
      for (let tag = 10; tag < 300; tag++) {
        const offset = randomBelow(random, size - 1);
        const length = Math.min(size - offset, 1 + randomBelow(random, 40_000));
        const kind = randomBelow(random, 8);
        if (kind < 4) {
          const source = new Uint8Array(length).fill(tag & 0xff);
          model.set(source, offset);
          disk.write(offset, source, tag, sink);
        } else if (kind === 4) {
          model.fill(0, offset, offset + length);
          disk[tag % 2 === 0 ? 'punch' : 'zero'](offset, length, tag, sink);
        } else if (kind === 5) {
          disk.flush(tag, sink);
        } else {
          const target = new Uint8Array(length);
          disk.read(offset, target, tag, sink);
          disk.submit();
          settle(tag);
          expect(Buffer.compare(target, model.subarray(offset, offset + length)), `seed ${seed}, request ${tag}`).toBe(0);
        }
        disk.submit();
        settle(tag);
        disk.verify();
        if (kind === 5) expect(Buffer.compare(inner.peek(0, size), model), `seed ${seed}, flush ${tag}`).toBe(0);
      }
    }
  });
});
