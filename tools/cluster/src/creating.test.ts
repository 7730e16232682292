import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClientNodeStatus, PoolOrders } from '@rmr/admin-api';
import { type AdminServer, Metrics, startAdminServer } from '@rmr/daemon';
import { OperationError, type OperationErrorCode, SILENT_LOGGER } from '@rmr/runtime';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ClusterState, readState, writeState } from './cluster-state.ts';
import * as commands from './commands.ts';
import { createPool } from './creating.ts';
import { newClusterOptions } from './options.ts';
import { identifyProcess, type ProcessIdentity } from './process-identity.ts';
import { waitUntilServing } from './starting.ts';

const UUID = '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab';
const self = identifyProcess(process.pid) as ProcessIdentity;

let directory: string;
let server: AdminServer | null;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rmr-creating-'));
  server = null;
});
afterEach(async () => {
  await server?.close();
  rmSync(directory, { recursive: true });
});

/** A cluster whose nodes have just been started for the first time. */
function newCluster(more: Partial<ClusterState> = {}): ClusterState {
  const state: ClusterState = {
    format: 2,
    options: newClusterOptions({}),
    poolUuid: UUID,
    storesCreated: true,
    poolOrdered: false,
    poolCreated: false,
    socketDirectory: join(directory, 'sockets'),
    storageNodes: [{ name: 'storage-1', memberId: 1, witness: false, rtrs: ['tcp://127.0.0.1:1'], adminPort: 1 }],
    clientNodes: [{ name: 'client-1', adminPort: 1 }],
    webPort: null,
    processes: {},
    partitions: [],
    bootIds: {},
    ...more,
  };
  writeState(directory, state);
  return state;
}

/** What is durable of the order. */
function noted(): Pick<ClusterState, 'poolOrdered' | 'poolCreated'> {
  const { poolOrdered, poolCreated } = readState(directory);
  return { poolOrdered, poolCreated };
}

/** Orders that end in turn with these codes; null: carried out. */
function scripted(...ends: (OperationErrorCode | null)[]) {
  const given: ReturnType<typeof noted>[] = [];
  const order = async (): Promise<void> => {
    given.push(noted());
    const code = ends.shift() ?? null;
    if (code !== null) throw new OperationError(code, `the reason for ${code}`);
  };
  return { given, order };
}

const signal = new AbortController().signal;

describe('the order to create the pool', () => {
  test('is noted durably before it is given, and its end after', async () => {
    const { given, order } = scripted(null);
    await createPool(directory, newCluster(), { signal, order });
    expect(given).toEqual([{ poolOrdered: true, poolCreated: false }]);
    expect(noted()).toEqual({ poolOrdered: true, poolCreated: true });
  });

  test('is not given where it was carried out', async () => {
    const { given, order } = scripted();
    await createPool(directory, newCluster({ poolOrdered: true, poolCreated: true }), { signal, order });
    expect(given).toEqual([]);
  });

  test('is given again after an interruption, and a pool that exists by then is created', async () => {
    const { given, order } = scripted('CONFLICT');
    await createPool(directory, newCluster({ poolOrdered: true }), { signal, order });
    expect(given).toHaveLength(1);
    expect(noted().poolCreated).toBe(true);
  });

  test('a pool that exists before it was ever ordered is somebody else’s', async () => {
    const { order } = scripted('CONFLICT');
    await expect(createPool(directory, newCluster(), { signal, order })).rejects.toMatchObject({
      code: 'CONFLICT',
      message: 'pool-1 was not created: the reason for CONFLICT',
    });
    expect(noted()).toEqual({ poolOrdered: true, poolCreated: false });
  });

  test('is repeated while members have not been found, or no answer came', async () => {
    const { given, order } = scripted('UNAVAILABLE', 'TIMEOUT', 'UNAVAILABLE', null);
    await createPool(directory, newCluster(), { signal, order });
    expect(given).toHaveLength(4);
    expect(noted().poolCreated).toBe(true);
  });

  test('one that was carried out although no answer came is not an error', async () => {
    const { given, order } = scripted('TIMEOUT', 'CONFLICT');
    await createPool(directory, newCluster(), { signal, order });
    expect(given).toHaveLength(2);
    expect(noted().poolCreated).toBe(true);
  });

  test('is given up with the reason when the time is up', async () => {
    const { order } = scripted('UNAVAILABLE');
    await expect(createPool(directory, newCluster(), { signal, order, timeoutMs: 0 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: 'pool-1 was not created: the reason for UNAVAILABLE',
    });
    expect(noted()).toEqual({ poolOrdered: true, poolCreated: false });
  });

  test('ends with an interrupt, as it was thrown', async () => {
    const controller = new AbortController();
    const interrupted = new Error('interrupted');
    const order = async (): Promise<void> => {
      controller.abort(interrupted);
      throw new OperationError('UNAVAILABLE', 'aborted');
    };
    await expect(createPool(directory, newCluster(), { signal: controller.signal, order })).rejects.toBe(interrupted);
    expect(noted()).toEqual({ poolOrdered: true, poolCreated: false });
  });

  test('has nobody to go to when every client node has ended', async () => {
    await expect(createPool(directory, newCluster(), { signal })).rejects.toMatchObject({
      message: 'pool-1 was not created: every client node has ended; their logs say why',
    });
  });
});

describe('a client node whose pool was never created', () => {
  let created: string[];

  /** A client node's admin interface in this process, and the cluster that it belongs to. */
  async function running(more: Partial<ClusterState> = {}): Promise<ClusterState> {
    created = [];
    const remedy = 'If this pool is new, create it: client-node create --pool pool-1';
    const pool = (): ClientNodeStatus['pools'][number] => ({
      name: 'pool-1',
      uuid: UUID,
      state: 'WAITING',
      reason: '',
      since: '',
      born: false,
      differences: [],
      epoch: null,
      version: null,
      sizeBytes: null,
      chunkSizeBytes: null,
      queueDepth: 1,
      readPolicy: 'round-robin',
      quorum: 'none',
      witness: null,
      versionChangePending: false,
      legs: [],
      io: { reads: 0, writes: 0, flushes: 0, trims: 0, writeZeroes: 0, readBytes: 0, writtenBytes: 0, errors: 0, inFlight: 0 },
      counters: { readRetries: 0, overlapHolds: 0, bounces: 0 },
      waitingIo: 0,
      oldestIoSince: null,
      waits: [],
      lost: null,
      unreadable: null,
      withoutCleanCopy: null,
      owedBytes: 0,
      waitingFor: { what: 'an operator to create pool pool-1', since: '', remedy },
      health: { level: 'down', sentence: 'pool pool-1: no member that answers has ever been in service' },
    });
    const status = (): ClientNodeStatus => ({
      role: 'client-node',
      node: { name: 'client-1', hostUuid: '', bootId: '', incarnation: '', version: '', pid: 1, startedAt: '', uptimeSeconds: 1 },
      health: pool().health,
      sessions: [],
      nbdAddresses: [],
      pools: [pool()],
      exports: [],
    });
    const pools = { create: async (uuid: string) => void created.push(uuid) } as unknown as PoolOrders;
    const notReady = () => (created.length === 0 ? pool().health.sentence : null);
    server = await startAdminServer({
      listen: 'http://127.0.0.1:0',
      service: { status, flush: async () => {}, notReady, pools },
      metrics: new Metrics(),
      log: SILENT_LOGGER,
    });
    const adminPort = Number(new URL(server.url).port);
    return newCluster({ clientNodes: [{ name: 'client-1', adminPort }], processes: { 'client-1': self }, ...more });
  }

  test('gets the order, and serves', async () => {
    const state = await running();
    await createPool(directory, state, { signal });
    expect(created).toEqual([UUID]);
    await waitUntilServing(directory, state, 0);
  });

  test('is not waited for: whoever waits hears how the pool is created', async () => {
    await running();
    for (const wait of [commands.waitUntilUp, commands.waitUntilHealthy, commands.waitUntilConverged]) {
      await expect(wait(directory, 60_000)).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        message: `pool-1 has never been created, so IO is not served. "cluster up --dir ${directory}" creates it`,
      });
    }
  });

  test('in a cluster that believes that it was, the client node’s own remedy is told', async () => {
    const state = await running({ poolOrdered: true, poolCreated: true });
    await expect(waitUntilServing(directory, state, 60_000)).rejects.toMatchObject({
      message:
        'pool-1: no member that answers has ever been in service, so IO is not served. If this pool is new, create it: client-node create --pool pool-1',
    });
  });
});
