import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { describeDifference, differingRuns } from './member-difference.ts';

const SECTORS = 5000;
const folder = mkdtempSync(join(tmpdir(), 'rmr-difference-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A data area behind `offsetBytes` of something else; the bytes at `marks` are not zero. */
function area(name: string, offsetBytes: number, marks: readonly number[]) {
  const data = Buffer.alloc(SECTORS * 512);
  for (const at of marks) data[at] = 1;
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([Buffer.alloc(offsetBytes, name), data]));
  return { name, path, offsetBytes, lengthBytes: data.length };
}

test('data areas that hold the same do so wherever they lie', () => {
  expect(differingRuns(area('a', 4096, [7, 2_000_000]), area('b', 8192, [7, 2_000_000]))).toEqual([]);
});

test('who differs from the first, and where, is said for people', () => {
  const same = area('a', 4096, []);
  const other = area('b', 8192, [0, 5000, 5200]);
  expect(describeDifference([same, area('c', 4096, [])])).toBeNull();
  expect(describeDifference([same, other, area('c', 4096, [])])).toBe('a and b differ in sectors 0 to 0, 9 to 10');
});

test('sectors that differ are found, in runs', () => {
  const end = SECTORS * 512 - 1;
  expect(differingRuns(area('a', 4096, [511, 512, 1024 * 1024]), area('b', 4096, [1024 * 1024 - 1, end]))).toEqual([
    { firstSector: 0, sectorCount: 2 },
    { firstSector: 2047, sectorCount: 2 },
    { firstSector: SECTORS - 1, sectorCount: 1 },
  ]);
});
