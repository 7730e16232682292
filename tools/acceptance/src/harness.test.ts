import { closeSync, openSync, readdirSync, readFileSync, statSync, writeSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { KIB, MIB } from '@rmr/runtime';
import { afterAll, beforeAll, expect, describe as group, test } from 'vitest';
import { describe, type Outcome, succeeded } from './support/command.ts';
import { nbdScript } from './support/nbd-script.ts';
import { isAlive } from './support/processes.ts';
import { available, PYTHON } from './support/requirements.ts';
import { clusterTool, eventually, newFolder, TestCluster, upArguments } from './support/test-cluster.ts';

/** A command that has to fail, and to say why on standard error without a stack trace. */
async function expectRefused(outcome: Promise<Outcome>, reason: RegExp): Promise<void> {
  const { code, stdout, stderr } = await outcome;
  expect(code, stdout).not.toBe(0);
  expect(stderr).toMatch(reason);
  expect(stderr).not.toMatch(/^\s+at /m);
}

group('cluster tool: a cluster of three nodes', () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await TestCluster.start({ size: '32MiB', chunkSize: '64KiB', storageNodes: 3, transport: 'tcp', paths: 2 });
  });

  afterAll(async () => {
    await cluster.dispose();
  });

  test('cluster.json has every promised field', () => {
    const { pool, storageNodes, clientNode, web } = cluster.file;
    expect(pool).toMatchObject({ size: 32 * MIB, chunkSize: 64 * KIB });
    expect(pool.name).not.toBe('');
    expect(pool.uuid).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(storageNodes.map((node) => node.name)).toEqual(['storage-1', 'storage-2', 'storage-3']);
    for (const node of storageNodes) {
      expect(isAlive(node.pid as number)).toBe(true);
      expect(node.rtrs).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
      expect(node.admin).toMatch(/^http:\/\//);
      expect(statSync(node.store as string).isFile()).toBe(true);
    }
    expect(clientNode.name).toBe('client-1');
    expect(isAlive(clientNode.pid as number)).toBe(true);
    expect(clientNode.admin).toMatch(/^http:\/\//);
    expect(clientNode.nbdUri).toMatch(/^nbd\+unix:\/\/\//);
    expect(web).toBeNull();
  });

  test('every daemon has a log, and its admin interface answers', async () => {
    const { storageNodes, clientNode } = cluster.file;
    expect(readdirSync(join(cluster.folder, 'logs')).sort()).toEqual(['client-1.log', 'storage-1.log', 'storage-2.log', 'storage-3.log']);
    for (const node of [clientNode, ...storageNodes]) {
      expect((await fetch(`${node.admin}/healthz`)).status).toBe(200);
      expect((await fetch(`${node.admin}/readyz`)).status).toBe(200);
      expect(await (await fetch(`${node.admin}/metrics`)).text()).toMatch(/^rmr_/m);
    }
  });

  test('"up" on a running cluster changes nothing', async () => {
    const before = cluster.file;
    await cluster.up();
    expect(cluster.file).toEqual(before);
  });

  test('options that contradict the cluster are refused, with both values', async () => {
    const other: Parameters<typeof upArguments>[1][] = [
      { size: '64MiB' },
      { chunkSize: '128KiB' },
      { storageNodes: 2 },
      { transport: 'unix' },
      { paths: 1 },
    ];
    for (const options of other) await expectRefused(clusterTool(...upArguments(cluster.folder, options)), /.../);
    await expectRefused(clusterTool(...upArguments(cluster.folder, { size: '64MiB' })), /33554432|32 ?MiB/);
  });

  test('"checksum" names every member, and "wait --healthy" is content', async () => {
    const digest = await cluster.expectIdenticalMembers();
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    await cluster.command('wait', '--healthy', '--timeout', '30s');
  });

  test('"kill" leaves a null pid and no healthy cluster; "start" brings the node back as who it was', async () => {
    const victim = cluster.pid('client-1');
    await cluster.command('kill', 'client-1');
    expect(isAlive(victim)).toBe(false);
    expect(cluster.file.clientNode.pid).toBeNull();
    await expectRefused(clusterTool('wait', '--healthy', '--timeout', '1s', '--dir', cluster.folder), /client-1/);
    await cluster.command('start', 'client-1');
    expect(isAlive(cluster.pid('client-1'))).toBe(true);
    await cluster.command('wait', '--healthy');
  });

  test('"pause" stops a process and "resume" lets it go on', async () => {
    const pid = cluster.pid('storage-3');
    const state = (): string | undefined => /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    await cluster.command('pause', 'storage-3');
    await eventually(() => expect(state()).toBe('T'));
    await cluster.command('resume', 'storage-3');
    await eventually(() => expect(state()).not.toBe('T'));
    await cluster.command('wait', '--healthy');
  });

  test('a node that does not exist is refused by name', async () => {
    for (const command of ['kill', 'start', 'pause', 'resume']) {
      await expectRefused(clusterTool(command, 'storage-9', '--dir', cluster.folder), /storage-9/);
    }
    await expectRefused(clusterTool('partition', 'client-1', 'nobody', '--dir', cluster.folder), /nobody/);
  });

  test.skipIf(!available('python3-libnbd'))(`"down" keeps the data, "up" finds it (${PYTHON} with libnbd)`, async () => {
    succeeded(await nbdScript(cluster.nbdUri, 'h.pwrite(b"\\x5c" * 70000, 99999); h.flush()'));
    const running = await cluster.expectIdenticalMembers();
    const pids = cluster.pids();
    await cluster.down();
    expect(pids.filter(isAlive)).toEqual([]);
    expect(cluster.pids()).toEqual([]);
    expect(await cluster.expectIdenticalMembers()).toBe(running);
    await cluster.up();
    succeeded(await nbdScript(cluster.nbdUri, 'assert h.pread(70000, 99999) == b"\\x5c" * 70000'));
    expect(await cluster.expectIdenticalMembers()).toBe(running);
  });

  test('"checksum" exits with 1 when a member differs, and the digests show which', async () => {
    await cluster.down();
    const store = cluster.file.storageNodes[1]?.store as string;
    const file = openSync(store, 'r+');
    // The last byte of the data area: the device's last byte, since data comes last in a store.
    writeSync(file, Uint8Array.of(0x99), 0, 1, statSync(store).size - 1);
    closeSync(file);
    const { code, digests } = await cluster.checksum();
    expect(code).toBe(1);
    expect(digests.get('storage-1')).toBe(digests.get('storage-3'));
    expect(digests.get('storage-2')).not.toBe(digests.get('storage-1'));
  });
});

group('cluster tool: refusals', () => {
  let server: Server;
  let port: number;

  beforeAll(async () => {
    server = createServer();
    await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', port: 0 }, () => resolve()));
    const address = server.address();
    port = address !== null && typeof address === 'object' ? address.port : 0;
  });

  afterAll(() => {
    server.close();
  });

  test('a port that is taken is named, and nothing is left running', async () => {
    const folder = newFolder('taken');
    const outcome = await clusterTool(...upArguments(folder, { size: '32MiB', nbd: { port } }));
    expect(outcome.code, describe(outcome)).not.toBe(0);
    expect(outcome.stderr).toContain(`${port}`);
    const left = await clusterTool('down', '--dir', folder);
    expect(left.stderr).not.toMatch(/^\s+at /m);
  });

  test('nonsense is refused before anything is created', async () => {
    const nonsense = [
      ['--size', 'much'],
      ['--size', '0'],
      ['--size', '1000'],
      ['--chunk-size', '100KiB'],
      ['--storage-nodes', '0'],
      ['--storage-nodes', '1', '--replicas', '2'],
      ['--transport', 'pigeon'],
      ['--paths', '0'],
      ['--no-such-flag'],
    ];
    for (const flags of nonsense) {
      const folder = newFolder('nonsense');
      await expectRefused(clusterTool('up', '--dir', folder, '--no-web', '--detach', ...flags), /.../);
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  test('commands on a folder without a cluster say so', async () => {
    const folder = newFolder('empty');
    for (const args of [['kill', 'storage-1'], ['start', 'storage-1'], ['checksum'], ['wait', '--healthy']]) {
      await expectRefused(clusterTool(...args, '--dir', folder), /no cluster/i);
    }
  });
});
