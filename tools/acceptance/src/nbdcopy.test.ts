import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { run } from './support/command.ts';
import { testNeeding } from './support/requirements.ts';
import { TestCluster } from './support/test-cluster.ts';
import { firstDifference, writeImageWithHoles } from './support/test-images.ts';

const test = testNeeding('nbdcopy');

let cluster: TestCluster;
let seed = 1;

beforeAll(async () => {
  cluster = await TestCluster.start();
});

afterEach(async () => {
  await cluster.expectIdenticalMembers();
});

afterAll(async () => {
  await cluster.dispose();
});

function image(name: string): string {
  const path = join(cluster.folder, name);
  rmSync(path, { force: true });
  return path;
}

/** Random data with holes, different each time. */
function newImage(): string {
  const path = image('source.img');
  writeImageWithHoles(path, cluster.sizeBytes, seed++);
  return path;
}

async function expectDeviceEquals(path: string, ...options: readonly string[]): Promise<void> {
  const copy = image('copy.img');
  await run('nbdcopy', ...options, cluster.nbdUri, copy);
  expect(firstDifference(path, copy), 'offset of the first byte that differs').toBeNull();
}

test('nbdcopy: a new device takes an image that skips zeroes, and gives it back byte by byte', async () => {
  const source = newImage();
  await run('nbdcopy', '--destination-is-zero', '--flush', source, cluster.nbdUri);
  await expectDeviceEquals(source);
});

test('nbdcopy: an image replaces what was there, holes included', async () => {
  const source = newImage();
  await run('nbdcopy', '--flush', source, cluster.nbdUri);
  await expectDeviceEquals(source);
});

test('nbdcopy: --allocated writes zeroes in place of holes', async () => {
  const source = newImage();
  await run('nbdcopy', '--allocated', '--flush', source, cluster.nbdUri);
  await expectDeviceEquals(source, '--allocated');
});

test('nbdcopy: four connections and large requests move the same bytes', async () => {
  const source = newImage();
  const many = ['--connections=4', '--threads=4', '--requests=16', '--request-size=8388608'];
  await run('nbdcopy', ...many, '--queue-size=134217728', '--flush', source, cluster.nbdUri);
  await expectDeviceEquals(source, ...many, '--queue-size=134217728');
});

test('nbdcopy: small synchronous requests move the same bytes, with and without asking for holes', async () => {
  const source = newImage();
  await run('nbdcopy', '--synchronous', '--flush', source, cluster.nbdUri);
  await expectDeviceEquals(source, '--synchronous', '--no-extents');
});

testNeeding('nbdcopy', 'nbdkit')('nbdcopy: from another NBD server into the device and back', async () => {
  const source = newImage();
  await run('nbdcopy', '--flush', '--', '[', 'nbdkit', '--exit-with-parent', 'file', source, ']', cluster.nbdUri);
  const copy = image('copy.img');
  await run('truncate', '-s', `${cluster.sizeBytes}`, copy);
  await run('nbdcopy', '--flush', '--', cluster.nbdUri, '[', 'nbdkit', '--exit-with-parent', 'file', copy, ']');
  expect(firstDifference(source, copy)).toBeNull();
});
