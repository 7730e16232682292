import { KIB } from '@rmr/runtime';
import { beforeEach, expect, test } from 'vitest';
import { AWAITED_MS } from '../../../constants.ts';
import type { ByteRange } from '../../../pool-store.ts';
import { MessageType } from '../../../wire/io-message.ts';
import { IoRequest, type IoType } from '../io/io-request.ts';
import { PoolMaps } from '../pool-maps.ts';
import { awaitedMembers } from './awaited-members.ts';

const CHUNK = 128 * KIB;
const NOW_MS = 60_000;

let maps: PoolMaps;
let owed: ByteRange[];

/** Member 1 is in sync and lacks chunks 2 and 3; member 2 has both, member 3 has chunk 3. */
beforeEach(() => {
  maps = new PoolMaps(8 * CHUNK, CHUNK);
  owed = [];
  maps.of(1).set(2, 2);
  maps.of(3).set(2, 1);
});

function awaited(type: IoType, chunk = 0, chunks = 1, agoMs = AWAITED_MS): number[] {
  const request = Object.assign(new IoRequest({ onIoDone: () => {} }), { type, offsetBytes: chunk * CHUNK, lengthBytes: chunks * CHUNK });
  request.submittedAtMs = NOW_MS - agoMs;
  const engine = { owed, forEachRequest: (visit: (each: IoRequest, isSent: boolean, pending: number) => void) => visit(request, true, 1) };
  return [...awaitedMembers({ engine, maps, inSyncIds: [1], outIds: [2, 3], owedIds: [3], nowMs: NOW_MS })];
}

test('those that have a chunk of a request that nobody in the set has, once it has waited for a while', () => {
  expect(awaited(MessageType.READ, 2)).toEqual([2]);
  expect(awaited(MessageType.WRITE, 1, 3)).toEqual([2, 3]);
  expect(awaited(MessageType.READ, 2, 1, AWAITED_MS - 1)).toEqual([]);
});

test('nobody for chunks that a member of the set has, or that are lost', () => {
  expect(awaited(MessageType.READ, 0, 2)).toEqual([]);
  maps.of(2).set(2, 1);
  expect(awaited(MessageType.READ, 2)).toEqual([]);
});

test('those that have the first such chunk, for a flush (◆8)', () => {
  expect(awaited(MessageType.FLUSH)).toEqual([2]);
});

test('those that an add is owed for, for writes of its range (V5)', () => {
  owed = [{ offsetBytes: 0, lengthBytes: CHUNK }];
  expect([awaited(MessageType.WRITE), awaited(MessageType.READ), awaited(MessageType.WRITE, 1)]).toEqual([[3], [], []]);
});

test('nobody for extents: they are answered in any case', () => {
  expect(awaited(MessageType.EXTENTS, 2)).toEqual([]);
});
