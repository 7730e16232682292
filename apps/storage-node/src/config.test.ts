import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { loadConfig } from '@rmr/daemon';
import type { OperationError } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { storageNodeConfigSchema } from './config.ts';

function load(environment: Record<string, string>) {
  return loadConfig(storageNodeConfigSchema, {
    environment: { RMR_NAME: 'storage-1', RMR_STATE_DIR: '/var/lib/rmr', ...environment },
    flags: new Map(),
  });
}

function refusal(environment: Record<string, string>): string {
  try {
    load(environment);
  } catch (error) {
    return (error as OperationError).message;
  }
  throw new Error('it was accepted');
}

describe('configuration of the storage node', () => {
  test('a name and a place for state suffice; everything listens on loopback then', () => {
    const config = load({});
    expect(config.rtrs.listen).toEqual(['tcp://127.0.0.1:4810']);
    expect(config.admin.listen).toBe('tcp://127.0.0.1:4811');
    expect(config.stores).toEqual([]);
    expect(config.transport).toMatchObject({ heartbeatInterval: 1000, deadAfter: 5000, payloadChecksum: false });
    expect(config.transport.routes.size).toBe(0);
  });

  test('routes are a map from address to address', () => {
    expect([...load({ RMR_TRANSPORT_ROUTES: '{"tcp://10.0.0.1:1": "unix:/run/x"}' }).transport.routes]).toEqual([
      ['tcp://10.0.0.1:1', 'unix:/run/x'],
    ]);
    expect(refusal({ RMR_TRANSPORT_ROUTES: '{"10.0.0.1": "unix:/run/x"}' })).toContain('transport.routes');
    expect(refusal({ RMR_TRANSPORT_ROUTES: '{"tcp://10.0.0.1:1": "x"}' })).toContain('"x" is not an address');
  });

  test('a path that is given up within two heartbeats is refused', () => {
    expect(refusal({ RMR_TRANSPORT_HEARTBEAT_INTERVAL: '5s' })).toContain(
      'transport.deadAfter: is below two heartbeats of 5000ms; write at least 10000ms',
    );
  });

  test.each([
    ['tcp://127.0.0.1:4811', 'tcp://127.0.0.1:4811'],
    ['tcp://127.0.0.1:4811', 'http://127.0.0.1:4811'],
    ['tcp://localhost:4811', 'tcp://127.0.0.1:4811'],
    ['tcp://0.0.0.0:4811', 'tcp://10.0.0.1:4811'],
    ['tcp://10.0.0.1:4811', 'tcp://[::]:4811'],
  ])('sessions on %s and the admin interface on %s are refused: the daemon would be in its own way', (rtrs, admin) => {
    expect(refusal({ RMR_RTRS_LISTEN: rtrs, RMR_ADMIN_LISTEN: admin })).toContain(
      `admin.listen (RMR_ADMIN_LISTEN in the environment): "${admin}" is listened on for rtrs.listen[0] (${rtrs}) already; choose another port`,
    );
  });

  test('the default admin address meets sessions on its port', () => {
    expect(refusal({ RMR_RTRS_LISTEN: 'tcp://0.0.0.0:4811' })).toContain(
      'admin.listen: "tcp://127.0.0.1:4811" is listened on for rtrs.listen[0]',
    );
  });

  test.each([
    ['tcp://127.0.0.1:4810,unix:/run/rtrs.sock', 'tcp://127.0.0.1:4811'],
    ['tcp://10.0.0.1:4811', 'tcp://127.0.0.1:4811'],
    ['tcp://127.0.0.1:0', 'tcp://127.0.0.1:0'],
    ['tcp://127.0.0.1:4810', 'http://127.0.0.1:4811'],
  ])('sessions on %s and the admin interface on %s go together', (rtrs, admin) => {
    expect(load({ RMR_RTRS_LISTEN: rtrs, RMR_ADMIN_LISTEN: admin }).admin.listen).toBe(admin);
  });

  test('a store that is named twice is refused', () => {
    expect(refusal({ RMR_STORES: '[{path: /a}, {path: /b}, {path: /a}]' })).toContain(
      'stores[2].path (RMR_STORES in the environment): names a store a second time',
    );
  });

  test('a store may be on an export of an NBD server; one that is named twice, in whatever way, is refused', () => {
    const uri = 'nbd://host:10809/vol';
    expect(load({ RMR_STORES: `[{path: "${uri}"}, {path: "nbd+unix:///?socket=/run/s"}]` }).stores.map(({ path }) => path)).toEqual([
      uri,
      'nbd+unix:///?socket=/run/s',
    ]);
    expect(refusal({ RMR_STORES: `[{path: "${uri}"}, {path: "nbd://HOST/vol"}]` })).toContain('names a store a second time');
  });

  test.each([
    ['nbd://host:99999/vol', 'names the port 99999, which does not exist; write nbd://HOST:PORT/EXPORT'],
    ['nbds://host/vol', 'asks for TLS'],
    ['nbd+unix:///vol', 'does not say which socket'],
    ['store.img', '"store.img" is neither an absolute path nor an NBD URI'],
  ])('a store at %s is refused with the reason', (path, why) => {
    expect(refusal({ RMR_STORES: `[{path: "${path}"}]` })).toContain(why);
  });

  test('a store needs no more than its path', () => {
    expect(load({ RMR_STORES: '[{path: /a}, {path: /b, ioTimeout: 2s, volatileCache: true}]' }).stores).toEqual([
      { path: '/a', ioTimeout: 20_000, volatileCache: false },
      { path: '/b', ioTimeout: 2000, volatileCache: true },
    ]);
    expect(refusal({ RMR_STORES: '[{path: /a, ioTimeout: 10ms}]' })).toContain('stores[0].ioTimeout');
  });

  test.each([
    [{ RMR_STORES: '[{path: /a, pooluuid: x}]' }, 'did you mean poolUuid?'],
    [{ RMR_STORES: '[{path: /a, poolUid: x}]' }, 'did you mean poolUuid?'],
    [{ RMR_STORES: '[{path: /a, uuid: x}]' }, 'did you mean poolUuid?'],
    [{ RMR_POOL_UUID: 'x' }, 'did you mean poolUuid of stores[] in RMR_STORES?'],
    [{ RMR_ADMIN: '{poolUuid: x}' }, 'did you mean'],
  ])('a mistyped check of identity is never dropped: %j', (environment, expected) => {
    const text = refusal(environment as Record<string, string>);
    expect(text).toContain(expected);
    expect(text).not.toMatch(/remove it|unset it/);
  });

  test('a pool UUID at the wrong level is sent to its place', () => {
    const filePath = join(mkdtempSync(join(tmpdir(), 'rmr-config-')), 'storage.yaml');
    writeFileSync(filePath, 'name: n\nstateDir: /x\npoolUuid: x\nrtrs: { poolUuid: x }\nstores: [{ path: /a }]\n');
    const load = () => loadConfig(storageNodeConfigSchema, { filePath, environment: {}, flags: new Map() });
    expect(load).toThrow(/ {2}poolUuid \(.* line 3\): is no key of this configuration; poolUuid belongs to stores\[\]: move it there/);
    expect(load).toThrow(/ {2}rtrs.poolUuid \(.* line 4\): .* poolUuid belongs to stores\[\]: move it there/);
    rmSync(dirname(filePath), { recursive: true });
  });

  test.each([
    ['RMR_LIMITS_SESSIONS', '0'],
    ['RMR_LIMITS_QUEUE_DEPTH', '5000'],
    ['RMR_LIMITS_IO_SIZE', '1KiB'],
    ['RMR_TRANSPORT_HEARTBEAT_INTERVAL', '10ms'],
    ['RMR_BOOT_ID_OVERRIDE', 'yesterday'],
    ['RMR_LOG_LEVEL', 'verbose'],
  ])('%s=%s is out of range', (variable, value) => {
    expect(refusal({ [variable]: value })).toContain(`${variable} in the environment`);
  });
});
