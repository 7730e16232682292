import { Status } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { PASS_BY_MS, REFUSED_RETRY_MS, RESYNC_UNREADABLE_MS, WAIT_BOUNCE_MS } from '../../../constants.ts';
import { CHUNK, PoolServerRig, pulledChunk } from '../../../testing/pool-server-rig.ts';
import { IoFlag, MessageType } from '../../../wire/io-message.ts';

let rig: PoolServerRig;

beforeEach(() => {
  rig = new PoolServerRig();
});

describe('pool server: chunks that the disk does not take (W10)', () => {
  /** Chunk 4 is dirty here, and the disk has failed a pull of it. */
  function refuse(): void {
    rig.serve({ 1: [4] });
    rig.write('first', { chunk: 4, lengthBytes: 512, writeSeq: 1 });
    rig.join();
    rig.session(2).ios.shift()?.answer(Status.OK, pulledChunk());
    rig.turn();
    rig.store.endOne('write', Status.EIO);
    rig.turn();
  }
  const dirty = (): boolean => rig.store.mapOf(1).test(4);

  test('a write that waits for such a chunk passes it by at once: nothing is written there, and it stays dirty', () => {
    refuse();
    expect([rig.answers, rig.held(), dirty(), rig.pool.counters.passedWrites]).toEqual([[['first', Status.EPASSED]], [], true, 1]);
    expect(rig.pool.resync.status()).toMatchObject({ refused: [{ offsetBytes: 4 * CHUNK, lengthBytes: CHUNK }] });
  });

  test('what is clean of its range is written, and what members miss of all of it is marked first', () => {
    refuse();
    rig.store.prepared = false;
    rig.write('w', { chunk: 3, chunks: 3, lengthBytes: 2 * CHUNK + 512, writeSeq: 2, missing: [3] });
    expect(rig.held()).toEqual([`prepare ${3 * CHUNK}+${2 * CHUNK + 512} add 3:3-5`]);
    rig.store.endOne('prepare');
    rig.turn();
    expect(rig.held()).toEqual([`write ${3 * CHUNK}+${CHUNK}`, `write ${5 * CHUNK}+512`]);
    rig.store.endOne('write');
    rig.turn();
    expect(rig.answers).toHaveLength(1);
    rig.store.endOne('write');
    rig.turn();
    expect(rig.answers[1]).toEqual(['w', Status.EPASSED]);
  });

  test('a part that fails is a failure of the write', () => {
    refuse();
    rig.write('w', { chunk: 3, chunks: 2, lengthBytes: CHUNK + 512, writeSeq: 2 });
    rig.store.endOne('write', Status.EIO);
    rig.turn();
    expect(rig.answers[1]).toEqual(['w', Status.EIO]);
  });

  test('FUA: what was written is durable first', () => {
    refuse();
    rig.write('w', { chunk: 3, chunks: 2, lengthBytes: CHUNK + 512, writeSeq: 2, flags: IoFlag.FUA });
    rig.store.endOne('write');
    rig.turn();
    expect([rig.answers.length, rig.held()]).toEqual([1, ['flush']]);
    rig.store.endOne('flush');
    rig.turn();
    expect(rig.answers[1]).toEqual(['w', Status.EPASSED]);
  });

  test('a read of such a chunk is for another member', () => {
    refuse();
    rig.read('r', { chunk: 4 });
    expect(rig.answers[1]).toEqual(['r', Status.EDIRTY]);
  });

  test('nothing is passed by where no other member of the set has the chunk', () => {
    refuse();
    rig.store.mapOf(2).set(4, 1);
    rig.store.mapOf(3).set(4, 1);
    rig.write('w', { chunk: 4, lengthBytes: 512, writeSeq: 2 });
    rig.read('r', { chunk: 4 });
    expect(rig.answers).toHaveLength(1);
  });

  test('R1: it is pulled again after a while, and only when the client has said that what passed it by is resolved', () => {
    refuse();
    rig.world.run(2 * REFUSED_RETRY_MS);
    expect(rig.session(2).ios).toEqual([]);
    rig.io('f', { type: MessageType.FLUSH, completedThrough: 1 });
    rig.store.endOne('flush');
    rig.pull();
    expect([dirty(), rig.pool.resync.status().refused]).toEqual([false, []]);
    rig.write('w', { chunk: 4, lengthBytes: 512, writeSeq: 2 });
    expect(rig.held()).toEqual([`write ${4 * CHUNK}+512`]);
  });

  test('each failure makes the next try later', () => {
    refuse();
    rig.io('f', { type: MessageType.FLUSH, completedThrough: 1 });
    rig.store.endOne('flush');
    rig.world.run(REFUSED_RETRY_MS + 100);
    expect(rig.session(2).ios).toHaveLength(1);
    rig.session(2).ios.shift()?.answer(Status.OK, pulledChunk());
    rig.turn();
    rig.store.endOne('write', Status.EIO);
    rig.turn();
    rig.world.run(2 * REFUSED_RETRY_MS - 500);
    expect(rig.session(2).ios).toEqual([]);
    rig.world.run(1_000);
    expect(rig.session(2).ios).toHaveLength(1);
  });

  test('a write that was to replace it whole passes it by when the disk fails, and is not tried again for a while', () => {
    rig.serve({ 1: [4] });
    rig.write('w', { chunk: 3, chunks: 2, writeSeq: 1 });
    rig.store.endOne(`write ${3 * CHUNK}+${2 * CHUNK}`, Status.EIO);
    rig.turn();
    expect([rig.held(), rig.pool.resync.locked]).toEqual([[`write ${3 * CHUNK}+${CHUNK}`], 0]);
    rig.store.endOne('write');
    rig.turn();
    expect([rig.answers, dirty()]).toEqual([[['w', Status.EPASSED]], true]);
    rig.write('again', { chunk: 4, writeSeq: 2 });
    expect([rig.answers[1], rig.held()]).toEqual([['again', Status.EPASSED], []]);
    rig.world.run(REFUSED_RETRY_MS);
    rig.write('later', { chunk: 4, writeSeq: 3 });
    expect(rig.held()).toEqual([`write ${4 * CHUNK}+${CHUNK}`]);
  });

  test('a chunk that can’t be pulled, as this member is cut off from those that have it, is passed by after a while', () => {
    rig.serve({ 1: [4] });
    rig.write('w', { chunk: 4, lengthBytes: 512, writeSeq: 1 });
    rig.read('r', { chunk: 4 });
    expect(rig.answers).toEqual([]);
    rig.world.run(PASS_BY_MS + 200);
    expect(rig.answers).toEqual([
      ['w', Status.EPASSED],
      ['r', Status.EDIRTY],
    ]);
  });

  test('of what waits, the chunk is told that can’t be passed by, and not another one of its range', () => {
    rig.serve({ 1: [4, 5] });
    rig.write('w', { chunk: 4, chunks: 2, lengthBytes: CHUNK + 512, writeSeq: 1 });
    expect(rig.pool.waits()).toMatchObject([{ chunk: 4, what: expect.stringContaining('member 2') }]);
    // Chunk 4 is with member 2 alone, which this one is cut off from. Chunk 5 is being pulled from member 3.
    rig.store.mapOf(3).set(4, 1);
    rig.store.mapOf(2).set(5, 1);
    rig.join(3);
    rig.world.run(2 * PASS_BY_MS);
    expect(rig.pool.waits()).toMatchObject([{ chunk: 5, what: expect.stringContaining('under way'), requests: 1 }]);
  });

  test('the same where nobody in the set has the other chunk', () => {
    rig.serve({ 1: [4, 5], 2: [5], 3: [5] });
    rig.write('w', { chunk: 4, chunks: 2, lengthBytes: CHUNK + 512, writeSeq: 1 });
    rig.world.run(2 * PASS_BY_MS);
    expect([rig.answers, rig.pool.waits()]).toMatchObject([[], [{ chunk: 5, requests: 1 }]]);
  });

  test('while it is being pulled nothing passes it by, however long that takes', () => {
    rig.serve({ 1: [4] });
    rig.write('w', { chunk: 4, lengthBytes: 512, writeSeq: 1 });
    rig.join();
    rig.world.run(2 * PASS_BY_MS);
    expect(rig.answers).toEqual([]);
  });

  test('a chunk that its source could not read a moment ago is not passed by; after a while it is, and the source is asked again', () => {
    rig.serve({ 1: [4] }, [1, 2]);
    rig.join();
    rig.session(2).ios.shift()?.answer(Status.EIO);
    rig.turn();
    const send = (name: string, writeSeq: number): void => rig.write(name, { chunk: 4, lengthBytes: 512, writeSeq });
    // The write may mend the bad sector at member 2 meanwhile. It is given back, and sent again.
    send('w', 1);
    rig.world.run(WAIT_BOUNCE_MS + 500);
    expect([rig.answers, rig.session(2).ios]).toEqual([[['w', Status.EBOUNCED]], []]);
    send('again', 1);
    expect(rig.pool.waits()).toMatchObject([{ chunk: 4, what: expect.stringContaining("its disk can't read the chunk") }]);
    rig.world.runUntil(() => rig.answers.length > 1, RESYNC_UNREADABLE_MS - WAIT_BOUNCE_MS, 'the write to end');
    expect([rig.answers[1], rig.held(), dirty()]).toEqual([['again', Status.EPASSED], [], true]);
    rig.io('f', { type: MessageType.FLUSH, completedThrough: 1 });
    rig.store.endOne('flush');
    rig.pull();
    expect(dirty()).toBe(false);
    send('later', 2);
    expect(rig.held()).toEqual([`write ${4 * CHUNK}+512`]);
  });

  describe('a flush of the disk has failed before', () => {
    beforeEach(() => {
      rig.store.careful = true;
    });

    test('what is pulled is written past the page cache, and made durable: a place that the disk does not take fails the pull alone', () => {
      rig.serve({ 1: [4, 5] });
      rig.join();
      rig
        .session(2)
        .ios.shift()
        ?.answer(Status.OK, pulledChunk(2 * CHUNK));
      rig.turn();
      expect(rig.held()).toEqual([`write ${4 * CHUNK}+${2 * CHUNK} through`]);
      rig.store.endOne('write', Status.EIO);
      rig.turn();
      expect([rig.held(), rig.pool.state]).toEqual([[], 'NORMAL']);
      // Each of them alone, and one is bad.
      for (const status of [Status.EIO, Status.OK]) {
        rig.session(2).ios.shift()?.answer(Status.OK, pulledChunk());
        rig.turn();
        rig.store.endOne('write', status);
        rig.turn();
      }
      expect(rig.store.endAll()).toEqual(['flush', 'commit clear 1:5']);
      rig.turn();
      expect([dirty(), rig.store.mapOf(1).test(5)]).toEqual([true, false]);
      expect(rig.pool.resync.status()).toMatchObject({ refused: [{ offsetBytes: 4 * CHUNK, lengthBytes: CHUNK }] });
    });

    test('◆5: a write that replaces a dirty chunk whole goes past the page cache; one of clean chunks does not', () => {
      rig.serve({ 1: [4] });
      rig.write('whole', { chunk: 4, writeSeq: 1 });
      rig.write('clean', { chunk: 7, writeSeq: 2 });
      expect(rig.held()).toEqual([`write ${4 * CHUNK}+${CHUNK} through`, `write ${7 * CHUNK}+${CHUNK}`]);
      rig.store.endOne('write', Status.EIO);
      rig.turn();
      expect([rig.answers, dirty()]).toEqual([[['whole', Status.EPASSED]], true]);
    });

    test('a hole is made past the page cache as well', () => {
      rig.serve({ 1: [4] });
      rig.io('trim', { type: MessageType.DISCARD, chunk: 4, writeSeq: 1 });
      expect(rig.held()).toEqual([`punch ${4 * CHUNK}+${CHUNK} through`]);
    });
  });

  test('a flush that fails makes the store careful, and the member leaves', () => {
    rig.serve();
    rig.store.onDoubt();
    expect([rig.store.careful, rig.pool.state]).toEqual([true, 'NO_IO']);
  });
});
