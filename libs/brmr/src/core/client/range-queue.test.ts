import { GIB, KIB, MIB } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { RANGE_MS, RANGES_BYTES_MAX, RANGES_BYTES_MIN, RANGES_IN_FLIGHT_MAX, RANGES_PER_WINDOW } from '../../constants.ts';
import { RangeQueue } from './range-queue.ts';

interface Piece {
  readonly owner: string;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly isLast: boolean;
}

let sent: Piece[];
let queue: RangeQueue<string>;
const STEP_MIN = RANGES_BYTES_MIN / RANGES_PER_WINDOW;

beforeEach(() => {
  sent = [];
  queue = new RangeQueue((owner, offsetBytes, lengthBytes, isLast) => sent.push({ owner, offsetBytes, lengthBytes, isLast }));
});

/** The oldest piece in flight ends. */
function end(tookMs = 1): Piece {
  const piece = sent.shift() as Piece;
  queue.ended(piece.lengthBytes, tookMs);
  return piece;
}

/** Everything ends; the pieces in order. */
function endAll(tookMs = 1): Piece[] {
  const ended: Piece[] = [];
  while (sent.length > 0) ended.push(end(tookMs));
  return ended;
}

describe('range queue', () => {
  test('what is removed is never begun, and a piece that was cancelled makes room without a word on how fast pieces are', () => {
    queue.push('a', 0, 4 * GIB);
    queue.push('b', 0, 4 * GIB);
    queue.push('c', 0, 4096);
    const before = sent.splice(0);
    expect(before.every(({ owner }) => owner === 'a' || owner === 'b')).toBe(true);
    queue.remove('a');
    queue.remove('c');
    for (const { lengthBytes } of before) queue.cancelled(lengthBytes);
    // Not from within: the owner of these may cancel more.
    expect([sent.length, queue.inFlight, queue.inFlightBytes, queue.stepBytes]).toEqual([0, 0, 0, STEP_MIN]);
    queue.resume();
    const after = endAll();
    expect(new Set(after.map(({ owner }) => owner))).toEqual(new Set(['b']));
    expect([after.at(-1)?.isLast, queue.queued, queue.inFlight]).toEqual([true, 0, 0]);
  });

  test('a range is carried out from its start to its end, once, and its last piece is known', () => {
    const start = 3 * MIB + 512;
    const stop = 9 * GIB + 4096;
    queue.push('a', start, stop);
    let at = start;
    for (const piece of endAll()) {
      expect(piece.offsetBytes).toBe(at);
      at += piece.lengthBytes;
      expect(piece.isLast).toBe(at === stop);
    }
    expect([at, queue.inFlight, queue.inFlightBytes, queue.queued]).toEqual([stop, 0, 0, 0]);
  });

  test('I12: however many terabytes come, no more bytes and pieces are in flight than the bounds, and a piece fits into a message', () => {
    for (let i = 0; i < 256; i++) queue.push(`${i}`, i * 4 * GIB, (i + 1) * 4 * GIB - 1);
    let most = 0;
    for (let i = 0; i < 20_000; i++) {
      most = Math.max(most, queue.inFlightBytes);
      expect(queue.inFlight).toBeLessThanOrEqual(RANGES_IN_FLIGHT_MAX);
      expect(end().lengthBytes).toBeLessThanOrEqual(RANGES_BYTES_MAX / RANGES_PER_WINDOW);
      if (sent.length === 0) break;
    }
    expect(most).toBeLessThanOrEqual(RANGES_BYTES_MAX);
    expect(most).toBeGreaterThan(RANGES_BYTES_MAX / 2);
    expect(queue.queued + sent.length).toBe(0);
  });

  test('I12: where pieces are slow less is in flight, in smaller pieces, and more again when they are not', () => {
    queue.push('a', 0, 1024 * GIB);
    for (let i = 0; i < 100; i++) end(1);
    expect(queue.stepBytes).toBe(RANGES_BYTES_MAX / RANGES_PER_WINDOW);
    for (let i = 0; i < 20; i++) end(RANGE_MS + 1);
    expect([queue.stepBytes, queue.inFlightBytes <= RANGES_BYTES_MIN + RANGES_BYTES_MAX / RANGES_PER_WINDOW]).toEqual([STEP_MIN, true]);
    for (let i = 0; i < 20; i++) end(RANGE_MS - 1);
    expect(queue.stepBytes).toBe(STEP_MIN);
    for (let i = 0; i < 60; i++) end(RANGE_MS / 2 - 1);
    expect(queue.stepBytes).toBe(RANGES_BYTES_MAX / RANGES_PER_WINDOW);
  });

  test('a short range waits for no long one, and a long one not for all the short ones', () => {
    for (const owner of ['long 1', 'long 2', 'long 3']) queue.push(owner, 0, 100 * GIB);
    for (let i = 0; i < 40; i++) queue.push(`short ${i}`, i * MIB, i * MIB + 4 * KIB);
    const inFlight = sent.length;
    const turns: string[] = [];
    for (let i = 0; i < inFlight + 20; i++) turns.push(end().owner.split(' ')[0] as string);
    const later = turns.slice(inFlight);
    expect(later.filter((owner) => owner === 'short').length).toBeGreaterThanOrEqual(8);
    expect(later.filter((owner) => owner === 'long').length).toBeGreaterThanOrEqual(8);
  });

  test('long ranges take turns', () => {
    for (const owner of ['a', 'b', 'c']) queue.push(owner, 0, 100 * GIB);
    for (let i = 0; i < 30; i++) end();
    const owners = Array.from({ length: 9 }, () => end().owner);
    for (const owner of ['a', 'b', 'c']) expect(owners.filter((each) => each === owner).length).toBe(3);
  });
});
