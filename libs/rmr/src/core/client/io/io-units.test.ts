import { beforeEach, expect, test } from 'vitest';
import { MessageType } from '../../../wire/io-message.ts';
import { IoRequest, type IoType } from './io-request.ts';
import { IoUnits, legIndexOf } from './io-units.ts';

let units: IoUnits;

beforeEach(() => {
  units = new IoUnits(1024);
});

function request(type: IoType): IoRequest {
  return Object.assign(new IoRequest({ onIoDone: () => {} }), { type });
}

/** A write in flight on the legs of the mask. */
function write(mask: number): number {
  const unit = units.take(request(MessageType.WRITE), 5);
  units.sentToAll(unit, mask);
  units.verify();
  return unit;
}

test('each leg answers once, and what nobody waits for belongs to no unit', () => {
  const unit = write(0b101);
  const tags = [0, 1, 2].map((leg) => units.tag(unit, leg));
  expect(tags.map(legIndexOf)).toEqual([0, 1, 2]);
  expect(tags.map((tag) => units.answered(tag))).toEqual([unit, -1, unit]);
  expect([units.unanswered, units.answered(tags[0] as number)]).toEqual([0, -1]);
  units.verify();
});

test('an answer to what a unit held before is not taken for one to what it holds now', () => {
  for (let held = 0; held < 2048; held++) {
    const unit = write(0b1);
    const late = units.tag(unit, 0);
    units.release(unit);
    expect(write(0b1)).toBe(unit);
    expect([units.answered(late), units.answered(units.tag(unit, 0))]).toEqual([-1, unit]);
    units.release(unit);
  }
  units.verify();
});

test('what is sent again in its unit does not hear the answers to what was sent first', () => {
  const unit = write(0b11);
  const first = units.tag(unit, 1);
  expect(units.answered(units.tag(unit, 0))).toBe(unit);
  units.failed[unit] = 0b1;
  units.legsLeft(unit, 0b10);
  units.sendAgain(unit, 3);
  units.sendAgain(unit, 4);
  expect([units.againCount, units.again[unit]]).toEqual([1, 4]);
  units.beginAgain(unit, 9);
  units.sentToAll(unit, 0b11);
  expect([units.againCount, units.failed[unit], units.sentAtMs[unit], units.answered(first)]).toEqual([0, 0, 9, -1]);
  expect(units.unanswered).toBe(1);
  units.verify();
});

test('a leg that leaves owes nothing, and what it has said does not count', () => {
  const unit = write(0b110);
  expect(units.answered(units.tag(unit, 1))).toBe(unit);
  units.ok[unit] = 0b10;
  units.legsLeft(unit, 0b10);
  expect([units.ok[unit], units.pending[unit], units.unanswered]).toEqual([0, 0b100, 1]);
  units.legsLeft(unit, 0b100);
  expect([units.pending[unit], units.unanswered]).toEqual([0, 0]);
  units.verify();
});

test('all units can be taken, and are there again when they were released in flight', () => {
  const taken = new Set(Array.from({ length: 1024 }, (_none, n) => (n % 2 === 0 ? write(0b11) : units.take(request(MessageType.READ), 0))));
  expect([taken.size, units.freeCount, units.unanswered]).toEqual([1024, 0, 512]);
  for (const unit of taken) units.sendAgain(unit, 1);
  for (const unit of taken) units.release(unit);
  expect([units.freeCount, units.unanswered, units.againCount]).toEqual([1024, 0, 0]);
  units.verify();
});
