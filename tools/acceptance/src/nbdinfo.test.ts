import { MIB } from '@rmr/runtime';
import { afterAll, beforeAll, expect } from 'vitest';
import { run, runProgram } from './support/command.ts';
import { testNeeding } from './support/requirements.ts';
import { TestCluster } from './support/test-cluster.ts';

const test = testNeeding('nbdinfo');

/** What nbdinfo exits with when the answer to `--can` or `--is` is no. */
const EXIT_NO = 2;

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start();
});

afterAll(async () => {
  await cluster.expectIdenticalMembers();
  await cluster.dispose();
});

for (const feature of ['read', 'write', 'flush', 'fua', 'trim', 'zero', 'fast-zero', 'cache', 'df', 'multi-conn', 'structured-reply']) {
  test(`nbdinfo: the export can ${feature}`, async () => {
    expect((await runProgram('nbdinfo', ['--can', feature, cluster.nbdUri])).code).toBe(0);
  });
}

for (const quality of ['read-only', 'rotational', 'tls']) {
  test(`nbdinfo: the export is not ${quality}`, async () => {
    expect((await runProgram('nbdinfo', ['--is', quality, cluster.nbdUri])).code).toBe(EXIT_NO);
  });
}

test("nbdinfo: the size is the pool's", async () => {
  expect((await run('nbdinfo', '--size', cluster.nbdUri)).trim()).toBe(`${cluster.sizeBytes}`);
});

test('nbdinfo: block sizes are stated, and 32 MiB can be moved at once', async () => {
  const { exports } = JSON.parse(await run('nbdinfo', '--json', cluster.nbdUri)) as { exports: readonly Record<string, unknown>[] };
  expect(exports).toHaveLength(1);
  expect([1, 512]).toContain(exports[0]?.['block_size_minimum']);
  expect(exports[0]?.['block_size_preferred']).toBe(4096);
  expect(exports[0]?.['block_size_maximum']).toBeGreaterThanOrEqual(32 * MIB);
});

test('nbdinfo: the negotiation is fixed newstyle with structured replies', async () => {
  const info = JSON.parse(await run('nbdinfo', '--json', cluster.nbdUri)) as Record<string, unknown>;
  expect(info['protocol']).toBe('newstyle-fixed');
  expect(info['structured']).toBe(true);
});

test('nbdinfo: the list of exports names the device and its contexts', async () => {
  const uri = new URL(cluster.nbdUri);
  const name = uri.pathname.slice(1);
  const { exports } = JSON.parse(await run('nbdinfo', '--list', '--json', cluster.nbdUri)) as {
    exports: readonly { readonly 'export-name': string; readonly contexts?: readonly string[] }[];
  };
  const listed = exports.find((each) => each['export-name'] === name);
  expect(listed?.contexts).toContain('base:allocation');
});

test('nbdinfo: the map of a new device is one hole that reads as zeroes', async () => {
  const extents = JSON.parse(await run('nbdinfo', '--map', '--json', cluster.nbdUri)) as readonly Extent[];
  expect(extents.reduce((sum, extent) => sum + extent.length, 0)).toBe(cluster.sizeBytes);
  for (const extent of extents) expect(extent.description).toBe('hole,zero');
});

testNeeding('nbdinfo', 'qemu-io')('nbdinfo: the map shows data where data was written, and totals add up', async () => {
  await run('qemu-io', '-f', 'raw', '-c', 'write -P 0x5a 1M 256k', '-c', 'flush', cluster.nbdUri);
  const extents = JSON.parse(await run('nbdinfo', '--map', '--json', cluster.nbdUri)) as readonly Extent[];
  const written = extents.find((extent) => extent.offset <= MIB && MIB < extent.offset + extent.length);
  expect(written?.description).toBe('data');
  const totals = JSON.parse(await run('nbdinfo', '--map', '--totals', '--json', cluster.nbdUri)) as readonly { readonly size: number }[];
  expect(totals.reduce((sum, each) => sum + each.size, 0)).toBe(cluster.sizeBytes);
});

test('nbdinfo: an unknown export is refused by name and the server goes on', async () => {
  const unknown = new URL(cluster.nbdUri);
  unknown.pathname = '/no-such-export';
  const outcome = await runProgram('nbdinfo', [unknown.href]);
  expect(outcome.code).not.toBe(0);
  expect((await runProgram('nbdinfo', ['--size', cluster.nbdUri])).code).toBe(0);
});

interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly description: string;
}
