import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, SILENT_LOGGER } from '@rmr/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DoubtfulStoreFile } from './doubtful-stores.ts';

let stateDir: string;
let complaints: string[];
const complain: Logger['warn'] = (event, fields) => void complaints.push(`${event} ${JSON.stringify(fields)}`);
const log: Logger = { ...SILENT_LOGGER, warn: complain, error: complain };
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'rmr-doubtful-'));
  complaints = [];
});
afterEach(() => rmSync(stateDir, { recursive: true }));

const load = (...stores: string[]): DoubtfulStoreFile => new DoubtfulStoreFile(stateDir, stores, log);

test('what is doubtful is known to the next process, until it is no longer', async () => {
  const first = load('/a', '/b');
  expect(first.has('/a')).toBe(false);
  for (const path of ['/a', '/b', '/a']) first.add(path);
  first.delete('/b');
  first.delete('/never there');
  await first.settled();
  const second = load('/a', '/b');
  expect([second.has('/a'), second.has('/b')]).toEqual([true, false]);
  second.delete('/a');
  await second.settled();
  expect(load('/a').has('/a')).toBe(false);
  expect(complaints).toEqual([]);
});

test.each(['', '{', '{}', '[1]', '"/a"'])('where the file holds %j every store is doubtful', async (content) => {
  writeFileSync(join(stateDir, 'doubtful-stores.json'), content);
  const stores = load('/a', '/b');
  expect([stores.has('/a'), stores.has('/b')]).toEqual([true, true]);
  expect(complaints.join()).toContain('every store counts as doubtful');
  stores.delete('/a');
  await stores.settled();
  expect(JSON.parse(readFileSync(join(stateDir, 'doubtful-stores.json'), 'utf8'))).toEqual(['/b']);
});

test('what can not be written is known as long as the process lives, and logged', async () => {
  const stores = load('/a');
  rmSync(stateDir, { recursive: true });
  stores.add('/a');
  await stores.settled();
  expect(stores.has('/a')).toBe(true);
  expect(complaints.join()).toContain('the file of doubtful stores can not be written');
  mkdirSync(stateDir);
});

function mark(...entries: string[]): void {
  writeFileSync(join(stateDir, 'doubtful-stores.json'), JSON.stringify(entries));
}

const written = (): unknown => JSON.parse(readFileSync(join(stateDir, 'doubtful-stores.json'), 'utf8'));

test.each([
  ['/dev/sbd', ['/dev/sdb', '/srv/other'], 'did you mean /dev/sdb?'],
  ['/dev/SDB', ['/srv/other', '/dev/sdb'], 'did you mean /dev/sdb?'],
  ['demo.store', ['/srv/a.store', '/srv/rmr/demo.store'], 'did you mean /srv/rmr/demo.store?'],
  ['/something/else', ['/a', '/b'], 'configured are /a, /b'],
  ['/a', [], 'configured are none'],
])('an entry that is no store of the configuration, %s, is told with what it may have been meant to be', (entry, stores, hint) => {
  mark(entry);
  const file = load(...stores);
  expect(stores.map((path) => file.has(path))).toEqual(stores.map(() => false));
  expect(complaints).toHaveLength(1);
  expect(complaints[0]).toContain('an entry of the list of doubtful stores is not in the configuration');
  expect(complaints[0]).toContain(hint);
});

test('an entry of a store that is not configured yet is kept until it is', async () => {
  mark('/later', '/a');
  const first = load('/a', '/b');
  first.add('/b');
  first.has('/a');
  first.delete('/a');
  await first.settled();
  expect(written()).toEqual(['/later', '/b']);
  expect(load('/later').has('/later')).toBe(true);
});

test.each([
  ['a link to it', (store: string, other: string) => symlinkSync(store, other)],
  ['a hard link to it', (store: string, other: string) => linkSync(store, other)],
])('a store that is named by another path, %s, is doubtful, and no longer once it is said to be whole', async (_what, link) => {
  const [store, other] = [join(stateDir, 'a.store'), join(stateDir, 'other')];
  writeFileSync(store, '');
  link(store, other);
  for (const [entry, configured] of [
    [other, store],
    [store, other],
  ] as const) {
    mark(entry);
    const file = load('/b', configured);
    expect([file.has('/b'), file.has(configured)]).toEqual([false, true]);
    file.delete('/b');
    file.delete(configured);
    await file.settled();
    expect([written(), file.has(configured), complaints]).toEqual([[], false, []]);
  }
});

test('a store that is away is found by another path of its directory, too', () => {
  mkdirSync(join(stateDir, 'disk'));
  symlinkSync('disk', join(stateDir, 'link'));
  mark(join(stateDir, 'link', 'a.store'));
  const path = join(stateDir, 'disk', 'a.store');
  expect([load(path).has(path), complaints]).toEqual([true, []]);
});

test('a mark that a store was not asked for under is not taken away: the link came after it was opened', async () => {
  const [store, other] = [join(stateDir, 'a.store'), join(stateDir, 'other')];
  writeFileSync(store, '');
  mark(other);
  const file = load(store);
  expect(file.has(store)).toBe(false);
  symlinkSync(store, other);
  file.delete(store);
  await file.settled();
  expect(file.has(store)).toBe(true);
});

test('an entry of one configured store marks no other one, also where both paths lead to one file', () => {
  const [store, other] = [join(stateDir, 'a.store'), join(stateDir, 'other')];
  writeFileSync(store, '');
  symlinkSync(store, other);
  mark(store);
  const file = load(store, other);
  expect([file.has(store), file.has(other)]).toEqual([true, false]);
});

test('an export is marked by its URI as the configuration has it, and by no path', () => {
  const uri = 'nbd://host/vol';
  writeFileSync(join(stateDir, 'doubtful-stores.json'), JSON.stringify([uri, join(process.cwd(), 'nbd:/host/other')]));
  const stores = load(uri, 'nbd://host/other');
  expect([stores.has(uri), stores.has('nbd://host/other')]).toEqual([true, false]);
});
