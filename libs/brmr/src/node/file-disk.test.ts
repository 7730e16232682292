import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Disk, Status } from '@rmr/runtime';
import { diskCompliance } from '@rmr/testing/compliance';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { VolatileCacheDisk } from '../core/server/volatile-cache-disk.ts';
import { FileDisk, type FileDiskTuning } from './file-disk.ts';
import { fallocate, lseek } from './libc.ts';

const SIZE = 8 * 1024 * 1024;
const TMPFS = '/dev/shm';
const TMPFS_MAGIC = 0x01021994;

const directories: string[] = [];
function directoryIn(parent: string): string {
  const directory = mkdtempSync(join(parent, 'brmr-disk-'));
  directories.push(directory);
  return directory;
}

/** Making, freezing and thawing a file system takes as long as the machine likes. */
const HANG_TEST_MS = 120_000;

afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

let fileNumber = 0;
function newFile(directory: string, sizeBytes = SIZE): string {
  const path = join(directory, `disk-${fileNumber++}`);
  const fd = openSync(path, 'w');
  ftruncateSync(fd, sizeBytes);
  closeSync(fd);
  return path;
}

function fileCompliance(name: string, parent: string, tuning: FileDiskTuning): void {
  const directory = directoryIn(parent);
  diskCompliance(name, async () => {
    const path = newFile(directory);
    return { disk: new FileDisk({ path, tuning }), reopen: async () => new FileDisk({ path, tuning }), remove: async () => rmSync(path) };
  });
}

/** Why loop devices can't be used here, or null. */
function loopUnavailable(): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!existsSync('/dev/loop-control')) return 'there is no /dev/loop-control';
  try {
    execFileSync('losetup', ['--version'], { stdio: 'ignore' });
  } catch {
    return 'there is no losetup';
  }
  return null;
}

if (existsSync(TMPFS) && statfsSync(TMPFS).type === TMPFS_MAGIC) {
  fileCompliance('file on tmpfs', TMPFS, { mode: 'adaptive' });
} else {
  test.skipIf(!existsSync(TMPFS) || statfsSync(TMPFS).type !== TMPFS_MAGIC)(
    'disk compliance: file on tmpfs (there is none at /dev/shm)',
    () => {},
  );
}
fileCompliance('file on the file system of temporary files', tmpdir(), { mode: 'adaptive' });
fileCompliance('file, always in the thread pool', tmpdir(), { mode: 'pool' });
diskCompliance('file behind a volatile cache', async () => {
  const path = newFile(directoryIn(tmpdir()));
  const open = (): Disk => new VolatileCacheDisk(new FileDisk({ path }));
  return { disk: open(), reopen: async () => open(), remove: async () => rmSync(path) };
});

const noLoop = loopUnavailable();
if (noLoop === null) {
  const directory = directoryIn(tmpdir());
  diskCompliance('loop device', async () => {
    const file = newFile(directory);
    const device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
    return {
      disk: new FileDisk({ path: device }),
      reopen: async () => new FileDisk({ path: device }),
      remove: async () => {
        execFileSync('losetup', ['--detach', device]);
        rmSync(file);
      },
    };
  });
} else {
  test.skipIf(noLoop !== null)(`disk compliance: loop device (${noLoop})`, () => {});
}

function hasFreeze(): boolean {
  return ['/sbin/fsfreeze', '/usr/sbin/fsfreeze'].some((path) => existsSync(path)) && existsSync('/sbin/mkfs.ext4');
}

describe('file disk', () => {
  const directory = directoryIn(tmpdir());

  function close(disk: Disk): Promise<number> {
    return new Promise((resolve) => disk.close(resolve));
  }

  function request(disk: Disk, ask: (sink: { onDiskDone(tag: number, status: number): void }) => void): Promise<number> {
    return new Promise((resolve) => {
      ask({ onDiskDone: (_tag, status) => resolve(status) });
      disk.submit();
    });
  }

  test('a file is open once: the second is told by whom', async () => {
    const path = newFile(directory);
    const disk = new FileDisk({ path });
    expect(() => new FileDisk({ path })).toThrow(expect.objectContaining({ code: 'STORE_LOCKED' }));
    expect(() => new FileDisk({ path })).toThrow(`process ${process.pid}`);
    // Looking at it is allowed.
    await close(new FileDisk({ path, readOnly: true }));
    await close(disk);
    await close(new FileDisk({ path }));
  });

  test('holes wait for a place in the thread pool, and leave places to everything else: a disk that hangs would take all of its threads', async () => {
    const disk = new FileDisk({ path: newFile(directoryIn(TMPFS)) });
    const held: (() => void)[] = [];
    let hangs = true;
    const allocate = fallocate.async;
    vi.spyOn(fallocate, 'async').mockImplementation((...asked) => {
      if (hangs) held.push(() => allocate(...asked));
      else allocate(...asked);
    });
    try {
      const punches = Array.from({ length: 20 }, (_, tag) => request(disk, (sink) => disk.punch(tag * 4096, 4096, tag, sink)));
      expect(held.length).toBe(2);
      const extents = new Promise((resolve) => disk.extents(0, 4096, (_status, found) => resolve(found)));
      expect(await extents).toEqual([{ lengthBytes: 4096, hole: true }]);
      const bytes = new Uint8Array(4096).fill(1);
      expect(await request(disk, (sink) => disk.read(0, bytes, 0, sink))).toBe(Status.OK);
      expect([held.length, bytes.every((byte) => byte === 0)]).toEqual([2, true]);
      hangs = false;
      for (const goOn of held) goOn();
      expect(new Set(await Promise.all(punches))).toEqual(new Set([Status.OK]));
    } finally {
      vi.restoreAllMocks();
      await close(disk);
    }
  });

  test('lookups of extents wait for a place in the thread pool', async () => {
    const disk = new FileDisk({ path: newFile(directoryIn(TMPFS)) });
    const held: (() => void)[] = [];
    const seek = lseek.async;
    let hangs = true;
    vi.spyOn(lseek, 'async').mockImplementation((...asked) => {
      if (hangs) held.push(() => seek(...asked));
      else seek(...asked);
    });
    try {
      const lookups = Array.from({ length: 20 }, () => new Promise((resolve) => disk.extents(0, 4096, (status) => resolve(status))));
      expect(held.length).toBe(8);
      hangs = false;
      for (const goOn of held) goOn();
      expect(new Set(await Promise.all(lookups))).toEqual(new Set([Status.OK]));
    } finally {
      vi.restoreAllMocks();
      await close(disk);
    }
  });

  test('a file that another process has open is refused with its number, and is free when that dies', async () => {
    const path = newFile(directory);
    const child = spawn('flock', [path, '-c', 'echo locked; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    expect(() => new FileDisk({ path })).toThrow(expect.objectContaining({ code: 'STORE_LOCKED' }));
    process.kill(-(child.pid as number), 'SIGKILL');
    await expect
      .poll(
        () => {
          try {
            return new FileDisk({ path });
          } catch {
            return null;
          }
        },
        { timeout: 10_000 },
      )
      .not.toBeNull();
  });

  test.skipIf(noLoop !== null)('a block device is claimed while it is open: through any node, and from the kernel', async () => {
    const backing = newFile(directory);
    const device = execFileSync('losetup', ['--find', '--show', backing], { encoding: 'utf8' }).trim();
    const [, number] = /(\d+)$/.exec(device) as RegExpExecArray;
    // As another container has it, with a /dev of its own.
    const other = join(directory, 'other-node');
    execFileSync('mknod', [other, 'b', '7', number as string]);
    const disk = new FileDisk({ path: device });
    try {
      expect(() => new FileDisk({ path: other })).toThrow(
        expect.objectContaining({
          code: 'STORE_LOCKED',
          message: `${other} is in use by another process, mounted, or part of another device; find out by what it is used (lsblk, fuser) and whether the path is right before you release it`,
        }),
      );
      expect(() => new FileDisk({ path: device })).toThrow(`${device} is already open in process ${process.pid}`);
      // So do mount and mkfs.
      expect(() => openSync(other, constants.O_RDONLY | constants.O_EXCL)).toThrow('EBUSY');
      // Looking at it is allowed.
      await close(new FileDisk({ path: other, readOnly: true }));
      await close(new FileDisk({ path: device, readOnly: true }));
      // The claim is no obstacle to what the disk does itself.
      expect(await request(disk, (sink) => disk.write(0, new Uint8Array(4 << 20).fill(1), 0, sink))).toBe(Status.OK);
      expect(await request(disk, (sink) => disk.flush(0, sink))).toBe(Status.OK);
      const full = statSync(backing).blocks;
      expect(disk.features.fastPunch).toBe(true);
      expect(await request(disk, (sink) => disk.punch(0, 2 << 20, 0, sink))).toBe(Status.OK);
      expect(await request(disk, (sink) => disk.zero(2 << 20, 1 << 20, 0, sink))).toBe(Status.OK);
      expect(statSync(backing).blocks).toBeLessThan(full);
      const target = new Uint8Array(4 << 20);
      expect(await request(disk, (sink) => disk.read(0, target, 0, sink))).toBe(Status.OK);
      expect([target.indexOf(1), target.lastIndexOf(0)]).toEqual([3 << 20, (3 << 20) - 1]);
    } finally {
      await close(disk);
      execFileSync('losetup', ['--detach', device]);
    }
  });

  test.skipIf(noLoop !== null)('a block device that is claimed by somebody else is refused, and free when that ends', async () => {
    const device = execFileSync('losetup', ['--find', '--show', newFile(directory)], { encoding: 'utf8' }).trim();
    try {
      const claim = openSync(device, constants.O_RDONLY | constants.O_EXCL);
      expect(() => new FileDisk({ path: device })).toThrow(expect.objectContaining({ code: 'STORE_LOCKED' }));
      await close(new FileDisk({ path: device, readOnly: true }));
      closeSync(claim);
      await close(new FileDisk({ path: device }));
    } finally {
      execFileSync('losetup', ['--detach', device]);
    }
  });

  test.each<[string, () => string, string]>([
    ['nothing', () => join(directory, 'missing'), 'NOT_FOUND'],
    ['a missing directory', () => join(directory, 'missing', 'disk'), 'NOT_FOUND'],
    ['a directory', () => directory, 'INVALID_ARGUMENT'],
    ['a character device', () => '/dev/null', 'INVALID_ARGUMENT'],
  ])('%s is refused with a code and its path', (_what, path, code) => {
    expect(() => new FileDisk({ path: path() })).toThrow(expect.objectContaining({ code, message: expect.stringContaining(path()) }));
  });

  test('punching frees space, zeroing does not', async () => {
    const path = newFile(directory);
    const disk = new FileDisk({ path });
    const blocks = (): number => statSync(path).blocks;
    await request(disk, (sink) => disk.write(0, new Uint8Array(4 << 20).fill(1), 0, sink));
    await request(disk, (sink) => disk.flush(0, sink));
    const full = blocks();
    expect(await request(disk, (sink) => disk.zero(0, 1 << 20, 0, sink))).toBe(Status.OK);
    expect(blocks()).toBeGreaterThanOrEqual(full);
    if (disk.features.fastPunch) {
      expect(await request(disk, (sink) => disk.punch(0, 2 << 20, 0, sink))).toBe(Status.OK);
      expect(blocks()).toBeLessThan(full);
    }
    expect(statSync(path).size).toBe(SIZE);
    await close(disk);
  });

  test('examining a disk changes neither its size nor its space', async () => {
    const path = newFile(directory, 1000 * 512);
    const before = statSync(path);
    await close(new FileDisk({ path }));
    const after = statSync(path);
    expect([after.size, after.blocks]).toEqual([before.size, before.blocks]);
  });

  test.each(['adaptive', 'pool'] as const)('a file that was shortened under an open disk gives EIO for what is gone (%s)', async (mode) => {
    const path = newFile(directory);
    const disk = new FileDisk({ path, tuning: { mode } });
    truncateSync(path, 4096 + 100);
    const target = new Uint8Array(4096);
    expect(await request(disk, (sink) => disk.read(0, target, 0, sink))).toBe(Status.OK);
    expect(await request(disk, (sink) => disk.read(4096, target, 0, sink))).toBe(Status.EIO);
    expect(await request(disk, (sink) => disk.read(1 << 20, target, 0, sink))).toBe(Status.EIO);
    await close(disk);
  });

  const presence = (disk: FileDisk): Promise<string | null> => new Promise((resolve) => disk.checkPresence(resolve));

  test.each<[string, (path: string) => void, RegExp | null]>([
    ['left alone', () => {}, null],
    ['renamed and put back', (path) => [renameSync(path, `${path}-2`), renameSync(`${path}-2`, path)], null],
    ['removed', (path) => rmSync(path), /was removed$/],
    ['replaced by another file', (path) => [writeFileSync(`${path}-2`, 'x'), renameSync(`${path}-2`, path)], /leads to something else/],
    ['shortened', (path) => truncateSync(path, 4096), /was shortened to 4096 bytes; don't lengthen it/],
    ['lengthened', (path) => truncateSync(path, 2 * SIZE), null],
  ])('a file that was %s: the disk knows whether its path leads to it', async (_what, change, expected) => {
    const path = newFile(directory);
    const disk = new FileDisk({ path });
    change(path);
    const reason = await presence(disk);
    if (expected === null) expect(reason).toBeNull();
    else expect(reason).toMatch(expected);
    await close(disk);
  });

  test('warm reads and writes need no thread, and neighbours share a call', async () => {
    const path = newFile(directory);
    const disk = new FileDisk({ path });
    let done = 0;
    const sink = { onDiskDone: () => void done++ };
    const source = new Uint8Array(4096).fill(5);
    for (let i = 0; i < 32; i++) disk.write(i * 4096, source, i, sink);
    disk.submit();
    expect(done).toBe(32);
    expect(disk.counters.inlineCalls).toBe(1);
    expect(disk.counters.inlineRequests).toBe(32);
    const target = new Uint8Array(4096);
    for (let i = 0; i < 32; i += 2) disk.read(i * 4096, target, i, sink);
    disk.submit();
    expect(done).toBe(48);
    expect(disk.counters.pooledRequests).toBe(0);
    await close(disk);
  });

  test.skipIf(noLoop !== null || !hasFreeze())(
    'a device that hangs is served by the thread pool, and this thread goes on',
    async () => {
      // A loop device whose backing file system is frozen: writes to the device don't return.
      const image = newFile(directory, 64 << 20);
      execFileSync('mkfs.ext4', ['-q', image]);
      const mountPoint = mkdtempSync(join(directory, 'mount-'));
      execFileSync('mount', ['-o', 'loop', image, mountPoint]);
      const backing = newFile(mountPoint, 16 << 20);
      const device = execFileSync('losetup', ['--find', '--show', backing], { encoding: 'utf8' }).trim();
      const disk = new FileDisk({ path: device });
      let frozen = false;
      try {
        const source = new Uint8Array(4096).fill(1);
        expect(await request(disk, (sink) => disk.write(0, source, 0, sink))).toBe(Status.OK);
        expect(disk.counters.pooledRequests).toBe(0);
        execFileSync('fsfreeze', ['--freeze', mountPoint]);
        frozen = true;
        // Not written back yet, as the first may be by now: the flush has something to wait for.
        expect(await request(disk, (sink) => disk.write(4096, source, 0, sink))).toBe(Status.OK);
        let flushed = -1;
        const sink = {
          onDiskDone: (_tag: number, status: number) => {
            flushed = status;
          },
        };
        disk.flush(0, sink);
        disk.submit();
        await expect.poll(() => disk.stalled, { timeout: 10_000, interval: 10 }).toBe(true);
        expect(flushed).toBe(-1);
        // How long the flush has been under way is known, at least.
        await expect.poll(() => disk.waitingMs(performance.now()), { timeout: 20_000, interval: 20 }).toBeGreaterThan(100);
        let written = 0;
        const { inlineRequests } = disk.counters;
        const count = { onDiskDone: () => void written++ };
        for (let i = 0; i < 64; i++) disk.write(i * 65_536, source, 0, count);
        disk.submit();
        expect(written).toBe(0);
        expect(disk.counters.inlineRequests).toBe(inlineRequests);
        execFileSync('fsfreeze', ['--unfreeze', mountPoint]);
        frozen = false;
        await expect.poll(() => flushed, { timeout: 20_000 }).toBe(Status.OK);
        await expect.poll(() => written, { timeout: 20_000 }).toBe(64);
        disk.waitingMs(performance.now());
        expect(disk.waitingMs(performance.now())).toBe(0);
      } finally {
        if (frozen) execFileSync('fsfreeze', ['--unfreeze', mountPoint]);
        await close(disk);
        execFileSync('losetup', ['--detach', device]);
        execFileSync('umount', [mountPoint]);
      }
    },
    HANG_TEST_MS,
  );

  test('a store that is no file system image any more is not mistaken for one', () => {
    const path = join(directory, 'text');
    writeFileSync(path, 'hello');
    const disk = new FileDisk({ path });
    expect(disk.sizeBytes).toBe(5);
    return close(disk);
  });
});
