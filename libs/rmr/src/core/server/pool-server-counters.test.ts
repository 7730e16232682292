import { expect, test } from 'vitest';
import { IoMessage, MessageType } from '../../wire/io-message.ts';
import { type ChunkWait, PoolServerCounters, sumUpWaits } from './pool-server-counters.ts';

test('each kind of request has its counter; only reads and writes count bytes', () => {
  const counters = new PoolServerCounters();
  const { READ, WRITE, DISCARD, WRITE_ZEROES, FLUSH, EXTENTS } = MessageType;
  for (const type of [READ, READ, WRITE, DISCARD, WRITE_ZEROES, FLUSH, EXTENTS]) {
    counters.count(Object.assign(new IoMessage(), { type, lengthBytes: type === WRITE ? 1024 : 512 }));
  }
  const expected = { reads: 2, readBytes: 1024, writes: 1, writtenBytes: 1024, discards: 1, writeZeroes: 1, flushes: 1 };
  expect(counters).toEqual(Object.assign(new PoolServerCounters(), expected));
});

test('waits for the same are one entry, with the chunk and the time of the oldest; the oldest entry comes first', () => {
  const wait = (what: string, chunk: number, sinceMs: number): ChunkWait => ({ what, chunk, requests: 1, sinceMs });
  expect(sumUpWaits([wait('a', 1, 30), wait('b', 2, 20), wait('b', 3, 20), wait('a', 4, 40), wait('a', 5, 10)])).toEqual([
    { what: 'a', chunk: 5, requests: 3, sinceMs: 10 },
    { what: 'b', chunk: 2, requests: 2, sinceMs: 20 },
  ]);
  expect(sumUpWaits([])).toEqual([]);
});
