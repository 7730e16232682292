import { crc32c, OperationError, randomBelow, SeededRandom, Status } from '@rmr/runtime';
import { MemoryDisk, VirtualWorld } from '@rmr/testing';
import { expect, test } from 'vitest';
import {
  HOME_A_OFFSET,
  HOME_B_OFFSET,
  JOURNAL_OFFSET,
  LAST_IO_OFFSET,
  SUPERBLOCK_A_OFFSET,
  SUPERBLOCK_B_OFFSET,
} from '../format/layout.ts';
import { storeSeed } from '../format/superblock.ts';
import {
  BOOT_1,
  createdDisk,
  diskBytesFor,
  HeldRequests,
  nextLife,
  open,
  opened,
  SMALL_STORE,
  testUuid,
  WALL_MS,
} from '../testing/store-rig.ts';
import type { MetadataChange } from '../types.ts';
import { BitmapStore } from './bitmap-store.ts';
import { type CreateOptions, createStore } from './create-store.ts';
import { inspectStore } from './inspect-store.ts';
import { openStore } from './open-store.ts';

/** How a store is opened here. */
const how = () => ({ bootId: BOOT_1, lifeUuid: nextLife(), wallMs: WALL_MS });

const GARBAGE = new Uint8Array(4096).fill(0xa5);

/** The error of opening, or null. */
function openError(disk: MemoryDisk, expected: { poolUuid?: string; storeUuid?: string } = {}): OperationError | null {
  let result: BitmapStore | OperationError | null = null;
  const world = new VirtualWorld(1);
  openStore(disk, { label: '/disks/a', world, ...how(), ...expected }, (found) => {
    result = found;
  });
  world.run(0);
  expect(result).not.toBeNull();
  return (result as unknown) instanceof OperationError ? result : null;
}

function createError(disk: MemoryDisk, overrides: Partial<CreateOptions> = {}): OperationError | null {
  let result: OperationError | null | undefined;
  createStore(disk, { ...SMALL_STORE, label: '/disks/a', ...overrides }, (error) => {
    result = error;
  });
  expect(result).toBeDefined();
  return result ?? null;
}

/** A disk with a store that has something in journal, home areas, maps and last_io. */
function usedDisk(): MemoryDisk {
  const disk = createdDisk();
  const world = new VirtualWorld(1);
  const store = opened(disk, world);
  for (let i = 0; i < 50; i++) {
    store.commit({ dirtyAdd: [{ memberIds: [i % 3], ranges: [{ offsetBytes: i * 4096 * 700, lengthBytes: 4096 }] }] }, () => {});
    store.commit({ promise: { epoch: i + 1, clientInstance: testUuid(i), clientName: 'client' } }, () => {});
    world.run(0);
  }
  store.recordLastIo(1, 5, 0, 4096);
  store.submitLastIo();
  disk.abandon();
  return disk;
}

test.each<[string, (disk: MemoryDisk) => void, string, RegExp]>([
  [
    'an empty disk',
    (disk) => disk.corrupt(0, new Uint8Array(1 << 20)),
    'STORE_NOT_FORMATTED',
    /holds no store\. If a store was here, .* never brings data back/,
  ],
  [
    'other data',
    (disk) => {
      disk.corrupt(SUPERBLOCK_A_OFFSET, GARBAGE);
      disk.corrupt(SUPERBLOCK_B_OFFSET, GARBAGE);
    },
    'STORE_NOT_FORMATTED',
    /holds no store/,
  ],
  [
    'two superblocks that are both damaged',
    (disk) => {
      disk.corrupt(SUPERBLOCK_A_OFFSET + 100, GARBAGE.subarray(0, 8));
      disk.corrupt(SUPERBLOCK_B_OFFSET + 100, GARBAGE.subarray(0, 8));
    },
    'STORE_DAMAGED',
    /both superblocks are unusable .*checksum.*Keep it as it is.*replace this member's store/,
  ],
  [
    'another format version',
    (disk) => {
      disk.corrupt(SUPERBLOCK_A_OFFSET + 12, Uint8Array.of(3));
      disk.corrupt(SUPERBLOCK_B_OFFSET + 12, Uint8Array.of(3));
    },
    'STORE_VERSION_UNKNOWN',
    /format version 3; this program knows version 2 and older ones.*don't create another one/,
  ],
  [
    'no good copy of the pool metadata',
    (disk) => {
      disk.corrupt(HOME_A_OFFSET, GARBAGE);
      disk.corrupt(HOME_B_OFFSET, GARBAGE);
    },
    'STORE_DAMAGED',
    /both copies of the pool metadata/,
  ],
])('%s is refused with its code, the name of the disk and what to do', (_what, harm, code, text) => {
  const disk = usedDisk();
  harm(disk);
  const error = openError(disk);
  expect(error?.code).toBe(code);
  expect(error?.message).toMatch(text);
  expect(error?.message).toContain('/disks/a');
});

test.each([SUPERBLOCK_A_OFFSET, SUPERBLOCK_B_OFFSET])(
  'one damaged superblock, at %i, is repaired from the other, with a warning',
  (offset) => {
    const disk = usedDisk();
    disk.corrupt(offset, GARBAGE);
    const world = new VirtualWorld(1);
    opened(disk, world);
    expect(world.log.text()).toMatch(/a superblock copy was repaired/);
    disk.abandon();
    disk.corrupt(offset === SUPERBLOCK_A_OFFSET ? SUPERBLOCK_B_OFFSET : SUPERBLOCK_A_OFFSET, GARBAGE);
    expect(openError(disk)).toBeNull();
  },
);

test.each([0, 1, 2, 3, 4])(
  'what a flush that failed while the store was closed has dropped, number %i, is written again by the next process, which reads it from the page cache',
  (skip) => {
    const disk = usedDisk();
    const world = new VirtualWorld(1);
    const store = opened(disk, world);
    disk.fail('flush', Status.EIO, 1, skip);
    store.close(() => {});
    world.run(0);
    disk.abandon();
    disk.clearFaults();
    const next = opened(disk, world);
    next.commit({ promise: { epoch: 99, clientInstance: testUuid(9), clientName: 'client' } }, () => {});
    world.run(0);
    expect(disk.volatileCount).toBe(0);
    disk.crash(new SeededRandom(1));
    expect(opened(disk, world).promise?.epoch).toBe(99);
  },
);

test.each(['the store fails', 'its process is killed'] as const)(
  'I3, I6: a bit whose map page a failed flush has dropped is written again by the next process, which reads it from the page cache, before its record goes: %s',
  (ending) => {
    const disk = createdDisk();
    const world = new VirtualWorld(1);
    let store = opened(disk, world);
    const add = (chunk: number): void => {
      store.commit({ dirtyAdd: [{ memberIds: [1], ranges: [{ offsetBytes: chunk * 4096, lengthBytes: 4096 }] }] }, () => {});
      world.run(0);
    };
    const close = (): void => {
      store.close(() => {});
      world.run(0);
      disk.abandon();
    };
    // The member has its slot in the home record: the map is read when the store is opened.
    add(0);
    close();
    store = opened(disk, world);
    add(40_000);
    let mapWritten = false;
    let ended = false;
    disk.faultOf = ({ kind, offsetBytes }) => {
      if (kind === 'write' && offsetBytes >= store.layout.mapsOffset) mapWritten = true;
      if (kind !== 'flush' || !mapWritten) return Status.OK;
      if (ending === 'its process is killed') disk.hang();
      ended = true;
      return Status.EIO;
    };
    for (let chunk = 1; !ended; chunk++) add(chunk);
    expect(store.failed).toBe(ending === 'the store fails');
    disk.faultOf = null;
    disk.abandon();
    disk.resume();
    store = opened(disk, world);
    expect(store.dirtyMap(1)?.test(40_000)).toBe(true);
    close();
    disk.crash(new SeededRandom(1));
    expect(opened(disk, world).dirtyMap(1)?.test(40_000)).toBe(true);
  },
);

test("a map that was erased while a checkpoint wrote it does not come back as another member's", () => {
  const held = new HeldRequests(1);
  let slow = false;
  const disk = createdDisk().copy({
    schedule: (request, end) =>
      slow && request.kind === 'write' && request.offsetBytes >= store.layout.mapsOffset ? held.schedule(request, end) : end(),
  });
  const world = new VirtualWorld(1);
  let store = opened(disk, world);
  const commit = (change: MetadataChange): void => {
    store.commit(change, (status) => expect(status).toBe(Status.OK));
    world.run(0);
  };
  slow = true;
  for (let chunk = 0; held.waiting.length === 0; chunk++) {
    commit({ dirtyAdd: [{ memberIds: [1], ranges: [{ offsetBytes: chunk * 4096, lengthBytes: 4096 }] }] });
  }
  commit({ dirtyErase: [1] });
  slow = false;
  held.endOne();
  world.run(0);
  // The home record has no member in the slot, so that its map is not read; the page has the bits of the one that was erased.
  disk.abandon();
  store = opened(disk, world);
  commit({ dirtyAdd: [{ memberIds: [2], ranges: [{ offsetBytes: 40_000 * 4096, lengthBytes: 4096 }] }] });
  store.close((status) => expect(status).toBe(Status.OK));
  world.run(0);
  disk.abandon();
  expect(opened(disk, world).dirtyBytes(2)).toBe(4096);
});

test('one copy of a newer format version, whole, decides: the store is not touched', () => {
  const disk = usedDisk();
  const page = disk.peek(SUPERBLOCK_A_OFFSET, 4096);
  page[12] = 9;
  // As a later version would write it: with its checksum.
  disk.corrupt(SUPERBLOCK_A_OFFSET, withChecksum(page));
  expect(openError(disk)?.code).toBe('STORE_VERSION_UNKNOWN');
  disk.abandon();
  expect(disk.peek(SUPERBLOCK_A_OFFSET, 4096)).toEqual(page);
});

function withChecksum(page: Uint8Array): Uint8Array {
  new DataView(page.buffer).setUint32(8, checksum(page.subarray(12)), true);
  return page;
}

/** CRC-32C bit by bit, to check the library's against. */
function checksum(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

test('a record missing in the middle of the journal is damage, not the end of the journal', () => {
  const disk = usedDisk();
  let before = -1;
  inspectStore(disk.copy(), { label: 'x' }, (result) => {
    before = result instanceof OperationError ? -1 : result.journalRecords;
  });
  expect(before).toBeGreaterThan(2);
  // Journal records are one page each here: harm every page in turn, and see that nothing acknowledged vanishes silently.
  const pages = SMALL_STORE.journalBytes as number;
  let refused = 0;
  for (let at = 0; at < pages; at += 4096) {
    const copy = disk.copy();
    copy.corrupt(JOURNAL_OFFSET + at, GARBAGE);
    if (openError(copy)?.code === 'STORE_DAMAGED') refused++;
  }
  expect(refused).toBe(before - 1);
});

test('damaged last_io entries count as lost volatile state', () => {
  const disk = usedDisk();
  disk.corrupt(LAST_IO_OFFSET + 32, GARBAGE.subarray(0, 3));
  const world = new VirtualWorld(1);
  const store = opened(disk, world);
  expect(store.volatileLost).toBe(true);
  expect(store.lastIo()).toEqual([]);
  expect(world.log.text()).toMatch(/last_io has damaged entries/);
});

test('a store whose disk was away remembers that unflushed data may be lost, however it was closed', () => {
  const disk = createdDisk();
  const world = new VirtualWorld(1);
  opened(disk, world).close(() => {});
  world.run(0);
  disk.abandon();
  expect(opened(disk.copy(), world).volatileLost).toBe(false);
  openStore(disk, { label: 'test disk', world, ...how(), doubtful: true }, (store) => {
    expect((store as BitmapStore).volatileLost).toBe(true);
  });
  world.run(0);
  disk.abandon();
  expect(opened(disk, world).volatileLost).toBe(true);
});

test('a store that can be read but not written is refused, and does nothing more', () => {
  const disk = usedDisk();
  disk.fail('write', Status.ENOSPC);
  const world = new VirtualWorld(1);
  let refused: unknown = null;
  openStore(disk, { label: '/disks/a', world, ...how() }, (result) => {
    refused = result;
    disk.close(() => {});
  });
  world.run(60_000);
  expect(refused).toMatchObject({ code: 'NO_SPACE', message: expect.stringContaining('can be read but not written') });
});

test('a store of another pool, or another store of this pool, is refused by name', () => {
  const disk = usedDisk();
  expect(openError(disk, { poolUuid: testUuid(77) })?.code).toBe('STORE_FOREIGN');
  expect(openError(disk, { poolUuid: testUuid(77) })?.message).toMatch(
    /is member 0 of pool "pool" .*not of pool .*leave this store as it is/,
  );
  expect(openError(disk, { poolUuid: SMALL_STORE.poolUuid, storeUuid: testUuid(78) })?.code).toBe('STORE_FOREIGN');
  expect(openError(disk, { poolUuid: SMALL_STORE.poolUuid, storeUuid: SMALL_STORE.storeUuid })).toBeNull();
});

test('a shortened disk is refused, wherever it ends', () => {
  const disk = usedDisk();
  for (const sizeBytes of [diskBytesFor(SMALL_STORE) - 512, 2 << 20, 1 << 20, 8192, 4096]) {
    const copy = disk.copy({ sizeBytes });
    const error = openError(new Shortened(copy, sizeBytes) as unknown as MemoryDisk);
    expect(error?.code, `${sizeBytes} bytes`).toBe('STORE_TOO_SMALL');
  }
  expect(openError(new Shortened(disk.copy(), 100) as unknown as MemoryDisk)?.code).toBe('STORE_NOT_FORMATTED');
});

/** A disk that has become smaller. */
class Shortened {
  readonly sizeBytes: number;
  readonly features;
  readonly #disk: MemoryDisk;

  constructor(disk: MemoryDisk, sizeBytes: number) {
    this.#disk = disk;
    this.sizeBytes = sizeBytes;
    this.features = disk.features;
  }

  read(...args: Parameters<MemoryDisk['read']>): void {
    this.#disk.read(...args);
  }

  write(...args: Parameters<MemoryDisk['write']>): void {
    this.#disk.write(...args);
  }

  flush(...args: Parameters<MemoryDisk['flush']>): void {
    this.#disk.flush(...args);
  }

  submit(): void {
    this.#disk.submit();
  }
}

test('a disk that can not be read, written or flushed gives IO_ERROR', () => {
  for (const kind of ['read', 'write', 'flush'] as const) {
    for (let skip = 0; skip < 3; skip++) {
      const disk = usedDisk();
      // One superblock that can't be read is made good from the other: that is no error.
      disk.fail(kind, Status.EIO, 2, kind === 'read' ? skip + 2 : skip);
      const error = openError(disk);
      if (kind === 'read' || error !== null)
        expect(error?.code, `${kind} ${skip}`).toBe(kind === 'read' && skip === 0 ? 'STORE_DAMAGED' : 'IO_ERROR');
    }
  }
});

test('creating refuses a disk that is too small, has a store, or is not empty; force overrides', () => {
  expect(createError(new MemoryDisk({ sizeBytes: 1 << 20 }))?.code).toBe('STORE_TOO_SMALL');
  const disk = usedDisk();
  expect(createError(disk)?.code).toBe('ALREADY_EXISTS');
  expect(createError(disk)?.message).toMatch(
    /already holds the store \S+ of member 0 of pool "pool" \(\S+\), which has never been in service\. .* destroys it, and what only it has is lost for good/,
  );
  const dirty = new MemoryDisk({ sizeBytes: diskBytesFor(SMALL_STORE) });
  dirty.corrupt(5000, Uint8Array.of(1));
  expect(createError(dirty)?.code).toBe('CONFLICT');
  expect(createError(dirty)?.message).toMatch(/data at offset 5000\. .* find out first what it is/);
  const tail = new MemoryDisk({ sizeBytes: diskBytesFor(SMALL_STORE) });
  tail.corrupt(tail.sizeBytes - 1, Uint8Array.of(1));
  expect(createError(tail)?.code).toBe('CONFLICT');
  expect(createError(tail, { force: true, data: 'erase' })).toBeNull();
  expect(tail.peek(tail.sizeBytes - 1, 1)[0]).toBe(0);
  expect(opened(tail).superblock.createdZeroed).toBe(true);
});

test('creating refuses a store by what it holds: its version, or that its metadata can not be read', () => {
  const disk = usedDisk();
  const world = new VirtualWorld(1);
  const store = opened(disk, world);
  const inSync = [3, 1].map((memberId) => ({ memberId, storeUuid: testUuid(memberId) }));
  store.commit({ version: { lineageUuid: testUuid(1), epoch: 7, seq: 2, inSync, horizon: 0 } }, () => {});
  world.run(0);
  disk.abandon();
  expect(createError(disk)?.message).toContain(
    'which has recorded version 7.2 with members 1, 3 in sync. Creating another one destroys it',
  );
  disk.corrupt(HOME_A_OFFSET, GARBAGE);
  disk.corrupt(HOME_B_OFFSET, GARBAGE);
  expect(createError(disk)?.message).toContain('of pool "pool"');
  expect(createError(disk)?.message).toContain('the rest of which can not be read (STORE_DAMAGED). Creating another one destroys it');
  for (const offset of [SUPERBLOCK_A_OFFSET, SUPERBLOCK_B_OFFSET]) disk.corrupt(offset + 12, Uint8Array.of(77));
  expect(createError(disk)?.message).toContain('already holds a store that this program can not read. Creating another one destroys it');
});

test("creating a witness's store needs room for its metadata only, and says so", () => {
  const disk = new MemoryDisk({ sizeBytes: diskBytesFor({ ...SMALL_STORE, witness: true }) - 4096 });
  expect(createError(disk, { witness: true })?.code).toBe('STORE_TOO_SMALL');
  expect(createError(disk, { witness: true })?.message).toMatch(/a witness's store for a device of 256 MiB needs 2097152/);
  const old = usedDisk();
  expect(createError(old, { witness: true, data: 'erase', force: true })).toBeNull();
  expect(opened(old).superblock.witness).toBe(true);
  inspectStore(old, { label: '/disks/a' }, (result) => {
    if (result instanceof OperationError) throw result;
    expect(result).toMatchObject({
      witness: true,
      policy: { quorum: 'none', highestMemberId: 0, formerLineages: [] },
      totalBytes: result.dataOffset,
    });
  });
});

test('creating over an old store leaves nothing of it, whatever the data', () => {
  for (const data of ['erase', 'keep'] as const) {
    const disk = usedDisk();
    disk.corrupt(disk.sizeBytes - 1, Uint8Array.of(7));
    expect(createError(disk, { force: true, data, storeUuid: testUuid(99), journalBytes: 256 << 10 })).toBeNull();
    const store = opened(disk);
    expect(store.superblock.storeUuid).toBe(testUuid(99));
    expect(store.promise).toBeNull();
    expect(store.mappedMemberIds()).toEqual([]);
    expect(store.superblock.createdZeroed).toBe(data === 'erase');
    expect(disk.peek(disk.sizeBytes - 1, 1)[0]).toBe(data === 'erase' ? 0 : 7);
  }
});

test('a creation that power loss cuts short leaves no store, or the whole one', () => {
  const random = new SeededRandom(5);
  let none = 0;
  let whole = 0;
  for (let stop = 0; stop < 60; stop++) {
    let left = stop;
    const waiting: (() => void)[] = [];
    const old = usedDisk();
    const disk = old.copy({ schedule: (_request, end) => (left-- > 0 ? end() : waiting.push(end)) });
    createStore(disk, { ...SMALL_STORE, storeUuid: testUuid(99), data: 'erase', force: true }, () => {});
    const result = open(disk.crashImage(random), new VirtualWorld(1));
    if (result instanceof BitmapStore) {
      // Before the first superblock is gone the old store may still be there, whole.
      if (result.superblock.storeUuid === testUuid(99)) whole++;
      else expect(stop).toBeLessThan(4);
    } else {
      expect(['STORE_NOT_FORMATTED', 'STORE_DAMAGED']).toContain(result.code);
      none++;
    }
  }
  expect(none).toBeGreaterThan(3);
  expect(whole).toBeGreaterThan(3);
});

test.each<[string, Partial<CreateOptions>]>([
  ['a UUID in capitals', { storeUuid: testUuid(0xabc).toUpperCase() }],
  ['no pool name', { poolName: '' }],
  ['a pool name of 256 bytes', { poolName: 'x'.repeat(256) }],
  ['a member id of 256', { memberId: 256 }],
  ['chunks of 5000 bytes', { chunkSizeBytes: 5000 }],
  ['data that a witness should keep', { witness: true, data: 'keep' }],
])('creating with %s is INVALID_ARGUMENT', (_what, overrides) => {
  expect(createError(new MemoryDisk({ sizeBytes: diskBytesFor(SMALL_STORE) }), overrides)?.code).toBe('INVALID_ARGUMENT');
});

test('a full file system while creating is NO_SPACE', () => {
  const disk = new MemoryDisk({ sizeBytes: diskBytesFor(SMALL_STORE), capacityBytes: 100_000 });
  expect(createError(disk)?.code).toBe('NO_SPACE');
});

test('inspecting changes nothing and says what opening finds', () => {
  const disk = usedDisk();
  const writes = disk.ended.write + disk.ended.flush;
  inspectStore(disk, { label: '/disks/a' }, (result) => {
    if (result instanceof OperationError) throw result;
    expect(result.promise?.epoch).toBe(50);
    expect(result.lastIo).toHaveLength(1);
    expect(result.dirty.map((entry) => entry.chunks)).toEqual([17, 17, 16]);
    expect(result.cleanShutdown).toBe(false);
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
  });
  expect(disk.ended.write + disk.ended.flush).toBe(writes);
});

test('fuzz: whatever is on the disk, opening ends, with a store or an OperationError', () => {
  const random = new SeededRandom(Number(process.env['FUZZ_SEED'] ?? 11));
  const good = usedDisk();
  const layout = opened(good.copy()).layout;
  const areas = [
    [0, 4096],
    [SUPERBLOCK_B_OFFSET, 4096],
    [HOME_A_OFFSET, 4096],
    [HOME_B_OFFSET, 4096],
    [LAST_IO_OFFSET, 1024],
    [JOURNAL_OFFSET, layout.journalBytes],
    [layout.mapsOffset, layout.mapBytes * 6],
  ] as const;
  const codes = new Map<string, number>();
  for (let i = 0; i < 400; i++) {
    const disk = good.copy();
    for (let changes = 1 + randomBelow(random, 4); changes > 0; changes--) {
      const [offset, length] = areas[randomBelow(random, areas.length)] as readonly [number, number];
      const at = offset + randomBelow(random, length);
      const bytes = new Uint8Array(1 + randomBelow(random, Math.min(64, offset + length - at)));
      for (let b = 0; b < bytes.length; b++) bytes[b] = randomBelow(random, 3) === 0 ? 0 : random.u32();
      disk.corrupt(at, bytes);
    }
    const error = openError(disk);
    const code = error?.code ?? 'opened';
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  expect(codes.get('opened')).toBeGreaterThan(20);
  expect(codes.get('STORE_DAMAGED')).toBeGreaterThan(20);
}, 60_000);

test('fuzz: records with right checksums and wrong content are refused or harmless, never a bug', () => {
  const random = new SeededRandom(Number(process.env['FUZZ_SEED'] ?? 12));
  const good = usedDisk();
  const seed = storeSeed(SMALL_STORE.storeUuid);
  const records: number[] = [HOME_A_OFFSET, HOME_B_OFFSET];
  for (let at = 0; at < (SMALL_STORE.journalBytes as number); at += 4096) records.push(JOURNAL_OFFSET + at);
  const codes = new Map<string, number>();
  for (let i = 0; i < 600; i++) {
    const disk = good.copy();
    const offset = records[randomBelow(random, records.length)] as number;
    const page = disk.peek(offset, 4096);
    const view = new DataView(page.buffer);
    const length = Math.min(view.getUint32(24, true), 4096);
    if (length < 72) continue;
    for (let changes = 1 + randomBelow(random, 3); changes > 0; changes--) {
      const at = 8 + randomBelow(random, length - 8);
      page[at] = randomBelow(random, 2) === 0 ? random.u32() & 0xff : (page[at] as number) ^ (1 << randomBelow(random, 8));
    }
    const claimed = Math.min(view.getUint32(24, true), 4096);
    if (claimed > 8) view.setUint32(4, crc32c(page.subarray(8, claimed), seed), true);
    disk.corrupt(offset, page);
    const error = openError(disk);
    const code = error?.code ?? 'opened';
    codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  expect(codes.get('opened')).toBeGreaterThan(20);
  expect(codes.get('STORE_DAMAGED')).toBeGreaterThan(20);
}, 60_000);
