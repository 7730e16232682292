import { type DiskSpace, MIB, SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, expect, test } from 'vitest';
import { RETURN_SPACE_BYTES, SPACE_RETRY_MS, SPACE_RETRY_MS_MAX } from '../../constants.ts';
import type { PoolStore } from '../../pool-store.ts';
import { lacksSpaceSoon, SpaceWatch } from './space-watch.ts';

const TOTAL = 640 * MIB;
const MARGIN = 10 * MIB;

let nowMs: number;
let space: DiskSpace | null;
let missedBytes: number;
let watch: SpaceWatch;

function free(freeBytes: number): void {
  space = { freeBytes, totalBytes: TOTAL, wantedBytes: TOTAL };
}

beforeEach(() => {
  nowMs = 1_000;
  missedBytes = 0;
  free(0);
  const store = {
    identity: { memberId: 1 },
    get space() {
      return space;
    },
    dirtyBytes: () => missedBytes,
  } as unknown as PoolStore;
  watch = new SpaceWatch({ nowMs: () => nowMs, wallMs: () => 7_000_000 + nowMs }, SILENT_LOGGER, store);
});

test('a store that was refused nothing is not full, however little space there is', () => {
  expect([watch.reasonToWait, watch.fullSinceWallMs]).toEqual([null, null]);
});

test('once refused it is full until there is space for what it has missed, and some beside it', () => {
  missedBytes = 3 * MIB;
  watch.refused();
  nowMs += 10;
  watch.refused();
  expect(watch.fullSinceWallMs).toBe(7_001_000);
  expect(watch.reasonToWait).toBe('has a full disk (0 B of 640 MiB free) and has missed 3 MiB');
  free(MARGIN + 3 * MIB - 1);
  expect(watch.reasonToWait).toMatch(/^has a full disk/);
  free(MARGIN + 3 * MIB);
  expect([watch.reasonToWait, watch.fullSinceWallMs]).toEqual([null, null]);
});

test('of what it has missed no more counts than a bound: much of it may have space already', () => {
  missedBytes = 100_000 * MIB;
  watch.refused();
  free(MARGIN + RETURN_SPACE_BYTES);
  expect(watch.reasonToWait).toBeNull();
});

test.each([
  ['all that the store may still take is enough', 25 * MIB, 25 * MIB],
  ['the margin is asked for in any case, as overwriting may need space', 0, MARGIN],
])('%s', (_what, wantedBytes, enoughBytes) => {
  missedBytes = 20 * MIB;
  watch.refused();
  space = { freeBytes: enoughBytes - 1, totalBytes: TOTAL, wantedBytes };
  expect(watch.reasonToWait).toMatch(/^has a full disk/);
  space = { freeBytes: enoughBytes, totalBytes: TOTAL, wantedBytes };
  expect(watch.reasonToWait).toBeNull();
});

test('without space it may come back after a pause, as it frees space by pulling holes; each time after a longer one, up to a bound', () => {
  watch.refused();
  const pauses: number[] = [];
  for (let i = 0; i < 7; i++) {
    const fromMs = nowMs;
    while (watch.reasonToWait !== null) nowMs += 1_000;
    pauses.push(nowMs - fromMs);
    watch.enabled();
    // It is full still.
    watch.refused();
  }
  expect(pauses).toEqual([30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
  expect([pauses[0], pauses.at(-1)]).toEqual([SPACE_RETRY_MS, SPACE_RETRY_MS_MAX]);
  expect(watch.fullSinceWallMs).toBe(7_001_000);
});

test('where nobody can say how much space there is, it waits for the pause alone', () => {
  space = null;
  watch.refused();
  expect(watch.reasonToWait).toBe('has a full disk (its free space is not known) and has missed 0 B');
  nowMs += SPACE_RETRY_MS;
  expect([watch.reasonToWait, watch.fullSinceWallMs]).toEqual([null, null]);
});

test('a store runs out of space where a small part of its file system is free, and it may take more', () => {
  const lacks = (freeBytes: number, totalBytes: number, wantedBytes: number): boolean =>
    lacksSpaceSoon({ freeBytes, totalBytes, wantedBytes });
  expect(lacks(15 * MIB, 80 * MIB, 100 * MIB)).toBe(true);
  expect(lacks(17 * MIB, 80 * MIB, 100 * MIB)).toBe(false);
  expect(lacks(15 * MIB, 80 * MIB, 10 * MIB)).toBe(false);
  expect(lacks(49 * MIB, 1_000 * MIB, 100 * MIB)).toBe(true);
  expect(lacks(51 * MIB, 1_000 * MIB, 100 * MIB)).toBe(false);
  expect(lacks(5_000 * MIB, 1_000_000 * MIB, 9_000 * MIB)).toBe(false);
});
