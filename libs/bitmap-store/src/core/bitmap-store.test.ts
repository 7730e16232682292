import { DirtyMap } from '@rmr/dirty-map';
import { Status } from '@rmr/runtime';
import { type MemoryDisk, VirtualWorld } from '@rmr/testing';
import { beforeEach, expect, test } from 'vitest';
import { INTENT_ACTIVE_MAX, INTENT_IDLE_TICKS, MEMBER_SLOTS } from '../constants.ts';
import { BOOT_1, BOOT_2, createdDisk, diskBytesFor, HeldRequests, Outcomes, opened, SMALL_STORE, testUuid } from '../testing/store-rig.ts';
import type { MemberRecord, MetadataChange, PoolPolicy } from '../types.ts';
import type { BitmapStore } from './bitmap-store.ts';

const NOBODY = new Uint8Array(MEMBER_SLOTS);
const { chunkBytes, deviceBytes } = SMALL_STORE;
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

test('what was committed is there after clean shutdown, process crash and power loss', () => {
  const promise = { epoch: 3, clientInstance: testUuid(5), clientName: 'kläger' };
  const version = { lineageUuid: testUuid(3), epoch: 3, seq: 9, inSync: [{ memberId: 1, storeUuid: testUuid(8) }], horizon: 77 };
  const members = [{ memberId: 1, storeUuid: testUuid(8), name: 'storage-1', addresses: ['tcp://[::1]:7000', 'unix:/run/rmr'] }];
  expect(commit({ promise, version, members, dirtyAdd: [{ memberIds: [2, 250], ranges: [range(0, 3), range(60_000, 5)] }] })).toBe(
    Status.OK,
  );
  for (const how of ['crash', 'power', 'clean', 'crash']) {
    if (how === 'clean') expect(close()).toBe(Status.OK);
    if (how === 'power') disk.crash(world.random);
    reopen(how === 'power' ? BOOT_2 : BOOT_1);
    expect(store.promise).toEqual(promise);
    expect(store.version).toEqual(version);
    expect(store.members).toEqual(members);
    expect(store.dirtyBytes(2)).toBe(8 * chunkBytes);
    expect(store.dirtyMap(250)?.digest()).toBe(store.dirtyMap(2)?.digest());
    expect(store.dirtyBytes(1)).toBe(0);
  }
});

test('a pool has no quorum and no past until the policy says so; policy, roles and maintenance outlive checkpoint, crash and power loss', () => {
  const unsaid: PoolPolicy = { quorum: 'none', highestMemberId: 0, formerLineages: [] };
  const policy: PoolPolicy = {
    quorum: 'majority',
    highestMemberId: 255,
    formerLineages: Array.from({ length: 16 }, (_, i) => testUuid(i)),
  };
  expect(store.policy).toEqual(unsaid);
  const members: MemberRecord[] = [
    { memberId: 1, storeUuid: testUuid(8), name: 'storage-1', addresses: ['tcp://[::1]:7000'], maintenance: true },
    { memberId: 7, storeUuid: testUuid(9), name: 'w', addresses: [], role: 'witness' },
  ];
  expect(commit({ policy, members })).toBe(Status.OK);
  for (const how of ['crash', 'clean', 'power']) {
    if (how === 'clean') expect(close()).toBe(Status.OK);
    if (how === 'power') disk.crash(world.random);
    reopen(how === 'power' ? BOOT_2 : BOOT_1);
    expect(store.policy).toEqual(policy);
    expect(store.members).toEqual(members);
  }
  expect(commit({ members: members.map((member) => ({ ...member, role: 'data', maintenance: false })) })).toBe(Status.OK);
  expect(commit({ policy: unsaid })).toBe(Status.OK);
  for (const how of ['crash', 'clean']) {
    if (how === 'clean') expect(close()).toBe(Status.OK);
    reopen();
    expect(store.policy).toEqual(unsaid);
    expect(store.members[0]).toEqual({ memberId: 1, storeUuid: testUuid(8), name: 'storage-1', addresses: ['tcp://[::1]:7000'] });
    expect(store.members[1]?.role).toBeUndefined();
  }
  for (const each of [
    { ...unsaid, highestMemberId: 7 },
    { ...unsaid, formerLineages: [testUuid(3)] },
  ]) {
    expect(commit({ policy: each })).toBe(Status.OK);
    expect(close()).toBe(Status.OK);
    reopen();
    expect(store.policy).toEqual(each);
  }
  expect(commit({ policy: { ...unsaid, quorum: 'all' as never } })).toBe(Status.EINVAL);
  expect(commit({ policy: { ...unsaid, formerLineages: ['lineage'] } })).toBe(Status.EINVAL);
  expect(commit({ members: [{ ...(members[0] as MemberRecord), role: 'judge' as never }] })).toBe(Status.EINVAL);
});

test('a version of another lineage takes the place of the one before, whatever their numbers, and outlives a crash', () => {
  const before = { lineageUuid: SMALL_STORE.lineageUuid, epoch: 9, seq: 9, inSync: [{ memberId: 1, storeUuid: testUuid(8) }], horizon: 5 };
  const forced = { ...before, lineageUuid: testUuid(0xf0), epoch: 2, seq: 1, horizon: 0 };
  expect(commit({ version: before })).toBe(Status.OK);
  expect(commit({ version: forced, dirtyAdd: [{ memberIds: [2], ranges: [range(0, 1)] }] })).toBe(Status.OK);
  for (const how of ['crash', 'clean', 'crash']) {
    if (how === 'clean') expect(close()).toBe(Status.OK);
    reopen();
    expect(store.version).toEqual(forced);
    // The superblock keeps the lineage of creation.
    expect(store.superblock.lineageUuid).toBe(SMALL_STORE.lineageUuid);
  }
});

test("a witness's store keeps metadata, takes no writes, and never counts data as lost", () => {
  const options = { ...SMALL_STORE, witness: true };
  expect(diskBytesFor(options)).toBe(store.dataOffset);
  expect(diskBytesFor(options) + deviceBytes).toBe(diskBytesFor(SMALL_STORE));
  disk = createdDisk({ witness: true });
  expect(disk.sizeBytes).toBe(diskBytesFor(options));
  store = opened(disk, world);
  expect(store.superblock).toMatchObject({ witness: true, deviceBytes, createdZeroed: true });
  const version = { lineageUuid: testUuid(3), epoch: 3, seq: 9, inSync: [{ memberId: 1, storeUuid: testUuid(8) }], horizon: 77 };
  const map = new DirtyMap(deviceBytes / chunkBytes);
  map.set(5, 10);
  expect(commit({ version, dirtyReplace: [{ memberId: 2, map: map.clone() }] })).toBe(Status.OK);
  store.flush(1, outcomes);
  world.run(0);
  expect(outcomes.byTag.get(1)).toBe(Status.OK);
  disk.crash(world.random);
  reopen(BOOT_2);
  expect(store.version).toEqual(version);
  expect(store.dirtyMap(2)?.equals(map)).toBe(true);
  expect(store.volatileLost).toBe(false);
  expect([store.lastIo(), store.intentRanges()]).toEqual([[], []]);
  expect(() => store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes)).toThrow(/takes no writes/);
  expect(() => store.recordLastIo(0, 1, 0, 4096)).toThrow(/takes no writes/);
  expect(() => store.setCompletedThrough(1)).toThrow(/takes no writes/);
  expect(close()).toBe(Status.OK);
});

test('volatile state counts as lost after a reboot without clean shutdown only, and until it is reconciled', () => {
  expect(store.volatileLost).toBe(false);
  reopen(BOOT_1);
  expect(store.volatileLost).toBe(false);
  close();
  reopen(BOOT_2);
  expect(store.volatileLost).toBe(false);
  reopen(BOOT_1);
  expect(store.volatileLost).toBe(true);
  close();
  reopen(BOOT_1);
  expect(store.volatileLost).toBe(true);
  expect(commit({ reconciled: true })).toBe(Status.OK);
  expect(store.volatileLost).toBe(false);
  reopen(BOOT_1);
  expect(store.volatileLost).toBe(false);
  expect(store.openCount).toBe(6);
});

test('a disk that does not survive its process counts as lost after every crash', () => {
  disk = createdDisk().copy({ features: { fastPunch: true, fastZero: true, extents: true, survivesProcessCrash: false } });
  store = opened(disk, world);
  close();
  reopen();
  expect(store.volatileLost).toBe(false);
  reopen();
  expect(store.volatileLost).toBe(true);
});

test('◆4: a write waits for its region to be durable once, and later ones do not', () => {
  expect(store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes)).toBe(false);
  expect(store.prepareWrite(8192, 4096, 2, NOBODY, 0, 2, outcomes)).toBe(false);
  expect(outcomes.byTag.size).toBe(0);
  const { journalRecords } = store.counters;
  world.run(0);
  expect(outcomes.byTag).toEqual(
    new Map([
      [1, Status.OK],
      [2, Status.OK],
    ]),
  );
  expect(store.counters.journalRecords).toBe(journalRecords + 1);
  expect(store.prepareWrite(4096, 4096, 3, NOBODY, 0, 3, outcomes)).toBe(true);
  reopen(BOOT_2);
  expect(store.intentRanges()).toEqual([{ offsetBytes: 0, lengthBytes: 4 << 20 }]);
});

test('I6: a write waits for the missing members to be durably dirty, whichever it lacks', () => {
  const missing = Uint8Array.of(4, 6);
  expect(store.prepareWrite(4096, 8192, 1, missing, 2, 1, outcomes)).toBe(false);
  world.run(0);
  expect(store.prepareWrite(4096, 8192, 2, missing, 2, 2, outcomes)).toBe(true);
  expect(store.prepareWrite(4096, 8192, 3, Uint8Array.of(5), 1, 3, outcomes)).toBe(false);
  expect(store.prepareWrite(4096, 12_288, 4, missing, 2, 4, outcomes)).toBe(false);
  world.run(0);
  reopen(BOOT_2);
  expect(store.dirtyBytes(4)).toBe(3 * 4096);
  expect(store.dirtyBytes(5)).toBe(2 * 4096);
  expect(store.dirtyBytes(6)).toBe(3 * 4096);
});

test('last_io survives the process in one write per turn, and is forgotten with reconciliation', () => {
  const writes = disk.ended.write;
  for (let memId = 0; memId < 5; memId++) store.recordLastIo(memId, memId + 1, memId * 4096, 4096);
  store.recordLastIo(2, 9, 512, 1024);
  expect(store.submitLastIo()).toBe(true);
  expect(disk.ended.write).toBe(writes + 1);
  reopen();
  expect(store.lastIo()).toHaveLength(5);
  expect(store.lastIo()[2]).toEqual({ memId: 2, writeSeq: 9, offsetBytes: 512, lengthBytes: 1024 });
  store.recordLastIo(3, 20, 0, 512);
  expect(commit({ reconciled: true })).toBe(Status.OK);
  store.recordLastIo(4, 21, 0, 512);
  expect(store.submitLastIo()).toBe(true);
  reopen();
  expect(store.lastIo().map((entry) => entry.writeSeq)).toEqual([21]);
});

test('last_io recorded while its write is under way is written after it, and only then is the listener told', () => {
  const held = new HeldRequests(1);
  disk = createdDisk().copy({ schedule: (request, end) => (request.kind === 'write' && slow ? held.schedule(request, end) : end()) });
  let slow = false;
  store = opened(disk, world);
  slow = true;
  const told: number[] = [];
  store.onLastIoWritten = (status) => told.push(status);
  store.recordLastIo(0, 1, 0, 4096);
  expect(store.submitLastIo()).toBe(false);
  store.recordLastIo(0, 2, 4096, 4096);
  expect(store.submitLastIo()).toBe(false);
  held.endOne();
  expect(told).toEqual([]);
  held.endOne();
  expect(told).toEqual([Status.OK]);
  slow = false;
  disk.abandon();
  expect(opened(disk.copy(), world).lastIo()[0]?.writeSeq).toBe(2);
});

test('checkpoints keep the journal from filling up, and nothing of it is lost', () => {
  for (let i = 0; i < 500; i++)
    expect(commit({ dirtyAdd: [{ memberIds: [i % 3], ranges: [range(i * 100, 1 + (i % 7))] }] })).toBe(Status.OK);
  expect(store.counters.checkpoints).toBeGreaterThan(10);
  const digests = [0, 1, 2].map((memberId) => store.dirtyMap(memberId)?.digest());
  reopen();
  expect([0, 1, 2].map((memberId) => store.dirtyMap(memberId)?.digest())).toEqual(digests);
});

test('a checkpoint that fails now and then is made again, and its pages are not forgotten', () => {
  let turns = 0;
  disk.faultOf = ({ kind, offsetBytes }) =>
    kind === 'write' && offsetBytes >= store.layout.mapsOffset && turns++ % 3 === 1 ? Status.EIO : Status.OK;
  for (let i = 0; i < 300; i++) expect(commit({ dirtyAdd: [{ memberIds: [1], ranges: [range(i * 200, 1)] }] })).toBe(Status.OK);
  expect(turns).toBeGreaterThan(10);
  const digest = store.dirtyMap(1)?.digest();
  disk.crash(world.random);
  reopen(BOOT_2);
  expect(store.dirtyMap(1)?.digest()).toBe(digest);
});

test.each(['a checkpoint', 'the staging of maps'] as const)(
  'I3, I6: a flush that fails while %s writes, whoever asked for it, makes it fail: what it had written before may be gone',
  (which) => {
    const held = new HeldRequests(1);
    let slow = false;
    // The first map is written at once, the second one is not.
    disk = createdDisk().copy({
      schedule: (request, end) =>
        slow && request.kind === 'write' && request.offsetBytes >= store.layout.mapsOffset + 2 * store.layout.mapBytes
          ? held.schedule(request, end)
          : end(),
    });
    store = opened(disk, world);
    slow = true;
    let staged = -1;
    if (which === 'a checkpoint') {
      for (let i = 0; held.waiting.length === 0; i++) commit({ dirtyAdd: [{ memberIds: [1, 2], ranges: [range(i, 1)] }] });
    } else {
      const dirtyReplace = [1, 2].map((memberId) => ({ memberId, map: new DirtyMap(deviceBytes / chunkBytes) }));
      for (const { map } of dirtyReplace) map.set(7, 9);
      store.commit({ dirtyReplace }, (status) => {
        staged = status;
      });
      world.run(0);
    }
    expect(held.waiting).toHaveLength(1);
    slow = false;
    disk.fail('flush', Status.EIO);
    store.flush(1, outcomes);
    world.run(0);
    held.endOne();
    world.run(0);
    expect([outcomes.byTag.get(1), staged]).toEqual([Status.EIO, which === 'a checkpoint' ? -1 : Status.EIO]);
    const dirty = [store.dirtyBytes(1), store.dirtyBytes(2)];
    disk.crash(world.random);
    reopen(BOOT_2);
    expect([store.dirtyBytes(1), store.dirtyBytes(2)]).toEqual(dirty);
  },
);

test('maps that can not be staged refuse the change, and change nothing', () => {
  commit({ dirtyAdd: [{ memberIds: [1], ranges: [range(0, 5)] }] });
  disk.faultOf = ({ kind }) => (kind === 'punch' ? Status.EIO : Status.OK);
  expect(commit({ dirtyReplace: [{ memberId: 1, map: new DirtyMap(deviceBytes / chunkBytes) }] })).toBe(Status.EIO);
  expect(store.dirtyBytes(1)).toBe(5 * chunkBytes);
  disk.faultOf = null;
  expect(commit({ dirtyReplace: [{ memberId: 1, map: new DirtyMap(deviceBytes / chunkBytes) }] })).toBe(Status.OK);
  reopen(BOOT_2);
  expect(store.dirtyBytes(1)).toBe(0);
});

test('a change too large for the journal is one commit all the same', () => {
  const ranges = Array.from({ length: 20_000 }, (_, i) => range(i * 2, 1));
  expect(commit({ dirtyAdd: [{ memberIds: [1, 2], ranges }], promise: { epoch: 2, clientInstance: testUuid(1), clientName: '' } })).toBe(
    Status.OK,
  );
  expect(commit({ dirtyClear: [{ memberIds: [1], ranges }], dirtyAdd: [{ memberIds: [3], ranges }] })).toBe(Status.OK);
  reopen(BOOT_2);
  expect(store.promise?.epoch).toBe(2);
  expect(store.dirtyBytes(1)).toBe(0);
  expect(store.dirtyBytes(2)).toBe(20_000 * chunkBytes);
  expect(store.dirtyMap(3)?.digest()).toBe(store.dirtyMap(2)?.digest());
});

test('a map that is replaced is exactly the new one', () => {
  commit({ dirtyAdd: [{ memberIds: [1], ranges: [range(0, 1000)] }] });
  const map = new DirtyMap(deviceBytes / chunkBytes);
  map.set(40_000, 3);
  const digest = map.digest();
  expect(commit({ dirtyReplace: [{ memberId: 1, map }], dirtyAdd: [{ memberIds: [7], ranges: [range(5, 1)] }] })).toBe(Status.OK);
  reopen(BOOT_2);
  expect(store.dirtyMap(1)?.digest()).toBe(digest);
  expect(store.dirtyBytes(7)).toBe(chunkBytes);
});

test('nine members find no slot until one is erased; erasing is idempotent', () => {
  const add = (memberId: number): number => commit({ dirtyAdd: [{ memberIds: [memberId], ranges: [range(0, 1)] }] });
  for (let memberId = 10; memberId < 10 + MEMBER_SLOTS; memberId++) expect(add(memberId)).toBe(Status.OK);
  expect(add(99)).toBe(Status.ENOSPC);
  expect(store.prepareWrite(0, 512, 1, Uint8Array.of(99), 1, 1, outcomes)).toBe(false);
  world.run(0);
  expect(outcomes.byTag.get(1)).toBe(Status.ENOSPC);
  expect(commit({ dirtyErase: [12, 200] })).toBe(Status.OK);
  expect(commit({ dirtyErase: [12, 200] })).toBe(Status.OK);
  expect(add(99)).toBe(Status.OK);
  reopen(BOOT_2);
  expect(store.dirtyBytes(12)).toBe(0);
  expect(store.dirtyBytes(99)).toBe(chunkBytes);
});

test('what is both cleared and added in one change stays dirty', () => {
  const change = [{ memberIds: [1], ranges: [range(0, 4)] }];
  expect(commit({ dirtyClear: change, dirtyAdd: change })).toBe(Status.OK);
  expect(store.dirtyBytes(1)).toBe(4 * chunkBytes);
});

test.each<[string, MetadataChange]>([
  ['a version without number', { version: { lineageUuid: testUuid(1), epoch: 0, seq: 1, inSync: [], horizon: 0 } }],
  ['a version with a broken UUID', { version: { lineageUuid: 'x', epoch: 1, seq: 1, inSync: [], horizon: 0 } }],
  ['an epoch beyond 2^53', { promise: { epoch: 2 ** 53, clientInstance: testUuid(1), clientName: '' } }],
  ['a name of 256 bytes', { promise: { epoch: 1, clientInstance: testUuid(1), clientName: 'x'.repeat(256) } }],
  ['a range beyond the device', { dirtyAdd: [{ memberIds: [1], ranges: [{ offsetBytes: deviceBytes, lengthBytes: 1 }] }] }],
  ['a member id of 256', { dirtyAdd: [{ memberIds: [256], ranges: [] }] }],
  ['a part of a chunk to be clean', { dirtyClear: [{ memberIds: [1], ranges: [{ offsetBytes: 0, lengthBytes: 512 }] }] }],
  ['a map of another size', { dirtyReplace: [{ memberId: 1, map: new DirtyMap(3) }] }],
  [
    'nine members',
    { members: Array.from({ length: 9 }, (_, memberId) => ({ memberId, storeUuid: testUuid(1), name: '', addresses: [] })) },
  ],
  ['an address of 256 bytes', { members: [{ memberId: 1, storeUuid: testUuid(1), name: '', addresses: ['x'.repeat(256)] }] }],
])('%s is refused with EINVAL and changes nothing', (_what, change) => {
  const { journalRecords } = store.counters;
  expect(commit(change)).toBe(Status.EINVAL);
  expect(store.counters.journalRecords).toBe(journalRecords);
  expect(world.log.text()).toContain('a metadata change was refused');
});

test('the last chunk of a device counts with its real size', () => {
  disk = createdDisk({ deviceBytes: (256 << 20) + 512 });
  store = opened(disk, world);
  expect(commit({ dirtyAdd: [{ memberIds: [1], ranges: [{ offsetBytes: 0, lengthBytes: (256 << 20) + 512 }] }] })).toBe(Status.OK);
  expect(store.dirtyBytes(1)).toBe((256 << 20) + 512);
  const last = { offsetBytes: 256 << 20, lengthBytes: 512 };
  expect(commit({ dirtyClear: [{ memberIds: [1], ranges: [last] }] })).toBe(Status.OK);
  expect(store.dirtyBytes(1)).toBe(256 << 20);
});

test('writes to more regions than the set holds go on, at the price of one mark for all regions', () => {
  const regionBytes = 4 << 20;
  disk = createdDisk({ deviceBytes: (INTENT_ACTIVE_MAX + 10) * regionBytes, chunkBytes: 128 << 10 });
  store = opened(disk, world);
  for (let region = 0; region < INTENT_ACTIVE_MAX + 10; region++) {
    store.prepareWrite(region * regionBytes, 4096, region + 1, NOBODY, 0, region, outcomes);
    if (region % 100 === 0) world.run(0);
  }
  world.run(0);
  expect(outcomes.byTag.size).toBe(INTENT_ACTIVE_MAX + 10);
  expect(new Set(outcomes.byTag.values())).toEqual(new Set([Status.OK]));
  expect(store.counters.intentOverflow).toBe(true);
  store.setCompletedThrough(INTENT_ACTIVE_MAX + 10);
  idle();
  expect(store.counters.intentOverflow).toBe(false);
  expect(store.intentRanges()).toEqual([]);
  store.verify();
  reopen(BOOT_2);
  expect(store.intentRanges()).toEqual([]);
});

test('W7: what a former client has left in the write intent leaves it once it is reconciled and flushed, also if nothing was lost', () => {
  store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes);
  world.run(0);
  expect(commit({ promise: { epoch: 2, clientInstance: testUuid(6), clientName: 'next' } })).toBe(Status.OK);
  idle();
  expect(store.intentRanges()).toHaveLength(1);
  expect([store.volatileLost, commit({ reconciled: true })]).toEqual([false, Status.OK]);
  expect(store.intentRanges()).toHaveLength(1);
  const { flush } = disk.ended;
  idle();
  expect(store.intentRanges()).toEqual([]);
  expect(disk.ended.flush).toBeGreaterThan(flush);
  reopen(BOOT_2);
  expect(store.intentRanges()).toEqual([]);
});

test('I6, I3: a member that gets its slot by a write which then waits for the full write intent has the slot by the next commit as well', () => {
  const regionBytes = 4 << 20;
  disk = createdDisk({ deviceBytes: (INTENT_ACTIVE_MAX + 10) * regionBytes, chunkBytes: 128 << 10 });
  store = opened(disk, world);
  for (let region = 0; region < INTENT_ACTIVE_MAX; region++) {
    store.prepareWrite(region * regionBytes, 4096, region + 1, NOBODY, 0, region, outcomes);
    if (region % 100 === 0) world.run(0);
  }
  world.run(0);
  store.setCompletedThrough(10);
  const region = INTENT_ACTIVE_MAX;
  store.prepareWrite(region * regionBytes, 4096, region + 1, Uint8Array.of(5), 1, region, outcomes);
  let dirtyWhenAnswered = -1;
  store.commit({ dirtyAdd: [{ memberIds: [5], ranges: [{ offsetBytes: 0, lengthBytes: 4096 }] }] }, (status) => {
    expect([status, outcomes.byTag.has(region)]).toEqual([Status.OK, false]);
    dirtyWhenAnswered = store.dirtyBytes(5);
  });
  world.run(0);
  expect([dirtyWhenAnswered, outcomes.byTag.get(region)]).toEqual([128 << 10, Status.OK]);
  expect(store.dirtyBytes(5)).toBe(2 * (128 << 10));
  reopen();
  expect(store.dirtyBytes(5)).toBe(2 * (128 << 10));
});

test('I6: a member that is erased and becomes dirty again in one record has its slot', () => {
  const dirtyAdd = [{ memberIds: [5], ranges: [range(0, 1)] }];
  expect(commit({ dirtyAdd })).toBe(Status.OK);
  store.commit({ dirtyErase: [5] }, () => {});
  expect(commit({ dirtyAdd })).toBe(Status.OK);
  expect(store.dirtyBytes(5)).toBe(chunkBytes);
  store.commit({ dirtyErase: [5] }, () => {});
  store.prepareWrite(chunkBytes, chunkBytes, 1, Uint8Array.of(5), 1, 1, outcomes);
  world.run(0);
  expect(store.dirtyBytes(5)).toBe(chunkBytes);
  reopen();
  expect(store.dirtyBytes(5)).toBe(chunkBytes);
});

test('a discard over more regions than a write may enter takes the mark for all regions at once', () => {
  disk = createdDisk({ deviceBytes: 2 ** 36, chunkBytes: 128 << 10 });
  store = opened(disk, world);
  expect(store.prepareWrite(0, 2 ** 36, 1, NOBODY, 0, 1, outcomes)).toBe(false);
  world.run(0);
  expect(outcomes.byTag.get(1)).toBe(Status.OK);
  expect(store.counters.intentOverflow).toBe(true);
});

test('closing waits for a flush that nothing else waits for', () => {
  const held = new HeldRequests(1);
  let slow = false;
  disk = createdDisk().copy({ schedule: (request, end) => (slow ? held.schedule(request, end) : end()) });
  store = opened(disk, world);
  slow = true;
  store.flush(1, outcomes);
  world.run(0);
  let closed = -1;
  store.close((status) => {
    closed = status;
  });
  for (let i = 0; i < 100 && closed === -1; i++) {
    held.endOne();
    world.run(0);
  }
  expect(closed).toBe(Status.OK);
  expect(outcomes.byTag.get(1)).toBe(Status.OK);
});

test('closing waits for what is under way and leaves an empty journal', () => {
  let committed = -1;
  store.commit({ dirtyAdd: [{ memberIds: [1], ranges: [range(0, 1)] }] }, (status) => {
    committed = status;
  });
  store.flush(1, outcomes);
  expect(close()).toBe(Status.OK);
  expect(committed).toBe(Status.OK);
  expect(outcomes.byTag.get(1)).toBe(Status.OK);
  disk.abandon();
  expect(disk.volatileCount).toBe(0);
  reopen(BOOT_2);
  expect(store.volatileLost).toBe(false);
});

test('I11: closing ends, with the error, where the disk refuses last_io at once', () => {
  store.recordLastIo(0, 1, 0, 4096);
  disk.fail('write', Status.EIO);
  expect(close()).toBe(Status.EIO);
});
