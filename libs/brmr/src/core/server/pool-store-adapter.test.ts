import { type CreateOptions, createStore, openStore } from '@rmr/bitmap-store';
import { DirtyMap } from '@rmr/dirty-map';
import type { MetadataChange } from '@rmr/rmr';
import { type DiskFeatures, type OperationError, Status } from '@rmr/runtime';
import { type DiskRequest, MemoryDisk, VirtualWorld } from '@rmr/testing';
import { beforeEach, expect, test } from 'vitest';
import { PoolStoreAdapter } from './pool-store-adapter.ts';

const SIZE = 16 * 1024 * 1024;
const uuid = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;

let world: VirtualWorld;
let disk: MemoryDisk;
let store: PoolStoreAdapter;
/** Requests in the order in which the disk got them, while `recording`. */
let log: string[];
let hold: ((request: DiskRequest) => boolean) | null;
let held: (() => void)[];
let statuses: Map<number, number>;
const sink = {
  onDiskDone: (tag: number, status: number) => {
    if (statuses.has(tag)) throw new Error(`request ${tag} was answered twice`);
    statuses.set(tag, status);
  },
};

function openOn(features: Partial<DiskFeatures> = {}, more: Partial<CreateOptions> = {}): void {
  disk = new MemoryDisk({
    sizeBytes: 32 * 1024 * 1024,
    features,
    schedule: (request, end) => {
      log.push(`${request.kind} ${request.offsetBytes}`);
      if (hold?.(request) === true) held.push(end);
      else end();
    },
  });
  let error: OperationError | null | undefined;
  createStore(
    disk,
    {
      label: 'disk',
      data: 'known',
      force: false,
      storeUuid: uuid(1),
      poolUuid: uuid(2),
      lineageUuid: uuid(3),
      poolName: 'pool',
      memberId: 4,
      sizeBytes: SIZE,
      chunkSizeBytes: 65_536,
      queueDepth: 8,
      ...more,
    },
    (result) => {
      error = result;
    },
  );
  expect(error).toBeNull();
  openStore(disk, { label: 'disk', world, bootId: uuid(9), lifeUuid: uuid(8), wallMs: world.clock.wallMs() }, (result) => {
    if (result instanceof Error) throw result;
    store = new PoolStoreAdapter(result, disk);
  });
  world.run(0);
}

beforeEach(() => {
  world = new VirtualWorld(1);
  log = [];
  held = [];
  hold = null;
  statuses = new Map();
  openOn();
  log = [];
});

const LAST_IO = 192 * 1024;
const isLastIo = (request: DiskRequest): boolean =>
  request.kind === 'write' && request.offsetBytes >= LAST_IO && request.offsetBytes < 1 << 20;
const data = (): number => store.bitmapStore.dataOffset;

test('the identity is what the store was created with', () => {
  expect(store.identity).toEqual({
    storeUuid: uuid(1),
    poolUuid: uuid(2),
    poolName: 'pool',
    memberId: 4,
    sizeBytes: SIZE,
    chunkSizeBytes: 65_536,
    queueDepth: 8,
    createdZeroed: true,
  });
});

test('W3: last_io of a turn goes to the disk before its data, in one write, whatever was called first', () => {
  store.write(8192, new Uint8Array(4096), 1, sink);
  store.recordLastIo(3, 10, 8192, 4096);
  store.punch(65_536, 65_536, 2, sink);
  store.recordLastIo(4, 11, 65_536, 65_536);
  store.zero(0, 512, 3, sink);
  expect(log).toEqual([]);
  store.submit();
  expect(log).toEqual([`write ${LAST_IO + 3 * 32}`, `write ${data() + 8192}`, `punch ${data() + 65_536}`, `zero ${data()}`]);
  expect([...statuses]).toEqual([
    [1, Status.OK],
    [2, Status.OK],
    [3, Status.OK],
  ]);
});

test('age, lives, release and what was changed since are those of the store underneath', () => {
  const { bitmapStore } = store;
  const shown = (): unknown[] => [store.age, store.lives, store.released, store.changedSinceAged, store.flushedSinceAged];
  const life = { lifeUuid: uuid(8), firstAge: 1, lastAge: null, openedAtMs: world.clock.wallMs() };
  expect(shown()).toEqual([1, [life], false, false, false]);
  store.commit({ released: true, ages: true }, () => {});
  world.run(0);
  store.recordLastIo(0, 1, 0, 4096);
  store.flush(1, sink);
  expect(shown()).toEqual([2, [life], true, true, true]);
  expect(shown()).toEqual([
    bitmapStore.age,
    bitmapStore.lives,
    bitmapStore.released,
    bitmapStore.changedSinceAged,
    bitmapStore.flushedSinceAged,
  ]);
});

test.each(['write', 'punch', 'zero'] as const)(
  'a %s that ends after a record was begun counts as changed since, before anybody hears of it',
  (kind) => {
    hold = (request) => request.kind === kind && request.offsetBytes >= data();
    store.recordLastIo(0, 1, 0, 4096);
    let whenTold: boolean | null = null;
    const told = {
      onDiskDone: () => {
        whenTold = store.changedSinceAged;
      },
    };
    if (kind === 'write') store.write(0, new Uint8Array(4096), 1, told);
    else store[kind](0, 4096, 1, told);
    store.submit();
    store.commit({ ages: true }, () => {});
    world.run(0);
    // The record says nothing of what is under way: the age that it brings does not vouch for it.
    expect([store.age, store.changedSinceAged, whenTold]).toEqual([2, false, null]);
    held.shift()?.();
    expect(whenTold).toBe(true);
  },
);

test('W3: while last_io is on its way no data of this turn or a later one overtakes it; reads do', () => {
  hold = isLastIo;
  store.recordLastIo(0, 1, 0, 4096);
  store.write(0, new Uint8Array(4096).fill(1), 1, sink);
  store.submit();
  store.recordLastIo(1, 2, 4096, 4096);
  store.write(4096, new Uint8Array(4096).fill(2), 2, sink);
  store.read(8192, new Uint8Array(4096), 3, sink);
  store.submit();
  expect([...statuses.keys()]).toEqual([3]);
  held.shift()?.();
  expect([...statuses.keys()]).toEqual([3]);
  held.shift()?.();
  expect([...statuses.keys()]).toEqual([3, 1, 2]);
  expect(log.filter((entry) => entry.startsWith('write'))).toEqual([
    `write ${LAST_IO}`,
    `write ${LAST_IO + 32}`,
    `write ${data()}`,
    `write ${data() + 4096}`,
  ]);
  store.verify();
});

test.each(['at once', 'later'])('last_io that can not be written (%s) fails the data of its turn, which is not written', (when) => {
  if (when === 'later') hold = isLastIo;
  disk.fail('write', Status.EIO);
  store.recordLastIo(0, 1, 0, 4096);
  store.write(0, new Uint8Array(4096).fill(1), 1, sink);
  store.punch(65_536, 4096, 2, sink);
  store.submit();
  held.shift()?.();
  expect([...statuses]).toEqual([
    [1, Status.EIO],
    [2, Status.EIO],
  ]);
  expect(log).toHaveLength(1);
  hold = null;
  store.recordLastIo(0, 2, 0, 4096);
  store.write(0, new Uint8Array(4096).fill(1), 3, sink);
  store.submit();
  expect(statuses.get(3)).toBe(Status.OK);
  store.verify();
});

test('a write that is made while others are refused waits for its own submit', () => {
  disk.fail('write', Status.EIO);
  store.recordLastIo(0, 1, 0, 4096);
  const chain = {
    onDiskDone: (tag: number, status: number) => {
      sink.onDiskDone(tag, status);
      store.recordLastIo(1, 2, 4096, 512);
      store.write(4096, new Uint8Array(512), 2, sink);
    },
  };
  store.write(0, new Uint8Array(4096), 1, chain);
  store.submit();
  expect([...statuses]).toEqual([[1, Status.EIO]]);
  store.submit();
  expect(statuses.get(2)).toBe(Status.OK);
});

test('entries of a last_io write that failed go out with the next one', () => {
  disk.fail('write', Status.EIO);
  store.recordLastIo(5, 1, 0, 4096);
  store.write(0, new Uint8Array(4096), 1, sink);
  store.submit();
  store.recordLastIo(0, 2, 4096, 4096);
  store.write(4096, new Uint8Array(4096), 2, sink);
  store.submit();
  expect(statuses.get(2)).toBe(Status.OK);
  expect(disk.peek(LAST_IO + 5 * 32, 1)[0]).toBe(1);
});

test('reads and extents are of the device, not of the disk', () => {
  store.write(0, new Uint8Array(4096).fill(7), 1, sink);
  store.submit();
  const target = new Uint8Array(4096);
  store.read(0, target, 2, sink);
  store.submit();
  expect(target.every((byte) => byte === 7)).toBe(true);
  store.extents(0, SIZE, (status, extents) => {
    expect(status).toBe(Status.OK);
    expect(extents).toEqual([
      { lengthBytes: 4096, hole: false },
      { lengthBytes: SIZE - 4096, hole: true },
    ]);
  });
  expect(() => store.read(SIZE, target, 3, sink)).toThrow(/within the device/);
});

test('closing flushes after the last data change has ended, not beside it', () => {
  hold = (request) => request.kind === 'write' && request.offsetBytes >= data() && request.offsetBytes < data() + 4096;
  store.recordLastIo(0, 1, 0, 4096);
  store.write(0, new Uint8Array(4096).fill(1), 1, sink);
  store.submit();
  let closed = -1;
  store.close((status) => {
    closed = status;
  });
  world.run(0);
  expect(closed).toBe(-1);
  expect(log.some((entry) => entry.startsWith('flush'))).toBe(false);
  held.shift()?.();
  world.run(0);
  expect(statuses.get(1)).toBe(Status.OK);
  expect(closed).toBe(Status.OK);
  expect(log.some((entry) => entry.startsWith('flush'))).toBe(true);
  expect(disk.volatileCount).toBe(0);
});

test('commits, prepared writes, flushes and closing go through to the store', () => {
  expect(store.prepareWrite(0, 4096, 1, Uint8Array.of(2), 1, 1, sink)).toBe(false);
  world.run(0);
  expect(statuses.get(1)).toBe(Status.OK);
  expect(store.dirtyBytes(2)).toBe(65_536);
  expect(store.dirtyMap(2)?.dirtyCount).toBe(1);
  expect(store.intentRanges()).toHaveLength(1);
  let status = -1;
  store.commit({ promise: { epoch: 1, clientInstance: uuid(5), clientName: 'c' }, reconciled: true }, (result) => {
    status = result;
  });
  store.setCompletedThrough(1);
  store.flush(2, sink);
  world.run(0);
  expect([status, statuses.get(2), store.promise?.epoch]).toEqual([Status.OK, Status.OK, 1]);
  store.close((result) => {
    status = 100 + result;
  });
  world.run(0);
  expect(status).toBe(100);
});

function commit(change: MetadataChange): number {
  let status = -1;
  store.commit(change, (result) => {
    status = result;
  });
  world.run(0);
  return status;
}

test('dirty maps are replaced, cleared, added to and erased by commits, and can be read', () => {
  const chunks = SIZE / 65_536;
  const map = new DirtyMap(chunks);
  map.set(10, 20);
  const clear = { memberIds: [2], ranges: [{ offsetBytes: 10 * 65_536, lengthBytes: 5 * 65_536 }] };
  const add = { memberIds: [2, 3], ranges: [{ offsetBytes: 12 * 65_536 + 100, lengthBytes: 1 }] };
  const replace = [{ memberId: 2, map: map.clone() }];
  expect(commit({ dirtyReplace: replace, dirtyClear: [clear], dirtyAdd: [add] })).toBe(Status.OK);
  map.clear(10, 5);
  map.set(12, 1);
  expect(store.dirtyMap(2)?.equals(map)).toBe(true);
  expect(store.dirtyMap(3)?.runs(10)).toEqual([{ first: 12, count: 1 }]);
  expect(store.dirtyMap(5)).toBeNull();
  expect([...store.mappedMemberIds()].sort()).toEqual([2, 3]);
  expect(commit({ dirtyErase: [2] })).toBe(Status.OK);
  expect([store.dirtyMap(2), store.mappedMemberIds()]).toEqual([null, [3]]);
  expect(commit({ dirtyClear: [{ memberIds: [3], ranges: [{ offsetBytes: 12 * 65_536, lengthBytes: 4096 }] }] })).toBe(Status.EINVAL);
  expect(store.dirtyMap(3)?.dirtyCount).toBe(1);
});

test('once the journal is broken every change and flush ends with EIO, and reads go on', () => {
  expect(store.failed).toBe(false);
  disk.fail('write', Status.EIO);
  expect(commit({ dirtyAdd: [{ memberIds: [2], ranges: [{ offsetBytes: 0, lengthBytes: 1 }] }] })).toBe(Status.EIO);
  expect(store.failed).toBe(true);
  expect(store.dirtyMap(2)).toBeNull();
  expect(commit({ volatileLost: true })).toBe(Status.EIO);
  expect(store.prepareWrite(0, 4096, 1, new Uint8Array(0), 0, 1, sink)).toBe(false);
  store.flush(2, sink);
  store.read(0, new Uint8Array(4096), 3, sink);
  store.submit();
  world.run(0);
  expect([statuses.get(1), statuses.get(2), statuses.get(3)]).toEqual([Status.EIO, Status.EIO, Status.OK]);
});

test('a policy that is committed can be read', () => {
  expect(store.policy).toEqual({ quorum: 'none', highestMemberId: 0, formerLineages: [] });
  const policy = { quorum: 'majority', highestMemberId: 4, formerLineages: ['00000000-0000-4000-8000-000000000001'] } as const;
  expect(commit({ policy })).toBe(Status.OK);
  expect(store.policy).toEqual(policy);
});

test('a witness says that it is one, keeps metadata, and asserts that nobody wants data of it', () => {
  expect(store.identity.witness).toBeUndefined();
  openOn({}, { witness: true });
  expect(store.identity).toMatchObject({ witness: true, sizeBytes: SIZE });
  expect(commit({ promise: { epoch: 1, clientInstance: uuid(5), clientName: 'c' } })).toBe(Status.OK);
  store.flush(1, sink);
  store.submit();
  world.run(0);
  expect(statuses.get(1)).toBe(Status.OK);
  const bytes = new Uint8Array(512);
  expect(() => store.read(0, bytes, 2, sink)).toThrow(/witness/);
  expect(() => store.write(0, bytes, 2, sink)).toThrow(/witness/);
  expect(() => store.punch(0, 512, 2, sink)).toThrow(/witness/);
  expect(() => store.zero(0, 512, 2, sink)).toThrow(/witness/);
  expect(() => store.extents(0, 512, () => {})).toThrow(/witness/);
  expect(() => store.recordLastIo(0, 1, 0, 512)).toThrow(/witness/);
  expect(() => store.prepareWrite(0, 512, 1, new Uint8Array(0), 0, 2, sink)).toThrow(/witness/);
  store.verify();
  let closed = -1;
  store.close((status) => {
    closed = status;
  });
  world.run(0);
  expect(closed).toBe(Status.OK);
});
