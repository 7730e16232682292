import { describe, expect, test } from 'vitest';
import { CheckedTables, codeWords, layoutComplaints, numberedNames, rowNames, sizedFields, sizeOf, tablesOf } from './document-tables.ts';

const DOCUMENT = [
  '# Format',
  '| offset | size | field | |',
  '| --- | ---: | --- | --- |',
  '| 0 | 2 | kind | 1 |',
  '| 2 | 4 | length: in bytes | |',
  '| 6 | 2 | reserved | |',
  '',
  '```',
  '| no | table |',
  '# no heading',
  '```',
  '## `Kinds`',
  '',
  '| kind | name |',
  '| --- | --- |',
  '| 1 | READ |',
].join('\n');

test('tables are found below their headings, and not in code', () => {
  expect(tablesOf(DOCUMENT)).toEqual([
    {
      section: 'Format',
      header: ['offset', 'size', 'field', ''],
      rows: [
        ['0', '2', 'kind', '1'],
        ['2', '4', 'length: in bytes', ''],
        ['6', '2', 'reserved', ''],
      ],
    },
    { section: 'Kinds', header: ['kind', 'name'], rows: [['1', 'READ']] },
  ]);
});

test('a table that nothing takes is told of; one that is not there, or is there twice, can not be taken', () => {
  const tables = new CheckedTables(`${DOCUMENT}\n\n| kind | name |\n|---|---|\n| 2 | WRITE |`);
  tables.take('Format', 'offset');
  expect(tables.left).toEqual(['Kinds: kind | name', 'Kinds: kind | name']);
  expect(() => tables.take('Kinds', 'kind')).toThrow('2 tables');
  expect(() => tables.take('Format', 'kind')).toThrow('0 tables');
});

describe('a layout', () => {
  const bytes = Uint8Array.of(1, 2, 3, 0, 0, 0, 0, 0);
  const check = (document: string, values: Parameters<typeof layoutComplaints>[2]) =>
    layoutComplaints(new CheckedTables(document).take('Format', 'offset'), bytes, values);

  test('that is that of the bytes is accepted', () => {
    expect(check(DOCUMENT, { kind: 0x201, length: 3 })).toEqual([]);
    expect(check(DOCUMENT, { kind: Uint8Array.of(1, 2), length: 'any' })).toEqual([]);
  });

  test.each([
    ['a value elsewhere', DOCUMENT, { kind: 1, length: 3 }, 'kind is not what stands at 0'],
    ['a field without a row', DOCUMENT, { kind: 0x201, length: 3, status: 0 }, 'status has no row'],
    ['a row without a field', DOCUMENT, { kind: 0x201 }, 'length is no field'],
    ['a gap', DOCUMENT.replace('| 2 | 4 |', '| 3 | 3 |'), { kind: 0x201, length: 0 }, 'length is at 3, and the field before ends at 2'],
    ['a wrong end', DOCUMENT.replace('| 6 | 2 |', '| 6 | 1 |'), { kind: 0x201, length: 3 }, 'the fields end at 7, and the bytes at 8'],
    ['reserved bytes that are set', DOCUMENT.replace('kind', 'reserved'), { length: 3 }, 'reserved is not what stands at 0'],
  ])('with %s is found', (_name, document, values, complaint) => {
    expect(check(document, values as Record<string, number>)).toEqual([expect.stringContaining(complaint)]);
  });
});

test('numbers, names, fields and sizes are read', () => {
  expect(numberedNames('1 FUA, 2 NO_HOLE: durable in 3 steps; 16 X')).toEqual({ FUA: 1, NO_HOLE: 2 });
  expect(rowNames(new CheckedTables(DOCUMENT).take('Kinds', 'kind'))).toEqual({ READ: 1 });
  expect(codeWords('`epoch`, and `memberId`')).toEqual(['epoch', 'memberId']);
  expect(sizedFields('epoch (8), name length (2), name; per member: id (1)')).toEqual(['epoch 8', 'name length 2', 'id 1']);
  expect([sizeOf('512 B'), sizeOf('4.5 KiB'), sizeOf('1 MiB − 4 KiB'), sizeOf('0')]).toEqual([512, 4608, 2 ** 20 - 4096, 0]);
  expect(sizeOf('behind it')).toBeNaN();
});
