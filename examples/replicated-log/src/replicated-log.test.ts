import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT_LOGGER } from '@rmr/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runLife } from './life.ts';
import { decodeRecord, encodeRecord } from './record.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'replicated-log-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

test('a log on three copies: one is away and comes back, then it is enough by itself, for another client too', async () => {
  const told: string[] = [];
  await runLife({ folder, log: SILENT_LOGGER, say: (line) => told.push(line) });
  expect(told.at(-1)).toBe('another client has read the log from node 3, found 199 keys, and goes on');
});

test('a record that was cut off, that follows another one, or of which a byte is different is none', () => {
  const record = { sequence: 7, key: 'a key', value: Buffer.alloc(1000, 'value') };
  const { bytes, crc } = encodeRecord(record, 99);
  expect(decodeRecord(bytes, 0, 7, 99)).toEqual({ record: { ...record, value: new Uint8Array(record.value) }, lengthBytes: 1536, crc });
  expect(decodeRecord(bytes.subarray(0, 1024), 0, 7, 99)).toBe('cut');
  expect(decodeRecord(bytes, 0, 7, 98)).toBeNull();
  expect(decodeRecord(bytes, 0, 8, 99)).toBeNull();
  bytes.fill(0, 512, 1024);
  expect(decodeRecord(bytes, 0, 7, 99)).toBeNull();
});
