import { expect, test } from 'vitest';
import { LIVES_MAX, RECORD_BYTES_MAX } from '../constants.ts';
import { testUuid } from '../testing/store-rig.ts';
import { invalidEntries } from './entries.ts';
import { addEntry } from './entry.ts';
import { LIVES, LIVES_BYTES_MAX, type Lives, livesAfterOpening, NO_LIVES, readLives } from './lives.ts';
import { RECORD_HEADER_BYTES, RecordWriter } from './record.ts';

const TWO: Lives = {
  all: [
    { lifeUuid: testUuid(0x31), firstAge: 7, lastAge: 2 ** 32, openedAtMs: 0x0102030405 },
    { lifeUuid: testUuid(0x32), firstAge: 2 ** 32 + 1, lastAge: null, openedAtMs: 0 },
  ],
  told: true,
};
/** Where the payload begins in a record with that entry alone. */
const AT = RECORD_HEADER_BYTES + 8;

function written(lives: Lives): RecordWriter {
  const writer = new RecordWriter();
  writer.begin();
  addEntry(writer, LIVES, lives);
  return writer;
}

function invalid(writer: RecordWriter): string | null {
  return invalidEntries(writer.bytes, RECORD_HEADER_BYTES, writer.lengthBytes, { grid: { chunkCount: 1 }, regionCount: 1 });
}

test('golden: the bytes of two lives, one that has ended and one that goes on, told and not', () => {
  const writer = written(TWO);
  expect(Buffer.from(writer.bytes.subarray(RECORD_HEADER_BYTES, writer.lengthBytes)).toString('hex')).toBe(
    [
      '0e00000068000000', // lives, 104 bytes
      '0200000000000000',
      '00000000000040008000000000000031',
      '0700000000000000', // first age
      '0000000001000000', // last age
      '0504030201000000', // opened at
      '0100000000000000', // told
      '00000000000040008000000000000032',
      '0100000001000000',
      '0000000000000000', // goes on
      '0000000000000000',
      '0100000000000000',
    ].join(''),
  );
  expect(readLives(writer.bytes, AT, LIVES.size(TWO))).toEqual(TWO);
  const untold = written({ ...TWO, told: false });
  expect(untold.bytes[AT + 8 + 48 + 40]).toBe(0);
  expect(readLives(untold.bytes, AT, LIVES.size(TWO))).toEqual({ ...TWO, told: false });
});

test('lives that were cut anywhere are refused', () => {
  const writer = written(TWO);
  for (let size = 0; size < LIVES.size(TWO) + 8; size++) {
    const read = readLives(writer.bytes, AT, size);
    if (size === LIVES.size(TWO)) expect(read).toEqual(TWO);
    else expect(read, `${size} bytes`).toBeNull();
  }
});

test.each<[string, number, number[]]>([
  ['no life', 0, [0]],
  ['more lives than there are bytes', 0, [3]],
  ['bytes behind their number', 7, [1]],
  ['a life that begins at age 0', 8 + 16, [0]],
  ['a first age beyond 2^53', 8 + 23, [0x20]],
  ['a former life that goes on', 8 + 28, [0]],
  ['a former life that ends before it begins', 8 + 24, [6, 0, 0, 0, 0]],
  ['a last age beyond 2^53', 8 + 31, [0x20]],
  ['a time beyond 2^53', 8 + 39, [0x20]],
  ['a former life that nobody was told of', 8 + 40, [0]],
  ['unknown flags', 8 + 40, [3]],
  ['bytes behind the flags', 8 + 44, [1]],
  ['a life that begins within the one before', 56 + 16, [0]],
  ['a last life that has ended', 56 + 30, [1]],
  ['a last life with unknown flags', 56 + 40, [2]],
  ['a UUID twice', 56 + 15, [0x31]],
])('lives with %s are refused', (_what, at, bytes) => {
  const writer = written(TWO);
  expect(invalid(writer)).toBeNull();
  writer.bytes.set(bytes, AT + at);
  expect(invalid(writer)).toBe('lives: not well formed');
});

test('as many lives as are kept come back as they went in, at their longest; one more is refused', () => {
  const all = Array.from({ length: LIVES_MAX }, (_, i) => ({
    lifeUuid: testUuid(i),
    firstAge: Number.MAX_SAFE_INTEGER - 2 * LIVES_MAX + 2 * i,
    lastAge: i === LIVES_MAX - 1 ? null : Number.MAX_SAFE_INTEGER - 2 * LIVES_MAX + 2 * i + 1,
    openedAtMs: Number.MAX_SAFE_INTEGER,
  }));
  const most = written({ all, told: false });
  expect(readLives(most.bytes, AT, LIVES_BYTES_MAX)).toEqual({ all, told: false });
  expect(LIVES_BYTES_MAX).toBeLessThan(RECORD_BYTES_MAX / 16);
  const first = { lifeUuid: testUuid(99), firstAge: 1, lastAge: 1, openedAtMs: 0 };
  expect(invalid(written({ all: [first, ...all], told: false }))).toBe('lives: not well formed');
});

test('a life ends with the age that the next opening finds, if somebody was told of it; else it is forgotten', () => {
  const first = livesAfterOpening(NO_LIVES, 0, testUuid(1), 5);
  expect(first).toEqual({ all: [{ lifeUuid: testUuid(1), firstAge: 1, lastAge: null, openedAtMs: 5 }], told: false });
  const begun = { lifeUuid: testUuid(2), firstAge: 10, lastAge: null, openedAtMs: 6 };
  expect(livesAfterOpening(first, 9, testUuid(2), 6)).toEqual({ all: [begun], told: false });
  expect(livesAfterOpening({ ...first, told: true }, 9, testUuid(2), 6)).toEqual({
    all: [{ lifeUuid: testUuid(1), firstAge: 1, lastAge: 9, openedAtMs: 5 }, begun],
    told: false,
  });
  expect(() => livesAfterOpening(first, 9, testUuid(1), 6)).toThrow(/UUID of its own/);
});

test('the oldest life goes when there are too many, and openings that nobody hears of push out none', () => {
  let lives = NO_LIVES;
  for (let i = 1; i <= 40; i++) lives = { ...livesAfterOpening(lives, i * 10, testUuid(i), 0), told: true };
  expect(lives.all.map(({ lifeUuid }) => lifeUuid)).toEqual(Array.from({ length: 32 }, (_, i) => testUuid(i + 9)));
  for (let i = 41; i <= 140; i++) lives = livesAfterOpening(lives, i * 10, testUuid(i), 0);
  expect(lives.all.map(({ lifeUuid }) => lifeUuid)).toEqual([...Array.from({ length: 31 }, (_, i) => testUuid(i + 10)), testUuid(140)]);
});
