import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DOCUMENT_NUMBERS, FIGURES_ALONE } from './doc-number-table.mjs';
import { constantsOf, numberComplaints, rendered } from './doc-numbers.mjs';

const ROOT = join(import.meta.dirname, '../..');

test.each(DOCUMENT_NUMBERS)('$path names the numbers that the constants have, and no number of unknown origin', (document) => {
  expect(numberComplaints(readFileSync(join(ROOT, document.path), 'utf8'), document, constantsOf(ROOT, document.from))).toEqual([]);
});

test('every document is in the table, or is known to name no numbers of constants', () => {
  const markdown = (folder: string): string[] =>
    readdirSync(join(ROOT, folder)).flatMap((name) => (name.endsWith('.md') ? [join(folder, name)] : []));
  const projects = ['apps', 'examples', 'libs', 'tools'].flatMap((group) =>
    readdirSync(join(ROOT, group)).map((name) => join(group, name)),
  );
  const documents = ['.', 'docs', 'scripts', ...projects].flatMap(markdown);
  expect(documents.sort()).toEqual([...DOCUMENT_NUMBERS.map(({ path }) => path), ...FIGURES_ALONE].sort());
});

test('the configuration of the client node has the limit of connections that the library and the documents have', () => {
  const limit = constantsOf(ROOT, ['libs/nbd/src/constants.ts']).get('CONNECTIONS_MAX');
  expect(readFileSync(join(ROOT, 'apps/client-node/src/config.ts'), 'utf8')).toContain(
    `connections: z.int().min(1).max(4096).default(${limit})`,
  );
});

test('a number that is not that of the constant, and one that nothing stands for, are found', () => {
  const values = new Map([['PLACES_MAX', 256]]);
  const document = { path: 'x.md', from: [], says: ['{PLACES_MAX} places'], others: [] };
  expect(numberComplaints('There are 256 places.', document, values)).toEqual([]);
  expect(numberComplaints('There are 256\n  places.', document, values)).toEqual([]);
  expect(numberComplaints('There are 128 places.', document, values)).toEqual(['it should say "256 places" ({PLACES_MAX} places)']);
  expect(numberComplaints('256 places, for 30 s.', document, values)).toEqual([expect.stringContaining('"30 s"')]);
  expect(numberComplaints('256 places, for 12 days.', { ...document, all: true }, values)).toEqual([expect.stringContaining('"12"')]);
  expect(numberComplaints('256 places, `30 s`', document, values)).toEqual([]);
});

test('constants are computed from others, and written as documents write them', () => {
  const values = constantsOf(ROOT, ['libs/nbd/src/constants.ts']);
  expect(values.get('PAYLOAD_BYTES_MAX')).toBe(32 * 2 ** 20);
  expect(rendered('{PAYLOAD_BYTES_MAX MiB}, {CLIENT_TRUST_MS s}, {EXPORTS_MAX}, {EXPORTS_MAX plain}', values)).toBe(
    '32 MiB, 0.1 s, 1,024, 1024',
  );
  expect(() => rendered('{NO_SUCH}', values)).toThrow('is no constant');
});
