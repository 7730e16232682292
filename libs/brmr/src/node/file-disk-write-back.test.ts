import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statfsSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Status } from '@rmr/runtime';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ThreadPlaces } from '../core/server/thread-places.ts';
import { UNWRITTEN_BYTES_FIRST } from '../core/server/unwritten-limit.ts';
import { FileDisk } from './file-disk.ts';
import { syncFileRange, syscall } from './libc.ts';

const MIB = 1024 * 1024;
const TMPFS_MAGIC = 0x01021994;
const WAIT = { timeout: 60_000, interval: 20 };
const TEST_MS = 120_000;
/** Where metadata ends. */
const DATA = MIB;

const directory = mkdtempSync(join(tmpdir(), 'brmr-write-back-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const { dev } = statSync(directory);
const onDevice = existsSync(`/sys/dev/block/${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}/stat`);

describe.skipIf(statfsSync(directory).type === TMPFS_MAGIC)('what a file disk has not written yet (not on tmpfs)', () => {
  let path: string;
  let disk: FileDisk;
  let statuses: number[];
  /** Write-backs that were started and are held up. */
  let started: (() => void)[];
  const source = new Uint8Array(MIB).fill(7);
  const sink = { onDiskDone: (_tag: number, status: number) => void statuses.push(status) };

  function open(mode: 'adaptive' | 'pool'): void {
    path = join(directory, 'disk');
    writeFileSync(path, '');
    truncateSync(path, 64 * MIB);
    disk = new FileDisk({ path, tuning: { mode } });
  }

  beforeEach(() => {
    statuses = [];
    started = [];
    const writeBack = syncFileRange.async;
    vi.spyOn(syncFileRange, 'async').mockImplementation((...asked) => void started.push(() => writeBack(...asked)));
  });

  afterEach(async () => {
    vi.restoreAllMocks();
    for (const goOn of started.splice(0)) goOn();
    await new Promise((resolve) => disk.close(resolve));
  });

  function write(count: number, from = DATA): void {
    for (let i = 0; i < count; i++) disk.write(from + i * MIB, source, i, sink);
    disk.submit();
  }

  test.each(['adaptive', 'pool'] as const)(
    'writes wait while a flush would owe too much, metadata never does, and both end when the disk has written (%s)',
    async (mode) => {
      open(mode);
      disk.boundUnwritten(DATA);
      for (let i = 0; i < 20; i++) write(1, DATA + i * MIB);
      await expect.poll(() => statuses.length, WAIT).toBe(UNWRITTEN_BYTES_FIRST / MIB);
      expect(disk.pace.unwrittenBytes).toBe(UNWRITTEN_BYTES_FIRST);
      await new Promise((resolve) => setImmediate(resolve));
      expect(statuses.length).toBe(UNWRITTEN_BYTES_FIRST / MIB);
      // One at a time, however much there is.
      expect(started.length).toBe(1);
      disk.write(0, source.subarray(0, 4096), 99, sink);
      disk.submit();
      await expect.poll(() => statuses.length, WAIT).toBe(UNWRITTEN_BYTES_FIRST / MIB + 1);
      vi.restoreAllMocks();
      for (const goOn of started.splice(0)) goOn();
      await expect.poll(() => statuses.length, WAIT).toBe(21);
      expect(new Set(statuses)).toEqual(new Set([Status.OK]));
      expect(disk.pace.bytesPerSecond).toBeGreaterThan(0);
    },
  );

  test('a flush makes room as a write-back does', async () => {
    open('adaptive');
    disk.boundUnwritten(DATA);
    for (let i = 0; i < 12; i++) write(1, DATA + i * MIB);
    await expect.poll(() => statuses.length, WAIT).toBe(UNWRITTEN_BYTES_FIRST / MIB);
    disk.flush(0, sink);
    disk.submit();
    await expect.poll(() => statuses.length, WAIT).toBe(13);
    expect(started.length).toBe(1);
  });

  test('without a bound nothing waits', async () => {
    open('adaptive');
    write(20);
    await expect.poll(() => statuses.length, WAIT).toBe(20);
  });

  test
    .skipIf(!onDevice)
    .each([['by the file itself', true] as const, ['by its device, where the kernel can not tell of files', false] as const])(
    'requests that wait are idle until bytes reach the disk: seen %s',
    async (_how, cacheStat) => {
      open('adaptive');
      if (!cacheStat) vi.spyOn(syscall, 'async').mockImplementation((...asked) => setImmediate(asked[5], null, -1));
      disk.boundUnwritten(DATA);
      for (let i = 0; i < 12; i++) write(1, DATA + i * MIB);
      // Asked in this order: the age is that of the last question.
      const progressMs = (): number => {
        const idleMs = disk.waitingMs(performance.now());
        return disk.pace.oldestMs - idleMs;
      };
      const oldestMs = (): number => progressMs() + disk.waitingMs(performance.now());
      await expect.poll(oldestMs, WAIT).toBeGreaterThan(2_000);
      // Somebody else has them written: the write-back that the disk waits for is still under way.
      execFileSync('sync', [path]);
      await expect.poll(progressMs, WAIT).toBeGreaterThan(1_000);
      expect(started.length).toBe(1);
    },
    TEST_MS,
  );
});

test('a store that has one place only: its presence is looked at all the same, and holes and reads take turns', async () => {
  const path = join(directory, 'one-place');
  writeFileSync(path, new Uint8Array(MIB));
  const disk = new FileDisk({ path, places: new ThreadPlaces(1).join(), tuning: { mode: 'pool' } });
  const order: string[] = [];
  const tell = (what: string) => ({ onDiskDone: () => void order.push(what) });
  for (let i = 0; i < 4; i++) disk.punch(i * 4096, 4096, 0, tell('hole'));
  for (let i = 0; i < 4; i++) disk.read(i * 4096, new Uint8Array(4096), 0, tell('read'));
  disk.submit();
  await expect.poll(() => order.length, WAIT).toBe(8);
  expect(order.slice(1, 7).filter((what) => what === 'read').length).toBe(3);
  rmSync(path);
  const presence = (): Promise<unknown> => new Promise((resolve) => disk.checkPresence(resolve));
  await expect.poll(presence, WAIT).not.toBeNull();
  await new Promise((resolve) => disk.close(resolve));
});
