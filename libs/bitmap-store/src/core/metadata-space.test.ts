import { DirtyMap } from '@rmr/dirty-map';
import { type OperationError, Status } from '@rmr/runtime';
import { MemoryDisk, VirtualWorld } from '@rmr/testing';
import { expect, test } from 'vitest';
import { INTENT_IDLE_TICKS } from '../constants.ts';
import { createdDisk, diskBytesFor, open, opened, SMALL_STORE } from '../testing/store-rig.ts';
import type { MetadataChange } from '../types.ts';
import type { BitmapStore } from './bitmap-store.ts';
import { createStore } from './create-store.ts';

const CHUNK = SMALL_STORE.chunkSizeBytes;
const CHUNKS = SMALL_STORE.sizeBytes / CHUNK;

function commit(store: BitmapStore, world: VirtualWorld, change: MetadataChange): number {
  let result = -1;
  store.commit(change, (status) => {
    result = status;
  });
  world.run(0);
  return result;
}

/** Everything that metadata may ever need: maps of all slots, on both sides, checkpoints, whole maps, the mark of a failed flush. */
function useAll(store: BitmapStore, world: VirtualWorld): number[] {
  const statuses = new Set<number>();
  for (let round = 0; round < 3; round++) {
    for (let memberId = 1; memberId <= 8; memberId++) {
      const map = new DirtyMap(CHUNKS);
      map.set(0, CHUNKS);
      statuses.add(commit(store, world, { dirtyReplace: [{ memberId, map }] }));
      const clear = { memberIds: [memberId], ranges: [{ offsetBytes: round * CHUNK, lengthBytes: CHUNK }] };
      for (let i = 0; i < 20; i++) statuses.add(commit(store, world, { dirtyClear: [clear], ages: true }));
    }
  }
  return [...statuses];
}

test.each(['a new store', 'a store of an older program, which has holes in its metadata'])(
  'W8: %s needs no space that a full disk does not have',
  (what) => {
    const world = new VirtualWorld(1);
    const disk = createdDisk();
    if (what !== 'a new store') {
      // Its journal was written out, and its maps were not.
      const { layout } = opened(disk.copy(), new VirtualWorld(2));
      disk.punch(layout.mapsOffset, layout.dataOffset - layout.mapsOffset, 0, { onDiskDone: () => {} });
      disk.submit();
      disk.full = false;
    } else {
      disk.full = true;
    }
    const store = opened(disk, world);
    expect(store.lacksMetadataSpace).toBe(false);
    disk.full = true;
    expect(useAll(store, world)).toEqual([Status.OK]);
    disk.fail('flush', Status.EIO);
    store.flush(0, { onDiskDone: () => {} });
    world.run(0);
    expect([store.failed, store.volatileLost]).toEqual([false, true]);
    expect(store.counters.checkpoints).toBeGreaterThan(2);
  },
);

test('W8: a store of an older program that is opened on a full disk says so, works as far as it can, and asks again', () => {
  const world = new VirtualWorld(1);
  const disk = createdDisk();
  const { layout } = opened(disk.copy(), new VirtualWorld(2));
  disk.punch(layout.mapsOffset, layout.dataOffset - layout.mapsOffset, 0, { onDiskDone: () => {} });
  disk.submit();
  disk.full = true;
  const store = opened(disk, world);
  expect(store.lacksMetadataSpace).toBe(true);
  expect(commit(store, world, { ages: true })).toBe(Status.OK);
  const tick = (): void => {
    for (let i = 0; i < INTENT_IDLE_TICKS; i++) store.tick();
    world.run(0);
  };
  tick();
  expect(store.lacksMetadataSpace).toBe(true);
  disk.full = false;
  tick();
  expect(store.lacksMetadataSpace).toBe(false);
  disk.full = true;
  expect(useAll(store, world)).toEqual([Status.OK]);
});

test('W8: where the disk can not allocate, what reads as zeroes is written once, and what does not stays as it is', () => {
  const world = new VirtualWorld(1);
  const disk = createdDisk();
  const first = opened(disk, world);
  expect(commit(first, world, { dirtyAdd: [{ memberIds: [3], ranges: [{ offsetBytes: 0, lengthBytes: 9 * CHUNK }] }] })).toBe(Status.OK);
  first.close(() => {});
  world.run(0);
  const next = disk.copy();
  next.punch(first.layout.mapsOffset + 5 * first.layout.mapBytes, 8 * first.layout.mapBytes, 0, { onDiskDone: () => {} });
  next.submit();
  next.faultOf = ({ kind }) => (kind === 'allocate' ? Status.ENOTSUP : Status.OK);
  const nextWorld = new VirtualWorld(2);
  const store = opened(next, nextWorld);
  expect([store.lacksMetadataSpace, store.dirtyBytes(3)]).toEqual([false, 9 * CHUNK]);
  next.full = true;
  expect(commit(store, nextWorld, { ages: true })).toBe(Status.OK);
});

test('a store for which there is not enough space is not made', () => {
  const disk = new MemoryDisk({ sizeBytes: diskBytesFor(SMALL_STORE), capacityBytes: 64 << 10 });
  let result: OperationError | null | undefined;
  createStore(disk, SMALL_STORE, (error) => {
    result = error;
  });
  expect(result).toMatchObject({ code: 'NO_SPACE' });
  expect(open(disk, new VirtualWorld(1))).toMatchObject({ code: 'STORE_NOT_FORMATTED' });
});
