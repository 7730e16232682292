import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAdminClient, type NodeStoreStatus } from '@rmr/admin-api';
import { afterEach, expect } from 'vitest';
import { describe, type Running, run, runProgram, startProgram, succeeded } from './support/command.ts';
import { FAILING_DISK_NEEDS, FailingDisk } from './support/failing-disk.ts';
import { nbdScript } from './support/nbd-script.ts';
import { CLIENT_NODE, STORAGE_NODE } from './support/paths.ts';
import { freePort } from './support/raw-connection.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, newFolder } from './support/test-cluster.ts';

const TEST_MS = 240_000;
/** How long a disk may take to answer: far above a pause of this machine. */
const IO_TIMEOUT = '10s';
/** In which a store is taken away, closed and opened again, with pauses between attempts. */
const RETURN_MS = 100_000;
const POOLS = ['first', 'second', 'third'] as const;
type Pool = (typeof POOLS)[number];

/** More than the threads of libuv's pool by default, to a device that does not answer. */
const FLOOD =
  'for i in range(48): h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(65536)), i * 65536)\nwhile h.aio_in_flight() > 0: h.poll(-1)';

/** What has to be undone after a test, the last first. */
const undo: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

function start(folder: string, program: string, name: string, config: object): Running {
  const path = join(folder, `${name}.json`);
  writeFileSync(path, JSON.stringify(config));
  const running = startProgram(process.execPath, [program, 'run', '--config', path], { server: true });
  undo.push(() => {
    running.signal('SIGKILL');
    return running.ended;
  });
  return running;
}

testNeeding(...FAILING_DISK_NEEDS, 'python3-libnbd')(
  'two of three disks hang: their stores are taken away and remembered, the third one, the admin interface and the stop go on',
  async () => {
    const folder = newFolder('frozen');
    const pools = POOLS.map((name) => ({ name, uuid: randomUUID() }));
    const path = (name: Pool): string => join(folder, `${name}.img`);
    const disks: FailingDisk[] = [];
    for (const { name, uuid } of pools) {
      const store = ['--path', path(name), '--size', '16MiB', '--member-id', '1'];
      await run(process.execPath, STORAGE_NODE, 'store', 'create', ...store, '--pool-name', name, '--pool-uuid', uuid);
      if (name === 'third') continue;
      const disk = await FailingDisk.under(path(name), 100);
      undo.push(() => disk.dispose());
      disks.push(disk);
    }
    const rtrs = `unix:${join(folder, 'rtrs.sock')}`;
    const admin = `http://127.0.0.1:${await freePort()}`;
    const storage = start(folder, STORAGE_NODE, 'storage', {
      name: 'storage-x',
      stateDir: join(folder, 'storage'),
      rtrs: { listen: [rtrs] },
      admin: { listen: admin },
      stores: pools.map(({ name, uuid }) => ({ path: path(name), poolUuid: uuid, ioTimeout: IO_TIMEOUT })),
    });
    const socket = join(folder, 'nbd.sock');
    start(folder, CLIENT_NODE, 'client', {
      name: 'client-x',
      stateDir: join(folder, 'client'),
      admin: { listen: `http://127.0.0.1:${await freePort()}` },
      nbd: { listen: [`unix:${socket}`] },
      pools: pools.map((pool) => ({ ...pool, members: [{ memberId: 1, name: 'storage-x', addresses: [rtrs] }] })),
    });
    for (const { name } of pools) {
      await eventually(async () => {
        const config = join(folder, 'client.json');
        const outcome = await runProgram(process.execPath, [CLIENT_NODE, 'create', '--pool', name, '--config', config]);
        expect(outcome.code, `${describe(outcome)}\n${storage.stderr()}`).toBe(0);
      });
    }
    const uri = (name: Pool): string => `nbd+unix:///${name}?socket=${socket}`;
    const stores = async (): Promise<readonly NodeStoreStatus[]> => {
      const status = await createAdminClient({ url: admin }).status.query();
      if (status.role !== 'storage-node') throw new Error(`storage-x says that it is a ${status.role}`);
      return status.stores;
    };
    const states = async (): Promise<readonly string[]> => (await stores()).map(({ state }) => state);
    /** In an order of its own: of two disks that hang at once either may be found first. */
    const doubtful = (): readonly string[] =>
      (JSON.parse(readFileSync(join(folder, 'storage', 'doubtful-stores.json'), 'utf8')) as string[]).sort();
    /** A change that is in the third disk, and a read: all kinds of calls that may wait for it. */
    const thirdGoesOn = async (): Promise<void> => {
      const script =
        'h.pwrite(b"\\x33" * 65536, 0); h.flush(); h.zero(4096, 4096); h.trim(65536, 1 << 20); assert h.pread(4096, 0) == b"\\x33" * 4096';
      succeeded(await nbdScript(uri('third'), script));
    };
    await thirdGoesOn();

    // Before the processes are ended: the kernel lets none end that waits for a disk that hangs.
    undo.push(() => {
      for (const disk of disks) disk.thaw();
    });
    for (const disk of disks) disk.freeze();
    const floods = [nbdScript(uri('first'), FLOOD), nbdScript(uri('second'), FLOOD)];
    await eventually(async () => {
      await thirdGoesOn();
      expect(await states()).toEqual(['DETACHED', 'DETACHED', 'MAPPED']);
    }, RETURN_MS);
    for (const { reason } of (await stores()).slice(0, 2)) expect(reason).toContain('has not answered within 10000 ms');
    await eventually(() => expect(doubtful()).toEqual([path('first'), path('second')]));
    await thirdGoesOn();

    for (const disk of disks) disk.thaw();
    await eventually(async () => expect(await states()).toEqual(['MAPPED', 'MAPPED', 'MAPPED']), RETURN_MS);
    for (const flood of floods) succeeded(await flood);
    await eventually(() => expect(doubtful()).toEqual([]));

    disks[0]?.freeze();
    // It ends when the client node does, after the test.
    const unanswered = nbdScript(uri('first'), FLOOD);
    undo.unshift(() => unanswered);
    await eventually(async () => {
      const status = await createAdminClient({ url: admin }).status.query();
      expect(status.pools[0]).toMatchObject({ name: 'first', io: { inFlight: 48 } });
    });
    storage.signal('SIGTERM');
    // All is done; but the kernel lets no process end that waits for a FUSE file.
    await eventually(() => expect(storage.stderr()).toContain('"event":"stopped"'));
    expect(doubtful()).toEqual([path('first')]);
    disks[0]?.thaw();
    expect((await storage.ended).code, storage.stderr()).toBe(0);
  },
  TEST_MS,
);

testNeeding('mkfifo')('a second signal ends a storage node that waits for a file of its own', async () => {
  const folder = newFolder('own-files');
  const store = join(folder, 'a.img');
  const uuid = randomUUID();
  const size = ['--size', '16MiB', '--member-id', '1'];
  await run(process.execPath, STORAGE_NODE, 'store', 'create', '--path', store, ...size, '--pool-name', 'a', '--pool-uuid', uuid);
  const stateDir = join(folder, 'state');
  mkdirSync(stateDir);
  // A process that opens it to write waits for a reader, as for a disk.
  await run('mkfifo', join(stateDir, 'doubtful-stores.json.new'));
  const admin = `http://127.0.0.1:${await freePort()}`;
  const config = { name: 'storage-x', stateDir, rtrs: { listen: [`unix:${join(folder, 'rtrs.sock')}`] }, admin: { listen: admin } };
  const storage = start(folder, STORAGE_NODE, 'storage', { ...config, stores: [{ path: store, poolUuid: uuid }] });
  await eventually(async () => expect((await fetch(`${admin}/readyz`)).status).toBe(200));
  rmSync(store);
  await eventually(() => expect(storage.stderr()).toContain('a store is detached'));
  storage.signal('SIGTERM');
  await eventually(() => expect(storage.stderr()).toContain('stopping: requests that execute finish first'));
  storage.signal('SIGTERM');
  expect((await storage.ended).code, storage.stderr()).toBe(0);
});
