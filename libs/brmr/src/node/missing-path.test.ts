import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { describeMissing, describeMissingDirectory } from './missing-path.ts';

let folder: string;
beforeEach(() => {
  folder = join(realpathSync(mkdtempSync(join(tmpdir(), 'rmr-missing-'))), 'a folder');
  mkdirSync(folder);
});
afterEach(() => rmSync(join(folder, '..'), { recursive: true }));

const ROOT = '/dev/vda / ext4 rw 0 0\n';
const mountedAt = (path: string, device: string): string => `${device} ${path.replaceAll(' ', '\\040')} ext4 rw 0 0\n`;

test.each([
  [
    'a disk that is not mounted leaves an empty directory of the root file system',
    () => {},
    ROOT,
    'FOLDER is empty, and is on the root file system: the file system that the store was on may not be mounted',
  ],
  [
    'other files may be those below a mount point',
    () => writeFileSync(join(folder, 'b'), ''),
    ROOT,
    'FOLDER has other files, but not this one, and is on the root file system: the file',
  ],
  [
    'an empty file system may be the wrong one',
    () => {},
    ROOT,
    'FOLDER is empty; /dev/sdb1 is mounted there, which may be the wrong file system',
  ],
])('a file that is missing: %s', (_what, prepare, mounts, expected) => {
  prepare();
  const all = expected.includes('/dev/sdb1') ? mounts + mountedAt(folder, '/dev/sda1') + mountedAt(folder, '/dev/sdb1') : mounts;
  const text = describeMissing(join(folder, 'a.store'), all);
  expect(text).toContain(`a.store does not exist: its directory ${expected.replace('FOLDER', folder)}`);
});

test('a directory that is missing is told, with the file system that it would be on', () => {
  const path = join(folder, 'none', 'deep', 'a.store');
  const parent = join(folder, '..');
  expect(describeMissing(path, ROOT + mountedAt(parent, '/dev/sdb1'))).toContain(
    `its directory ${join(folder, 'none', 'deep')} does not exist, and ${folder} is on the file system that is mounted at ${parent} (/dev/sdb1): the file system that the store was on may not be mounted`,
  );
  // Without /proc.
  expect(describeMissing(path, '')).toContain(`its directory ${join(folder, 'none', 'deep')} does not exist. First`);
});

test('a link to nothing names where it leads, a device that it may have another name, a file above that it is no directory', () => {
  symlinkSync('../gone', join(folder, 'link'));
  expect(describeMissing(join(folder, 'link'), ROOT)).toContain(
    `link is a link to ${join(folder, '..', 'gone')}, which does not exist: its directory ${join(folder, '..')} has other files`,
  );
  expect(describeMissing('/dev/sdx', ROOT)).toContain('/dev/sdx does not exist: no such device is attached, or it has another name now');
  writeFileSync(join(folder, 'file'), '');
  expect(describeMissing(join(folder, 'file', 'a.store'), ROOT)).toContain(`${join(folder, 'file')} is no directory`);
});

test('nobody is invited to create a store in the place of one that is away: first things first', () => {
  const text = describeMissing(join(folder, 'a.store'), ROOT);
  expect(text).toMatch(/First mount the file system, attach the disk or correct the path\. A new store .* never brings data back$/);
  expect(describeMissingDirectory(join(folder, 'none', 'a.store'), ROOT)).toMatch(
    /can't be created: its directory .* If a file system belongs there, mount it first; else make the directory$/,
  );
});
