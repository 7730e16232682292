import { copyFileSync, mkdirSync, readFileSync, renameSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAdminClient, type NodeStoreStatus } from '@rmr/admin-api';
import { crc32c, KIB, MIB } from '@rmr/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Running, runProgram, startProgram } from './support/command.ts';
import { STORAGE_NODE } from './support/paths.ts';
import { freePort } from './support/raw-connection.ts';
import { eventually, newFolder, TestCluster } from './support/test-cluster.ts';

/** How a superblock begins; where its checksum, what the checksum covers, and the format version stand. */
const MAGIC = Buffer.from('RMRSTORE');
const CHECKSUM_OFFSET = 8;
const VERSION_OFFSET = 12;
const SUPERBLOCK_BYTES = 4 * KIB;
/** Superblocks lie within the head of a store. */
const HEAD_BYTES = 2 * MIB;

let cluster: TestCluster;
let folder: string;
let count = 0;

beforeAll(async () => {
  cluster = await TestCluster.start({ size: '32MiB' });
  folder = newFolder('stores');
  await cluster.down();
});

afterAll(async () => {
  await cluster.dispose();
});

/** A copy of a member's store that was closed properly. */
function copyOfStore(): string {
  const path = join(folder, `store-${count++}.img`);
  copyFileSync(cluster.file.storageNodes[0]?.store as string, path);
  return path;
}

/** Starts a storage node of our own on a store. */
async function startStorageNode(store: string, poolUuid: string = cluster.file.pool.uuid): Promise<Running & { readonly admin: string }> {
  const stateDir = join(folder, `state-${count++}`);
  mkdirSync(stateDir);
  const admin = `http://127.0.0.1:${await freePort()}`;
  const config = join(stateDir, 'config.json');
  const rtrs = { listen: [`unix:${join(stateDir, 'rtrs.sock')}`] };
  writeFileSync(
    config,
    JSON.stringify({ name: 'storage-x', stateDir, admin: { listen: admin }, rtrs, stores: [{ path: store, poolUuid }] }),
  );
  return { ...startProgram(process.execPath, [STORAGE_NODE, 'run', '--config', config]), admin };
}

/** What the storage node says of its one store. */
async function storeOf(node: { readonly admin: string }): Promise<NodeStoreStatus> {
  const status = await createAdminClient({ url: node.admin }).status.query();
  if (status.role !== 'storage-node') throw new Error(`the storage node says that it is a ${status.role}`);
  return status.stores[0] as NodeStoreStatus;
}

/** The storage node runs without the store, says why, and leaves the store as it was. */
async function expectLeftOut(store: string, reason: RegExp): Promise<void> {
  const before = readFileSync(store);
  const node = await startStorageNode(store);
  try {
    await eventually(async () => expect((await storeOf(node)).reason, node.stderr()).toMatch(reason));
    const { path, state, waitingFor, health } = await storeOf(node);
    expect([path, state, health.level]).toEqual([store, 'DETACHED', 'down']);
    expect(waitingFor?.what).toMatch(/attempt to open it/);
    expect((await fetch(`${node.admin}/readyz`)).status).toBe(200);
  } finally {
    node.signal('SIGTERM');
  }
  expect((await node.ended).code).toBe(0);
  expect(readFileSync(store).equals(before), 'a store that was left out was written to').toBe(true);
}

/** The storage node ends with an error that names the store and the reason, and leaves the store as it was. */
async function expectRefused(store: string, reason: RegExp, poolUuid: string): Promise<void> {
  const before = readFileSync(store);
  const outcome = await (await startStorageNode(store, poolUuid)).ended;
  expect(outcome.code, outcome.stderr).not.toBe(0);
  expect(outcome.code).not.toBeNull();
  expect(outcome.stderr).toContain(store);
  expect(outcome.stderr).toMatch(reason);
  expect(readFileSync(store).equals(before), 'a refused store was written to').toBe(true);
}

/** Offsets of the superblocks in a store. */
function superblocks(bytes: Buffer): number[] {
  const found: number[] = [];
  for (let at = 0; at + SUPERBLOCK_BYTES <= HEAD_BYTES; at += SUPERBLOCK_BYTES) {
    if (bytes.subarray(at, at + MAGIC.length).equals(MAGIC)) found.push(at);
  }
  return found;
}

/** Changes every superblock of a store; with `repair`, so that its checksum fits again. */
function changeSuperblocks(store: string, change: (superblock: Buffer) => void, repair: boolean): void {
  const bytes = readFileSync(store);
  const offsets = superblocks(bytes);
  expect(offsets).toHaveLength(2);
  for (const at of offsets) {
    const superblock = bytes.subarray(at, at + SUPERBLOCK_BYTES);
    change(superblock);
    if (repair) superblock.writeUInt32LE(crc32c(superblock.subarray(VERSION_OFFSET)), CHECKSUM_OFFSET);
  }
  writeFileSync(store, bytes);
}

test('store: an untouched copy is opened', async () => {
  const node = await startStorageNode(copyOfStore());
  try {
    await eventually(async () => expect((await fetch(`${node.admin}/healthz`)).status, node.stderr()).toBe(200));
  } finally {
    node.signal('SIGTERM');
  }
  expect((await node.ended).code).toBe(0);
});

test('store: one damaged superblock of two is survived', async () => {
  const store = copyOfStore();
  const bytes = readFileSync(store);
  bytes.fill(0xff, 0, SUPERBLOCK_BYTES);
  writeFileSync(store, bytes);
  const node = await startStorageNode(store);
  try {
    await eventually(async () => expect((await fetch(`${node.admin}/healthz`)).status, node.stderr()).toBe(200));
  } finally {
    node.signal('SIGTERM');
  }
  expect((await node.ended).code).toBe(0);
});

test('store: both superblocks damaged leave the store out, as damaged', async () => {
  const store = copyOfStore();
  changeSuperblocks(store, (superblock) => superblock.fill(0xa5, 200, 300), false);
  await expectLeftOut(store, /superblock|damaged/i);
});

test('store: another format version leaves it out', async () => {
  const store = copyOfStore();
  changeSuperblocks(store, (superblock) => superblock.writeUInt32LE(99, VERSION_OFFSET), true);
  await expectLeftOut(store, /version.*99|99.*version/i);
});

test('store: a file of another kind is left out as no store', async () => {
  const store = join(folder, 'letter.img');
  writeFileSync(store, Buffer.alloc(40 * MIB, 'Dear Sir or Madam. '));
  await expectLeftOut(store, /holds no store/i);
});

test('store: an empty file is left out', async () => {
  const store = join(folder, 'empty.img');
  writeFileSync(store, '');
  await expectLeftOut(store, /small|empty|format/i);
});

test('store: a file that was cut is left out as too small', async () => {
  const store = copyOfStore();
  truncateSync(store, statSync(store).size - MIB);
  await expectLeftOut(store, /small|short/i);
});

test('store: one of another pool is refused, naming both', async () => {
  const other = '00000000-0000-4000-8000-000000000001';
  const store = copyOfStore();
  await expectRefused(store, new RegExp(`${cluster.file.pool.uuid}`), other);
  await expectRefused(store, new RegExp(other), other);
});

test('store: a file that does not exist is waited for', async () => {
  const path = join(folder, 'nothing.img');
  const node = await startStorageNode(path);
  try {
    await eventually(async () => expect((await storeOf(node)).reason, node.stderr()).toMatch(/nothing\.img does not exist/));
    renameSync(copyOfStore(), path);
    await eventually(async () => expect((await storeOf(node)).state, node.stderr()).toBe('OPEN'));
  } finally {
    node.signal('SIGTERM');
  }
  expect((await node.ended).code).toBe(0);
});

test('store: one that is open elsewhere is waited for, and its owner does not notice', async () => {
  const store = copyOfStore();
  const owner = await startStorageNode(store);
  let rival: (Running & { readonly admin: string }) | null = null;
  try {
    await eventually(async () => expect((await storeOf(owner)).state, owner.stderr()).toBe('OPEN'));
    rival = await startStorageNode(store);
    const second = rival;
    await eventually(async () =>
      expect((await storeOf(second)).reason, second.stderr()).toContain(`is already open in process ${owner.pid}`),
    );
    expect((await storeOf(owner)).state).toBe('OPEN');
    owner.signal('SIGTERM');
    expect((await owner.ended).code).toBe(0);
    await eventually(async () => expect((await storeOf(second)).state, second.stderr()).toBe('OPEN'));
  } finally {
    owner.signal('SIGTERM');
    rival?.signal('SIGTERM');
  }
  expect((await rival.ended).code).toBe(0);
});

test('store: two of one pool end the daemon, naming both', async () => {
  const [one, two] = [copyOfStore(), copyOfStore()];
  const stateDir = join(folder, `state-${count++}`);
  const config = join(folder, 'two.json');
  const admin = { listen: `http://127.0.0.1:${await freePort()}` };
  const rtrs = { listen: [`unix:${join(folder, 'two.sock')}`] };
  writeFileSync(config, JSON.stringify({ name: 'storage-x', stateDir, admin, rtrs, stores: [{ path: one }, { path: two }] }));
  const outcome = await runProgram(process.execPath, [STORAGE_NODE, 'run', '--config', config]);
  expect(outcome.code, outcome.stderr).not.toBe(0);
  expect(outcome.stderr).toContain(one);
  expect(outcome.stderr).toContain(two);
});
