import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { clusterFilePath, readClusterFile } from './cluster-file.ts';
import { type ClusterState, layout, nodeNames, readState, writeState } from './cluster-state.ts';
import { newClusterOptions } from './options.ts';
import { identifyProcess, type ProcessIdentity } from './process-identity.ts';

const self = identifyProcess(process.pid) as ProcessIdentity;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rmr-state-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function exampleState(): ClusterState {
  return {
    format: 2,
    options: newClusterOptions({ storageNodes: 3, clientNodes: 2 }),
    poolUuid: '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab',
    storesCreated: true,
    poolOrdered: true,
    poolCreated: true,
    socketDirectory: join(directory, 'sockets'),
    storageNodes: [
      { name: 'storage-1', memberId: 1, witness: false, rtrs: ['tcp://127.0.0.1:1001', 'tcp://127.0.0.1:1002'], adminPort: 1003 },
      { name: 'storage-2', memberId: 2, witness: false, rtrs: ['tcp://127.0.0.1:1004', 'tcp://127.0.0.1:1005'], adminPort: 1006 },
      { name: 'storage-3', memberId: null, witness: false, rtrs: ['tcp://127.0.0.1:1007', 'tcp://127.0.0.1:1008'], adminPort: 1009 },
    ],
    clientNodes: [
      { name: 'client-1', adminPort: 1010 },
      { name: 'client-2', adminPort: 1012 },
    ],
    webPort: 1011,
    processes: { 'storage-1': self, 'client-1': self, 'storage-2': { ...self, startTicks: 1 } },
    partitions: [],
    bootIds: {},
  };
}

describe('cluster.json', () => {
  test('has exactly the fields that other programs rely on, and null for what does not run', () => {
    writeState(directory, exampleState());
    expect(JSON.parse(readFileSync(clusterFilePath(directory), 'utf8'))).toEqual({
      pool: { name: 'pool-1', uuid: '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab', chunkSize: 131_072, size: 1_073_741_824 },
      storageNodes: [
        {
          name: 'storage-1',
          pid: process.pid,
          rtrs: 'tcp://127.0.0.1:1001',
          admin: 'http://127.0.0.1:1003',
          store: join(directory, 'storage-1/store.img'),
        },
        {
          name: 'storage-2',
          pid: null,
          rtrs: 'tcp://127.0.0.1:1004',
          admin: 'http://127.0.0.1:1006',
          store: join(directory, 'storage-2/store.img'),
        },
        { name: 'storage-3', pid: null, rtrs: 'tcp://127.0.0.1:1007', admin: 'http://127.0.0.1:1009', store: null },
      ],
      clientNode: {
        name: 'client-1',
        pid: process.pid,
        admin: 'http://127.0.0.1:1010',
        nbdUri: `nbd+unix:///pool-1?socket=${join(directory, 'sockets/nbd.sock')}`,
      },
      clientNodes: [
        {
          name: 'client-1',
          pid: process.pid,
          admin: 'http://127.0.0.1:1010',
          nbdUri: `nbd+unix:///pool-1?socket=${join(directory, 'sockets/nbd.sock')}`,
        },
        {
          name: 'client-2',
          pid: null,
          admin: 'http://127.0.0.1:1012',
          nbdUri: `nbd+unix:///pool-1?socket=${join(directory, 'sockets/nbd-client-2.sock')}`,
        },
      ],
      web: { name: 'web', pid: null, url: 'http://127.0.0.1:1011' },
    });
  });

  test('web is null in a cluster without it', () => {
    const state = { ...exampleState(), webPort: null };
    writeState(directory, state);
    expect(readClusterFile(directory).web).toBeNull();
    expect(nodeNames(state)).toEqual(['storage-1', 'storage-2', 'storage-3', 'client-1', 'client-2']);
  });

  test('is replaced, never written into: who has it open keeps the old one', () => {
    writeState(directory, exampleState());
    const before = statSync(clusterFilePath(directory)).ino;
    writeState(directory, exampleState());
    expect(statSync(clusterFilePath(directory)).ino).not.toBe(before);
    expect(readdirSync(directory).sort()).toEqual(['cluster.json', 'harness.json', 'rmr.yaml']);
  });

  test('fields that a later version adds are left alone', () => {
    writeState(directory, exampleState());
    const file = JSON.parse(readFileSync(clusterFilePath(directory), 'utf8')) as Record<string, unknown>;
    writeFileSync(clusterFilePath(directory), JSON.stringify({ ...file, news: 1 }));
    expect(readClusterFile(directory).pool.name).toBe('pool-1');
  });

  test('a missing one says how to make one, a damaged one names the place', () => {
    expect(() => readClusterFile(directory)).toThrow(
      `there is no cluster in ${directory}; create one with "cluster up --dir ${directory}"`,
    );
    writeFileSync(clusterFilePath(directory), '{');
    expect(() => readClusterFile(directory)).toThrow(/cluster\.json is damaged/);
    writeFileSync(clusterFilePath(directory), '{"pool": {"name": 1}}');
    expect(() => readClusterFile(directory)).toThrow(/is damaged: pool\.name/);
  });
});

describe('the state of the tool', () => {
  test('comes back as it was written', () => {
    writeState(directory, exampleState());
    expect(readState(directory)).toEqual(exampleState());
  });

  test('of format 1, which knew one client node, is understood', () => {
    writeState(directory, exampleState());
    const { clientNodes, bootIds, poolOrdered: _ordered, poolCreated: _created, ...rest } = exampleState();
    const { clientNodes: count, ...options } = rest.options;
    expect({ clientNodes: clientNodes.length, bootIds, count }).toEqual({ clientNodes: 2, bootIds: {}, count: 2 });
    writeFileSync(layout.state(directory), JSON.stringify({ ...rest, options, format: 1, clientAdminPort: 1010 }));
    expect(readState(directory)).toEqual({
      ...exampleState(),
      options: { ...exampleState().options, clientNodes: 1 },
      clientNodes: [{ name: 'client-1', adminPort: 1010 }],
    });
  });

  test.each([true, false])('of a tool whose pools needed no order is understood; with stores (%s) its pool exists', (storesCreated) => {
    const { poolOrdered, poolCreated, ...old } = { ...exampleState(), storesCreated };
    expect({ poolOrdered, poolCreated }).toEqual({ poolOrdered: true, poolCreated: true });
    writeState(directory, exampleState());
    writeFileSync(layout.state(directory), JSON.stringify(old));
    expect(readState(directory)).toEqual({ ...old, poolOrdered: storesCreated, poolCreated: storesCreated });
  });

  test('keeps apart that the order may have been given and that it was carried out', () => {
    const state = { ...exampleState(), poolOrdered: true, poolCreated: false };
    writeState(directory, state);
    expect(readState(directory)).toEqual(state);
  });

  test('of an unknown format is refused', () => {
    writeState(directory, exampleState());
    writeFileSync(layout.state(directory), JSON.stringify({ ...exampleState(), format: 3 }));
    expect(() => readState(directory)).toThrow(/harness\.json is damaged: format/);
  });
});
