import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Status } from '@rmr/runtime';
import { CheckedTables, codeWords, layoutComplaints, numberedNames, rowNames, sizeOf } from '@rmr/testing';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import {
  CONTROL_FAILURE_STATUS,
  CONTROL_HEADER_BYTES,
  claimResultSchema,
  commandResultSchema,
  controlFailureSchema,
  controlRequestSchema,
  emptyResultSchema,
  encodeControlHeader,
  handoverResultSchema,
  mapReadResultSchema,
  markResultSchema,
  owedResultSchema,
  probeResultSchema,
  readCheckResultSchema,
  recordedResultSchema,
  syncJoinResultSchema,
  userCommandSchema,
  versionSchema,
} from './control-message.ts';
import { encodeExtents } from './extents.ts';
import { encodeIoMessage, IO_MESSAGE_BYTES, IoFlag, IoMessage, invalidIoMessage, isWriteType, MessageType } from './io-message.ts';
import { packSparse } from './sparse-data.ts';
import { encodeUnresolved } from './unresolved-writes.ts';

const document = readFileSync(join(import.meta.dirname, '../../../../docs/wire-format.md'), 'utf8');
const tables = new CheckedTables(document.slice(document.indexOf('\n## RMR\n')));

function encoded(fields: Partial<IoMessage>): Uint8Array {
  const bytes = new Uint8Array(IO_MESSAGE_BYTES);
  encodeIoMessage(Object.assign(new IoMessage(), fields), bytes, 0);
  return bytes;
}

/** Whether a message of that type and these flags is refused for its length. */
function isTooLong(type: number, flags: number, lengthBytes: number): boolean {
  const blockShift = (flags & IoFlag.SPARSE) === 0 ? 0 : 12;
  const bytes = encoded({ type, flags, lengthBytes, blockShift, writeSeq: isWriteType(type) ? 1 : 0 });
  const wrong = invalidIoMessage(bytes, 0, bytes.length);
  expect([null, 'io message: length beyond the limit', 'io message: length does not fit the type']).toContain(wrong);
  return wrong !== null;
}

describe('docs/wire-format.md, RMR', () => {
  test('the IO message', () => {
    const missingMemberIds = Uint8Array.of(31, 32, 33, 34, 35, 36, 37, 38);
    const numbers = { type: 1, flags: 2, ioUnit: 0x0304, poolHandle: 5, epoch: 6, versionSeq: 7, offsetBytes: 2 ** 40 + 8, lengthBytes: 9 };
    const more = { missingCount: 8, missingMemberIds, blockShift: 12, felt: 13, writeSeq: 2 ** 41 + 10, completedThrough: 2 ** 42 + 11 };
    const values = {
      type: 1,
      flags: 2,
      ioUnit: 0x0304,
      'pool handle': 5,
      epoch: 6,
      'version sequence': 7,
      offset: 2 ** 40 + 8,
      length: 9,
      'missing members': 8,
      'missing ids': missingMemberIds,
      'block size': 12,
      felt: 13,
      'write sequence number': 2 ** 41 + 10,
      completedThrough: 2 ** 42 + 11,
    };
    expect(layoutComplaints(tables.take('IO message', 'offset', 'size', 'field'), encoded({ ...numbers, ...more }), values)).toEqual([]);
  });

  test('the types, and how long a request of each may be', () => {
    const table = tables.take('Types', 'type', 'name', 'length at most');
    expect(rowNames(table)).toEqual(MessageType);
    for (const [type = '', name, length = ''] of table.rows) {
      if (Number(type) === MessageType.CONTROL) continue;
      const limits = [[0, sizeOf(length)]] as [flags: number, max: number][];
      const sparse = length.split('with SPARSE ')[1];
      if (sparse !== undefined) limits.push([IoFlag.SPARSE, sizeOf(sparse)]);
      for (const [flags, max] of limits) {
        expect([isTooLong(Number(type), flags, max), isTooLong(Number(type), flags, max + 1)], name).toEqual([false, true]);
      }
    }
  });

  test('the flags, and what they may be set with', () => {
    const table = tables.take('Flags', 'flag', 'name', 'with');
    expect(rowNames(table)).toEqual(IoFlag);
    for (const [flag = '', name, use] of table.rows) {
      const others = use === 'SYNC_READ with SPARSE' ? IoFlag.SPARSE : 0;
      for (const [typeName, type] of Object.entries(MessageType)) {
        if (type === MessageType.CONTROL) continue;
        const flags = Number(flag) | others;
        const blockShift = (flags & IoFlag.SPARSE) === 0 ? 0 : 12;
        const lengthBytes = type === MessageType.FLUSH ? 0 : 512;
        const bytes = encoded({ type, flags, lengthBytes, blockShift, writeSeq: isWriteType(type) ? 1 : 0 });
        const isFit = use === 'any' || type === MessageType.SYNC_READ;
        expect(invalidIoMessage(bytes, 0, bytes.length), `${name} with ${typeName}`).toBe(
          isFit ? null : 'io message: a flag does not fit the type',
        );
      }
    }
  });

  test('runs, unresolved writes and sparse data', () => {
    const runs = tables.take('Runs', 'offset', 'size', 'field');
    expect(layoutComplaints(runs, encodeExtents([{ lengthBytes: 0x010203, hole: true }]), { length: 0x010203, flags: 1 })).toEqual([]);
    expect(numberedNames(runs.rows.flat().join(' '))).toEqual({ HOLE: 1 });

    const entry = { ioUnit: 0x0102, lengthBytes: 3, writeSeq: 2 ** 40 + 4, offsetBytes: 2 ** 41 + 5 };
    const bytes = new Uint8Array(100);
    const size = encodeUnresolved([entry], bytes);
    const values = { 'IO unit': 0x0102, length: 3, 'write sequence number': 2 ** 40 + 4, offset: 2 ** 41 + 5 };
    const unresolved = tables.take('Unresolved writes', 'offset', 'size', 'field');
    expect(layoutComplaints(unresolved, bytes.subarray(0, size), values)).toEqual([]);

    const holes = [512, 1024].map((lengthBytes) => ({ lengthBytes, hole: true }));
    const { start, end } = packSparse(bytes, 64, holes);
    const head = bytes.subarray(start, end - encodeExtents(holes).length);
    expect(layoutComplaints(tables.take('Sparse data', 'offset', 'size', 'field'), head, { 'number of runs': 2 })).toEqual([]);
  });

  test('the statuses', () => {
    expect(rowNames(tables.take('Status', 'status', 'name'))).toEqual(Status);
  });

  test('the header of control messages', () => {
    const bytes = new Uint8Array(100).fill(0xff);
    expect(encodeControlHeader(bytes, 0)).toBe(CONTROL_HEADER_BYTES);
    expect([...bytes.subarray(0, CONTROL_HEADER_BYTES)]).toEqual([MessageType.CONTROL, 0, 0, 0, 0, 0, 0, 0]);
    expect(document).toContain(`The user header has ${CONTROL_HEADER_BYTES} bytes. The first is ${MessageType.CONTROL} (CONTROL)`);
  });

  test('the requests, their keys, and the answers to them', () => {
    const table = tables.take('Control messages', '`op`', 'keys', 'what it asks', 'answer');
    const described = table.rows.map(([op = '', keys = '']) => [codeWords(op)[0], codeWords(keys)]);
    const requests = controlRequestSchema.options.map(({ shape }) => {
      const { op, poolUuid, ...keys } = shape;
      expect(poolUuid).toBeDefined();
      return [op.value, Object.keys(keys)];
    });
    expect(sorted(described)).toEqual(sorted(requests));
    const answers = new Set(table.rows.map(([, , , answer = '']) => /^\[(.*?)\]/.exec(answer)?.[1] ?? answer));
    expect([...answers].sort()).toEqual([...Object.keys(ANSWERS), 'nothing'].sort());
    expect(Object.keys(emptyResultSchema.shape)).toEqual([]);
  });

  test('the keys of user commands', () => {
    const [, keys = '', answer = ''] = /with the keys (.*?) alone, .*? The answer has the key (`.*?`)/s.exec(document) ?? [];
    expect([codeWords(keys), codeWords(answer)]).toEqual([Object.keys(userCommandSchema.shape), Object.keys(commandResultSchema.shape)]);
  });

  test('the keys of the answers', () => {
    const table = tables.take('Answers', 'answer', 'keys');
    expect(table.rows.map(([answer, keys = '']) => [answer, codeWords(keys)])).toEqual(
      Object.entries(ANSWERS).map(([answer, schema]) => [answer, Object.keys(schema.shape)]),
    );
  });

  test('the keys of objects', () => {
    const table = tables.take('Objects', 'object', 'keys');
    expect(table.rows.map(([object = '', keys = '']) => [object.replaceAll('`', ''), codeWords(keys)])).toEqual(
      Object.entries(OBJECTS).map(([object, schema]) => [object, Object.keys(schema.shape)]),
    );
    expect([...Object.values(ANSWERS), versionSchema].flatMap(objectsWithin).filter((shape) => !KNOWN_SHAPES.has(shape))).toEqual([]);
  });

  test('the failures', () => {
    const table = tables.take('Failures', 'code', 'status');
    const statuses = Object.fromEntries(table.rows.map(([code, status = '']) => [code, Status[status as keyof typeof Status]]));
    expect(statuses).toEqual(CONTROL_FAILURE_STATUS);
    const [, keys = ''] = /carries the keys (.*?)\. /.exec(document) ?? [];
    expect(codeWords(keys)).toEqual(Object.keys(controlFailureSchema.shape));
  });

  test('every table was compared with something', () => {
    expect(tables.left).toEqual([]);
  });
});

type ObjectSchema = z.ZodObject;

/** The answers in the words of the document. */
const ANSWERS: Readonly<Record<string, ObjectSchema>> = {
  probe: probeResultSchema,
  grant: claimResultSchema,
  recorded: recordedResultSchema,
  leaves: mapReadResultSchema,
  'read check': readCheckResultSchema,
  owed: owedResultSchema,
  mark: markResultSchema,
  handover: handoverResultSchema,
  'sync join': syncJoinResultSchema,
};

const probe = probeResultSchema.shape;
const release = controlRequestSchema.options.find(({ shape }) => shape.op.value === 'release');
if (release === undefined || !('marks' in release.shape)) throw new Error('release carries no marks');

const OBJECTS: Readonly<Record<string, ObjectSchema>> = {
  identity: probe.identity,
  features: probe.features,
  promise: probe.promise.unwrap(),
  version: versionSchema,
  'one of members': probe.members.element,
  policy: probe.policy,
  past: probe.past,
  'one of lives': probe.past.shape.lives.element,
  mark: markResultSchema.shape.mark,
  'one of marks': release.shape.marks.element,
  asked: markResultSchema.shape.asked.unwrap(),
  'one of columns': claimResultSchema.shape.columns.element,
  range: claimResultSchema.shape.lastIo.element,
};

/** Objects within answers that have a row, or are told of beside one. */
const KNOWN_SHAPES: ReadonlySet<string> = new Set([
  ...Object.values(OBJECTS).map(keysOf),
  'memberId storeUuid',
  'epoch seq',
  'lifeUuid age atMs',
]);

function keysOf(schema: ObjectSchema): string {
  return Object.keys(schema.shape).join(' ');
}

/** The keys of all objects below an object. */
function objectsWithin(schema: ObjectSchema): readonly string[] {
  return Object.values(schema.shape).flatMap((child) => {
    const found = unwrapped(child);
    return found instanceof z.ZodObject ? [keysOf(found), ...objectsWithin(found)] : [];
  });
}

/** What is within arrays, and what may be absent or null. */
function unwrapped(schema: unknown): unknown {
  if (schema instanceof z.ZodArray) return unwrapped(schema.element);
  return schema instanceof z.ZodOptional || schema instanceof z.ZodNullable ? unwrapped(schema.unwrap()) : schema;
}

function sorted(rows: readonly unknown[]): readonly string[] {
  return rows.map((row) => JSON.stringify(row)).sort();
}
