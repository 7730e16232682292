import { Status } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { WAIT_BOUNCE_MS } from '../../constants.ts';
import {
  CHUNK,
  CHUNKS,
  claim,
  ENABLE,
  FREEZE,
  mapWith,
  PoolServerRig,
  pulledChunk,
  type RigIo,
  record,
} from '../../testing/pool-server-rig.ts';
import { memberOf, POOL, RIVAL, storeOf, versionOf } from '../../testing/scripted-pool.ts';
import type { ControlRequest } from '../../wire/control-message.ts';
import { decodeExtents } from '../../wire/extents.ts';
import { MessageType } from '../../wire/io-message.ts';
import { decodeUnresolved } from '../../wire/unresolved-writes.ts';
import { readLeaves } from '../map-leaves.ts';

let rig: PoolServerRig;

beforeEach(() => {
  rig = new PoolServerRig();
});

describe('pool server: reads of dirty chunks (I4)', () => {
  test('a read waits until its chunk has been pulled, and is then answered from here', () => {
    rig.serve({ 1: [4] });
    rig.read('r', { chunk: 4, offsetBytes: 4 * CHUNK + 512, lengthBytes: 1024 });
    rig.join();
    expect([rig.answers, rig.session(2).ios.length, rig.pool.counters.chunkWaits]).toEqual([[], 1, 1]);
    rig.pull();
    rig.store.end(`read ${4 * CHUNK + 512}+1024`);
    expect(rig.answers).toEqual([['r', Status.OK]]);
  });

  test('a read that touches one dirty chunk of several waits as a whole', () => {
    rig.serve({ 1: [5] });
    rig.read('r', { chunk: 3, chunks: 4 });
    rig.read('beside', { chunk: 6 });
    expect(rig.held()).toEqual([`read ${6 * CHUNK}+${CHUNK}`]);
  });

  test('what waits, and for whom, is told', () => {
    rig.serve({ 1: [4] });
    rig.read('r', { chunk: 4 });
    rig.write('w', { chunk: 4, lengthBytes: 512 });
    expect(rig.pool.waits()).toMatchObject([{ chunk: 4, requests: 2, what: expect.stringContaining('member 2') }]);
    rig.join();
    expect(rig.pool.waits()).toMatchObject([{ chunk: 4, requests: 2, what: expect.stringContaining('under way') }]);
  });

  test('extents of a dirty chunk are data: what lies on this disk says nothing', () => {
    rig.serve({ 1: [4] });
    rig.io('e', { type: MessageType.EXTENTS, chunk: 3, chunks: 3 });
    expect(decodeExtents(rig.payloads.get('e') as Uint8Array, 3 * CHUNK)).toEqual([{ lengthBytes: 3 * CHUNK, hole: false }]);
    rig.io('clean', { type: MessageType.EXTENTS, chunk: 5 });
    rig.store.endAll();
    expect(decodeExtents(rig.payloads.get('clean') as Uint8Array, CHUNK)).toEqual([{ lengthBytes: CHUNK, hole: true }]);
  });
});

describe('pool server: a session that has ended (I10)', () => {
  test('what of it waits for a chunk is dropped with it, and stays dropped when the same client comes back and the chunk is clean', () => {
    rig.serve({ 1: [4] });
    rig.write('waits', { chunk: 4, offsetBytes: 4 * CHUNK, lengthBytes: 512 });
    rig.join();
    rig.pool.onSessionClosed(rig.client, 'cut');
    expect(rig.answers).toEqual([['waits', Status.ENOTNORMAL]]);
    rig.control(claim(1));
    rig.store.endAll();
    rig.turn();
    expect(rig.store.calls.filter((call) => call.startsWith('write'))).toEqual([]);
  });

  test('a write whose marks are not durable yet when its session ends does not touch the data', () => {
    rig.serve();
    rig.store.prepared = false;
    rig.write('prepares', { chunk: 2 });
    rig.pool.onSessionClosed(rig.client, 'cut');
    rig.store.endAll();
    rig.turn();
    expect(rig.answers).toEqual([['prepares', Status.ENOTNORMAL]]);
    expect(rig.store.calls.filter((call) => call.startsWith('write'))).toEqual([]);
  });
});

describe('pool server: reads of other storage nodes (R1)', () => {
  test('a clean chunk is served under the very version, and is no client’s IO', () => {
    rig.serve({ 1: [4] });
    rig.syncRead('s', { chunk: 5 });
    rig.store.end(`read ${5 * CHUNK}+${CHUNK}`);
    expect(rig.answers).toEqual([['s', Status.OK]]);
    expect(rig.pool.counters).toMatchObject({ syncReads: 1, syncReadBytes: CHUNK, reads: 0 });
  });

  test('I2: behind the data stand the writes that it may show and that are not resolved', () => {
    rig.serve();
    const touching = { ioUnit: 3, writeSeq: 9, offsetBytes: 6 * CHUNK - 512, lengthBytes: 1024 };
    rig.store.lastIoRanges = [touching, { ioUnit: 4, writeSeq: 10, offsetBytes: 9 * CHUNK, lengthBytes: 512 }];
    rig.syncRead('s', { chunk: 5 });
    rig.store.end(`read ${5 * CHUNK}+${CHUNK}`);
    const payload = rig.payloads.get('s') as Uint8Array;
    expect(decodeUnresolved(payload.subarray(CHUNK), 64, CHUNK * 64)).toEqual([touching]);
  });

  test('EDIRTY: a dirty chunk is not served, and never pulled for another', () => {
    rig.serve({ 1: [4] });
    rig.syncRead('s', { chunk: 3, chunks: 2 });
    expect([rig.answers, rig.held(), rig.pool.counters.chunkWaits]).toEqual([[['s', Status.EDIRTY]], [], 0]);
  });

  test.each<[string, RigIo]>([
    ['an older version', { versionSeq: 1 }],
    ['a newer version', { versionSeq: 3 }],
    ['another epoch', { versionSeq: 2, epoch: 2 }],
    ['an older epoch', { versionSeq: 2, epoch: 0 }],
  ])('EVERSION: %s', (_name, fields) => {
    rig.serve();
    rig.control(record(2, [1, 2]));
    rig.store.end('commit version 1.2{1,2}');
    rig.syncRead('s', fields);
    expect([rig.answers, rig.held()]).toEqual([[['s', Status.EVERSION]], []]);
  });

  test('EVERSION: below the horizon is no excuse, as for client writes it is (W6)', () => {
    rig.serve();
    rig.control(record(2, [1, 2], { horizon: 99 }));
    rig.store.end('commit version 1.2{1,2}');
    rig.syncRead('s', { versionSeq: 1 });
    expect(rig.answers).toEqual([['s', Status.EVERSION]]);
  });

  test('ENOTNORMAL: a member that serves nobody serves no other member either', () => {
    rig.syncRead('before');
    rig.serve();
    rig.pool.onSessionClosed(rig.client, 'cut');
    rig.syncRead('after');
    expect(rig.answers).toEqual([
      ['before', Status.ENOTNORMAL],
      ['after', Status.ENOTNORMAL],
    ]);
  });

  test('a storage node asks for the handle of the pool without being its client', () => {
    rig.serve();
    expect(rig.control({ op: 'sync-join', poolUuid: POOL }, rig.rival).result).toEqual({
      poolHandle: 0,
      memberId: 1,
      storeUuid: storeOf(1),
    });
  });
});

describe('pool server: partial writes of dirty chunks (W4)', () => {
  test('it waits until the chunk has been pulled; only then lastIo, the bits of members that miss it, and the data', () => {
    rig.serve({ 1: [4] }, [1, 2]);
    rig.write('w', { chunk: 4, lengthBytes: 512, missing: [3], ioUnit: 5, writeSeq: 7 });
    expect([rig.store.calls.filter((call) => call !== 'submit'), rig.answers]).toEqual([[], []]);
    rig.join();
    rig.pull();
    expect([rig.store.mapOf(1).test(4), rig.store.calls.includes('lastIo 5 #7 16384+512'), rig.held()]).toEqual([
      false,
      true,
      ['prepare 16384+512 add 3:4'],
    ]);
    rig.store.end('prepare 16384+512 add 3:4');
    rig.turn();
    rig.store.end('write 16384+512');
    expect([rig.answers, rig.store.mapOf(3).test(4)]).toEqual([[['w', Status.OK]], true]);
  });

  test('a member that was removed meanwhile is not marked: its map, which was erased, does not come back', () => {
    rig.serve({ 1: [4, 8] }, [1, 2]);
    rig.write('waits', { chunk: 4, lengthBytes: 512, missing: [3] });
    rig.write('replaces', { chunk: 8, missing: [3] });
    const members = [memberOf(1), memberOf(2)];
    rig.control(record(2, [1, 2], { members, mapErase: [3], horizon: 9 }));
    rig.store.endOne('commit version 1.2{1,2}');
    for (const step of ['write', 'flush']) {
      rig.store.endOne(step);
      rig.turn();
    }
    expect(rig.held()).toEqual(['commit clear 1:8']);
    rig.store.endAll();
    rig.join();
    rig.pull();
    expect(rig.held()).toEqual([`write ${4 * CHUNK}+512`]);
    rig.write('late', { chunk: 6, lengthBytes: 512, missing: [3] });
    for (let step = 0; step < 8; step++) {
      rig.store.endAll();
      rig.turn();
    }
    expect([rig.answers.map(([, status]) => status), rig.store.mapOf(3).dirtyCount]).toEqual([[Status.OK, Status.OK, Status.OK], 0]);
  });

  test('I6: a member whose map was erased, and which is in the table again, is missed again', () => {
    rig.serve({}, [1, 2]);
    rig.control(record(2, [1, 2], { members: [memberOf(1), memberOf(2)], mapErase: [3] }));
    rig.store.endAll();
    rig.control(record(3, [1, 2]));
    rig.store.endAll();
    rig.write('w', { chunk: 6, lengthBytes: 512, missing: [3], versionSeq: 3 });
    expect(rig.held()).toEqual([`prepare ${6 * CHUNK}+512 add 3:6`]);
  });

  test('a write whose end covers half of a dirty chunk waits as a whole', () => {
    rig.serve({ 1: [4, 5] });
    rig.write('w', { chunk: 4, lengthBytes: CHUNK + 512 });
    expect([rig.held(), rig.pool.executing]).toEqual([[], 1]);
  });

  test('requests that wait for one chunk go on in the order in which they came', () => {
    rig.serve({ 1: [4] });
    rig.read('first', { chunk: 4 });
    rig.read('second', { chunk: 4, lengthBytes: 512 });
    rig.join();
    rig.pull();
    expect(rig.held()).toEqual([`read ${4 * CHUNK}+${CHUNK}`, `read ${4 * CHUNK}+512`]);
  });

  test('a version in between does not send it away: it goes on under the new one', () => {
    rig.serve({ 1: [4] });
    rig.write('w', { chunk: 4, lengthBytes: 512 });
    rig.control(record(2, [1, 2], { horizon: 1, mapAdds: [{ memberIds: [3], ranges: [{ offsetBytes: 4 * CHUNK, lengthBytes: 512 }] }] }));
    rig.store.end('commit version 1.2{1,2} add 3:4');
    rig.turn();
    expect(rig.answers).toEqual([]);
    rig.join();
    expect(rig.session(2).ios[0]?.message.versionSeq).toBe(2);
    rig.pull();
    expect(rig.held()).toEqual(['write 16384+512']);
  });

  test('what has waited for long is given back: the client may know a better member by now', () => {
    rig.serve({ 1: [4], 2: [4], 3: [4] });
    rig.write('w', { chunk: 4, lengthBytes: 512 });
    rig.world.run(WAIT_BOUNCE_MS - 100);
    rig.read('r', { chunk: 4 });
    expect(rig.answers).toEqual([]);
    rig.world.run(200);
    expect([rig.answers, rig.pool.counters.bounces]).toEqual([[['w', Status.EBOUNCED]], 1]);
    rig.world.run(WAIT_BOUNCE_MS);
    expect(rig.answers[1]).toEqual(['r', Status.EBOUNCED]);
  });
});

describe('pool server: writes that replace dirty chunks whole (W4)', () => {
  test('◆5: lastIo, intent, data, durable, and only then clean here', () => {
    rig.serve({ 1: [4] });
    rig.store.prepared = false;
    rig.write('w', { chunk: 4, ioUnit: 5, writeSeq: 7 });
    expect(rig.store.calls.filter((call) => call !== 'submit')).toEqual(['lastIo 5 #7 16384+4096', 'prepare 16384+4096']);
    for (const [step, next] of [
      ['prepare 16384+4096', 'write 16384+4096'],
      ['write 16384+4096', 'flush'],
      ['flush', 'commit clear 1:4'],
    ] as const) {
      rig.store.end(step);
      rig.turn();
      expect([rig.held(), rig.answers, rig.store.mapOf(1).test(4)]).toEqual([[next], [], true]);
    }
    rig.store.end('commit clear 1:4');
    expect([rig.answers, rig.store.mapOf(1).test(4), rig.pool.resync.locked]).toEqual([[['w', Status.OK]], false, 0]);
  });

  test('I8: clean here and dirty for the others become durable in one commit, behind the data', () => {
    rig.serve({ 1: [4], 2: [4], 3: [4] }, [1, 2]);
    rig.write('w', { chunk: 4, missing: [3] });
    expect(rig.held()).toEqual(['write 16384+4096']);
    rig.store.end('write 16384+4096');
    rig.turn();
    rig.store.end('flush');
    rig.turn();
    expect(rig.held()).toEqual(['commit clear 1:4 add 3:4']);
    rig.store.end('commit clear 1:4 add 3:4');
    expect(rig.answers).toEqual([['w', Status.OK]]);
  });

  test('I6: chunks of it that are clean here are durably dirty for the others before the data', () => {
    rig.serve({ 1: [4, 6] }, [1, 2]);
    rig.write('w', { chunk: 3, chunks: 4, missing: [3] });
    expect(rig.held()).toEqual(['commit add 3:3,5']);
    rig.store.end('commit add 3:3,5');
    rig.turn();
    expect(rig.held()).toEqual([`write ${3 * CHUNK}+${4 * CHUNK}`]);
    rig.store.endOne('write');
    rig.turn();
    rig.store.end('flush');
    rig.turn();
    expect(rig.held()).toEqual(['commit clear 1:4,6 add 3:4,6']);
    rig.store.endAll();
    expect([rig.answers, rig.store.mapOf(3).runs(9)]).toEqual([[['w', Status.OK]], [{ first: 3, count: 4 }]]);
  });

  test('the last chunk is replaced whole by a write up to the end of the device', () => {
    rig.serve({ 1: [CHUNKS - 1] });
    rig.write('w', { chunk: CHUNKS - 1 });
    expect(rig.store.endAll()).toEqual([`write ${(CHUNKS - 1) * CHUNK}+${CHUNK - 512}`, 'flush', `commit clear 1:${CHUNKS - 1}`]);
    expect(rig.answers).toEqual([['w', Status.OK]]);
  });

  test('discards and write-zeroes replace chunks as well', () => {
    rig.serve({ 1: [4, 5] });
    rig.io('d', { type: MessageType.DISCARD, writeSeq: 1, chunk: 4, chunks: 2 });
    expect(rig.held()).toEqual([`punch ${4 * CHUNK}+${2 * CHUNK}`]);
  });

  test('R1: the chunk is locked meanwhile: it is not pulled, and other IO on it waits', () => {
    rig.serve({ 1: [4] });
    rig.write('w', { chunk: 4 });
    rig.join();
    rig.read('r', { chunk: 4 });
    rig.write('again', { chunk: 4 });
    expect([rig.pool.resync.isLocked(4, 1), rig.session(2).ios, rig.held()]).toEqual([true, [], ['write 16384+4096']]);
    rig.store.end('write 16384+4096');
    rig.turn();
    rig.store.end('flush');
    rig.turn();
    rig.store.end('commit clear 1:4');
    rig.turn();
    expect(rig.held()).toEqual(['read 16384+4096', 'write 16384+4096']);
  });

  test('R1: it waits while the chunk is being pulled', () => {
    rig.serve({ 1: [4] });
    rig.join();
    expect(rig.session(2).ios.length).toBe(1);
    rig.write('w', { chunk: 4 });
    expect(rig.held()).toEqual([]);
    rig.pull();
    expect(rig.held()).toEqual(['write 16384+4096']);
    rig.store.endAll();
    expect([rig.answers, rig.held()]).toEqual([[['w', Status.OK]], []]);
  });

  test.each(['prepare', 'commit add', 'flush', 'commit clear'])('when it fails at %s the chunk stays dirty, and is free again', (step) => {
    rig.serve({ 1: [4] }, [1, 2]);
    rig.store.prepared = false;
    rig.write('w', { chunk: 3, chunks: 2, missing: [3] });
    while (!rig.held()[0]?.startsWith(step)) {
      rig.store.endOne('');
      rig.turn();
    }
    rig.store.endOne(step, Status.EIO);
    rig.turn();
    expect([rig.answers, rig.store.mapOf(1).test(4), rig.pool.resync.locked, rig.held()]).toEqual([[['w', Status.EIO]], true, 0, []]);
  });

  test.each(['prepare', 'commit add', 'write', 'flush'])(
    'I7: a newer epoch is granted while it is at %s: it goes no further, the grant waits for it',
    (step) => {
      rig.serve({ 1: [4] }, [1, 2]);
      rig.store.prepared = false;
      rig.write('w', { chunk: 3, chunks: 2, missing: [3] });
      while (!rig.held()[0]?.startsWith(step)) {
        rig.store.endOne('');
        rig.turn();
      }
      const granted = rig.control(claim(2));
      expect([granted.ended, rig.held().length]).toEqual([false, 1]);
      rig.store.endOne(step);
      rig.turn();
      expect([rig.answers, rig.store.mapOf(1).test(4)]).toEqual([[['w', Status.ESTALE]], true]);
      expect(rig.held()).toEqual(['commit promise 2']);
      rig.store.end('commit promise 2');
      expect(granted.failure).toBeNull();
    },
  );
});

describe('pool server: requests that end as the pool leaves IO', () => {
  const leave: Record<string, () => void> = {
    'a newer client claims the pool': () => {
      rig.pool.onSessionClosed(rig.client, 'cut');
      rig.control(claim(2, RIVAL), rig.rival);
    },
    'the client takes the member out': () => void rig.control({ op: 'disable', poolUuid: POOL, epoch: 1 }),
    'its store fails': () => rig.pool.storeFailed('it hangs'),
    'its store is taken away': () => rig.pool.close(() => {}),
  };

  test.each([
    ['a newer client claims the pool', Status.ENOTNORMAL],
    ['the client takes the member out', Status.ENOTNORMAL],
    ['its store fails', Status.EIO],
    ['its store is taken away', Status.ENOTNORMAL],
  ])('what waits for a chunk is discarded when %s', (how, status) => {
    rig.serve({ 1: [4] });
    rig.read('r', { chunk: 4 });
    rig.write('w', { chunk: 4, lengthBytes: 512 });
    leave[how]?.();
    expect(rig.answers).toEqual([
      ['r', status],
      ['w', status],
    ]);
  });

  // ESTALE would stop the client for good (C3): only a newer client is a reason for it.
  test.each([
    ['a newer client claims the pool', Status.ESTALE],
    ['the client takes the member out', Status.ENOTNORMAL],
    ['its store fails', Status.EIO],
    ['its store is taken away', Status.ENOTNORMAL],
  ])('C3: a write that waits for its intent is not executed when %s, and hears of that', (how, status) => {
    rig.serve({ 1: [4] });
    rig.store.prepared = false;
    rig.write('w', { chunk: 8 });
    rig.write('whole', { chunk: 4 });
    leave[how]?.();
    rig.store.endOne(`prepare ${8 * CHUNK}`);
    rig.store.endOne(`prepare ${4 * CHUNK}`);
    rig.turn();
    expect(rig.answers).toEqual([
      ['w', status],
      ['whole', status],
    ]);
    expect(rig.held().filter((what) => what.startsWith('write'))).toEqual([]);
  });

  test('I7, I10: a claim waits for pulls that the disk works for, and what they bring is not cleared', () => {
    rig.serve({ 1: [4, 8] });
    rig.join();
    for (const next of rig.session(2).ios.splice(0, 1)) next.answer(Status.OK, pulledChunk());
    rig.turn();
    const granted = rig.control(claim(2));
    expect([granted.ended, rig.held()]).toEqual([false, [`write ${4 * CHUNK}+${CHUNK}`]]);
    rig.store.endOne('write');
    rig.turn();
    expect([granted.ended, rig.held()]).toEqual([false, ['flush']]);
    rig.store.end('flush');
    rig.turn();
    expect(rig.held()).toEqual(['commit promise 2']);
    rig.store.end('commit promise 2');
    expect(granted.result).toMatchObject({ columns: [{ memberId: 1, dirtyChunks: 2, digest: mapWith(4, 8).digest() }] });
    // The read that was under way changes nothing any more.
    for (const next of rig.session(2).ios.splice(0)) next.answer(Status.OK, pulledChunk());
    rig.world.run(1000);
    expect([rig.held(), rig.store.mapOf(1).dirtyCount, rig.session(2).ios]).toEqual([[], 2, []]);
  });

  test('a grant says what the member may lack', () => {
    rig.serve();
    rig.store.lastIoRanges = [{ ioUnit: 1, writeSeq: 5, offsetBytes: 0, lengthBytes: 512 }];
    rig.store.intent = [{ offsetBytes: 0, lengthBytes: 1 << 14 }];
    rig.store.volatileLost = true;
    const granted = rig.control(claim(2));
    rig.store.end('commit promise 2');
    expect(granted.result).toMatchObject({ lastIo: [{ offsetBytes: 0, lengthBytes: 512 }], intent: rig.store.intent, volatileLost: true });
  });

  test('I8: and which chunks its disk could not read, until they are written', () => {
    rig.serve();
    for (const chunk of [4, 6]) {
      rig.read(`r${chunk}`, { chunk });
      rig.store.endOne('read', Status.EIO);
    }
    rig.write('w', { chunk: 6 });
    rig.store.endOne('write');
    rig.turn();
    const granted = rig.control(claim(2));
    rig.store.end('commit promise 2');
    while (!granted.ended) rig.store.endOne('read', Status.EIO);
    expect(granted.result).toMatchObject({ unreadable: [{ offsetBytes: 4 * CHUNK, lengthBytes: CHUNK }] });
  });
});

describe('pool server: chunks without a clean copy (I8)', () => {
  /** The peers answer map checks with what is known of them here, again and again. */
  function confirm(durationMs: number): void {
    for (let ms = 0; ms < durationMs; ms += 50) {
      rig.world.run(50);
      for (const memberId of [2, 3]) {
        for (const call of rig.session(memberId).calls.splice(0)) {
          if (call.request.op === 'sync-join') call.answer({ poolHandle: 42, memberId, storeUuid: storeOf(memberId) });
          else if (call.request.op === 'map-check')
            call.answer({ stamp: { epoch: 1, seq: 1 }, ...readLeaves(rig.store.mapOf(memberId), call.request.fromLeaf) });
        }
      }
    }
  }

  test('ELOST: reads and partial writes end when all have confirmed it; a whole-chunk write heals it', () => {
    rig.serve({ 1: [4], 2: [4], 3: [4] });
    rig.read('r', { chunk: 4 });
    rig.write('w', { chunk: 4, lengthBytes: 512 });
    expect(rig.answers).toEqual([]);
    confirm(1000);
    expect(rig.answers).toEqual([
      ['r', Status.ELOST],
      ['w', Status.ELOST],
    ]);
    rig.write('whole', { chunk: 4 });
    rig.store.endOne('write');
    rig.turn();
    rig.store.end('flush');
    rig.turn();
    rig.store.end('commit clear 1:4');
    expect(rig.answers[2]).toEqual(['whole', Status.OK]);
    rig.read('healed', { chunk: 4 });
    rig.store.endOne('read');
    expect(rig.answers[3]).toEqual(['healed', Status.OK]);
  });

  test('nothing is silently healed: a read across a lost chunk is lost as a whole', () => {
    rig.serve({ 1: [4], 2: [4], 3: [4] });
    rig.read('r', { chunk: 3, chunks: 3 });
    confirm(1000);
    expect([rig.answers, rig.held()]).toEqual([[['r', Status.ELOST]], []]);
  });

  test('I11: a request that waits for another chunk goes on waiting beside a lost one, and the lost one is told once', () => {
    rig.serve({ 1: [4, 6], 2: [4], 3: [4, 6] });
    rig.read('lost', { chunk: 4 });
    rig.read('other', { chunk: 6 });
    confirm(1000);
    expect(rig.answers).toEqual([['lost', Status.ELOST]]);
    rig.read('again', { chunk: 4 });
    confirm(1000);
    expect(rig.answers.slice(1)).toEqual([['again', Status.ELOST]]);
  });

  test('what one member is found to have clean is pulled and served', () => {
    rig.serve({ 1: [4], 2: [4], 3: [4] });
    rig.read('r', { chunk: 4 });
    rig.world.run(50);
    const cleared = (): boolean => rig.held().includes('commit clear 2:4');
    for (let ms = 0; ms < 5000 && !cleared(); ms += 50) {
      for (const call of rig.session(2).calls.splice(0)) {
        if (call.request.op === 'map-check') call.answer({ stamp: { epoch: 1, seq: 1 }, leaves: [], nextLeaf: null });
        else call.answer({ poolHandle: 42, memberId: 2, storeUuid: storeOf(2) });
      }
      rig.world.run(50);
    }
    rig.store.end('commit clear 2:4');
    rig.turn();
    rig.pull();
    rig.store.endOne('read');
    expect(rig.answers).toEqual([['r', Status.OK]]);
  });
});

describe('pool server: a map update is ahead (L4, ◆20)', () => {
  test('what waits for chunks is given back, and so is what would wait, until the next version', () => {
    rig.serve({ 1: [4] });
    rig.read('r', { chunk: 4 });
    rig.write('w', { chunk: 4, lengthBytes: 512 });
    expect(rig.control(FREEZE)).toMatchObject({ ended: true, failure: null });
    expect(rig.answers).toEqual([
      ['r', Status.EBOUNCED],
      ['w', Status.EBOUNCED],
    ]);
    rig.read('r2', { chunk: 4 });
    expect(rig.answers[2]).toEqual(['r2', Status.EBOUNCED]);
    expect(rig.store.calls.filter((call) => call !== 'submit')).toEqual([]);
    rig.control(record(2, [1, 2, 3]));
    rig.store.end('commit version 1.2{1,2,3}');
    rig.turn();
    rig.read('r3', { chunk: 4, versionSeq: 2 });
    expect(rig.answers.length).toBe(3);
  });

  test('what needs no dirty chunk goes on', () => {
    rig.serve({ 1: [4] });
    rig.control(FREEZE);
    rig.read('clean', { chunk: 5 });
    rig.write('w', { chunk: 6 });
    rig.write('whole', { chunk: 4 });
    expect(rig.held()).toEqual([`read ${5 * CHUNK}+${CHUNK}`, `write ${6 * CHUNK}+${CHUNK}`, `write ${4 * CHUNK}+${CHUNK}`]);
  });

  test('what waits for a chunk that is being replaced is given back when it would wait on', () => {
    rig.serve({ 1: [4] });
    rig.write('whole', { chunk: 4 });
    rig.control(FREEZE);
    rig.read('r', { chunk: 4 });
    expect(rig.answers).toEqual([['r', Status.EBOUNCED]]);
    for (let i = 0; i < 3; i++) {
      rig.store.endAll();
      rig.turn();
    }
    expect(rig.answers[1]).toEqual(['whole', Status.OK]);
  });

  test('pulls go on meanwhile', () => {
    rig.serve({ 1: [4] });
    rig.control(FREEZE);
    rig.join();
    rig.pull();
    expect(rig.store.mapOf(1).dirtyCount).toBe(0);
  });

  test('a member that left IO does not freeze its next client', () => {
    rig.serve({ 1: [4] });
    rig.control(FREEZE);
    rig.control(claim(2));
    rig.store.end('commit promise 2');
    rig.control({ ...record(1, [1, 2, 3]), epoch: 2, version: versionOf(1, [1, 2, 3], { epoch: 2 }) });
    rig.store.endAll();
    rig.control({ ...ENABLE, epoch: 2 } as ControlRequest);
    rig.store.endAll();
    rig.turn();
    rig.read('r', { chunk: 4, epoch: 2 });
    expect([rig.pool.state, rig.answers]).toEqual(['NORMAL', []]);
  });
});
