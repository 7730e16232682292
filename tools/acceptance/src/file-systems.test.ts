import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { run, startProgram } from './support/command.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';

/** What every one of these tests uses. */
const COMMON = ['nbdfuse', 'FUSE', 'losetup', 'loop devices', 'mount', 'permission to mount'] as const;
const FILES = 60;
const FILE_BYTES_MAX = 400_000;

let cluster: TestCluster;

beforeAll(async () => {
  // mkfs.xfs makes nothing smaller than 300 MiB.
  cluster = await TestCluster.start({ size: '384MiB' });
});

afterEach(async () => {
  await cluster.expectIdenticalMembers();
});

afterAll(async () => {
  await cluster.dispose();
});

/** Shows the device as a block device of this host while `use` runs. */
async function withBlockDevice(use: (device: string) => Promise<void>): Promise<void> {
  const folder = join(cluster.folder, 'fuse');
  mkdirSync(folder, { recursive: true });
  const fuse = startProgram('nbdfuse', ['--connections=2', folder, cluster.nbdUri]);
  const undo: (() => Promise<unknown>)[] = [() => fuse.ended];
  try {
    await eventually(() => expect(existsSync(join(folder, 'nbd')), fuse.stderr()).toBe(true));
    undo.push(() => run('umount', folder));
    const device = (await run('losetup', '--find', '--show', join(folder, 'nbd'))).trim();
    undo.push(() => run('losetup', '--detach', device));
    await use(device);
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function withMounted(device: string, use: (root: string) => Promise<void> | void): Promise<void> {
  const root = join(cluster.folder, 'mnt');
  mkdirSync(root, { recursive: true });
  await run('mount', device, root);
  try {
    await use(root);
  } finally {
    await run('umount', root);
  }
}

/** Writes files, removes some and renames some; returns what has to be found: path → digest. */
function writeFiles(root: string): Map<string, string> {
  const expected = new Map<string, string>();
  for (let i = 0; i < FILES; i++) {
    const folder = join(root, `folder-${i % 7}`);
    mkdirSync(folder, { recursive: true });
    const path = join(folder, `file-${i}`);
    const data = randomBytes(1 + ((i * 7919) % FILE_BYTES_MAX));
    writeFileSync(path, data);
    if (i % 5 === 0) rmSync(path);
    else {
      const final = i % 3 === 0 ? `${path}-renamed` : path;
      renameSync(path, final);
      expected.set(final, digest(data));
    }
  }
  return expected;
}

function readFiles(root: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const folder of readdirSync(root).filter((name) => name.startsWith('folder-'))) {
    for (const name of readdirSync(join(root, folder))) {
      const path = join(root, folder, name);
      found.set(path, digest(readFileSync(path)));
    }
  }
  return found;
}

function digest(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

function fileSystemTest(name: string, make: readonly string[], check: readonly string[]): void {
  const programs = [make[0] as string, check[0] as string, `${name} in the kernel`];
  testNeeding(...COMMON, ...programs)(
    `${name}: files on the device survive a restart of everything, and the check finds nothing`,
    async () => {
      let expected = new Map<string, string>();
      await withBlockDevice(async (device) => {
        await run(make[0] as string, ...make.slice(1), device);
        await withMounted(device, (root) => {
          expected = writeFiles(root);
        });
        await run(check[0] as string, ...check.slice(1), device);
      });
      await cluster.down();
      await cluster.up();
      await withBlockDevice(async (device) => {
        await run(check[0] as string, ...check.slice(1), device);
        await withMounted(device, (root) => expect(readFiles(root)).toEqual(expected));
      });
    },
  );
}

fileSystemTest('ext4', ['mkfs.ext4', '-q', '-F'], ['fsck.ext4', '-f', '-n']);
fileSystemTest('xfs', ['mkfs.xfs', '-q', '-f'], ['xfs_repair', '-n']);
