import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DiskSink, MIB, Status } from '@rmr/runtime';
import { afterAll, afterEach, expect, test } from 'vitest';
import { AllocatedBlocks } from './allocated-blocks.ts';
import { FileDisk } from './file-disk.ts';

const SIZE = 64 * MIB;
const directory = mkdtempSync(join(tmpdir(), 'brmr-room-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What has to be undone after a test, the last first. */
const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const KINDS = ['tmpfs', 'ext4'] as const;
const noRoot = process.getuid?.() !== 0 || !existsSync('/dev/loop-control');

/** A file of 64 MiB on a file system of 24 MiB. */
function onSmall(kind: (typeof KINDS)[number]): { disk: FileDisk; path: string; mount: string } {
  const mount = mkdtempSync(join(directory, `${kind}-`));
  if (kind === 'tmpfs') {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', mount]);
  } else {
    const image = `${mount}.image`;
    writeFileSync(image, '');
    execFileSync('truncate', ['--size=24M', image]);
    execFileSync('mkfs.ext4', ['-q', image]);
    execFileSync('mount', ['-o', 'loop', image, mount]);
  }
  undo.push(() => execFileSync('umount', [mount]));
  const path = join(mount, 'disk');
  const file = openSync(path, 'w');
  ftruncateSync(file, SIZE);
  closeSync(file);
  const disk = new FileDisk({ path });
  undo.push(() => new Promise((resolve) => disk.close(resolve)));
  return { disk, path, mount };
}

function request(disk: FileDisk, ask: (sink: DiskSink) => void): Promise<number> {
  return new Promise((resolve) => {
    ask({ onDiskDone: (_tag, status) => resolve(status) });
    disk.submit();
  });
}

function reserve(disk: FileDisk, offsetBytes: number, lengthBytes: number): Promise<number> {
  return new Promise((resolve) => {
    if (disk.reserve(offsetBytes, lengthBytes, 0, { onDiskDone: (_tag, status) => resolve(status) })) resolve(Status.OK);
    disk.submit();
  });
}

function write(disk: FileDisk, offsetBytes: number, lengthBytes: number, byte: number): Promise<number> {
  return request(disk, (sink) => disk.write(offsetBytes, new Uint8Array(lengthBytes).fill(byte), 0, sink));
}

async function read(disk: FileDisk, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
  const target = new Uint8Array(lengthBytes);
  expect(await request(disk, (sink) => disk.read(offsetBytes, target, 0, sink))).toBe(Status.OK);
  return target;
}

/** Gives ranges of 1 MiB space and writes them until there is none. Returns how many that were. */
async function fillUp(disk: FileDisk): Promise<number> {
  for (let at = 0; at < SIZE; at += MIB) {
    const status = await reserve(disk, at, MIB);
    if (status === Status.ENOSPC) return at / MIB;
    expect(status).toBe(Status.OK);
    expect(await write(disk, at, MIB, 1)).toBe(Status.OK);
  }
  throw new Error('the file system has more space than it should');
}

test.skipIf(noRoot).each(KINDS)(
  'W8: on a %s that is full a range finds space for all of it, or nothing is changed; what has space is written as before',
  async (kind) => {
    const { disk } = onSmall(kind);
    const count = await fillUp(disk);
    expect(count).toBeGreaterThan(10);
    // Half of it has space.
    const across = (count - 1) * MIB + MIB / 2;
    expect(await reserve(disk, across, 2 * MIB)).toBe(Status.ENOSPC);
    expect((await read(disk, count * MIB, MIB)).every((byte) => byte === 0)).toBe(true);
    expect((await read(disk, across, MIB / 2)).every((byte) => byte === 1)).toBe(true);
    // Known to have space: nobody is asked.
    expect(disk.reserve(3 * MIB, MIB, 0, { onDiskDone: () => {} })).toBe(true);
    expect(await write(disk, 3 * MIB, MIB, 2)).toBe(Status.OK);
    expect(await request(disk, (sink) => disk.flush(0, sink))).toBe(Status.OK);
    // What a hole frees is found again.
    expect(await request(disk, (sink) => disk.punch(0, 4 * MIB, 0, sink))).toBe(Status.OK);
    expect(await reserve(disk, count * MIB, MIB)).toBe(Status.OK);
    expect(await write(disk, count * MIB, MIB, 3)).toBe(Status.OK);
    // And the hole has to ask anew.
    expect(disk.reserve(0, MIB, 0, { onDiskDone: () => {} })).toBe(false);
  },
);

test.skipIf(noRoot)(
  'a write that finds no space and did not ask says EIO where a part of it may be there, and ENOSPC where none is',
  async () => {
    const { disk } = onSmall('tmpfs');
    const count = await fillUp(disk);
    expect(await write(disk, count * MIB + MIB, 4096, 9)).toBe(Status.ENOSPC);
    expect((await read(disk, count * MIB + MIB, 4096)).every((byte) => byte === 0)).toBe(true);
    expect(await write(disk, (count - 1) * MIB, 2 * MIB, 9)).toBe(Status.EIO);
  },
);

test.skipIf(noRoot)('two equal disks that are asked for the same in the same order, all at once, refuse the same', async () => {
  const outcomes = await Promise.all(
    [onSmall('tmpfs'), onSmall('tmpfs')].map(async ({ disk }) => {
      const statuses: Promise<number>[] = [];
      for (let at = 0; at < SIZE; at += MIB / 2) statuses.push(reserve(disk, at, at % MIB === 0 ? MIB / 2 : 4096));
      return Promise.all(statuses);
    }),
  );
  expect(outcomes[0]).toContain(Status.ENOSPC);
  expect(outcomes[0]).toContain(Status.OK);
  expect(outcomes[1]).toEqual(outcomes[0]);
});

test.skipIf(noRoot)('how much space there is, and how much the file may still want, is told', async () => {
  const { disk, path, mount } = onSmall('tmpfs');
  expect(disk.space).toEqual({ freeBytes: 24 * MIB, totalBytes: 24 * MIB, wantedBytes: SIZE });
  expect(await reserve(disk, 0, 8 * MIB)).toBe(Status.OK);
  const presence = (): Promise<unknown> => new Promise((resolve) => disk.checkPresence(resolve));
  await expect
    .poll(() => presence().then(() => disk.space), { timeout: 20_000 })
    .toEqual({ freeBytes: 16 * MIB, totalBytes: 24 * MIB, wantedBytes: SIZE - 8 * MIB });
  const other = openSync(join(mount, 'other'), 'w');
  writeSync(other, new Uint8Array(4 * MIB));
  closeSync(other);
  await expect.poll(() => presence().then(() => disk.space?.freeBytes), { timeout: 20_000 }).toBe(12 * MIB);
  expect(statSync(path).size).toBe(SIZE);
});

test('while there is plenty of space nobody is asked for any', async () => {
  const path = join(directory, 'plenty');
  mkdirSync(directory, { recursive: true });
  const file = openSync(path, 'w');
  ftruncateSync(file, SIZE);
  closeSync(file);
  const disk = new FileDisk({ path });
  undo.push(() => new Promise((resolve) => disk.close(resolve)));
  expect((disk.space?.freeBytes ?? 0) > 2 * 1024 * MIB, 'this test needs 2 GiB of free space in the directory for temporary files').toBe(
    true,
  );
  expect(disk.reserve(0, MIB, 0, { onDiskDone: () => {} })).toBe(true);
  expect(statSync(path).blocks).toBe(0);
});

test('allocated blocks: a range is known when all of its blocks are, and no more once one was given back', () => {
  const blocks = new AllocatedBlocks();
  const far = 300 * MIB;
  expect(blocks.has(0, 1)).toBe(false);
  blocks.add(4096, 8192);
  blocks.add(far - 4096, 8192);
  expect([blocks.has(4096, 8192), blocks.has(5000, 1), blocks.has(4095, 2), blocks.has(4096, 8193)]).toEqual([true, true, false, false]);
  expect(blocks.has(far - 1, 2)).toBe(true);
  blocks.remove(far - 1, 1);
  expect([blocks.has(far - 1, 2), blocks.has(far, 4096), blocks.has(far - 4096, 1)]).toEqual([false, true, false]);
  // Across a part of which nothing is known.
  blocks.add(0, 4096);
  blocks.remove(0, 1024 * MIB);
  expect([blocks.has(0, 1), blocks.has(4096, 1), blocks.has(far, 1)]).toEqual([false, false, false]);
  blocks.add(0, 1);
  blocks.clear();
  expect(blocks.has(0, 1)).toBe(false);
});
