import { OperationError, SeededRandom, Status } from '@rmr/runtime';
import { MemoryDisk, VirtualWorld } from '@rmr/testing';
import { expect, test } from 'vitest';
import { createdDisk, diskBytesFor, HeldRequests, opened, SMALL_STORE, testUuid } from '../testing/store-rig.ts';
import { createStore } from './create-store.ts';
import { inspectStore, type StoreInspection } from './inspect-store.ts';
import { STORE_HEAD_BYTES, storeRemains, type WipeOptions, wipeStore } from './wipe-store.ts';

const { storeUuid } = SMALL_STORE;
const ZEROES = new Uint8Array(2 << 20);
const NO_PUNCH = { fastPunch: false, fastZero: false };

function wipe(disk: MemoryDisk, options: Partial<WipeOptions> = {}): OperationError | null | undefined {
  let result: OperationError | null | undefined;
  wipeStore(disk, { label: '/disks/a', storeUuid, ...options }, (error) => {
    result = error;
  });
  return result;
}

function look(disk: MemoryDisk): StoreInspection | OperationError {
  let result: StoreInspection | OperationError | null = null;
  inspectStore(disk, { label: '/disks/a' }, (found) => {
    result = found;
  });
  if (result === null) throw new Error('looking did not end');
  return result;
}

function bytesOf(disk: MemoryDisk, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  disk.read(offset, bytes, 0, { onDiskDone: (_tag, status) => expect(status).toBe(Status.OK) });
  disk.submit();
  return bytes;
}

function isZero(disk: MemoryDisk): boolean {
  const tail = disk.sizeBytes - (1 << 20);
  return [bytesOf(disk, 0, STORE_HEAD_BYTES), bytesOf(disk, tail, 1 << 20)].every(
    (bytes) => Buffer.compare(bytes, ZEROES.subarray(0, bytes.length)) === 0,
  );
}

function write(disk: MemoryDisk, offset: number, bytes: Uint8Array): void {
  disk.write(offset, bytes, 0, { onDiskDone: () => {} });
  disk.flush(0, { onDiskDone: () => {} });
  disk.submit();
}

/** A store that has been opened, with data at its start and its end. */
function usedDisk(): MemoryDisk {
  const disk = createdDisk();
  const world = new VirtualWorld(1);
  const store = opened(disk, world);
  store.commit({ promise: { epoch: 3, clientInstance: testUuid(9), clientName: 'client' } }, () => {});
  world.run(0);
  disk.abandon();
  write(disk, disk.sizeBytes - 8192, new Uint8Array(8192).fill(7));
  write(disk, disk.sizeBytes - (200 << 20), new Uint8Array(8192).fill(7));
  return disk;
}

test('a disk that frees space is empty after wiping, and wiping it again does nothing', () => {
  const disk = usedDisk();
  expect(wipe(disk)).toBe(null);
  expect(isZero(disk)).toBe(true);
  // The page of superblock A is written with zeroes.
  expect(disk.allocatedBytes).toBe(4096);
  expect(disk.volatileCount).toBe(0);
  expect(wipe(disk)).toBe(null);
});

test('a disk that frees no space has no metadata and reads as empty at both ends after wiping; a store can be made there without force', () => {
  const disk = usedDisk().copy({ features: NO_PUNCH });
  expect(wipe(disk)).toBe(null);
  expect(isZero(disk)).toBe(true);
  let result: OperationError | null | undefined;
  createStore(disk, { ...SMALL_STORE, data: 'erase' }, (error) => {
    result = error;
  });
  expect(result).toBe(null);
});

test.each<[string, () => MemoryDisk, Partial<WipeOptions>, string]>([
  ['another store', usedDisk, { storeUuid: testUuid(77) }, 'STORE_FOREIGN'],
  [
    'something that is no store',
    () => {
      const disk = new MemoryDisk({ sizeBytes: 8 << 20 });
      write(disk, 70_000, Uint8Array.of(1));
      return disk;
    },
    {},
    'STORE_FOREIGN',
  ],
  [
    'a store of which both superblocks are damaged',
    () => {
      const disk = usedDisk();
      for (const at of [1000, (1 << 20) - 1000]) write(disk, at, Uint8Array.of(1));
      return disk;
    },
    {},
    'STORE_DAMAGED',
  ],
])('%s is not wiped', (_what, make, options, code) => {
  const disk = make();
  const before = bytesOf(disk, 0, STORE_HEAD_BYTES);
  expect(wipe(disk, options)).toMatchObject({ code });
  expect(Buffer.compare(before, bytesOf(disk, 0, STORE_HEAD_BYTES))).toBe(0);
});

test('a store of which both superblocks are damaged is wiped when that is asked for', () => {
  const disk = usedDisk();
  for (const at of [1000, (1 << 20) - 1000]) write(disk, at, Uint8Array.of(1));
  expect(wipe(disk, { damaged: true })).toBe(null);
  expect(isZero(disk)).toBe(true);
});

test.each(['read', 'write', 'punch', 'flush'] as const)('a %s that fails is told, and the store can be wiped again', (kind) => {
  const disk = usedDisk();
  disk.fail(kind, Status.EIO);
  expect(wipe(disk)).toMatchObject({ code: 'IO_ERROR' });
  expect(wipe(disk)).toBe(null);
  expect(isZero(disk)).toBe(true);
});

/** Disks as a power loss leaves them, after each number of requests of a procedure and with several fates of what was not flushed. */
function* crashes(make: (schedule: HeldRequests['schedule']) => { disk: MemoryDisk; begin: () => void }): Generator<[string, MemoryDisk]> {
  for (let steps = 0; ; steps++) {
    const held = new HeldRequests(1);
    const { disk, begin } = make(held.schedule);
    begin();
    let left = steps;
    while (left > 0 && held.endOne()) left--;
    for (let seed = 0; seed < 8; seed++) yield [`${steps} requests, seed ${seed}`, disk.crashImage(new SeededRandom(seed))];
    if (left > 0) return;
  }
}

test.each([
  ['a disk that frees space', {}],
  ['a disk that does not', NO_PUNCH],
])('a wiping that is cut short leaves the whole store, or none; and it can go on: %s', (_what, features) => {
  const used = usedDisk();
  const before = look(used);
  const seen = new Set<string>();
  const make = (schedule: HeldRequests['schedule']) => {
    const disk = used.copy({ schedule, features });
    return { disk, begin: () => wipeStore(disk, { label: 'disk', storeUuid }, () => {}) };
  };
  for (const [when, disk] of crashes(make)) {
    const found = look(disk);
    const remains = storeRemains(bytesOf(disk, 0, STORE_HEAD_BYTES));
    if (found instanceof OperationError) {
      expect([when, found.code]).toEqual([when, 'STORE_NOT_FORMATTED']);
      // The mark goes last, when everything else is gone.
      if (!isZero(disk)) expect([when, remains]).toEqual([when, { kind: 'wiping', storeUuid }]);
      seen.add(remains === null ? 'empty' : 'wiping');
    } else {
      expect({ ...found, damagedSuperblocks: [] }).toEqual({ ...before, damagedSuperblocks: [] });
      expect(remains).toBe(null);
      seen.add('whole');
    }
    expect([when, wipe(disk)]).toEqual([when, null]);
    expect([when, isZero(disk)]).toEqual([when, true]);
  }
  expect([...seen].sort()).toEqual(['empty', 'whole', 'wiping']);
});

test('a creation that is cut short is told from a store that holds something', () => {
  const seen = new Set<string>();
  const make = (schedule: HeldRequests['schedule']) => {
    const disk = new MemoryDisk({ sizeBytes: diskBytesFor(SMALL_STORE), schedule });
    return { disk, begin: () => createStore(disk, { ...SMALL_STORE, data: 'erase' }, () => {}) };
  };
  for (const [when, disk] of crashes(make)) {
    const found = look(disk);
    const remains = storeRemains(bytesOf(disk, 0, STORE_HEAD_BYTES));
    if (!(found instanceof OperationError)) {
      expect([when, remains]).toEqual([when, null]);
      seen.add('whole');
    } else if (isZero(disk)) {
      expect([when, remains]).toEqual([when, null]);
      seen.add('empty');
    } else {
      expect([when, found.code, remains]).toEqual([when, found.code, { kind: 'unfinished', storeUuid }]);
      seen.add(found.code);
    }
    expect([when, wipe(disk)]).toEqual([when, null]);
    expect([when, isZero(disk)]).toEqual([when, true]);
  }
  expect([...seen].sort()).toEqual(['STORE_NOT_FORMATTED', 'empty', 'whole']);
});

test('a creation that keeps data leaves nothing that says that it may be made again', () => {
  const make = (schedule: HeldRequests['schedule']) => {
    const disk = new MemoryDisk({ sizeBytes: diskBytesFor(SMALL_STORE), schedule });
    return { disk, begin: () => createStore(disk, { ...SMALL_STORE, data: 'keep' }, () => {}) };
  };
  for (const [when, disk] of crashes(make)) expect([when, storeRemains(bytesOf(disk, 0, STORE_HEAD_BYTES))]).toEqual([when, null]);
});

test('a store that has lost its superblocks is never taken for one that is unfinished', () => {
  const disk = usedDisk();
  for (const at of [0, (1 << 20) - 4096]) write(disk, at, new Uint8Array(4096));
  expect(storeRemains(bytesOf(disk, 0, STORE_HEAD_BYTES))).toBe(null);
});

test('the rest of another store is not wiped, and remains that are damaged say nothing', () => {
  const disk = usedDisk();
  disk.fail('punch', Status.EIO);
  expect(wipe(disk)).toMatchObject({ code: 'IO_ERROR' });
  expect(storeRemains(bytesOf(disk, 0, STORE_HEAD_BYTES))).toEqual({ kind: 'wiping', storeUuid });
  expect(wipe(disk, { storeUuid: testUuid(77) })).toMatchObject({ code: 'STORE_FOREIGN' });
  write(disk, 20, Uint8Array.of(9));
  expect(storeRemains(bytesOf(disk, 0, STORE_HEAD_BYTES))).toBe(null);
});
