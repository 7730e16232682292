import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { observe, observeOptions } from './observe.ts';

let folder: string;
let server: Server | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rmr-web-'));
});

afterEach(() => {
  server?.close();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

function clusterFile(contents: unknown): string {
  const path = join(folder, 'cluster.json');
  writeFileSync(path, typeof contents === 'string' ? contents : JSON.stringify(contents));
  return path;
}

function cluster(admin: string, pid: number | null = 1) {
  return {
    pool: { name: 'demo', uuid: 'u', size: 1024, chunkSize: 512 },
    storageNodes: [],
    clientNode: { name: 'client-1', pid, admin, nbdUri: 'nbd://127.0.0.1/demo' },
    web: null,
  };
}

/** A daemon that answers everything in the same way. */
async function daemon(code: number, body: string): Promise<string> {
  const listening = createServer((_request, response) => {
    response.writeHead(code, { 'content-type': 'application/json' }).end(body);
  });
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
}

const NOTHING = { clusterFile: undefined, adminUrls: [], tokenFile: undefined };

test.each([
  ['nothing is configured', () => NOTHING, 'set RMR_CLUSTER_FILE'],
  ['the cluster file is missing', () => ({ ...NOTHING, clusterFile: join(folder, 'none.json') }), 'none.json'],
  ['the cluster file is no JSON', () => ({ ...NOTHING, clusterFile: clusterFile('{') }), "can't be read"],
  ['the cluster file is of another shape', () => ({ ...NOTHING, clusterFile: clusterFile({ pool: {} }) }), 'is not valid'],
  [
    'the token file is missing',
    () => ({ clusterFile: clusterFile(cluster('http://127.0.0.1:1')), adminUrls: [], tokenFile: join(folder, 'no-token') }),
    'no-token',
  ],
])('when %s, nothing is claimed and the sentence says what to do', async (_name, options, sentence) => {
  const overview = await observe(options());
  expect(overview.health.level).toBe('unknown');
  expect(overview.health.sentence).toContain(sentence);
});

test('a daemon that is stopped is not asked', async () => {
  const overview = await observe({ ...NOTHING, clusterFile: clusterFile(cluster('http://127.0.0.1:1', null)) });
  expect(overview.nodes).toMatchObject([{ name: 'client-1', status: null, error: 'stopped' }]);
  expect(overview.health.level).toBe('down');
});

test('a daemon that can not be reached is shown with the reason', async () => {
  const overview = await observe({ ...NOTHING, clusterFile: clusterFile(cluster('http://127.0.0.1:1')) });
  expect(overview.nodes).toMatchObject([{ status: null, error: expect.stringContaining('http://127.0.0.1:1') }]);
  expect(overview.health.level).toBe('unknown');
});

test.each([
  [200, 'not JSON'],
  [200, '{"result":{"data":{"role":"client-node"}}}'],
  [401, '{}'],
  [500, '<html></html>'],
])('an answer with code %i and body "%s" is no answer', async (code, body) => {
  const overview = await observe({ ...NOTHING, adminUrls: [await daemon(code, body)] });
  expect(overview.nodes).toMatchObject([{ status: null, error: expect.any(String) }]);
  expect(overview.health.level).toBe('unknown');
});

test('the environment names the cluster file, admin addresses and the token', () => {
  expect(observeOptions({ RMR_CLUSTER_FILE: '/c.json', RMR_ADMIN_URLS: 'http://a:1, http://b:2,', RMR_ADMIN_TOKEN_FILE: '/t' })).toEqual({
    clusterFile: '/c.json',
    adminUrls: ['http://a:1', 'http://b:2'],
    tokenFile: '/t',
  });
  expect(observeOptions({ RMR_CLUSTER_FILE: '' })).toEqual(NOTHING);
});
