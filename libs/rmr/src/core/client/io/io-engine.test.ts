import { Status, statusName } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { FAILED_WRITE_WAIT_MS } from '../../../constants.ts';
import { EngineRig } from '../../../testing/engine-rig.ts';
import { MessageType } from '../../../wire/io-message.ts';
import { IoRequest, type IoType } from './io-request.ts';

let rig: EngineRig;

beforeEach(() => {
  rig = new EngineRig();
});

describe('io engine: writes', () => {
  test('W2, W5: a write goes to every in-sync leg with what the others miss, and completes when all have answered', () => {
    rig.write('w');
    expect(rig.leg(0).sent[0]?.message).toMatchObject({ epoch: 5, versionSeq: 1, writeSeq: 1, missingCount: 1, completedThrough: 0 });
    expect(rig.leg(2).sent).toEqual([]);
    rig.leg(1).answer();
    expect(rig.ended).toEqual([]);
    rig.leg(0).answer();
    expect(rig.ended).toEqual(['w OK']);
  });

  test('W1: overlapping writes and reads wait for the write in flight, in order; others pass', () => {
    rig.write('a', 0, 8192);
    rig.write('b', 4096, 8192);
    rig.read('c', 8192);
    rig.read('d', 65536);
    expect(rig.leg(0).sent.length + rig.leg(1).sent.length).toBe(3);
    rig.leg(0).answer();
    rig.leg(1).answer();
    expect(rig.ended).toEqual(['a OK']);
    // The read of d is first on leg 1; then b goes out, and c still waits for it.
    rig.leg(1).answer(Status.OK, new Uint8Array(4096));
    expect(rig.ended[1]).toEqual('d OK');
    rig.leg(0).answer();
    rig.leg(1).answer();
    expect(rig.ended[2]).toEqual('b OK');
    expect(rig.leg(0).sent.length).toBe(1);
    rig.leg(0).answer(Status.OK, new Uint8Array(4096));
    expect(rig.ended[3]).toEqual('c OK');
  });

  test('I12: what exceeds the units or the permits waits and is sent later', () => {
    for (let i = 0; i < 6; i++) rig.write(`w${i}`, i * 4096);
    expect({ sentTo0: rig.leg(0).sent.length, waiting: rig.engine.waiting }).toEqual({ sentTo0: 4, waiting: 2 });
    rig.leg(0).answer();
    rig.leg(1).permits = 0;
    rig.leg(1).answer();
    expect(rig.leg(0).sent.length).toBe(4);
    rig.leg(1).permits = 0;
    rig.leg(0).answer();
    rig.leg(1).answer();
    rig.leg(1).permits = 64;
    rig.engine.retryWaiting();
    expect(rig.engine.waiting).toBe(0);
    rig.engine.verify();
  });

  test('W7: completedThrough stays below the oldest write that is not resolved', () => {
    rig.write('a', 0);
    rig.write('b', 4096);
    rig.leg(0).sent[1]?.answer(Status.OK);
    rig.leg(1).sent[1]?.answer(Status.OK);
    rig.write('c', 8192);
    expect(rig.leg(0).sent[2]?.message).toMatchObject({ writeSeq: 3, completedThrough: 0 });
    rig.leg(0).answer();
    rig.leg(1).answer();
    rig.write('d', 12288);
    expect(rig.leg(0).sent.at(-1)?.message).toMatchObject({ writeSeq: 4, completedThrough: 2 });
  });

  test('L1, V2: a write that fails on one leg is acknowledged only after the shrink is durable', () => {
    rig.write('w');
    rig.leg(0).answer(Status.EIO);
    rig.leg(1).answer();
    expect(rig.failed).toEqual([{ mask: 0b01, reason: expect.stringContaining('write failed') }]);
    expect(rig.ended).toEqual([]);
    rig.write('x', 65536);
    expect(rig.leg(1).sent).toEqual([]);
    rig.engine.setVersion(5, 2, [1, 3]);
    expect(rig.ended).toEqual(['w OK']);
    expect(rig.leg(0).sent).toEqual([]);
    expect(rig.leg(1).sent[0]?.message).toMatchObject({ versionSeq: 2, missingCount: 2 });
  });

  test('W5: a write that waits for a leaver completes without it, after the shrink', () => {
    rig.write('w');
    rig.leg(1).answer();
    rig.engine.gate.awaitVersion(false);
    rig.engine.legsLeft(0b01);
    expect(rig.engine.incompleteWriteRanges()).toEqual([{ offsetBytes: 0, lengthBytes: 4096 }]);
    expect(rig.ended).toEqual([]);
    rig.engine.setVersion(5, 2, [1, 3]);
    expect(rig.ended).toEqual(['w OK']);
    // The leaver's late answer changes nothing.
    rig.write('again');
    rig.leg(0).answer();
    rig.engine.verify();
    expect(rig.ended.length).toBe(1);
  });

  test('W5: a write that fails on all legs leaves one as the authority and then fails', () => {
    rig.write('w');
    rig.leg(0).answer(Status.EIO);
    rig.leg(1).answer(Status.ENOTSUP);
    expect(rig.failed).toEqual([{ mask: 0b10, reason: expect.any(String) }]);
    expect(rig.ended).toEqual([]);
    rig.engine.setVersion(5, 2, [2, 3]);
    expect(rig.ended).toEqual(['w ENOTSUP']);
    expect(rig.engine.routeMask).toBe(0b01);
  });

  test('W8: a write that finds space on no leg ends with ENOSPC, and nobody leaves', () => {
    rig.write('w');
    rig.leg(0).answer(Status.ENOSPC);
    expect(rig.ended).toEqual([]);
    rig.leg(1).answer(Status.ENOSPC);
    expect(rig.ended).toEqual(['w ENOSPC']);
    expect({ failed: rig.failed, routeMask: rig.engine.routeMask, executing: rig.engine.executing }).toEqual({
      failed: [],
      routeMask: 0b11,
      executing: 0,
    });
  });

  test('W8: of legs of which some are full, those leave that are; where another has failed otherwise, that one does', () => {
    rig.write('w');
    rig.leg(0).answer(Status.ENOSPC);
    rig.leg(1).answer(Status.OK);
    expect(rig.failed).toEqual([{ mask: 0b01, reason: 'its disk is full: it had no space for a write' }]);
    rig.engine.setVersion(5, 2, [1, 3]);
    expect(rig.ended).toEqual(['w OK']);
  });

  test('W8: beside a leg that has failed a write, and may have carried out a part of it, one that is full stays as the authority', () => {
    rig.write('w');
    rig.leg(0).answer(Status.EIO);
    rig.leg(1).answer(Status.ENOSPC);
    expect(rig.failed).toEqual([{ mask: 0b01, reason: 'write failed: EIO' }]);
    rig.engine.setVersion(5, 2, [1, 3]);
    expect(rig.ended).toEqual(['w ENOSPC']);
    expect(rig.engine.routeMask).toBe(0b10);
  });

  test('W8: a flush that fails for lack of space has lost something: it is no write that changed nothing', () => {
    rig.flush('f');
    rig.leg(0).answer(Status.ENOSPC);
    rig.leg(1).answer(Status.ENOSPC);
    expect(rig.failed).toEqual([{ mask: 0b10, reason: 'flush failed: ENOSPC' }]);
  });

  test('V6: with no leg left everything waits and is sent anew, in order, before what came later', () => {
    rig.host.onLegsFailed = () => rig.engine.allLegsLeft();
    rig.write('a', 0);
    rig.read('r', 65536);
    rig.write('b', 0);
    rig.leg(0).answer(Status.ENOTNORMAL);
    rig.leg(1).answer(Status.ENOTNORMAL);
    expect({ ended: rig.ended, executing: rig.engine.executing, waiting: rig.engine.waiting }).toEqual({
      ended: [],
      executing: 0,
      waiting: 3,
    });
    rig.leg(1).sent.length = 0;
    rig.leg(0).sent.length = 0;
    rig.engine.resume(0b001, 6, 1, [2, 3]);
    expect(rig.leg(0).sent.map(({ message }) => [message.type, message.epoch])).toEqual([
      [MessageType.WRITE, 6],
      [MessageType.READ, 6],
    ]);
    rig.leg(0).answer();
    expect(rig.ended).toEqual(['a OK']);
    rig.engine.verify();
  });

  test('C3: ESTALE fences, and a fenced engine refuses everything', () => {
    rig.write('w');
    rig.leg(0).answer(Status.ESTALE);
    expect(rig.fenced).toBe(1);
    rig.engine.close(Status.ESHUTDOWN);
    expect(rig.ended).toEqual(['w ESHUTDOWN']);
    rig.read('later');
    rig.endTurn();
    expect(rig.ended[1]).toEqual('later ESHUTDOWN');
  });
});

describe('io engine: flushes', () => {
  test('a flush is acknowledged when all in-sync legs made everything durable', () => {
    rig.flush('f');
    rig.leg(0).answer();
    expect(rig.ended).toEqual([]);
    rig.leg(1).answer();
    expect(rig.ended).toEqual(['f OK']);
  });

  test('a leg that fails a flush leaves the set first; then the flush is acknowledged', () => {
    rig.flush('f');
    rig.leg(1).answer(Status.EIO);
    rig.leg(0).answer();
    expect(rig.ended).toEqual([]);
    expect(rig.failed[0]?.mask).toBe(0b10);
    rig.engine.setVersion(5, 2, [2, 3]);
    expect(rig.ended).toEqual(['f OK']);
  });

  test('zero legs never acknowledge', () => {
    rig.host.onLegsFailed = () => rig.engine.allLegsLeft();
    rig.flush('f');
    rig.engine.allLegsLeft();
    rig.flush('g');
    expect(rig.ended).toEqual([]);
  });

  test('acknowledged data that is lost for certain fails the next flush, once', () => {
    rig.engine.allLegsLeft();
    rig.engine.failNextFlush();
    rig.engine.resume(0b001, 6, 1, [2, 3]);
    rig.flush('f');
    rig.leg(0).answer();
    rig.flush('g');
    rig.leg(0).answer();
    expect(rig.ended).toEqual(['f EIO', 'g OK']);
  });
});

describe('io engine: reads', () => {
  test('a failed read is answered by another leg before the caller sees an error', () => {
    rig.read('r');
    rig.leg(1).answer(Status.EIO);
    expect(rig.failed).toEqual([]);
    rig.leg(0).answer(Status.OK, new Uint8Array(4096));
    expect(rig.ended).toEqual(['r OK']);
    expect(rig.engine.counters.readRetries).toBe(1);
    // It is told of what it could not read when it returns (L3).
    expect(rig.failed.map(({ mask }) => mask)).toEqual([0b10]);
  });

  test('what is read chunk by chunk counts once, as what the caller asked for', () => {
    const part = new IoRequest({ onIoDone: (_part, status) => rig.ended.push(`part ${statusName(status)}`) });
    Object.assign(part, { type: MessageType.READ, lengthBytes: 4096, isPart: true });
    for (const status of [Status.OK, Status.EIO]) rig.engine.finish(part, status, null, null);
    expect({
      endedCount: rig.ended.length,
      reads: rig.engine.counters.reads,
      readBytes: rig.engine.counters.readBytes,
      errors: rig.engine.counters.errors,
    }).toEqual({ endedCount: 2, reads: 0, readBytes: 0, errors: 0 });
    rig.read('r');
    rig.leg(1).answer(Status.OK, new Uint8Array(4096));
    expect({ reads: rig.engine.counters.reads, readBytes: rig.engine.counters.readBytes }).toEqual({ reads: 1, readBytes: 4096 });
    rig.engine.submit(part);
    rig.engine.close(Status.ESHUTDOWN);
    rig.endTurn();
    expect({ ended: rig.ended.at(-1), errors: rig.engine.counters.errors }).toEqual({ ended: 'part ESHUTDOWN', errors: 0 });
  });

  test('I8, I11: a leg that can’t read the last copy stays, and the caller gets an error, once nobody else has it', () => {
    rig.read('r');
    rig.leg(1).answer(Status.EIO);
    rig.leg(0).answer(Status.ELOST);
    expect({ ended: rig.ended, failed: rig.failed }).toEqual({ ended: ['r EIO'], failed: [] });
    expect(rig.unreadable).toEqual([{ offsetBytes: 0, lengthBytes: 4096 }]);
  });

  test('I8: what can be read somewhere, or what nobody has any more, is not told as unreadable', () => {
    rig.read('r', 4096);
    rig.leg(1).answer(Status.EIO);
    rig.leg(0).answer(Status.OK, new Uint8Array(4096));
    rig.engine.gate.awaitVersion(false);
    rig.engine.resume(0b011, 6, 2, [3]);
    rig.read('lost');
    rig.leg(1).answer(Status.ELOST);
    rig.leg(0).answer(Status.ELOST);
    expect({ ended: rig.ended, unreadable: rig.unreadable, readable: rig.readable }).toEqual({
      ended: ['r OK', 'lost EIO'],
      unreadable: [],
      readable: [{ offsetBytes: 4096, lengthBytes: 4096 }],
    });
  });

  test('the last leg stays, and its error is the caller’s', () => {
    rig.engine.allLegsLeft();
    rig.engine.resume(0b001, 6, 1, [2, 3]);
    rig.read('r');
    rig.leg(0).answer(Status.EIO);
    expect({ ended: rig.ended, failed: rig.failed }).toEqual({ ended: ['r EIO'], failed: [] });
  });

  test('I8: what a member that is away may have is waited for, and the one that could not read it leaves then', () => {
    rig.host.absentMayHave = () => true;
    rig.engine.allLegsLeft();
    rig.engine.resume(0b001, 6, 1, [2, 3]);
    rig.read('r');
    rig.leg(0).answer(Status.EIO);
    expect({ ended: rig.ended, failed: rig.failed, sentTo0: rig.leg(0).sent.length }).toEqual({ ended: [], failed: [], sentTo0: 0 });
    // Now and then it is tried again: the disk may have been mended.
    rig.engine.nextRound();
    rig.leg(0).answer(Status.EIO);
    expect(rig.ended).toEqual([]);

    rig.engine.gate.awaitVersion(false);
    rig.engine.resume(0b011, 6, 2, [3]);
    rig.leg(1).answer(Status.OK, new Uint8Array(4096));
    expect({ ended: rig.ended, left: rig.failed.map(({ mask }) => mask) }).toEqual({ ended: ['r OK'], left: [0b01] });
  });

  test('I8: and when it is not there any more, or lacks it too, the caller hears of the error', () => {
    rig.host.absentMayHave = () => true;
    rig.engine.allLegsLeft();
    rig.engine.resume(0b001, 6, 1, [2, 3]);
    rig.read('r');
    rig.leg(0).answer(Status.EIO);
    rig.host.absentMayHave = () => false;
    rig.engine.nextRound();
    rig.leg(0).answer(Status.EIO);
    expect({ ended: rig.ended, failed: rig.failed }).toEqual({ ended: ['r EIO'], failed: [] });
  });

  test('I8: what nobody could read in one go is read by chunks, before it fails or waits', () => {
    const byChunks: IoRequest[] = [];
    rig.host.readByChunks = (request) => byChunks.push(request) > 0;
    rig.host.absentMayHave = () => true;
    rig.read('r');
    rig.leg(1).answer(Status.EIO);
    rig.leg(0).answer(Status.ELOST);
    expect({ ended: rig.ended, failed: rig.failed, byChunksCount: byChunks.length, waiting: rig.engine.waiting }).toEqual({
      ended: [],
      failed: [],
      byChunksCount: 1,
      waiting: 0,
    });
    rig.engine.finish(byChunks[0] as IoRequest, Status.OK, new Uint8Array(4096), null);
    expect(rig.ended).toEqual(['r OK']);
  });

  test('an answer of the wrong length is a failure of the leg', () => {
    rig.read('r');
    rig.leg(1).answer(Status.OK, new Uint8Array(10));
    expect(rig.failed[0]?.mask).toBe(0b10);
    rig.leg(0).answer(Status.OK, new Uint8Array(4096));
    expect(rig.ended).toEqual(['r OK']);
  });

  test('reads go on while a version change is pending', () => {
    rig.engine.gate.awaitVersion(false);
    rig.engine.legsLeft(0b10);
    rig.read('r');
    rig.leg(0).answer(Status.OK, new Uint8Array(4096));
    expect(rig.ended).toEqual(['r OK']);
  });

  test('I7: where a majority decides, reads wait for the version too, those in flight as well', () => {
    rig.read('in flight');
    rig.engine.gate.awaitVersion(true);
    rig.engine.legsLeft(0b01);
    rig.leg(1).answer(Status.OK, new Uint8Array(4096));
    rig.read('later');
    expect({ ended: rig.ended, sentTo1: rig.leg(1).sent.length }).toEqual({ ended: [], sentTo1: 0 });
    // The version supersedes another, and now enough have recorded it.
    rig.engine.gate.awaitVersion(false);
    rig.read('last');
    expect({ ended: rig.ended, sentTo1: rig.leg(1).sent.length }).toEqual({ ended: [], sentTo1: 0 });
    rig.engine.setVersion(1, 2, [1]);
    for (let i = 0; i < 3; i++) rig.leg(1).answer(Status.OK, new Uint8Array(4096));
    expect(rig.endedNames).toEqual(['in flight', 'later', 'last']);
  });

  test('quorum: too few have recorded the version: no read is sent or answered', () => {
    rig.read('in flight');
    rig.engine.gate.awaitVersion(false);
    rig.engine.gate.awaitQuorum();
    rig.read('later');
    for (const { sent } of rig.legs) for (const request of sent.splice(0)) request.answer(Status.OK, new Uint8Array(4096));
    expect(rig.ended).toEqual([]);
    expect(rig.legs.every(({ sent }) => sent.length === 0)).toBe(true);
    rig.engine.setVersion(1, 2, []);
    for (const { sent } of rig.legs) for (const request of sent.splice(0)) request.answer(Status.OK, new Uint8Array(4096));
    expect(rig.endedNames.sort()).toEqual(['in flight', 'later']);
  });

  test('I7: a read is answered under a lease, and waits for the next one when that has run out before its answer is there', () => {
    rig.engine.gate.readsUntilMs = 10;
    rig.nowMs = 9;
    rig.read('in time');
    rig.leg(1).answer(Status.OK, new Uint8Array(4096));
    rig.read('late');
    rig.nowMs = 10;
    rig.leg(0).answer(Status.OK, new Uint8Array(4096));
    rig.read('after');
    rig.write('write', 8192);
    expect({ ended: rig.ended, sentTo0: rig.leg(0).sent.length, sentTo1: rig.leg(1).sent.length }).toEqual({
      ended: ['in time OK'],
      sentTo0: 1,
      sentTo1: 1,
    });
    rig.engine.gate.readsUntilMs = 20;
    rig.engine.retryWaiting();
    rig.leg(0).sent.splice(0, 1);
    rig.leg(1).sent.splice(0, 1);
    for (const { sent } of rig.legs) for (const request of sent.splice(0)) request.answer(Status.OK, new Uint8Array(4096));
    expect(rig.endedNames.sort()).toEqual(['after', 'in time', 'late']);
  });

  test('a read in flight on a leg that left is sent to another at once', () => {
    rig.read('r');
    expect(rig.leg(1).sent.length).toBe(1);
    rig.engine.gate.awaitVersion(false);
    rig.engine.legsLeft(0b10);
    rig.leg(0).answer(Status.OK, new Uint8Array(4096));
    expect(rig.ended).toEqual(['r OK']);
  });
});

test('io engine: what waits longer than the timeout fails with EIO, and slow legs are named', () => {
  rig.write('slow');
  rig.leg(0).answer();
  rig.engine.gate.awaitVersion(false);
  rig.flush('waits');
  expect(rig.engine.expire(1, 1)).toBe(0b10);
  expect(rig.ended).toEqual(['waits EIO']);
});

describe('io engine: members that pass chunks by (W10)', () => {
  let ends: [number, boolean][];
  beforeEach(() => {
    ends = [];
    rig.host.onWriteEnded = (_range, _status, carriedOut, missed) => void ends.push([carriedOut, missed]);
  });

  test('a write is complete when the others have carried it out, and counts as carried out by those alone', () => {
    rig.write('w');
    rig.leg(0).answer(Status.EPASSED);
    expect(rig.ended).toEqual([]);
    rig.leg(1).answer();
    expect({ ended: rig.ended, ends, failed: rig.failed }).toEqual({ ended: ['w OK'], ends: [[0b10, true]], failed: [] });
  });

  test('where each has passed by something that another has carried out, it is complete', () => {
    const asked: number[] = [];
    rig.host.eachChunkClean = (...question) => asked.push(...question) > 0;
    rig.write('w', 4096, 8192);
    rig.leg(0).answer(Status.EPASSED);
    rig.leg(1).answer(Status.EPASSED);
    expect({ ended: rig.ended, ends, asked }).toEqual({ ended: ['w OK'], ends: [[0, true]], asked: [4096, 8192, 0b11] });
  });

  test('where nobody is known to have a chunk of it, it is sent again in the next round', () => {
    rig.write('w');
    rig.leg(0).answer(Status.EPASSED);
    rig.leg(1).answer(Status.EPASSED);
    expect({ ended: rig.ended, bounces: rig.engine.counters.bounces }).toEqual({ ended: [], bounces: 1 });
    rig.engine.nextRound();
    rig.leg(0).answer(Status.EPASSED);
    rig.leg(1).answer();
    expect(rig.ended).toEqual(['w OK']);
  });

  test('one that fails it leaves where the others have it', () => {
    rig.host.eachChunkClean = () => true;
    rig.write('w');
    rig.leg(0).answer(Status.EPASSED);
    rig.leg(1).answer(Status.EIO);
    expect({ ended: rig.ended, failed: rig.failed }).toEqual({ ended: [], failed: [{ mask: 0b10, reason: 'write failed: EIO' }] });
    rig.engine.resume(0b01, 5, 2, [2, 3]);
    expect(rig.ended).toEqual(['w OK']);
  });

  test('where they have not, it leaves and is asked back at once: the write is complete when each has passed by what the other has', () => {
    let hastened = 0;
    rig.host.hastenReturn = () => ++hastened > 0;
    rig.write('w');
    rig.leg(0).answer(Status.EPASSED);
    rig.leg(1).answer(Status.EIO);
    expect({ ended: rig.ended, failed: rig.failed, hastened }).toEqual({
      ended: [],
      failed: [{ mask: 0b10, reason: 'write failed: EIO' }],
      hastened: 1,
    });
    rig.engine.resume(0b01, 5, 2, [2, 3]);
    rig.engine.gate.awaitVersion(false);
    rig.host.eachChunkClean = (_offset, _length, mask) => mask === 0b11;
    rig.engine.resume(0b11, 5, 3, [3]);
    rig.leg(0).answer(Status.EPASSED);
    rig.leg(1).answer(Status.EPASSED);
    expect({ ended: rig.ended, failedCount: rig.failed.length }).toEqual({ ended: ['w OK'], failedCount: 1 });
  });

  test('I3: if it fails it again, it stays as the authority, and those leave that may have carried out some of it', () => {
    rig.write('w');
    rig.leg(0).answer(Status.EPASSED);
    rig.leg(1).answer(Status.EIO);
    rig.engine.resume(0b01, 5, 2, [2, 3]);
    rig.engine.gate.awaitVersion(false);
    rig.engine.resume(0b11, 5, 3, [3]);
    rig.leg(0).answer(Status.EPASSED);
    rig.leg(1).answer(Status.EIO);
    expect({ ended: rig.ended, failed: rig.failed[1] }).toEqual({ ended: [], failed: { mask: 0b01, reason: 'write failed: EIO' } });
    rig.engine.resume(0b10, 5, 4, [1, 3]);
    expect(rig.ended).toEqual(['w EIO']);
  });

  test('I3: a write that is lost for one, and that another has carried out in part, makes that one leave', () => {
    rig.write('w');
    rig.leg(0).answer(Status.EPASSED);
    rig.leg(1).answer(Status.ELOST);
    expect({ ended: rig.ended, left: rig.failed.map(({ mask }) => mask) }).toEqual({ ended: [], left: [0b01] });
  });

  test('when the one that has carried it out leaves, it is not complete', () => {
    rig.write('w');
    rig.leg(1).answer();
    rig.engine.gate.awaitVersion(false);
    rig.leg(0).answer(Status.EPASSED);
    rig.engine.legsLeft(0b10);
    rig.engine.resume(0b01, 5, 2, [2, 3]);
    expect(rig.ended).toEqual([]);
    expect(rig.engine.incompleteWriteRanges()).toEqual([{ offsetBytes: 0, lengthBytes: 4096 }]);
  });

  test('a read goes to another leg; where each lacks something of it, chunk by chunk; else it waits for the next round', () => {
    rig.read('r');
    const first = rig.leg(0).sent.length > 0 ? 0 : 1;
    rig.leg(first).answer(Status.EDIRTY);
    rig.leg(1 - first).answer(Status.OK, new Uint8Array(4096));
    expect({ ended: rig.ended, failed: rig.failed }).toEqual({ ended: ['r OK'], failed: [] });
    let split = 0;
    rig.host.readByChunks = () => split++ === 0;
    for (const name of ['split', 'waits']) {
      rig.read(name);
      for (let tried = 0; tried < 2; tried++) rig.leg(rig.leg(0).sent.length > 0 ? 0 : 1).answer(Status.EDIRTY);
    }
    expect({ split, endedCount: rig.ended.length, sentCount: rig.leg(0).sent.length + rig.leg(1).sent.length }).toEqual({
      split: 2,
      endedCount: 1,
      sentCount: 0,
    });
    rig.engine.nextRound();
    expect(rig.leg(0).sent.length + rig.leg(1).sent.length).toBe(1);
  });
});

describe('io engine: a write that the disk of the last member fails', () => {
  beforeEach(() => {
    rig.engine.gate.awaitVersion(false);
    rig.engine.legsLeft(0b10);
    rig.engine.resume(0b01, 5, 2, [2, 3]);
  });

  test('waits for a member that is asked back, and is complete when that one takes it', () => {
    rig.host.hastenReturn = () => true;
    rig.write('w');
    rig.leg(0).answer(Status.EIO);
    expect(rig.ended).toEqual([]);
    rig.engine.gate.awaitVersion(false);
    rig.engine.resume(0b11, 5, 3, [3]);
    rig.leg(0).answer(Status.EIO);
    rig.leg(1).answer();
    expect(rig.failed).toEqual([{ mask: 0b01, reason: 'write failed: EIO' }]);
    rig.engine.resume(0b10, 5, 4, [1, 3]);
    expect(rig.ended).toEqual(['w OK']);
  });

  test('fails where nobody can be asked back, and after a while in any case', () => {
    rig.write('w');
    rig.leg(0).answer(Status.EIO);
    expect(rig.ended).toEqual(['w EIO']);
    rig.host.hastenReturn = () => true;
    rig.write('later');
    rig.nowMs = FAILED_WRITE_WAIT_MS;
    rig.leg(0).answer(Status.EIO);
    expect(rig.ended[1]).toEqual('later EIO');
  });
});

describe('io engine: requests that nobody wants any more', () => {
  const submitted = (name: string, type: IoType, offsetBytes = 0): IoRequest => rig.submit(name, type, offsetBytes, 4096);
  test('a write that waits for its turn is never begun, its sink hears nothing, and what it held goes on', () => {
    const first = submitted('first', MessageType.WRITE);
    const gone = submitted('gone', MessageType.WRITE);
    submitted('later', MessageType.WRITE);
    expect(rig.engine.cancel(gone)).toBe(true);
    expect(rig.engine.cancel(gone)).toBe(false);
    expect(rig.engine.cancel(first)).toBe(false);
    rig.endTurn();
    for (const index of [0, 1]) rig.leg(index).answer();
    rig.endTurn();
    expect(rig.leg(0).sent.map(({ message }) => message.writeSeq)).toEqual([2]);
    for (const index of [0, 1]) rig.leg(index).answer();
    expect(rig.ended).toEqual(['first OK', 'later OK']);
    expect(rig.engine.counters).toMatchObject({ cancelled: 1, writes: 2, errors: 0 });
    expect({ executing: rig.engine.executing, waiting: rig.engine.waiting }).toEqual({ executing: 0, waiting: 0 });
  });

  test('what waited only for the one that is gone is sent at the end of the turn', () => {
    rig.engine.gate.awaitVersion(false);
    const gone = submitted('gone', MessageType.WRITE);
    submitted('read', MessageType.READ);
    expect(rig.leg(0).sent.length + rig.leg(1).sent.length).toBe(0);
    expect(rig.engine.cancel(gone)).toBe(true);
    rig.endTurn();
    expect(rig.leg(0).sent.length + rig.leg(1).sent.length).toBe(1);
  });

  test('I2: a write that one member has goes on until all agree, also when no leg was left for it meanwhile', () => {
    const begun = submitted('begun', MessageType.WRITE);
    rig.leg(0).answer();
    rig.engine.allLegsLeft();
    const later = submitted('later', MessageType.WRITE);
    expect(rig.engine.cancel(begun)).toBe(false);
    rig.engine.resume(0b011, 6, 1, [3]);
    rig.leg(0).sent.length = 0;
    rig.leg(1).sent.splice(0, 1);
    expect(rig.leg(1).sent.map(({ message }) => message.epoch)).toEqual([6]);
    expect(rig.engine.cancel(later)).toBe(true);
    rig.engine.verify();
  });

  test('an object that is used again begins anew', () => {
    const request = submitted('first', MessageType.WRITE);
    for (const index of [0, 1]) rig.leg(index).answer();
    submitted('other', MessageType.WRITE);
    rig.engine.submit(request);
    expect(rig.engine.cancel(request)).toBe(true);
  });
});
