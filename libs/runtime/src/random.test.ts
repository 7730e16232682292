import { expect, test } from 'vitest';
import { randomBelow, randomUuid, SeededRandom } from './random.ts';
import { decodeUuid, encodeUuid, formatSize, isUuid, parseDuration, parseSize } from './units.ts';

test('the same seed gives the same sequence, another seed another', () => {
  const draw = (seed: number) =>
    Array.from(
      { length: 5 },
      (
        (random) => () =>
          random.u32()
      )(new SeededRandom(seed)),
    );
  expect(draw(7)).toEqual(draw(7));
  expect(draw(7)).not.toEqual(draw(8));
  expect(draw(7)).not.toEqual(draw(7 + 2 ** 32));
});

test('numbers below a bound are below it and spread', () => {
  const random = new SeededRandom(1);
  const counts = new Array(10).fill(0);
  for (let i = 0; i < 10_000; i++) counts[randomBelow(random, 10)]++;
  for (const count of counts) expect(count).toBeGreaterThan(800);
});

test('uuids are of version 4 and survive their binary form', () => {
  const random = new SeededRandom(3);
  for (let i = 0; i < 100; i++) {
    const uuid = randomUuid(random);
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(isUuid(uuid)).toBe(true);
    const bytes = new Uint8Array(18);
    encodeUuid(uuid, bytes, 1);
    expect(decodeUuid(bytes, 1)).toBe(uuid);
  }
});

test.each([
  ['10GiB', 10 * 2 ** 30],
  ['1.5tib', 1.5 * 2 ** 40],
  ['128 KiB', 131072],
  ['4096', 4096],
  ['512k', 524288],
])('%s is %i bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));

test.each(['', '10GB', '-1', '1e3', '0.3', '9999999TiB', 'ten'])('"%s" is no size', (text) =>
  expect(() => parseSize(text)).toThrow('is not a size'),
);
test.each(['', '5', '5 s', '1d', '-1s'])('"%s" is no duration', (text) => expect(() => parseDuration(text)).toThrow('is not a duration'));

test('sizes and durations for people', () => {
  expect([parseDuration('250ms'), parseDuration('1.5s'), parseDuration('2m')]).toEqual([250, 1500, 120_000]);
  expect([0, 1023, 1024, 1536, 10 * 2 ** 30].map(formatSize)).toEqual(['0 B', '1023 B', '1 KiB', '1.5 KiB', '10 GiB']);
});
