import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DiskExtent, KIB } from '@rmr/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileDisk } from './file-disk.ts';

/** Far apart enough for every file system to keep the holes between them. */
const STEP_BYTES = 128 * KIB;
const PIECES = 200;

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'extents-'));
});

afterEach(() => {
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
