import { Status } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, expect, test } from 'vitest';
import { MEMBER_SLOTS } from '../constants.ts';
import { BOOT_2, chunks, createdDisk, HeldRequests, Outcomes, opened, SMALL_STORE, StoreRig, testUuid } from '../testing/store-rig.ts';

const NOBODY = new Uint8Array(MEMBER_SLOTS);
const { chunkSizeBytes } = SMALL_STORE;
let rig: StoreRig;
let outcomes: Outcomes;

beforeEach(() => {
  rig = new StoreRig();
  outcomes = new Outcomes();
});

test('a flush is covered by a disk flush that began after it, and concurrent ones share it', () => {
  const held = new HeldRequests(1);
  let slow = false;
  const disk = createdDisk().copy({ schedule: (request, end) => (request.kind === 'flush' && slow ? held.schedule(request, end) : end()) });
  rig.take(disk);
  slow = true;
  for (let tag = 1; tag <= 3; tag++) rig.store.flush(tag, outcomes);
  rig.world.run(0);
  expect(held.waiting).toHaveLength(1);
  for (let tag = 4; tag <= 6; tag++) rig.store.flush(tag, outcomes);
  rig.world.run(0);
  held.endOne();
  rig.world.run(0);
  expect([...outcomes.byTag.keys()]).toEqual([1, 2, 3]);
  expect(held.waiting).toHaveLength(1);
  held.endOne();
  expect([...outcomes.byTag.keys()]).toEqual([1, 2, 3, 4, 5, 6]);
});

test('a failed flush is recorded durably before it is answered', () => {
  rig.disk.fail('flush', Status.EIO);
  let lostWhenAnswered = false;
  rig.store.flush(1, {
    onDiskDone: (_tag, status) => {
      expect(status).toBe(Status.EIO);
      lostWhenAnswered = rig.store.volatileLost && opened(rig.disk.crashImage(rig.world.random), new VirtualWorld(1)).volatileLost;
    },
  });
  rig.world.run(0);
  expect(lostWhenAnswered).toBe(true);
  rig.store.flush(2, outcomes);
  rig.world.run(0);
  expect(outcomes.byTag.get(2)).toBe(Status.OK);
  rig.close();
  rig.reopen();
  expect(rig.store.volatileLost).toBe(true);
});

test('I1: a flush that fails is doubted at once, and told before anybody hears of it; only what is reconciled later is trusted', () => {
  const told: string[] = [];
  rig.store.onDoubt = () => told.push(`doubt, volatileLost ${rig.store.volatileLost}`);
  rig.disk.fail('flush', Status.EIO);
  rig.store.flush(0, { onDiskDone: (_tag, status) => told.push(`answer ${status}`) });
  rig.world.run(1_000);
  expect(told[0]).toBe('doubt, volatileLost true');
  expect(told).toContain(`answer ${Status.EIO}`);
  expect(rig.commit({ dirtyAdd: [] })).toBe(Status.OK);
  expect(rig.store.volatileLost).toBe(true);
  expect(rig.commit({ reconciled: true })).toBe(Status.OK);
  expect(rig.store.volatileLost).toBe(false);
});

test('L6: after a failed flush the page cache is doubtful until it is reconciled, also over a restart of the process, but not of the host', () => {
  expect(rig.store.cacheDoubtful).toBe(false);
  rig.disk.fail('flush', Status.EIO);
  rig.store.flush(0, { onDiskDone: () => {} });
  rig.world.run(1_000);
  expect(rig.store.cacheDoubtful).toBe(true);
  rig.close();
  rig.reopen();
  expect([rig.store.volatileLost, rig.store.cacheDoubtful]).toEqual([true, true]);
  rig.close();
  rig.reopen(testUuid(77));
  expect([rig.store.volatileLost, rig.store.cacheDoubtful]).toEqual([true, false]);
  expect(rig.commit({ reconciled: true })).toBe(Status.OK);
  rig.close();
  rig.reopen(testUuid(77));
  expect([rig.store.volatileLost, rig.store.cacheDoubtful]).toEqual([false, false]);
});

test('L6, I1: a failed flush is known to the next process also where the journal could not be written any more', () => {
  rig.disk.fail('flush', Status.EIO);
  // The mark is written, and then the record is not.
  rig.disk.fail('write', Status.EIO, 1, 1);
  rig.store.flush(0, { onDiskDone: () => {} });
  rig.world.run(1_000);
  expect(rig.store.failed).toBe(true);
  rig.reopen();
  expect([rig.store.volatileLost, rig.store.cacheDoubtful]).toEqual([true, true]);
  expect(rig.commit({ reconciled: true })).toBe(Status.OK);
  // It says nothing of the processes that come later.
  rig.reopen();
  expect(rig.store.volatileLost).toBe(false);
});

test('L6, I1: what is written after a failed flush was reconciled is not doubted by the next process', () => {
  rig.disk.fail('flush', Status.EIO);
  rig.store.flush(0, { onDiskDone: () => {} });
  rig.world.run(1_000);
  expect(rig.commit({ reconciled: true })).toBe(Status.OK);
  rig.world.run(1_000);
  rig.reopen();
  expect([rig.store.volatileLost, rig.store.cacheDoubtful]).toEqual([false, false]);
});

test('L6, I1: a flush that fails while the mark of the former one is being erased is marked', () => {
  rig.disk.fail('flush', Status.EIO);
  rig.store.flush(0, { onDiskDone: () => {} });
  rig.world.run(1_000);
  let reconciled = false;
  rig.store.commit({ reconciled: true }, () => {
    reconciled = true;
    rig.disk.fail('flush', Status.EIO);
    // The mark is written, and then the record is not.
    rig.disk.fail('write', Status.EIO, 1, 1);
    rig.store.flush(0, { onDiskDone: () => {} });
  });
  rig.world.run(1_000);
  expect([reconciled, rig.store.failed]).toEqual([true, true]);
  rig.reopen();
  expect([rig.store.volatileLost, rig.store.cacheDoubtful]).toEqual([true, true]);
});

test('a commit whose flush fails is written again with the loss; writes that waited for it fail', () => {
  rig.disk.fail('flush', Status.EIO);
  let status = -1;
  rig.store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes);
  rig.store.commit({ dirtyAdd: [{ memberIds: [1], ranges: [chunks(0, 1)] }] }, (result) => {
    status = result;
  });
  rig.world.run(0);
  expect(status).toBe(Status.OK);
  expect(outcomes.byTag.get(1)).toBe(Status.EIO);
  expect(rig.store.volatileLost).toBe(true);
  rig.disk.crash(rig.world.random);
  rig.reopen(BOOT_2);
  expect(rig.store.dirtyBytes(1)).toBe(chunkSizeBytes);
});

test('a journal that can not be written or flushed twice ends everything with an error, and nothing hangs', () => {
  for (const [kind, times] of [
    ['write', 1],
    ['flush', 2],
  ] as const) {
    const disk = createdDisk();
    rig.take(disk);
    outcomes = new Outcomes();
    rig.disk.fail(kind, Status.EIO, times);
    rig.store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes);
    rig.store.flush(2, outcomes);
    rig.world.run(0);
    expect(outcomes.byTag.get(1)).toBe(Status.EIO);
    expect(rig.store.failed).toBe(true);
    expect(rig.commit({ reconciled: true })).toBe(Status.EIO);
    expect(rig.store.prepareWrite(0, 4096, 3, NOBODY, 0, 3, outcomes)).toBe(false);
    rig.store.flush(4, outcomes);
    rig.world.run(0);
    expect(outcomes.byTag.get(3)).toBe(Status.EIO);
    expect(outcomes.byTag.get(4)).toBe(Status.EIO);
    expect(rig.close()).toBe(Status.EIO);
    rig.reopen();
  }
});

test('while the home areas can not be written, commits go on until the journal is full, then fail; and go on again', () => {
  rig.disk.faultOf = ({ kind, offsetBytes }) =>
    kind === 'write' && offsetBytes >= rig.store.layout.mapsOffset ? Status.ENOSPC : Status.OK;
  const results: number[] = [];
  for (let i = 0; i < 100; i++) results.push(rig.commit({ dirtyAdd: [{ memberIds: [1], ranges: [chunks(i * 40, 1)] }] }));
  const firstFailure = results.indexOf(Status.ENOSPC);
  expect(firstFailure).toBeGreaterThan(30);
  expect(new Set(results.slice(0, firstFailure))).toEqual(new Set([Status.OK]));
  expect(new Set(results.slice(firstFailure))).toEqual(new Set([Status.ENOSPC]));
  expect(rig.store.failed).toBe(false);
  expect(rig.store.dirtyMap(1)?.dirtyCount).toBe(firstFailure);
  rig.disk.faultOf = null;
  expect(rig.commit({ dirtyAdd: [{ memberIds: [1], ranges: [chunks(9000, 1)] }] })).toBe(Status.OK);
  const digest = rig.store.dirtyMap(1)?.digest();
  rig.disk.crash(rig.world.random);
  rig.reopen(BOOT_2);
  expect(rig.store.dirtyMap(1)?.digest()).toBe(digest);
});

test('W7, I1: what is in the write intent when a flush fails stays there until it is reconciled: the next flush does not vouch for what this one has lost', () => {
  rig.store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes);
  rig.world.run(0);
  rig.store.setCompletedThrough(1);
  rig.disk.fail('flush', Status.EIO);
  rig.store.flush(2, outcomes);
  rig.world.run(0);
  rig.idle();
  expect(rig.store.intentRanges()).toHaveLength(1);
  expect(rig.commit({ reconciled: true })).toBe(Status.OK);
  rig.idle();
  expect([rig.store.intentRanges(), rig.store.volatileLost]).toEqual([[], false]);
});

test.each(['of its own record', 'that was running when it was asked for'] as const)(
  'W7, I1: a reconciliation lets go of nothing where a flush has failed since it was asked for: one %s',
  (which) => {
    const held = new HeldRequests(1);
    let slow = false;
    const disk = createdDisk().copy({
      schedule: (request, end) => (request.kind === 'flush' && slow ? held.schedule(request, end) : end()),
    });
    rig.take(disk);
    rig.store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes);
    rig.world.run(0);
    rig.store.setCompletedThrough(1);
    rig.disk.fail('flush', Status.EIO);
    rig.store.flush(2, outcomes);
    rig.world.run(0);
    slow = which === 'that was running when it was asked for';
    // A commit whose record the running flush is for: what is asked for meanwhile waits behind it.
    if (slow) rig.store.commit({ dirtyAdd: [{ memberIds: [1], ranges: [chunks(0, 1)] }] }, () => {});
    rig.world.run(0);
    rig.disk.fail('flush', Status.EIO);
    rig.store.commit({ reconciled: true }, () => {});
    rig.world.run(0);
    slow = false;
    while (held.endOne()) rig.world.run(0);
    rig.world.run(0);
    expect(rig.disk.faultsDue).toBe(0);
    rig.idle();
    expect([rig.store.intentRanges().length, rig.store.volatileLost]).toEqual([1, true]);
    expect(rig.close()).toBe(Status.OK);
    rig.reopen();
    expect([rig.store.intentRanges().length, rig.store.volatileLost]).toEqual([1, true]);
    expect(rig.commit({ reconciled: true })).toBe(Status.OK);
    rig.idle();
    expect([rig.store.intentRanges(), rig.store.volatileLost]).toEqual([[], false]);
  },
);
