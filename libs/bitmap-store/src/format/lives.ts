import { assert, decodeUuid, encodeUuid, readU32, writeU32 } from '@rmr/runtime';
import { LIVES_MAX } from '../constants.ts';
import type { StoreLife } from '../types.ts';
import { type Entry, EntryType } from './entry.ts';
import { allZero, readU64, writeU64 } from './fields.ts';

/**
 * The lives of a store: one for each opening, with the ages between which it lasted. A member or client that was told an age in a life
 * can find out by them whether a store that it meets later has gone through that life up to that age, or is a copy from before.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 1 | number of lives |
 * | 1 | 7 | zero |
 * | 8 | … | the lives, oldest first |
 *
 * Life: UUID (16), first age (8), last age, or 0 while it goes on (8), opened at (8), flags (4): 1 somebody was told of it; zero (4).
 */
export interface Lives {
  /** Oldest first; only the last one goes on. */
  readonly all: readonly StoreLife[];
  /** Whether a client was told of the last one. Of the others a client always was. */
  readonly told: boolean;
}

/** The lives of a store that was never opened, or not since lives are kept. */
export const NO_LIVES: Lives = { all: [], told: false };

const HEADER_BYTES = 8;
/** Bytes of one life. */
const LIFE_BYTES = 48;
const LIFE_AT = { FIRST_AGE: 16, LAST_AGE: 24, OPENED_AT: 32, FLAGS: 40, RESERVED: 44 } as const;
const FLAG_TOLD = 1;

/** Bytes that as many lives as a store remembers take. */
export const LIVES_BYTES_MAX = HEADER_BYTES + LIVES_MAX * LIFE_BYTES;

/**
 * The lives after a store of this `age` is opened. The former life has ended, and another begins with the record that says so. A former
 * life that no client was told of is forgotten. So a storage node that restarts in a loop does not push out lives that others remember.
 */
export function livesAfterOpening(lives: Lives, age: number, lifeUuid: string, openedAtMs: number): Lives {
  assert(!lives.all.some((life) => life.lifeUuid === lifeUuid), 'lives: every life has a UUID of its own');
  const former = lives.all.slice(0, -1);
  const ended = lives.all.at(-1);
  if (ended !== undefined && lives.told) former.push({ ...ended, lastAge: age });
  const begun: StoreLife = { lifeUuid, firstAge: age + 1, lastAge: null, openedAtMs };
  return { all: [...former, begun].slice(-LIVES_MAX), told: false };
}

/** The lives of the store. */
export const LIVES: Entry<Lives> = {
  type: EntryType.LIVES,
  size: ({ all }) => HEADER_BYTES + all.length * LIFE_BYTES,
  write: (bytes, at, { all, told }) => {
    bytes[at] = all.length;
    for (const [i, { lifeUuid, firstAge, lastAge, openedAtMs }] of all.entries()) {
      const life = at + HEADER_BYTES + i * LIFE_BYTES;
      encodeUuid(lifeUuid, bytes, life);
      writeU64(bytes, life + LIFE_AT.FIRST_AGE, firstAge);
      writeU64(bytes, life + LIFE_AT.LAST_AGE, lastAge ?? 0);
      writeU64(bytes, life + LIFE_AT.OPENED_AT, openedAtMs);
      writeU32(bytes, life + LIFE_AT.FLAGS, lastAge !== null || told ? FLAG_TOLD : 0);
    }
  },
  read: (bytes, at, size) => {
    const lives = readLives(bytes, at, size);
    assert(lives !== null, 'entries: the lives were validated');
    return lives;
  },
  invalid: (bytes, at, size) => (readLives(bytes, at, size) === null ? 'lives: not well formed' : null),
};

/** The lives in a payload, or null when it is not well formed. */
export function readLives(bytes: Uint8Array, at: number, payloadBytes: number): Lives | null {
  if (payloadBytes < HEADER_BYTES) return null;
  const count = bytes[at] as number;
  if (count === 0 || count > LIVES_MAX || payloadBytes !== HEADER_BYTES + count * LIFE_BYTES) return null;
  if (!allZero(bytes, at + 1, at + HEADER_BYTES)) return null;
  const all: StoreLife[] = [];
  let told = true;
  let age = 0;
  for (let i = 0; i < count; i++) {
    const life = at + HEADER_BYTES + i * LIFE_BYTES;
    const isLast = i === count - 1;
    const lifeUuid = decodeUuid(bytes, life);
    const firstAge = readU64(bytes, life + LIFE_AT.FIRST_AGE);
    const lastAge = readU64(bytes, life + LIFE_AT.LAST_AGE);
    const openedAtMs = readU64(bytes, life + LIFE_AT.OPENED_AT);
    const flags = readU32(bytes, life + LIFE_AT.FLAGS);
    // Lives follow one another, so that an age is in one of them at most; NaN is refused as well.
    if (!(firstAge > age) || !(isLast ? lastAge === 0 : lastAge >= firstAge) || Number.isNaN(openedAtMs)) return null;
    if (flags > FLAG_TOLD || (!isLast && flags !== FLAG_TOLD) || !allZero(bytes, life + LIFE_AT.RESERVED, life + LIFE_BYTES)) return null;
    if (all.some((other) => other.lifeUuid === lifeUuid)) return null;
    all.push({ lifeUuid, firstAge, lastAge: isLast ? null : lastAge, openedAtMs });
    told = flags === FLAG_TOLD;
    age = lastAge;
  }
  return { all, told };
}

/** Rechecks the invariants of the lives of a store of that age. */
export function verifyLives(lives: Lives, age: number): void {
  assert(lives.all.length <= LIVES_MAX, 'lives: no more than are kept');
  let before = 0;
  for (const [i, { firstAge, lastAge }] of lives.all.entries()) {
    assert((lastAge === null) === (i === lives.all.length - 1), 'lives: the last one goes on, and no other');
    assert(firstAge > before && (lastAge ?? age) >= firstAge, 'lives: they follow one another, up to the age');
    before = lastAge ?? age;
  }
  assert(before <= age, 'lives: none is ahead of the age');
}
