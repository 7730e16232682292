import { crc32c, GIB, KIB, MIB, readU32, TIB, writeU32 } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { FORMAT_VERSION, FORMAT_VERSION_OLDEST, FORMER_LINEAGES_MAX, PAGE_BYTES, RECORD_BYTES_MAX, SECTOR_BYTES } from '../constants.ts';
import { testUuid } from '../testing/store-rig.ts';
import type { MemberRecord, PoolPolicy } from '../types.ts';
import {
  INTENT_ENTER,
  invalidEntries,
  invalidPolicy,
  isPolicyDefault,
  POLICY,
  POLICY_DEFAULT,
  PROMISE,
  USAGE,
  VERSION,
} from './entries.ts';
import { addEntry } from './entry.ts';
import { encodeLastIo, invalidLastIo, LAST_IO_ENTRY_BYTES, lastIoEmpty } from './last-io-entry.ts';
import { computeLayout, type Geometry, invalidGeometry, journalBytesFor, mapOffset, regionBytesFor } from './layout.ts';
import { BITMAP_BYTES_PER_PAGE, CHUNKS_PER_PAGE, decodeMapPage, encodeMapPage, invalidMapPage } from './map-sector.ts';
import { invalidMembers, MEMBERS, MemberFlag, readMembers } from './member-entry.ts';
import { invalidRecord, RECORD_HEADER_BYTES, RecordMagic, RecordWriter } from './record.ts';
import {
  decodeSuperblock,
  encodeSuperblock,
  invalidSuperblock,
  SUPERBLOCK_BYTES,
  type Superblock,
  storeSeed,
  superblockFollows,
} from './superblock.ts';

const SUPERBLOCK: Superblock = {
  storeUuid: '11111111-2222-4333-8444-555555555555',
  poolUuid: '66666666-7777-4888-8999-aaaaaaaaaaaa',
  lineageUuid: 'bbbbbbbb-cccc-4ddd-8eee-ffffffffffff',
  poolName: 'pöol',
  memberId: 3,
  sizeBytes: GIB,
  chunkSizeBytes: 128 * KIB,
  queueDepth: 128,
  regionBytes: 4 * MIB,
  journalBytes: 4 * MIB,
  witness: false,
  formatVersion: 2,
  sequence: 7,
  createdZeroed: true,
};

const LIMITS = { grid: { chunkCount: 1 }, regionCount: 1 };

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function superblockPage(): Uint8Array {
  const page = new Uint8Array(SUPERBLOCK_BYTES);
  encodeSuperblock(page, SUPERBLOCK);
  return page;
}

test('golden: the bytes of a superblock', () => {
  const page = superblockPage();
  expect(hex(page.subarray(0, 176))).toBe(
    [
      '524d5253544f5245', // magic
      'af23a3ee', // checksum
      '02000000', // format version
      '11111111222243338444555555555555',
      '66666666777748888999aaaaaaaaaaaa',
      'bbbbbbbbcccc4ddd8eeeffffffffffff',
      '0700000000000000', // sequence
      '0000004000000000', // device bytes
      '00000200', // chunk bytes
      '80000000', // queue depth
      '0000400000000000', // region bytes
      '00004000', // journal bytes
      '03000000', // member id
      '08020000', // member slots, map sides
      '01000000', // flags
      '0000010000000000', // home A
      '0000020000000000', // home B
      '0000030000000000', // last_io
      '0000100000000000', // journal
      '0000500000000000', // maps
      '0000600000000000', // data
      '0500000000000000', // name length
      '70c3b66f6c000000', // name
    ].join(''),
  );
  expect(page.subarray(176).every((byte) => byte === 0)).toBe(true);
  expect(decodeSuperblock(page)).toEqual(SUPERBLOCK);
});

test('golden: what a witness has instead: a flag, the offsets of the same areas, and no data behind them', () => {
  const witness: Superblock = { ...SUPERBLOCK, witness: true };
  const page = new Uint8Array(SUPERBLOCK_BYTES);
  encodeSuperblock(page, witness);
  expect(hex(page.subarray(108, 112))).toBe('03000000');
  expect(hex(page.subarray(12, 108))).toBe(hex(superblockPage().subarray(12, 108)));
  expect(hex(page.subarray(112))).toBe(hex(superblockPage().subarray(112)));
  expect(decodeSuperblock(page)).toEqual(witness);
  expect(computeLayout(witness)).toEqual({ ...computeLayout(SUPERBLOCK), witness: true, totalBytes: 6 * MIB });
});

test.each<[follows: boolean, what: string, change: Partial<Superblock>]>([
  [true, 'the next sequence', {}],
  [true, 'a newer format version, too', { formatVersion: FORMAT_VERSION }],
  [false, 'the same sequence', { sequence: SUPERBLOCK.sequence }],
  [false, 'an older format version', { formatVersion: FORMAT_VERSION_OLDEST }],
  [false, 'another device size', { sizeBytes: SUPERBLOCK.sizeBytes - 4096 }],
  [false, 'another store', { storeUuid: testUuid(0x99) }],
])('a superblock follows another one (%s) with %s', (follows, _what, change) => {
  const former = { ...SUPERBLOCK, formatVersion: FORMAT_VERSION_OLDEST + (change.formatVersion === FORMAT_VERSION_OLDEST ? 1 : 0) };
  expect(superblockFollows(former, { ...former, sequence: former.sequence + 1, ...change })).toBe(follows);
});

test('a superblock with any byte changed is refused', () => {
  const page = superblockPage();
  for (let at = 0; at < SUPERBLOCK_BYTES; at++) {
    const before = page[at] as number;
    page[at] = before ^ 0x10;
    expect(invalidSuperblock(page), `byte ${at}`).not.toBeNull();
    page[at] = before;
  }
  expect(invalidSuperblock(page)).toBeNull();
  expect(invalidSuperblock(page.subarray(0, 512))).toBe('it is not one page');
});

test.each<[string, number, number[], RegExp]>([
  ['another number of member slots', 104, [4], /member slots/],
  ['unknown flags', 108, [4], /unknown flags/],
  ['a member id beyond a byte', 101, [1], /member id/],
  ['no sequence', 64, [0], /sequence/],
  ['an odd chunk size', 80, [1], /chunk size/],
  ['no queue depth', 84, [0], /queue depth/],
  ['a data area elsewhere', 152, [1], /offsets/],
  ['a name that is too long', 161, [2], /pool name/],
  ['a name that is no UTF-8', 169, [0xff], /UTF-8/],
  ['bytes behind the name', 200, [1], /reserved/],
  ['bytes at its end', 4095, [1], /reserved/],
  ['a format version that never was', 12, [0], /format version/],
  ['a format version to come', 12, [3], /format version/],
  ['bytes between', 106, [1], /reserved/],
])('a superblock with %s and a right checksum is refused', (_what, at, bytes, reason) => {
  const page = superblockPage();
  page.set(bytes, at);
  new DataView(page.buffer).setUint32(8, crc32c(page.subarray(12)), true);
  expect(invalidSuperblock(page)).toMatch(reason);
});

test('golden: the bytes of a journal record with a promise, a version, usage and a region', () => {
  const writer = new RecordWriter();
  writer.begin();
  addEntry(writer, PROMISE, { epoch: 5, clientInstance: testUuid(0x77), clientName: 'c1' });
  addEntry(writer, VERSION, {
    lineageUuid: testUuid(3),
    epoch: 5,
    seq: 6,
    horizon: 2 ** 33,
    inSync: [{ memberId: 2, storeUuid: testUuid(9) }],
  });
  addEntry(writer, USAGE, { volatileLost: true, cleanShutdown: false, released: false, bootId: testUuid(0xb0), openCount: 4 });
  addEntry(writer, INTENT_ENTER, [0x010203]);
  const bytes = writer.finish(RecordMagic.JOURNAL, 9, 8, storeSeed(SUPERBLOCK.storeUuid));
  expect(bytes.length).toBe(PAGE_BYTES);
  expect(hex(bytes.subarray(0, 256))).toBe(
    [
      '524d524a', // magic
      '8c3da39d', // checksum
      '0900000000000000', // sequence
      '0800000000000000', // tail
      'f0000000', // length
      '04000000', // entries
      '00'.repeat(32),
      '010000001c000000', // promise, 28 bytes
      '0500000000000000',
      '00000000000040008000000000000077',
      '02006331', // name
      '00000000',
      '0200000048000000', // version, 72 bytes
      '00000000000040008000000000000003',
      '0500000000000000',
      '0600000000000000',
      '0000000002000000',
      '0100000000000000',
      '0200000000000000',
      '00000000000040008000000000000009',
      '0400000020000000', // usage, 32 bytes
      '01000000',
      '00000000',
      '000000000000400080000000000000b0',
      '0400000000000000',
      '0a00000004000000', // intent enter
      '0302010000000000',
      '00'.repeat(16),
    ].join(''),
  );
});

test('golden: the bytes of a member table with a witness, a member in maintenance, one that has left and one that has joined', () => {
  const writer = new RecordWriter();
  writer.begin();
  const members: MemberRecord[] = [
    { memberId: 1, storeUuid: testUuid(0x11), name: 'n1', addresses: ['a'] },
    { memberId: 2, storeUuid: testUuid(0x12), name: 'n2', addresses: ['b', 'cc'], maintenance: true, joined: { epoch: 5, seq: 1 } },
    { memberId: 3, storeUuid: testUuid(0x14), name: 'n3', addresses: ['d'], left: { epoch: 7, seq: 258 } },
    { memberId: 9, storeUuid: testUuid(0x13), name: '', addresses: [], role: 'witness' },
  ];
  addEntry(writer, MEMBERS, members);
  const { bytes } = writer;
  expect(hex(bytes.subarray(RECORD_HEADER_BYTES, writer.lengthBytes))).toBe(
    [
      '0300000087000000', // member table, 135 bytes
      '0400000000000000',
      '01020100', // id, name length, addresses, flags
      '00000000000040008000000000000011',
      '6e31',
      '0161',
      '0202020a', // in maintenance, has joined
      '00000000000040008000000000000012',
      '6e32',
      '0162',
      '026363',
      '05000000000000000100000000000000', // with version 5.1
      '03020104', // has left
      '00000000000040008000000000000014',
      '6e33',
      '0164',
      '07000000000000000201000000000000', // with version 7.258
      '09000001', // witness
      '00000000000040008000000000000013',
      '00',
    ].join(''),
  );
  const at = RECORD_HEADER_BYTES + 8;
  expect(readMembers(bytes, at, 135)).toEqual(members);
  const invalid = (): string | null => invalidEntries(bytes, RECORD_HEADER_BYTES, writer.lengthBytes, LIMITS);
  expect(invalid()).toBeNull();
  // The version that a member has left with begins at 1.
  const seqAt = at + 8 + 24 + 43 + 24 + 8;
  expect(bytes[seqAt]).toBe(2);
  bytes.fill(0, seqAt, seqAt + 8);
  expect(invalid()).toMatch(/member table/);
  bytes[seqAt] = 1;
  expect(invalid()).toBeNull();
  const flagsAt = at + 8 + 24 + 43 + 3;
  expect(bytes[flagsAt]).toBe(MemberFlag.LEFT);
  for (const flags of [MemberFlag.LEFT | MemberFlag.JOINED, 64 | MemberFlag.LEFT]) {
    bytes[flagsAt] = flags;
    expect(invalid()).toMatch(/member table/);
  }
});

test('golden: the bytes of a member table with a mark that was seen, a store that was accepted anew, and both with a move', () => {
  const seen = { lifeUuid: testUuid(0x71), age: 0x0102, atMs: 0x010203040506 };
  const anew = { epoch: 9, seq: 3 };
  const members: MemberRecord[] = [
    { memberId: 1, storeUuid: testUuid(0x11), name: 'n', addresses: ['a'], seen },
    { memberId: 2, storeUuid: testUuid(0x12), name: '', addresses: [], left: { epoch: 8, seq: 1 }, seen, anew },
    { memberId: 3, storeUuid: testUuid(0x13), name: '', addresses: [], anew },
  ];
  const writer = new RecordWriter();
  writer.begin();
  addEntry(writer, MEMBERS, members);
  const { bytes } = writer;
  const size = 8 + 23 + 32 + 20 + 16 + 32 + 16 + 20 + 16;
  expect(hex(bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + 8 + size))).toBe(
    [
      '03000000b7000000', // member table, 183 bytes
      '0300000000000000',
      '01010110', // seen
      '00000000000040008000000000000011',
      '6e',
      '0161',
      '00000000000040008000000000000071', // life
      '0201000000000000', // age
      '0605040302010000', // when
      '02000034', // has left, seen, anew
      '00000000000040008000000000000012',
      '08000000000000000100000000000000', // left with version 8.1
      '00000000000040008000000000000071',
      '0201000000000000',
      '0605040302010000',
      '09000000000000000300000000000000', // accepted with version 9.3
      '03000020', // anew
      '00000000000040008000000000000013',
      '09000000000000000300000000000000',
    ].join(''),
  );
  const at = RECORD_HEADER_BYTES + 8;
  expect(readMembers(bytes, at, size)).toEqual(members);
  for (let cut = 0; cut < size; cut++) expect(readMembers(bytes, at, cut), `${cut} bytes`).toBeNull();
  const invalid = (): string | null => invalidEntries(bytes, RECORD_HEADER_BYTES, writer.lengthBytes, LIMITS);
  expect(invalid()).toBeNull();
  const seenAt = at + 8 + 23;
  for (const [offset, value] of [
    [seenAt + 16, [0, 0]], // an age of 0
    [seenAt + 23, [0x20]], // an age beyond 2^53
    [seenAt + 31, [0x20]], // a time beyond 2^53
    [at + size - 16, [0]], // an epoch of 0
    [at + size - 8, [0]], // a seq of 0
    [at + 8 + 3, [0x50]], // a flag that nobody knows
  ] as const) {
    const before = bytes.slice(offset, offset + value.length);
    bytes.set(value, offset);
    expect(invalid(), `byte ${offset}`).toMatch(/member table/);
    bytes.set(before, offset);
  }
  expect(invalid()).toBeNull();
});

test.each<[string, Partial<MemberRecord>, RegExp]>([
  ['a life that is no UUID', { seen: { lifeUuid: 'life', age: 1, atMs: 0 } }, /the life that was seen of member 1 is not a UUID/],
  ['an age of 0', { seen: { lifeUuid: testUuid(1), age: 0, atMs: 0 } }, /seen of member 1 .* out of range/],
  ['a fraction of an age', { seen: { lifeUuid: testUuid(1), age: 1.5, atMs: 0 } }, /seen of member 1 .* out of range/],
  ['a time before 1970', { seen: { lifeUuid: testUuid(1), age: 1, atMs: -1 } }, /seen of member 1 .* out of range/],
  ['a fraction of a millisecond', { seen: { lifeUuid: testUuid(1), age: 1, atMs: 0.5 } }, /seen of member 1 .* out of range/],
  ['a version of epoch 0 to be accepted with', { anew: { epoch: 0, seq: 1 } }, /member 1 names the version 0\.1/],
  ['a version of seq 0 to have left with', { left: { epoch: 1, seq: 0 } }, /member 1 names the version 1\.0/],
])('a member with %s is refused, with the reason', (_what, change, reason) => {
  const member: MemberRecord = { memberId: 1, storeUuid: testUuid(1), name: 'n', addresses: [] };
  const good = { ...member, seen: { lifeUuid: testUuid(1), age: 1, atMs: 0 }, anew: { epoch: 1, seq: 1 } };
  expect(invalidMembers([good])).toBeNull();
  expect(invalidMembers([{ ...good, ...change }])).toMatch(reason);
});

test('golden: the flags of a usage, each by itself; an unknown one is refused', () => {
  const none = { volatileLost: false, cleanShutdown: false, released: false, bootId: testUuid(1), openCount: 1 };
  for (const [change, flags] of [
    [{}, 0],
    [{ volatileLost: true }, 1],
    [{ cleanShutdown: true }, 2],
    [{ released: true }, 4],
  ] as const) {
    const writer = new RecordWriter();
    writer.begin();
    addEntry(writer, USAGE, { ...none, ...change });
    const at = RECORD_HEADER_BYTES + 8;
    expect(readU32(writer.bytes, at)).toBe(flags);
    expect(USAGE.read(writer.bytes, at, 32)).toEqual({ ...none, ...change });
    writeU32(writer.bytes, at, 8);
    expect(invalidEntries(writer.bytes, RECORD_HEADER_BYTES, writer.lengthBytes, LIMITS)).toMatch(/unknown flags/);
  }
});

test('golden: the bytes of policies, with former lineages and without', () => {
  const writer = new RecordWriter();
  writer.begin();
  const forced: PoolPolicy = { quorum: 'majority', highestMemberId: 0xfe, formerLineages: [testUuid(0x21), testUuid(0x22)] };
  addEntry(writer, POLICY, forced);
  addEntry(writer, POLICY, POLICY_DEFAULT);
  const { bytes } = writer;
  expect(hex(bytes.subarray(RECORD_HEADER_BYTES, writer.lengthBytes))).toBe(
    [
      '0d00000028000000', // policy, 40 bytes
      '01fe020000000000', // quorum, highest member id, former lineages
      '00000000000040008000000000000021',
      '00000000000040008000000000000022',
      '0d00000008000000', // policy, 8 bytes
      '0000000000000000',
    ].join(''),
  );
  const at = RECORD_HEADER_BYTES + 8;
  expect(POLICY.read(bytes, at, POLICY.size(forced))).toEqual(forced);
  expect(POLICY.read(bytes, at + 48, POLICY.size(POLICY_DEFAULT))).toEqual(POLICY_DEFAULT);
  const invalid = (): string | null => invalidEntries(bytes, RECORD_HEADER_BYTES, writer.lengthBytes, LIMITS);
  expect(invalid()).toBeNull();
  for (const [offset, value, reason] of [
    [at, 2, /policy: not well formed/],
    [at + 2, 1, /policy: wrong length/],
    [at + 2, 3, /policy: wrong length/],
    [at + 3, 1, /policy: not well formed/],
    [at + 7, 1, /policy: not well formed/],
    [at - 4, 0, /policy: wrong length/],
  ] as const) {
    const before = bytes[offset] as number;
    bytes[offset] = value;
    expect(invalid(), `byte ${offset} = ${value}`).toMatch(reason);
    bytes[offset] = before;
  }
});

test('a policy remembers sixteen former lineages and no more', () => {
  const formerLineages = Array.from({ length: FORMER_LINEAGES_MAX + 1 }, (_, i) => testUuid(i));
  for (const [lineages, reason] of [
    [formerLineages.slice(1), null],
    [formerLineages, /too many former lineages/],
  ] as const) {
    const writer = new RecordWriter();
    writer.begin();
    addEntry(writer, POLICY, { ...POLICY_DEFAULT, formerLineages: lineages });
    const wrong = invalidEntries(writer.bytes, RECORD_HEADER_BYTES, writer.lengthBytes, LIMITS);
    if (reason === null) expect(wrong).toBeNull();
    else expect(wrong).toMatch(reason);
  }
});

test.each<[string, Partial<PoolPolicy>, RegExp]>([
  ['an unknown quorum', { quorum: 'all' as never }, /"all"; it must be none or majority/],
  ['a negative member id', { highestMemberId: -1 }, /from 0 to 255/],
  ['a member id beyond a byte', { highestMemberId: 256 }, /from 0 to 255/],
  ['a fraction of a member id', { highestMemberId: 1.5 }, /from 0 to 255/],
  ['too many former lineages', { formerLineages: Array.from({ length: 17 }, (_, i) => testUuid(i)) }, /17 former lineages.*at most 16/],
  ['a former lineage that is no UUID', { formerLineages: ['lineage'] }, /"lineage" is not a UUID/],
])('a policy with %s is refused, with the reason', (_what, change, reason) => {
  expect(invalidPolicy(POLICY_DEFAULT)).toBeNull();
  expect(invalidPolicy({ ...POLICY_DEFAULT, ...change })).toMatch(reason);
});

test.each<[string, Partial<PoolPolicy>]>([
  ['a majority', { quorum: 'majority' }],
  ['a member id', { highestMemberId: 1 }],
  ['a former lineage', { formerLineages: [testUuid(1)] }],
])('a policy with %s is not the default', (_what, change) => {
  expect(isPolicyDefault(POLICY_DEFAULT)).toBe(true);
  expect(isPolicyDefault({ ...POLICY_DEFAULT, ...change })).toBe(false);
});

test('a record with any byte of it changed is refused, and one of another store too', () => {
  const seed = storeSeed(SUPERBLOCK.storeUuid);
  const writer = new RecordWriter();
  writer.begin();
  addEntry(writer, USAGE, { volatileLost: true, cleanShutdown: false, released: false, bootId: testUuid(0xb0), openCount: 4 });
  const bytes = writer.finish(RecordMagic.HOME, 1, 1, seed).slice();
  expect(invalidRecord(bytes, 0, RecordMagic.HOME, seed)).toBeNull();
  expect(invalidRecord(bytes, 0, RecordMagic.JOURNAL, seed)).toMatch(/magic/);
  expect(invalidRecord(bytes, 0, RecordMagic.HOME, seed + 1)).toMatch(/checksum/);
  for (let at = 0; at < RECORD_HEADER_BYTES + 40; at++) {
    bytes[at] = (bytes[at] as number) ^ 1;
    expect(invalidRecord(bytes, 0, RecordMagic.HOME, seed), `byte ${at}`).not.toBeNull();
    bytes[at] = (bytes[at] as number) ^ 1;
  }
  for (const length of [0, 32, 64, 100]) {
    const cut = bytes.subarray(0, length);
    expect(invalidRecord(cut, 0, RecordMagic.HOME, seed)).not.toBeNull();
  }
});

test('entries come back as they went in, at their longest', () => {
  const writer = new RecordWriter();
  writer.begin();
  const members = Array.from({ length: 8 }, (_, memberId) => ({
    memberId,
    storeUuid: testUuid(memberId),
    name: 'ü'.repeat(127),
    addresses: Array.from({ length: 8 }, (__, i) => `${i}`.repeat(255)),
    role: 'witness' as const,
    maintenance: true,
    left: { epoch: Number.MAX_SAFE_INTEGER, seq: Number.MAX_SAFE_INTEGER },
    seen: { lifeUuid: testUuid(memberId), age: Number.MAX_SAFE_INTEGER, atMs: Number.MAX_SAFE_INTEGER },
    anew: { epoch: Number.MAX_SAFE_INTEGER, seq: Number.MAX_SAFE_INTEGER },
  }));
  const promise = { epoch: Number.MAX_SAFE_INTEGER, clientInstance: testUuid(1), clientName: 'x'.repeat(255) };
  const version = {
    lineageUuid: testUuid(2),
    epoch: Number.MAX_SAFE_INTEGER,
    seq: Number.MAX_SAFE_INTEGER,
    horizon: Number.MAX_SAFE_INTEGER,
    inSync: members.map(({ memberId, storeUuid }) => ({ memberId, storeUuid })),
  };
  const usage = { volatileLost: false, cleanShutdown: true, released: true, bootId: testUuid(4), openCount: 2 ** 40 };
  const at: number[] = [];
  const sizes: number[] = [];
  for (const add of [
    () => addEntry(writer, MEMBERS, members),
    () => addEntry(writer, PROMISE, promise),
    () => addEntry(writer, VERSION, version),
    () => addEntry(writer, USAGE, usage),
  ]) {
    at.push(writer.lengthBytes + 8);
    add();
    sizes.push(readU32(writer.bytes, (at.at(-1) as number) - 4));
  }
  const { bytes } = writer;
  expect(readMembers(bytes, at[0] as number, sizes[0] as number)).toEqual(members);
  expect(PROMISE.read(bytes, at[1] as number, sizes[1] as number)).toEqual(promise);
  expect(VERSION.read(bytes, at[2] as number, sizes[2] as number)).toEqual(version);
  expect(USAGE.read(bytes, at[3] as number, sizes[3] as number)).toEqual(usage);
  expect(invalidEntries(bytes, RECORD_HEADER_BYTES, writer.lengthBytes, { grid: { chunkCount: 1 }, regionCount: 1 })).toBeNull();
  expect(writer.lengthBytes).toBeLessThan(RECORD_BYTES_MAX / 2);
});

test('a torn map page is made of good sectors; a changed, moved or foreign one is refused', () => {
  const bitmap = new Uint8Array(BITMAP_BYTES_PER_PAGE).map((_, i) => i * 7);
  const older = new Uint8Array(PAGE_BYTES);
  const newer = new Uint8Array(PAGE_BYTES);
  encodeMapPage(older, 0, new Uint8Array(BITMAP_BYTES_PER_PAGE).fill(1), 5, 99);
  encodeMapPage(newer, 0, bitmap, 5, 99);
  const back = new Uint8Array(BITMAP_BYTES_PER_PAGE);
  decodeMapPage(newer, 0, back);
  expect(hex(back)).toBe(hex(bitmap));
  for (let sectors = 0; sectors < 256; sectors += 37) {
    const torn = older.slice();
    for (let sector = 0; sector < 8; sector++) {
      if ((sectors & (1 << sector)) !== 0)
        torn.set(newer.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES), sector * SECTOR_BYTES);
    }
    expect(invalidMapPage(torn, 0, 5, 99)).toBeNull();
  }
  expect(invalidMapPage(newer, 0, 6, 99)).toMatch(/says that it is sector/);
  expect(invalidMapPage(newer, 0, 5, 98)).toMatch(/checksum/);
  newer[1000] = (newer[1000] as number) ^ 1;
  expect(invalidMapPage(newer, 0, 5, 99)).toBe('sector 41 has a wrong checksum');
  expect(invalidMapPage(new Uint8Array(PAGE_BYTES), 0, 5, 99)).toBeNull();
});

test('golden: the bytes of a last_io entry; changed, moved and foreign ones are refused', () => {
  const bytes = new Uint8Array(64);
  expect(lastIoEmpty(bytes, 32)).toBe(true);
  encodeLastIo(bytes, 32, 1, 0x1234, 2 ** 40 + 1, 8192, 4096);
  expect(hex(bytes.subarray(32))).toBe('010000000001000000200000000000000010000000000000efe793ac00000000');
  expect(invalidLastIo(bytes, 32, 1, 0x1234, GIB)).toBeNull();
  expect(invalidLastIo(bytes, 32, 2, 0x1234, GIB)).toMatch(/check value/);
  expect(invalidLastIo(bytes, 32, 1, 0x1235, GIB)).toMatch(/check value/);
  expect(invalidLastIo(bytes, 32, 1, 0x1234, 8192)).toMatch(/leaves the device/);
  for (let at = 32; at < 32 + LAST_IO_ENTRY_BYTES; at++) {
    bytes[at] = (bytes[at] as number) ^ 0x80;
    expect(invalidLastIo(bytes, 32, 1, 0x1234, GIB), `byte ${at}`).not.toBeNull();
    bytes[at] = (bytes[at] as number) ^ 0x80;
  }
});

test.each<[number, number]>([
  [512, 4 * KIB],
  [GIB, 128 * KIB],
  [GIB + 512, 16 * MIB],
  [64 * TIB, 128 * KIB],
  [128 * TIB, 128 * KIB],
])('a device of %i bytes in chunks of %i has areas that follow one another, data at a whole MiB', (sizeBytes, chunkSizeBytes) => {
  const regionBytes = regionBytesFor(sizeBytes, chunkSizeBytes);
  const layout = computeLayout({
    sizeBytes,
    chunkSizeBytes,
    queueDepth: 128,
    regionBytes,
    journalBytes: journalBytesFor(sizeBytes),
    witness: false,
  });
  expect(layout.dataOffset % MIB).toBe(0);
  expect(mapOffset(layout, 7, 1) + layout.mapBytes).toBeLessThanOrEqual(layout.dataOffset);
  expect(layout.mapPages * CHUNKS_PER_PAGE).toBeGreaterThanOrEqual(layout.grid.chunkCount);
  expect(layout.totalBytes).toBe(layout.dataOffset + sizeBytes);
  expect(layout.regionCount).toBeLessThanOrEqual(2 ** 20);
});

test.each<[string, Partial<Geometry>]>([
  ['chunks that are no power of two', { chunkSizeBytes: 12 * KIB }],
  ['chunks below 4 KiB', { chunkSizeBytes: 2 * KIB }],
  ['chunks above 16 MiB', { chunkSizeBytes: 32 * MIB, regionBytes: 32 * MIB }],
  ['no device', { sizeBytes: 0 }],
  ['half a sector', { sizeBytes: GIB + 100 }],
  ['too many chunks', { sizeBytes: 64 * TIB, chunkSizeBytes: 4 * KIB, regionBytes: 64 * MIB }],
  ['no IO unit', { queueDepth: 0 }],
  ['too many IO units', { queueDepth: 4097 }],
  ['a fraction of an IO unit', { queueDepth: 1.5 }],
  ['regions smaller than chunks', { chunkSizeBytes: 16 * MIB }],
  ['too many regions', { sizeBytes: 64 * TIB }],
  ['a journal that holds no four records', { journalBytes: 128 * KIB }],
  ['a journal larger than is read at open', { journalBytes: 128 * MIB }],
  ['a size that is no number', { sizeBytes: Number.NaN }],
])('a geometry with %s is refused', (_what, change) => {
  const geometry = { sizeBytes: GIB, chunkSizeBytes: 128 * KIB, queueDepth: 128, regionBytes: 4 * MIB, journalBytes: MIB, witness: false };
  expect(invalidGeometry(geometry)).toBeNull();
  expect(invalidGeometry({ ...geometry, ...change })).not.toBeNull();
});
