import { Status } from '@rmr/runtime';
import { type MemoryDisk, VirtualWorld } from '@rmr/testing';
import { beforeEach, expect, test } from 'vitest';
import { INTENT_IDLE_TICKS, MEMBER_SLOTS } from '../constants.ts';
import { BOOT_1, BOOT_2, createdDisk, HeldRequests, Outcomes, opened, SMALL_STORE, testUuid } from '../testing/store-rig.ts';
import type { MetadataChange } from '../types.ts';
import type { BitmapStore } from './bitmap-store.ts';

const NOBODY = new Uint8Array(MEMBER_SLOTS);
const { chunkBytes } = SMALL_STORE;
let world: VirtualWorld;
let disk: MemoryDisk;
let store: BitmapStore;
let outcomes: Outcomes;

beforeEach(() => {
  world = new VirtualWorld(7);
  disk = createdDisk();
  store = opened(disk, world);
  outcomes = new Outcomes();
});

/** Commits, and lets everything happen. */
function commit(change: MetadataChange): number {
  let result = -1;
  store.commit(change, (status) => {
    result = status;
  });
  world.run(0);
  store.verify();
  return result;
}

function close(): number {
  let result = -1;
  store.close((status) => {
    result = status;
  });
  world.run(0);
  return result;
}

/** Opens the store again, as the next process does. */
function reopen(bootId = BOOT_1): void {
  disk.abandon();
  store = opened(disk, world, bootId);
  store.verify();
}

/** Lets so much time pass that regions which nobody writes to may leave the write intent. */
function idle(): void {
  for (let tick = 0; tick < INTENT_IDLE_TICKS * 5; tick++) {
    store.tick();
    world.run(0);
  }
}

const range = (first: number, count: number) => ({ offsetBytes: first * chunkBytes, lengthBytes: count * chunkBytes });

test('a flush is covered by a disk flush that began after it, and concurrent ones share it', () => {
  const held = new HeldRequests(1);
  let slow = false;
  disk = createdDisk().copy({ schedule: (request, end) => (request.kind === 'flush' && slow ? held.schedule(request, end) : end()) });
  store = opened(disk, world);
  slow = true;
  for (let tag = 1; tag <= 3; tag++) store.flush(tag, outcomes);
  world.run(0);
  expect(held.waiting).toHaveLength(1);
  for (let tag = 4; tag <= 6; tag++) store.flush(tag, outcomes);
  world.run(0);
  held.endOne();
  world.run(0);
  expect([...outcomes.byTag.keys()]).toEqual([1, 2, 3]);
  expect(held.waiting).toHaveLength(1);
  held.endOne();
  expect([...outcomes.byTag.keys()]).toEqual([1, 2, 3, 4, 5, 6]);
});

test('a failed flush is recorded durably before it is answered', () => {
  disk.fail('flush', Status.EIO);
  let lostWhenAnswered = false;
  store.flush(1, {
    onDiskDone: (_tag, status) => {
      expect(status).toBe(Status.EIO);
      lostWhenAnswered = store.volatileLost && opened(disk.crashImage(world.random), new VirtualWorld(1)).volatileLost;
    },
  });
  world.run(0);
  expect(lostWhenAnswered).toBe(true);
  store.flush(2, outcomes);
  world.run(0);
  expect(outcomes.byTag.get(2)).toBe(Status.OK);
  close();
  reopen();
  expect(store.volatileLost).toBe(true);
});

test('I1: a flush that fails is doubted at once, and told before anybody hears of it; only what is reconciled later is trusted', () => {
  const told: string[] = [];
  store.onDoubt = () => told.push(`doubt, volatileLost ${store.volatileLost}`);
  disk.fail('flush', Status.EIO);
  store.flush(0, { onDiskDone: (_tag, status) => told.push(`answer ${status}`) });
  world.run(1_000);
  expect(told[0]).toBe('doubt, volatileLost true');
  expect(told).toContain(`answer ${Status.EIO}`);
  expect(commit({ dirtyAdd: [] })).toBe(Status.OK);
  expect(store.volatileLost).toBe(true);
  expect(commit({ reconciled: true })).toBe(Status.OK);
  expect(store.volatileLost).toBe(false);
});

test('L6: after a failed flush the page cache is doubtful until it is reconciled, also over a restart of the process, but not of the host', () => {
  expect(store.cacheDoubtful).toBe(false);
  disk.fail('flush', Status.EIO);
  store.flush(0, { onDiskDone: () => {} });
  world.run(1_000);
  expect(store.cacheDoubtful).toBe(true);
  close();
  reopen();
  expect([store.volatileLost, store.cacheDoubtful]).toEqual([true, true]);
  close();
  reopen(testUuid(77));
  expect([store.volatileLost, store.cacheDoubtful]).toEqual([true, false]);
  expect(commit({ reconciled: true })).toBe(Status.OK);
  close();
  reopen(testUuid(77));
  expect([store.volatileLost, store.cacheDoubtful]).toEqual([false, false]);
});

test('L6, I1: a failed flush is known to the next process also where the journal could not be written any more', () => {
  disk.fail('flush', Status.EIO);
  // The mark is written, and then the record is not.
  disk.fail('write', Status.EIO, 1, 1);
  store.flush(0, { onDiskDone: () => {} });
  world.run(1_000);
  expect(store.failed).toBe(true);
  reopen();
  expect([store.volatileLost, store.cacheDoubtful]).toEqual([true, true]);
  expect(commit({ reconciled: true })).toBe(Status.OK);
  // It says nothing of the processes that come later.
  reopen();
  expect(store.volatileLost).toBe(false);
});

test('L6, I1: what is written after a failed flush was reconciled is not doubted by the next process', () => {
  disk.fail('flush', Status.EIO);
  store.flush(0, { onDiskDone: () => {} });
  world.run(1_000);
  expect(commit({ reconciled: true })).toBe(Status.OK);
  world.run(1_000);
  reopen();
  expect([store.volatileLost, store.cacheDoubtful]).toEqual([false, false]);
});

test('L6, I1: a flush that fails while the mark of the former one is being erased is marked', () => {
  disk.fail('flush', Status.EIO);
  store.flush(0, { onDiskDone: () => {} });
  world.run(1_000);
  let reconciled = false;
  store.commit({ reconciled: true }, () => {
    reconciled = true;
    disk.fail('flush', Status.EIO);
    // The mark is written, and then the record is not.
    disk.fail('write', Status.EIO, 1, 1);
    store.flush(0, { onDiskDone: () => {} });
  });
  world.run(1_000);
  expect([reconciled, store.failed]).toEqual([true, true]);
  reopen();
  expect([store.volatileLost, store.cacheDoubtful]).toEqual([true, true]);
});

test('a commit whose flush fails is written again with the loss; writes that waited for it fail', () => {
  disk.fail('flush', Status.EIO);
  let status = -1;
  store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes);
  store.commit({ dirtyAdd: [{ memberIds: [1], ranges: [range(0, 1)] }] }, (result) => {
    status = result;
  });
  world.run(0);
  expect(status).toBe(Status.OK);
  expect(outcomes.byTag.get(1)).toBe(Status.EIO);
  expect(store.volatileLost).toBe(true);
  disk.crash(world.random);
  reopen(BOOT_2);
  expect(store.dirtyBytes(1)).toBe(chunkBytes);
});

test('a journal that can not be written or flushed twice ends everything with an error, and nothing hangs', () => {
  for (const [kind, times] of [
    ['write', 1],
    ['flush', 2],
  ] as const) {
    disk = createdDisk();
    store = opened(disk, world);
    outcomes = new Outcomes();
    disk.fail(kind, Status.EIO, times);
    store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes);
    store.flush(2, outcomes);
    world.run(0);
    expect(outcomes.byTag.get(1)).toBe(Status.EIO);
    expect(store.failed).toBe(true);
    expect(commit({ reconciled: true })).toBe(Status.EIO);
    expect(store.prepareWrite(0, 4096, 3, NOBODY, 0, 3, outcomes)).toBe(false);
    store.flush(4, outcomes);
    world.run(0);
    expect(outcomes.byTag.get(3)).toBe(Status.EIO);
    expect(outcomes.byTag.get(4)).toBe(Status.EIO);
    expect(close()).toBe(Status.EIO);
    reopen();
  }
});

test('while the home areas can not be written, commits go on until the journal is full, then fail; and go on again', () => {
  disk.faultOf = ({ kind, offsetBytes }) => (kind === 'write' && offsetBytes >= store.layout.mapsOffset ? Status.ENOSPC : Status.OK);
  const results: number[] = [];
  for (let i = 0; i < 100; i++) results.push(commit({ dirtyAdd: [{ memberIds: [1], ranges: [range(i * 40, 1)] }] }));
  const firstFailure = results.indexOf(Status.ENOSPC);
  expect(firstFailure).toBeGreaterThan(30);
  expect(new Set(results.slice(0, firstFailure))).toEqual(new Set([Status.OK]));
  expect(new Set(results.slice(firstFailure))).toEqual(new Set([Status.ENOSPC]));
  expect(store.failed).toBe(false);
  expect(store.dirtyMap(1)?.dirtyCount).toBe(firstFailure);
  disk.faultOf = null;
  expect(commit({ dirtyAdd: [{ memberIds: [1], ranges: [range(9000, 1)] }] })).toBe(Status.OK);
  const digest = store.dirtyMap(1)?.digest();
  disk.crash(world.random);
  reopen(BOOT_2);
  expect(store.dirtyMap(1)?.digest()).toBe(digest);
});

test('W7, I1: what is in the write intent when a flush fails stays there until it is reconciled: the next flush does not vouch for what this one has lost', () => {
  store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes);
  world.run(0);
  store.setCompletedThrough(1);
  disk.fail('flush', Status.EIO);
  store.flush(2, outcomes);
  world.run(0);
  idle();
  expect(store.intentRanges()).toHaveLength(1);
  expect(commit({ reconciled: true })).toBe(Status.OK);
  idle();
  expect([store.intentRanges(), store.volatileLost]).toEqual([[], false]);
});

test.each(['of its own record', 'that was running when it was asked for'] as const)(
  'W7, I1: a reconciliation lets go of nothing where a flush has failed since it was asked for: one %s',
  (which) => {
    const held = new HeldRequests(1);
    let slow = false;
    disk = createdDisk().copy({ schedule: (request, end) => (request.kind === 'flush' && slow ? held.schedule(request, end) : end()) });
    store = opened(disk, world);
    store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes);
    world.run(0);
    store.setCompletedThrough(1);
    disk.fail('flush', Status.EIO);
    store.flush(2, outcomes);
    world.run(0);
    slow = which === 'that was running when it was asked for';
    // A commit whose record the running flush is for: what is asked for meanwhile waits behind it.
    if (slow) store.commit({ dirtyAdd: [{ memberIds: [1], ranges: [range(0, 1)] }] }, () => {});
    world.run(0);
    disk.fail('flush', Status.EIO);
    store.commit({ reconciled: true }, () => {});
    world.run(0);
    slow = false;
    while (held.endOne()) world.run(0);
    world.run(0);
    expect(disk.faultsDue).toBe(0);
    idle();
    expect([store.intentRanges().length, store.volatileLost]).toEqual([1, true]);
    expect(close()).toBe(Status.OK);
    reopen();
    expect([store.intentRanges().length, store.volatileLost]).toEqual([1, true]);
    expect(commit({ reconciled: true })).toBe(Status.OK);
    idle();
    expect([store.intentRanges(), store.volatileLost]).toEqual([[], false]);
  },
);
