import { spawn } from 'node:child_process';
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { runProgram, startProgram } from './support/command.ts';
import { qemuImageOptions } from './support/nbd-address.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';

const DOCS = readFileSync(new URL('../../../docs/nbd-clients.md', import.meta.url), 'utf8');

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start();
});

afterAll(async () => {
  await cluster.dispose();
});

/** A qemu-io that is told what to do line by line: QEMU's own NBD client, as a virtual machine has it. */
function qemuIo(options: string) {
  const child = spawn('qemu-io', ['--image-opts', `${qemuImageOptions(cluster.nbdUri)}${options}`], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    /** What it said since the last command. */
    said: () => said,
    command(line: string): void {
      said = '';
      child.stdin.write(`${line}\n`);
    },
    async quit(): Promise<void> {
      child.stdin.end('quit\n');
      await ended;
    },
  };
}

testNeeding('qemu-io')(
  'QEMU with reconnect-delay: a write that the client node did not answer is answered after its restart',
  async () => {
    expect(DOCS).toContain('reconnect-delay=86400');
    const disk = qemuIo(',reconnect-delay=86400');
    disk.command('write -P 1 0 64k');
    await eventually(() => expect(disk.said()).toContain('wrote 65536/65536'));
    await cluster.killNow('client-1');
    disk.command('write -P 2 0 64k');
    await cluster.command('start', 'client-1');
    await eventually(() => expect(disk.said()).toContain('wrote 65536/65536'));
    disk.command('read -P 2 0 64k');
    await eventually(() => expect(disk.said()).toContain('read 65536/65536'));
    expect(disk.said()).not.toMatch(/failed/i);
    await disk.quit();
  },
  150_000,
);

testNeeding('qemu-io')(
  'QEMU without it: the write fails at once, and new ones are served after the restart',
  async () => {
    const disk = qemuIo('');
    disk.command('write -P 1 0 64k');
    await eventually(() => expect(disk.said()).toContain('wrote 65536/65536'));
    await cluster.killNow('client-1');
    disk.command('write -P 2 0 64k');
    await eventually(() => expect(disk.said()).toContain('Input/output error'));
    await cluster.command('start', 'client-1');
    await eventually(async () => {
      disk.command('write -P 3 0 64k');
      await eventually(() => expect(disk.said()).toMatch(/wrote|error/), 5_000);
      expect(disk.said()).toContain('wrote 65536/65536');
    });
    await disk.quit();
  },
  150_000,
);

testNeeding('nbdfuse', 'nbdkit', 'FUSE')(
  'nbdfuse with the retry filter of nbdkit: a write and a flush wait for the restart',
  async () => {
    const line = 'nbdkit -f --exit-with-parent --filter=retry nbd uri="$URI" retries=86400 retry-delay=1 retry-exponential=no';
    expect(DOCS).toContain(`[ ${line} ]`);
    const mount = join(cluster.folder, 'fuse');
    await mkdir(mount);
    const relay = line.replace('"$URI"', cluster.nbdUri).split(' ');
    const fuse = startProgram('nbdfuse', [mount, '[', ...relay, ']']);
    const path = join(mount, 'nbd');
    await eventually(() => expect(existsSync(path), fuse.stderr()).toBe(true));
    const before = openSync(path, 'r+');
    writeSync(before, Buffer.alloc(4096, 1), 0, 4096, 0);
    fsyncSync(before);
    closeSync(before);

    await cluster.killNow('client-1');
    const file = await open(path, 'r+');
    const written = file.write(Buffer.alloc(4096, 2), 0, 4096, 0).then(() => file.sync());
    await cluster.command('start', 'client-1');
    await written;
    const { buffer } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    expect(buffer.equals(Buffer.alloc(4096, 2))).toBe(true);
    await file.close();
    await runProgram('fusermount3', ['-u', mount]);
    await fuse.ended;
  },
  150_000,
);
