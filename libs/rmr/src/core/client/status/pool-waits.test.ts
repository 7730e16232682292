import { KIB } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import type { ByteRange } from '../../../pool-store.ts';
import { MessageType } from '../../../wire/io-message.ts';
import { IoRequest, type IoType } from '../io/io-request.ts';
import { PoolMaps } from '../pool-maps.ts';
import { describeHolders, type PoolGate, type PoolWait, poolWaits, type WaitView } from './pool-waits.ts';

const CHUNK = 128 * KIB;
const NOW_MS = 60_000;
/** Wall clock at 0 of the monotonic one. */
const WALL_MS = 1_000_000;

let maps: PoolMaps;
let requests: IoRequest[];
/** In flight; `requests` wait. */
let sent: IoRequest[];
/** The legs that have not answered what is in flight, as a mask. */
let pending: number;
/** Members whose sessions take nothing more. */
let fullIds: number[];
let owed: ByteRange[];
let gate: PoolGate | null;
let readsHeld: boolean;

beforeEach(() => {
  // The last chunk is half a chunk.
  maps = new PoolMaps(16.5 * CHUNK, CHUNK);
  requests = [];
  sent = [];
  pending = 0;
  owed = [];
  fullIds = [];
  gate = null;
  readsHeld = false;
});

function submit(type: IoType, offsetBytes: number, lengthBytes: number, agoMs = 0): void {
  const request = new IoRequest({ onIoDone: () => {} });
  request.type = type;
  request.offsetBytes = offsetBytes;
  request.lengthBytes = lengthBytes;
  request.submittedAtMs = NOW_MS - agoMs;
  requests.push(request);
}

function view(inSyncIds: readonly number[]): WaitView {
  return {
    engine: {
      owed,
      forEachRequest: (visit) => {
        for (const request of sent) visit(request, true, pending);
        for (const request of requests) visit(request, false, 0);
      },
    },
    maps,
    inSyncIds,
    gate,
    readsHeld,
    describe: (memberId) => `member ${memberId}`,
    remedy: (memberIds) => `bring back ${memberIds.join()}`,
    majorityRemedy: () => 'bring back a majority',
    memberIds: [1, 2, 3],
    owedIds: [3],
    fullIds,
    idsOf: (mask) => [1, 2, 3].filter((memberId) => (mask & (1 << (memberId - 1))) !== 0),
    nowMs: NOW_MS,
    wallMs: WALL_MS + NOW_MS,
  };
}

/** Member 1 is in sync, and misses chunks 2 and 3 and the last; member 2 is out and has them; member 3 is out and has nothing. */
function lastCopyAway(): WaitView {
  maps.of(1).set(2, 2);
  maps.of(1).set(16, 1);
  maps.of(3).set(0, maps.chunkCount);
  return view([1]);
}

describe('what IO waits for', () => {
  test('nothing, while it only waits for its turn', () => {
    maps.of(2).set(0, 17);
    submit(MessageType.WRITE, 0, 4096, 20_000);
    submit(MessageType.FLUSH, 0, 0, 20_000);
    expect(poolWaits(view([1]))).toEqual([]);
  });

  test('reads: for a majority to answer that the client is still served; writes do not', () => {
    readsHeld = true;
    submit(MessageType.READ, 0, 4096, 10);
    submit(MessageType.WRITE, 0, 4096, 10);
    expect(poolWaits(view([1]))).toEqual([
      {
        kind: 'QUORUM',
        what: 'a majority of the members to answer that they still serve this client',
        sinceMs: WALL_MS + NOW_MS - 10,
        requests: 1,
        remedy: 'bring back a majority',
      },
    ]);
  });

  test('a place in the session, when it has none for a while: what is sent waits for an answer', () => {
    fullIds = [2];
    submit(MessageType.WRITE, 0, 4096, 900);
    expect(poolWaits(view([1, 2]))).toEqual([]);
    submit(MessageType.WRITE, 0, 4096, 2_000);
    submit(MessageType.FLUSH, 0, 0, 1_500);
    sent = [requests[0] as IoRequest];
    expect(poolWaits(view([1, 2]))).toEqual([
      {
        kind: 'SESSION',
        what: 'the storage node of member 2 to answer what this node has sent it for all of its pools',
        sinceMs: WALL_MS + NOW_MS - 2_000,
        requests: 2,
        remedy: 'bring back 2',
      },
    ]);
  });

  test('an answer, when a member has not given one for more than a second; what has to wait for that says so, too', () => {
    pending = 0b10;
    submit(MessageType.WRITE, 0, 4096, 999);
    sent = requests.splice(0);
    expect(poolWaits(view([1, 2]))).toEqual([]);
    submit(MessageType.FLUSH, 0, 0, 1_000);
    sent.push(...requests.splice(0));
    submit(MessageType.WRITE, 0, 4096, 1_000);
    submit(MessageType.WRITE, 0, 4096, 10);
    expect(poolWaits(view([1, 2]))).toEqual([
      {
        kind: 'LEG',
        what: 'member 2 to answer what was sent more than a second ago',
        sinceMs: WALL_MS + NOW_MS - 1_000,
        requests: 2,
        remedy: 'bring back 2',
      },
    ]);
  });

  test('what somebody can do about it is said where members are away, and nowhere else', () => {
    lastCopyAway();
    submit(MessageType.READ, 2 * CHUNK, 4096);
    submit(MessageType.FLUSH, 0, 0);
    owed = [{ offsetBytes: 4 * CHUNK, lengthBytes: CHUNK }];
    submit(MessageType.WRITE, 4 * CHUNK, 4096);
    expect(poolWaits(view([1])).map(({ kind, remedy }) => [kind, remedy])).toEqual([
      ['CHUNK', 'bring back 2'],
      ['FLUSH', 'bring back 2'],
      ['OWED', 'bring back 3'],
    ]);
    requests = [];
    maps.of(2).set(2, 2);
    submit(MessageType.WRITE, 2 * CHUNK, 4096, 2_000);
    maps.of(1).clear(0, 17);
    expect(poolWaits(view([1, 2])).map(({ kind, remedy }) => [kind, remedy])).toEqual([['CHUNK', undefined]]);
  });

  test('the member that alone has a chunk clean is named, with the age of the oldest request', () => {
    const looked = lastCopyAway();
    submit(MessageType.READ, 2 * CHUNK, 4096, 10);
    submit(MessageType.READ, 1 * CHUNK, 2 * CHUNK, 5_000);
    submit(MessageType.READ, 4 * CHUNK, 4096, 5_000);
    submit(MessageType.EXTENTS, 0, 16 * CHUNK, 5_000);
    expect(poolWaits(looked)).toEqual<PoolWait[]>([
      {
        kind: 'CHUNK',
        what: 'chunks that only member 2 has clean',
        sinceMs: WALL_MS + NOW_MS - 5_000,
        requests: 2,
        remedy: 'bring back 2',
      },
    ]);
    expect(describeHolders(looked, 2)).toBe('member 2');
    maps.of(2).set(2, 1);
    expect(describeHolders(looked, 2)).toBe('no member that is known');
  });

  test.each<[string, number, number, number]>([
    ['that replaces the chunks goes ahead (W4)', 2 * CHUNK, 2 * CHUNK, 0],
    ['that replaces one of them and a part of the other waits', 2 * CHUNK, 1.5 * CHUNK, 1],
    ['that begins within the first waits', 2.5 * CHUNK, 1.5 * CHUNK, 1],
    ['up to the end of the device replaces the last chunk', 15 * CHUNK, 1.5 * CHUNK, 0],
  ])('a write %s', (_title, offsetBytes, lengthBytes, waits) => {
    submit(MessageType.WRITE, offsetBytes, lengthBytes);
    expect(poolWaits(lastCopyAway())).toHaveLength(waits);
  });

  test('a lost chunk has no holder: its reads are about to fail', () => {
    const picture = lastCopyAway();
    for (const memberId of [2, 3]) maps.of(memberId).set(2, 1);
    maps.noteLost([1, 2, 3]);
    submit(MessageType.READ, 2 * CHUNK, 4096);
    submit(MessageType.WRITE, 2 * CHUNK, CHUNK);
    expect(poolWaits(picture).map(({ what, requests: count }) => [what, count])).toEqual([
      ['the in-sync members to confirm that chunks are lost: then it fails', 1],
    ]);
  });

  test('a flush waits for chunks that may not be durable where alone they are clean (◆8)', () => {
    submit(MessageType.FLUSH, 0, 0, 3_000);
    expect(poolWaits(lastCopyAway())).toMatchObject([{ kind: 'FLUSH', what: expect.stringContaining('only member 2'), requests: 1 }]);
  });

  test('chunks that in-sync members have yet to pull are told once they take long', () => {
    maps.of(1).set(2, 1);
    submit(MessageType.WRITE, 2 * CHUNK, 4096, 500);
    expect(poolWaits(view([1, 2]))).toEqual([]);
    submit(MessageType.WRITE, 2 * CHUNK, 4096, 2_000);
    // A read is sent to the member that has it.
    submit(MessageType.READ, 2 * CHUNK, 4096, 2_000);
    expect(poolWaits(view([1, 2]))).toMatchObject([{ kind: 'CHUNK', what: expect.stringContaining('member 1 has to pull'), requests: 1 }]);
  });

  test('owed map adds hold up the writes that they belong to, and no others', () => {
    owed = [{ offsetBytes: 4 * CHUNK, lengthBytes: CHUNK }];
    submit(MessageType.WRITE, 4 * CHUNK, 4096);
    submit(MessageType.WRITE, 5 * CHUNK, 4096);
    expect(poolWaits(view([1, 2]))).toMatchObject([{ kind: 'OWED', what: expect.stringContaining('member 3'), requests: 1 }]);
  });

  test('a version change holds up writes and flushes, and is told even when there are none', () => {
    gate = { kind: 'VERSION', what: 'member 2 to record version 1.2', sinceMs: WALL_MS };
    submit(MessageType.READ, 0, 4096);
    expect(poolWaits(view([1, 2]))).toEqual([{ ...gate, requests: 0 }]);
    submit(MessageType.WRITE, 0, 4096);
    submit(MessageType.FLUSH, 0, 0);
    expect(poolWaits(view([1, 2]))).toEqual([{ ...gate, requests: 2 }]);
    // Without a quorum others may go on: what is read here may be old.
    gate = { ...gate, kind: 'QUORUM' };
    expect(poolWaits(view([1, 2]))).toEqual([{ ...gate, requests: 3 }]);
  });

  test('what has been waited for longest comes first', () => {
    const looked = lastCopyAway();
    submit(MessageType.READ, 2 * CHUNK, 4096, 1_000);
    submit(MessageType.FLUSH, 0, 0, 3_000);
    expect(poolWaits(looked).map((wait) => wait.kind)).toEqual(['FLUSH', 'CHUNK']);
  });
});
