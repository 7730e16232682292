import { expect, test } from 'vitest';
import { z } from 'zod';
import { configReference } from './config-reference.ts';
import { durationText, durationValue, nameValue, sizeValue, socketAddressListValue, timeoutValue } from './config-values.ts';

function row(property: z.ZodType, key = 'key'): string | undefined {
  return configReference(z.strictObject({ key: property }))
    .split('\n')
    .find((line) => line.startsWith(`| \`${key}\` |`));
}

test.each<[string, z.ZodType, string]>([
  [
    'what has to be given',
    nameValue().describe('a name'),
    '| name: 1 to 63 letters, digits, `.`, `_`, `-` | **has to be given** | a name |',
  ],
  [
    'durations',
    durationValue({ millisecondsMin: 300, millisecondsMax: 600_000 }).default(5000),
    '| duration, at least 300ms, at most 10m | `5s` |  |',
  ],
  ['durations that may never end', timeoutValue().prefault('never'), '| duration; or `never` | `never` |  |'],
  ['sizes', sizeValue({ bytesMin: 65_536, powerOfTwo: true }).default(131_072), '| size, at least 64 KiB, a power of two | `128KiB` |  |'],
  ['what may be null', sizeValue().nullable().default(null), '| size; or `null` | `null` |  |'],
  ['choices', z.enum(['a', 'b']).optional(), '| `a`, `b` | none |  |'],
  ['numbers', z.int().min(1).max(8).default(2), '| whole number, 1 to 8 | `2` |  |'],
  ['numbers without an end', z.number().min(2).default(20), '| number, at least 2 | `20` |  |'],
  ['yes or no', z.boolean().default(false), '| `true`, `false` | `false` |  |'],
  [
    'addresses',
    socketAddressListValue().default(['tcp://h:1', 'tcp://h:2']),
    '| list: `tcp://HOST:PORT` or `unix:/PATH` | `tcp://h:1`, `tcp://h:2` |  |',
  ],
  ['a bar in a description', z.string().describe('a|b'), '| text | **has to be given** | a\\|b |'],
])('the reference shows %s', (_what, property, expected) => {
  expect(row(property)).toBe(`| \`key\` ${expected}`);
});

test('the reference goes down into levels and into the entries of lists', () => {
  const entry = z.strictObject({ path: z.string(), deep: z.strictObject({ on: z.boolean() }).optional() });
  const keys = configReference(
    z.strictObject({ log: z.strictObject({ level: z.string() }).prefault({ level: 'x' }), stores: z.array(entry) }),
  )
    .split('\n')
    .slice(2)
    .map((line) => line.split(' ')[1]);
  expect(keys).toEqual(['`log.level`', '`stores`', '`stores[].path`', '`stores[].deep`', '`stores[].deep.on`']);
});

test.each([
  [0, '0s'],
  [250, '250ms'],
  [1000, '1s'],
  [90_000, '90s'],
  [120_000, '2m'],
  [86_400_000, '24h'],
])('%d ms is written %s', (milliseconds, text) => {
  expect(durationText(milliseconds)).toBe(text);
});
