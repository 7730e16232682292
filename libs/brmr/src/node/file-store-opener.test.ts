import { execFileSync } from 'node:child_process';
import { closeSync, copyFileSync, existsSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DirtyMap } from '@rmr/dirty-map';
import type { MetadataChange, PoolServer, PoolStore } from '@rmr/rmr';
import { type DiskSink, OperationError, SILENT_LOGGER, Status } from '@rmr/runtime';
import { createSystemWorld } from '@rmr/runtime/node';
import { afterAll, afterEach, expect, test } from 'vitest';
import type { KeptStore, OpenedStore } from '../core/server/kept-store.ts';
import { StoreKeeper } from '../core/server/store-keeper.ts';
import { FileStoreOpener, type FileStoreSpec } from './file-store-opener.ts';
import { createStore, dataDigest, inspect, kernelBootId } from './store-files.ts';

const SIZE = 8 * 1024 * 1024;
const CHUNK = 128 * 1024;
const BOOT_ID = kernelBootId();
/** Bound of waiting for a condition, and of a test that makes file systems: nothing depends on it unless something is broken. */
const WAIT = { timeout: 60_000, interval: 20 };
const TEST_MS = 120_000;

const world = createSystemWorld(SILENT_LOGGER);
const opener = new FileStoreOpener(world, BOOT_ID);
const directory = mkdtempSync(join(tmpdir(), 'brmr-opener-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What has to be undone after a test, the last first. */
const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

let number = 0;
async function newStore(parent = directory): Promise<string> {
  const path = join(parent, `${number++}.store`);
  await createOn(path);
  return path;
}

async function createOn(path: string): Promise<void> {
  const uuids = { storeUuid: uuid(1), poolUuid: uuid(2), lineageUuid: uuid(3) };
  await createStore({ path, ...uuids, poolName: 'pool', memberId: 1, sizeBytes: SIZE, queueDepth: 16 });
}

function uuid(digit: number): string {
  return `00000000-0000-4000-8000-00000000000${digit}`;
}

function spec(path: string, more: Partial<FileStoreSpec> = {}): FileStoreSpec {
  return { path, ioTimeoutMs: 20_000, volatileCache: false, ...more };
}

function open(which: FileStoreSpec, doubtful = false): Promise<OpenedStore | OperationError> {
  return new Promise((resolve) => opener.open(which, doubtful, resolve));
}

async function opened(which: FileStoreSpec, doubtful = false): Promise<OpenedStore> {
  const result = await open(which, doubtful);
  if (result instanceof OperationError) throw result;
  return result;
}

function close(store: PoolStore): Promise<number> {
  return new Promise((resolve) => store.close(resolve));
}

function request(store: PoolStore, ask: (sink: DiskSink) => void): Promise<number> {
  return new Promise((resolve) => {
    ask({ onDiskDone: (_tag, status) => resolve(status) });
    store.submit();
  });
}

/** A keeper of one store, whose pool is nothing but that. */
async function keep(which: FileStoreSpec): Promise<KeptStore<FileStoreSpec>> {
  const describe = () => ({ state: 'REGISTERED', holder: null });
  const register = (store: PoolStore): PoolServer => ({ store, executing: 0, describe, storeFailed: () => {} }) as unknown as PoolServer;
  const registry = { register, unregister: (_pool: PoolServer, done: () => void) => done() };
  const keeper = new StoreKeeper([which], { world, opener, registry, doubtful: new Set<string>() });
  undo.push(() => new Promise<void>((resolve) => keeper.stop(resolve)));
  await new Promise((resolve) => keeper.start(resolve));
  const [kept] = keeper.stores;
  expect(kept?.state, kept?.reason).toBe('ATTACHED');
  return kept as KeptStore<FileStoreSpec>;
}

function poolStore(kept: KeptStore<FileStoreSpec>): PoolStore {
  return (kept.pool as PoolServer).store;
}

function commit(store: PoolStore, chunk = 0): Promise<number> {
  const ranges = [{ offsetBytes: chunk * CHUNK, lengthBytes: 1 }];
  return commitChange(store, { dirtyAdd: [{ memberIds: [2], ranges }] });
}

function commitChange(store: PoolStore, change: MetadataChange): Promise<number> {
  return new Promise((resolve) => store.commit(change, resolve));
}

test('a doubtful store remembers it', async () => {
  const path = await newStore();
  await close((await opened(spec(path), true)).store);
  const { store } = await opened(spec(path, { poolUuid: uuid(2) }));
  expect(store.volatileLost).toBe(true);
  await close(store);
});

test.each<[string, () => string, string]>([
  ['a file that is not there', () => join(directory, 'none'), 'NOT_FOUND'],
  ['a directory', () => directory, 'INVALID_ARGUMENT'],
  ['a character device', () => '/dev/null', 'INVALID_ARGUMENT'],
  [
    'a pipe',
    () => {
      execFileSync('mkfifo', [join(directory, 'pipe')]);
      return join(directory, 'pipe');
    },
    'INVALID_ARGUMENT',
  ],
])('%s is refused with its path', async (_what, path, code) => {
  const at = path();
  expect(await open(spec(at))).toMatchObject({ code, message: expect.stringContaining(at) });
});

test('with a volatile cache, what was flushed is in the file and survives the process, and nothing else', async () => {
  const path = await newStore();
  const { store } = await opened(spec(path, { volatileCache: true }));
  const write = (offset: number, value: number): Promise<number> =>
    request(store, (sink) => store.write(offset, new Uint8Array(4096).fill(value), 0, sink));
  expect(await write(0, 1)).toBe(Status.OK);
  expect(await request(store, (sink) => store.flush(0, sink))).toBe(Status.OK);
  expect(await write(0, 2)).toBe(Status.OK);
  expect(await write(4096, 3)).toBe(Status.OK);
  // The process dies: what it leaves is the file as it is now.
  const left = `${path}.left`;
  copyFileSync(path, left);
  await close(store);
  const { store: after } = await opened(spec(left, { volatileCache: true }));
  const target = new Uint8Array(8192);
  expect(await request(after, (sink) => after.read(0, target, 0, sink))).toBe(Status.OK);
  expect([target[0], target[4096]]).toEqual([1, 0]);
  // The host has the same boot id, and the store knows all the same that something is gone.
  expect(after.volatileLost).toBe(true);
  await close(after);
});

function missing(...programs: readonly string[]): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!existsSync('/dev/loop-control')) return 'there is no /dev/loop-control';
  const found = (program: string): boolean => ['/bin', '/sbin', '/usr/bin', '/usr/sbin'].some((path) => existsSync(join(path, program)));
  const absent = programs.filter((program) => !found(program));
  return absent.length === 0 ? null : `there is no ${absent.join(', no ')}`;
}

/** Mounts a file system until the test is over. Returns where. */
function mounted(...args: readonly string[]): string {
  const at = mkdtempSync(join(directory, 'mount-'));
  execFileSync('mount', [...args, at]);
  undo.push(() => execFileSync('umount', [at]));
  return at;
}

function fill(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (const block of [new Uint8Array(1 << 20), new Uint8Array(4096)]) while (writeSync(file, block) === block.length);
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  } finally {
    closeSync(file);
  }
}

const noLoop = missing('losetup', 'mknod');
test.skipIf(noLoop !== null)(
  `a store on a block device is open once, whichever node leads to it, and can be looked at meanwhile${noLoop === null ? '' : ` (${noLoop})`}`,
  async () => {
    const backing = join(directory, 'twice');
    const file = openSync(backing, 'w');
    ftruncateSync(file, 24 << 20);
    closeSync(file);
    const device = execFileSync('losetup', ['--find', '--show', backing], { encoding: 'utf8' }).trim();
    undo.push(() => execFileSync('losetup', ['--detach', device]));
    // As another container has it, with a /dev of its own.
    const other = join(directory, 'other-node');
    execFileSync('mknod', [other, 'b', '7', device.replace(/^\D+/, '')]);
    await createOn(device);
    const { store } = await opened(spec(device));
    undo.push(() => close(store));
    expect(await open(spec(other))).toMatchObject({ code: 'STORE_LOCKED', message: expect.stringContaining(`${other} is in use`) });
    await expect(createOn(other)).rejects.toMatchObject({ code: 'STORE_LOCKED' });
    for (const path of [device, other]) {
      expect((await inspect(path)).openCount).toBe(1);
      expect(await dataDigest(path)).toHaveLength(64);
    }
    expect(await commit(store)).toBe(Status.OK);
  },
  TEST_MS,
);

const noMount = missing('mount', 'fallocate');
const why = noMount === null ? '' : ` (${noMount})`;
test.skipIf(noMount !== null)(
  `a full file system takes no metadata from a store: dirty bits, checkpoints and whole maps find their space${why}`,
  async () => {
    const parent = mounted('-t', 'tmpfs', '-o', 'size=32m', 'tmpfs');
    const path = await newStore(parent);
    // As after copying it sparsely, and as older programs made it.
    execFileSync('fallocate', ['--dig-holes', path]);
    const kept = await keep(spec(path));
    const store = poolStore(kept);
    fill(join(parent, 'full'));
    const source = new Uint8Array(4096).fill(1);
    expect(await request(store, (sink) => store.write(0, source, 0, sink))).toBe(Status.ENOSPC);
    for (let chunk = 0; chunk < 64; chunk++) expect(await commit(store, chunk)).toBe(Status.OK);
    const map = new DirtyMap(64);
    map.set(3, 5);
    expect(await commitChange(store, { dirtyReplace: [{ memberId: 4, map }] })).toBe(Status.OK);
    // Far more than the journal has room for without checkpoints.
    for (let i = 0; i < 600; i++) expect(await commitChange(store, { ages: true })).toBe(Status.OK);
    expect([kept.state, store.volatileLost, store.dirtyBytes(2)]).toEqual(['ATTACHED', false, SIZE]);
  },
  TEST_MS,
);

test.skipIf(noMount !== null)(
  `a store without space for its journal, on a full file system, says so, and is open as soon as there is space${why}`,
  async () => {
    const parent = mounted('-t', 'tmpfs', '-o', 'size=32m', 'tmpfs');
    const path = await newStore(parent);
    execFileSync('fallocate', ['--dig-holes', path]);
    fill(join(parent, 'full'));
    expect(await open(spec(path))).toMatchObject({
      code: 'NO_SPACE',
      message: expect.stringContaining('can be read but not written (ENOSPC): its file system has no space'),
    });
    rmSync(join(parent, 'full'));
    const kept = await keep(spec(path));
    fill(join(parent, 'full'));
    expect(await commit(poolStore(kept))).toBe(Status.OK);
  },
  TEST_MS,
);

const noHang = missing('mkfs.ext4', 'fsfreeze', 'losetup', 'mount');
test.skipIf(noHang !== null)(
  `a device that hangs takes the store away, this thread goes on, and the store is back when it has answered${noHang === null ? '' : ` (${noHang})`}`,
  async () => {
    // A loop device whose backing file system is frozen: writes to the device don't return.
    const image = join(directory, 'image');
    const file = openSync(image, 'w');
    ftruncateSync(file, 64 << 20);
    closeSync(file);
    execFileSync('mkfs.ext4', ['-q', image]);
    const parent = mounted('-o', 'loop', image);
    const backing = join(parent, 'backing');
    const backingFile = openSync(backing, 'w');
    ftruncateSync(backingFile, 24 << 20);
    closeSync(backingFile);
    const device = execFileSync('losetup', ['--find', '--show', backing], { encoding: 'utf8' }).trim();
    undo.push(() => execFileSync('losetup', ['--detach', device]));
    await createOn(device);
    const kept = await keep(spec(device, { ioTimeoutMs: 1000 }));
    const store = poolStore(kept);
    execFileSync('fsfreeze', ['--freeze', parent]);
    let frozen = true;
    const thaw = (): void => {
      if (frozen) execFileSync('fsfreeze', ['--unfreeze', parent]);
      frozen = false;
    };
    undo.push(thaw);
    let committed = -1;
    store.commit({ dirtyAdd: [{ memberIds: [2], ranges: [{ offsetBytes: 0, lengthBytes: 1 }] }] }, (status) => {
      committed = status;
    });
    await expect.poll(() => kept.state, WAIT).toBe('DETACHING');
    expect(kept.reason).toContain(`the disk of ${device} has not answered within 1000 ms`);
    expect([kept.waitsFor, committed]).toEqual(['the store to be closed', -1]);
    thaw();
    await expect.poll(() => kept.state, WAIT).toBe('ATTACHED');
    expect(committed).toBe(Status.OK);
    // It did all that it was asked to: nothing was lost.
    expect(poolStore(kept).volatileLost).toBe(false);
    expect(poolStore(kept).dirtyBytes(2)).toBeGreaterThan(0);
    expect((await inspect(device)).openCount).toBe(2);
  },
  TEST_MS,
);
