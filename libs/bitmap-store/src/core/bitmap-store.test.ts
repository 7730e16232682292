import { DirtyMap } from '@rmr/dirty-map';
import { Status } from '@rmr/runtime';
import { beforeEach, expect, test } from 'vitest';
import { INTENT_ACTIVE_MAX, MEMBER_SLOTS } from '../constants.ts';
import {
  BOOT_1,
  BOOT_2,
  chunks,
  createdDisk,
  diskBytesFor,
  HeldRequests,
  Outcomes,
  opened,
  SMALL_STORE,
  StoreRig,
  testUuid,
} from '../testing/store-rig.ts';
import type { MemberRecord, MetadataChange, PoolPolicy } from '../types.ts';

const NOBODY = new Uint8Array(MEMBER_SLOTS);
const { chunkSizeBytes, sizeBytes } = SMALL_STORE;
let rig: StoreRig;
let outcomes: Outcomes;

beforeEach(() => {
  rig = new StoreRig();
  outcomes = new Outcomes();
});

test('what was committed is there after clean shutdown, process crash and power loss', () => {
  const promise = { epoch: 3, clientInstance: testUuid(5), clientName: 'kläger' };
  const version = { lineageUuid: testUuid(3), epoch: 3, seq: 9, inSync: [{ memberId: 1, storeUuid: testUuid(8) }], horizon: 77 };
  const members = [{ memberId: 1, storeUuid: testUuid(8), name: 'storage-1', addresses: ['tcp://[::1]:7000', 'unix:/run/rmr'] }];
  expect(rig.commit({ promise, version, members, dirtyAdd: [{ memberIds: [2, 250], ranges: [chunks(0, 3), chunks(60_000, 5)] }] })).toBe(
    Status.OK,
  );
  for (const how of ['crash', 'power', 'clean', 'crash']) {
    if (how === 'clean') expect(rig.close()).toBe(Status.OK);
    if (how === 'power') rig.disk.crash(rig.world.random);
    rig.reopen(how === 'power' ? BOOT_2 : BOOT_1);
    expect(rig.store.promise).toEqual(promise);
    expect(rig.store.version).toEqual(version);
    expect(rig.store.members).toEqual(members);
    expect(rig.store.dirtyBytes(2)).toBe(8 * chunkSizeBytes);
    expect(rig.store.dirtyMap(250)?.digest()).toBe(rig.store.dirtyMap(2)?.digest());
    expect(rig.store.dirtyBytes(1)).toBe(0);
  }
});

test('a pool has no quorum and no past until the policy says so; policy, roles and maintenance outlive checkpoint, crash and power loss', () => {
  const unsaid: PoolPolicy = { quorum: 'none', highestMemberId: 0, formerLineages: [] };
  const policy: PoolPolicy = {
    quorum: 'majority',
    highestMemberId: 255,
    formerLineages: Array.from({ length: 16 }, (_, i) => testUuid(i)),
  };
  expect(rig.store.policy).toEqual(unsaid);
  const members: MemberRecord[] = [
    { memberId: 1, storeUuid: testUuid(8), name: 'storage-1', addresses: ['tcp://[::1]:7000'], maintenance: true },
    { memberId: 7, storeUuid: testUuid(9), name: 'w', addresses: [], role: 'witness' },
  ];
  expect(rig.commit({ policy, members })).toBe(Status.OK);
  for (const how of ['crash', 'clean', 'power']) {
    if (how === 'clean') expect(rig.close()).toBe(Status.OK);
    if (how === 'power') rig.disk.crash(rig.world.random);
    rig.reopen(how === 'power' ? BOOT_2 : BOOT_1);
    expect(rig.store.policy).toEqual(policy);
    expect(rig.store.members).toEqual(members);
  }
  expect(rig.commit({ members: members.map((member) => ({ ...member, role: 'data', maintenance: false })) })).toBe(Status.OK);
  expect(rig.commit({ policy: unsaid })).toBe(Status.OK);
  for (const how of ['crash', 'clean']) {
    if (how === 'clean') expect(rig.close()).toBe(Status.OK);
    rig.reopen();
    expect(rig.store.policy).toEqual(unsaid);
    expect(rig.store.members[0]).toEqual({ memberId: 1, storeUuid: testUuid(8), name: 'storage-1', addresses: ['tcp://[::1]:7000'] });
    expect(rig.store.members[1]?.role).toBeUndefined();
  }
  for (const each of [
    { ...unsaid, highestMemberId: 7 },
    { ...unsaid, formerLineages: [testUuid(3)] },
  ]) {
    expect(rig.commit({ policy: each })).toBe(Status.OK);
    expect(rig.close()).toBe(Status.OK);
    rig.reopen();
    expect(rig.store.policy).toEqual(each);
  }
  expect(rig.commit({ policy: { ...unsaid, quorum: 'all' as never } })).toBe(Status.EINVAL);
  expect(rig.commit({ policy: { ...unsaid, formerLineages: ['lineage'] } })).toBe(Status.EINVAL);
  expect(rig.commit({ members: [{ ...(members[0] as MemberRecord), role: 'judge' as never }] })).toBe(Status.EINVAL);
});

test('a change of the member table starts from what was committed before it, also in the same record, and outlives a crash', () => {
  const member = (memberId: number, age: number): MemberRecord => ({
    ...{ memberId, storeUuid: testUuid(memberId), name: `storage-${memberId}`, addresses: [] },
    seen: { lifeUuid: testUuid(0x11fe), age, atMs: 0 },
  });
  const older = (members: readonly MemberRecord[]): readonly MemberRecord[] => members.map(({ memberId }) => member(memberId, 9));
  expect(rig.commit({ members: [member(1, 1)] })).toBe(Status.OK);
  const { age } = rig.store;
  rig.store.commit({ members: [member(1, 2), member(2, 2)] }, () => {});
  rig.store.commit({ changeMembers: older }, () => {});
  rig.world.run(0);
  expect({ records: rig.store.age - age, members: rig.store.members }).toEqual({ records: 1, members: [member(1, 9), member(2, 9)] });
  // Nothing changes: there is no record.
  expect(rig.commit({ changeMembers: (members) => members })).toBe(Status.OK);
  expect(rig.store.age - age).toBe(1);
  rig.reopen();
  expect(rig.store.members).toEqual([member(1, 9), member(2, 9)]);
});

test('a version of another lineage takes the place of the one before, whatever their numbers, and outlives a crash', () => {
  const before = { lineageUuid: SMALL_STORE.lineageUuid, epoch: 9, seq: 9, inSync: [{ memberId: 1, storeUuid: testUuid(8) }], horizon: 5 };
  const forced = { ...before, lineageUuid: testUuid(0xf0), epoch: 2, seq: 1, horizon: 0 };
  expect(rig.commit({ version: before })).toBe(Status.OK);
  expect(rig.commit({ version: forced, dirtyAdd: [{ memberIds: [2], ranges: [chunks(0, 1)] }] })).toBe(Status.OK);
  for (const how of ['crash', 'clean', 'crash']) {
    if (how === 'clean') expect(rig.close()).toBe(Status.OK);
    rig.reopen();
    expect(rig.store.version).toEqual(forced);
    // The superblock keeps the lineage of creation.
    expect(rig.store.superblock.lineageUuid).toBe(SMALL_STORE.lineageUuid);
  }
});

test("a witness's store keeps metadata, takes no writes, and never counts data as lost", () => {
  const options = { ...SMALL_STORE, witness: true };
  expect(diskBytesFor(options)).toBe(rig.store.dataOffset);
  expect(diskBytesFor(options) + sizeBytes).toBe(diskBytesFor(SMALL_STORE));
  const disk = createdDisk({ witness: true });
  expect(disk.sizeBytes).toBe(diskBytesFor(options));
  rig.take(disk);
  expect(rig.store.superblock).toMatchObject({ witness: true, sizeBytes, createdZeroed: true });
  const version = { lineageUuid: testUuid(3), epoch: 3, seq: 9, inSync: [{ memberId: 1, storeUuid: testUuid(8) }], horizon: 77 };
  const map = new DirtyMap(sizeBytes / chunkSizeBytes);
  map.set(5, 10);
  expect(rig.commit({ version, dirtyReplace: [{ memberId: 2, map: map.clone() }] })).toBe(Status.OK);
  rig.store.flush(1, outcomes);
  rig.world.run(0);
  expect(outcomes.byTag.get(1)).toBe(Status.OK);
  rig.disk.crash(rig.world.random);
  rig.reopen(BOOT_2);
  expect(rig.store.version).toEqual(version);
  expect(rig.store.dirtyMap(2)?.equals(map)).toBe(true);
  expect(rig.store.volatileLost).toBe(false);
  expect([rig.store.lastIo(), rig.store.intentRanges()]).toEqual([[], []]);
  expect(() => rig.store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes)).toThrow(/takes no writes/);
  expect(() => rig.store.recordLastIo(0, 1, 0, 4096)).toThrow(/takes no writes/);
  expect(() => rig.store.setCompletedThrough(1)).toThrow(/takes no writes/);
  expect(rig.close()).toBe(Status.OK);
});

test('volatile state counts as lost after a reboot without clean shutdown only, and until it is reconciled', () => {
  expect(rig.store.volatileLost).toBe(false);
  rig.reopen(BOOT_1);
  expect(rig.store.volatileLost).toBe(false);
  rig.close();
  rig.reopen(BOOT_2);
  expect(rig.store.volatileLost).toBe(false);
  rig.reopen(BOOT_1);
  expect(rig.store.volatileLost).toBe(true);
  rig.close();
  rig.reopen(BOOT_1);
  expect(rig.store.volatileLost).toBe(true);
  expect(rig.commit({ reconciled: true })).toBe(Status.OK);
  expect(rig.store.volatileLost).toBe(false);
  rig.reopen(BOOT_1);
  expect(rig.store.volatileLost).toBe(false);
  expect(rig.store.openCount).toBe(6);
});

test('a disk that does not survive its process counts as lost after every crash', () => {
  const disk = createdDisk().copy({ features: { fastPunch: true, fastZero: true, extents: true, survivesProcessCrash: false } });
  rig.take(disk);
  rig.close();
  rig.reopen();
  expect(rig.store.volatileLost).toBe(false);
  rig.reopen();
  expect(rig.store.volatileLost).toBe(true);
});

test('◆4: a write waits for its region to be durable once, and later ones do not', () => {
  expect(rig.store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes)).toBe(false);
  expect(rig.store.prepareWrite(8192, 4096, 2, NOBODY, 0, 2, outcomes)).toBe(false);
  expect(outcomes.byTag.size).toBe(0);
  const { journalRecords } = rig.store.counters;
  rig.world.run(0);
  expect(outcomes.byTag).toEqual(
    new Map([
      [1, Status.OK],
      [2, Status.OK],
    ]),
  );
  expect(rig.store.counters.journalRecords).toBe(journalRecords + 1);
  expect(rig.store.prepareWrite(4096, 4096, 3, NOBODY, 0, 3, outcomes)).toBe(true);
  rig.reopen(BOOT_2);
  expect(rig.store.intentRanges()).toEqual([{ offsetBytes: 0, lengthBytes: 4 << 20 }]);
});

test('I6: a write waits for the missing members to be durably dirty, whichever it lacks', () => {
  const missing = Uint8Array.of(4, 6);
  expect(rig.store.prepareWrite(4096, 8192, 1, missing, 2, 1, outcomes)).toBe(false);
  rig.world.run(0);
  expect(rig.store.prepareWrite(4096, 8192, 2, missing, 2, 2, outcomes)).toBe(true);
  expect(rig.store.prepareWrite(4096, 8192, 3, Uint8Array.of(5), 1, 3, outcomes)).toBe(false);
  expect(rig.store.prepareWrite(4096, 12_288, 4, missing, 2, 4, outcomes)).toBe(false);
  rig.world.run(0);
  rig.reopen(BOOT_2);
  expect(rig.store.dirtyBytes(4)).toBe(3 * 4096);
  expect(rig.store.dirtyBytes(5)).toBe(2 * 4096);
  expect(rig.store.dirtyBytes(6)).toBe(3 * 4096);
});

test('last_io survives the process in one write per turn, and is forgotten with reconciliation', () => {
  const writes = rig.disk.ended.write;
  for (let ioUnit = 0; ioUnit < 5; ioUnit++) rig.store.recordLastIo(ioUnit, ioUnit + 1, ioUnit * 4096, 4096);
  rig.store.recordLastIo(2, 9, 512, 1024);
  expect(rig.store.submitLastIo()).toBe(true);
  expect(rig.disk.ended.write).toBe(writes + 1);
  rig.reopen();
  expect(rig.store.lastIo()).toHaveLength(5);
  expect(rig.store.lastIo()[2]).toEqual({ ioUnit: 2, writeSeq: 9, offsetBytes: 512, lengthBytes: 1024 });
  rig.store.recordLastIo(3, 20, 0, 512);
  expect(rig.commit({ reconciled: true })).toBe(Status.OK);
  rig.store.recordLastIo(4, 21, 0, 512);
  expect(rig.store.submitLastIo()).toBe(true);
  rig.reopen();
  expect(rig.store.lastIo().map((entry) => entry.writeSeq)).toEqual([21]);
});

test('last_io recorded while its write is under way is written after it, and only then is the listener told', () => {
  const held = new HeldRequests(1);
  const disk = createdDisk().copy({ schedule: (request, end) => (request.kind === 'write' && slow ? held.schedule(request, end) : end()) });
  let slow = false;
  rig.take(disk);
  slow = true;
  const told: number[] = [];
  rig.store.onLastIoWritten = (status) => told.push(status);
  rig.store.recordLastIo(0, 1, 0, 4096);
  expect(rig.store.submitLastIo()).toBe(false);
  rig.store.recordLastIo(0, 2, 4096, 4096);
  expect(rig.store.submitLastIo()).toBe(false);
  held.endOne();
  expect(told).toEqual([]);
  held.endOne();
  expect(told).toEqual([Status.OK]);
  slow = false;
  rig.disk.abandon();
  expect(opened(rig.disk.copy(), rig.world).lastIo()[0]?.writeSeq).toBe(2);
});

test('checkpoints keep the journal from filling up, and nothing of it is lost', () => {
  for (let i = 0; i < 500; i++)
    expect(rig.commit({ dirtyAdd: [{ memberIds: [i % 3], ranges: [chunks(i * 100, 1 + (i % 7))] }] })).toBe(Status.OK);
  expect(rig.store.counters.checkpoints).toBeGreaterThan(10);
  const digests = [0, 1, 2].map((memberId) => rig.store.dirtyMap(memberId)?.digest());
  rig.reopen();
  expect([0, 1, 2].map((memberId) => rig.store.dirtyMap(memberId)?.digest())).toEqual(digests);
});

test('a checkpoint that fails now and then is made again, and its pages are not forgotten', () => {
  let turns = 0;
  rig.disk.faultOf = ({ kind, offsetBytes }) =>
    kind === 'write' && offsetBytes >= rig.store.layout.mapsOffset && turns++ % 3 === 1 ? Status.EIO : Status.OK;
  for (let i = 0; i < 300; i++) expect(rig.commit({ dirtyAdd: [{ memberIds: [1], ranges: [chunks(i * 200, 1)] }] })).toBe(Status.OK);
  expect(turns).toBeGreaterThan(10);
  const digest = rig.store.dirtyMap(1)?.digest();
  rig.disk.crash(rig.world.random);
  rig.reopen(BOOT_2);
  expect(rig.store.dirtyMap(1)?.digest()).toBe(digest);
});

test.each(['a checkpoint', 'the staging of maps'] as const)(
  'I3, I6: a flush that fails while %s writes, whoever asked for it, makes it fail: what it had written before may be gone',
  (which) => {
    const held = new HeldRequests(1);
    let slow = false;
    // The first map is written at once, the second one is not.
    const disk = createdDisk().copy({
      schedule: (request, end) =>
        slow && request.kind === 'write' && request.offsetBytes >= rig.store.layout.mapsOffset + 2 * rig.store.layout.mapBytes
          ? held.schedule(request, end)
          : end(),
    });
    rig.take(disk);
    slow = true;
    let staged = -1;
    if (which === 'a checkpoint') {
      for (let i = 0; held.waiting.length === 0; i++) rig.commit({ dirtyAdd: [{ memberIds: [1, 2], ranges: [chunks(i, 1)] }] });
    } else {
      const dirtyReplace = [1, 2].map((memberId) => ({ memberId, map: new DirtyMap(sizeBytes / chunkSizeBytes) }));
      for (const { map } of dirtyReplace) map.set(7, 9);
      rig.store.commit({ dirtyReplace }, (status) => {
        staged = status;
      });
      rig.world.run(0);
    }
    expect(held.waiting).toHaveLength(1);
    slow = false;
    rig.disk.fail('flush', Status.EIO);
    rig.store.flush(1, outcomes);
    rig.world.run(0);
    held.endOne();
    rig.world.run(0);
    expect([outcomes.byTag.get(1), staged]).toEqual([Status.EIO, which === 'a checkpoint' ? -1 : Status.EIO]);
    const dirty = [rig.store.dirtyBytes(1), rig.store.dirtyBytes(2)];
    rig.disk.crash(rig.world.random);
    rig.reopen(BOOT_2);
    expect([rig.store.dirtyBytes(1), rig.store.dirtyBytes(2)]).toEqual(dirty);
  },
);

test('maps that can not be staged refuse the change, and change nothing', () => {
  rig.commit({ dirtyAdd: [{ memberIds: [1], ranges: [chunks(0, 5)] }] });
  rig.disk.faultOf = ({ kind }) => (kind === 'zero' ? Status.EIO : Status.OK);
  expect(rig.commit({ dirtyReplace: [{ memberId: 1, map: new DirtyMap(sizeBytes / chunkSizeBytes) }] })).toBe(Status.EIO);
  expect(rig.store.dirtyBytes(1)).toBe(5 * chunkSizeBytes);
  rig.disk.faultOf = null;
  expect(rig.commit({ dirtyReplace: [{ memberId: 1, map: new DirtyMap(sizeBytes / chunkSizeBytes) }] })).toBe(Status.OK);
  rig.reopen(BOOT_2);
  expect(rig.store.dirtyBytes(1)).toBe(0);
});

test('a change too large for the journal is one commit all the same', () => {
  const ranges = Array.from({ length: 20_000 }, (_, i) => chunks(i * 2, 1));
  expect(
    rig.commit({ dirtyAdd: [{ memberIds: [1, 2], ranges }], promise: { epoch: 2, clientInstance: testUuid(1), clientName: '' } }),
  ).toBe(Status.OK);
  expect(rig.commit({ dirtyClear: [{ memberIds: [1], ranges }], dirtyAdd: [{ memberIds: [3], ranges }] })).toBe(Status.OK);
  rig.reopen(BOOT_2);
  expect(rig.store.promise?.epoch).toBe(2);
  expect(rig.store.dirtyBytes(1)).toBe(0);
  expect(rig.store.dirtyBytes(2)).toBe(20_000 * chunkSizeBytes);
  expect(rig.store.dirtyMap(3)?.digest()).toBe(rig.store.dirtyMap(2)?.digest());
});

test('a map that is replaced is exactly the new one', () => {
  rig.commit({ dirtyAdd: [{ memberIds: [1], ranges: [chunks(0, 1000)] }] });
  const map = new DirtyMap(sizeBytes / chunkSizeBytes);
  map.set(40_000, 3);
  const digest = map.digest();
  expect(rig.commit({ dirtyReplace: [{ memberId: 1, map }], dirtyAdd: [{ memberIds: [7], ranges: [chunks(5, 1)] }] })).toBe(Status.OK);
  rig.reopen(BOOT_2);
  expect(rig.store.dirtyMap(1)?.digest()).toBe(digest);
  expect(rig.store.dirtyBytes(7)).toBe(chunkSizeBytes);
});

test('nine members find no slot until one is erased; erasing is idempotent', () => {
  const add = (memberId: number): number => rig.commit({ dirtyAdd: [{ memberIds: [memberId], ranges: [chunks(0, 1)] }] });
  for (let memberId = 10; memberId < 10 + MEMBER_SLOTS; memberId++) expect(add(memberId)).toBe(Status.OK);
  expect(add(99)).toBe(Status.ENOSPC);
  expect(rig.store.prepareWrite(0, 512, 1, Uint8Array.of(99), 1, 1, outcomes)).toBe(false);
  rig.world.run(0);
  expect(outcomes.byTag.get(1)).toBe(Status.ENOSPC);
  expect(rig.commit({ dirtyErase: [12, 200] })).toBe(Status.OK);
  expect(rig.commit({ dirtyErase: [12, 200] })).toBe(Status.OK);
  expect(add(99)).toBe(Status.OK);
  rig.reopen(BOOT_2);
  expect(rig.store.dirtyBytes(12)).toBe(0);
  expect(rig.store.dirtyBytes(99)).toBe(chunkSizeBytes);
});

test('what is both cleared and added in one change stays dirty', () => {
  const change = [{ memberIds: [1], ranges: [chunks(0, 4)] }];
  expect(rig.commit({ dirtyClear: change, dirtyAdd: change })).toBe(Status.OK);
  expect(rig.store.dirtyBytes(1)).toBe(4 * chunkSizeBytes);
});

test.each<[string, MetadataChange]>([
  ['a version without number', { version: { lineageUuid: testUuid(1), epoch: 0, seq: 1, inSync: [], horizon: 0 } }],
  ['a version with a broken UUID', { version: { lineageUuid: 'x', epoch: 1, seq: 1, inSync: [], horizon: 0 } }],
  ['an epoch beyond 2^53', { promise: { epoch: 2 ** 53, clientInstance: testUuid(1), clientName: '' } }],
  ['a name of 256 bytes', { promise: { epoch: 1, clientInstance: testUuid(1), clientName: 'x'.repeat(256) } }],
  ['a range beyond the device', { dirtyAdd: [{ memberIds: [1], ranges: [{ offsetBytes: sizeBytes, lengthBytes: 1 }] }] }],
  ['a member id of 256', { dirtyAdd: [{ memberIds: [256], ranges: [] }] }],
  ['a part of a chunk to be clean', { dirtyClear: [{ memberIds: [1], ranges: [{ offsetBytes: 0, lengthBytes: 512 }] }] }],
  ['a map of another size', { dirtyReplace: [{ memberId: 1, map: new DirtyMap(3) }] }],
  [
    'nine members',
    { members: Array.from({ length: 9 }, (_, memberId) => ({ memberId, storeUuid: testUuid(1), name: '', addresses: [] })) },
  ],
  ['an address of 256 bytes', { members: [{ memberId: 1, storeUuid: testUuid(1), name: '', addresses: ['x'.repeat(256)] }] }],
])('%s is refused with EINVAL and changes nothing', (_what, change) => {
  const { journalRecords } = rig.store.counters;
  expect(rig.commit(change)).toBe(Status.EINVAL);
  expect(rig.store.counters.journalRecords).toBe(journalRecords);
  expect(rig.world.log.text()).toContain('a metadata change was refused');
});

test('the last chunk of a device counts with its real size', () => {
  const disk = createdDisk({ sizeBytes: (256 << 20) + 512 });
  rig.take(disk);
  expect(rig.commit({ dirtyAdd: [{ memberIds: [1], ranges: [{ offsetBytes: 0, lengthBytes: (256 << 20) + 512 }] }] })).toBe(Status.OK);
  expect(rig.store.dirtyBytes(1)).toBe((256 << 20) + 512);
  const last = { offsetBytes: 256 << 20, lengthBytes: 512 };
  expect(rig.commit({ dirtyClear: [{ memberIds: [1], ranges: [last] }] })).toBe(Status.OK);
  expect(rig.store.dirtyBytes(1)).toBe(256 << 20);
});

test('writes to more regions than the set holds go on, at the price of one mark for all regions', () => {
  const regionBytes = 4 << 20;
  const disk = createdDisk({ sizeBytes: (INTENT_ACTIVE_MAX + 10) * regionBytes, chunkSizeBytes: 128 << 10 });
  rig.take(disk);
  for (let region = 0; region < INTENT_ACTIVE_MAX + 10; region++) {
    rig.store.prepareWrite(region * regionBytes, 4096, region + 1, NOBODY, 0, region, outcomes);
    if (region % 100 === 0) rig.world.run(0);
  }
  rig.world.run(0);
  expect(outcomes.byTag.size).toBe(INTENT_ACTIVE_MAX + 10);
  expect(new Set(outcomes.byTag.values())).toEqual(new Set([Status.OK]));
  expect(rig.store.counters.intentOverflow).toBe(true);
  rig.store.setCompletedThrough(INTENT_ACTIVE_MAX + 10);
  rig.idle();
  expect(rig.store.counters.intentOverflow).toBe(false);
  expect(rig.store.intentRanges()).toEqual([]);
  rig.store.verify();
  rig.reopen(BOOT_2);
  expect(rig.store.intentRanges()).toEqual([]);
});

test('W7: what a former client has left in the write intent leaves it once it is reconciled and flushed, also if nothing was lost', () => {
  rig.store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, outcomes);
  rig.world.run(0);
  expect(rig.commit({ promise: { epoch: 2, clientInstance: testUuid(6), clientName: 'next' } })).toBe(Status.OK);
  rig.idle();
  expect(rig.store.intentRanges()).toHaveLength(1);
  expect([rig.store.volatileLost, rig.commit({ reconciled: true })]).toEqual([false, Status.OK]);
  expect(rig.store.intentRanges()).toHaveLength(1);
  const { flush } = rig.disk.ended;
  rig.idle();
  expect(rig.store.intentRanges()).toEqual([]);
  expect(rig.disk.ended.flush).toBeGreaterThan(flush);
  rig.reopen(BOOT_2);
  expect(rig.store.intentRanges()).toEqual([]);
});

/** A store whose write intent is full, with some of the writes resolved; `region` is one that is not in it. */
function fillIntent(): { readonly region: number; readonly regionBytes: number } {
  const regionBytes = 4 << 20;
  rig.take(createdDisk({ sizeBytes: (INTENT_ACTIVE_MAX + 10) * regionBytes, chunkSizeBytes: 128 << 10 }));
  for (let region = 0; region < INTENT_ACTIVE_MAX; region++) {
    rig.store.prepareWrite(region * regionBytes, 4096, region + 1, NOBODY, 0, region, outcomes);
    if (region % 100 === 0) rig.world.run(0);
  }
  rig.world.run(0);
  rig.store.setCompletedThrough(10);
  return { region: INTENT_ACTIVE_MAX, regionBytes };
}

test('I6, I3: a member that gets its slot by a write which then waits for the full write intent has the slot by the next commit as well', () => {
  const { region, regionBytes } = fillIntent();
  rig.store.prepareWrite(region * regionBytes, 4096, region + 1, Uint8Array.of(5), 1, region, outcomes);
  let dirtyWhenAnswered = -1;
  rig.store.commit({ dirtyAdd: [{ memberIds: [5], ranges: [{ offsetBytes: 0, lengthBytes: 4096 }] }] }, (status) => {
    expect([status, outcomes.byTag.has(region)]).toEqual([Status.OK, false]);
    dirtyWhenAnswered = rig.store.dirtyBytes(5);
  });
  rig.world.run(0);
  expect([dirtyWhenAnswered, outcomes.byTag.get(region)]).toEqual([128 << 10, Status.OK]);
  expect(rig.store.dirtyBytes(5)).toBe(2 * (128 << 10));
  rig.reopen();
  expect(rig.store.dirtyBytes(5)).toBe(2 * (128 << 10));
});

test('a member that is erased gets no map again from a write that misses it and waits for the full write intent', () => {
  const { region, regionBytes } = fillIntent();
  rig.store.prepareWrite(region * regionBytes, 4096, region + 1, Uint8Array.of(5, 6), 2, region, outcomes);
  let wasWaiting = false;
  rig.store.commit({ dirtyErase: [5] }, () => {
    wasWaiting = !outcomes.byTag.has(region);
  });
  rig.world.run(0);
  expect([wasWaiting, outcomes.byTag.get(region)]).toEqual([true, Status.OK]);
  expect([rig.store.dirtyBytes(5), rig.store.dirtyBytes(6)]).toEqual([0, 128 << 10]);
});

test('I6: a member that is erased and becomes dirty again in one record has its slot', () => {
  const dirtyAdd = [{ memberIds: [5], ranges: [chunks(0, 1)] }];
  expect(rig.commit({ dirtyAdd })).toBe(Status.OK);
  rig.store.commit({ dirtyErase: [5] }, () => {});
  expect(rig.commit({ dirtyAdd })).toBe(Status.OK);
  expect(rig.store.dirtyBytes(5)).toBe(chunkSizeBytes);
  rig.store.commit({ dirtyErase: [5] }, () => {});
  rig.store.prepareWrite(chunkSizeBytes, chunkSizeBytes, 1, Uint8Array.of(5), 1, 1, outcomes);
  rig.world.run(0);
  expect(rig.store.dirtyBytes(5)).toBe(chunkSizeBytes);
  rig.reopen();
  expect(rig.store.dirtyBytes(5)).toBe(chunkSizeBytes);
});

test('a discard over more regions than a write may enter takes the mark for all regions at once', () => {
  const disk = createdDisk({ sizeBytes: 2 ** 36, chunkSizeBytes: 128 << 10 });
  rig.take(disk);
  expect(rig.store.prepareWrite(0, 2 ** 36, 1, NOBODY, 0, 1, outcomes)).toBe(false);
  rig.world.run(0);
  expect(outcomes.byTag.get(1)).toBe(Status.OK);
  expect(rig.store.counters.intentOverflow).toBe(true);
});

test('closing waits for a flush that nothing else waits for', () => {
  const held = new HeldRequests(1);
  let slow = false;
  const disk = createdDisk().copy({ schedule: (request, end) => (slow ? held.schedule(request, end) : end()) });
  rig.take(disk);
  slow = true;
  rig.store.flush(1, outcomes);
  rig.world.run(0);
  let closed = -1;
  rig.store.close((status) => {
    closed = status;
  });
  for (let i = 0; i < 100 && closed === -1; i++) {
    held.endOne();
    rig.world.run(0);
  }
  expect(closed).toBe(Status.OK);
  expect(outcomes.byTag.get(1)).toBe(Status.OK);
});

test('closing waits for what is under way and leaves an empty journal', () => {
  let committed = -1;
  rig.store.commit({ dirtyAdd: [{ memberIds: [1], ranges: [chunks(0, 1)] }] }, (status) => {
    committed = status;
  });
  rig.store.flush(1, outcomes);
  expect(rig.close()).toBe(Status.OK);
  expect(committed).toBe(Status.OK);
  expect(outcomes.byTag.get(1)).toBe(Status.OK);
  rig.disk.abandon();
  expect(rig.disk.volatileCount).toBe(0);
  rig.reopen(BOOT_2);
  expect(rig.store.volatileLost).toBe(false);
});

test('I11: closing ends, with the error, where the disk refuses last_io at once', () => {
  rig.store.recordLastIo(0, 1, 0, 4096);
  rig.disk.fail('write', Status.EIO);
  expect(rig.close()).toBe(Status.EIO);
});
