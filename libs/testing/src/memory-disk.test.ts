import { SeededRandom, Status } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { diskCompliance } from './disk-compliance.ts';
import { MemoryDisk } from './memory-disk.ts';
import { VirtualWorld } from './virtual-world.ts';

const SIZE = 8 * 1024 * 1024;

function fresh(disk: MemoryDisk): MemoryDisk {
  disk.abandon();
  return disk;
}

diskCompliance('memory', async () => {
  const disk = new MemoryDisk({ sizeBytes: SIZE });
  return { disk, reopen: async () => fresh(disk), remove: async () => {} };
});

diskCompliance('memory, answering later and in any order, without features', async () => {
  const random = new SeededRandom(1);
  const disk = new MemoryDisk({
    sizeBytes: SIZE,
    features: { fastPunch: false, fastZero: false, extents: false },
    schedule: (_request, end) => void setTimeout(end, random.u32() % 3),
  });
  return { disk, reopen: async () => fresh(disk), remove: async () => {} };
});

describe('memory disk', () => {
  const statuses: number[] = [];
  const sink = { onDiskDone: (_tag: number, status: number) => void statuses.push(status) };
  const take = (): number[] => statuses.splice(0);

  function write(disk: MemoryDisk, offset: number, value: number, length = 4096): void {
    disk.write(offset, new Uint8Array(length).fill(value), 0, sink);
    disk.submit();
  }

  function flush(disk: MemoryDisk): void {
    disk.flush(0, sink);
    disk.submit();
  }

  test('a power loss keeps what was flushed, and any sectors of the rest', () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 200; seed++) {
      const disk = new MemoryDisk({ sizeBytes: SIZE });
      write(disk, 0, 1);
      flush(disk);
      write(disk, 0, 2, 1024);
      write(disk, 512, 3, 512);
      disk.crash(new SeededRandom(seed));
      const sectors = [0, 512, 1024].map((at) => disk.peek(at, 1)[0]);
      seen.add(sectors.join());
      expect(disk.peek(1024, 3072).every((byte) => byte === 1)).toBe(true);
      expect(disk.volatileCount).toBe(0);
    }
    // First sector: old or new. Second: old, the first or the second write.
    expect([...seen].sort()).toEqual(['1,1,1', '1,2,1', '1,3,1', '2,1,1', '2,2,1', '2,3,1']);
    take();
  });

  test('a write that ends after a flush was asked for is not covered by it', () => {
    const ends: (() => void)[] = [];
    const disk = new MemoryDisk({ sizeBytes: SIZE, schedule: (_request, end) => void ends.push(end) });
    flush(disk);
    write(disk, 0, 9);
    ends[1]?.();
    ends[0]?.();
    expect(disk.volatileCount).toBe(1);
    take();
  });

  test('a process crash answers nothing more and keeps what had ended', () => {
    const ends: (() => void)[] = [];
    const disk = new MemoryDisk({ sizeBytes: SIZE, schedule: (_request, end) => void ends.push(end) });
    write(disk, 0, 1);
    write(disk, 4096, 2);
    ends[0]?.();
    take();
    disk.abandon();
    ends[1]?.();
    expect(take()).toEqual([]);
    expect([disk.peek(0, 1)[0], disk.peek(4096, 1)[0]]).toEqual([1, 0]);
  });

  test('injected errors hit what they should, as often as they should', () => {
    const disk = new MemoryDisk({ sizeBytes: SIZE });
    disk.fail('write', Status.EIO, 2, 1);
    for (let i = 0; i < 4; i++) write(disk, 0, i);
    expect(take()).toEqual([Status.OK, Status.EIO, Status.EIO, Status.OK]);
    disk.breakRange(4096, 512);
    const read = (): void => {
      disk.read(4000, new Uint8Array(200), 0, sink);
      disk.submit();
    };
    read();
    write(disk, 4096, 1);
    read();
    expect(take()).toEqual([Status.EIO, Status.OK, Status.OK]);
  });

  test('bad sectors are the medium’s: the next process and the next boot find them, until each is written as a whole', () => {
    let disk = new MemoryDisk({ sizeBytes: SIZE });
    write(disk, 0, 1);
    flush(disk);
    disk.breakRange(512, 1024);
    disk.crash(new SeededRandom(1));
    disk = disk.copy();
    const read = (offset: number): void => {
      disk.read(offset, new Uint8Array(512), 0, sink);
      disk.submit();
    };
    write(disk, 512, 2, 512);
    write(disk, 1024, 2, 100);
    take();
    for (const offset of [0, 512, 1024, 1536]) read(offset);
    expect(take()).toEqual([Status.OK, Status.OK, Status.EIO, Status.OK]);
    expect([disk.isBroken(1535, 1), disk.isBroken(1536, 100)]).toEqual([true, false]);
    disk.repair();
    read(1024);
    expect(take()).toEqual([Status.OK]);
  });

  test('a write that fails may be there in part, sector by sector', () => {
    const disk = new MemoryDisk({ sizeBytes: SIZE, tearFailedWrites: new SeededRandom(1) });
    disk.fail('write', Status.EIO);
    write(disk, 0, 7, 64 * 512);
    expect(take()).toEqual([Status.EIO]);
    const sectors = Array.from({ length: 64 }, (_, sector) => new Set(disk.peek(sector * 512, 512)));
    expect(sectors.every((bytes) => bytes.size === 1)).toBe(true);
    const written = sectors.filter((bytes) => bytes.has(7)).length;
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThan(64);
  });

  test('faults that have not struck can be called off', () => {
    const disk = new MemoryDisk({ sizeBytes: SIZE });
    disk.fail('write', Status.EIO);
    disk.fail('flush', Status.EIO);
    write(disk, 0, 1);
    expect(disk.faultsDue).toBe(1);
    disk.clearFaults();
    flush(disk);
    expect(take()).toEqual([Status.EIO, Status.OK]);
  });

  test('a flush that failed forgets what it should have made durable, though reads still show it', () => {
    const disk = new MemoryDisk({ sizeBytes: SIZE });
    write(disk, 0, 7);
    disk.fail('flush', Status.EIO);
    flush(disk);
    flush(disk);
    expect(take()).toEqual([Status.OK, Status.EIO, Status.OK]);
    expect(disk.peek(0, 1)[0]).toBe(7);
    disk.crash(new SeededRandom(1));
    expect(disk.peek(0, 1)[0]).toBe(0);
  });

  test('sectors that are worn out behind the cache: it takes what they do not, and the flush fails, which loses that and nothing else', () => {
    const disk = new MemoryDisk({ sizeBytes: SIZE });
    write(disk, 0, 1, 12_288);
    flush(disk);
    disk.wearOutBehindCache(4096, 1);
    write(disk, 0, 2, 12_288);
    expect(disk.losesAtFlush).toBe(true);
    flush(disk);
    expect([take(), disk.losesAtFlush]).toEqual([[0, 0, 0, Status.EIO], false]);
    expect(disk.peek(4096, 1)[0]).toBe(2);
    const durable = disk.peekDurable(0, 12_288);
    expect([durable[0], durable[4095], durable[4096], durable[4607], durable[4608], durable[12_287]]).toEqual([2, 2, 1, 1, 2, 2]);
    // The next flush knows nothing of it. What goes past the cache fails by itself, and no flush for it; a hole needs no sector.
    flush(disk);
    disk.write(4096, new Uint8Array(512).fill(3), 0, sink, true);
    disk.write(8192, new Uint8Array(512).fill(3), 0, sink, true);
    disk.punch(4096, 4096, 0, sink, true);
    disk.submit();
    flush(disk);
    expect([take(), disk.peekDurable(4096, 1)[0]]).toEqual([[0, Status.EIO, 0, 0, 0], 0]);
    // No power loss brings there what the sector did not take.
    write(disk, 4096, 4, 512);
    for (let seed = 0; seed < 20; seed++) expect(disk.crashImage(new SeededRandom(seed)).peek(4096, 1)[0]).toBe(0);
    disk.repair();
    flush(disk);
    expect([take(), disk.peekDurable(4096, 1)[0]]).toEqual([[0, 0], 4]);
  });

  test('a full disk refuses new pages and takes back what is discarded', () => {
    const disk = new MemoryDisk({ sizeBytes: SIZE, capacityBytes: 8192 });
    write(disk, 0, 1, 8192);
    write(disk, 8192, 1);
    write(disk, 4096, 2);
    disk.punch(0, 4096, 0, sink);
    disk.submit();
    write(disk, 8192, 3);
    expect(take()).toEqual([Status.OK, Status.ENOSPC, Status.OK, Status.OK, Status.OK]);
    expect(disk.allocatedBytes).toBe(8192);
  });

  test('space that was reserved or allocated stays when the disk fills up, until it is punched; zeroes keep it', () => {
    const disk = new MemoryDisk({ sizeBytes: SIZE });
    disk.allocate(0, 4096, 0, sink);
    disk.submit();
    disk.full = true;
    write(disk, 0, 1);
    disk.zero(0, 4096, 0, sink);
    disk.submit();
    write(disk, 0, 2);
    expect(take()).toEqual([Status.OK, Status.OK, Status.OK, Status.OK]);
    expect(disk.reserve(0, 8192, 0, sink)).toBe(false);
    expect(disk.reserve(0, 4096, 0, sink)).toBe(false);
    disk.submit();
    disk.zero(4096, 4096, 0, sink);
    disk.allocate(4096, 4096, 0, sink);
    disk.punch(0, 4096, 0, sink);
    disk.submit();
    write(disk, 0, 3);
    expect(take()).toEqual([Status.ENOSPC, Status.OK, Status.ENOSPC, Status.ENOSPC, Status.OK, Status.ENOSPC]);
    expect(disk.space.freeBytes).toBe(0);
    disk.full = false;
    expect(disk.reserve(0, 4096, 0, sink)).toBe(true);
    write(disk, 0, 4);
    expect(take()).toEqual([Status.OK]);
  });

  test('a disk that hangs answers when it goes on, and latency is the virtual world’s', () => {
    const world = new VirtualWorld(1);
    const disk = new MemoryDisk({ sizeBytes: SIZE, schedule: (_request, end) => void world.after(5, end) });
    disk.hang();
    write(disk, 0, 1);
    world.run(1000);
    expect(take()).toEqual([]);
    disk.resume();
    world.run(4);
    expect(take()).toEqual([]);
    world.run(1);
    expect(take()).toEqual([Status.OK]);
  });

  test('copies and crash images share nothing that changes', () => {
    const disk = new MemoryDisk({ sizeBytes: SIZE });
    write(disk, 0, 1);
    flush(disk);
    const copy = disk.copy();
    const image = disk.crashImage(new SeededRandom(1));
    write(copy, 0, 2);
    write(image, 0, 3);
    write(disk, 0, 4);
    expect([disk, copy, image].map((each) => each.peek(0, 1)[0])).toEqual([4, 2, 3]);
    take();
  });
});
