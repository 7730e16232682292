import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeUuid, GIB, KIB, MIB, OPERATION_ERRORS, readU32 } from '@rmr/runtime';
import { CheckedTables, codeWords, layoutComplaints, numberedNames, rowNames, sizedFields, sizeOf } from '@rmr/testing';
import { describe, expect, test } from 'vitest';
import { MAP_SIDES, MEMBER_SLOTS, PAGE_BYTES, RECORD_BYTES_MAX, SECTOR_BYTES } from '../constants.ts';
import { testUuid } from '../testing/store-rig.ts';
import type { MemberRecord } from '../types.ts';
import { DOUBT_BYTES } from './doubt.ts';
import {
  DIRTY_CLEAR,
  DIRTY_SET,
  INTENT_ENTER,
  INTENT_LEAVE,
  INTENT_OVERFLOW,
  MAP_SWITCH,
  POLICY,
  PROMISE,
  SIDES,
  SLOTS,
  USAGE,
  UsageFlag,
  VERSION,
} from './entries.ts';
import { addEntry, EntryType } from './entry.ts';
import { encodeLastIo, LAST_IO_ENTRY_BYTES } from './last-io-entry.ts';
import {
  computeLayout,
  DOUBT_OFFSET,
  HOME_A_OFFSET,
  HOME_B_OFFSET,
  JOURNAL_OFFSET,
  journalBytesFor,
  LAST_IO_OFFSET,
  mapOffset,
  SUPERBLOCK_A_OFFSET,
  SUPERBLOCK_B_OFFSET,
} from './layout.ts';
import { LIVES } from './lives.ts';
import { CHUNKS_PER_PAGE, encodeMapPage } from './map-sector.ts';
import { MEMBERS, MemberFlag } from './member-entry.ts';
import { ENTRY_HEADER_BYTES, RECORD_HEADER_BYTES, RecordMagic, RecordWriter } from './record.ts';
import { encodeSuperblock, invalidSuperblock, SUPERBLOCK_BYTES, type Superblock } from './superblock.ts';

const document = readFileSync(join(import.meta.dirname, '../../../../docs/on-disk-format.md'), 'utf8');
const tables = new CheckedTables(document);

const SUPERBLOCK: Superblock = {
  storeUuid: testUuid(1),
  poolUuid: testUuid(2),
  lineageUuid: testUuid(3),
  poolName: 'pool',
  memberId: 3,
  sizeBytes: GIB,
  chunkSizeBytes: 64 * KIB,
  queueDepth: 128,
  regionBytes: 8 * MIB,
  journalBytes: 4 * MIB,
  witness: false,
  formatVersion: 2,
  sequence: 7,
  createdZeroed: false,
};

function superblock(changes: Partial<Superblock> = {}): Uint8Array {
  const page = new Uint8Array(SUPERBLOCK_BYTES);
  encodeSuperblock(page, { ...SUPERBLOCK, ...changes });
  return page;
}

const text = (content: string) => new TextEncoder().encode(content);

/** The name of a field with how many bytes it has, and what stands there; without a name: what has no size of its own. */
type Part = readonly [field: string, value: number | string] | Uint8Array;

function bytesOf(part: Part): Uint8Array {
  if (part instanceof Uint8Array) return part;
  const [field, value] = part;
  const bytes = new Uint8Array(Number(field.split(' ').at(-1)));
  if (typeof value === 'string') encodeUuid(value, bytes, 0);
  else for (let i = 0, rest = value; i < bytes.length; i++, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
  return bytes;
}

/** The payload of the entry that `add` puts into a record. */
function payloadOf(add: (writer: RecordWriter) => void): Uint8Array {
  const writer = new RecordWriter();
  writer.begin();
  add(writer);
  const length = readU32(writer.bytes, RECORD_HEADER_BYTES + 4);
  const at = RECORD_HEADER_BYTES + ENTRY_HEADER_BYTES;
  return writer.bytes.slice(at, at + length);
}

describe('docs/on-disk-format.md', () => {
  test('the layout', () => {
    const { rows } = tables.take('Layout', 'offset', 'size', 'area');
    const layout = computeLayout(SUPERBLOCK);
    const fixed = [
      [SUPERBLOCK_A_OFFSET, SUPERBLOCK_BYTES],
      [DOUBT_OFFSET, DOUBT_BYTES],
      [DOUBT_OFFSET + DOUBT_BYTES, HOME_A_OFFSET - DOUBT_OFFSET - DOUBT_BYTES],
      [HOME_A_OFFSET, RECORD_BYTES_MAX],
      [HOME_B_OFFSET, RECORD_BYTES_MAX],
      [LAST_IO_OFFSET, LAST_IO_ENTRY_BYTES],
      [SUPERBLOCK_B_OFFSET, SUPERBLOCK_BYTES],
      [JOURNAL_OFFSET, journalBytesFor(MIB)],
    ];
    expect(rows.slice(0, fixed.length).map(([offset = '', size = '']) => [sizeOf(offset), sizeOf(size)])).toEqual(fixed);
    expect(rows.slice(fixed.length).map(([offset, size]) => [offset, size])).toEqual([
      ['behind it', `${MEMBER_SLOTS * MAP_SIDES} × map size`],
      ['next whole MiB', 'device size'],
    ]);
    expect(mapOffset(layout, 0, 0)).toBe(JOURNAL_OFFSET + layout.journalBytes);
    expect(layout.dataOffset).toBe(Math.ceil((layout.mapsOffset + MEMBER_SLOTS * MAP_SIDES * layout.mapBytes) / MIB) * MIB);
    expect(layout.totalBytes).toBe(layout.dataOffset + GIB);
  });

  test('the superblock', () => {
    const table = tables.take('Superblock', 'offset', 'size', 'field');
    const layout = computeLayout(SUPERBLOCK);
    const poolName = new Uint8Array(255);
    poolName.set(text('pool'));
    const values = {
      magic: text('RMRSTORE'),
      checksum: 'any',
      'format version': 2,
      'store UUID': bytesOf(['UUID 16', testUuid(1)]),
      'pool UUID': bytesOf(['UUID 16', testUuid(2)]),
      'lineage UUID': bytesOf(['UUID 16', testUuid(3)]),
      sequence: 7,
      'device size': GIB,
      'chunk size': 64 * KIB,
      'queue depth': 128,
      'region size': 8 * MIB,
      'journal size': 4 * MIB,
      'member id': 3,
      'member slots': MEMBER_SLOTS,
      'map sides': MAP_SIDES,
      flags: 0,
      'offset of home A': HOME_A_OFFSET,
      'offset of home B': HOME_B_OFFSET,
      'offset of last_io': LAST_IO_OFFSET,
      'offset of the journal': JOURNAL_OFFSET,
      'offset of the maps': layout.mapsOffset,
      'offset of the data': layout.dataOffset,
      'pool name length': 4,
      'pool name': poolName,
    } as const;
    expect(layoutComplaints(table, superblock(), values)).toEqual([]);

    const [flagsAt = '', , flags = ''] = table.rows.find(([, , field = '']) => field.startsWith('flags')) ?? [];
    const flagsOf = (changes: Partial<Superblock>) => new DataView(superblock(changes).buffer).getUint32(Number(flagsAt), true);
    expect(numberedNames(flags)).toEqual({ CREATED_ZEROED: flagsOf({ createdZeroed: true }), WITNESS: flagsOf({ witness: true }) });
    expect(invalidSuperblock(superblock({ createdZeroed: true }))).toBeNull();
  });

  test('the header of a record, and that of an entry', () => {
    const writer = new RecordWriter();
    writer.begin();
    addEntry(writer, INTENT_OVERFLOW, true);
    const bytes = writer.finish(RecordMagic.JOURNAL, 2 ** 40 + 1, 2 ** 41 + 2, 99);
    const record = tables.take('Records', 'offset', 'size', 'field');
    const length = RECORD_HEADER_BYTES + ENTRY_HEADER_BYTES + 8;
    const values = {
      magic: text('RMRJ'),
      checksum: 'any',
      sequence: 2 ** 40 + 1,
      tail: 2 ** 41 + 2,
      length,
      'number of entries': 1,
    } as const;
    expect(layoutComplaints(record, bytes.subarray(0, RECORD_HEADER_BYTES), values)).toEqual([]);
    const [, , magic = ''] = record.rows[0] ?? [];
    expect(codeWords(magic)).toEqual(
      [RecordMagic.JOURNAL, RecordMagic.HOME].map((number) => String.fromCharCode(...bytesOf(['magic 4', number]))),
    );
    const entry = tables.take('Entries', 'offset', 'size', 'field');
    const header = bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + ENTRY_HEADER_BYTES);
    expect(layoutComplaints(entry, header, { type: EntryType.INTENT_OVERFLOW, 'payload length': 4 })).toEqual([]);
  });

  const entries = tables.take('Entries', 'type', 'name', 'payload, with sizes in bytes');

  test('the types of entries', () => {
    expect(rowNames(entries)).toEqual(EntryType);
    const [, , usage = ''] = entries.rows.find(([, name]) => name === 'USAGE') ?? [];
    expect(numberedNames(usage)).toEqual(UsageFlag);
  });

  const DIRTY: readonly Part[] = [
    ['slot mask 4', 5],
    ['ranges 4', 1],
    ['first chunk 4', 6],
    ['chunks 4', 7],
  ];
  const PAYLOADS: Readonly<
    Record<Exclude<keyof typeof EntryType, 'MEMBERS'>, readonly [add: (writer: RecordWriter) => void, parts: readonly Part[]]>
  > = {
    PROMISE: [
      (writer) => addEntry(writer, PROMISE, { epoch: 2 ** 40 + 1, clientInstance: testUuid(4), clientName: 'name' }),
      [['epoch 8', 2 ** 40 + 1], ['client instance 16', testUuid(4)], ['name length 2', 4], text('name')],
    ],
    VERSION: [
      (writer) =>
        addEntry(writer, VERSION, {
          lineageUuid: testUuid(4),
          epoch: 1,
          seq: 2,
          horizon: 3,
          inSync: [{ memberId: 5, storeUuid: testUuid(6) }],
        }),
      [
        ['lineage 16', testUuid(4)],
        ['epoch 8', 1],
        ['seq 8', 2],
        ['horizon 8', 3],
        ['members 1', 1],
        ['zero 7', 0],
        ['id 1', 5],
        ['zero 7', 0],
        ['store UUID 16', testUuid(6)],
      ],
    ],
    USAGE: [
      (writer) => addEntry(writer, USAGE, { volatileLost: true, cleanShutdown: false, released: true, bootId: testUuid(4), openCount: 6 }),
      [
        ['flags 4', UsageFlag.VOLATILE_LOST | UsageFlag.RELEASED],
        ['zero 4', 0],
        ['boot id 16', testUuid(4)],
        ['number of opens 8', 6],
      ],
    ],
    SLOTS: [
      (writer) => addEntry(writer, SLOTS, Int16Array.of(3, -1, -1, -1, -1, -1, -1, -1)),
      [['member id + 1 2', 4], new Uint8Array((MEMBER_SLOTS - 1) * 2)],
    ],
    SIDES: [
      (writer) => addEntry(writer, SIDES, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)),
      [['side in use 1', 1], new Uint8Array(MEMBER_SLOTS - 1)],
    ],
    DIRTY_SET: [(writer) => addEntry(writer, DIRTY_SET, { slotMask: 5, ranges: [[6, 7]] }), DIRTY],
    DIRTY_CLEAR: [(writer) => addEntry(writer, DIRTY_CLEAR, { slotMask: 5, ranges: [[6, 7]] }), DIRTY],
    MAP_SWITCH: [
      (writer) => addEntry(writer, MAP_SWITCH, { slot: 5, side: 1 }),
      [
        ['slot 1', 5],
        ['side 1', 1],
        ['zero 6', 0],
      ],
    ],
    INTENT_ENTER: [(writer) => addEntry(writer, INTENT_ENTER, [5]), [['its number 4', 5]]],
    INTENT_LEAVE: [(writer) => addEntry(writer, INTENT_LEAVE, [5]), [['its number 4', 5]]],
    INTENT_OVERFLOW: [(writer) => addEntry(writer, INTENT_OVERFLOW, true), [['state 4', 1]]],
    POLICY: [
      (writer) => addEntry(writer, POLICY, { quorum: 'majority', highestMemberId: 5, formerLineages: [testUuid(6)] }),
      [
        ['quorum 1', 1],
        ['highest member id 1', 5],
        ['former lineages 1', 1],
        ['zero 5', 0],
        ['UUID 16', testUuid(6)],
      ],
    ],
    LIVES: [
      (writer) =>
        addEntry(writer, LIVES, { all: [{ lifeUuid: testUuid(4), firstAge: 5, lastAge: null, openedAtMs: 2 ** 40 }], told: true }),
      [
        ['lives 1', 1],
        ['zero 7', 0],
        ['UUID 16', testUuid(4)],
        ['first age 8', 5],
        ['last age 8', 0],
        ['opened at 8', 2 ** 40],
        ['flags 4', 1],
        ['zero 4', 0],
      ],
    ],
  };

  test.each(Object.entries(PAYLOADS))('the payload of %s', (name, [add, parts]) => {
    const [, , described = ''] = entries.rows.find(([, entry]) => entry === name) ?? [];
    expect(sizedFields(described)).toEqual(namesOf(parts));
    expect(Buffer.from(payloadOf(add)).toString('hex')).toBe(Buffer.concat(parts.map(bytesOf)).toString('hex'));
  });

  test('the member table', () => {
    const flags = tables.take('The member table', 'flag', 'name');
    expect(rowNames(flags)).toEqual(MemberFlag);
    const table = tables.take('The member table', 'part', 'bytes', 'content');
    const member: MemberRecord = {
      memberId: 5,
      storeUuid: testUuid(6),
      name: 'name',
      addresses: ['addr'],
      role: 'witness',
      left: { epoch: 7, seq: 8 },
      seen: { lifeUuid: testUuid(9), age: 10, atMs: 2 ** 40 },
      anew: { epoch: 11, seq: 12 },
    };
    const parts: Readonly<Record<string, readonly Part[]>> = {
      head: [
        ['id 1', 5],
        ['name length 1', 4],
        ['addresses 1', 1],
        ['flags 1', MemberFlag.WITNESS | MemberFlag.LEFT | MemberFlag.SEEN | MemberFlag.ANEW],
        ['store UUID 16', testUuid(6)],
      ],
      name: [text('name')],
      'per address': [['length 1', 4], text('addr')],
      'with LEFT or JOINED': [
        ['epoch 8', 7],
        ['seq 8', 8],
      ],
      'with SEEN': [
        ['life 16', testUuid(9)],
        ['age 8', 10],
        ['when 8', 2 ** 40],
      ],
      'with ANEW': [
        ['epoch 8', 11],
        ['seq 8', 12],
      ],
    };
    expect(table.rows.map(([part, , content = '']) => [part, sizedFields(content)])).toEqual(
      Object.entries(parts).map(([part, content]) => [part, namesOf(content)]),
    );
    const bytes = Object.fromEntries(Object.entries(parts).map(([part, content]) => [part, Buffer.concat(content.map(bytesOf))]));
    for (const [part = '', size = ''] of table.rows) if (/^\d+$/.test(size)) expect(bytes[part]?.length, part).toBe(Number(size));
    const head = Buffer.of(1, 0, 0, 0, 0, 0, 0, 0);
    expect(Buffer.from(payloadOf((writer) => addEntry(writer, MEMBERS, [member]))).toString('hex')).toBe(
      Buffer.concat([head, ...Object.values(bytes)]).toString('hex'),
    );
  });

  test('a sector of a dirty map', () => {
    const page = new Uint8Array(PAGE_BYTES);
    const bitmap = Uint8Array.from({ length: CHUNKS_PER_PAGE / 8 }, (_, i) => i % 251);
    encodeMapPage(page, 0, bitmap, 2, 99);
    const values = { checksum: 'any', 'sector number': 16, bits: bitmap.subarray(0, 504) } as const;
    expect(layoutComplaints(tables.take('Dirty maps', 'offset', 'size', 'field'), page.subarray(0, SECTOR_BYTES), values)).toEqual([]);
  });

  test('an entry of last_io', () => {
    const bytes = new Uint8Array(LAST_IO_ENTRY_BYTES);
    encodeLastIo(bytes, 0, 1, 99, 2 ** 40 + 1, 2 ** 41 + 2, 3);
    const values = { 'write sequence': 2 ** 40 + 1, offset: 2 ** 41 + 2, length: 3, check: 'any' } as const;
    expect(layoutComplaints(tables.take('last_io', 'offset', 'size', 'field'), bytes, values)).toEqual([]);
  });

  test('the errors of a store', () => {
    const codes = tables.take('What is refused', 'code').rows.map(([code = '']) => codeWords(code)[0]);
    expect(codes.sort()).toEqual(
      Object.keys(OPERATION_ERRORS)
        .filter((code) => code.startsWith('STORE_'))
        .sort(),
    );
  });

  test('every table was compared with something', () => {
    expect(tables.left).toEqual([]);
  });
});

function namesOf(parts: readonly Part[]): readonly string[] {
  return parts.flatMap((part) => (part instanceof Uint8Array ? [] : [part[0]]));
}
