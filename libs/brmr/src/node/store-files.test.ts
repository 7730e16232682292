import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT_LOGGER, Status } from '@rmr/runtime';
import { createSystemWorld } from '@rmr/runtime/node';
import { afterAll, expect, test } from 'vitest';
import type { PoolStoreAdapter } from '../core/server/pool-store-adapter.ts';
import {
  type CreateStoreOptions,
  createStore,
  dataDigest,
  inspect,
  kernelBootId,
  type OpenStoreOptions,
  openStore,
} from './store-files.ts';

const SIZE = 16 * 1024 * 1024;
const directory = mkdtempSync(join(tmpdir(), 'brmr-store-'));
const world = createSystemWorld(SILENT_LOGGER);
afterAll(() => rmSync(directory, { recursive: true }));

const uuid = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;

let number = 0;
function newPath(): string {
  return join(directory, `${number++}.store`);
}

async function created(overrides: Partial<CreateStoreOptions> = {}): Promise<string> {
  const path = overrides.path ?? newPath();
  await createStore({
    storeUuid: uuid(1),
    poolUuid: uuid(2),
    lineageUuid: uuid(3),
    poolName: 'pool',
    memberId: 1,
    sizeBytes: SIZE,
    queueDepth: 32,
    ...overrides,
    path,
  });
  return path;
}

function open(path: string, overrides: Partial<OpenStoreOptions> = {}): Promise<PoolStoreAdapter> {
  return openStore({ path, world, ...overrides });
}

function close(store: PoolStoreAdapter): Promise<number> {
  return new Promise((resolve) => store.close(resolve));
}

/** Makes a request and waits for its end. */
function request(store: PoolStoreAdapter, ask: (sink: { onDiskDone(tag: number, status: number): void }) => void): Promise<number> {
  return new Promise((resolve) => {
    ask({ onDiskDone: (_tag, status) => resolve(status) });
    store.submit();
  });
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function poke(path: string, offset: number, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

test('what was written, flushed and committed is there when the store is opened again', async () => {
  const path = await created();
  let store = await open(path, { poolUuid: uuid(2), storeUuid: uuid(1) });
  const source = new Uint8Array(8192).fill(7);
  expect(await request(store, (sink) => expect(store.prepareWrite(4096, 8192, 1, Uint8Array.of(5), 1, 1, sink)).toBe(false))).toBe(
    Status.OK,
  );
  store.recordLastIo(0, 1, 4096, 8192);
  expect(await request(store, (sink) => store.write(4096, source, 2, sink))).toBe(Status.OK);
  const target = new Uint8Array(8192);
  expect(await request(store, (sink) => store.read(4096, target, 3, sink))).toBe(Status.OK);
  expect(target).toEqual(source);
  expect(await request(store, (sink) => store.flush(4, sink))).toBe(Status.OK);
  store.verify();
  expect(await close(store)).toBe(Status.OK);
  store = await open(path);
  expect(store.volatileLost).toBe(false);
  expect(store.identity).toMatchObject({ createdZeroed: true, sizeBytes: SIZE, poolName: 'pool' });
  expect(store.dirtyBytes(5)).toBe(128 * 1024);
  await close(store);
});

test('a new store reads as zeroes and takes hardly any space', async () => {
  const path = await created({ sizeBytes: 1024 * 1024 * 1024 });
  expect(statSync(path).blocks * 512).toBeLessThanOrEqual(6 * 1024 * 1024);
  const small = await created({ sizeBytes: 64 * 1024 * 1024 });
  expect(await dataDigest(small)).toBe(sha256(new Uint8Array(64 * 1024 * 1024)));
});

test('the digest is that of the data bytes, on a sparse file, on a copy without holes, and while the store is open', async () => {
  const path = await created();
  const store = await open(path);
  const whole = new Uint8Array(SIZE);
  for (const [offset, length] of [
    [0, 512],
    [1_000_000, 70_001],
    [SIZE - 4096, 4096],
  ] as const) {
    const source = new Uint8Array(length).map((_, i) => i * 13 + offset);
    whole.set(source, offset);
    expect(await request(store, (sink) => store.write(offset, source, 1, sink))).toBe(Status.OK);
  }
  expect(await dataDigest(path)).toBe(sha256(whole));
  expect(await request(store, (sink) => store.punch(1_000_000, 70_001, 1, sink))).toBe(Status.OK);
  whole.fill(0, 1_000_000, 1_070_001);
  expect(await dataDigest(path)).toBe(sha256(whole));
  await close(store);
  const dense = newPath();
  const { dataOffset } = await inspect(path);
  copyFileSync(path, dense);
  poke(dense, dataOffset, whole);
  expect(await dataDigest(dense)).toBe(sha256(whole));
});

test('a store in use can be inspected and digested, but not opened', async () => {
  const path = await created();
  const store = await open(path);
  let status = -1;
  store.commit({ promise: { epoch: 4, clientInstance: uuid(4), clientName: 'client-1' } }, (result) => {
    status = result;
  });
  await expect.poll(() => status, { timeout: 20_000 }).toBe(Status.OK);
  expect(await inspect(path)).toMatchObject({ promise: { epoch: 4 }, cleanShutdown: false, bootId: kernelBootId(), openCount: 1 });
  await expect(open(path)).rejects.toMatchObject({ code: 'STORE_LOCKED', message: expect.stringContaining(`process ${process.pid}`) });
  await expect(createStore({ ...created_(), path, force: true })).rejects.toMatchObject({ code: 'STORE_LOCKED' });
  await close(store);
});

function created_(): Omit<CreateStoreOptions, 'path'> {
  return { storeUuid: uuid(1), poolUuid: uuid(2), lineageUuid: uuid(3), poolName: 'pool', memberId: 1, sizeBytes: SIZE, queueDepth: 32 };
}

test('inspecting while commits go on gives a consistent answer every time', async () => {
  const path = await created();
  const store = await open(path);
  let commits = 0;
  let stop = false;
  const next = (): void => {
    if (stop) return;
    const epoch = ++commits;
    store.commit(
      {
        promise: { epoch, clientInstance: uuid(4), clientName: '' },
        dirtyAdd: [{ memberIds: [2], ranges: [{ offsetBytes: (epoch % 128) * 131_072, lengthBytes: 1 }] }],
      },
      next,
    );
  };
  next();
  let last = 0;
  for (let i = 0; i < 30; i++) {
    const { promise, dirty } = await inspect(path);
    const epoch = promise?.epoch ?? 0;
    expect(epoch).toBeGreaterThanOrEqual(last);
    expect(dirty[0]?.chunks ?? 0).toBe(Math.min(epoch, 128));
    last = epoch;
  }
  stop = true;
  await expect.poll(() => store.promise?.epoch, { timeout: 20_000 }).toBe(commits);
  expect(last).toBeGreaterThan(0);
  await close(store);
});

test('another boot id without clean shutdown means that unflushed data may be lost', async () => {
  const path = await created();
  await close(await open(path));
  let store = await open(path, { bootId: uuid(8) });
  expect(store.volatileLost).toBe(false);
  const crashed = newPath();
  copyFileSync(path, crashed);
  await close(store);
  store = await open(crashed, { bootId: uuid(8) });
  expect(store.volatileLost).toBe(false);
  copyFileSync(crashed, path);
  await close(store);
  store = await open(path);
  expect(store.volatileLost).toBe(true);
  await close(store);
});

test.each<[string, (path: string) => void, Partial<OpenStoreOptions>, string, RegExp]>([
  ['is missing', (path) => rmSync(path), {}, 'NOT_FOUND', /does not exist: .* First mount the file system, .* never brings data back$/],
  [
    'is empty',
    (path) => truncateSync(path, 0),
    {},
    'STORE_NOT_FORMATTED',
    /is empty: it holds no store\. If a store was here, .* never brings data back$/,
  ],
  ['is of another pool', () => {}, { poolUuid: uuid(7) }, 'STORE_FOREIGN', /is member 1 of pool "pool" .*leave this store as it is/],
  ['is another store of the pool', () => {}, { storeUuid: uuid(7) }, 'STORE_FOREIGN', /is store 00000000/],
  ['was shortened', (path) => truncateSync(path, SIZE), {}, 'STORE_TOO_SMALL', /needs \d+\. .*Don't lengthen it/],
  [
    'has two damaged superblocks',
    (path) => {
      poke(path, 64, new Uint8Array(8).fill(9));
      poke(path, 1024 * 1024 - 4096 + 64, new Uint8Array(8).fill(9));
    },
    {},
    'STORE_DAMAGED',
    /both superblocks .*Keep it as it is, .*the only copy/,
  ],
  [
    'has another format version',
    (path) => {
      poke(path, 12, Uint8Array.of(77));
      poke(path, 1024 * 1024 - 4096 + 12, Uint8Array.of(77));
    },
    {},
    'STORE_VERSION_UNKNOWN',
    /version 77.*don't create another one in its place/,
  ],
])('a store that %s is refused with an error that says which file and what to do', async (_what, harm, overrides, code, text) => {
  const path = await created();
  harm(path);
  const refusal = await open(path, overrides).catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code });
  expect((refusal as Error).message).toContain(path);
  expect((refusal as Error).message).toMatch(text);
  // The lock is free again, and where there still is a file, nothing was done to it.
  if (existsSync(path)) expect(await open(path, overrides).catch((error: unknown) => (error as { code: string }).code)).toBe(code);
});

test('one damaged superblock is no reason to refuse', async () => {
  const path = await created();
  poke(path, 0, new Uint8Array(4096).fill(0x55));
  await close(await open(path));
  expect((await inspect(path)).damagedSuperblocks).toEqual([]);
});

test('creating refuses what has content, and leaves it alone; force and a free file are fine', async () => {
  const path = newPath();
  writeFileSync(path, Buffer.alloc(SIZE * 2, 'important'));
  await expect(created({ path })).rejects.toMatchObject({ code: 'CONFLICT', message: expect.stringContaining(path) });
  expect(statSync(path).size).toBe(SIZE * 2);
  await created({ path, force: true });
  expect(await dataDigest(path)).toBe(sha256(new Uint8Array(SIZE)));
  await expect(created({ path })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  const empty = newPath();
  writeFileSync(empty, '');
  await created({ path: empty });
  expect((await inspect(empty)).createdZeroed).toBe(true);
});

test('creating that keeps the data does not claim that it is zero', async () => {
  const path = newPath();
  writeFileSync(path, Buffer.alloc(SIZE * 2, 7));
  await created({ path, force: true, keepData: true });
  expect((await inspect(path)).createdZeroed).toBe(false);
  expect(await dataDigest(path)).toBe(sha256(new Uint8Array(SIZE).fill(7)));
});

test.each<[string, Partial<CreateStoreOptions>, string]>([
  ['a directory that does not exist', { path: join(directory, 'no', 'store') }, 'NOT_FOUND'],
  ['a directory', { path: directory }, 'INVALID_ARGUMENT'],
  ['a size of zero', { sizeBytes: 0 }, 'INVALID_ARGUMENT'],
  ['chunks that are too small', { chunkSizeBytes: 512 }, 'INVALID_ARGUMENT'],
  ['a name that is too long', { poolName: 'x'.repeat(300) }, 'INVALID_ARGUMENT'],
])('creating in or with %s is refused, and leaves no file behind', async (_what, overrides, code) => {
  const path = overrides.path ?? newPath();
  await expect(created({ ...overrides, path })).rejects.toMatchObject({ code });
  if (path !== directory) expect(existsSync(path)).toBe(false);
});

test('creating on a file that is too small is refused and leaves it as it is', async () => {
  const path = newPath();
  writeFileSync(path, new Uint8Array(4096));
  await expect(created({ path })).rejects.toMatchObject({ code: 'STORE_TOO_SMALL' });
  expect(statSync(path).size).toBe(4096);
});

// To root nothing is forbidden.
if (process.getuid?.() !== 0) {
  test('a file without permission is refused as such', async () => {
    const path = await created();
    chmodSync(path, 0);
    await expect(open(path)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
  });
}
