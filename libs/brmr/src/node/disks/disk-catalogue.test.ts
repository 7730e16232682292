import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storeBytes } from '@rmr/bitmap-store';
import { type Disk, MIB, OperationError, SILENT_LOGGER } from '@rmr/runtime';
import { createSystemWorld } from '@rmr/runtime/node';
import { MemoryDisk } from '@rmr/testing';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { NODE_ANSWERS, type StoreOrder } from '../../core/commands/node-commands.ts';
import type { DiskSpec } from '../../core/disks/disk-types.ts';
import type { StoreSpec } from '../../core/server/kept-store.ts';
import { ThreadPlaces } from '../../core/server/thread-places.ts';
import { inspect, openStore } from '../store-files.ts';
import { CatalogueStoreDisks } from './catalogue-store-disks.ts';
import { DirectoryRecordFile } from './directory-records.ts';
import { DiskCatalogue, type DiskCatalogueOptions } from './disk-catalogue.ts';
import type { NewStore } from './disk-stores.ts';

const SIZE = 16 * MIB;
const root = mkdtempSync(join(tmpdir(), 'brmr-disks-'));
const world = createSystemWorld(SILENT_LOGGER);
afterAll(() => rmSync(root, { recursive: true }));

const uuid = (number: number): string => `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;
const POOL = uuid(0x9001);

function newStore(number: number, overrides: Partial<NewStore> = {}): NewStore {
  return {
    storeUuid: uuid(number),
    poolUuid: POOL,
    lineageUuid: uuid(3),
    poolName: 'vm-1',
    memberId: 1,
    sizeBytes: SIZE,
    queueDepth: 32,
    ...overrides,
  };
}

let folders = 0;
function newFolder(): string {
  const path = join(root, `${folders++}`);
  mkdirSync(path);
  return path;
}

function directoryDisk(path: string, overrides: Partial<DiskSpec> = {}): DiskSpec {
  return { name: 'd', place: { kind: 'directory', path }, overProvisioning: 1, spare: false, ...overrides };
}

function deviceDisk(path: string): DiskSpec {
  return { name: 'd', place: { kind: 'device', path }, overProvisioning: 1, spare: false };
}

function catalogue(specs: readonly DiskSpec[], stateDir: string, overrides: Partial<DiskCatalogueOptions> = {}): DiskCatalogue {
  return new DiskCatalogue({ specs, world, threads: new ThreadPlaces(64), records: new DirectoryRecordFile(stateDir), ...overrides });
}

async function rejection(promise: Promise<unknown>): Promise<OperationError> {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OperationError);
  return error as OperationError;
}

describe('a directory', () => {
  test('it is new, gets a store with all of its metadata allocated, which is found by its UUID and opens', async () => {
    const [path, state] = [newFolder(), newFolder()];
    writeFileSync(join(path, 'notes'), 'not a store');
    const disks = catalogue([directoryDisk(path)], state);
    const before = await disks.look('d');
    expect(before).toMatchObject({ unavailable: null, problem: null, places: [], promisedBytes: 0, health: { level: 'healthy' } });
    expect(before.roomBytes).toBe(before.freeBytes);
    expect(readdirSync(path)).toEqual(['notes']);

    const made = await disks.createStore('d', newStore(1));
    expect(made).toEqual({ path: join(path, `${uuid(1)}.store`), existed: false });
    const total = storeBytes(SIZE, 128 * 1024, 32);
    expect(statSync(made.path).size).toBe(total);
    expect(statSync(made.path).blocks * 512).toBeGreaterThanOrEqual(total - SIZE);
    expect(statSync(made.path).blocks * 512).toBeLessThan(total);
    const store = await openStore({ path: made.path, world, storeUuid: uuid(1) });
    // A store that is in use is seen as well.
    const after = await disks.look('d');
    expect(after.places).toMatchObject([
      { path: made.path, content: { kind: 'store', store: { storeUuid: uuid(1), poolName: 'vm-1', memberId: 1 } } },
    ]);
    expect(after).toMatchObject({ promisedBytes: total, allocatedBytes: statSync(made.path).blocks * 512 });
    expect(await disks.find(uuid(1))).toEqual([{ disk: 'd', path: made.path }]);
    expect(await rejection(disks.wipeStore('d', uuid(1), POOL))).toMatchObject({ code: 'STORE_LOCKED' });
    await new Promise((resolve) => store.close(resolve));
    expect(await disks.createStore('d', newStore(1))).toEqual({ path: made.path, existed: true });

    // Its name does not matter.
    renameSync(made.path, join(path, `${uuid(77)}.store`));
    expect(await disks.find(uuid(1))).toEqual([{ disk: 'd', path: join(path, `${uuid(77)}.store`) }]);
    await disks.wipeStore('d', uuid(1), POOL);
    expect(readdirSync(path).sort()).toEqual(['.rmr-disk.json', 'notes']);
    await disks.wipeStore('d', uuid(1), POOL);
  });

  test('a file system that is not mounted is noticed: by the marker that is missing', async () => {
    const [path, state] = [newFolder(), newFolder()];
    await catalogue([directoryDisk(path)], state).createStore('d', newStore(1));
    renameSync(path, `${path}.away`);
    const disks = catalogue([directoryDisk(path)], state);
    expect(await disks.look('d')).toMatchObject({ unavailable: { code: 'NOT_FOUND' }, health: { level: 'down' }, capacityBytes: null });
    mkdirSync(path);
    const report = await disks.look('d');
    expect(report).toMatchObject({
      unavailable: { code: 'UNAVAILABLE', sentence: expect.stringMatching(/is missing.*not mounted.*Mount the right one/) },
      places: [],
      roomBytes: 0,
      health: { level: 'down' },
    });
    expect(report.problem).toBe(report.unavailable?.sentence);
    expect(await rejection(disks.createStore('d', newStore(2)))).toMatchObject({ code: 'UNAVAILABLE' });
    expect(readdirSync(path)).toEqual([]);
    rmSync(path, { recursive: true });
    renameSync(`${path}.away`, path);
    expect(await disks.look('d')).toMatchObject({ unavailable: null, places: [{ content: { kind: 'store' } }] });
  });

  test('a directory that this node does not remember is adopted; one that another disk has is not', async () => {
    const [path, state] = [newFolder(), newFolder()];
    await catalogue([directoryDisk(path)], newFolder()).createStore('d', newStore(1));
    const link = `${path}.link`;
    symlinkSync(path, link);
    const specs = [directoryDisk(path), directoryDisk(link, { name: 'e' })];
    const disks = catalogue(specs, state);
    expect((await disks.look('d')).unavailable).toBe(null);
    expect(await disks.look('e')).toMatchObject({
      unavailable: { code: 'CONFLICT', sentence: expect.stringContaining('the directory of disk "d"') },
    });
    // That is remembered, too.
    rmSync(join(path, '.rmr-disk.json'));
    expect((await catalogue(specs, state).look('d')).unavailable).toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('room: stores may promise no more than what is there, unless more is configured', async () => {
    const [path, state] = [newFolder(), newFolder()];
    const strict = catalogue([directoryDisk(path)], state);
    const { roomBytes } = await strict.look('d');
    const large = newStore(1, { sizeBytes: Math.floor(roomBytes / MIB) * MIB + 1024 * MIB, chunkSizeBytes: 16 * MIB });
    expect(await rejection(strict.createStore('d', large))).toMatchObject({
      code: 'NO_SPACE',
      message: expect.stringContaining('overProvisioning'),
    });
    expect(readdirSync(path)).toEqual([]);
    const generous = catalogue([directoryDisk(path, { overProvisioning: 4 })], state);
    await generous.createStore('d', large);
    expect((await generous.look('d')).promisedBytes).toBeGreaterThan(roomBytes);
  });

  test('one disk does not take two members of a pool, unless that is accepted', async () => {
    const [path, state] = [newFolder(), newFolder()];
    const disks = catalogue([directoryDisk(path)], state);
    await disks.createStore('d', newStore(1));
    expect(await rejection(disks.createStore('d', newStore(2, { memberId: 2 })))).toMatchObject({ code: 'CONFLICT' });
    await disks.createStore('d', newStore(2, { memberId: 2 }), { acceptSameDisk: true });
    await disks.createStore('d', newStore(3, { memberId: 3, poolUuid: uuid(0x9002) }));
    expect((await disks.look('d')).places).toHaveLength(3);
  });

  test('damage is told, its file is not wiped unless that is asked for, and the disk goes on', async () => {
    const [path, state] = [newFolder(), newFolder()];
    const disks = catalogue([directoryDisk(path)], state);
    const { path: file } = await disks.createStore('d', newStore(1));
    const fd = openSync(file, 'r+');
    for (const at of [100, MIB - 4000]) writeSync(fd, Uint8Array.of(99), 0, 1, at);
    closeSync(fd);
    expect(await disks.look('d')).toMatchObject({
      unavailable: null,
      problem: null,
      places: [{ content: { kind: 'damaged' } }],
      health: { level: 'degraded', sentence: expect.stringContaining(file) },
    });
    expect(await rejection(disks.createStore('d', newStore(1)))).toMatchObject({ code: 'STORE_DAMAGED' });
    expect(await rejection(disks.wipeStore('d', uuid(1), POOL))).toMatchObject({ code: 'STORE_DAMAGED' });
    await disks.wipeStore('d', uuid(1), POOL, true);
    expect((await disks.look('d')).places).toEqual([]);
  });

  test('a store of another pool is not wiped', async () => {
    const [path, state] = [newFolder(), newFolder()];
    const disks = catalogue([directoryDisk(path)], state);
    await disks.createStore('d', newStore(1));
    expect(await rejection(disks.wipeStore('d', uuid(1), uuid(4)))).toMatchObject({ code: 'STORE_FOREIGN' });
    expect((await disks.look('d')).places).toHaveLength(1);
  });

  test('a file that has the name of the store is not overwritten', async () => {
    const [path, state] = [newFolder(), newFolder()];
    const file = join(path, `${uuid(1)}.store`);
    for (const content of ['', 'notes']) {
      writeFileSync(file, content);
      expect(await rejection(catalogue([directoryDisk(path)], state).createStore('d', newStore(1)))).toMatchObject({ code: 'CONFLICT' });
      expect(readFileSync(file, 'utf8')).toBe(content);
    }
  });

  test('the same UUID for something else is refused', async () => {
    const [path, state] = [newFolder(), newFolder()];
    const disks = catalogue([directoryDisk(path)], state);
    await disks.createStore('d', newStore(1));
    for (const other of [{ memberId: 2 }, { poolUuid: uuid(4) }, { sizeBytes: 2 * SIZE }])
      expect(await rejection(disks.createStore('d', newStore(1, other)))).toMatchObject({ code: 'ALREADY_EXISTS' });
  });

  test('a store is attached where it is, once, and not as an older copy', async () => {
    const [path, state] = [newFolder(), newFolder()];
    const disks = catalogue([directoryDisk(path), directoryDisk(newFolder(), { name: 'e' })], state);
    const { path: file } = await disks.createStore('d', newStore(1));
    const opened = await openStore({ path: file, world });
    const seen = { lifeUuid: opened.bitmapStore.lives[0]?.lifeUuid ?? '', age: opened.bitmapStore.age };
    await new Promise((resolve) => opened.close(resolve));
    const wanted = { storeUuid: uuid(1), poolUuid: POOL, poolName: 'vm-1', memberId: 1, totalBytes: 1, metadataBytes: 1, seen };
    expect(await disks.check('attach', 'd', wanted)).toBe(null);
    expect(await disks.check('attach', 'e', wanted)).toMatchObject({ code: 'STORE_NOT_FORMATTED' });
    expect(await disks.check('attach', 'd', { ...wanted, seen: { ...seen, age: seen.age + 9 } })).toMatchObject({ code: 'CONFLICT' });
    const { place } = disks.reports[1]?.spec ?? {};
    writeFileSync(join(place?.kind === 'directory' ? place.path : '', `${uuid(1)}.store`), readFileSync(file));
    expect(await disks.check('attach', 'd', wanted)).toMatchObject({
      code: 'CONFLICT',
      sentence: expect.stringContaining('is there 2 times'),
    });
  });

  test.each(['create', 'wipe'] as const)('a crash before any step of %s: the same call brings it to its end', async (what) => {
    const steps: string[] = [];
    for (let crashAt = 0; ; crashAt++) {
      const [path, state] = [newFolder(), newFolder()];
      const calm = catalogue([directoryDisk(path)], state);
      if (what === 'wipe') await calm.createStore('d', newStore(1));
      const make = (disks: DiskCatalogue): Promise<unknown> =>
        what === 'create' ? disks.createStore('d', newStore(1)) : disks.wipeStore('d', uuid(1), POOL);
      let step = 0;
      const beforeStep = (name: string): void => {
        if (crashAt === 0) steps.push(name);
        if (crashAt > 0 && ++step === crashAt) throw new OperationError('IO_ERROR', `crash before: ${name}`);
      };
      const crash = await make(catalogue([directoryDisk(path)], state, { beforeStep })).then(
        () => null,
        (error: unknown) => error,
      );
      if (crashAt > 0)
        expect([crashAt, crash]).toEqual([
          crashAt,
          crashAt > steps.length ? null : expect.objectContaining({ message: `crash before: ${steps[crashAt - 1]}` }),
        ]);
      // What is found is one of two: the store, whole, or none.
      const after = catalogue([directoryDisk(path)], state);
      const kinds = (await after.look('d')).places.map(({ content }) => content.kind);
      expect([[], ['store'], ['unfinished'], ['empty']]).toContainEqual(kinds);
      await make(after);
      const names = readdirSync(path).filter((name) => name !== '.rmr-disk.json');
      expect(names).toEqual(what === 'create' ? [`${uuid(1)}.store`] : []);
      if (what === 'create') expect(await inspect(join(path, `${uuid(1)}.store`))).toMatchObject({ storeUuid: uuid(1) });
      const { all } = new DirectoryRecordFile(state);
      expect(JSON.parse(readFileSync(join(path, '.rmr-disk.json'), 'utf8'))).toEqual({ version: 1, directoryUuid: all.get('d') });
      if (crashAt > steps.length) break;
    }
    expect(steps.length).toBeGreaterThanOrEqual(3);
  });

  test('what a creation has left that died in the middle of its file is seen, counts, and is taken away by the next', async () => {
    const [path, state] = [newFolder(), newFolder()];
    const left = join(path, `${uuid(1)}.store.new`);
    writeFileSync(left, '');
    const disks = catalogue([directoryDisk(path)], state);
    // More than all the room that there is: only without what was left there is enough.
    const { roomBytes } = await disks.look('d');
    truncateSync(left, roomBytes + 1024 * MIB);
    expect(await disks.look('d')).toMatchObject({ promisedBytes: roomBytes + 1024 * MIB, places: [{ content: { kind: 'unfinished' } }] });
    expect(await rejection(disks.createStore('d', newStore(2)))).toMatchObject({ code: 'NO_SPACE' });
    await disks.createStore('d', newStore(1));
    expect(existsSync(left)).toBe(false);
    writeFileSync(left, '');
    await disks.wipeStore('d', uuid(1), POOL);
    expect(existsSync(left)).toBe(false);
  });
});

describe('a remote export', () => {
  const spec: DiskSpec = { name: 'r', place: { kind: 'export', uri: 'nbd://10.0.0.9/a' }, overProvisioning: 1, spare: false };

  test('without an NBD client it is unavailable, and says why', async () => {
    const disks = catalogue([spec], newFolder());
    expect(await disks.look('r')).toMatchObject({
      unavailable: {
        code: 'UNSUPPORTED',
        sentence: expect.stringMatching(/^disk "r" \(nbd:\/\/10\.0\.0\.9\/a\) is a remote export.*makes no stores on exports by order/),
      },
      health: { level: 'down' },
      capacityBytes: null,
    });
    expect(await rejection(disks.createStore('r', newStore(1)))).toMatchObject({ code: 'UNSUPPORTED' });
    expect(disks.placement()).toMatchObject([
      { name: 'r', roomBytes: 0, problem: expect.stringContaining('makes no stores on exports by order') },
    ]);
  });

  test('with one it takes a store whole, which is wiped again', async () => {
    let image = new MemoryDisk({ sizeBytes: 64 * MIB });
    const open = async (): Promise<Disk> => {
      image = image.copy();
      return image;
    };
    const disks = catalogue([spec], newFolder(), { exports: { open } });
    expect(await disks.look('r')).toMatchObject({ unavailable: null, capacityBytes: 64 * MIB, freeBytes: 64 * MIB, roomBytes: 64 * MIB });
    await disks.createStore('r', newStore(1));
    expect(await disks.look('r')).toMatchObject({
      freeBytes: 0,
      roomBytes: 0,
      promisedBytes: 64 * MIB,
      places: [{ content: { kind: 'store' } }],
    });
    expect(await rejection(disks.createStore('r', newStore(2)))).toMatchObject({ code: 'ALREADY_EXISTS' });
    await disks.wipeStore('r', uuid(1), POOL);
    expect(await disks.look('r')).toMatchObject({ freeBytes: 64 * MIB, places: [{ content: { kind: 'empty' } }] });
  });

  test('one that hangs is told at once, holds up no other disk, and is back when it answers', async () => {
    let answer: (disk: Disk) => void = () => {};
    const exports = { open: () => new Promise<Disk>((resolve) => (answer = resolve)) };
    const threads = new ThreadPlaces(64);
    const disks = catalogue([spec], newFolder(), { exports, threads, timeouts: { superblocks: 50, everything: 50 } });
    const other = catalogue([directoryDisk(newFolder())], newFolder(), { threads });
    expect((await disks.look('r')).unavailable).toMatchObject({
      code: 'TIMEOUT',
      sentence: expect.stringMatching(/does not answer: a look at it has waited since/),
    });
    // The trouble is the same one, and lasts since it was first seen.
    const { sentence } = (await disks.look('r')).health;
    expect((await disks.look('r')).health.sentence).toBe(sentence);
    expect((await other.createStore('d', newStore(1))).existed).toBe(false);
    answer(new MemoryDisk({ sizeBytes: 64 * MIB }));
    exports.open = async () => new MemoryDisk({ sizeBytes: 64 * MIB });
    await vi.waitFor(async () => expect((await disks.look('r')).unavailable).toBe(null), { timeout: 30_000 });
  });
});

describe('the stores that a node is told to keep', () => {
  const order = (number: number): StoreOrder => ({ ...newStore(number), disk: 'd', chunkSizeBytes: 128 * 1024, witness: false });
  const specFor = (path: string): StoreSpec => ({ path, ioTimeoutMs: 1000 });
  const names = { hostName: 's1', hostUuid: uuid(5) };
  const outcome = (begin: (done: (error: OperationError | null) => void) => void): Promise<string> =>
    new Promise((resolve) => begin((error) => resolve(error?.code ?? 'OK')));

  test('they are made on a disk, opened by where they are, and destroyed; each once, however often that is asked', async () => {
    const [path, state] = [newFolder(), newFolder()];
    const catalogued = catalogue([directoryDisk(path)], state);
    const disks = new CatalogueStoreDisks(catalogued, names, specFor);
    for (let i = 0; i < 2; i++) expect(await outcome((done) => disks.make(order(1), done))).toBe('OK');
    expect(disks.specOf(order(1))?.path).toBe(join(path, `${uuid(1)}.store`));
    renameSync(join(path, `${uuid(1)}.store`), join(path, `${uuid(8)}.store`));
    await catalogued.lookAll();
    expect(disks.specOf(order(1))?.path).toBe(join(path, `${uuid(8)}.store`));
    expect(disks.specOf({ ...order(3), disk: 'gone' })).toBe(null);
    for (let i = 0; i < 2; i++) expect(await outcome((done) => disks.destroy(order(1), done))).toBe('OK');
    expect(await outcome((done) => disks.make(order(1), done))).toBe('OK');
    truncateSync(join(path, `${uuid(1)}.store`), 100);
    truncateSync(join(path, `${uuid(1)}.store`), 4 * MIB);
    expect(await outcome((done) => disks.destroy(order(1), done))).toBe('OK');
    expect(readdirSync(path)).toEqual(['.rmr-disk.json']);
    expect(await outcome((done) => disks.make({ ...order(3), disk: 'gone' }, done))).toBe('NOT_FOUND');
  });

  test('what disks there are is answered soon, and says of each what it is for', async () => {
    const far: DiskSpec = { name: 'r', place: { kind: 'export', uri: 'nbd://10.0.0.9/a' }, overProvisioning: 1, spare: false };
    const exports = { open: () => new Promise<Disk>(() => {}) };
    const catalogued = catalogue(
      [directoryDisk(newFolder()), far, deviceDisk('/dev/rmr-no-such-device')].map((spec, i) => ({ ...spec, name: `d${i}` })),
      newFolder(),
      {
        exports,
      },
    );
    const disks = new CatalogueStoreDisks(catalogued, names, specFor);
    const look = await new Promise((resolve) => disks.look(resolve));
    expect(look).toMatchObject({
      ...names,
      disks: [
        { name: 'd0', kind: 'directory', problem: '' },
        { name: 'd1', kind: 'export', capacityBytes: null, freeBytes: null, problem: 'it does not answer' },
        { name: 'd2', kind: 'device', capacityBytes: null, problem: expect.stringMatching(/^it can't be used: /) },
      ],
    });
    expect(NODE_ANSWERS.look.safeParse(look).success).toBe(true);
  });
});

test('a directory with more files than are looked through is not used: what its stores are promised would not be known', async () => {
  const path = newFolder();
  for (let i = 0; i <= 4096; i++) writeFileSync(join(path, `file-${i}`), '');
  const disks = catalogue([directoryDisk(path)], newFolder());
  expect((await disks.look('d')).unavailable).toMatchObject({
    code: 'INVALID_ARGUMENT',
    sentence: expect.stringContaining('a directory of its own'),
  });
});

test('what is not configured, and what is no disk, is refused', async () => {
  const file = join(newFolder(), 'file');
  writeFileSync(file, '');
  const fifo = join(newFolder(), 'pipe');
  execFileSync('mkfifo', [fifo]);
  const disks = catalogue(
    [
      { ...directoryDisk(file), name: 'file' },
      { ...deviceDisk(file), name: 'device' },
      { ...deviceDisk(fifo), name: 'pipe' },
      { ...deviceDisk('/dev/rmr-no-such-device'), name: 'gone' },
    ],
    newFolder(),
  );
  const codes = (await disks.lookAll()).map(({ unavailable }) => unavailable?.code);
  expect(codes).toEqual(['INVALID_ARGUMENT', 'INVALID_ARGUMENT', 'INVALID_ARGUMENT', 'NOT_FOUND']);
  expect(await rejection(disks.look('other'))).toMatchObject({
    code: 'NOT_FOUND',
    message: expect.stringContaining('file, device, pipe, gone'),
  });
});

/** Why loop devices can't be used here, or null. */
function loopsUnavailable(): string | null {
  if (process.getuid?.() !== 0) return 'not root';
  if (!existsSync('/dev/loop-control')) return 'there is no /dev/loop-control';
  try {
    execFileSync('losetup', ['--version'], { stdio: 'ignore' });
  } catch {
    return 'losetup is missing';
  }
  return null;
}

const noLoop = loopsUnavailable();

describe.skipIf(noLoop !== null)('a block device', () => {
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };
  const run = (tool: string, ...args: string[]): string =>
    execFileSync(tool, args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'pipe'] }).trim();

  function has(tool: string): boolean {
    return env.PATH.split(':').some((folder) => existsSync(join(folder, tool)));
  }

  async function withLoop(use: (loop: string) => Promise<void>): Promise<void> {
    const backing = join(newFolder(), 'backing');
    writeFileSync(backing, '');
    truncateSync(backing, 64 * MIB);
    const loop = run('losetup', '--find', '--show', backing);
    try {
      await use(loop);
    } finally {
      run('losetup', '--detach', loop);
    }
  }

  test('it is described, takes a store whole, and is empty after that was wiped', async () => {
    await withLoop(async (loop) => {
      const disks = catalogue([deviceDisk(loop)], newFolder());
      expect(await disks.look('d')).toMatchObject({
        unavailable: null,
        use: null,
        problem: null,
        facts: {
          device: loop.slice(5),
          type: 'loop device',
          sizeBytes: 64 * MIB,
          sectorBytes: 512,
          parent: null,
          holders: [],
          partitions: [],
        },
        capacityBytes: 64 * MIB,
        roomBytes: 64 * MIB,
      });
      expect(await rejection(disks.createStore('d', newStore(1, { sizeBytes: 64 * MIB })))).toMatchObject({ code: 'STORE_TOO_SMALL' });
      expect(await disks.createStore('d', newStore(1))).toEqual({ path: loop, existed: false });
      expect(await disks.createStore('d', newStore(1))).toEqual({ path: loop, existed: true });
      const store = await openStore({ path: loop, world });
      expect(await disks.look('d')).toMatchObject({
        places: [{ content: { kind: 'store', store: { storeUuid: uuid(1) } } }],
        roomBytes: 0,
      });
      expect(await rejection(disks.wipeStore('d', uuid(1), POOL))).toMatchObject({ code: 'STORE_LOCKED' });
      await new Promise((resolve) => store.close(resolve));
      await disks.wipeStore('d', uuid(1), POOL);
      await disks.wipeStore('d', uuid(1), POOL);
      expect(await disks.look('d')).toMatchObject({ places: [{ content: { kind: 'empty' } }], problem: null });
    });
  });

  test('one that is in use and can not be opened is told as in use', async () => {
    const [folder, proc] = [newFolder(), newFolder()];
    const node = join(folder, 'node');
    // No driver has this number.
    run('mknod', node, 'b', '4000', '1');
    mkdirSync(join(proc, 'self'));
    const system = { sysfs: '/none', udev: '/none', proc };
    const idle = catalogue([deviceDisk(node)], newFolder(), { system });
    expect((await idle.look('d')).unavailable?.sentence).toContain(node);
    writeFileSync(join(proc, 'self/mountinfo'), '31 27 4000:1 / /srv rw - xfs /dev/sdb rw\n');
    const used = await catalogue([deviceDisk(node)], newFolder(), { system }).look('d');
    expect(used).toMatchObject({ unavailable: null, use: 'mounted at /srv (xfs)', roomBytes: 0, health: { level: 'down' } });
    expect(used.problem).toContain('is mounted at /srv (xfs)');
  });

  test.skipIf(!has('addpart'))('a device with partitions is refused, and a partition is described by its disk', async () => {
    await withLoop(async (loop) => {
      const name = loop.slice('/dev/'.length);
      // Start and length in sectors: no table is needed.
      run('addpart', loop, '1', '2048', String((32 * MIB) / 512));
      try {
        const disks = catalogue([deviceDisk(loop)], newFolder());
        await vi.waitFor(async () => expect((await disks.look('d')).facts?.partitions).toEqual([`${name}p1`]), { timeout: 30_000 });
        expect(await rejection(disks.createStore('d', newStore(1)))).toMatchObject({
          code: 'CONFLICT',
          message: expect.stringContaining(`is divided into partitions (${name}p1)`),
        });
        const node = join(newFolder(), 'partition');
        run('mknod', node, 'b', ...readFileSync(`/sys/block/${name}/${name}p1/dev`, 'utf8').trim().split(':'));
        const partition = catalogue([deviceDisk(node)], newFolder());
        expect(await partition.look('d')).toMatchObject({
          unavailable: null,
          problem: null,
          capacityBytes: 32 * MIB,
          facts: { device: `${name}p1`, type: 'partition', parent: name, sectorBytes: 512, sizeBytes: 32 * MIB },
        });
        await partition.createStore('d', newStore(1));
        await partition.wipeStore('d', uuid(1), POOL);
      } finally {
        run('delpart', loop, '1');
      }
    });
  });

  test('foreign data and what is mounted are refused, and left as they are', async () => {
    await withLoop(async (loop) => {
      run('mkfs.ext4', '-q', loop);
      const disks = catalogue([deviceDisk(loop)], newFolder());
      expect(await disks.look('d')).toMatchObject({
        foreign: 'an ext4 file system',
        roomBytes: 0,
        problem: expect.stringContaining('an ext4 file system'),
      });
      expect(await rejection(disks.createStore('d', newStore(1)))).toMatchObject({
        code: 'CONFLICT',
        message: expect.stringContaining('an ext4 file system'),
      });
      expect(await rejection(disks.wipeStore('d', uuid(1), POOL))).toMatchObject({ code: 'STORE_FOREIGN' });
      const mountPoint = newFolder();
      run('mount', loop, mountPoint);
      try {
        expect((await disks.look('d')).use).toBe(`mounted at ${mountPoint} (ext4)`);
        expect(await rejection(disks.createStore('d', newStore(1)))).toMatchObject({
          code: 'CONFLICT',
          message: expect.stringContaining('is mounted at'),
        });
        // Where /proc is hidden, the kernel refuses the claim.
        const blind = catalogue([deviceDisk(loop)], newFolder(), { system: { sysfs: '/none', udev: '/none', proc: '/none' } });
        expect(await rejection(blind.wipeStore('d', uuid(1), POOL))).toMatchObject({ code: 'STORE_LOCKED' });
        const inside = catalogue([directoryDisk(mountPoint)], newFolder());
        expect(await inside.look('d')).toMatchObject({ mountedAt: mountPoint, fileSystem: 'ext4', facts: { device: loop.slice(5) } });
      } finally {
        run('umount', mountPoint);
      }
      run('fsck.ext4', '-n', loop);
    });
  });

  test('a directory whose file system takes no changes holds up itself alone, and goes on when it does again', async () => {
    await withLoop(async (loop) => {
      run('mkfs.ext4', '-q', loop);
      const mountPoint = newFolder();
      run('mount', loop, mountPoint);
      try {
        const disks = catalogue([directoryDisk(mountPoint), directoryDisk(newFolder(), { name: 'e' })], newFolder());
        await disks.createStore('d', newStore(1));
        run('fsfreeze', '--freeze', mountPoint);
        const states: string[] = [];
        const creating = disks.createStore('d', newStore(2, { poolUuid: uuid(0x9002) })).then(() => states.push('made'));
        try {
          // This thread goes on, and so does another disk; the frozen one can still be looked at.
          await disks.createStore('e', newStore(3));
          expect(await disks.look('d')).toMatchObject({ unavailable: null, places: [{ content: { kind: 'store' } }] });
          expect(states).toEqual([]);
        } finally {
          run('fsfreeze', '--unfreeze', mountPoint);
        }
        await creating;
        expect((await disks.look('d')).places).toHaveLength(2);
      } finally {
        run('umount', mountPoint);
      }
    });
  });

  test('a file system that is full: the creation fails, and leaves nothing', async () => {
    await withLoop(async (loop) => {
      run('mkfs.ext4', '-q', '-m', '0', loop);
      const mountPoint = newFolder();
      run('mount', loop, mountPoint);
      try {
        const disks = catalogue([directoryDisk(mountPoint, { overProvisioning: 1000 })], newFolder());
        const store = newStore(1, { sizeBytes: 1024 * MIB, chunkSizeBytes: 8192 });
        // Space that is there when the disk is looked at is gone when the metadata asks for it.
        const filler = (step: string): void => {
          if (step !== 'make the store in it') return;
          const { bavail, bsize } = statfsSync(mountPoint);
          writeFileSync(join(mountPoint, 'filler'), new Uint8Array(bavail * bsize - 2 * MIB));
        };
        const filled = catalogue([directoryDisk(mountPoint, { overProvisioning: 1000 })], newFolder(), { beforeStep: filler });
        expect(await rejection(filled.createStore('d', newStore(1, { sizeBytes: 1024 * MIB, chunkSizeBytes: 8192 })))).toMatchObject({
          code: 'NO_SPACE',
        });
        expect(readdirSync(mountPoint).filter((name) => name.includes('.store'))).toEqual([]);
        expect(await rejection(disks.createStore('d', store))).toMatchObject({ code: 'NO_SPACE' });
      } finally {
        run('umount', mountPoint);
      }
    });
  });
});
