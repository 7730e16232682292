// A member whose store is on an export of an NBD server (nbdkit), which is killed and started again under load.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAdminClient, type NodeStoreStatus } from '@rmr/admin-api';
import { afterEach, expect } from 'vitest';
import { type Running, runProgram, startProgram, succeeded } from '../support/command.ts';
import { STORAGE_NODE } from '../support/paths.ts';
import { testNeeding } from '../support/requirements.ts';
import { eventually, WAIT_MS_MAX } from '../support/test-cluster.ts';
import { VerifiedDevice } from '../support/verified-device.ts';

const TEST_MS = 300_000;
/** With writes in flight, the export is not used for `ioTimeout` after it was lost; then come the pauses between attempts. */
const RETURN_MS = 120_000;

/** What has to be undone after a test, the last first. */
const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

/** nbdkit with the file of a store. */
class Export {
  readonly uri: string;
  readonly #socket: string;
  readonly #file: string;
  #server: Running | null = null;

  constructor(folder: string, file: string) {
    this.#socket = join(folder, 'export.sock');
    this.#file = file;
    this.uri = `nbd+unix:///?socket=${this.#socket}`;
  }

  async start(): Promise<void> {
    const server = startProgram('nbdkit', ['--foreground', '--unix', this.#socket, '--filter=delay', 'file', this.#file, 'wdelay=5ms'], {
      server: true,
    });
    this.#server = server;
    await eventually(() => {
      if (!existsSync(this.#socket)) throw new Error(`nbdkit does not listen: ${server.stderr()}`);
    });
  }

  async kill(): Promise<void> {
    this.#server?.signal('SIGKILL');
    await this.#server?.ended;
    this.#server = null;
    rmSync(this.#socket, { force: true });
  }
}

testNeeding('nbdkit')(
  'its member leaves without an error for users, and comes back, resyncs and is equal once the server is there again',
  async () => {
    const device = await VerifiedDevice.start({ seed: 173 });
    undo.push(() => device.dispose());
    const { cluster } = device;
    await device.progress(50);
    await device.killNow('storage-2');
    const node = cluster.file.storageNodes[1];
    const exported = new Export(cluster.folder, node?.store as string);
    undo.push(() => exported.kill());
    await exported.start();
    // The same storage node, with its store where the export is.
    const configFile = join(cluster.folder, 'storage-2', 'config.json');
    const config = JSON.parse(readFileSync(configFile, 'utf8')) as { stores: { path: string; ioTimeout?: string }[] };
    config.stores = config.stores.map((store) => ({ ...store, path: exported.uri, ioTimeout: '3s' }));
    const ownConfig = join(cluster.folder, 'storage-2', 'config-export.json');
    writeFileSync(ownConfig, JSON.stringify(config));
    const daemon = startProgram(process.execPath, [STORAGE_NODE, 'run', '--config', ownConfig], { server: true });
    undo.push(async () => {
      daemon.signal('SIGTERM');
      await daemon.ended;
    });
    const store = async (): Promise<NodeStoreStatus> => {
      const status = await createAdminClient({ url: node?.admin ?? '' }).status.query();
      if (status.role !== 'storage-node') throw new Error('a storage node says that it is none');
      return status.stores[0] as NodeStoreStatus;
    };
    const expectBack = (): Promise<void> =>
      eventually(async () => {
        device.writer.check();
        expect((await cluster.leg('storage-2')).state, (await store()).reason).toBe('NORMAL');
      }, RETURN_MS);
    await expectBack();
    expect((await store()).path).toBe(exported.uri);
    for (let round = 0; round < 2; round++) {
      await device.progress(300);
      await exported.kill();
      await device.progress(300);
      await eventually(async () => expect((await store()).state).toBe('DETACHED'));
      await eventually(async () => expect((await cluster.leg('storage-2')).state).not.toBe('NORMAL'));
      expect((await store()).reason).toMatch(/is gone: the connection|no connection to unix:|is not used for another/);
      expect(daemon.stderr()).toContain('is gone: the connection with the server has ended');
      expect((await cluster.poolStatus()).io.errors).toBe(0);
      await exported.start();
      await device.progress(100);
      await expectBack();
    }
    // At rest, what is on the export is what is in the other member's file.
    await device.writer.rest(WAIT_MS_MAX);
    await device.writer.flush(WAIT_MS_MAX);
    await eventually(async () => expect(await cluster.missedBytes('storage-2')).toBe(0));
    const digest = async (path: string): Promise<string | undefined> =>
      succeeded(await runProgram(process.execPath, [STORAGE_NODE, 'store', 'checksum', '--path', path])).stdout.split(' ')[0];
    await eventually(async () => expect(await digest(exported.uri)).toBe(await digest(cluster.file.storageNodes[0]?.store as string)));
    // And the store is a store anywhere: its file without a server between.
    daemon.signal('SIGTERM');
    await daemon.ended;
    await exported.kill();
    await device.start('storage-2');
    await device.progress(50);
    await device.expectConverged();
    expect((await cluster.poolStatus()).io.errors).toBe(0);
  },
  TEST_MS,
);
