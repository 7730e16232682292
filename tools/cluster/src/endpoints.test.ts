import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { freePort, isPortTaken, makeSocketDirectory, nbdUri, parseNbdUri, rtrsSocketPath, socketDirectoryFor } from './endpoints.ts';
import { type NbdEndpoint, newClusterOptions } from './options.ts';

const folder = mkdtempSync(join(tmpdir(), 'rmr-endpoints-'));
afterAll(() => rmSync(folder, { recursive: true }));

function uri(nbd: NbdEndpoint, clientName = 'client-1'): string {
  return nbdUri({ options: newClusterOptions({ nbd }), socketDirectory: '/d/sockets' }, clientName);
}

test('the NBD URI names the pool, and its socket or port', () => {
  expect(uri({ kind: 'own-socket' })).toBe('nbd+unix:///pool-1?socket=/d/sockets/nbd.sock');
  expect(uri({ kind: 'socket', path: '/run/x.sock' })).toBe('nbd+unix:///pool-1?socket=/run/x.sock');
  expect(uri({ kind: 'port', port: 10_809 })).toBe('nbd://127.0.0.1:10809/pool-1');
});

test('what was asked for is the first client node’s; others have a socket of their own', () => {
  expect(uri({ kind: 'port', port: 10_809 }, 'client-2')).toBe('nbd+unix:///pool-1?socket=/d/sockets/nbd-client-2.sock');
  expect(uri({ kind: 'own-socket' }, 'client-2')).toBe('nbd+unix:///pool-1?socket=/d/sockets/nbd-client-2.sock');
});

test('characters that mean something in a URI are escaped in the socket', () => {
  expect(uri({ kind: 'socket', path: '/a b/c&d?#%.sock' })).toBe('nbd+unix:///pool-1?socket=/a%20b/c%26d%3F%23%25.sock');
});

test('an NBD URI that was made is understood, and anything else refused', () => {
  expect(parseNbdUri(uri({ kind: 'socket', path: '/a b/c&d?#%.sock' }))).toEqual({
    export: 'pool-1',
    socket: { path: '/a b/c&d?#%.sock' },
  });
  expect(parseNbdUri(uri({ kind: 'port', port: 1234 }))).toEqual({ export: 'pool-1', socket: { host: '127.0.0.1', port: 1234 } });
  expect(parseNbdUri('nbd://[::1]/a%2Fb')).toEqual({ export: 'a/b', socket: { host: '::1', port: 10_809 } });
  for (const text of ['', 'nbd', 'http://x/y', 'nbd+unix:///pool-1']) expect(() => parseNbdUri(text)).toThrow('is no NBD URI');
});

test('sockets are in the cluster’s directory, and elsewhere where their paths would be too long', () => {
  expect(socketDirectoryFor(folder)).toBe(join(folder, 'sockets'));
  const long = join(folder, 'x'.repeat(60));
  mkdirSync(long);
  const elsewhere = socketDirectoryFor(long);
  expect(elsewhere).toMatch(/\/rmr-[0-9a-f]{16}$/);
  expect(socketDirectoryFor(long)).toBe(elsewhere);
  for (const directory of [socketDirectoryFor(folder), elsewhere]) {
    expect(Buffer.byteLength(rtrsSocketPath(directory, 'storage-16', 7))).toBeLessThanOrEqual(107);
  }
});

test('a socket directory that somebody else has prepared is refused', () => {
  const target = join(folder, 'target');
  mkdirSync(target);
  const link = join(folder, 'link');
  symlinkSync(target, link);
  expect(() => makeSocketDirectory(link)).toThrow(/is not a directory of this user/);
  makeSocketDirectory(join(folder, 'own'));
  makeSocketDirectory(join(folder, 'own'));
});

test('a port that is listened on is taken, and not given out', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  expect(await isPortTaken(port)).toBe(true);
  expect(await freePort(new Set())).not.toBe(port);
  await new Promise((resolve) => server.close(resolve));
  expect(await isPortTaken(port)).toBe(false);
});
