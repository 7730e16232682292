import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PoolServer, PoolStore } from '@rmr/rmr';
import { type Disk, type DiskSink, OperationError, SILENT_LOGGER, SlabPool, Status } from '@rmr/runtime';
import { createSystemWorld, SocketTransport } from '@rmr/runtime/node';
import { diskCompliance } from '@rmr/testing/compliance';
import { afterEach, describe, expect, test } from 'vitest';
import type { KeptStore, OpenedStore } from '../core/server/kept-store.ts';
import { type NbdDisk, openNbdDisk } from '../core/server/nbd-disk.ts';
import { StoreKeeper } from '../core/server/store-keeper.ts';
import type { FileStoreSpec } from './file-store-opener.ts';
import { hasServer, OtherServer } from './nbd-servers.ts';
import { NbdStoreOpener } from './nbd-store-opener.ts';
import { createStore, dataDigest, dataDigests, inspect, kernelBootId, type PieceDigest } from './store-files.ts';

const MIB = 1024 * 1024;
const WAIT = { timeout: 60_000, interval: 10 };
const world = createSystemWorld(SILENT_LOGGER);
const parts = { world, transport: new SocketTransport(), slabs: new SlabPool() };

/** What has to be undone after a test, the last first. */
const undo: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

function tryOpen(uri: string, readOnly = false): Promise<NbdDisk | OperationError> {
  return new Promise((resolve) => openNbdDisk(parts, { uri, readOnly }, resolve));
}

async function opened(uri: string, readOnly = false): Promise<NbdDisk> {
  const disk = await tryOpen(uri, readOnly);
  if (disk instanceof OperationError) throw disk;
  return disk;
}

function close(disk: Disk | PoolStore): Promise<number> {
  return new Promise((resolve) => disk.close(resolve));
}

function run(disk: Disk, ask: (sink: DiskSink) => void): Promise<number> {
  return new Promise((resolve) => {
    ask({ onDiskDone: (_tag, status) => resolve(status) });
    disk.submit();
  });
}

async function refusal(uri: string, readOnly = false): Promise<string> {
  const result = await tryOpen(uri, readOnly);
  return result instanceof OperationError ? `${result.code} ${result.message}` : 'opened';
}

function compliance(name: string, installed: boolean, start: () => Promise<OtherServer>): void {
  if (!installed) {
    test.skipIf(true)(`disk compliance: ${name} (it is not installed)`, () => {});
    return;
  }
  diskCompliance(name, async () => {
    const server = await start();
    return { disk: await opened(server.uri), reopen: () => opened(server.uri), remove: () => server.dispose() };
  });
}

const nbdkit = hasServer('nbdkit');
const qemu = hasServer('qemu-nbd');
compliance('nbdkit, memory', nbdkit, () => OtherServer.nbdkit(() => ['memory', '8M']));
compliance('nbdkit, a file', nbdkit, () => OtherServer.nbdkit(({ file }) => ['file', file]));
compliance('nbdkit with simple replies', nbdkit, () => OtherServer.nbdkit(() => ['--no-sr', 'memory', '8M']));
compliance('nbdkit without zeroes', nbdkit, () => OtherServer.nbdkit(() => ['--filter=nozero', 'memory', '8M']));
compliance('nbdkit that answers late, and out of order', nbdkit, () =>
  OtherServer.nbdkit(() => ['--filter=delay', 'memory', '8M', 'rdelay=3ms', 'wdelay=5ms']),
);
compliance('nbdkit with blocks of at most 64 KiB', nbdkit, () =>
  OtherServer.nbdkit(() => [
    ...['--filter=blocksize-policy', 'memory', '8M'],
    ...['blocksize-minimum=1', 'blocksize-preferred=4K', 'blocksize-maximum=64K', 'blocksize-error-policy=error'],
  ]),
);
compliance('qemu-nbd', qemu, () => OtherServer.qemu(({ file }) => [file]));

describe.skipIf(!nbdkit)('exports that no store can be on are refused, with what to do', () => {
  test.each<[string, readonly string[], string]>([
    [
      'a smallest block',
      ['--filter=blocksize-policy', 'memory', '8M', 'blocksize-minimum=4K', 'blocksize-preferred=4K', 'blocksize-maximum=1M'],
      "INVALID_ARGUMENT URI can't be opened: the server takes only multiples of 4096 bytes",
    ],
    ['no writes', ['--readonly', 'memory', '8M'], "PERMISSION_DENIED URI can't be opened: the server offers it for reading only"],
    [
      'no flush',
      ['eval', 'get_size=echo 1M', 'pread=cat /dev/zero', 'pwrite=cat >/dev/null'],
      "UNSUPPORTED URI can't be opened: the server offers no flush",
    ],
  ])('%s', async (_name, args, why) => {
    const server = await OtherServer.nbdkit(() => args);
    undo.push(() => server.dispose());
    expect((await refusal(server.uri)).replace(server.uri, 'URI')).toContain(why);
  });

  test('nothing there, another export, no URI; and for looking only, an export for reading is enough', async () => {
    const server = await OtherServer.nbdkit(() => ['--readonly', 'memory', '8M']);
    undo.push(() => server.dispose());
    await close(await opened(server.uri, true));
    expect(await refusal(`nbd+unix:///?socket=${server.folder}/none`)).toMatch(/^UNAVAILABLE .*no connection to unix:.* \(ENOENT\)/);
    expect(await refusal('nbds://host/a')).toMatch(/^INVALID_ARGUMENT .*asks for TLS/);
  });

  test.skipIf(!qemu)('an export that the server has not got', async () => {
    const server = await OtherServer.qemu(({ file }) => [file]);
    undo.push(() => server.dispose());
    expect(await refusal(server.uri.replace('vol', 'other'))).toMatch(/^NOT_FOUND .*has not got the export "other"/);
  });
});

describe.skipIf(!nbdkit)('a server with trouble', () => {
  test('errors are EIO, ENOSPC as well: nobody knows what the server has done', async () => {
    const server = await OtherServer.nbdkit(({ folder }) => [
      ...['--filter=error', 'memory', '8M', 'error=ENOSPC', 'error-rate=100%', `error-file=${join(folder, 'fail')}`],
    ]);
    undo.push(() => server.dispose());
    const disk = await opened(server.uri);
    const bytes = new Uint8Array(4096);
    expect(await run(disk, (sink) => disk.write(0, bytes, 0, sink))).toBe(Status.OK);
    writeFileSync(join(server.folder, 'fail'), '');
    expect(await run(disk, (sink) => disk.write(0, bytes, 0, sink))).toBe(Status.EIO);
    expect(await run(disk, (sink) => disk.zero(0, 4096, 0, sink))).toBe(Status.EIO);
    expect(await run(disk, (sink) => disk.read(0, bytes, 0, sink))).toBe(Status.EIO);
    expect(disk.lostReason).toBeNull();
    await close(disk);
  });

  test('a server that is killed takes the disk along: what is in flight ends, and what comes later', async () => {
    const server = await OtherServer.nbdkit(() => ['--filter=delay', 'memory', '8M', 'wdelay=100']);
    undo.push(() => server.dispose());
    const disk = await opened(server.uri);
    let lost: boolean | null = null;
    disk.onLost = (changes) => {
      lost = changes;
    };
    const statuses: number[] = [];
    const sink = { onDiskDone: (_tag: number, status: number) => void statuses.push(status) };
    for (let i = 0; i < 200; i++) disk.write(i * 4096, new Uint8Array(4096), i, sink);
    disk.submit();
    await expect.poll(() => disk.waitingMs(performance.now()), WAIT).toBeGreaterThan(0);
    expect(statuses).toEqual([]);
    await server.kill();
    await expect.poll(() => statuses.length, WAIT).toBe(200);
    expect(new Set(statuses)).toEqual(new Set([Status.EIO]));
    expect(lost).toBe(true);
    expect(disk.lostReason).toContain(`${server.uri} is gone: the connection`);
    expect(await run(disk, (each) => disk.flush(0, each))).toBe(Status.EIO);
    expect(await close(disk)).toBe(Status.EIO);
  });
});

describe.skipIf(!nbdkit)('stores on exports', () => {
  const SIZE = 8 * MIB;
  const uuid = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;

  async function withStore(): Promise<OtherServer> {
    const server = await OtherServer.nbdkit(({ file }) => ['file', file], 32 * MIB);
    undo.push(() => server.dispose());
    const uuids = { storeUuid: uuid(1), poolUuid: uuid(2), lineageUuid: uuid(3) };
    await createStore({ path: server.uri, ...uuids, poolName: 'pool', memberId: 1, sizeBytes: SIZE, queueDepth: 16 });
    return server;
  }

  const newOpener = (): NbdStoreOpener => new NbdStoreOpener(world, parts.transport, parts.slabs, kernelBootId());
  const specOf = (server: OtherServer, ioTimeoutMs = 20_000): FileStoreSpec => ({ path: server.uri, ioTimeoutMs, volatileCache: false });
  const open = (opener: NbdStoreOpener, spec: FileStoreSpec, doubtful = false): Promise<OpenedStore | OperationError> =>
    new Promise((resolve) => opener.open(spec, doubtful, resolve));
  async function openedStore(opener: NbdStoreOpener, spec: FileStoreSpec, doubtful = false): Promise<OpenedStore> {
    const result = await open(opener, spec, doubtful);
    if (result instanceof OperationError) throw result;
    return result;
  }
  const write = (store: PoolStore, offset: number): Promise<number> =>
    new Promise((resolve) => {
      store.write(offset, new Uint8Array(4096).fill(7), 0, { onDiskDone: (_tag, status) => resolve(status) });
      store.submit();
    });

  test('created, inspected, opened, closed and opened again; a second creation is refused', async () => {
    const server = await withStore();
    expect(await inspect(server.uri)).toMatchObject({ poolName: 'pool', memberId: 1, cleanShutdown: true, createdZeroed: true });
    expect(await dataDigest(server.uri)).toMatch(/^[0-9a-f]{64}$/);
    const pieces: PieceDigest[] = [];
    for await (const piece of dataDigests(server.uri, SIZE - 4096)) pieces.push(piece);
    const zeroes = (lengthBytes: number): string => createHash('sha256').update(new Uint8Array(lengthBytes)).digest('hex');
    expect(pieces).toEqual([
      { offsetBytes: 0, lengthBytes: SIZE - 4096, sha256: zeroes(SIZE - 4096) },
      { offsetBytes: SIZE - 4096, lengthBytes: 4096, sha256: zeroes(4096) },
    ]);
    const again = createStore({
      ...{ path: server.uri, storeUuid: uuid(4), poolUuid: uuid(2), lineageUuid: uuid(3) },
      ...{ poolName: 'pool', memberId: 1, sizeBytes: SIZE, queueDepth: 16 },
    });
    await expect(again).rejects.toThrow(/already holds the store/);
    const opener = newOpener();
    for (let i = 0; i < 2; i++) {
      const { store, waitingMs, pace, checkPresence } = await openedStore(opener, specOf(server));
      expect([store.volatileLost, waitingMs(performance.now()), pace().oldestMs]).toEqual([false, 0, 0]);
      expect(await new Promise((resolve) => checkPresence(resolve))).toBeNull();
      expect(await close(store)).toBe(Status.OK);
    }
  });

  test('an export that is too small is refused before anything is written', async () => {
    const server = await OtherServer.nbdkit(() => ['memory', '8M']);
    undo.push(() => server.dispose());
    const uuids = { storeUuid: uuid(1), poolUuid: uuid(2), lineageUuid: uuid(3) };
    const creation = createStore({ path: server.uri, ...uuids, poolName: 'pool', memberId: 1, sizeBytes: SIZE, queueDepth: 16 });
    await expect(creation).rejects.toMatchObject({ code: 'STORE_TOO_SMALL' });
  });

  test('L6: after a lost connection the store counts what it had not flushed as lost, whatever the boot id says', async () => {
    const server = await withStore();
    const opener = newOpener();
    const first = await openedStore(opener, specOf(server));
    await server.kill();
    await expect.poll(() => first.gone?.(), WAIT).toContain('is gone');
    expect(await new Promise((resolve) => first.checkPresence(resolve))).toContain('is gone');
    expect(await close(first.store)).not.toBe(Status.OK);
    expect(await open(opener, specOf(server))).toMatchObject({ code: 'UNAVAILABLE' });
    await server.start();
    const { store } = await openedStore(opener, specOf(server));
    expect(store.volatileLost).toBe(true);
    expect(await close(store)).toBe(Status.OK);
  });

  test('a store whose export goes is detached because of that, whatever failed first, and is doubtful until it is back', async () => {
    const server = await withStore();
    const register = (store: PoolStore): PoolServer =>
      ({ store, executing: 0, describe: () => ({ state: 'REGISTERED' }), storeFailed: () => {} }) as unknown as PoolServer;
    const registry = { register, unregister: (_pool: PoolServer, done: () => void) => done() };
    const doubtful = new Set<string>();
    const keeper = new StoreKeeper([specOf(server, 1000)], { world, opener: newOpener(), registry, doubtful });
    undo.push(() => new Promise<void>((resolve) => keeper.stop(resolve)));
    await new Promise((resolve) => keeper.start(resolve));
    const kept = keeper.stores[0] as KeptStore<FileStoreSpec>;
    expect(kept.state, kept.reason).toBe('ATTACHED');
    const reasons: string[] = [];
    const watch = { tick: () => void reasons.push(kept.state === 'ATTACHED' ? '' : kept.reason) };
    world.ticker.subscribe(watch);
    undo.push(async () => world.ticker.unsubscribe(watch));
    await server.kill();
    // The journal breaks as well.
    kept.pool?.store.commit({ dirtyAdd: [{ memberIds: [2], ranges: [{ offsetBytes: 0, lengthBytes: 1 }] }] }, () => {});
    await expect.poll(() => reasons.some((reason) => reason.includes('is gone: the connection')), WAIT).toBe(true);
    expect(reasons.join()).not.toContain('the journal of');
    await expect.poll(() => doubtful.has(server.uri), WAIT).toBe(true);
    await server.start();
    await expect.poll(() => kept.state, WAIT).toBe('ATTACHED');
    expect([kept.pool?.store.volatileLost, doubtful.size]).toEqual([true, 0]);
  });

  test('I10: with changes in flight when the connection was lost, the export is not used before the server has had its time', async () => {
    // Slow enough for writes to be in flight when it is killed, and fast enough for what a store writes when it is opened.
    const server = await OtherServer.nbdkit(({ file }) => ['--filter=delay', 'file', file, 'wdelay=50ms'], 32 * MIB);
    undo.push(() => server.dispose());
    const uuids = { storeUuid: uuid(1), poolUuid: uuid(2), lineageUuid: uuid(3) };
    await createStore({ path: server.uri, ...uuids, poolName: 'pool', memberId: 1, sizeBytes: SIZE, queueDepth: 16 });
    const opener = newOpener();
    const spec = specOf(server, 1000);
    const first = await openedStore(opener, spec);
    const writes = Array.from({ length: 500 }, (_, i) => write(first.store, i * 4096));
    await server.kill();
    expect(await Promise.all(writes)).toContain(Status.EIO);
    await close(first.store);
    await server.start();
    expect(await open(opener, spec)).toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('may still carry them out') });
    await expect.poll(async () => ((await open(opener, spec)) instanceof OperationError ? 'refused' : 'open'), WAIT).toBe('open');
  });

  test('I10: a new process waits as well if the store was not shut down cleanly; one that was, it uses at once', async () => {
    const server = await withStore();
    const lost = await openedStore(newOpener(), specOf(server));
    // As when the process is killed: nothing of the store is written any more.
    await server.kill();
    await close(lost.store);
    await server.start();
    const next = newOpener();
    expect(await open(next, specOf(server))).toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('another 20 s') });
    expect(await open(next, specOf(server))).toMatchObject({ code: 'UNAVAILABLE' });
    const short = newOpener();
    await open(short, specOf(server, 1));
    await expect
      .poll(async () => {
        const result = await open(short, specOf(server, 1));
        return result instanceof OperationError ? result.code : [result.store.volatileLost, await close(result.store)];
      }, WAIT)
      .toEqual([true, Status.OK]);
    const clean = await openedStore(newOpener(), specOf(server));
    expect(await close(clean.store)).toBe(Status.OK);
  });
});
