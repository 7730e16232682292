import { MIB, TIB } from '@rmr/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { INTENT_ACTIVE_MAX } from '../constants.ts';
import { RecordWriter } from '../format/record.ts';
import { EnterResult, WriteIntent } from './write-intent.ts';

const REGION = 4 * MIB;
const writer = new RecordWriter();
let intent: WriteIntent;

afterEach(() => intent.verify());

beforeEach(() => {
  writer.begin();
  intent = new WriteIntent(TIB, REGION);
});

/** Enters a region as the engine does: into a record that becomes durable. */
function enter(region: number, writeSeq: number): EnterResult {
  writer.begin();
  intent.touch(region, region, writeSeq);
  const result = intent.enter(writer, region, region, writeSeq, false);
  if (result === EnterResult.DONE) intent.applyEnter(region);
  return result;
}

function flush(): void {
  intent.flushBegins();
  intent.flushEnds(true);
}

function fill(): void {
  for (let region = 0; region < INTENT_ACTIVE_MAX; region++) expect(enter(region, region + 1)).toBe(EnterResult.DONE);
}

test('◆4: a region is not entered before its record is durable', () => {
  expect(intent.touch(3, 3, 1)).toBe(false);
  expect(intent.enter(writer, 3, 3, 1, false)).toBe(EnterResult.DONE);
  expect(intent.touch(3, 3, 2)).toBe(false);
  intent.applyEnter(3);
  expect(intent.touch(3, 3, 3)).toBe(true);
  expect(intent.touch(3, 4, 4)).toBe(false);
});

test('W7: a region that two writes of one turn enter stays for the later one, also when the earlier one is resolved', () => {
  // Both find that the region is not in the set; the first to be gathered puts it there.
  expect([intent.touch(0, 0, 1), intent.touch(0, 0, 6000)]).toEqual([false, false]);
  for (const writeSeq of [1, 6000]) expect(intent.enter(writer, 0, 0, writeSeq, false)).toBe(EnterResult.DONE);
  intent.applyEnter(0);
  for (let region = 1; region < INTENT_ACTIVE_MAX; region++) expect(enter(region, region + 1)).toBe(EnterResult.DONE);
  intent.setCompletedThrough(1);
  flush();
  expect(enter(9999, 7000)).toBe(EnterResult.SET_FULL);
  intent.setCompletedThrough(2);
  flush();
  // The region of write 2.
  expect(enter(9999, 7000)).toBe(EnterResult.DONE);
  expect([intent.touch(0, 0, 7001), intent.touch(1, 1, 7002)]).toEqual([true, false]);
});

test('W7: a region leaves only when its newest write is resolved and a flush began after that', () => {
  fill();
  expect(enter(9999, 5000)).toBe(EnterResult.SET_FULL);
  flush();
  expect(enter(9999, 5000)).toBe(EnterResult.SET_FULL);
  intent.flushBegins();
  intent.setCompletedThrough(1);
  // This flush began before write 1 was resolved.
  intent.flushEnds(true);
  expect(enter(9999, 5000)).toBe(EnterResult.SET_FULL);
  expect(intent.flushHelps).toBe(true);
  flush();
  expect(enter(9999, 5000)).toBe(EnterResult.DONE);
  expect(intent.touch(0, 0, 5001)).toBe(false);
  expect(intent.activeCount).toBe(INTENT_ACTIVE_MAX);
});

test('a flush that failed lets nothing leave', () => {
  fill();
  intent.setCompletedThrough(INTENT_ACTIVE_MAX);
  intent.flushBegins();
  intent.flushEnds(false);
  expect(enter(9999, 5000)).toBe(EnterResult.SET_FULL);
});

test('a write that is not resolved keeps its region, however long ago it was entered', () => {
  fill();
  expect(intent.touch(0, 0, 9000)).toBe(true);
  intent.setCompletedThrough(INTENT_ACTIVE_MAX);
  flush();
  for (let i = 0; i < INTENT_ACTIVE_MAX - 1; i++) expect(enter(10_000 + i, 9001)).toBe(EnterResult.DONE);
  expect(intent.touch(0, 0, 9002)).toBe(true);
  expect(enter(99_999, 9001)).toBe(EnterResult.SET_FULL);
});

test('the full set overflows to every region, and the mark leaves once its writes are resolved and flushed', () => {
  fill();
  writer.begin();
  expect(intent.enter(writer, 9999, 9999, 5000, true)).toBe(EnterResult.DONE);
  expect(intent.touch(9999, 9999, 5001)).toBe(false);
  intent.applyOverflow(true);
  expect(enter(9998, 5002)).toBe(EnterResult.SET_FULL);
  expect(intent.touch(9999, 9999, 5003)).toBe(true);
  expect(intent.ranges()).toEqual([{ offsetBytes: 0, lengthBytes: TIB }]);
  intent.setCompletedThrough(5003);
  flush();
  // There is room again: regions enter one by one, so that the mark can leave.
  expect(intent.touch(9999, 9999, 5004)).toBe(false);
  expect(enter(9999, 5004)).toBe(EnterResult.DONE);
  intent.nextPeriod();
  intent.nextPeriod();
  expect(intent.idleCanLeave).toBe(true);
  intent.verify();
  writer.begin();
  intent.leaveIdle(writer);
  expect(intent.activeCount).toBe(1);
  expect(intent.overflowed).toBe(false);
  intent.verify();
});

test('idle regions leave after two periods, written ones stay', () => {
  enter(1, 1);
  enter(2, 2);
  intent.setCompletedThrough(2);
  flush();
  intent.nextPeriod();
  expect(intent.idleCanLeave).toBe(false);
  intent.touch(2, 2, 3);
  intent.nextPeriod();
  expect(intent.idleCanLeave).toBe(true);
  writer.begin();
  intent.leaveIdle(writer);
  expect(intent.ranges()).toEqual([{ offsetBytes: 2 * REGION, lengthBytes: REGION }]);
  intent.verify();
});

test('an idle device asks for the flush that lets its regions leave', () => {
  enter(1, 1);
  intent.setCompletedThrough(1);
  intent.nextPeriod();
  intent.nextPeriod();
  expect(intent.idleCanLeave).toBe(false);
  expect(intent.idleNeedsFlush).toBe(true);
  flush();
  expect(intent.idleNeedsFlush).toBe(false);
  expect(intent.idleCanLeave).toBe(true);
});

test('what an earlier process entered stays until reconciliation and a flush after it', () => {
  intent.applyEnter(7);
  intent.setCompletedThrough(1_000_000);
  flush();
  intent.nextPeriod();
  intent.nextPeriod();
  expect(intent.idleCanLeave).toBe(false);
  intent.release();
  expect(intent.idleCanLeave).toBe(false);
  flush();
  expect(intent.idleCanLeave).toBe(true);
});

test('W7, I1: a flush that failed holds everything, what is reconciled and awaits a flush as well, until the next reconciliation', () => {
  enter(1, 1);
  intent.applyEnter(2);
  intent.release();
  intent.touch(3, 3, 2);
  intent.enter(writer, 3, 3, 2, false);
  intent.setCompletedThrough(1);
  intent.flushBegins();
  intent.flushEnds(false);
  intent.applyEnter(3);
  enter(4, 1);
  intent.nextPeriod();
  intent.nextPeriod();
  flush();
  expect([intent.idleCanLeave, intent.awaitsReconciliation, intent.idleNeedsFlush]).toEqual([true, true, false]);
  writer.begin();
  intent.leaveIdle(writer);
  // What was entered later is not held; the others are.
  expect(intent.ranges()).toEqual([{ offsetBytes: REGION, lengthBytes: 3 * REGION }]);
  intent.release();
  expect(intent.idleCanLeave).toBe(false);
  flush();
  writer.begin();
  intent.leaveIdle(writer);
  // The newest write of this one is not resolved, which the failure has not made forgotten.
  expect(intent.ranges()).toEqual([{ offsetBytes: 3 * REGION, lengthBytes: REGION }]);
});

test('a new epoch starts sequence numbers over and holds everything until reconciliation', () => {
  enter(7, 500);
  intent.setCompletedThrough(500);
  flush();
  intent.holdAll();
  intent.touch(7, 7, 3);
  intent.setCompletedThrough(2);
  flush();
  intent.nextPeriod();
  intent.nextPeriod();
  expect(intent.idleCanLeave).toBe(false);
  intent.release();
  flush();
  // Write 3 of the new epoch is not resolved.
  expect(intent.idleCanLeave).toBe(false);
  intent.setCompletedThrough(3);
  flush();
  expect(intent.idleCanLeave).toBe(true);
});

test('ranges are in order, neighbours are one, and the last ends with the device', () => {
  intent = new WriteIntent(10 * REGION + 512, REGION);
  for (const region of [10, 2, 1, 7]) enter(region, 1);
  expect(intent.ranges()).toEqual([
    { offsetBytes: REGION, lengthBytes: 2 * REGION },
    { offsetBytes: 7 * REGION, lengthBytes: REGION },
    { offsetBytes: 10 * REGION, lengthBytes: 512 },
  ]);
});

test('a disk that claims more regions than fit counts as all', () => {
  for (let region = 0; region <= INTENT_ACTIVE_MAX; region++) intent.applyEnter(region);
  expect(intent.overflowed).toBe(true);
  intent.verify();
});
