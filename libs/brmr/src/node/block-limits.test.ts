import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Status } from '@rmr/runtime';
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { blockLimits, deviceNumber } from './block-limits.ts';
import { FileDisk } from './file-disk.ts';

const root = mkdtempSync(join(tmpdir(), 'brmr-sysfs-'));
let sysfs = '';
let trees = 0;

afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

beforeEach(() => {
  sysfs = join(root, `${trees++}`);
  mkdirSync(join(sysfs, 'dev/block'), { recursive: true });
});

interface Limits {
  readonly write_zeroes_max_bytes?: number;
  readonly discard_granularity?: number;
}

/** A device as the kernel shows it: its directory, and a link by number to it. */
function device(number: string, path: string, limits: Limits | null, partition = false): void {
  const directory = join(sysfs, 'devices', path);
  mkdirSync(directory, { recursive: true });
  symlinkSync(`../../devices/${path}`, join(sysfs, 'dev/block', number));
  if (partition) writeFileSync(join(directory, 'partition'), '1\n');
  if (limits === null) return;
  mkdirSync(join(directory, 'queue'));
  for (const [name, value] of Object.entries(limits)) writeFileSync(join(directory, 'queue', name), `${value}\n`);
}

/** As `makedev` packs it. */
function rdev(major: number, minor: number): number {
  return (minor & 0xff) + major * 256 + Math.floor(minor / 256) * 0x10_0000;
}

const DISK = { write_zeroes_max_bytes: 2 ** 31, discard_granularity: 4096 };

describe('limits of block devices', () => {
  test('a disk has its own', () => {
    device('8:0', 'pci/sda', DISK);
    expect(blockLimits(rdev(8, 0), sysfs)).toEqual({ writesZeroes: true, holeBytes: 4096 });
  });

  test.each([
    ['a partition of a disk', 8, 'sda', 'sda1'],
    ['a partition of an NVMe disk', 259, 'nvme0n1', 'nvme0n1p1'],
    ['a partition of a loop device', 259, 'loop7', 'loop7p1'],
    ['a partition of an array', 259, 'md0', 'md0p1'],
  ])('%s has those of what it lies on', (_what, major, disk, part) => {
    device(`${major}:0`, `virtual/${disk}`, { ...DISK, discard_granularity: 65_536 });
    device(`${major}:1`, `virtual/${disk}/${part}`, null, true);
    expect(blockLimits(rdev(major, 1), sysfs)).toEqual({ writesZeroes: true, holeBytes: 65_536 });
  });

  test('a partition of a disk that can not zero can not either', () => {
    device('8:0', 'pci/sda', { write_zeroes_max_bytes: 0, discard_granularity: 0 });
    device('8:1', 'pci/sda/sda1', null, true);
    expect(blockLimits(rdev(8, 1), sysfs)).toMatchObject({ writesZeroes: false });
  });

  test.each([
    ['a logical volume', 'dm-3'],
    ['a multipath device', 'dm-4'],
    ['a partition of a multipath device, which is one of the device mapper', 'dm-5'],
    ['a loop device', 'loop3'],
  ])('%s has its own', (_what, name) => {
    device('8:0', 'pci/sda', { write_zeroes_max_bytes: 0 });
    device('253:3', `virtual/block/${name}`, { write_zeroes_max_bytes: 512, discard_granularity: 1024 * 1024 });
    expect(blockLimits(rdev(253, 3), sysfs)).toEqual({ writesZeroes: true, holeBytes: 1024 * 1024 });
  });

  test.each([
    [0, 65_536],
    [512, 4096],
    [96 * 1024, 128 * 1024],
    [64 * 1024 * 1024, 1024 * 1024],
  ])('a granularity of %i makes blocks of %i: a power of two within bounds', (granularity, expected) => {
    device('8:16', 'pci/sdb', { ...DISK, discard_granularity: granularity });
    expect(blockLimits(rdev(8, 16), sysfs).holeBytes).toBe(expected);
  });

  test('where sysfs is hidden, or says nothing, zeroes are written as data', () => {
    expect(blockLimits(rdev(8, 0), sysfs)).toEqual({ writesZeroes: false, holeBytes: 1024 * 1024 });
    device('8:0', 'pci/sda', {});
    expect(blockLimits(rdev(8, 0), sysfs)).toEqual({ writesZeroes: false, holeBytes: 1024 * 1024 });
  });

  test('device numbers with many minors are taken apart as the kernel puts them together', () => {
    expect(deviceNumber(rdev(259, 1_048_000))).toEqual({ major: 259, minor: 1_048_000 });
    device('259:300', 'virtual/nvme', DISK);
    expect(blockLimits(rdev(259, 300), sysfs).writesZeroes).toBe(true);
  });
});

/** Why partitions of loop devices can't be used here, or null. */
function partitionsUnavailable(): string | null {
  if (process.getuid?.() !== 0) return 'not root';
  if (!existsSync('/dev/loop-control')) return 'there is no /dev/loop-control';
  try {
    for (const tool of ['losetup', 'addpart', 'delpart']) execFileSync(tool, ['--version'], { stdio: 'ignore' });
  } catch {
    return 'losetup, addpart or delpart is missing';
  }
  return null;
}

const unavailable = partitionsUnavailable();

test.skipIf(unavailable !== null)('a store on a partition of a loop device: trim frees space, and moves no zeroes', async () => {
  const backing = join(root, 'backing');
  writeFileSync(backing, '');
  truncateSync(backing, 64 * 1024 * 1024);
  const loop = execFileSync('losetup', ['--find', '--show', backing], { encoding: 'utf8' }).trim();
  const node = join(root, 'partition');
  try {
    // Start and length in sectors: no table is needed.
    execFileSync('addpart', [loop, '1', '2048', `${(32 * 1024 * 1024) / 512}`]);
    const name = loop.slice('/dev/'.length);
    // Without udev there is no node of the partition.
    const number = await vi.waitFor(
      () => execFileSync('cat', [`/sys/block/${name}/${name}p1/dev`], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim(),
      { timeout: 30_000 },
    );
    execFileSync('mknod', [node, 'b', ...number.split(':')]);
    const disk = new FileDisk({ path: node });
    try {
      expect(disk.features).toMatchObject({ fastPunch: true, fastZero: true });
      expect(await ended((sink) => disk.write(0, new Uint8Array(16 * 1024 * 1024).fill(7), 0, sink), disk)).toBe(Status.OK);
      expect(await ended((sink) => disk.flush(0, sink), disk)).toBe(Status.OK);
      const full = statSync(backing).blocks;
      expect(await ended((sink) => disk.punch(0, 16 * 1024 * 1024, 0, sink), disk)).toBe(Status.OK);
      expect(await ended((sink) => disk.flush(0, sink), disk)).toBe(Status.OK);
      expect(full - statSync(backing).blocks).toBeGreaterThan((15 * 1024 * 1024) / 512);
      const bytes = new Uint8Array(4096).fill(1);
      expect(await ended((sink) => disk.read(8 * 1024 * 1024, bytes, 0, sink), disk)).toBe(Status.OK);
      expect(bytes.every((byte) => byte === 0)).toBe(true);
    } finally {
      await new Promise((resolve) => disk.close(resolve));
    }
  } finally {
    execFileSync('delpart', [loop, '1']);
    execFileSync('losetup', ['--detach', loop]);
  }
});

type Sink = Parameters<FileDisk['flush']>[1];

function ended(begin: (sink: Sink) => void, disk: FileDisk): Promise<number> {
  return new Promise((resolve) => {
    begin({ onDiskDone: (_tag, status) => resolve(status) });
    disk.submit();
  });
}
