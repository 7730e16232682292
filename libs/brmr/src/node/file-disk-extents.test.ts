import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DiskExtent, KIB } from '@rmr/runtime';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FileDisk } from './file-disk.ts';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate, lseek, SEEK_DATA, SEEK_END, SEEK_HOLE } from './libc.ts';

/** Far apart enough for every file system to keep the holes between them. */
const STEP_BYTES = 128 * KIB;
const PIECES = 200;

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'extents-'));
});

afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

/** A file with a piece of data at the head of every step, and a hole behind it. */
function fragmentedFile(): string {
  const path = join(folder, 'fragmented');
  const file = openSync(path, 'wx');
  ftruncateSync(file, PIECES * STEP_BYTES);
  for (let i = 0; i < PIECES; i++) writeSync(file, new Uint8Array(4 * KIB).fill(1), 0, 4 * KIB, i * STEP_BYTES);
  closeSync(file);
  return path;
}

function extentsOf(disk: FileDisk, offsetBytes: number, lengthBytes: number): Promise<readonly DiskExtent[]> {
  return new Promise((resolve, reject) => {
    disk.extents(offsetBytes, lengthBytes, (status, extents) => (status === 0 ? resolve(extents) : reject(new Error(`status ${status}`))));
  });
}

test('file disk: extents of a fragmented range come in parts, and the parts together describe all of it', async () => {
  const disk = new FileDisk({ path: fragmentedFile() });
  let answers = 0;
  let data = 0;
  let at = 0;
  while (at < disk.sizeBytes) {
    const extents = await extentsOf(disk, at, disk.sizeBytes - at);
    expect(extents.length).toBeGreaterThan(0);
    // Asking for one run must not cost a walk through the whole file.
    expect(extents.length).toBeLessThan(PIECES / 2);
    for (const extent of extents) {
      expect(extent.lengthBytes).toBeGreaterThan(0);
      if (!extent.hole) data += extent.lengthBytes;
      at += extent.lengthBytes;
    }
    answers++;
  }
  expect(at).toBe(disk.sizeBytes);
  expect(data).toBe(PIECES * 4 * KIB);
  expect(answers).toBeGreaterThan(1);
  await new Promise((resolve) => disk.close(resolve));
});

/** Calls back before each look at the file: what is done then happens between two looks. */
function beforeEachLook(change: (whence: number, fd: number) => void): void {
  const look = lseek.async;
  vi.spyOn(lseek, 'async').mockImplementation((fd, at, whence, done) => {
    change(whence, fd);
    look(fd, at, whence, done);
  });
}

function punch(fd: number, offsetBytes: number, lengthBytes: number): void {
  expect(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offsetBytes, lengthBytes)).toBe(0);
}

/** The part of the fragmented file that is asked for, and what a step of it looks like. */
const FOUR_STEPS = 4 * STEP_BYTES;
const piece = { lengthBytes: 4 * KIB, hole: false };
const gap = { lengthBytes: STEP_BYTES - 4 * KIB, hole: true };

test.each<[string, number, number, readonly DiskExtent[]]>([
  ['the piece that was found', STEP_BYTES, 4 * KIB, [piece, { lengthBytes: 2 * STEP_BYTES - 4 * KIB, hole: true }, piece, gap, piece, gap]],
  ['all that follows', STEP_BYTES, 3 * STEP_BYTES, [piece, { lengthBytes: FOUR_STEPS - 4 * KIB, hole: true }]],
])('file disk: %s is punched before its end is looked for', async (_what, offsetBytes, lengthBytes, expected) => {
  const disk = new FileDisk({ path: fragmentedFile() });
  let looks = 0;
  beforeEachLook((whence, fd) => {
    if (whence === SEEK_HOLE && ++looks === 2) punch(fd, offsetBytes, lengthBytes);
  });
  expect(await extentsOf(disk, 0, FOUR_STEPS)).toEqual(expected);
  await new Promise((resolve) => disk.close(resolve));
});

test('file disk: the first piece is punched before its end is looked for', async () => {
  const disk = new FileDisk({ path: fragmentedFile() });
  beforeEachLook((whence, fd) => {
    if (whence === SEEK_HOLE) punch(fd, 0, 4 * KIB);
  });
  expect(await extentsOf(disk, 0, STEP_BYTES)).toEqual([{ lengthBytes: STEP_BYTES, hole: true }]);
  await new Promise((resolve) => disk.close(resolve));
});

test('file disk: what changes at every look is data', async () => {
  const path = fragmentedFile();
  const disk = new FileDisk({ path });
  const writer = openSync(path, 'r+');
  beforeEachLook((whence, fd) => {
    if (whence === SEEK_HOLE) punch(fd, 0, 4 * KIB);
    else writeSync(writer, new Uint8Array(4 * KIB).fill(1), 0, 4 * KIB, 0);
  });
  expect(await extentsOf(disk, 0, STEP_BYTES)).toEqual([{ lengthBytes: STEP_BYTES, hole: false }]);
  closeSync(writer);
  await new Promise((resolve) => disk.close(resolve));
});

test.each<[string, number, number, number, readonly DiskExtent[]]>([
  ['before data is looked for', SEEK_DATA, 1, 0, [{ lengthBytes: FOUR_STEPS, hole: false }]],
  ['before its end is looked for', SEEK_HOLE, 2, STEP_BYTES, [piece, gap, { lengthBytes: 3 * STEP_BYTES, hole: false }]],
  ['in the middle of a hole', SEEK_DATA, 2, 64 * KIB, [{ lengthBytes: FOUR_STEPS, hole: false }]],
  ['when no data was found', SEEK_END, 1, 64 * KIB, [{ lengthBytes: FOUR_STEPS, hole: false }]],
])(
  'file disk: a file that is shortened %s has data in its missing part, so that reads tell',
  async (_when, at, which, sizeBytes, expected) => {
    const path = fragmentedFile();
    const disk = new FileDisk({ path });
    const file = openSync(path, 'r+');
    let looks = 0;
    beforeEachLook((whence, fd) => {
      // Before anybody asks for the end of the file, there has to be nothing more in it.
      if (at === SEEK_END && whence === SEEK_DATA) punch(fd, STEP_BYTES, (PIECES - 1) * STEP_BYTES);
      if (whence === at && ++looks === which) ftruncateSync(file, sizeBytes);
    });
    expect(await extentsOf(disk, 0, FOUR_STEPS)).toEqual(expected);
    closeSync(file);
    await new Promise((resolve) => disk.close(resolve));
  },
);

test('file disk: a hole that reaches to the end of the file is one', async () => {
  const path = fragmentedFile();
  const disk = new FileDisk({ path });
  const at = (PIECES - 1) * STEP_BYTES;
  expect(await extentsOf(disk, at, STEP_BYTES)).toEqual([piece, gap]);
  expect(await extentsOf(disk, at + 8 * KIB, STEP_BYTES - 8 * KIB)).toEqual([{ lengthBytes: STEP_BYTES - 8 * KIB, hole: true }]);
  await new Promise((resolve) => disk.close(resolve));
});
