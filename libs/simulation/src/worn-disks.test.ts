import { beforeEach, describe, expect, test } from 'vitest';
import { WrongDiskPool } from './wrong-disk-pool.ts';

const CHUNK_SECTORS = 8;
const CHUNK_BYTES = 4096;
/** In virtual milliseconds: less than it takes until a chunk is tried again that a disk has failed. */
const SHORT_MS = 2_000;

let pool: WrongDiskPool;

beforeEach(() => {
  pool = new WrongDiskPool({ memberCount: 2, witness: false, quorum: 'none', seed: 7 });
  pool.beBorn();
  pool.writeAll();
});

/** The disk of the member takes nothing in this chunk any more. */
function wearOut(memberId: number, chunk: number): void {
  const { disk, store } = pool.node(memberId);
  disk.wearOut((store?.bitmapStore.dataOffset ?? 0) + chunk * CHUNK_BYTES, CHUNK_BYTES);
}

/** A write that begins within this chunk and ends within the last one. How long it took. */
function write(chunk: number, chunks = 1): number {
  const beganMs = pool.world.scheduler.nowMs;
  pool.write(chunk * CHUNK_SECTORS + 2, (chunks - 1) * CHUNK_SECTORS + 2);
  pool.untilQuiet();
  return pool.world.scheduler.nowMs - beganMs;
}

/** The bytes that the disk of the member is known to fail. */
const refused = (memberId: number): number =>
  (pool.node(memberId).rmr?.pools()[0]?.resync.status().refused ?? []).reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);

function untilBothAreBack(): void {
  pool.until('both members to be in the set', () => [1, 2].every((memberId) => pool.leg(memberId).inSync));
}

describe('W10: two disks that wear out', () => {
  test.each<[string, number[]]>([
    ['neither disk is known to fail', []],
    ['the first disk is known to fail', [1]],
    ['the second disk is known to fail', [2]],
    ['both disks are known to fail', [1, 2]],
  ])('a write of two chunks, of which each disk fails one, is carried out at once: %s', (_what, known) => {
    for (const memberId of [1, 2]) {
      if (!known.includes(memberId)) continue;
      wearOut(memberId, 3 + memberId);
      write(3 + memberId);
      untilBothAreBack();
      pool.until('the disk to be known to fail', () => refused(memberId) === CHUNK_BYTES);
    }
    for (const memberId of [1, 2]) wearOut(memberId, 3 + memberId);
    expect(write(4, 2)).toBeLessThan(SHORT_MS);
    untilBothAreBack();
    expect(write(4, 2)).toBeLessThan(SHORT_MS);
    expect([refused(1), refused(2)]).toEqual([CHUNK_BYTES, CHUNK_BYTES]);
    pool.readEverything();
  });

  test('IO never waits for long for a member that has the only copy of its chunk, however often its disk has failed', () => {
    wearOut(1, 15);
    write(15);
    untilBothAreBack();
    const tookMs: number[] = [];
    for (let chunk = 2; chunk < 14; chunk++) {
      wearOut(2, chunk);
      // Member 2 leaves, and member 1 lacks chunk 15.
      write(chunk);
      tookMs.push(write(15));
    }
    untilBothAreBack();
    expect(Math.max(...tookMs)).toBeLessThan(SHORT_MS);
    pool.readEverything();
  });
});
