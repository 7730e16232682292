import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorageNodeConfigFile } from '@rmr/storage-node/config';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ClusterState, layout, readState, writeState } from './cluster-state.ts';
import * as commands from './commands.ts';
import { newClusterOptions, parseUpFlags, type UpFlags } from './options.ts';
import { report } from './report.ts';
import { up } from './up.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rmr-up-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function attempt(flags: UpFlags = {}): Promise<unknown> {
  return up({ directory, asked: parseUpFlags(flags), web: false, progress: () => {}, signal: new AbortController().signal });
}

function stoppedCluster(state: Partial<ClusterState> = {}): void {
  writeState(directory, {
    format: 2,
    options: newClusterOptions({}),
    poolUuid: '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab',
    storesCreated: true,
    poolOrdered: true,
    poolCreated: true,
    socketDirectory: join(directory, 'sockets'),
    storageNodes: [1, 2].map((id) => ({
      name: `storage-${id}`,
      memberId: id,
      witness: false,
      rtrs: [`unix:${directory}/sockets/${id}`],
      adminPort: 1000 + id,
    })),
    clientNodes: [{ name: 'client-1', adminPort: 1003 }],
    webPort: null,
    processes: {},
    partitions: [],
    bootIds: {},
    ...state,
  });
}

test('up: a directory with other things in it is left alone', async () => {
  writeFileSync(join(directory, 'thesis.txt'), '');
  await expect(attempt()).rejects.toMatchObject({ code: 'CONFLICT', message: expect.stringContaining('thesis.txt') });
});

test('up: options that contradict the cluster are refused before anything starts', async () => {
  stoppedCluster();
  await expect(attempt({ size: '2GiB' })).rejects.toMatchObject({ code: 'CONFLICT' });
});

test('up: an NBD port that is taken is named', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await expect(attempt({ nbdPort: String(port) })).rejects.toMatchObject({
    code: 'ADDRESS_IN_USE',
    message: expect.stringContaining(`port ${port}`),
  });
  stoppedCluster({ options: newClusterOptions({ nbd: { kind: 'port', port } }) });
  await expect(attempt()).rejects.toMatchObject({ code: 'ADDRESS_IN_USE', message: expect.stringContaining(`port ${port}`) });
  await new Promise((resolve) => server.close(resolve));
});

test('up: a damaged state is refused, not replaced', async () => {
  mkdirSync(directory, { recursive: true });
  writeFileSync(layout.state(directory), 'not JSON');
  await expect(attempt()).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
});

test('commands name the nodes that there are', async () => {
  stoppedCluster();
  await expect(commands.kill(directory, ['storage-9'])).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: 'there is no node "storage-9" in this cluster; there are storage-1, storage-2, client-1',
  });
});

test('a node that does not run can’t be killed, paused or resumed', async () => {
  stoppedCluster();
  const kill = (folder: string, name: string): Promise<void> => commands.kill(folder, [name]);
  for (const command of [kill, commands.pauseNode, commands.resumeNode]) {
    await expect(command(directory, 'storage-1')).rejects.toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining('is not running'),
    });
  }
});

test('partitions are between two different daemons', async () => {
  stoppedCluster({ webPort: 1004 });
  await expect(commands.setPartition(directory, 'client-1', 'client-1', true)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await expect(commands.setPartition(directory, 'client-1', 'web', true)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await expect(commands.setPartition(directory, 'client-1', 'storage-3', true)).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('a partition of nodes that do not run is kept for when they start, and healed', async () => {
  stoppedCluster();
  await commands.setPartition(directory, 'storage-1', 'client-1', true);
  expect((await report(directory)).partitions).toEqual([['storage-1', 'client-1']]);
  await commands.setPartition(directory, 'client-1', 'storage-1', false);
  expect((await report(directory)).partitions).toEqual([]);
});

test('nodes that lose power are on another boot from then on, each on its own', async () => {
  stoppedCluster();
  await commands.losePower(directory, ['storage-1', 'client-1']);
  const first = readState(directory).bootIds;
  expect(Object.keys(first).sort()).toEqual(['client-1', 'storage-1']);
  expect(first['client-1']).not.toBe(first['storage-1']);
  await commands.losePower(directory, ['storage-1']);
  expect(readState(directory).bootIds['storage-1']).not.toBe(first['storage-1']);
  // Their daemons are told through their configuration.
  await commands.setPartition(directory, 'storage-1', 'storage-2', true);
  const configuration = (name: string) => JSON.parse(readFileSync(layout.config(directory, name), 'utf8')) as Record<string, unknown>;
  expect(configuration('storage-1')['bootIdOverride']).toBe(readState(directory).bootIds['storage-1']);
  expect(configuration('storage-2')).not.toHaveProperty('bootIdOverride');
});

test('a partition between two storage nodes leads each away from the other', async () => {
  stoppedCluster();
  await commands.setPartition(directory, 'storage-1', 'storage-2', true);
  const routes = (name: string) =>
    Object.keys((JSON.parse(readFileSync(layout.config(directory, name), 'utf8')) as StorageNodeConfigFile).transport?.routes ?? {});
  expect(routes('storage-1')).toEqual([`unix:${directory}/sockets/2`]);
  expect(routes('storage-2')).toEqual([`unix:${directory}/sockets/1`]);
  expect(routes('client-1')).toEqual([]);
});

test('a cluster that does not run is down, and says which node does not run', async () => {
  stoppedCluster();
  expect(await report(directory)).toMatchObject({ health: { level: 'down', sentence: 'client-1 is not running' }, exitCode: 21 });
  await expect(commands.waitUntilHealthy(directory, 0)).rejects.toMatchObject({
    code: 'TIMEOUT',
    message: expect.stringContaining('client-1 is not running'),
  });
});

test('commands without a cluster say how to make one', async () => {
  for (const command of [report(directory), commands.checksum(directory, () => {}), commands.down(directory, () => {})]) {
    await expect(command).rejects.toMatchObject({ code: 'NOT_FOUND', message: expect.stringContaining('cluster up --dir') });
  }
});
