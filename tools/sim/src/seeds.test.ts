import { expect, test } from 'vitest';
import { seedsOf } from './seeds.ts';

test('one seed, or all of a range with both ends', () => {
  expect([...seedsOf({ seed: '7' })]).toEqual([7]);
  expect([...seedsOf({ seeds: '3..6' })]).toEqual([3, 4, 5, 6]);
});

test('fresh seeds for a time differ from one another', () => {
  const seeds = [...seedsOf({ minutes: '0.0001' })];
  expect(new Set(seeds).size).toBe(seeds.length);
});

test.each([
  {},
  { seed: '1', seeds: '1..2' },
  { seeds: '2..1' },
  { seeds: '1-2' },
  { seed: '-1' },
  { seed: 'x' },
  { minutes: '0' },
  { minutes: '1441' },
])('%j is refused with what to write instead', (options) => {
  expect(() => [...seedsOf(options)]).toThrow(/give one of|write/);
});
