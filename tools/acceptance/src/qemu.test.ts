import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { KIB, MIB } from '@rmr/runtime';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { describe, run, runProgram, startProgram } from './support/command.ts';
import { qemuImageOptions } from './support/nbd-address.ts';
import { testNeeding } from './support/requirements.ts';
import { eventually, TestCluster } from './support/test-cluster.ts';
import { writeImageWithHoles } from './support/test-images.ts';

const testImage = testNeeding('qemu-img');
const testIo = testNeeding('qemu-io');

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start();
});

afterEach(async () => {
  await cluster.expectIdenticalMembers();
});

afterAll(async () => {
  await cluster.dispose();
});

/** Runs qemu-io commands; a pattern that does not verify, or an IO error, fails. */
async function qemuIo(target: readonly string[], ...commands: readonly string[]): Promise<string> {
  const outcome = await runProgram('qemu-io', [...commands.flatMap((command) => ['-c', command]), ...target]);
  if (outcome.code !== 0 || /failed/i.test(outcome.stdout)) throw new Error(describe(outcome));
  return outcome.stdout;
}

const device = (): readonly string[] => ['-f', 'raw', cluster.nbdUri];

function imagePath(name: string): string {
  const path = join(cluster.folder, name);
  rmSync(path, { force: true });
  return path;
}

testImage('qemu-img: convert into the device and back; compare finds no difference', async () => {
  const source = imagePath('source.img');
  writeImageWithHoles(source, cluster.sizeBytes, 7);
  await run('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', source, cluster.nbdUri);
  await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, cluster.nbdUri);
  const copy = imagePath('copy.qcow2');
  await run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', cluster.nbdUri, copy);
  await run('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', cluster.nbdUri, copy);
});

testImage('qemu-img: compare sees a single byte that differs', async () => {
  const copy = imagePath('copy.img');
  await run('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', cluster.nbdUri, copy);
  await qemuIo(['-f', 'raw', copy], `write -P 0xee ${5 * MIB + 1} 1`);
  const outcome = await runProgram('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', copy, cluster.nbdUri]);
  expect(outcome.code).toBe(1);
  expect(outcome.stdout).toContain('Content mismatch');
});

testImage('qemu-img: map covers the device, and agrees with what was written and discarded', async () => {
  await qemuIo(device(), 'discard 0 8M', 'write -P 0x11 2M 1M', 'flush');
  const map = JSON.parse(await run('qemu-img', 'map', '--output=json', '-f', 'raw', cluster.nbdUri)) as readonly {
    readonly start: number;
    readonly length: number;
    readonly data: boolean;
    readonly zero: boolean;
  }[];
  expect(map.reduce((sum, extent) => sum + extent.length, 0)).toBe(cluster.sizeBytes);
  const at = (offset: number) => map.find((extent) => extent.start <= offset && offset < extent.start + extent.length);
  expect(at(2 * MIB)).toMatchObject({ data: true, zero: false });
  expect(at(6 * MIB)).toMatchObject({ zero: true });
});

testImage('qemu-img: the device opens through image options', async () => {
  const info = JSON.parse(await run('qemu-img', 'info', '--output=json', '--image-opts', qemuImageOptions(cluster.nbdUri))) as {
    readonly 'virtual-size': number;
  };
  expect(info['virtual-size']).toBe(cluster.sizeBytes);
});

testIo('qemu-io: aligned patterns read back', async () => {
  await qemuIo(device(), 'write -P 0xa1 0 4k', 'write -P 0xa2 128k 128k', 'write -P 0xa3 1M 4M', 'flush');
  await qemuIo(device(), 'read -P 0xa1 0 4k', 'read -P 0xa2 128k 128k', 'read -P 0xa3 1M 4M');
});

testIo('qemu-io: unaligned patterns read back and leave their neighbours alone', async () => {
  const around = 128 * KIB;
  await qemuIo(
    device(),
    'write -P 0x01 0 1M',
    `write -P 0xb1 ${around - 3} 7`,
    'write -P 0xb2 513 1',
    `write -P 0xb3 ${512 * KIB + 1} 70001`,
  );
  await qemuIo(
    device(),
    'read -P 0x01 0 513',
    'read -P 0xb2 513 1',
    'read -P 0x01 514 1024',
    `read -P 0x01 ${around - 100} 97`,
    `read -P 0xb1 ${around - 3} 7`,
    `read -P 0x01 ${around + 4} 100`,
    `read -P 0xb3 ${512 * KIB + 1} 70001`,
    `read -P 0x01 ${512 * KIB + 70002} 100`,
  );
});

testIo('qemu-io: write zeroes, with and without a hole, and discard read as zeroes, their neighbours do not', async () => {
  await qemuIo(
    device(),
    'write -P 0x22 0 4M',
    'write -z 64k 64k',
    'write -z -u 1M 256k',
    'discard 2M 256k',
    `write -z ${3 * MIB + 5} 1001`,
    'flush',
  );
  await qemuIo(
    device(),
    'read -P 0x22 0 64k',
    'read -P 0 64k 64k',
    'read -P 0x22 128k 64k',
    'read -P 0 1M 256k',
    'read -P 0x22 1280k 64k',
    'read -P 0 2M 256k',
    'read -P 0x22 2304k 64k',
    `read -P 0x22 ${3 * MIB} 5`,
    `read -P 0 ${3 * MIB + 5} 1001`,
    `read -P 0x22 ${3 * MIB + 1006} 10`,
  );
});

testIo('qemu-io: the last bytes of the device can be written and read, those behind it not', async () => {
  await qemuIo(device(), `write -P 0x33 ${cluster.sizeBytes - 5} 5`, `read -P 0x33 ${cluster.sizeBytes - 5} 5`);
  const beyond = await runProgram('qemu-io', ['-c', `read ${cluster.sizeBytes - 1} 2`, ...device()]);
  expect(`${beyond.code} ${beyond.stdout}`).not.toMatch(/^0 read 2\/2/);
});

testIo('qemu-io: concurrent overlapping writes leave the members identical', async () => {
  const overlapping = Array.from({ length: 64 }, (_, i) => `aio_write -q -P ${i + 1} ${(i % 4) * 4096 + 512 * (i % 7)} 16k`);
  await qemuIo(device(), ...overlapping, 'aio_flush', 'flush');
});

testIo('qemu-io: writes with FUA are accepted through image options', async () => {
  const target = ['--image-opts', qemuImageOptions(cluster.nbdUri)];
  await qemuIo(target, 'write -f -P 0x44 9M 64k', 'write -f -z 10M 64k', 'read -P 0x44 9M 64k', 'read -P 0 10M 64k');
});

testNeeding('qemu-nbd', 'qemu-io')('qemu-nbd: as a client it passes the device on', async () => {
  const socket = join(cluster.folder, 'relay.sock');
  const relay = startProgram('qemu-nbd', [
    '--persistent',
    '--discard=unmap',
    '--socket',
    socket,
    '--image-opts',
    qemuImageOptions(cluster.nbdUri),
  ]);
  try {
    const through = ['-f', 'raw', `nbd+unix:///?socket=${socket}`];
    await eventually(() => qemuIo(through, 'write -P 0x55 20M 1M', 'discard 21M 64k', 'flush'));
    await qemuIo(device(), 'read -P 0x55 20M 1M', 'read -P 0 21M 64k');
  } finally {
    relay.signal('SIGTERM');
    await relay.ended;
  }
});
