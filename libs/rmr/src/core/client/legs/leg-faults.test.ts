import { beforeEach, describe, expect, test } from 'vitest';
import { FAULT_FORGIVEN_MS, FLAP_MS, FLAPS_FREE, PROBATION_MS, RETURN_DELAY_MS_MAX_DEFAULT, RETURN_RETRY_MS } from '../../../constants.ts';
import { type LegFault, LegFaults } from './leg-faults.ts';

let faults: LegFaults;
let nowMs: number;

beforeEach(() => {
  faults = new LegFaults();
  nowMs = 5_000;
  faults.back(nowMs);
});

/** It has been in the set for so long, and leaves. How long it waits then; it is back after that. */
function leave(fault: LegFault, inSetMs = 1_000): number {
  nowMs += inSetMs;
  faults.left(fault, nowMs, RETURN_DELAY_MS_MAX_DEFAULT);
  const delayMs = faults.notBeforeMs - nowMs;
  nowMs += delayMs;
  faults.back(nowMs);
  return delayMs;
}

describe('L7: how long a leg waits before its return', () => {
  test.each<[LegFault]>([['STALL'], ['OTHER']])('twice as long with each fault, up to ten minutes: %s', (fault) => {
    const delays = Array.from({ length: 20 }, () => leave(fault));
    expect(delays.slice(0, 11)).toEqual([2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048].map((factor) => factor * RETURN_RETRY_MS));
    expect(delays.slice(11)).toEqual(new Array(9).fill(RETURN_DELAY_MS_MAX_DEFAULT));
  });

  test('time in the set without a fault makes up for faults, one by one', () => {
    for (let i = 0; i < 20; i++) leave('STALL');
    expect(leave('STALL', 2 * FAULT_FORGIVEN_MS)).toBe(RETURN_RETRY_MS * 2 ** 11);
    expect(leave('STALL', 5 * FAULT_FORGIVEN_MS)).toBe(RETURN_RETRY_MS * 2 ** 7);
    expect(leave('STALL', 100 * FAULT_FORGIVEN_MS)).toBe(RETURN_RETRY_MS * 2);
  });

  test('one whose session is lost is back at once, unless that happens again and again soon after it came back', () => {
    for (let i = 0; i < 10; i++) expect(leave('LOST', FLAP_MS)).toBe(0);
    for (let i = 1; i < FLAPS_FREE; i++) expect(leave('LOST', FLAP_MS - 1)).toBe(0);
    expect([leave('LOST'), leave('LOST'), leave('LOST')]).toEqual([2, 4, 8].map((factor) => factor * RETURN_RETRY_MS));
    expect(leave('LOST', FLAP_MS)).toBe(0);
    expect(leave('LOST')).toBe(0);
  });

  test('a return that holds IO up is a fault too', () => {
    leave('STALL');
    nowMs += 1_000;
    faults.left('STALL', nowMs, RETURN_DELAY_MS_MAX_DEFAULT);
    faults.returnHeldUp(nowMs, RETURN_DELAY_MS_MAX_DEFAULT);
    expect([faults.count, faults.notBeforeMs - nowMs]).toEqual([3, 8 * RETURN_RETRY_MS]);
  });
});

test.each<[LegFault, boolean]>([
  ['STALL', true],
  ['OTHER', false],
  ['LOST', false],
])('L7: a leg that comes back after it left as %s is on probation for a while: %s', (fault, expected) => {
  expect(faults.onProbation(nowMs)).toBe(false);
  leave(fault);
  expect([faults.onProbation(nowMs), faults.onProbation(nowMs + PROBATION_MS - 1), faults.onProbation(nowMs + PROBATION_MS)]).toEqual([
    expected,
    expected,
    false,
  ]);
});
