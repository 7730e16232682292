import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OperationError } from '@rmr/runtime';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type FileCalls, RECORD_BYTES_MAX, RecordDirectory, SYSTEM_CALLS } from './record-directory.ts';

interface Thing {
  readonly id: string;
  readonly text: string;
}
const schema = z.strictObject({ id: z.string(), text: z.string() });

let path: string;
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'records-')), 'things');
});
afterEach(() => rmSync(join(path, '..'), { recursive: true }));

const open = (calls: FileCalls = SYSTEM_CALLS): RecordDirectory<Thing> =>
  new RecordDirectory<Thing>({ path, what: 'things', version: 2, schema, idOf: ({ id }) => id, calls });

const put = (records: RecordDirectory<Thing>, id: string, text: string): Promise<OperationError | null> =>
  new Promise((resolve) => records.put({ id, text }, resolve));
const remove = (records: RecordDirectory<Thing>, id: string): Promise<OperationError | null> =>
  new Promise((resolve) => records.delete(id, resolve));

/** What the next process finds. */
const found = (): Record<string, string> => Object.fromEntries(open().entries.map(({ id, text }) => [id, text]));

/** Calls of which number `crashAt` and all later ones never happen; a half: it happens, and nobody hears of it. A write may be torn. */
function crashing(crashAt: number, torn: boolean): { readonly calls: FileCalls; readonly log: string[] } {
  const log: string[] = [];
  let count = 0;
  const call = async (name: string, work: () => Promise<void>, tear: () => Promise<void> = async () => {}): Promise<void> => {
    count++;
    if (count >= crashAt) {
      if (count === crashAt && torn) await tear();
      await new Promise<never>(() => {});
    }
    log.push(name);
    await work();
    if (count === crashAt - 0.5) await new Promise<never>(() => {});
  };
  return {
    log,
    calls: {
      write: (file, content) =>
        call(
          'write and flush',
          () => SYSTEM_CALLS.write(file, content),
          () => SYSTEM_CALLS.write(file, content.slice(0, content.length / 2)),
        ),
      rename: (from, to) => call('rename', () => SYSTEM_CALLS.rename(from, to)),
      unlink: (file) => call('unlink', () => SYSTEM_CALLS.unlink(file)),
      flushDirectory: (directory) => call('flush the directory', () => SYSTEM_CALLS.flushDirectory(directory)),
    },
  };
}

describe('records of a daemon', () => {
  test('what is put is there for the next process; what is removed is gone', async () => {
    const records = open();
    expect(await put(records, 'a', 'one')).toBeNull();
    expect(await put(records, 'b', 'two')).toBeNull();
    expect(await put(records, 'a', 'three')).toBeNull();
    expect(found()).toEqual({ a: 'three', b: 'two' });
    expect(await remove(records, 'a')).toBeNull();
    expect(await remove(records, 'a')).toBeNull();
    expect([found(), records.get('b')?.text, records.get('a')]).toEqual([{ b: 'two' }, 'two', null]);
  });

  test('content is flushed before it gets its name, and the name before anybody is told', async () => {
    const { calls, log } = crashing(Number.POSITIVE_INFINITY, false);
    const records = open(calls);
    await put(records, 'a', 'one');
    expect(log).toEqual(['write and flush', 'rename', 'flush the directory']);
    await remove(records, 'a');
    expect(log.slice(3)).toEqual(['unlink', 'flush the directory']);
  });

  const points = [1, 1.5, 2, 2.5, 3, 3.5].flatMap((at) => [false, true].map((torn) => [at, torn] as const));
  test.each(points)(
    'a crash at call %d of a change (torn: %s): the record is the old or the new one, and nothing is left over',
    async (at, torn) => {
      await put(open(), 'a', 'old');
      const { calls } = crashing(at, torn);
      let told = false;
      const records = open(calls);
      records.put({ id: 'a', text: 'new' }, () => {
        told = true;
      });
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(told).toBe(false);
      expect(['old', 'new']).toContain(found()['a']);
      expect(readdirSync(path)).toEqual(['a.json']);
    },
  );

  test('changes of one record come in order, and each caller is told of its own', async () => {
    const records = open();
    const told: string[] = [];
    for (const text of ['1', '2', '3']) records.put({ id: 'a', text }, () => told.push(`${text} ${records.get('a')?.text}`));
    await records.settled();
    expect([told, found()]).toEqual([['1 1', '2 2', '3 3'], { a: '3' }]);
  });

  test('a change that fails says why, and the record is as before', async () => {
    await put(open(), 'a', 'old');
    const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    const records = open({ ...SYSTEM_CALLS, write: () => Promise.reject(full) });
    expect(await put(records, 'a', 'new')).toMatchObject({
      code: 'NO_SPACE',
      message: expect.stringContaining('check the space and the disk of stateDir'),
    });
    expect([records.get('a')?.text, found()]).toEqual(['old', { a: 'old' }]);
    expect(await put(records, 'b', 'x'.repeat(RECORD_BYTES_MAX))).toMatchObject({ code: 'NO_SPACE' });
  });

  test.each([
    ['that is no JSON', '{', /a\.json is damaged: .*Bring the file back from a backup/],
    ['that is empty', '', /is damaged/],
    ['without a version', '{"record":{"id":"a","text":"x"}}', /has no version/],
    [
      'of a newer version',
      '{"version":3,"record":{}}',
      /is of version 3 of the things, and this program knows version 2: start the version/,
    ],
    ['with a key too many', '{"version":2,"record":{"id":"a","text":"x","more":1}}', /is damaged/],
    ['of another name', '{"version":2,"record":{"id":"b","text":"x"}}', /it is the record of b/],
  ])('a record %s is refused with what to do, and left as it is', async (_what, content, why) => {
    await put(open(), 'a', 'x');
    writeFileSync(join(path, 'a.json'), content);
    expect(() => open()).toThrow(why);
    expect(readFileSync(join(path, 'a.json'), 'utf8')).toBe(content);
  });
});
