import { SILENT_LOGGER, Status, type TurnTask, type World } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { FAILED_WRITE_WAIT_MS } from '../../../constants.ts';
import { ScriptedLeg } from '../../../testing/scripted-leg.ts';
import { MessageType } from '../../../wire/io-message.ts';
import type { Leg } from '../legs/leg.ts';
import { IoEngine, type IoEngineHost } from './io-engine.ts';
import { IoRequest, type IoType } from './io-request.ts';
import { ReadPolicy } from './read-policy.ts';

let legs: ScriptedLeg[];
let engine: IoEngine;
let ended: [string, number][];
let failed: [number, string][];
let fenced: number;
let unreadable: [number, number][];
let readable: [number, number][];
let turn: TurnTask[];
let nowMs: number;
let host: IoEngineHost;

function submit(name: string, type: IoType, offsetBytes = 0, lengthBytes = 4096): void {
  const request = new IoRequest({ onIoDone: (_request, status) => ended.push([name, status]) });
  request.type = type;
  request.offsetBytes = offsetBytes;
  request.lengthBytes = type === MessageType.FLUSH ? 0 : lengthBytes;
  if (type === MessageType.WRITE) request.payload = new Uint8Array(lengthBytes);
  engine.submit(request);
  engine.verify();
}
const write = (name: string, offset = 0, length = 4096) => submit(name, MessageType.WRITE, offset, length);
const read = (name: string, offset = 0, length = 4096) => submit(name, MessageType.READ, offset, length);
const flush = (name: string) => submit(name, MessageType.FLUSH);
const leg = (index: number) => legs[index] as ScriptedLeg;

beforeEach(() => {
  ended = [];
  failed = [];
  fenced = 0;
  unreadable = [];
  readable = [];
  turn = [];
  nowMs = 0;
  legs = [new ScriptedLeg(), new ScriptedLeg(), new ScriptedLeg()];
  host = {
    onFenced: () => fenced++,
    onLegsFailed: (mask, reason) => {
      failed.push([mask, reason]);
      engine.gate.awaitVersion(false);
      engine.legsLeft(mask);
    },
    cleanLegs: (_offset, _length, candidates) => candidates,
    absentMayHave: () => false,
    eachChunkClean: () => false,
    readByChunks: () => false,
    onUnreadable: (...range) => void unreadable.push(range),
    onRead: (...range) => void readable.push(range),
    onWriteEnded: () => {},
    hastenReturn: () => false,
    flushMustWait: () => false,
  };
  const world: World = {
    clock: { nowMs: () => nowMs, wallMs: () => 0 },
    ticker: { subscribe() {}, unsubscribe() {} },
    turn: { defer: (task) => turn.push(task) },
    random: { u32: () => 0 },
    log: SILENT_LOGGER,
  };
  const inFlight = new Int32Array(8);
  const asHost: IoEngineHost = {
    onFenced: () => host.onFenced(),
    onLegsFailed: (mask, reason) => host.onLegsFailed(mask, reason),
    cleanLegs: (offset, length, candidates) => host.cleanLegs(offset, length, candidates),
    absentMayHave: (offset, length) => host.absentMayHave(offset, length),
    eachChunkClean: (offset, length, mask) => host.eachChunkClean(offset, length, mask),
    readByChunks: (request) => host.readByChunks(request),
    onUnreadable: (offset, length) => host.onUnreadable(offset, length),
    onRead: (offset, length) => host.onRead(offset, length),
    onWriteEnded: (range, status, carriedOut, missed) => host.onWriteEnded(range, status, carriedOut, missed),
    hastenReturn: () => host.hastenReturn(),
    flushMustWait: () => host.flushMustWait(),
  };
  engine = new IoEngine(world, asHost, legs as unknown as Leg[], 4, new ReadPolicy('round-robin', inFlight), inFlight);
  engine.resume(0b011, 5, 1, [3]);
});

describe('io engine: writes', () => {
  test('W2, W5: a write goes to every in-sync leg with what the others miss, and completes when all have answered', () => {
    write('w');
    expect(leg(0).sent[0]?.message).toMatchObject({ epoch: 5, versionSeq: 1, writeSeq: 1, missingCount: 1, completedThrough: 0 });
    expect(leg(2).sent).toEqual([]);
    leg(1).answer();
    expect(ended).toEqual([]);
    leg(0).answer();
    expect(ended).toEqual([['w', Status.OK]]);
  });

  test('W1: overlapping writes and reads wait for the write in flight, in order; others pass', () => {
    write('a', 0, 8192);
    write('b', 4096, 8192);
    read('c', 8192);
    read('d', 65536);
    expect(leg(0).sent.length + leg(1).sent.length).toBe(3);
    leg(0).answer();
    leg(1).answer();
    expect(ended).toEqual([['a', Status.OK]]);
    // The read of d is first on leg 1; then b goes out, and c still waits for it.
    leg(1).answer(Status.OK, new Uint8Array(4096));
    expect(ended[1]).toEqual(['d', Status.OK]);
    leg(0).answer();
    leg(1).answer();
    expect(ended[2]).toEqual(['b', Status.OK]);
    expect(leg(0).sent.length).toBe(1);
    leg(0).answer(Status.OK, new Uint8Array(4096));
    expect(ended[3]).toEqual(['c', Status.OK]);
  });

  test('I12: what exceeds the units or the permits waits and is sent later', () => {
    for (let i = 0; i < 6; i++) write(`w${i}`, i * 4096);
    expect([leg(0).sent.length, engine.waiting]).toEqual([4, 2]);
    leg(0).answer();
    leg(1).permits = 0;
    leg(1).answer();
    expect(leg(0).sent.length).toBe(4);
    leg(1).permits = 0;
    leg(0).answer();
    leg(1).answer();
    leg(1).permits = 64;
    engine.retryWaiting();
    expect(engine.waiting).toBe(0);
    engine.verify();
  });

  test('W7: completedThrough stays below the oldest write that is not resolved', () => {
    write('a', 0);
    write('b', 4096);
    leg(0).sent[1]?.answer(Status.OK);
    leg(1).sent[1]?.answer(Status.OK);
    write('c', 8192);
    expect(leg(0).sent[2]?.message).toMatchObject({ writeSeq: 3, completedThrough: 0 });
    leg(0).answer();
    leg(1).answer();
    write('d', 12288);
    expect(leg(0).sent.at(-1)?.message).toMatchObject({ writeSeq: 4, completedThrough: 2 });
  });

  test('L1, V2: a write that fails on one leg is acknowledged only after the shrink is durable', () => {
    write('w');
    leg(0).answer(Status.EIO);
    leg(1).answer();
    expect(failed).toEqual([[0b01, expect.stringContaining('write failed')]]);
    expect(ended).toEqual([]);
    write('x', 65536);
    expect(leg(1).sent).toEqual([]);
    engine.setVersion(5, 2, [1, 3]);
    expect(ended).toEqual([['w', Status.OK]]);
    expect(leg(0).sent).toEqual([]);
    expect(leg(1).sent[0]?.message).toMatchObject({ versionSeq: 2, missingCount: 2 });
  });

  test('W5: a write that waits for a leaver completes without it, after the shrink', () => {
    write('w');
    leg(1).answer();
    engine.gate.awaitVersion(false);
    engine.legsLeft(0b01);
    expect(engine.incompleteWriteRanges()).toEqual([{ offsetBytes: 0, lengthBytes: 4096 }]);
    expect(ended).toEqual([]);
    engine.setVersion(5, 2, [1, 3]);
    expect(ended).toEqual([['w', Status.OK]]);
    // The leaver's late answer changes nothing.
    write('again');
    leg(0).answer();
    engine.verify();
    expect(ended.length).toBe(1);
  });

  test('W5: a write that fails on all legs leaves one as the authority and then fails', () => {
    write('w');
    leg(0).answer(Status.EIO);
    leg(1).answer(Status.ENOTSUP);
    expect(failed).toEqual([[0b10, expect.any(String)]]);
    expect(ended).toEqual([]);
    engine.setVersion(5, 2, [2, 3]);
    expect(ended).toEqual([['w', Status.ENOTSUP]]);
    expect(engine.routeMask).toBe(0b01);
  });

  test('W8: a write that finds space on no leg ends with ENOSPC, and nobody leaves', () => {
    write('w');
    leg(0).answer(Status.ENOSPC);
    expect(ended).toEqual([]);
    leg(1).answer(Status.ENOSPC);
    expect(ended).toEqual([['w', Status.ENOSPC]]);
    expect([failed, engine.routeMask, engine.executing]).toEqual([[], 0b11, 0]);
  });

  test('W8: of legs of which some are full, those leave that are; where another has failed otherwise, that one does', () => {
    write('w');
    leg(0).answer(Status.ENOSPC);
    leg(1).answer(Status.OK);
    expect(failed).toEqual([[0b01, 'its disk is full: it had no space for a write']]);
    engine.setVersion(5, 2, [1, 3]);
    expect(ended).toEqual([['w', Status.OK]]);
  });

  test('W8: beside a leg that has failed a write, and may have carried out a part of it, one that is full stays as the authority', () => {
    write('w');
    leg(0).answer(Status.EIO);
    leg(1).answer(Status.ENOSPC);
    expect(failed).toEqual([[0b01, 'write failed: EIO']]);
    engine.setVersion(5, 2, [1, 3]);
    expect(ended).toEqual([['w', Status.ENOSPC]]);
    expect(engine.routeMask).toBe(0b10);
  });

  test('W8: a flush that fails for lack of space has lost something: it is no write that changed nothing', () => {
    flush('f');
    leg(0).answer(Status.ENOSPC);
    leg(1).answer(Status.ENOSPC);
    expect(failed).toEqual([[0b10, 'flush failed: ENOSPC']]);
  });

  test('V6: with no leg left everything waits and is sent anew, in order, before what came later', () => {
    host.onLegsFailed = () => engine.allLegsLeft();
    write('a', 0);
    read('r', 65536);
    write('b', 0);
    leg(0).answer(Status.ENOTNORMAL);
    leg(1).answer(Status.ENOTNORMAL);
    expect([ended, engine.executing, engine.waiting]).toEqual([[], 0, 3]);
    leg(1).sent.length = 0;
    leg(0).sent.length = 0;
    engine.resume(0b001, 6, 1, [2, 3]);
    expect(leg(0).sent.map(({ message }) => [message.type, message.epoch])).toEqual([
      [MessageType.WRITE, 6],
      [MessageType.READ, 6],
    ]);
    leg(0).answer();
    expect(ended).toEqual([['a', Status.OK]]);
    engine.verify();
  });

  test('C3: ESTALE fences, and a fenced engine refuses everything', () => {
    write('w');
    leg(0).answer(Status.ESTALE);
    expect(fenced).toBe(1);
    engine.close(Status.ESHUTDOWN);
    expect(ended).toEqual([['w', Status.ESHUTDOWN]]);
    read('later');
    for (const task of turn) task.runAtTurnEnd();
    expect(ended[1]).toEqual(['later', Status.ESHUTDOWN]);
  });
});

describe('io engine: flushes', () => {
  test('a flush is acknowledged when all in-sync legs made everything durable', () => {
    flush('f');
    leg(0).answer();
    expect(ended).toEqual([]);
    leg(1).answer();
    expect(ended).toEqual([['f', Status.OK]]);
  });

  test('a leg that fails a flush leaves the set first; then the flush is acknowledged', () => {
    flush('f');
    leg(1).answer(Status.EIO);
    leg(0).answer();
    expect(ended).toEqual([]);
    expect(failed[0]?.[0]).toBe(0b10);
    engine.setVersion(5, 2, [2, 3]);
    expect(ended).toEqual([['f', Status.OK]]);
  });

  test('zero legs never acknowledge', () => {
    host.onLegsFailed = () => engine.allLegsLeft();
    flush('f');
    engine.allLegsLeft();
    flush('g');
    expect(ended).toEqual([]);
  });

  test('acknowledged data that is lost for certain fails the next flush, once', () => {
    engine.allLegsLeft();
    engine.failNextFlush();
    engine.resume(0b001, 6, 1, [2, 3]);
    flush('f');
    leg(0).answer();
    flush('g');
    leg(0).answer();
    expect(ended).toEqual([
      ['f', Status.EIO],
      ['g', Status.OK],
    ]);
  });
});

describe('io engine: reads', () => {
  test('a failed read is answered by another leg before the caller sees an error', () => {
    read('r');
    leg(1).answer(Status.EIO);
    expect(failed).toEqual([]);
    leg(0).answer(Status.OK, new Uint8Array(4096));
    expect(ended).toEqual([['r', Status.OK]]);
    expect(engine.counters.readRetries).toBe(1);
    // It is told of what it could not read when it returns (L3).
    expect(failed.map(([legs]) => legs)).toEqual([0b10]);
  });

  test('what is read chunk by chunk counts once, as what the caller asked for', () => {
    const part = new IoRequest({ onIoDone: (_part, status) => ended.push(['part', status]) });
    Object.assign(part, { type: MessageType.READ, lengthBytes: 4096, isPart: true });
    for (const status of [Status.OK, Status.EIO]) engine.finish(part, status, null, null);
    expect([ended.length, engine.counters.reads, engine.counters.readBytes, engine.counters.errors]).toEqual([2, 0, 0, 0]);
    read('r');
    leg(1).answer(Status.OK, new Uint8Array(4096));
    expect([engine.counters.reads, engine.counters.readBytes]).toEqual([1, 4096]);
    engine.submit(part);
    engine.close(Status.ESHUTDOWN);
    for (const task of turn) task.runAtTurnEnd();
    expect([ended.at(-1), engine.counters.errors]).toEqual([['part', Status.ESHUTDOWN], 0]);
  });

  test('I8, I11: a leg that can’t read the last copy stays, and the caller gets an error, once nobody else has it', () => {
    read('r');
    leg(1).answer(Status.EIO);
    leg(0).answer(Status.ELOST);
    expect([ended, failed]).toEqual([[['r', Status.EIO]], []]);
    expect(unreadable).toEqual([[0, 4096]]);
  });

  test('I8: what can be read somewhere, or what nobody has any more, is not told as unreadable', () => {
    read('r', 4096);
    leg(1).answer(Status.EIO);
    leg(0).answer(Status.OK, new Uint8Array(4096));
    engine.gate.awaitVersion(false);
    engine.resume(0b011, 6, 2, [3]);
    read('lost');
    leg(1).answer(Status.ELOST);
    leg(0).answer(Status.ELOST);
    expect([ended, unreadable, readable]).toEqual([
      [
        ['r', Status.OK],
        ['lost', Status.EIO],
      ],
      [],
      [[4096, 4096]],
    ]);
  });

  test('the last leg stays, and its error is the caller’s', () => {
    engine.allLegsLeft();
    engine.resume(0b001, 6, 1, [2, 3]);
    read('r');
    leg(0).answer(Status.EIO);
    expect([ended, failed]).toEqual([[['r', Status.EIO]], []]);
  });

  test('I8: what a member that is away may have is waited for, and the one that could not read it leaves then', () => {
    host.absentMayHave = () => true;
    engine.allLegsLeft();
    engine.resume(0b001, 6, 1, [2, 3]);
    read('r');
    leg(0).answer(Status.EIO);
    expect([ended, failed, leg(0).sent.length]).toEqual([[], [], 0]);
    // Now and then it is tried again: the disk may have been mended.
    engine.nextRound();
    leg(0).answer(Status.EIO);
    expect(ended).toEqual([]);

    engine.gate.awaitVersion(false);
    engine.resume(0b011, 6, 2, [3]);
    leg(1).answer(Status.OK, new Uint8Array(4096));
    expect([ended, failed.map(([mask]) => mask)]).toEqual([[['r', Status.OK]], [0b01]]);
  });

  test('I8: and when it is not there any more, or lacks it too, the caller hears of the error', () => {
    host.absentMayHave = () => true;
    engine.allLegsLeft();
    engine.resume(0b001, 6, 1, [2, 3]);
    read('r');
    leg(0).answer(Status.EIO);
    host.absentMayHave = () => false;
    engine.nextRound();
    leg(0).answer(Status.EIO);
    expect([ended, failed]).toEqual([[['r', Status.EIO]], []]);
  });

  test('I8: what nobody could read in one go is read by chunks, before it fails or waits', () => {
    const byChunks: IoRequest[] = [];
    host.readByChunks = (request) => byChunks.push(request) > 0;
    host.absentMayHave = () => true;
    read('r');
    leg(1).answer(Status.EIO);
    leg(0).answer(Status.ELOST);
    expect([ended, failed, byChunks.length, engine.waiting]).toEqual([[], [], 1, 0]);
    engine.finish(byChunks[0] as IoRequest, Status.OK, new Uint8Array(4096), null);
    expect(ended).toEqual([['r', Status.OK]]);
  });

  test('an answer of the wrong length is a failure of the leg', () => {
    read('r');
    leg(1).answer(Status.OK, new Uint8Array(10));
    expect(failed[0]?.[0]).toBe(0b10);
    leg(0).answer(Status.OK, new Uint8Array(4096));
    expect(ended).toEqual([['r', Status.OK]]);
  });

  test('reads go on while a version change is pending', () => {
    engine.gate.awaitVersion(false);
    engine.legsLeft(0b10);
    read('r');
    leg(0).answer(Status.OK, new Uint8Array(4096));
    expect(ended).toEqual([['r', Status.OK]]);
  });

  test('I7: where a majority decides, reads wait for the version too, those in flight as well', () => {
    read('in flight');
    engine.gate.awaitVersion(true);
    engine.legsLeft(0b01);
    leg(1).answer(Status.OK, new Uint8Array(4096));
    read('later');
    expect([ended, leg(1).sent.length]).toEqual([[], 0]);
    // The version supersedes another, and now enough have recorded it.
    engine.gate.awaitVersion(false);
    read('last');
    expect([ended, leg(1).sent.length]).toEqual([[], 0]);
    engine.setVersion(1, 2, [1]);
    for (let i = 0; i < 3; i++) leg(1).answer(Status.OK, new Uint8Array(4096));
    expect(ended.map(([name]) => name)).toEqual(['in flight', 'later', 'last']);
  });

  test('quorum: too few have recorded the version: no read is sent or answered', () => {
    read('in flight');
    engine.gate.awaitVersion(false);
    engine.gate.awaitQuorum();
    read('later');
    for (const { sent } of legs) for (const request of sent.splice(0)) request.answer(Status.OK, new Uint8Array(4096));
    expect([ended, legs.every(({ sent }) => sent.length === 0)]).toEqual([[], true]);
    engine.setVersion(1, 2, []);
    for (const { sent } of legs) for (const request of sent.splice(0)) request.answer(Status.OK, new Uint8Array(4096));
    expect(ended.map(([name]) => name).sort()).toEqual(['in flight', 'later']);
  });

  test('I7: a read is answered under a lease, and waits for the next one when that has run out before its answer is there', () => {
    engine.gate.readsUntilMs = 10;
    nowMs = 9;
    read('in time');
    leg(1).answer(Status.OK, new Uint8Array(4096));
    read('late');
    nowMs = 10;
    leg(0).answer(Status.OK, new Uint8Array(4096));
    read('after');
    write('write', 8192);
    expect([ended, leg(0).sent.length, leg(1).sent.length]).toEqual([[['in time', Status.OK]], 1, 1]);
    engine.gate.readsUntilMs = 20;
    engine.retryWaiting();
    leg(0).sent.splice(0, 1);
    leg(1).sent.splice(0, 1);
    for (const { sent } of legs) for (const request of sent.splice(0)) request.answer(Status.OK, new Uint8Array(4096));
    expect(ended.map(([name]) => name).sort()).toEqual(['after', 'in time', 'late']);
  });

  test('a read in flight on a leg that left is sent to another at once', () => {
    read('r');
    expect(leg(1).sent.length).toBe(1);
    engine.gate.awaitVersion(false);
    engine.legsLeft(0b10);
    leg(0).answer(Status.OK, new Uint8Array(4096));
    expect(ended).toEqual([['r', Status.OK]]);
  });
});

test('io engine: what waits longer than the timeout fails with EIO, and slow legs are named', () => {
  write('slow');
  leg(0).answer();
  engine.gate.awaitVersion(false);
  flush('waits');
  expect(engine.expire(1, 1)).toBe(0b10);
  expect(ended).toEqual([['waits', Status.EIO]]);
});

describe('io engine: members that pass chunks by (W10)', () => {
  let ends: [number, boolean][];
  beforeEach(() => {
    ends = [];
    host = { ...host, onWriteEnded: (_range, _status, carriedOut, missed) => void ends.push([carriedOut, missed]) };
  });

  test('a write is complete when the others have carried it out, and counts as carried out by those alone', () => {
    write('w');
    leg(0).answer(Status.EPASSED);
    expect(ended).toEqual([]);
    leg(1).answer();
    expect([ended, ends, failed]).toEqual([[['w', Status.OK]], [[0b10, true]], []]);
  });

  test('where each has passed by something that another has carried out, it is complete', () => {
    const asked: number[] = [];
    host = { ...host, eachChunkClean: (...question) => asked.push(...question) > 0 };
    write('w', 4096, 8192);
    leg(0).answer(Status.EPASSED);
    leg(1).answer(Status.EPASSED);
    expect([ended, ends, asked]).toEqual([[['w', Status.OK]], [[0, true]], [4096, 8192, 0b11]]);
  });

  test('where nobody is known to have a chunk of it, it is sent again in the next round', () => {
    write('w');
    leg(0).answer(Status.EPASSED);
    leg(1).answer(Status.EPASSED);
    expect([ended, engine.counters.bounces]).toEqual([[], 1]);
    engine.nextRound();
    leg(0).answer(Status.EPASSED);
    leg(1).answer();
    expect(ended).toEqual([['w', Status.OK]]);
  });

  test('one that fails it leaves where the others have it', () => {
    host = { ...host, eachChunkClean: () => true };
    write('w');
    leg(0).answer(Status.EPASSED);
    leg(1).answer(Status.EIO);
    expect([ended, failed]).toEqual([[], [[0b10, 'write failed: EIO']]]);
    engine.resume(0b01, 5, 2, [2, 3]);
    expect(ended).toEqual([['w', Status.OK]]);
  });

  test('where they have not, it leaves and is asked back at once: the write is complete when each has passed by what the other has', () => {
    let hastened = 0;
    host = { ...host, hastenReturn: () => ++hastened > 0 };
    write('w');
    leg(0).answer(Status.EPASSED);
    leg(1).answer(Status.EIO);
    expect([ended, failed, hastened]).toEqual([[], [[0b10, 'write failed: EIO']], 1]);
    engine.resume(0b01, 5, 2, [2, 3]);
    engine.gate.awaitVersion(false);
    host = { ...host, eachChunkClean: (_offset, _length, mask) => mask === 0b11 };
    engine.resume(0b11, 5, 3, [3]);
    leg(0).answer(Status.EPASSED);
    leg(1).answer(Status.EPASSED);
    expect([ended, failed.length]).toEqual([[['w', Status.OK]], 1]);
  });

  test('I3: if it fails it again, it stays as the authority, and those leave that may have carried out some of it', () => {
    write('w');
    leg(0).answer(Status.EPASSED);
    leg(1).answer(Status.EIO);
    engine.resume(0b01, 5, 2, [2, 3]);
    engine.gate.awaitVersion(false);
    engine.resume(0b11, 5, 3, [3]);
    leg(0).answer(Status.EPASSED);
    leg(1).answer(Status.EIO);
    expect([ended, failed[1]]).toEqual([[], [0b01, 'write failed: EIO']]);
    engine.resume(0b10, 5, 4, [1, 3]);
    expect(ended).toEqual([['w', Status.EIO]]);
  });

  test('I3: a write that is lost for one, and that another has carried out in part, makes that one leave', () => {
    write('w');
    leg(0).answer(Status.EPASSED);
    leg(1).answer(Status.ELOST);
    expect([ended, failed.map(([mask]) => mask)]).toEqual([[], [0b01]]);
  });

  test('when the one that has carried it out leaves, it is not complete', () => {
    write('w');
    leg(1).answer();
    engine.gate.awaitVersion(false);
    leg(0).answer(Status.EPASSED);
    engine.legsLeft(0b10);
    engine.resume(0b01, 5, 2, [2, 3]);
    expect(ended).toEqual([]);
    expect(engine.incompleteWriteRanges()).toEqual([{ offsetBytes: 0, lengthBytes: 4096 }]);
  });

  test('a read goes to another leg; where each lacks something of it, chunk by chunk; else it waits for the next round', () => {
    read('r');
    const first = leg(0).sent.length > 0 ? 0 : 1;
    leg(first).answer(Status.EDIRTY);
    leg(1 - first).answer(Status.OK, new Uint8Array(4096));
    expect([ended, failed]).toEqual([[['r', Status.OK]], []]);
    let split = 0;
    host = { ...host, readByChunks: () => split++ === 0 };
    for (const name of ['split', 'waits']) {
      read(name);
      for (let tried = 0; tried < 2; tried++) leg(leg(0).sent.length > 0 ? 0 : 1).answer(Status.EDIRTY);
    }
    expect([split, ended.length, leg(0).sent.length + leg(1).sent.length]).toEqual([2, 1, 0]);
    engine.nextRound();
    expect(leg(0).sent.length + leg(1).sent.length).toBe(1);
  });
});

describe('io engine: a write that the disk of the last member fails', () => {
  beforeEach(() => {
    engine.gate.awaitVersion(false);
    engine.legsLeft(0b10);
    engine.resume(0b01, 5, 2, [2, 3]);
  });

  test('waits for a member that is asked back, and is complete when that one takes it', () => {
    host = { ...host, hastenReturn: () => true };
    write('w');
    leg(0).answer(Status.EIO);
    expect(ended).toEqual([]);
    engine.gate.awaitVersion(false);
    engine.resume(0b11, 5, 3, [3]);
    leg(0).answer(Status.EIO);
    leg(1).answer();
    expect(failed).toEqual([[0b01, 'write failed: EIO']]);
    engine.resume(0b10, 5, 4, [1, 3]);
    expect(ended).toEqual([['w', Status.OK]]);
  });

  test('fails where nobody can be asked back, and after a while in any case', () => {
    write('w');
    leg(0).answer(Status.EIO);
    expect(ended).toEqual([['w', Status.EIO]]);
    host = { ...host, hastenReturn: () => true };
    write('later');
    nowMs = FAILED_WRITE_WAIT_MS;
    leg(0).answer(Status.EIO);
    expect(ended[1]).toEqual(['later', Status.EIO]);
  });
});

describe('io engine: requests that nobody wants any more', () => {
  function submitted(name: string, type: IoType, offsetBytes = 0): IoRequest {
    const request = new IoRequest({ onIoDone: (_request, status) => ended.push([name, status]) });
    request.type = type;
    request.offsetBytes = offsetBytes;
    request.lengthBytes = 4096;
    if (type === MessageType.WRITE) request.payload = new Uint8Array(4096);
    engine.submit(request);
    return request;
  }
  function endTurn(): void {
    for (const task of turn.splice(0)) task.runAtTurnEnd();
    engine.verify();
  }

  test('a write that waits for its turn is never begun, its sink hears nothing, and what it held goes on', () => {
    const first = submitted('first', MessageType.WRITE);
    const gone = submitted('gone', MessageType.WRITE);
    submitted('later', MessageType.WRITE);
    expect(engine.cancel(gone)).toBe(true);
    expect(engine.cancel(gone)).toBe(false);
    expect(engine.cancel(first)).toBe(false);
    endTurn();
    for (const index of [0, 1]) leg(index).answer();
    endTurn();
    expect(leg(0).sent.map(({ message }) => message.writeSeq)).toEqual([2]);
    for (const index of [0, 1]) leg(index).answer();
    expect(ended).toEqual([
      ['first', Status.OK],
      ['later', Status.OK],
    ]);
    expect(engine.counters).toMatchObject({ cancelled: 1, writes: 2, errors: 0 });
    expect([engine.executing, engine.waiting]).toEqual([0, 0]);
  });

  test('what waited only for the one that is gone is sent at the end of the turn', () => {
    engine.gate.awaitVersion(false);
    const gone = submitted('gone', MessageType.WRITE);
    submitted('read', MessageType.READ);
    expect(leg(0).sent.length + leg(1).sent.length).toBe(0);
    expect(engine.cancel(gone)).toBe(true);
    endTurn();
    expect(leg(0).sent.length + leg(1).sent.length).toBe(1);
  });

  test('I2: a write that one member has goes on until all agree, also when no leg was left for it meanwhile', () => {
    const begun = submitted('begun', MessageType.WRITE);
    leg(0).answer();
    engine.allLegsLeft();
    const later = submitted('later', MessageType.WRITE);
    expect(engine.cancel(begun)).toBe(false);
    engine.resume(0b011, 6, 1, [3]);
    leg(0).sent.length = 0;
    leg(1).sent.splice(0, 1);
    expect(leg(1).sent.map(({ message }) => message.epoch)).toEqual([6]);
    expect(engine.cancel(later)).toBe(true);
    engine.verify();
  });

  test('an object that is used again begins anew', () => {
    const request = submitted('first', MessageType.WRITE);
    for (const index of [0, 1]) leg(index).answer();
    submitted('other', MessageType.WRITE);
    engine.submit(request);
    expect(engine.cancel(request)).toBe(true);
  });
});
