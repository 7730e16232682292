import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, SILENT_LOGGER } from '@rmr/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DoubtfulStoreFile } from './doubtful-stores.ts';

let stateDir: string;
let complaints: string[];
const log: Logger = { ...SILENT_LOGGER, warn: (event) => void complaints.push(event), error: (event) => void complaints.push(event) };
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
  expect(complaints.join()).toContain('can not be remembered');
  mkdirSync(stateDir);
});
