import { MIB, Status } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { IO_BYTES_MAX, RANGE_BYTES_MAX, REFUSED_RETRY_MS, RESYNC_HOLE_CHUNKS_MAX } from '../../../constants.ts';
import { PoolServerRig } from '../../../testing/pool-server-rig.ts';
import { ResyncRig } from '../../../testing/resync-rig.ts';
import { IoFlag, MessageType } from '../../../wire/io-message.ts';
import { decodeSparse, type SparseData } from '../../../wire/sparse-data.ts';
import { decodeUnresolved } from '../../../wire/unresolved-writes.ts';

const CHUNK = 131_072;
const hole = (lengthBytes: number) => ({ lengthBytes, hole: true });
const data = (lengthBytes: number) => ({ lengthBytes, hole: false });

describe('resync: holes at the target', () => {
  let rig: ResyncRig;

  beforeEach(() => {
    rig = new ResyncRig({ chunks: 4096, chunkSizeBytes: CHUNK });
  });

  /** One pull from member 2, from the answer to its end. */
  function finish(): void {
    for (let again = true; again; ) {
      again = rig.store.endAll().length > 0;
      rig.turn();
    }
  }

  test('within a chunk, too: data is written, and what is zero becomes a hole, block by block', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2]);
    expect(rig.session(2).ios[0]?.message).toMatchObject({ type: MessageType.SYNC_READ, flags: IoFlag.SPARSE, blockShift: 12 });
    rig.answerRuns(2, [hole(8192), data(4096), hole(CHUNK - 12_288)]);
    const at = 4 * CHUNK;
    expect(rig.held()).toEqual([`punch ${at}+8192`, `write ${at + 8192}+4096`, `punch ${at + 12_288}+${CHUNK - 12_288}`]);
    finish();
    expect([rig.store.mapOf(1).dirtyCount, rig.resync.locked, rig.session(2).slabs.heldBytes]).toEqual([0, 0, 0]);
  });

  test('R1: the flush begins when every run has ended; chunks stay locked until then, also when one has failed', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2], rig.version(5, [1, 2]));
    rig.answerRuns(2, [hole(4096), data(4096), hole(CHUNK - 8192)]);
    rig.store.endOne('write', Status.EIO);
    rig.turn();
    expect([rig.resync.locked, rig.held().length]).toEqual([1, 2]);
    rig.store.endOne('punch');
    rig.store.endOne('punch');
    rig.turn();
    expect([rig.resync.locked, rig.held(), rig.store.mapOf(1).dirtyCount]).toEqual([0, [], 1]);
    expect(rig.resync.status().reason).toContain('the disk of this member fails to take chunk 4');
    rig.world.run(REFUSED_RETRY_MS + 50);
    rig.answerRuns(2, [hole(4096), data(4096), hole(CHUNK - 8192)]);
    finish();
    expect(rig.store.mapOf(1).dirtyCount).toBe(0);
  });

  test('an answer for a first part of the range: the chunks of the rest are free, and are asked for next', () => {
    rig.store.mapOf(1).set(0, 4096);
    rig.resync.options = { depth: 1 };
    rig.start([2], rig.version(5, [1, 2]));
    expect(rig.reads(2)).toEqual(['0+1']);
    rig.answerRuns(2, [hole(CHUNK)]);
    finish();
    expect(rig.reads(2)).toEqual(['1+3']);
    rig.answerRuns(2, [hole(CHUNK)]);
    finish();
    expect([rig.reads(2), rig.store.mapOf(1).nextDirty(0)]).toEqual([['2+12'], 2]);
    // The last chunk of what is covered is not covered whole.
    rig.answerRuns(2, [data(3 * CHUNK + 4096)]);
    expect([rig.held(), rig.resync.locked]).toEqual([[`write ${2 * CHUNK}+${3 * CHUNK}`], 3]);
    finish();
    expect([rig.store.mapOf(1).nextDirty(0), rig.reads(2)[0]?.split('+')[0]]).toEqual([5, '5']);
  });

  test('as long as answers are holes the next pulls ask for more, up to the bounds (I12); data brings them back', () => {
    rig.store.mapOf(1).set(0, 4096);
    rig.resync.options = { depth: 1 };
    rig.start([2], rig.version(5, [1, 2]));
    const asked: number[] = [];
    for (let i = 0; i < 8; i++) {
      const lengthBytes = rig.session(2).ios[0]?.message.lengthBytes as number;
      asked.push(lengthBytes);
      rig.answerRuns(2, [hole(lengthBytes)]);
      finish();
    }
    expect([asked.at(-1), Math.max(...asked)]).toEqual([RANGE_BYTES_MAX, RANGE_BYTES_MAX]);
    for (let i = 1; i < asked.length; i++) expect(asked[i]).toBeGreaterThanOrEqual(asked[i - 1] as number);
    expect(rig.store.held.length).toBe(0);
    rig.answerRuns(2, [data(IO_BYTES_MAX)]);
    finish();
    expect(rig.session(2).ios[0]?.message.lengthBytes).toBeLessThanOrEqual(IO_BYTES_MAX);
  });

  test('I12: no pull locks more chunks than the bound, however small they are', () => {
    rig = new ResyncRig({ chunks: 40_000, chunkSizeBytes: 4096 });
    rig.store.mapOf(1).set(0, 40_000);
    rig.resync.options = { depth: 1 };
    rig.start([2], rig.version(5, [1, 2]));
    for (let i = 0; i < 6; i++) {
      const lengthBytes = rig.session(2).ios[0]?.message.lengthBytes as number;
      expect(rig.resync.locked).toBeLessThanOrEqual(RESYNC_HOLE_CHUNKS_MAX);
      rig.answerRuns(2, [hole(lengthBytes)]);
      finish();
    }
    expect(rig.resync.locked).toBe(RESYNC_HOLE_CHUNKS_MAX);
  });

  test('a chunk larger than a message goes on piece by piece, where an answer covers a part of it', () => {
    rig = new ResyncRig({ chunks: 4, chunkSizeBytes: 4 * MIB });
    rig.store.mapOf(1).set(1, 1);
    rig.start([2], rig.version(5, [1, 2]));
    const at = 4 * MIB;
    rig.answerRuns(2, [hole(2 * MIB)]);
    expect(rig.held()).toEqual([`punch ${at}+${2 * MIB}`]);
    rig.store.endOne('punch');
    rig.turn();
    expect(rig.session(2).ios[0]?.message).toMatchObject({ offsetBytes: at + 2 * MIB, lengthBytes: 2 * MIB });
    rig.answerRuns(2, [data(MIB)]);
    rig.store.endOne('write');
    rig.turn();
    rig.answerRuns(2, [hole(MIB)]);
    finish();
    expect(rig.store.mapOf(1).dirtyCount).toBe(0);
  });

  test('a source of an older version is asked for plain data from then on; zeroes in it become holes here', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2], rig.version(5, [1, 2]));
    rig.answer(2, Status.EPROTO);
    expect([rig.resync.status().state, rig.peer(2).sparse]).toEqual(['RUNNING', false]);
    const next = rig.session(2).ios.shift();
    expect(next?.message).toMatchObject({ flags: 0, blockShift: 0, offsetBytes: 4 * CHUNK });
    const plain = new Uint8Array(next?.message.lengthBytes as number);
    plain[4096] = 1;
    next?.answer(Status.OK, plain);
    rig.turn();
    const at = 4 * CHUNK;
    expect(rig.held()).toEqual([`punch ${at}+4096`, `write ${at + 4096}+4096`, `punch ${at + 8192}+${plain.length - 8192}`]);
    finish();
    for (const { users } of [rig.session(2)]) for (const user of users) user.onSessionUp(rig.session(2).shared);
    expect(rig.peer(2).sparse).toBe(true);
  });

  test('I8: a source that can not read a part of much is asked for less, and then the part is known', () => {
    rig.store.mapOf(1).set(0, 4096);
    rig.resync.options = { depth: 1 };
    rig.start([2], rig.version(5, [1, 2]));
    for (let i = 0; i < 3; i++) {
      rig.answerRuns(2, [hole(rig.session(2).ios[0]?.message.lengthBytes as number)]);
      finish();
    }
    expect(rig.session(2).ios[0]?.message.lengthBytes).toBeGreaterThan(IO_BYTES_MAX);
    rig.answer(2, Status.EIO);
    expect(rig.session(2).ios[0]?.message.lengthBytes).toBeLessThanOrEqual(IO_BYTES_MAX);
    expect(rig.resync.status().state).toBe('RUNNING');
  });

  test('a hole counts little against a rate: what was spent for it may be spent again', () => {
    rig.resync.options = { depth: 1, rateBytes: MIB };
    rig.store.mapOf(1).set(0, 1024);
    rig.start([2], rig.version(5, [1, 2]));
    let holes = 0;
    for (; holes < 100 && rig.store.mapOf(1).dirtyCount > 0; holes++) {
      rig.world.runUntil(() => rig.session(2).ios.length > 0, 2000, 'another read');
      rig.answerRuns(2, [hole(rig.session(2).ios[0]?.message.lengthBytes as number)]);
      finish();
    }
    // 128 MiB at 1 MiB/s, if holes counted as data.
    expect(rig.world.clock.nowMs()).toBeLessThan(10_000);
  });
});

describe('resync: holes at the source', () => {
  const CHUNKS = 1024;
  let rig: PoolServerRig;
  const sparse = { flags: IoFlag.SPARSE, blockShift: 12 };

  beforeEach(() => {
    rig = new PoolServerRig(CHUNKS);
    rig.store.content = new Uint8Array(CHUNKS * 4096);
    rig.serve();
  });

  function answerOf(name: string, lengthBytes: number): SparseData {
    const answer = decodeSparse(rig.payloads.get(name) as Uint8Array, lengthBytes);
    if (typeof answer === 'string') throw new Error(answer);
    return answer;
  }

  test('blocks of zeroes are left out, and what is counted is what was sent', () => {
    rig.store.content?.fill(5, 4096, 8192);
    rig.syncRead('s', { ...sparse, chunks: 4 });
    rig.store.end('read 0+16384');
    const answer = answerOf('s', 16_384);
    expect([answer.runs, answer.data.length, answer.data[0]]).toEqual([[hole(4096), data(4096), hole(8192)], 4096, 5]);
    expect(rig.pool.counters.syncReadBytes).toBe(4096);
  });

  test('I2: unresolved writes stand behind the data, and behind a hole', () => {
    const touching = { ioUnit: 3, writeSeq: 9, offsetBytes: 512, lengthBytes: 1024 };
    rig.store.lastIoRanges = [touching];
    rig.syncRead('s', { ...sparse, chunks: 4 });
    rig.store.end('read 0+16384');
    expect(decodeUnresolved(answerOf('s', 16_384).rest, 64, 1 << 30)).toEqual([touching]);
    rig.store.extentRuns = [hole(2 * MIB)];
    rig.syncRead('long', { ...sparse, chunks: 512 });
    rig.store.end(`extents 0+${2 * MIB}`);
    const long = answerOf('long', 2 * MIB);
    expect([long.runs, long.data.length, decodeUnresolved(long.rest, 64, 1 << 30)]).toEqual([[hole(2 * MIB)], 0, [touching]]);
  });

  test('a long range: a hole in front is answered without reading, in steps that cut no chunk', () => {
    rig.store.extentRuns = [hole(MIB + 8192), data(MIB)];
    rig.syncRead('s', { ...sparse, chunks: 768 });
    rig.store.end(`extents 0+${3 * MIB}`);
    expect([answerOf('s', 3 * MIB).runs, rig.held()]).toEqual([[hole(MIB)], []]);
  });

  test('a long range with data in front: as much of it as an answer carries', () => {
    rig.store.extentRuns = [hole(8192), data(3 * MIB - 8192)];
    rig.store.content?.fill(5, 8192, MIB);
    rig.syncRead('s', { ...sparse, chunks: 768 });
    rig.store.end(`extents 0+${3 * MIB}`);
    rig.turn();
    rig.store.end(`read 0+${MIB}`);
    expect(answerOf('s', 3 * MIB).runs).toEqual([hole(8192), data(MIB - 8192)]);
  });

  test('a lookup that fails is answered as a read that fails', () => {
    rig.syncRead('s', { ...sparse, chunks: 512 });
    rig.store.end(`extents 0+${2 * MIB}`, Status.EIO);
    expect(rig.answers).toEqual([['s', Status.EIO]]);
  });

  test('I4: a range with a chunk that is dirty here is refused, however long it is', () => {
    rig.store.mapOf(1).set(700, 1);
    rig.syncRead('s', { ...sparse, chunks: 768 });
    expect([rig.answers, rig.held()]).toEqual([[['s', Status.EDIRTY]], []]);
  });

  test('I7: a claim waits for a lookup that is under way', () => {
    rig.syncRead('s', { ...sparse, chunks: 512 });
    const claimed = rig.control({
      ...{ op: 'claim', poolUuid: rig.store.identity.poolUuid, epoch: 2, clientInstance: rig.store.identity.storeUuid },
      ...{ clientName: 'client-2', takeover: true },
    });
    expect([claimed.ended, rig.held()]).toEqual([false, [`extents 0+${2 * MIB}`]]);
    rig.store.endOne('extents');
    rig.turn();
    rig.store.endOne('commit promise');
    expect(claimed.ended).toBe(true);
  });
});
