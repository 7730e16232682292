import { expect, test } from 'vitest';
import { ReadPolicy } from './read-policy.ts';

test('round-robin takes the candidates in turn and skips others', () => {
  const policy = new ReadPolicy('round-robin', new Int32Array(8));
  expect([0b111, 0b111, 0b111, 0b101, 0b101].map((mask) => policy.choose(mask))).toEqual([1, 2, 0, 2, 0]);
});

test('min-inflight takes the least loaded, and in turn among equals', () => {
  const inFlight = new Int32Array(8);
  const policy = new ReadPolicy('min-inflight', inFlight);
  expect([policy.choose(0b11), policy.choose(0b11)]).toEqual([1, 0]);
  inFlight[0] = 3;
  inFlight[2] = 1;
  expect(policy.choose(0b101)).toBe(2);
  expect(policy.choose(0b111)).toBe(1);
});

test('preferred takes the preferred one while it can, else the first', () => {
  const policy = new ReadPolicy('preferred', new Int32Array(8), 2);
  expect(policy.choose(0b111)).toBe(2);
  expect(policy.choose(0b011)).toBe(0);
  expect(policy.choose(0b10000000)).toBe(7);
});
